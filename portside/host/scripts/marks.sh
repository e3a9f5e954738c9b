# shellcheck shell=bash
# What monitoring reads on this host. Defines functions; used by commit.sh and undo.sh. A file that can't be written is
# said and no more: nobody loses a release over it.

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
  printf '%s' "$lines" >"$site/marks.counts.new" && mv -f "$site/marks.counts.new" "$site/marks.counts"
}

# show_marks LABELS: the textfile, made of what the last commit said and of what was counted.
show_marks() {
  local labels="$1" kind n operation at release rollbacks=0 undos=0 undone=""
  if [ -e "$site/marks.counts" ]; then
    while read -r kind n operation at release; do
      case "$kind" in
      rollback) rollbacks="$n" ;;
      undo) undos="$n" undone="portside_undo_timestamp_seconds{$labels,release=\"$release\"} $at" ;;
      esac
    done <"$site/marks.counts"
  fi
  show "$site/marks.release"
  printf '%s\n' "# HELP portside_rollbacks_total Rollbacks by a person, and releases undone before they were committed." \
    "# TYPE portside_rollbacks_total counter" \
    "portside_rollbacks_total{$labels,kind=\"rollback\"} $rollbacks" \
    "portside_rollbacks_total{$labels,kind=\"undo\"} $undos"
  [ -z "$undone" ] || printf '%s\n' "# HELP portside_undo_timestamp_seconds When a release was undone last." \
    "# TYPE portside_undo_timestamp_seconds gauge" "$undone"
}

# mark_folders: whoever runs in the agent's containers reads here; the folder above is closed to other people.
mark_folders() {
  [ -d "$base/metrics" ] || (umask 022 && mkdir -p "$base/targets" "$base/metrics")
}

# mark_commit KIND OPERATION RELEASE LABELS TARGETS SITE_TARGETS TEXT
mark_commit() {
  mark_folders && put "$site/marks.release" "$7" &&
    { [ "$1" != rollback ] || count "$1" "$2" "$3"; } &&
    publish "$base/targets/$site_name.json" "$5" &&
    publish "$base/targets/$site_name.site.json" "$6" &&
    publish "$base/metrics/$site_name.prom" "$(show_marks "$4")"
}

# mark_undo OPERATION RELEASE LABELS
mark_undo() {
  mark_folders && count undo "$1" "$2" && publish "$base/metrics/$site_name.prom" "$(show_marks "$3")"
}
