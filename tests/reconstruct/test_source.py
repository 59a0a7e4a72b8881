"""What is averaged where the user does not say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.average_world import AverageWorld, filled

from napari_subtomo.errors import InputError, OptionError
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.reconstruct.gridded import taper


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> AverageWorld:
    """Particles, extracted once with a box of 24 px at a binning of 1.5."""
    made = filled(tmp_path_factory.mktemp("world"))
    made.extract(box_size=36, crop_size=24, binning=1.5)
    return made


def extracted(world: AverageWorld) -> Path:
    return world.root / "Extract/job001/particles.star"


def test_particles_with_image_files_are_averaged_as_extracted(world: AverageWorld) -> None:
    result = world.average("Reconstruct/a", particles=extracted(world))
    assert result.numbers["source"] == "subtomograms"
    assert world.listener.messages[-3:] and any(
        "--from subtomograms): the particles have image files." in t for t in world.listener.messages
    )


def test_particles_without_images_are_averaged_in_the_tilt_images(world: AverageWorld) -> None:
    result = world.average("Reconstruct/b", box_size=36)
    assert result.numbers["source"] == "tilts" and result.numbers["box"] == 36
    with pytest.raises(InputError, match="give --box-size"):
        world.average("Reconstruct/c")
    assert any("(--from tilts): the particles have no images yet." in text for text in world.listener.messages)


def test_particles_whose_images_were_deleted_are_averaged_in_the_tilt_images(world: AverageWorld) -> None:
    gone = world.root / "gone.star"
    particles = read_particles(extracted(world))
    write_particles(gone, particles.with_columns({relion.IMAGE_NAME: [f"Extract/job009/{row}.mrcs" for row in range(particles.n)]}))
    assert world.average("Reconstruct/d", particles=gone).numbers["source"] == "tilts"
    assert any("none of the particles' image files is there (Extract/job009/0.mrcs, ...)" in text for text in world.listener.messages)
    some = list(particles.image_paths)
    some[3] = "Extract/job009/3.mrcs"
    write_particles(gone, particles.with_columns({relion.IMAGE_NAME: some}))
    with pytest.raises(InputError, match=r"009/3\.mrcs"):  # one that is missing is a fault, not a choice
        world.average("Reconstruct/e", particles=gone)


def test_tilt_images_give_the_grid_of_the_extracted_particles_and_the_same_map(world: AverageWorld) -> None:
    tilts = world.average("Reconstruct/f", particles=extracted(world), source="tilts")
    assert any("box 36 px of 7.5 Å (binning 1.5), cropped to 24 px" in text for text in world.listener.messages)
    stacks = world.average("Reconstruct/g", particles=extracted(world), source="subtomograms", gridding_correction=True)
    a, b = (read_mrc(result.outputs["merged"]) for result in (tilts, stacks))
    assert a.shape == b.shape == (24, 24, 24)
    assert np.corrcoef(a.ravel(), taper(b).ravel())[0, 1] > 0.99


def test_options_that_only_tilt_images_can_fulfil_decide(world: AverageWorld) -> None:
    result = world.average("Reconstruct/h", particles=extracted(world), binning=2.0)
    assert result.numbers["source"] == "tilts"
    assert any("only they give any binning (--binning)." in text for text in world.listener.messages)
    assert result.numbers["box"] == 18  # as wide as 24 px at a binning of 1.5
    with pytest.raises(OptionError, match="--from tilts for a box of any size"):
        world.average("Reconstruct/i", particles=extracted(world), source="subtomograms", box_size=40)


def test_where_there_is_neither_both_reasons_are_said(world: AverageWorld, tmp_path: Path) -> None:
    bare = world.copy(tmp_path)
    (tmp_path / "images/TS_01_00.mrc").unlink()
    with pytest.raises(InputError, match=r"no images yet and that the image .*TS_01_00.mrc of TS_01 cannot be found; extract"):
        bare.average()
    (tmp_path / "alone").mkdir()
    (tmp_path / "particles.star").rename(tmp_path / "alone/particles.star")
    with pytest.raises(InputError, match="no tomogram set names tilt images"):
        bare.average(particles=tmp_path / "alone/particles.star", tomograms=None)


def test_half_sets_of_particles_without_images_are_drawn_by_name(world: AverageWorld, tmp_path: Path) -> None:
    bare = world.copy(tmp_path)
    bare.fill(images=False, **{relion.RANDOM_SUBSET: None})
    result = bare.average(box_size=24)
    written = read_particles(result.outputs["particles"])
    assert sorted(np.bincount(written.half_sets).tolist()) == [0, 8, 8]
    bare.fill(images=False)
    given = bare.average("Reconstruct/given", box_size=24)
    assert "gold-standard only if" in given.numbers["fsc_kind"]
