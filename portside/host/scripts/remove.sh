# shellcheck shell=bash
# Take the site off this host, but for its lock, whose next token has to be larger, and its journal. The proxy has been
# told. What an earlier try has taken away already is no mistake.
# Arguments: token, begin, end, volumes (keep, remove), releases whose images go as <release>=<image reference> …
token="$1" begin="$2" end="$3" volumes="$4"
shift 4
guard "$token"
record "$begin"
# First of all nobody asks for it, monitoring neither, and nothing is said to serve.
rm -f "$base/targets/$site_name.json" "$base/targets/$site_name.site.json" "$base/metrics/$site_name.prom"
rm -rf "$base/proxy/routes/$site_name"
rm -f "$site/current.json"

# labelled COMMAND… : what `docker COMMAND` lists of the site's Compose projects, into the array `found`.
labelled() {
  local project listed
  found=()
  for project in "$site_name-blue" "$site_name-green" "$site_name-accessories"; do
    listed=$(docker "$@" --filter "label=com.docker.compose.project=$project") || fail 76 "the Docker Engine does not answer"
    [ -z "$listed" ] || mapfile -t -O "${#found[@]}" found <<<"$listed"
  done
}

labelled ps -aq --no-trunc
hooks=$(docker ps -aq --no-trunc --filter "label=dev.portside.site=$site_name") || fail 76 "the Docker Engine does not answer"
[ -z "$hooks" ] || mapfile -t -O "${#found[@]}" found <<<"$hooks"
# Each container knows its own grace period, a database above all. What doesn't stop so is killed, or named as what could
# not be removed.
if [ "${#found[@]}" -gt 0 ]; then setsid -w docker stop "${found[@]}" >/dev/null 2>&1 || true; fi
for id in "${found[@]}"; do remove_container "$id"; done
labelled network ls -q
if docker network inspect "$site_name" >/dev/null 2>&1; then found+=("$site_name"); fi
for network in "${found[@]}"; do docker network rm "$network" >/dev/null || fail 75 "network $network could not be removed"; done
if [ "$volumes" = remove ]; then
  labelled volume ls -q
  for volume in "${found[@]}"; do docker volume rm "$volume" >/dev/null || fail 75 "volume $volume could not be removed"; done
fi
rm -rf "${site:?}/accessories"
# Last: by its releases a site is seen that an earlier try has not taken away as a whole.
for release in "$@"; do
  remove_image "${release#*=}" "${release%%=*}"
  rm -rf "${site:?}/releases/${release%%=*}"
done
find "$site" -mindepth 1 -maxdepth 1 ! -name lock ! -name work.lock ! -name journal.jsonl -exec rm -rf {} +
record "$end"
