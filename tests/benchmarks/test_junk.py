"""The table of the benchmark of false-discovery rates, from rows made by hand."""

from __future__ import annotations

from pathlib import Path


def row(kind: str, seed: int, false: int, true: int) -> dict[str, object]:
    counts = {level: [false, true] for level in ("0.01", "0.05", "0.1")}
    return {"kind": kind, "seed": seed, "true": 100, "false": 50, "null": counts, "mirror": counts, "both": counts}


def test_the_table_tells_where_a_rate_holds(scripts: Path) -> None:
    import junk

    lines = junk.table([row("empty", 1, 0, 90), row("empty", 2, 0, 100), row("bead", 1, 50, 100), row("bead", 2, 50, 100)]).splitlines()
    assert lines[2].startswith("| empty | 2 | null | 0.0 % (0.0–0.0), 95 %") and lines[2].endswith("| holds |")
    assert "33.3 % (33.3–33.3), 100 %" in lines[5] and lines[5].endswith("| against empty background only |")
    assert lines[6].endswith("| does not hold |")
