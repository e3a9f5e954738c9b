# shellcheck shell=bash
# Start the new release's start-first services beside the old release, and gate on them.
# Arguments: token, begin, end, slot, release, route while it starts
# ("-": as it is; what stands behind the serving slot is about to be replaced), deadline in seconds, port,
# readiness path, containers that are in the way as one word, services …
token="$1" begin="$2" end="$3" slot="$4" release="$5" interim_route="$6" deadline="$7" port="$8" path="$9"
read -r -a misnumbered <<<"${10}"
shift 10
guard "$token"
record "$begin"
[ "$interim_route" = "-" ] || route "$interim_route"
# Gently: with keep_warm they run. What is left of them Compose finds.
[ "${#misnumbered[@]}" = 0 ] || {
  setsid -w docker stop "${misnumbered[@]}" && docker rm -f "${misnumbered[@]}"
} >/dev/null 2>&1 || true
# Nothing else that these depend on: a stop-first service waits for the switch. Among themselves they keep their order.
compose "$slot" "$release" up -d --no-deps --no-build --pull never --remove-orphans --quiet-pull "$@" >"$site/up.log" 2>&1 || {
  tail -n 15 "$site/up.log" >&2
  find_containers "$slot" "$release" "$@"
  last_words "${ids[@]}" >&2
  fail 75 "docker compose could not start release $release"
}
find_containers "$slot" "$release" "$@"
gate "$token" "$deadline" "$port" "$path" "${ids[@]}" >&2
# The proxy asks each upstream every 200 ms; by then it knows that these answer.
left=$((answered + 220000 - ${EPOCHREALTIME/[.,]/}))
[ "$left" -le 0 ] || sleep "$(printf '0.%06d' "$left")"
record "$end"
