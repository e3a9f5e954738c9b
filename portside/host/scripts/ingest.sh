# shellcheck shell=bash
# What agents need to write to this machine's ingest gateway: the password on the first line, then the certificate of
# its authority. Empty before the gateway's first start.
secret="$base/$site_name/secrets/ingest-password"
authority="$base/$site_name/data/ingest/caddy/pki/authorities/local/root.crt"
if [ -e "$secret" ] && [ -e "$authority" ]; then
  printf '%s\n' "$(cat "$secret")"
  cat "$authority"
fi
