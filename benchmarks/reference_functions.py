"""When it pays to compare with fewer functions than rotated references: iterations with and without them, in turns.

    python benchmarks/reference_functions.py      # table and benchmarks/reference_functions.json; three minutes of one processor

Cases are those of growth.py and some about them. For each: references N and voxels V of a fold and pass, rows of the product, functions
that stand for the references, what the rule of `em/basis.py` decides, and processor seconds of an iteration with functions wherever they
can be had and with none (least of three each).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import growth

from napari_subtomo.em import basis, expectation

CASES: tuple[dict[str, Any], ...] = (
    {},
    {"reach": 3.0},
    {"reach": 4.0},
    {"classes": 8},
    {"particles": 800},
    {"range": 7.5, "shell": 12},
    {"shell": 12},
    {"shell": 12, "reach": 4.0},
)
TURNS = 3
COLUMNS = ("references", "voxels", "rows", "wanted_rows", "functions", "used", "with", "without")


@contextmanager
def rule(rows: float) -> Iterator[list[dict[str, Any]]]:
    """Functions are sought from so many rows a reference on; what was sought is listed."""
    usual, original, seen = basis.ROWS, basis.reference_basis, list[dict[str, Any]]()

    def listening(references: Any, weight: Any, count: int, tolerance: float = basis.TOLERANCE) -> Any:
        found = original(references, weight, count, tolerance)
        n, voxels = references.shape
        wanted = usual * n * (1 + basis.EIGEN * n / voxels)
        seen.append({"references": n, "voxels": voxels, "rows": count, "wanted_rows": round(wanted), "functions": len(found.functions)})
        return found

    basis.ROWS, expectation.reference_basis = rows, listening
    try:
        yield seen
    finally:
        basis.ROWS, expectation.reference_basis = usual, original


def measured(case: dict[str, Any]) -> dict[str, Any]:
    """One case with and without functions."""
    setup = growth.prepared(case)
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    told: dict[str, Any] = {}
    for _ in range(TURNS):
        for name, rows in (("with", 0.0), ("without", 1e9)):
            with rule(rows) as seen:
                seconds[name].append(growth.seconds_of(setup, case)[0])
            if name == "with":
                told = max(seen, key=lambda one: one["references"])
    used = told["rows"] >= told["wanted_rows"]
    return told | {"used": used} | {name: round(min(values), 2) for name, values in seconds.items()}


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print("".join(f"{name:>14}" for name in COLUMNS) + "  case")
    for change in CASES:
        rows.append({"case": change} | measured(growth.CENTRE | change))
        print("".join(f"{rows[-1][name]!s:>14}" for name in COLUMNS) + f"  {change or 'centre'}", flush=True)
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
