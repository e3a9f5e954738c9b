# shellcheck shell=bash
# Replace the proxy's configuration file, if it is still the one the change was made from.
# Arguments: token, sha256 of the present file ("-": none). Standard input: the new file. Standard output: the present
# file, where it is another one.
token="$1" expected="$2"
guard "$token"
exec 7>"$base/proxy/flock"
flock -w 60 7 || fail 74 "another portside command is changing the proxy"
file="$base/proxy/config/caddy.json"
unless_changed "$file" "$expected"
publish "$file" "$(cat)"
