# shellcheck shell=bash
# Bring a node that was away, or is new, to where the others are: releases, which of them is current, the route.
# Arguments: token, current.json's text, route. Standard input: a tar of the releases' directories.
guard "$1"
new="$site/releases.new"
unpack "$new"
rm -rf "${site:?}/releases"
mv "$new" "$site/releases"
put "$site/current.json" "$2"
route "$3"
