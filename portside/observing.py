"""The commands that watch: the central monitoring stack up, down, and how it is."""
