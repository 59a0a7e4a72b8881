"""The whole loop by the menu, the mouse and the buttons of the installed plugin."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = "--tomograms 1 --width 128 --particles 2 --tilt-step 10 --pixel-size 10 --quiet"

pytestmark = [
    pytest.mark.gui,
    pytest.mark.slow,
    pytest.mark.xdist_group("packaging"),
    pytest.mark.skipif(os.environ.get("QT_QPA_PLATFORM") == "offscreen", reason="a canvas needs a screen (a virtual one is enough)"),
]


def test_from_a_sphere_to_kept_particles_on_the_tomogram_and_in_files(fresh: Any, tmp_path: Path) -> None:
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "PYTEST"))}
    variables |= {"NAPARI_CONFIG": str(tmp_path / "napari.yaml"), "SUBTOMO_STATE": str(tmp_path / "state")}

    def run(*words: Any) -> str:
        done = subprocess.run([str(word) for word in words], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=550)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(fresh.folder / "bin" / "napari-subtomo", "simulate", "sample", *SAMPLE.split())
    output = run(fresh.python, ROOT / "scripts" / "make_tutorial.py", "sample", "--quick", "--pictures", tmp_path / "pictures")
    facts = json.loads(output[output.index("TOUR") + len("TOUR") :])
    assert facts["particles before"] == 0
    assert facts["lattice"] == "323 particles"
    assert facts["particles picked"] == facts["particles in file"] == 323
    assert 0 < facts["rows"] <= 323  # two iterations on noise: whether any place is left to the empty class is chance
    assert facts["total"] == f"{facts['rows']} of 323 particles in 1 class"
    assert facts["drawn"] == facts["rows"]
    assert Path(facts["selection"]).name == "job005"
    assert len(facts["cycles"]) == 100
    assert len(set(facts["cycles"][1:])) == 1
    assert (tmp_path / "pictures" / "select.png").stat().st_size > 10_000
