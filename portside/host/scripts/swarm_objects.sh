# shellcheck shell=bash
# Make secrets and configs of the Swarm that aren't there yet; a name is a version of a value, so one that is there is
# right.
# Argument: token. Standard input: a line for each, "secret" or "config", its name and its value in base64.
guard "$1"
while read -r kind name value; do
  swarm "$kind" inspect "$name" >/dev/null 2>&1 && continue
  # Standard input alone has the value: neither an argument nor a file.
  base64 -d <<<"$value" | swarm "$kind" create --label "dev.portside.site=$site_name" "$name" - >/dev/null
done
