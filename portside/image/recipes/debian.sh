#!/bin/sh
# Makes a root file system equivalent to debian:trixie-slim. Run by portside/image/bases.py on this machine.
# Usage: debian.sh OUTPUT.tar MIRROR SECURITY_MIRROR
set -eu

output=$1
mirror=$2
security=$3
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# Fixed file times: the same packages give the same layer on every machine.
export SOURCE_DATE_EPOCH=1735689600

configuration=$(mktemp)
trap 'rm -f "$configuration"' EXIT
# Stays in the image, so that what is installed on top of it is small as well.
cat > "$configuration" <<'DPKG'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/man/*
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/lintian/*
force-unsafe-io
DPKG
chmod 0644 "$configuration"

# Not as --dpkgopt: mmdebstrap would filter every archive itself as well, which doubles the time.
# shellcheck disable=SC2016
mmdebstrap --quiet --variant=minbase --architectures="$(dpkg --print-architecture)" \
    --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Retries "3"' \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='DPkg::Lock::Timeout "60"' \
    --extract-hook="copy-in $configuration /etc/dpkg/dpkg.cfg.d" \
    --extract-hook='mv "$1/etc/dpkg/dpkg.cfg.d/'"${configuration##*/}"'" "$1/etc/dpkg/dpkg.cfg.d/slim"' \
    --customize-hook='find "$1/usr/share/doc" -type f ! -name copyright -delete' \
    --customize-hook='find "$1/usr/share/man" "$1/usr/share/info" "$1/usr/share/locale" -mindepth 1 -delete' \
    trixie "$output" \
    "deb [signed-by=$keyring] $mirror trixie main" \
    "deb [signed-by=$keyring] $mirror trixie-updates main" \
    "deb [signed-by=$keyring] $security trixie-security main"
