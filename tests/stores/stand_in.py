#!/usr/bin/env python3
"""A stand-in for 1Password's `op read` (version 2) and Bitwarden's `bws secret list` (2.1).

Neither can be had from a package registry. Command lines and exit codes are those that are documented; what they say
is what people quote of them in issues. It is called by either name, and reads what is kept from the file that
STAND_IN_OP or STAND_IN_BWS names.

https://developer.1password.com/docs/cli/reference/commands/read/
https://bitwarden.com/help/secrets-manager-cli/
"""

import json
import os
import sys
import time
from pathlib import Path

program, arguments = Path(sys.argv[0]).name, sys.argv[1:]
file = os.environ[f"STAND_IN_{program.upper()}"]
kept = json.loads(Path(file).read_text())
with Path(file + ".asked").open("a") as asked:
    asked.write(f"{program} {' '.join(arguments)}\n")
if kept.get("hangs"):
    time.sleep(600)


def fail(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(1)


def op() -> None:
    if arguments[:2] != ["read", "--no-newline"] or len(arguments) != 3:
        fail(f"[ERROR] 2026/11/24 10:00:00 unknown command {arguments}")
    if not os.environ.get("OP_SERVICE_ACCOUNT_TOKEN"):
        fail("[ERROR] 2026/11/24 10:00:00 No accounts configured for use with 1Password CLI.")
    if os.environ["OP_SERVICE_ACCOUNT_TOKEN"] != kept["op_token"]:
        fail("[ERROR] 2026/11/24 10:00:00 (401) Unauthorized: You aren't authorized to perform this action")
    reference = arguments[2]
    vault, item, field = reference.removeprefix("op://").split("/")
    items = kept["op"].get(vault)
    head = f"[ERROR] 2026/11/24 10:00:00 could not read secret '{reference}'"
    if items is None:
        fail(f'{head}: "{vault}" isn\'t a vault in this account. Specify the vault with its ID or name.')
    if item not in items:
        fail(
            f'{head}: "{item}" isn\'t an item in the "{vault}" vault. Specify the item with its UUID, name, or domain.'
        )
    if field not in items[item]:
        fail(f"{head}: could not find field or file {field} on item {item} in vault {vault}")
    sys.stdout.write(items[item][field])


def bws() -> None:
    if arguments != ["secret", "list", "--output", "json"]:
        fail(f"error: unrecognized subcommand {arguments}")
    report = (
        "Error: \n   0: {}\n\nLocation:\n   crates/bws/src/main.rs:67\n\nBacktrace omitted. Run with RUST_BACKTRACE=1 "
    )
    report += "environment variable to display it.\nRun with RUST_BACKTRACE=full to include source snippets."
    token = os.environ.get("BWS_ACCESS_TOKEN")
    if not token:
        fail(report.format("Missing access token"))
    if token != kept["bws_token"]:
        fail(report.format('Received error message from server: [400 Bad Request] {"error":"invalid_client"}'))
    print(json.dumps([{"id": str(number), "note": "", **each} for number, each in enumerate(kept["bws"])]))


{"op": op, "bws": bws}[program]()
