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
# The options end up in the image's own dpkg.cfg.d, so that what is installed on top stays small as well.
exec mmdebstrap --quiet --variant=minbase --architectures="$(dpkg --print-architecture)" \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/lintian/*' \
    --dpkgopt='force-unsafe-io' \
    --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Retries "3"' \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt='DPkg::Lock::Timeout "60"' \
    trixie "$output" \
    "deb [signed-by=$keyring] $mirror trixie main" \
    "deb [signed-by=$keyring] $mirror trixie-updates main" \
    "deb [signed-by=$keyring] $security trixie-security main"
