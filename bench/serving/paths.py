"""What both sides are asked for. Apart from the routes: whoever asks needs nothing of what answers."""

from __future__ import annotations

# A slug that every side's database gets before it is measured.
SLUG = "bench"
READ = f"/links/{SLUG}"
NOTHING = "/bench/nothing"
