# shellcheck shell=bash
# Replace the proxy's configuration file, if it is still the one the change was made from.
# Arguments: token, sha256 of the present file ("-": none), sha256 of the new one, both without blank lines.
# Standard input: the new file. Standard output: the present file, where it is another one.
token="$1" expected="$2" new="$3"
guard "$token"
exec 7>"$base/proxy/flock"
flock -w 60 7 || fail 74 "another portside command is changing the proxy"
file="$base/proxy/config/caddy.json"
unless_changed "$file" "$expected"
text=$(cat)
# What is cut off with its connection looks like a shorter file.
[ "$(sed '/^[[:space:]]*$/d' <<<"$text" | sha256sum | cut -d ' ' -f 1)" = "$new" ] ||
  fail 75 "the proxy's new configuration did not arrive as a whole"
publish "$file" "$text"
