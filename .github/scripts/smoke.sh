#!/usr/bin/env bash
# Run by ship.yml after a release: every one of SMOKE_URLS must answer well, as somebody outside sees it.
set -euo pipefail

for url in ${SMOKE_URLS:?is empty: set it as a variable of this environment on GitHub (docs/pipeline.md)}; do
  curl --fail --silent --show-error --location --output /dev/null --max-time 10 \
    --retry 3 --retry-delay 2 --retry-max-time 40 --retry-all-errors \
    --write-out "%{http_code} in %{time_total} s: $url\n" "$url"
done
