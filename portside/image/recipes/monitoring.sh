#!/bin/sh
# Unpacks monitoring programs of Debian unstable, and the C library they need, into a root without a shell.
# Usage: monitoring.sh ROOT PACKAGES {PROGRAM=NAME | /FOLDER}…, where NAME is what the official image calls Debian's
# PROGRAM, and FOLDER is one that the user nobody writes to.
set -eu

root=$1
packages=$2
shift 2
epoch=1735689600

mkdir -p /debs "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64" "$root/etc/ssl/certs" "$root/tmp"
for folder in bin lib lib64; do
    ln -s "usr/$folder" "$root/$folder"
done
cd /debs
# apt checks each file against the signed package lists.
# shellcheck disable=SC2086 # a list of packages
apt-get --quiet download $packages ca-certificates libc6

# Scanners read the packages of an image without dpkg from status.d.
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in ./*.deb; do
    package=$(dpkg-deb --field "$deb" Package)
    rm -rf /debs/one
    dpkg-deb --extract "$deb" /debs/one
    dpkg-deb --field "$deb" > "$root/var/lib/dpkg/status.d/$package"
    # What Debian's own services are configured with is not what the official image has.
    rm -rf /debs/one/etc /debs/one/lib/systemd /debs/one/usr/lib/systemd /debs/one/var
    cp -a /debs/one/. "$root/"
done

cd "$root"
find usr/share/ca-certificates -name '*.crt' | sort | xargs cat > etc/ssl/certs/ca-certificates.crt
find usr/share/doc -type f ! -name copyright -delete
rm -rf usr/share/man usr/share/info usr/share/lintian usr/share/bug usr/share/locale usr/share/ca-certificates \
    usr/share/bash-completion usr/sbin usr/lib/*-linux-gnu/gconv usr/lib/*-linux-gnu/audit
for part in "$@"; do
    case $part in
    /*) install -d -o 65534 -g 65534 "$root$part" ;;
    *) [ "${part%=*}" = "${part#*=}" ] || mv "usr/bin/${part%=*}" "usr/bin/${part#*=}" ;;
    esac
done
find usr/bin -mindepth 1 -type f | while read -r program; do
    case " $* " in
    *"=${program##*/} "*) ;;
    *) rm "$program" ;;
    esac
done
find usr/bin -xtype l -delete

printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' 'nobody:x:65534:65534:nobody:/home:/sbin/nologin' > etc/passwd
printf '%s\n' 'root:x:0:' 'nobody:x:65534:' > etc/group
printf '%s\n' 'passwd: files' 'group: files' 'hosts: files dns' > etc/nsswitch.conf
chmod 1777 tmp

for program in usr/bin/*; do
    # Fails where the C library lacks something: an image that can't start must not be built.
    chroot "$root" "/$program" --version > /dev/null
done
find "$root" -xdev -exec touch --no-dereference --date="@$epoch" {} +
