# shellcheck shell=bash
# What a site is on this host, for status and plan: reads only, needs no lock. Argument: full (1 adds facts).
full="$1"
emit_state
[ "$full" != 1 ] || emit_facts
printf '@@end\n'
