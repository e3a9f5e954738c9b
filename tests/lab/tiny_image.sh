#!/bin/bash
# Run on a lab host: prints, as a tar, the root of an image with a shell, `sleep` and nothing else.
set -euo pipefail

mapfile -t libraries < <(ldd /bin/sh /bin/sleep | grep --only-matching '/lib[^ ]*' | sort --unique)
tar --create --dereference --directory=/ --file=- bin/sh bin/sleep "${libraries[@]#/}"
