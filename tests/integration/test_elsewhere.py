"""Output outside of the project has absolute paths, so that the next job finds everything from there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers.terminal import succeed

from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles


def test_a_job_outside_of_the_project_can_be_gone_on_from(coarse: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    succeed("extract --from tomogram --optimisation-set optimisation_set.star --box-size 24 -o Extract/job001", coarse)
    succeed(f"extract --from tomogram --optimisation-set optimisation_set.star --box-size 24 -o {outside}/first", coarse)
    found = read_optimisation_set(outside / "first/optimisation_set.star")
    assert (found.particles, found.tomograms) == (str(outside / "first/particles.star"), str(coarse / "tomograms.star"))
    particles = read_particles(outside / "first/particles.star")
    assert all(Path(cell).is_absolute() and Path(cell).is_file() for cell in particles.texts(relion.IMAGE_NAME))

    succeed("extract --from tomogram --optimisation-set first/optimisation_set.star --box-size 24 -o again", outside)
    succeed("reconstruct --optimisation-set first/optimisation_set.star -o average", outside)
    succeed("reconstruct --particles Extract/job001/particles.star -o Reconstruct/job002", coarse)
    inside = coarse / "Extract/job001/Subtomograms"
    for path in inside.rglob("*.mrc"):
        for name in ("first", "again"):
            np.testing.assert_array_equal(read_mrc(outside / name / "Subtomograms" / path.relative_to(inside)), read_mrc(path))
    np.testing.assert_array_equal(read_mrc(outside / "average/merged.mrc"), read_mrc(coarse / "Reconstruct/job002/merged.mrc"))
