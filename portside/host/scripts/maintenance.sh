# shellcheck shell=bash
# Turn the maintenance page on or off. Arguments: token, begin, end, on or off.
token="$1" begin="$2" end="$3" state="$4"
guard "$token"
record "$begin"
publish "$base/proxy/routes/$site_name/maintenance" "$state"
# A node of a Swarm that was away follows this decision, however many releases have come since.
put "$site/maintenance" "{\"at\":$EPOCHSECONDS,${end#\{}"
record "$end"
