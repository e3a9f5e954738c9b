# shellcheck shell=bash
# What monitoring reads on this host. Defines functions; used by commit.sh, address.sh and undo.sh. A file that can't be
# written is said and no more: nobody loses a release over it.

counters="# HELP portside_rollbacks_total Rollbacks by a person, and releases undone before they were committed."

# count KIND OPERATION RELEASE: one more rollback or undo, once for each operation however often its step is repeated.
# $site/marks.counts has a line per kind: kind, how many, the last one's operation, when (seconds), its release.
count() {
  local kind n operation at release found="" lines=""
  if [ -e "$site/marks.counts" ]; then
    while read -r kind n operation at release; do
      case "$n" in "" | *[!0-9]*) n=0 ;; esac
      if [ "$kind" = "$1" ]; then
        found=1
        [ "$operation" = "$2" ] || { n=$((n + 1)) operation="$2" at="$EPOCHSECONDS" release="$3"; }
      fi
      lines+="$kind $n $operation $at $release"$'\n'
    done <"$site/marks.counts"
  fi
  [ -n "$found" ] || lines+="$1 1 $2 $EPOCHSECONDS $3"$'\n'
  put "$site/marks.counts" "${lines%$'\n'}"
}

# publish_marks LABELS TEXT: the textfile, made of TEXT and of what was counted.
publish_marks() {
  local labels="$1" text="$2" kind n operation at release rollbacks=0 undos=0 undone=""
  if [ -e "$site/marks.counts" ]; then
    while read -r kind n operation at release; do
      case "$kind" in
      rollback) rollbacks="$n" ;;
      undo) undos="$n" undone="portside_undo_timestamp_seconds{$labels,release=\"$release\"} $at" ;;
      esac
    done <"$site/marks.counts"
  fi
  text+="$counters
# TYPE portside_rollbacks_total counter
portside_rollbacks_total{$labels,kind=\"rollback\"} $rollbacks
portside_rollbacks_total{$labels,kind=\"undo\"} $undos"
  [ -z "$undone" ] || text+="
# HELP portside_undo_timestamp_seconds When a release was undone last.
# TYPE portside_undo_timestamp_seconds gauge
$undone"
  publish "$base/metrics/$site_name.prom" "$text"
}

# publish_changed FILE TEXT: as publish, where the file is another.
publish_changed() {
  local present=""
  [ ! -e "$1" ] || IFS= read -r present <"$1" || true
  [ "$present" = "$2" ] || publish "$1" "$2"
}

# mark_commit KIND OPERATION RELEASE LABELS TARGETS SITE_TARGETS TEXT
mark_commit() {
  { [ "$1" != rollback ] || count "$1" "$2" "$3"; } &&
    publish_changed "$base/targets/$site_name.json" "$5" &&
    publish_changed "$base/targets/$site_name.site.json" "$6" &&
    publish_marks "$4" "$7"$'\n'
}

# mark_undo OPERATION RELEASE LABELS: what the last commit said stays as it is.
mark_undo() {
  local text=""
  [ ! -e "$base/metrics/$site_name.prom" ] || IFS= read -r -d '' text <"$base/metrics/$site_name.prom" || true
  count undo "$1" "$2" && publish_marks "$3" "${text%%"$counters"*}"
}
