# shellcheck shell=bash
# Run the before-switch hook once, in a one-off container of the new release's image.
# Arguments: token, begin line, end line, release, service, time-out in seconds, command …
token="$1" begin="$2" end="$3" release="$4" service="$5" seconds="$6"
shift 6
guard "$token"
record "$begin"
name="$site_name-hook-$release"
remove_container "$name"
code=0
find_compose
# In this process group, so that what ends this step early ends the hook.
timeout --foreground "$seconds" "${composing[@]}" -p "$site_name-hook" --project-directory "$site/releases/$release" \
  -f "$site/releases/$release/compose.yaml" --env-file /dev/null \
  run --rm --no-deps -T --name "$name" "$service" "$@" 2>&1 | tail -n 40 >&2 || code=$?
said=""
[ "$code" = 0 ] || said="the before-switch hook ended with exit code $code$([ "$code" != 124 ] || echo " (it ran past its $seconds s)")"
# What became of the hook is said also where its container can't be removed.
(remove_container "$name") || fail 75 "${said:-the before-switch hook ended well, but its container is still there}"
[ -z "$said" ] || fail 75 "$said"
record "$end"
