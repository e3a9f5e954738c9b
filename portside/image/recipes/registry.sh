#!/bin/sh
# Installs Debian's docker-registry under the name that the official image gives it.
set -eu

export DEBIAN_FRONTEND=noninteractive
mkdir -p /debs
cd /debs
apt-get --quiet download docker-registry ca-certificates
dpkg-deb --extract ./docker-registry_*.deb /
dpkg-deb --extract ./ca-certificates_*.deb /debs/unpacked
mkdir -p /etc/ssl/certs /var/lib/registry /etc/docker/registry /var/lib/dpkg/status.d
find /debs/unpacked/usr/share/ca-certificates -name '*.crt' | sort | xargs cat > /etc/ssl/certs/ca-certificates.crt
dpkg-deb --field ./docker-registry_*.deb > /var/lib/dpkg/status.d/docker-registry
ln -sf /usr/bin/docker-registry /usr/bin/registry
rm -rf /debs
