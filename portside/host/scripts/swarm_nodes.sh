# shellcheck shell=bash
# What this host is in its Swarm, and on a manager who else is there. Reads only, needs no lock. Read by
# portside/swarm/nodes.py.
printf '@@node\n'
timeout 15 docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}} {{.LiveRestoreEnabled}} {{.Swarm.NodeID}}'
printf '@@nodes\n'
# A worker can't say; a manager without a quorum doesn't.
timeout 15 docker node ls --format '{{.ID}} {{.Status}} {{.Availability}} {{.Hostname}}' 2>&1 || true
