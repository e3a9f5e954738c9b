# shellcheck shell=bash
# Make a release the environment's current one on this host. Arguments: token, begin, end, current.json's text.
token="$1" begin="$2" end="$3" current="$4"
guard "$token"
record "$begin"
printf '%s\n' "$current" | put "$site/current.json"
record "$end"
# A host that loses power after this point must still know what was committed.
sync -d "$site/current.json" "$site/journal.jsonl"
