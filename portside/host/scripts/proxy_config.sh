# shellcheck shell=bash
# Replace the proxy's configuration file, if it is still the one the change was made from.
# Arguments: token, sha256 of the present file ("-": none). Standard input: the new file. Standard output: the present
# file, where it is another one.
token="$1" expected="$2"
guard "$token"
exec 7>"$base/proxy/flock"
flock -w 60 7 || fail 74 "another portside command is changing the proxy"
file="$base/proxy/config/caddy.json"
actual="-"
[ ! -e "$file" ] || actual=$(sha256sum <"$file" | cut -d ' ' -f 1)
[ "$actual" = "$expected" ] || {
  cat "$file"
  fail 74 "the proxy's configuration was changed meanwhile by another command"
}
publish "$file" "$(cat)"
