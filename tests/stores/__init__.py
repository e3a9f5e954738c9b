"""Places that keep secrets, on loopback: each has values put into it, and says how its client is pointed at it.

What can be had is real (moto's server, Bitwarden's `bw`). Google's, Azure's, Vault's and Bitwarden's servers speak as
much of their REST API as the real clients ask for; 1Password's `op` and Bitwarden's `bws` are stand-ins of ours.
"""
