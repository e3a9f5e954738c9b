#!/bin/sh
# Unpacks Python 3.13 and the libraries it needs into a root without shell or package manager.
# Usage: distroless.sh ROOT
set -eu

root=$1
epoch=1735689600

mkdir -p "$root" /debs
cd /debs
# apt checks each file against the signed package lists.
apt-get --quiet download \
    base-files ca-certificates libc6 libgcc-s1 libssl3t64 libstdc++6 libzstd1 media-types netbase tzdata \
    libbz2-1.0 libexpat1 libffi8 liblzma5 libncursesw6 libreadline8t64 libsqlite3-0 libtinfo6 libuuid1 zlib1g \
    libpython3.13-minimal libpython3.13-stdlib python3.13-minimal

# Scanners read the packages of an image without dpkg from status.d.
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in ./*.deb; do
    dpkg-deb --extract "$deb" "$root"
    package=$(dpkg-deb --field "$deb" Package)
    dpkg-deb --field "$deb" > "$root/var/lib/dpkg/status.d/$package"
    dpkg-deb --ctrl-tarfile "$deb" | tar -xOf - ./md5sums \
        > "$root/var/lib/dpkg/status.d/$package.md5sums" 2>/dev/null || true
done

cd "$root"
mkdir -p etc/ssl/certs home/nonroot tmp
find usr/share/ca-certificates -name '*.crt' | sort | xargs cat > etc/ssl/certs/ca-certificates.crt
printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' \
    'nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin' \
    'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' > etc/passwd
printf '%s\n' 'root:x:0:' 'tty:x:5:' 'staff:x:50:' 'nobody:x:65534:' 'nonroot:x:65532:' > etc/group
printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' 'services: files' > etc/nsswitch.conf
ln -sf python3.13 usr/bin/python3
ln -sf python3.13 usr/bin/python

python=usr/lib/python3.13
find usr/share/doc -type f ! -name copyright -delete
rm -rf usr/share/man usr/share/info usr/share/lintian usr/share/bug usr/share/locale usr/share/base-files \
    usr/share/ca-certificates usr/share/applications usr/share/pixmaps usr/share/binfmts usr/share/gcc usr/share/gdb \
    usr/sbin/* usr/lib/*-linux-gnu/gconv usr/lib/*-linux-gnu/perl-base usr/lib/*-linux-gnu/audit \
    "$python"/test "$python"/idlelib "$python"/turtledemo "$python"/ensurepip "$python"/pydoc_data \
    "$python"/config-* usr/share/zoneinfo/right usr/share/zoneinfo/posix
# Of the programs, only the interpreter stays.
find usr/bin -mindepth 1 ! -name 'python*' -delete

# Compiled here, because a read-only container can't keep what it compiles at every start.
# Checked never, by content and not by time: the same source gives the same bytes. -B and -f: what the compiler itself
# imports, it would leave compiled by time, and then pass over.
chroot "$root" /usr/bin/python3.13 -B -I -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13

chmod 1777 tmp
chmod 0700 home/nonroot
chown 65532:65532 home/nonroot
find "$root" -xdev -exec touch --no-dereference --date="@$epoch" {} +
