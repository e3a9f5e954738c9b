#!/bin/sh
# Lays out what the Caddy image holds besides the static binary: CA certificates, paths, a default Caddyfile.
# Usage: caddy.sh ROOT
set -eu

root=$1

mkdir -p /debs "$root/etc/ssl/certs" "$root/etc/caddy" "$root/config/caddy" "$root/data/caddy" "$root/srv" \
    "$root/tmp" "$root/usr/share/caddy" "$root/root"
cd /debs
apt-get --quiet download ca-certificates
dpkg-deb --extract ./ca-certificates_*.deb /debs/unpacked
find /debs/unpacked/usr/share/ca-certificates -name '*.crt' | sort | xargs cat > "$root/etc/ssl/certs/ca-certificates.crt"
printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' > "$root/etc/passwd"
printf '%s\n' 'root:x:0:' > "$root/etc/group"
printf '%s\n' 'hosts: files dns' > "$root/etc/nsswitch.conf"
printf '%s\n' ':80 {' '    root * /usr/share/caddy' '    file_server' '}' > "$root/etc/caddy/Caddyfile"
printf '%s\n' 'Caddy works.' > "$root/usr/share/caddy/index.html"
chmod 1777 "$root/tmp"
