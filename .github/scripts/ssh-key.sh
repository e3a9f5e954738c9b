#!/usr/bin/env bash
# Run by workflows: SSH_KEY and SSH_KNOWN_HOSTS become the files that SSH looks for, for this user alone.
set -euo pipefail

: "${SSH_KEY:?is empty: set it as a secret of this environment on GitHub (docs/pipeline.md)}"
: "${SSH_KNOWN_HOSTS:?is empty: set it as a variable of this environment on GitHub (docs/pipeline.md)}"
umask 077
mkdir -p ~/.ssh
printf '%s\n' "$SSH_KEY" > ~/.ssh/id_ed25519
printf '%s\n' "$SSH_KNOWN_HOSTS" > ~/.ssh/known_hosts
