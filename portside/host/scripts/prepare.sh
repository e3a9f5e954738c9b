# shellcheck shell=bash
# Put a release's directory on this host, whole or not at all, and check that it can start.
# Arguments: token, journal begin line, journal end line, release, image reference, proven (1: the same file, but for
# the image, serves here already: Compose accepts it, and its networks are there).
# Standard input: a tar of the directory's files.
token="$1" begin="$2" end="$3" release="$4" image="$5" proven="$6"
guard "$token"
record "$begin"

lay_aside
new="$site/releases/.new-$release"
unpack "$new"
# After a power cut, a committed release with empty files would be none.
shopt -s globstar
sync -d "$new"/**

if [ "$proven" != 1 ]; then
  docker image inspect "$image" >/dev/null 2>&1 || fail 76 "image $image is not on this host"
  docker network inspect "$site_name" portside >/dev/null 2>&1 || for network in "$site_name" portside; do
    docker network inspect "$network" >/dev/null 2>&1 || docker network create "$network" >/dev/null
  done
  docker compose -p "$site_name-check" --project-directory "$new" -f "$new/compose.yaml" --env-file /dev/null config -q
fi

[ ! -e "$site/releases/$release" ] || rm -rf "${site:?}/releases/$release"
mv "$new" "$site/releases/$release"
record "$end"
