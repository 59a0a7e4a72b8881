"""Reading subtomograms in each form, and what is said when they are broken."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_subtomo.data.subtomograms import StoredSubtomograms, Subtomogram
from napari_subtomo.errors import FileFormatError, FileMissingError, GeometryError, InputError
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.subtomograms import FileSubtomograms, open_subtomograms, read_subtomogram


@pytest.fixture(scope="module")
def few(lab: SimpleNamespace) -> Any:
    return lab.make(3, seed=11, noise=0.1)


def opened(root: Path) -> FileSubtomograms:
    return open_subtomograms(read_particles(root / "particles.star"), Project(root))


def test_golden_pseudo_subtomograms_of_relion_5_in_half_precision(golden: Path) -> None:
    particles = read_particles(golden / "Extract3d_bin2_f16" / "particles.star")
    source = open_subtomograms(particles, Project(golden))
    assert (source.n, source.box, source.pixel_size) == (24, 16, 20.0)
    assert source.tomogram_names == ("TS_01",)
    assert source.half_sets.tolist() == [1, 2] * 12
    particle = source.read(0)
    raw = read_mrc(golden / "Extract3d_bin2_f16/Subtomograms/TS_01/1_weights.mrc")
    assert particle.data.dtype == particle.weights.dtype == np.float32
    assert np.array_equal(particle.weights, raw[:16])
    assert particle.multiplicity is not None and np.array_equal(particle.multiplicity, raw[16:])
    assert particle.weights[0, 0, 0] <= particle.multiplicity[0, 0, 0]  # CTF² is at most 1
    assert np.array_equal(read_subtomogram(particles, 5, Project(golden)).data, source.read(5).data)


def test_the_data_have_no_power_where_the_weights_are_empty(golden: Path) -> None:
    # Both follow the same layout: wherever no tilt image reached, the transform of the data vanishes.
    source = open_subtomograms(read_particles(golden / "Extract3d_bin2_f16" / "particles.star"), Project(golden))
    inside = outside = 0.0
    for i in range(source.n):
        particle = source.read(i)
        power = np.abs(np.fft.rfftn(np.fft.ifftshift(particle.data))) ** 2
        assert particle.multiplicity is not None
        outside += float(power[particle.multiplicity == 0].mean())
        inside += float(power[particle.multiplicity > 1].mean())
    assert outside < 1e-3 * inside


@pytest.mark.parametrize("form", ["relion31", "relion31-full"])
def test_the_same_particles_in_relion_3_form_are_the_same(lab: SimpleNamespace, few: Any, tmp_path: Path, form: str) -> None:
    lab.write(tmp_path / "5", few)
    lab.write(tmp_path / "3", few, form)
    five, three = opened(tmp_path / "5").block(range(3)), opened(tmp_path / "3").block(range(3))
    scale = np.abs(five.data).max()
    assert np.abs(five.data - three.data).max() < 1e-5 * scale
    assert np.allclose(five.weights, three.weights, rtol=1e-5, atol=1e-5)


def test_a_single_weight_volume_is_ctf_squared_when_the_data_are_premultiplied(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    lab.write(tmp_path, few)
    for i in range(3):
        write_mrc(tmp_path / f"Extract/{i + 1}_ctf.mrc", few.weights[i], lab.voxel)
    particle = opened(tmp_path).read(1)
    assert np.array_equal(particle.data, few.data[1])
    assert np.array_equal(particle.weights, few.weights[1])
    assert particle.multiplicity is None


def test_blocks_keep_the_order_asked_for(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    lab.write(tmp_path, few, halves=np.array([1, 2, 1]))
    source = opened(tmp_path)
    block = source.block([2, 0])
    assert block.ids.tolist() == [2, 0]
    assert np.array_equal(block.data[0], source.read(2).data) and np.array_equal(block.weights[1], source.read(0).weights)
    assert source.half_sets.tolist() == [1, 2, 1]
    assert source.optics_groups.tolist() == [1, 1, 1]
    assert source.tomograms.tolist() == [0, 0, 0]


def test_a_source_travels_to_another_process(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    lab.write(tmp_path, few)
    source = opened(tmp_path)
    assert np.array_equal(pickle.loads(pickle.dumps(source)).read(1).data, source.read(1).data)


def test_particles_in_memory_read_like_those_in_files(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    lab.write(tmp_path, few)
    stored, files = StoredSubtomograms.of(few.data, few.weights, lab.voxel), opened(tmp_path)
    assert (stored.n, stored.box, stored.pixel_size) == (files.n, files.box, files.pixel_size)
    assert np.array_equal(stored.block([1, 2]).data, files.block([1, 2]).data)


def broken(lab: SimpleNamespace, few: Any, root: Path, particle: int, volume: np.ndarray | None, kind: str = "data") -> FileSubtomograms:
    lab.write(root, few)
    path = root / f"Extract/{particle}_{kind}.mrc"
    if volume is None:
        path.unlink()
    else:
        write_mrc(path, volume, lab.voxel)
    return opened(root)


def test_a_missing_file_names_the_particle(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    with pytest.raises(FileMissingError, match=r"Particle 01/2 \(row 2\): .*2_data.mrc"):
        broken(lab, few, tmp_path, 2, None).read(1)


def test_a_box_that_differs_names_the_particle(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"Particle 01/3 .*cube of 24 voxels.*found shape \(20, 20, 20\)"):
        broken(lab, few, tmp_path, 3, np.zeros((20, 20, 20))).block([0, 2])


def test_weights_of_another_shape_name_the_particle(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"Particle 01/1 .*weights of shape \(48, 24, 13\).*found \(24, 24, 12\)"):
        broken(lab, few, tmp_path, 1, np.zeros((24, 24, 12)), "ctf").read(0)


def test_a_truncated_file_names_the_particle(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    source = broken(lab, few, tmp_path, 2, few.data[1])
    path = tmp_path / "Extract/2_data.mrc"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(FileFormatError, match=r"Particle 01/2 .*cut off"):
        source.read(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["data", "ctf"])
def test_values_that_are_no_numbers_name_the_particle(lab: SimpleNamespace, few: Any, tmp_path: Path, bad: float, kind: str) -> None:
    lab.write(tmp_path, few)
    path = tmp_path / f"Extract/2_{kind}.mrc"
    raw = bytearray(path.read_bytes())
    raw[1024 + 400 : 1024 + 404] = np.float32(bad).tobytes()
    path.write_bytes(raw)
    with pytest.raises(FileFormatError, match=r"Particle 01/2 .*NaN or infinite"):
        opened(tmp_path).read(1)


def test_particles_before_extraction_are_refused(golden: Path) -> None:
    with pytest.raises(InputError, match=f"file name in column _{relion.IMAGE_NAME} .*extract the particles first"):
        open_subtomograms(read_particles(golden / "particles.star"), Project(golden))


def test_an_empty_set_is_refused(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    path = lab.write(tmp_path, few)
    with pytest.raises(InputError, match="at least one particle"):
        open_subtomograms(read_particles(path).select([]), Project(tmp_path))


def test_a_missing_ctf_column_is_refused(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    path = lab.write(tmp_path, few)
    write_particles(path, read_particles(path).without_columns(relion.CTF_IMAGE))
    with pytest.raises(InputError, match=f"column _{relion.CTF_IMAGE} for particle 01/1"):
        opened(tmp_path)


def test_optics_groups_of_different_pixels_are_refused(lab: SimpleNamespace, few: Any, tmp_path: Path) -> None:
    path = lab.write(tmp_path, few)
    particles = read_particles(path)
    columns = {label: particles.texts(label) for label in particles.table.columns} | {relion.OPTICS_GROUP: [1, 2, 1]}
    optics = {relion.OPTICS_GROUP: [1, 2], relion.IMAGE_PIXEL_SIZE: [8.0, 9.0], relion.CTF_PREMULTIPLIED: [1, 1]}
    write_particles(path, ParticleSet.create(columns, optics, are_2d_stacks=False))
    with pytest.raises(GeometryError, match="one pixel size for all particles"):
        opened(tmp_path)


def test_arrays_of_a_subtomogram_must_fit_together() -> None:
    with pytest.raises(GeometryError, match="weights of shape"):
        Subtomogram(np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 4), np.float32))
