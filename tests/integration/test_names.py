"""Names of tomograms are texts: numbers with a leading zero and names with a space go through the whole chain and change nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.terminal import Answer, succeed

from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.star import StarFile, read_star, write_star

pytestmark = pytest.mark.slow

LINES = """\
pick --particles particles.star --tomograms tomograms.star -o Picks/job001
extract --from tomogram --optimisation-set Picks/job001/optimisation_set.star --box-size 24 -o Extract/job002
reconstruct --optimisation-set Extract/job002/optimisation_set.star -o Reconstruct/job003
classify --optimisation-set Extract/job002/optimisation_set.star --reference Reconstruct/job003/merged.mrc --classes 2 --iterations 3\
 --mask-diameter 400 --initial-lowpass 80 --local-range 15 --offset-range 1 --consensus-iterations 1 --restarts 2 -o Class3D/job004
select --optimiser Class3D/job004/run_it003_optimiser.star --keep 1 2 --min-distance 100 -o Select/job005
open ."""
#: the second sorts before the first
NAMES = {"TS_01": "TS 1", "TS_02": "01"}


def renamed(text: str) -> str:
    for old, new in NAMES.items():
        text = text.replace(old, new)
    return text


def rename(root: Path) -> None:
    """Other names in all tables and for all files that carry them."""
    for path in sorted(root.rglob("*.star")):
        star = read_star(path)
        blocks = []
        for block in star:
            for label in block.labels:
                block = block.with_column(label, [renamed(text) for text in block.texts(label)])
            blocks.append(replace(block, name=renamed(block.name)))
        write_star(path, StarFile(tuple(blocks), path))
    for path in sorted(root.rglob("*TS_0*")):
        path.rename(path.with_name(renamed(path.name)))


@pytest.fixture(scope="module")
def runs(coarse_original: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[Answer]]:
    """The chain under the usual names and under odd ones, and what `open` said."""
    root = tmp_path_factory.mktemp("names")
    usual, odd = (shutil.copytree(coarse_original, root / name) for name in ("usual", "odd"))
    rename(odd)
    return usual, odd, [[succeed(line, folder) for line in LINES.splitlines()][-1] for folder in (usual, odd)]


def test_all_rows_are_the_same_but_for_the_names(runs: tuple[Path, Path, list[Answer]]) -> None:
    usual, odd, _ = runs
    files = ["Picks/job001/particles", "Extract/job002/particles", "Class3D/job004/run_it003_data", "Select/job005/particles"]
    for name in files:
        one, other = (read_particles(root / f"{name}.star") for root in (usual, odd))
        assert [renamed(text) for text in one.tomo_names] == list(other.tomo_names)
        assert set(other.tomo_names) == {"TS 1", "01"}
        assert one.table.labels == other.table.labels
        for label in one.table.labels:
            if label != relion.GROUP_NUMBER:  # numbers follow the names in RELION, too
                assert [renamed(text) for text in one.texts(label)] == list(other.texts(label)), (name, label)


def test_all_maps_are_the_same(runs: tuple[Path, Path, list[Answer]]) -> None:
    usual, odd, _ = runs
    maps = [path.relative_to(usual) for kind in ("Extract", "Reconstruct", "Class3D") for path in (usual / kind).rglob("*.mrc")]
    assert len(maps) > 40
    for path in maps:
        np.testing.assert_array_equal(read_mrc(usual / path), read_mrc(odd / renamed(str(path))))


def test_files_carry_the_names(runs: tuple[Path, Path, list[Answer]]) -> None:
    _, odd, answers = runs
    assert {path.name for path in (odd / "Picks/job001/annotations").iterdir()} == {"TS 1_particles.star", "01_particles.star"}
    assert {path.name for path in (odd / "Extract/job002/Subtomograms").iterdir() if path.is_dir()} == {"TS 1", "01"}
    cells = read_particles(odd / "Extract/job002/particles.star").texts(relion.IMAGE_NAME)
    assert all((odd / cell).is_file() for cell in cells)
    pictures = [Path(line).name for line in answers[1].out.splitlines()]
    assert sorted(pictures) == ["classes.png", "curves.png", "tomogram_01.png", "tomogram_TS_1.png"]
