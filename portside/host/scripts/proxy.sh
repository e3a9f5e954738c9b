# shellcheck shell=bash
# Start this host's proxy, shared by every site on it. Arguments: token, fingerprint, seconds to wait, sha256 of the
# present configuration file ("-": none). Standard input: a tar with compose.yaml and config/caddy.json.
# Standard output: the present file, where it is another one by now; then nothing is changed. "ran", where the proxy ran
# already and has yet to be told of the file.
token="$1" fingerprint="$2" deadline=$((SECONDS + $3)) expected="$4"
guard "$token"
mkdir -p "$base/proxy/config" "$base/proxy/data" "$base/proxy/run" "$base/proxy/routes"
chmod 755 "$base/proxy/config" "$base/proxy/routes"
uid=$(id -u) gid=$(id -g)
if [ "$uid" = 0 ]; then
  # Root can open the admin socket of any user, so the proxy needn't be root.
  uid=65532 gid=65532
  chown "$uid:$gid" "$base/proxy/data" "$base/proxy/run"
fi
exec 7>"$base/proxy/flock"
flock -w 60 7 || fail 74 "another portside command is changing the proxy"
unless_changed "$base/proxy/config/caddy.json" "$expected"
docker network inspect portside >/dev/null 2>&1 || docker network create portside >/dev/null
unpack "$base/proxy/.new"
chmod 644 "$base/proxy/.new/config/caddy.json"
mv -f "$base/proxy/.new/config/caddy.json" "$base/proxy/config/"
mv -f "$base/proxy/.new/compose.yaml" "$base/proxy/"
rm -rf "$base/proxy/.new"
# The container that runs as the proxy, if one does.
running() {
  docker ps --quiet --filter label=com.docker.compose.project=portside-proxy --filter status=running ||
    fail 76 "the Docker Engine does not answer"
}
before=$(running) || exit "$?"
remember_networks portside-proxy-caddy-1
PORTSIDE_UID="$uid" PORTSIDE_GID="$gid" PORTSIDE_CONFIG="$fingerprint" \
  docker compose -p portside-proxy --project-directory "$base/proxy" -f "$base/proxy/compose.yaml" --env-file /dev/null \
  up -d --no-build --pull never --remove-orphans >"$base/proxy/up.log" 2>&1 || {
  tail -n 15 "$base/proxy/up.log" >&2
  fail 75 "docker compose could not start the proxy"
}
while [ ! -S "$base/proxy/run/admin.sock" ]; do
  if [ "$SECONDS" -ge "$deadline" ]; then
    mapfile -t ids < <(docker ps -aq --filter "label=dev.portside.role=proxy")
    last_words "${ids[@]}" >&2
    fail 75 "the proxy did not open its admin socket"
  fi
  sleep 0.1
done
join_networks portside-proxy-caddy-1
after=$(running) || exit "$?"
[ -z "$before" ] || [ "$before" != "$after" ] || printf 'ran\n'
