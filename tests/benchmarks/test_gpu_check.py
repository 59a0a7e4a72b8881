"""The check of GPUs runs from end to end, and says in one sentence where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import strict_cupy

SMALL = ["--box", "16", "--particles", "8", "--shells", "4", "--threads", "1"]


def test_without_a_gpu_it_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_check

    monkeypatch.setattr("napari_subtomo.numerics.backend._cupy", lambda: None)
    assert gpu_check.main(["--json", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "skipped" and "found none that CuPy can use" in report["why"]
    assert capsys.readouterr().out.startswith("Skipped: ")


def test_checks_and_benchmark_are_reported(tmp_path: Path) -> None:
    import gpu_check

    with strict_cupy.installed():
        assert gpu_check.main(["--device", "cuda:1", "--json", str(tmp_path / "report.json"), *SMALL]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["status"] == "passed" and report["gpu"]["name"] == "stand-in"
    assert len(report["checks"]) > 12 and all(check["difference"] <= check["tolerance"] for check in report["checks"])
    assert report["benchmark"][0]["classes"] == 3 and report["benchmark"][0]["gpu_seconds"] > 0


def test_a_wrong_result_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import device_checks
    import gpu_check

    wrong = device_checks.Check("always off", lambda device: {"value": [1.0, 2.0 + (device != "cpu")]}, 1e-5)
    broken = device_checks.Check("breaks", lambda device: {"value": [1.0]} if device == "cpu" else {}[device], 1e-5)
    monkeypatch.setattr(device_checks, "CHECKS", [wrong, broken])
    with strict_cupy.installed():
        assert gpu_check.main(["--only-checks", "--json", str(tmp_path / "report.json")]) == 1
    first, second = json.loads((tmp_path / "report.json").read_text())["checks"]
    assert first["difference"] == 0.5 and not first["passed"]
    assert "KeyError" in second["error"]
