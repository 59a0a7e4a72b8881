"""Verdicts as JSON and as text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_subtomo.check.sample import Sample
from napari_subtomo.check.verdict import CANNOT, FAIL, PASS, Verdict
from napari_subtomo.io.atomic import write_text
from napari_subtomo.io.project import JobFolder

JSON, TEXT = "checks.json", "checks.txt"
VERSION = 1


def write_report(verdicts: Sequence[Verdict], sample: Sample, pictures: Mapping[str, Path], folder: JobFolder) -> dict[str, Path]:
    """Write checks.json and checks.txt; their paths as outputs of the job."""
    content = {
        "version": VERSION,
        "particles": sample.n,
        "particle_set": None if sample.particles.path is None else folder.project.name(sample.particles.path),
        "tomograms": list(sample.tomogram_names),
        "checks": [
            {
                "name": v.name,
                "title": v.title,
                "verdict": v.status,
                "sentence": v.sentence,
                "rule": v.rule,
                "numbers": _plain(v.numbers),
                "picture": pictures[f"picture_{v.name}"].name if f"picture_{v.name}" in pictures else None,
            }
            for v in verdicts
        ],
    }
    outputs = {"checks": folder.file(JSON), "text": folder.file(TEXT)}
    write_text(outputs["text"], report_text(verdicts, sample.n))
    write_text(outputs["checks"], json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return outputs


def report_text(verdicts: Sequence[Verdict], n: int) -> str:
    """All verdicts with their rules, for reading."""
    lines = [f"Extraction checked on {n} particles.", ""]
    for verdict in verdicts:
        lines.append(f"{verdict.status.upper():<12} {verdict.title}")
        for text in (verdict.sentence, f"Rule: {verdict.rule}"):
            lines += textwrap.wrap(text, 110, initial_indent=" " * 13, subsequent_indent=" " * 13)
        lines.append("")
    return "\n".join(lines)


def summary_lines(verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    """One line a check, and the count last."""
    counts = {status: sum(v.status == status for v in verdicts) for status in (PASS, FAIL, CANNOT)}
    lines = [f"{v.status}: {v.title}. {v.sentence}" for v in verdicts]
    failed = ", ".join(v.title for v in verdicts if v.status == FAIL)
    last = f"{counts[PASS]} checks passed, {counts[FAIL]} failed{f' ({failed})' if failed else ''}, {counts[CANNOT]} cannot tell."
    return (*lines, last)


def _plain(value: Any) -> Any:
    """Numbers of numpy as those of Python; what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value
