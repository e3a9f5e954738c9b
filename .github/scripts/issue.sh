#!/usr/bin/env bash
# Run by rescan.yml and drift.yml: `issue.sh LABEL TITLE FILE` opens an issue, or adds to the open one with that label.
set -euo pipefail

label="$1" title="$2"
body="$(mktemp)"
trap 'rm -f "$body"' EXIT
{
  echo "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID"
  echo '```text'
  # GitHub takes 65,536 characters.
  head --bytes=60000 "$3"
  echo '```'
} > "$body"

export GH_REPO="$GITHUB_REPOSITORY"
gh label create "$label" --force --description "opened by $label.yml"
open="$(gh issue list --label "$label" --state open --limit 1 --json number --jq '.[].number')"
if [ -n "$open" ]; then
  gh issue comment "$open" --body-file "$body"
else
  gh issue create --label "$label" --title "$title" --body-file "$body"
fi
