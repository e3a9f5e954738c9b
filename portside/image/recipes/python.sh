#!/bin/sh
# Installs Python 3.13, venv and pip under the names that the official Python image gives them,
# and `strip`, which the service's Dockerfile would otherwise fetch.
set -eu

export DEBIAN_FRONTEND=noninteractive
apt-get install --yes --quiet --no-install-recommends python3.13 python3.13-venv binutils ca-certificates
for name in python3.13 python3 python; do
    ln -sf /usr/bin/python3.13 "/usr/local/bin/$name"
done
# pip runs from Debian's wheel of it: the package python3-pip would bring a compiler along.
wheel=$(find /usr/share/python-wheels -name 'pip-*.whl')
printf '#!/bin/sh\nexec /usr/bin/python3.13 %s/pip "$@"\n' "$wheel" > /usr/local/bin/pip
chmod 0755 /usr/local/bin/pip
ln -sf pip /usr/local/bin/pip3
# In an image, unlike on a machine, pip may install next to the packages of the distribution.
rm -f /usr/lib/python3.13/EXTERNALLY-MANAGED
