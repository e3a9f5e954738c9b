# shellcheck shell=bash
# Turn the maintenance page on or off. Arguments: token, begin, end, on or off.
token="$1" begin="$2" end="$3" state="$4"
guard "$token"
record "$begin"
mkdir -p "$base/proxy/routes/$site_name"
printf '%s\n' "$state" | put "$base/proxy/routes/$site_name/maintenance"
record "$end"
