# shellcheck shell=bash
# What a site is on this host, for status and plan: reads only, needs no lock.
# Argument: full (1 adds the facts of a preflight, an image's name that image's as well).
full="$1"
# Side by side: the Engine takes its time over either.
[ "$full" = 0 ] || exec 5< <(emit_facts "$full")
emit_state
[ "$full" = 0 ] || cat <&5
printf '@@end\n'
