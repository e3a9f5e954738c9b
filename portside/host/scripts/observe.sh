# shellcheck shell=bash
# Bring the central monitoring stack to what its files say. Arguments: seconds to wait, the gateway's image, components.
# Standard input: a tar with compose.yaml, env, a folder per component and secrets/.
# Standard output: Grafana's admin password, when this made it.
seconds="$1" gateway="$2"
shift 2
folder="$base/$site_name"
umask 077
mkdir -p "$folder/secrets/alertmanager" "$folder/secrets/grafana" "$folder/secrets/ingest" \
  "$folder/data/alertmanager" "$folder/data/ingest"
exec 7>"$folder/flock"
flock -w 60 7 || fail 74 "another portside command is changing the monitoring stack"
uid=$(id -u) gid=$(id -g)
# As for the proxy: what root runs needn't be root's.
[ "$uid" != 0 ] || uid=65532 gid=65532

rm -rf "$folder/new"
mkdir "$folder/new"
tar -x -f - -C "$folder/new"
for component in "$@"; do
  # A folder that is the same stays: a running container would go on with the one that was taken away.
  [ -d "$folder/new/$component" ] || continue
  if ! diff -rq "$folder/new/$component" "$folder/$component" >/dev/null 2>&1; then
    # Read by the containers' own users; the folder above all of it is closed to others.
    chmod -R a+rX "$folder/new/$component"
    rm -rf "${folder:?}/$component"
    mv "$folder/new/$component" "$folder/$component"
  fi
done
mv -f "$folder/new/compose.yaml" "$folder/new/env" "$folder/"
find "$folder/secrets/alertmanager" -type f -delete
[ ! -d "$folder/new/secrets/alertmanager" ] || mv "$folder/new/secrets/alertmanager"/* "$folder/secrets/alertmanager/"
rm -rf "$folder/new"

# 24 random bytes, without characters that a URL or a shell would read.
generated() {
  head -c 24 /dev/urandom | base64 | tr '+/' '-_'
}
case " $* " in *" grafana "*)
  if [ ! -s "$folder/secrets/grafana/admin-password" ]; then
    # Grafana keeps in its volume what it was given at its first start; another one has to be set there, below.
    volume=$(docker volume ls --quiet --filter name=^portside-observability_grafana$) ||
      fail 76 "the Docker Engine does not answer"
    [ -z "$volume" ] || touch "$folder/secrets/grafana-due"
    put "$folder/secrets/grafana/admin-password" "$(generated)"
    cat "$folder/secrets/grafana/admin-password"
  fi
  ;;
esac
case " $* " in *" ingest "*)
  if [ ! -s "$folder/secrets/ingest-password" ]; then
    # The hash is of the one that was lost, if there is one.
    rm -f "$folder/secrets/ingest/hash"
    put "$folder/secrets/ingest-password" "$(generated)"
  fi
  if [ ! -s "$folder/secrets/ingest/hash" ]; then
    hash=$(timeout 60 docker run --rm --interactive --pull never --network none --read-only --cap-drop ALL \
      --user "$uid:$gid" "$gateway" caddy hash-password --algorithm bcrypt <"$folder/secrets/ingest-password") ||
      fail 75 "the gateway's image can't hash a password"
    # The gateway reads it to its last byte: no newline.
    printf '%s' "$hash" >"$folder/secrets/ingest/hash.new"
    # It reads the hash when it starts; and while it is there with an older one, this hash isn't there yet.
    remove_container portside-observability-ingest-1
    mv -f "$folder/secrets/ingest/hash.new" "$folder/secrets/ingest/hash"
  fi
  ;;
esac
[ "$(id -u)" = "$uid" ] || chown -R "$uid:$gid" "$folder/data" "$folder/secrets"

# What the agent of this machine writes over; it makes it as well when it is first.
docker network inspect portside-observability >/dev/null 2>&1 || docker network create portside-observability >/dev/null
PORTSIDE_UID="$uid" PORTSIDE_GID="$gid" \
  timeout "$seconds" docker compose -p portside-observability --project-directory "$folder" -f "$folder/compose.yaml" \
  --env-file "$folder/env" up -d --wait --no-build --pull never --remove-orphans >"$folder/up.log" 2>&1 || {
  tail -n 15 "$folder/up.log" >&2
  mapfile -t ids < <(unwell com.docker.compose.project=portside-observability | sort -u)
  last_words "${ids[@]}" >&2
  fail 75 "the monitoring stack did not start"
}
case " $* " in *" grafana "*)
  if [ -e "$folder/secrets/grafana-due" ]; then
    timeout 60 docker exec --interactive portside-observability-grafana-1 \
      grafana cli admin reset-admin-password --password-from-stdin \
      <"$folder/secrets/grafana/admin-password" >"$folder/up.log" 2>&1 || {
      tail -n 5 "$folder/up.log" >&2
      fail 75 "Grafana could not be given its new password, and still wants the lost one; everything else runs"
    }
    rm -f "$folder/secrets/grafana-due"
  fi
  ;;
esac
