# shellcheck shell=bash
# Put this host back to what it was before an operation. Safe to repeat.
# Arguments: token, begin line, end line, route to restore ("-": as it is, "none": no route), old slot, old release
# ("-": none), new slot, new release, what to do with the new release (remove: it never served; leave: the same, but
# its image is this machine's own; keep: stop it,
# it is an older release; warm:<services>: leave it running, as it was, but for these, which only the switch started),
# its operation, labels of the counters ("": none), stop-first services to bring back …
token="$1" begin="$2" end="$3" old_route="$4" old_slot="$5" old_release="$6" slot="$7" release="$8" treatment="$9"
operation="${10}" labels="${11}"
shift 11
new=no
case "$treatment" in remove | leave) new=yes ;; esac
guard "$token"
# What stands behind the serving slot was taken away by the start, if that came: a route of before it stays.
case "$(routed)" in "$old_route>"*) old_route=- ;; esac
make_room
begun() {
  end_line && record "$begin" && take_back "$operation" "$old_route"
}
if ! begun; then
  # The new release may be what fills the disk: it goes first. For requests that meet nobody there, the proxy asks the one
  # behind.
  [ "$new" = yes ] || fail 75 "nothing can be written: is the disk full?"
  find_containers "$slot" "$release"
  [ "${#ids[@]}" = 0 ] || docker stop "${ids[@]}" >/dev/null || fail 75 "release $release could not be stopped"
  [ "${#ids[@]}" = 0 ] || docker rm -f "${ids[@]}" >/dev/null || true
  begun || fail 75 "nothing can be written, though release $release was stopped: is the disk full?"
fi
# Only what is new had a hook.
[ "$new" = no ] || remove_container "$site_name-hook-$release"
# A release that never served, and its image, if no other has it: failed ones would fill the disk one by one.
forget() {
  local image record
  record=$(show "$site/releases/$1/release.json")
  rm -rf "${site:?}/releases/$1"
  image="${record#*\"reference\":\"}" image="${image%%\"*}"
  [ "$treatment" = remove ] && [ -n "$record" ] && [ -n "$image" ] || return 0
  remove_image "$image" "$1"
}
ids=()
case "$treatment" in
warm:) ;;
warm:*)
  IFS=, read -r -a started <<<"${treatment#warm:}"
  find_containers "$slot" "$release" "${started[@]}"
  ;;
*) find_containers "$slot" "$release" ;;
esac
if [ "${#ids[@]}" -gt 0 ]; then
  # Requests that the new release has taken on are finished: stop sends SIGTERM and waits for its grace period.
  docker stop "${ids[@]}" >/dev/null || fail 75 "release $release could not be stopped"
  [ "$new" = no ] || docker rm -f "${ids[@]}" >/dev/null
fi
if [ "$#" -gt 0 ] && [ "$old_release" != "-" ]; then
  find_containers "$old_slot" "$old_release" "$@"
  # Those that were stopped for the handover are still there; Compose would look for more to change.
  if [ "${#ids[@]}" = 0 ] || ! docker start "${ids[@]}" >/dev/null 2>&1; then
    compose "$old_slot" "$old_release" up -d --no-deps --no-build --pull never "$@" >"$site/up.log" 2>&1 || {
      tail -n 15 "$site/up.log" >&2
      fail 75 "could not start $* of release $old_release again"
    }
  fi
fi
rm -rf "${site:?}/releases/.new-$release"
[ "$new" = no ] || forget "$release"
[ -z "$labels" ] || mark_undo "$operation" "$release" "$labels" 2>&1 || printf 'monitoring could not be told of this undo\n'
record "$end"
