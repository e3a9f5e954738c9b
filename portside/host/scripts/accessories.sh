# shellcheck shell=bash
# Bring the accessories up as their compose file says. Never run by a release that finds them unchanged.
# Arguments: token, begin, end, fingerprint, seconds to wait, whose network they are on (local: the host's, swarm).
# Standard input: a tar with compose.yaml and env.
token="$1" begin="$2" end="$3" fingerprint="$4" seconds="$5" scope="$6"
guard "$token"
record "$begin"
if [ "$scope" = swarm ]; then
  refuse_own_network
  # One that is made here would be this host's own, with the accessories alone on it.
  swarm network inspect "$site_name" >/dev/null 2>&1 || fail_unseen_network
fi
mkdir -p "$site/accessories"
# Of containers that are as the file says, Compose would still make those anew whose tag has another image by now, or
# which an older Compose has made.
kept=()
[ "$(show "$site/accessories/fingerprint")" != "$fingerprint" ] || kept=(--no-recreate)
# Until all of it is up, it is nothing that a file says.
[ ! -e "$site/accessories/fingerprint" ] || put "$site/accessories/fingerprint" -
tar -x -p -f - -C "$site/accessories"
docker network inspect "$site_name" >/dev/null 2>&1 || docker network create "$site_name" >/dev/null
composed() {
  timeout "$seconds" docker compose -p "$site_name-accessories" --project-directory "$site/accessories" \
    -f "$site/accessories/compose.yaml" --env-file "$site/accessories/env" "$@"
}
# A stopped container knows its network by an id. Once that one was removed the Engine doesn't start it any more, also
# where there is another of that name, and Compose leaves it as it is.
stranded=""
mapfile -t stopped < <(docker ps -aq --filter "label=com.docker.compose.project=$site_name-accessories" \
  --filter status=created --filter status=exited)
if [ "${#stopped[@]}" -gt 0 ]; then
  there=$(docker network ls --quiet --no-trunc)
  # shellcheck disable=SC2016 # Docker's variable
  of_each='{{$of := index .Config.Labels "com.docker.compose.service"}}{{range .NetworkSettings.Networks}}{{println $of .NetworkID}}{{end}}'
  while read -r service network; do
    case "$there" in *"$network"*) ;; *) stranded+="$service"$'\n' ;; esac
  done < <(docker inspect --format "$of_each" "${stopped[@]}")
fi
anew=()
[ -z "$stranded" ] || mapfile -t anew < <(composed config --services | grep -xF "$stranded")
{
  # Made anew by Compose it keeps its volumes, those without a name, too.
  [ "${#anew[@]}" = 0 ] || composed up --no-start --no-deps --force-recreate --no-build --pull never "${anew[@]}"
  composed up -d --wait --no-build --pull never "${kept[@]}"
} >"$site/accessories/up.log" 2>&1 || {
  tail -n 15 "$site/accessories/up.log" >&2
  mapfile -t ids < <(docker ps -aq --filter "label=com.docker.compose.project=$site_name-accessories")
  last_words "${ids[@]}" >&2
  fail 75 "the accessories did not start"
}
put "$site/accessories/fingerprint" "$fingerprint"
record "$end"
