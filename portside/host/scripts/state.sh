# shellcheck shell=bash
# What a site is on this host, for status and plan: reads only, needs no lock.
# Argument: full (1 adds the facts of a preflight, an image's name that image's as well).
full="$1"
emit_state
[ "$full" = 0 ] || emit_facts "$full"
printf '@@end\n'
