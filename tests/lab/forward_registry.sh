#!/bin/bash
# Run at boot on a lab host: the registry answers on a port of the host's own 127.0.0.1, as it does on the
# machine that builds, so that one image name is good everywhere. Reads "PORT ADDRESS" from $ports.
set -euo pipefail

readonly ports=/etc/lab-host.registry
read -r port address <"$ports"
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
iptables --wait --table nat --append OUTPUT --protocol tcp --destination 127.0.0.1 --dport "$port" \
    --jump DNAT --to-destination "$address:5000"
iptables --wait --table nat --append POSTROUTING --protocol tcp --destination "$address" --dport 5000 \
    --jump MASQUERADE
