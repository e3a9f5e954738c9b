# shellcheck shell=bash
# Make a release the environment's current one on this host, and tell monitoring. Arguments: token, begin, end,
# current.json's text, kind, operation, release, labels of the counters, the two target files' texts, the textfile's.
token="$1" begin="$2" end="$3" current="$4"
shift 4
guard "$token"
record "$begin"
put "$site/current.json" "$current"
mark_commit "$@" 2>&1 || printf 'monitoring could not be told of this release\n'
record "$end"
# A host that loses power after this point must still know what was committed, and where its traffic goes.
lasting=("$site/current.json" "$site/journal.jsonl" "$base/proxy/routes/$site_name/route")
[ -e "${lasting[2]}" ] || unset 'lasting[2]'
sync -d "${lasting[@]}"
