"""What GitHub's runner does with a workflow, on this machine: steps from the YAML, in order, in bash.

It knows exactly what the workflows of this repository use, and refuses everything else by its name.
"""
