# shellcheck shell=bash
# Take the central monitoring stack away, and the agent of its own machine, which has nobody left to write to.
# Argument: 1 removes what they have gathered, passwords and certificates as well.
folder="$base/$site_name"
[ -d "$folder" ] || exit 0
exec 7>"$folder/flock"
flock -w 60 7 || fail 74 "another portside command is changing the monitoring stack"
options=()
[ "$1" = 0 ] || options+=(--volumes)
PORTSIDE_UID=0 PORTSIDE_GID=0 timeout 120 docker compose -p portside-observability --project-directory "$folder" \
  -f "$folder/compose.yaml" --env-file "$folder/env" down --timeout 30 "${options[@]}" >"$folder/down.log" 2>&1 || {
  tail -n 15 "$folder/down.log" >&2
  fail 75 "docker compose could not take the monitoring stack away"
}
timeout 60 docker compose -p portside-agent down --timeout 10 >>"$folder/down.log" 2>&1 || {
  tail -n 15 "$folder/down.log" >&2
  fail 75 "docker compose could not take the agent away"
}
if [ "$1" = 1 ]; then
  rm -rf "$folder" "$base/agent"
  # Still in use by whatever else was put on it.
  docker network rm portside-observability >/dev/null 2>&1 || true
fi
