"""2D stacks as a source of subtomograms: what they give, how they are kept, and what is refused."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.stack_project import BOX, PIXEL, StackProject, as_relion4, with_all_frames_stored, with_cell, with_flag

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc
from napari_subtomo.io.particles import read_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.scratch import ScratchFile, scratch_folder
from napari_subtomo.io.subtomograms import open_subtomograms, read_subtomogram
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.slices import insert_slices
from napari_subtomo.progress import Silent


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(((found - wanted) ** 2).sum() / (wanted**2).sum()))


class Listener(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("row", [0, 1, 10])
def test_a_stack_reads_as_the_pseudo_subtomogram_that_relion_made_of_the_same_images(world: StackProject, golden: Path, row: int) -> None:
    theirs = open_subtomograms(read_particles(golden / "Extract3d_bin2_f16/particles.star"), Project(golden)).read(row)
    ours = world.open(with_multiplicity=True).read(row)
    assert relative(ours.data, theirs.data) < 5e-4  # both sides are stored in float16
    assert relative(ours.weights, theirs.weights) < 5e-4
    assert ours.multiplicity is not None and theirs.multiplicity is not None
    assert relative(ours.multiplicity, theirs.multiplicity) < 5e-4


def test_a_source_says_what_the_files_say(world: StackProject) -> None:
    source, particles = world.open(), world.particles
    assert (source.n, source.box, source.pixel_size, source.square) == (24, BOX, PIXEL, 24)
    assert source.half_sets.tolist() == particles.half_sets.tolist()
    assert (source.tomogram_names, set(source.tomograms.tolist())) == (("TS_01",), {0})
    assert source.read(3).multiplicity is None
    block = source.block([5, 2])
    assert block.ids.tolist() == [5, 2]
    np.testing.assert_array_equal(block.data[1], source.read(2).data)
    np.testing.assert_array_equal(read_subtomogram(particles, 2, world.project, world.tomograms).data, source.read(2).data)


def test_projection_matrices_of_relion_4_mean_the_same_geometry(world: StackProject) -> None:
    before = world.open().block([0, 1])
    as_relion4(world)
    after = world.open().block([0, 1])
    assert relative(after.data, before.data) < 1e-5
    assert relative(after.weights, before.weights) < 1e-5


def test_images_of_hidden_tilts_in_a_stack_are_left_out(world: StackProject) -> None:
    before = world.open().read(1)
    with_all_frames_stored(world, 1)
    after = world.open().read(1)
    assert relative(after.data, before.data) < 1e-6
    np.testing.assert_array_equal(after.weights, before.weights)


def test_images_that_are_not_multiplied_with_their_ctf_are_multiplied_here(world: StackProject) -> None:
    row, seen = 1, world.visible(1)
    point = np.zeros((np.count_nonzero(seen), BOX, BOX), np.float32)
    point[:, BOX // 2, BOX // 2] = 1
    world.rewrite_stack(row, point)
    with_flag(world, r.CTF_PREMULTIPLIED, 0)
    found = world.open(reporter=(listener := Listener())).read(row)
    assert any("24 stacks are not multiplied with their CTF" in text for text in listener.said)
    # the transform of a point is 1, so the sum of values is the sum of CTFs, here computed at the particle's own depth
    tomogram, series = world.tomograms["TS_01"], world.tomograms.tilt_series("TS_01")
    y, z = np.radians(series.y_tilt[seen]), np.radians(series.z_rot[seen])
    axes = np.stack([np.stack([np.cos(z) * np.cos(y), -np.sin(z), np.cos(z) * np.sin(y)], -1),
                     np.stack([np.sin(z) * np.cos(y), np.cos(z), np.sin(z) * np.sin(y)], -1)], 1)  # fmt: skip
    beam = np.stack([-np.sin(y), np.zeros_like(y), np.cos(y)], -1)
    defocus = (series.defocus_u[seen] - beam @ world.particles.coordinates()[row])[:, None, None]  # hand -1
    kx, ky = np.fft.rfftfreq(24, PIXEL), np.fft.fftfreq(24, PIXEL)[:, None]
    transfer = ctf(kx, ky, tomogram.voltage, tomogram.cs, tomogram.amplitude_contrast, defocus, defocus, 0.0)
    transfer *= series.scale[seen][:, None, None] * dose_weight(np.hypot(kx, ky), series.dose[seen][:, None, None])
    values, weights, _ = insert_slices(transfer + 0j, transfer**2, axes * BOX / 24, BOX)
    wanted = np.fft.fftshift(np.fft.irfftn(values, s=(BOX,) * 3, axes=(0, 1, 2))) * np.sqrt(BOX * 2)
    assert relative(found.data, wanted) < 1e-4
    assert relative(found.weights, weights) < 1e-4


# --- scratch space ---------------------------------------------------------------------------------------------------------


def test_what_was_inserted_is_kept_in_float16_and_read_from_there(world: StackProject, tmp_path: Path) -> None:
    plain, listener = world.open(), Listener()
    kept = world.open(scratch=tmp_path / "fast", reporter=listener)
    first = kept.read(4)
    np.testing.assert_array_equal(first.data, plain.read(4).data)
    world.stack(4).unlink()  # it is not needed again
    second = kept.read(4)
    assert relative(second.data, first.data) < 5e-4
    assert relative(second.weights, first.weights) < 5e-4
    assert any(f"cached in float16 in {tmp_path / 'fast'}, up to" in text and "MB free" in text for text in listener.said)
    travelled = pickle.loads(pickle.dumps(kept))
    np.testing.assert_array_equal(travelled.read(4).data, second.data)


def test_scratch_space_that_is_full_keeps_no_more(tmp_path: Path) -> None:
    scratch = ScratchFile(tmp_path / "a/particles.f16", ((3,), (2,)), 10)
    scratch.room = 1
    arrays = [np.array([1.0, -2e9, 3], np.float32), np.zeros(2, np.float32)]
    assert scratch.put(7, arrays)
    assert not scratch.put(8, arrays)
    assert scratch.get(8) is None
    found = scratch.get(7)
    assert found is not None
    np.testing.assert_allclose(found[0], arrays[0], rtol=1e-3, atol=2e9 * 2.0**-38)
    assert not found[1].any()
    assert scratch.path.stat().st_size == scratch.record_bytes


def test_scratch_folders_are_gone_after_the_job_also_one_that_was_killed(tmp_path: Path) -> None:
    folder = JobFolder(Project(tmp_path), tmp_path / "Class3D/job001")
    left = folder.path / "scratch/old"
    left.parent.mkdir(parents=True)
    left.write_text("x")
    with scratch_folder(None, folder) as path:
        assert not left.exists()
        ScratchFile(path / "f", ((2,),), 1)
        assert path.is_relative_to(folder.path)
    assert not path.exists()
    with pytest.raises(ZeroDivisionError), scratch_folder(tmp_path / "fast", folder) as path:
        ScratchFile(path / "f", ((2,),), 1)
        assert path.parent == tmp_path / "fast"
        raise ZeroDivisionError
    assert not path.exists()


def test_a_scratch_place_that_cannot_be_written_is_named(world: StackProject, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"Cannot write the scratch file .*--scratch-dir"):
        world.open(scratch=tmp_path / "file/scratch")


# --- what is refused -------------------------------------------------------------------------------------------------------


def test_stacks_need_the_tomograms_they_were_cut_from(world: StackProject) -> None:
    with pytest.raises(InputError, match=r"Expected the tomogram set .*give --tomograms"):
        open_subtomograms(world.particles, world.project)


def test_a_missing_stack_is_named_before_anything_is_read(world: StackProject) -> None:
    world.stack(6).unlink()
    with pytest.raises(FileMissingError, match=r"Particle TS_01/7 \(row 7\): Expected the 2D stack .*7_stack2d.mrcs, found nothing"):
        world.open()


def _one_less(images: np.ndarray) -> np.ndarray:
    return images[1:]


def _with_nan(images: np.ndarray) -> np.ndarray:
    bad = images.copy()
    bad[3, 2, 1] = np.nan
    return bad


def _smaller(images: np.ndarray) -> np.ndarray:
    return images[:, 1:-1, 1:-1]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_one_less, "Expected 21 images, one for each visible frame .*found 20"),
        (_with_nan, "NaN or infinite ones, the first at zyx .3, 2, 1"),
        (_smaller, "Expected images of 16 x 16 pixels .*14, 14"),
    ],
)
@pytest.mark.filterwarnings("ignore:Data array contains NaN")
def test_a_stack_that_does_not_fit_is_refused(world: StackProject, change: Callable[[np.ndarray], np.ndarray], sentence: str) -> None:
    changed = change(read_mrc(world.stack(2)))
    import mrcfile

    with mrcfile.new(world.stack(2), overwrite=True) as file:  # the package itself does not write NaN
        file.set_data(changed)
        file.set_image_stack()
    with pytest.raises(FileFormatError, match=rf"Particle TS_01/3 \(row 3\): .*{sentence}"):
        world.open().read(2)


@pytest.mark.parametrize(
    ("label", "text", "sentence"),
    [
        (r.VISIBLE_FRAMES, "[1,1,0]", r"Particle TS_01/5 \(row 5\): Expected 41 flags 0 or 1 .*found 3"),
        (r.VISIBLE_FRAMES, "[" + ",".join("2" * 41) + "]", "Expected 41 flags 0 or 1"),
        (r.VISIBLE_FRAMES, "[" + ",".join("0" * 41) + "]", "at least one visible frame"),
        (r.IMAGE_NAME, "3@some.mrcs", "whole 2D stack .*'3@some.mrcs', one image of a stack"),
        (r.IMAGE_NAME, "None", "Expected a 2D stack .*extract the particles first"),
        (r.TOMO_NAME, "TS_09", "Expected the tomogram TS_09"),
    ],
)
def test_cells_that_do_not_fit_are_refused(world: StackProject, label: str, text: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        world.open(with_cell(world, label, 4, text))


def test_a_tilt_series_without_defocus_is_refused(world: StackProject) -> None:
    path = world.root / "tilt_series/TS_01.star"
    path.write_text(path.read_text().replace("_rlnDefocusU ", "_rlnOther "))
    with pytest.raises(InputError, match="defocus"):
        world.open().read(0)
