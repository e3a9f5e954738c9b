#!/bin/sh
# Puts PostgreSQL 17's server and client programs into the image, without Debian's cluster management
# (Perl) and without the JIT compiler (120 MB of LLVM, used by long analytical queries only).
set -eu

export DEBIAN_FRONTEND=noninteractive
groupadd --system --gid 999 postgres
useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres

apt-get install --yes --quiet --no-install-recommends \
    libgssapi-krb5-2 libicu76 libldap2 liblz4-1 libpam0g libpq5 libreadline8t64 libssl3t64 libsystemd0 libuuid1 \
    libxml2 libxslt1.1 libzstd1 libselinux1 tzdata zlib1g

mkdir /debs
cd /debs
apt-get --quiet download postgresql-17 postgresql-client-17
for deb in ./*.deb; do
    dpkg-deb --extract "$deb" /
    # Scanners learn from status.d what is here and unknown to dpkg.
    mkdir -p /var/lib/dpkg/status.d
    dpkg-deb --field "$deb" > "/var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)"
done
cd /
rm -rf /debs /usr/lib/postgresql/17/lib/bitcode /usr/lib/postgresql/17/lib/llvmjit* \
    /usr/share/postgresql/17/man /usr/share/locale /usr/share/man

missing=$(ldd /usr/lib/postgresql/17/bin/* | grep 'not found' | sort -u || true)
if [ -n "$missing" ]; then
    echo "PostgreSQL lacks libraries: $missing" >&2
    exit 1
fi

sed -i "s/^#\?listen_addresses.*/listen_addresses = '*'/" /usr/share/postgresql/17/postgresql.conf.sample
mkdir -p /docker-entrypoint-initdb.d
install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data
install -d -o postgres -g postgres -m 3777 /var/run/postgresql
chown postgres:postgres /var/lib/postgresql
