#!/bin/sh
# Turns a Debian 13 into one whose apt knows unstable alone, from the same mirror: monitoring programs move faster than
# Debian's releases, and nothing of this stays in an image but what monitoring.sh takes out.
set -eu

mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed -n -e 's/^deb \(\[[^]]*\] \)\?\(http[^ ]*\) trixie main.*/\2/p' -e 's/^URIs: *//p' | head -n 1)
rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror sid main" > /etc/apt/sources.list
# Unstable's lists are valid for a week; a company's mirror may lag by more. Signatures are checked all the same.
apt-get --quiet --option Acquire::Min-ValidTime=7776000 --error-on=any update
