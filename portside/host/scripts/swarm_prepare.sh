# shellcheck shell=bash
# Put a release's directory on this host, whole or not at all, and check that a Swarm can read its stack.
# Arguments: token, journal begin line, journal end line, release, image reference.
# Standard input: a tar of the directory's files.
token="$1" begin="$2" end="$3" release="$4" image="$5"
guard "$token"
record "$begin"

lay_aside
new="$site/releases/.new-$release"
unpack "$new"
# After a power cut, a committed release with empty files would be none.
shopt -s globstar
sync -d "$new"/**
docker image inspect "$image" >/dev/null 2>&1 || fail 76 "image $image is not on this host"
PORTSIDE_SLOT=check docker stack config --compose-file "$new/compose.yaml" >/dev/null

[ ! -e "$site/releases/$release" ] || rm -rf "${site:?}/releases/$release"
mv "$new" "$site/releases/$release"
record "$end"
