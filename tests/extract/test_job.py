"""The job: files, tables, refusals, interruption."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from helpers.extract_world import Listener, World

from napari_subtomo.errors import FileMissingError, GeometryError, InputError, JobCancelled, OptionError
from napari_subtomo.extract.dropped import REASON_LABEL
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.options.extract import ExtractOptions

BOX = 16


def noise(shape: tuple[int, int, int] = (40, 48, 56), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def filled(world: World, names: tuple[str, ...] = ("TS_1",), per_tomogram: int = 3, **columns) -> World:
    """Tomograms of noise, some particles about the middle of each."""
    rng = np.random.default_rng(1)
    for seed, name in enumerate(names):
        world.tomogram(name, noise(seed=seed))
    rows = [name for name in names for _ in range(per_tomogram)]
    world.particles(rows, rng.uniform(-40, 40, (len(rows), 3)), **columns)
    return world


def digests(folder: Path) -> dict[str, str]:
    """Content of all volumes below a folder."""
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.mrc"))}


def test_files_and_tables_are_those_of_relion_5(world, golden):
    result = filled(world).extract(box_size=BOX, binning=2.0)
    names = {p.relative_to(world.root).as_posix() for p in (world.root / "Extract").rglob("*") if p.is_file()}
    volumes = {f"Extract/job001/Subtomograms/TS_1/{n}_{kind}.mrc" for n in (1, 2, 3) for kind in ("data", "weights")}
    tables = {f"Extract/job001/{name}" for name in ("particles.star", "optimisation_set.star", "montage.png")}
    assert names == volumes | tables | {"Extract/job001/Subtomograms/TS_1.json"}
    ours = read_star(result.outputs["particles"])
    theirs = read_star(golden / "Extract3d" / "particles.star")
    assert ours.names == theirs.names == ("general", "optics", "particles")
    assert ours["general"].text(relion.ARE_2D_STACKS) == "0"
    assert set(theirs["optics"].labels) == set(ours["optics"].labels)
    expected = {relion.IMAGE_SIZE: BOX, relion.IMAGE_PIXEL_SIZE: 20.0, relion.SUBTOMOGRAM_BINNING: 2.0}
    expected |= {relion.CTF_PREMULTIPLIED: 1, relion.IMAGE_DIMENSIONALITY: 3, relion.TILT_SERIES_PIXEL_SIZE: 10.0}
    assert {label: ours["optics"].floats(label)[0] for label in expected} == expected
    missing = set(theirs["particles"].labels) - set(ours["particles"].labels)
    assert missing == {relion.RANDOM_SUBSET, *relion.SUBTOMOGRAM_ANGLES}  # columns the input did not have
    assert ours["particles"].texts(relion.TOMO_PARTICLE_NAME) == ("TS_1/1", "TS_1/2", "TS_1/3")
    sets = read_optimisation_set(result.outputs["optimisation_set"])
    assert (sets.particles, sets.tomograms) == ("Extract/job001/particles.star", "tomograms.star")
    header = mrc_header(world.root / "Extract/job001/Subtomograms/TS_1/1_weights.mrc")
    assert (header.shape, header.mode, header.voxel_size) == ((2 * BOX, BOX, BOX // 2 + 1), 12, pytest.approx(20.0))
    assert mrc_header(world.root / "Extract/job001/Subtomograms/TS_1/1_data.mrc").mode == 12


def test_what_is_written_can_be_opened_for_averaging(world):
    result = filled(world).extract(box_size=BOX)
    particles = read_particles(result.outputs["particles"])
    source = open_subtomograms(particles, Project(world.root))
    block = source.block([0, 2])
    assert block.data.shape == (2, BOX, BOX, BOX) and block.weights.max() > 1


def test_columns_optics_and_order_of_the_input_are_kept(world):
    filled(world, rlnRandomSubset=[2, 1, 2], rlnClassNumber=[3, 1, 1], rlnAngleRot=["1e1", "2", "3"], myColumn=["a b", "c", "01"])
    particles = read_particles(world.root / "particles.star")
    optics = {relion.OPTICS_GROUP: [7], relion.OPTICS_GROUP_NAME: ["optics1"], relion.VOLTAGE: ["300.00"]}
    write_particles(world.root / "particles.star", particles.with_columns({relion.OPTICS_GROUP: [7, 7, 7]}).with_optics(optics))
    written = read_particles(world.extract(box_size=BOX).outputs["particles"])
    assert written.half_sets.tolist() == [2, 1, 2] and written.class_numbers.tolist() == [3, 1, 1]
    assert written.texts("myColumn") == ("a b", "c", "01")
    assert written.optics is not None and written.optics.texts(relion.VOLTAGE) == ("300.00",)
    assert written.optics_groups.tolist() == [7, 7, 7] and written.pixel_size == 10.0


def test_odd_names_stay_what_they_are(world):
    result = filled(world, names=("01", "TS 1", "1e3")).extract(box_size=BOX)
    written = read_particles(result.outputs["particles"])
    assert written.tomo_names == ("01",) * 3 + ("TS 1",) * 3 + ("1e3",) * 3
    assert written.names[3] == "TS 1/1"
    assert (world.root / written.image_paths[3]).is_file() and (world.root / written.image_paths[0]).parent.name == "01"


def test_particles_that_reach_out_are_dropped_and_listed(world):
    world.tomogram("T", noise())
    world.particles(["T"] * 3, np.array([[0, 0, 0], [260.0, 0, 0], [0, 0, -30]]))
    result = world.extract(box_size=BOX)
    assert (result.numbers["particles"], result.numbers["dropped"]) == (2, 1)
    assert read_particles(result.outputs["particles"]).names == ("T/1", "T/3")
    dropped = read_particles(result.outputs["dropped"])
    assert dropped.coordinates().tolist() == [[260.0, 0, 0]]
    assert dropped.texts(REASON_LABEL) == ("reaches beyond the tomogram",)
    assert "1 particles dropped (the box reaches beyond the tomogram): T/2." in world.listener.warnings[-1]


def test_boxes_with_nan_are_dropped_and_listed(world):
    world.tomogram("T", noise())
    volume = np.memmap(world.root / "tomograms/T.mrc", np.float32, "r+", 1024, (40, 48, 56))
    volume[20, 24, 40:44] = np.nan
    volume.flush()
    world.particles(["T"] * 2, np.array([[-150, 0, 0], [130.0, 0, 0]]))
    result = world.extract(box_size=BOX)
    assert read_particles(result.outputs["particles"]).names == ("T/1",)
    assert read_particles(result.outputs["dropped"]).texts(REASON_LABEL) == ("holds NaN or infinite values",)
    assert not (world.root / "Extract/job001/Subtomograms/T/2_data.mrc").exists()


def test_inversion_normalisation_and_mean(world):
    volume = noise() * 50 + 1000
    world.tomogram("T", volume)
    world.particles(["T"], np.zeros((1, 3)))
    maps = {}
    for job, options in {"a": {}, "b": {"invert": False}, "c": {"normalize": False}}.items():
        result = world.extract(job=f"Extract/{job}", box_size=BOX, float16=False, **options)
        maps[job] = read_mrc(world.root / read_particles(result.outputs["particles"]).image_paths[0])
    np.testing.assert_allclose(maps["b"], -maps["a"], atol=1e-5)
    assert np.std(maps["c"]) / np.std(maps["a"]) == pytest.approx(50, rel=0.02)
    assert abs(maps["a"].mean()) < 1


def test_values_that_float16_cannot_hold_are_refused_with_a_way_out(world):
    world.tomogram("T", noise() * 1e-6)
    world.particles(["T"], np.zeros((1, 3)))
    with pytest.raises(OptionError, match=r"deviation of about 1 for float16, found 9\.\d*e-07 in T; use --normalize or"):
        world.extract(box_size=BOX, normalize=False)


def test_a_sparse_tomogram_is_not_blown_up(world):
    volume = np.zeros((40, 40, 40), np.float32)
    volume[18:22, 18:22, 18:22] = -3
    world.tomogram("T", volume)
    world.particles(["T"], np.zeros((1, 3)))
    result = world.extract(box_size=BOX)
    assert np.abs(read_mrc(world.root / read_particles(result.outputs["particles"]).image_paths[0])).max() < 1e3


def test_half_tomograms_are_added_and_the_denoised_one_is_taken_on_request_only(world):
    whole = noise()
    half = noise(seed=5)
    world.tomogram("T", half)
    row = world.tomograms[0]
    (world.root / "tomograms/T.mrc").rename(world.root / "tomograms/h1.mrc")
    world.tomogram("other", whole - half)
    world.tomograms.pop()
    row |= {relion.TOMO_RECONSTRUCTED: "N/A", relion.TOMO_RECONSTRUCTED_HALF1: "tomograms/h1.mrc"}
    row |= {relion.TOMO_RECONSTRUCTED_HALF2: "tomograms/other.mrc"}
    world.particles(["T"], np.zeros((1, 3)))
    added = world.extract(job="Extract/halves", box_size=BOX, normalize=False, float16=False)
    assert "half volumes are added" in world.listener.warnings[0]
    world.tomogram("plain", whole)
    row |= {relion.TOMO_RECONSTRUCTED: "tomograms/plain.mrc", relion.TOMO_RECONSTRUCTED_DENOISED: "tomograms/h1.mrc"}
    plain = world.extract(job="Extract/plain", box_size=BOX, normalize=False, float16=False)
    denoised = world.extract(job="Extract/denoised", box_size=BOX, normalize=False, float16=False, use_denoised=True)
    assert any("denoised volume of T" in text for text in world.listener.warnings)
    maps = [read_mrc(world.root / read_particles(r.outputs["particles"]).image_paths[0]) for r in (added, plain, denoised)]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-3)
    assert np.abs(maps[1] - maps[2]).max() > 0.1


def test_missing_files_and_contradictions_are_said_in_one_sentence(world):
    filled(world)
    (world.root / "tomograms/TS_1.mrc").unlink()
    with pytest.raises(FileMissingError, match=r"Expected the MRC file .*TS_1\.mrc, found nothing there"):
        world.extract(box_size=BOX)
    world.tomograms.clear()
    world.tomogram("TS_1", noise(), size_xyz=(40, 48, 56))  # x and z exchanged
    with pytest.raises(GeometryError, match=r"Expected about 40 x 48 x 56 voxels .* found 56 x 48 x 40; correct the tomogram set"):
        world.extract(box_size=BOX)
    world.particles(["nobody"], np.zeros((1, 3)))
    with pytest.raises(InputError, match="Expected the tomogram nobody in"):
        world.extract(box_size=BOX)
    assert not (world.root / "Extract/job001/particles.star").exists()


def test_no_particles_no_room_and_clashing_names_are_refused(world):
    world.tomogram("T", noise())
    world.particles([], np.zeros((0, 3)))
    with pytest.raises(InputError, match="Expected at least one particle"):
        world.extract(box_size=BOX)
    world.particles(["T"], np.array([[900.0, 0, 0]]))
    with pytest.raises(GeometryError, match="lies inside their tomogram, found none among 1"):
        world.extract(box_size=BOX)
    world.particles(["T", "T"], np.zeros((2, 3)), rlnTomoParticleName=["T/1", "T/1"])
    with pytest.raises(InputError, match="Expected different particle names, found T/1 in rows 1 and 2"):
        world.extract(box_size=BOX)
    world.particles(["T"], np.zeros((1, 3)), rlnTomoParticleName=["../../evil"])
    with pytest.raises(InputError, match="Expected a particle name such as T/1 in row 1"):
        world.extract(box_size=BOX)
    with pytest.raises(ValueError, match="even number from 8 to 16 px"):
        ExtractOptions(box_size=16, crop_size=15)


def test_options_are_given_under_their_command_line_names():
    options = ExtractOptions(**{"from": "tomogram", "format": "relion31"})
    assert options.source == "tomogram" and options.output_format == "relion31"
    assert options.model_dump(by_alias=True)["from"] == "tomogram"
    assert (options.invert, options.normalize, options.float16, options.tomogram_ctf) == (True, True, True, "none")


def test_one_thread_and_two_write_the_same(world):
    filled(world, names=("A", "B"), per_tomogram=4)
    results = [world.extract(job=f"Extract/{threads}", box_size=BOX, threads=threads) for threads in (1, 2)]
    one, two = (digests(world.root / "Extract" / str(threads)) for threads in (1, 2))
    assert one == two and len(one) == 16
    assert results[0].numbers == results[1].numbers


class Impatient(Listener):
    """Stops a run after some particles."""

    def __init__(self, after: int) -> None:
        """Stop at the particle `after`."""
        super().__init__()
        self.left, self.extracting = after, False

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """Count in the extraction only."""
        self.extracting = name == "extracting"

    def advance(self, steps: int = 1) -> None:
        """Stop when enough particles are done."""
        self.left -= steps if self.extracting else 0
        if self.left < 0:
            raise JobCancelled("stopped")


def test_an_interrupted_run_leaves_whole_files_and_is_gone_on_with(world):
    filled(world, per_tomogram=12)
    with pytest.raises(JobCancelled):
        world.extract(job="Extract/stopped", box_size=BOX, reporter=Impatient(3))
    folder = world.root / "Extract/stopped"
    assert not (folder / "particles.star").exists()
    left = digests(folder)
    assert 6 <= len(left) < 24
    for name in left:
        mrc_header(folder / name)  # complete, or it raises
    assert not [p for p in folder.rglob("*") if p.name.endswith(".tmp")]
    (folder / "Subtomograms/TS_1/1_data.mrc").write_bytes(b"cut off")
    (folder / "Subtomograms/TS_1/.2_data.mrc.77.tmp").write_bytes(b"left by a process that was killed")
    result = world.extract(job="Extract/stopped", box_size=BOX)
    whole = world.extract(job="Extract/whole", box_size=BOX)
    assert 2 <= result.numbers["skipped"] < 12 and whole.numbers["skipped"] == 0
    assert digests(folder) == digests(world.root / "Extract/whole")
    assert not list(folder.rglob("*.tmp"))


def test_files_of_other_options_or_particles_are_not_taken_for_ours(world):
    filled(world)
    world.extract(box_size=BOX)
    before = digests(world.root / "Extract")
    assert world.extract(box_size=BOX).numbers["skipped"] == 3
    assert world.extract(box_size=BOX, invert=False).numbers["skipped"] == 0
    assert digests(world.root / "Extract") != before
    world.particles(["TS_1"] * 3, np.full((3, 3), 10.0))
    assert world.extract(box_size=BOX, invert=False).numbers["skipped"] == 0


def test_the_ctf_choice_is_said_where_defocus_is_known_and_its_lack_where_it_is_not(world):
    known = {relion.DEFOCUS_U: np.full(41, 3e4), relion.DEFOCUS_V: np.full(41, 3e4), relion.DEFOCUS_ANGLE: np.zeros(41)}
    world.tomogram("A", noise(), columns=known)
    world.tomogram("B", noise(seed=1))
    world.particles(["A", "B"], np.zeros((2, 3)))
    world.extract(box_size=BOX)
    assert any("Tomogram CTF: none" in text and "known for 1 of 2" in text for text in world.listener.messages)
    assert any("No defocus is known for B" in text for text in world.listener.warnings)


def test_tomograms_with_relions_stamp_are_said_to_be_ctf_corrected(world):
    known = {relion.DEFOCUS_U: np.full(41, 3e4), relion.DEFOCUS_V: np.full(41, 3e4), relion.DEFOCUS_ANGLE: np.zeros(41)}
    world.tomogram("A", noise(), columns=known)
    path = world.root / "tomograms/A.mrc"
    raw = bytearray(path.read_bytes())
    raw[224:244] = b"Relion    21-Nov-26 "
    path.write_bytes(raw)
    world.particles(["A"], np.zeros((1, 3)))
    world.extract(box_size=BOX)
    assert any("written by RELION, which corrects the CTF" in text for text in world.listener.warnings)
    world.listener.warnings.clear()
    world.extract(job="Extract/b", box_size=BOX, tomogram_ctf="corrected")
    assert not any("written by RELION" in text for text in world.listener.warnings)
