"""The classification job on real files: what must not matter, what is refused, what is written, and how it goes on after a stop."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import em_files
from helpers.em_world import PIXEL, World
from scipy.stats import wilcoxon

from napari_subtomo.em.classify import run
from napari_subtomo.em.inputs import canonical_order
from napari_subtomo.em.start import rand_index
from napari_subtomo.errors import InputError, JobCancelled
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io import relion as r
from napari_subtomo.io.class3d import complete_iterations
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.numerics.fourier import fourier_crop, resize_centred
from napari_subtomo.options.classify import ClassifyOptions
from napari_subtomo.progress import Silent

LAST = em_files.OPTIONS["iterations"]


class Listener(Silent):
    """Keeps what is said; raises `JobCancelled` at a step of a stage of an iteration, or at a check."""

    def __init__(self, iteration: int = 0, stage: str = "", check: bool = False) -> None:
        self.messages: list[str] = []
        self.warnings: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._at, self._check = (iteration, stage), check
        self._iteration, self._stage = 0, ""

    def message(self, text: str) -> None:
        self.messages.append(text)
        if text.startswith("Iteration "):
            self._iteration = int(text.split()[1])

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def event(self, kind: str, **data: Any) -> None:
        self.events.append({"kind": kind, **data})

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        self._stage = name

    def advance(self, steps: int = 1) -> None:
        if (self._iteration, self._stage) == self._at:
            raise JobCancelled("stopped")

    def check(self) -> None:
        if self._check and self._iteration == self._at[0]:
            raise JobCancelled("stopped")


@pytest.fixture(scope="module")
def world() -> World:
    return em_files.partly_known()


@pytest.fixture(scope="module")
def project(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    em_files.write_project(root, world)
    return root


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def plain(project: Path, world: World, listener: Listener) -> JobFolder:
    """The uninterrupted run that others are compared with."""
    return em_files.classify(project, world, reporter=listener)[0]


@pytest.fixture
def again(project: Path, tmp_path: Path) -> Callable[..., JobFolder]:
    """A job folder with the files of the first iterations of the plain run, in the same project."""

    def make(plain: JobFolder, iterations: int) -> JobFolder:
        folder = em_files.job_folder(project, f"Class3D/{tmp_path.name}")
        for path in plain.path.iterdir():
            if int(path.name.split("_it")[1][:3]) <= iterations:
                shutil.copy(path, folder.path / path.name)
        return folder

    return make


def particles(folder: JobFolder, iteration: int = LAST) -> ParticleSet:
    return read_particles(folder.file(f"run_it{iteration:03d}_data.star"))


def bytes_of(folder: JobFolder, name: str) -> bytes:
    """Content of a file, the job's own name made neutral."""
    return folder.file(name).read_bytes().replace(folder.path.name.encode(), b"JOB")


def assert_same_run(one: JobFolder, other: JobFolder) -> None:
    """The same particles to the byte, and the same maps."""
    assert complete_iterations(other.path) == complete_iterations(one.path)
    assert bytes_of(other, f"run_it{LAST:03d}_data.star") == bytes_of(one, f"run_it{LAST:03d}_data.star")
    for number in (1, 2, 3):
        name = f"run_it{LAST:03d}_class{number:03d}.mrc"
        np.testing.assert_array_equal(read_mrc(other.file(name)), read_mrc(one.file(name)))


# --- the result ---------------------------------------------------------------------------------------------------------------


def test_classes_are_the_species_and_false_picks_are_empty(plain: JobFolder, world: World) -> None:
    assert rand_index(particles(plain).class_numbers, world.labels) == 1.0
    assert set(particles(plain).class_numbers[world.labels == 0]) == {3}


def test_positions_and_orientations_in_files_approach_the_truth(plain: JobFolder, world: World) -> None:
    """Origins o = -offset: the particle sits at -o from the centre of its box."""
    there, found = world.labels > 0, particles(plain)
    distance = np.linalg.norm(-found.origins - world.offsets * PIXEL, axis=1)[there]
    wrong = np.linalg.norm(found.origins - world.offsets * PIXEL, axis=1)[there]
    given = np.linalg.norm(world.given_offsets - world.offsets, axis=1)[there] * PIXEL
    # nothing is searched that does not bring noise of its own: as a whole particles come closer, by more than chance does
    assert wilcoxon(given - distance, alternative="greater").pvalue < 1e-3
    assert np.median(wrong) > 2 * np.median(distance)
    before = angular_distance(world.given_orientations, world.orientations)[there]
    assert np.median(angular_distance(found.angles, world.orientations)[there]) < np.median(before)


def test_files_of_every_iteration_from_000(plain: JobFolder) -> None:
    names = {path.name for path in plain.path.iterdir()}
    for iteration in range(LAST + 1):
        kinds = ["data.star", "model.star", "optimiser.star", "optimisation_set.star", *[f"class{c:03d}.mrc" for c in (1, 2, 3)]]
        wanted = {f"run_it{iteration:03d}_{kind}" for kind in kinds} | ({f"run_it{iteration:03d}_sampling.star"} if iteration else set())
        assert wanted <= names, iteration
        names -= wanted
    assert {name.split("_")[2] for name in names} == {"state.npz"} and not any(name.startswith(".") for name in names)
    start = particles(plain, 0)
    assert set(start.class_numbers) == {1}


def test_the_reference_of_iteration_000_is_the_given_one_low_passed(plain: JobFolder, project: Path) -> None:
    first, given = read_mrc(plain.file("run_it000_class001.mrc")), read_mrc(project / "reference.mrc")
    assert np.corrcoef(first.ravel(), given.ravel())[0, 1] > 0.8
    np.testing.assert_array_equal(first, read_mrc(plain.file("run_it000_class002.mrc")))


def test_an_event_after_every_iteration(plain: JobFolder, listener: Listener) -> None:
    assert [event["iteration"] for event in listener.events] == list(range(LAST + 1))
    last = listener.events[-1]
    assert last["kind"] == "iteration" and last["of"] == LAST and last["counts"] == [12, 12, 6]
    assert [event["phase"] for event in listener.events] == ["start", "consensus", "consensus", "classes", "classes"]
    assert all(isinstance(value, (int, float, str, list)) for value in last.values())


def test_optics_groups_and_columns_of_the_input_survive(plain: JobFolder, project: Path) -> None:
    before, after = read_particles(project / "particles.star"), particles(plain)
    assert [(b.name, b.kind) for b in before.star] == [(b.name, b.kind) for b in after.star]
    assert after.optics is not None and before.optics is not None and after.optics.columns == before.optics.columns


# --- what must not matter -----------------------------------------------------------------------------------------------------


def test_order_of_particles_and_names_of_tomograms(plain: JobFolder, world: World, tmp_path: Path) -> None:
    order = np.random.default_rng(8).permutation(len(world.particles))
    em_files.write_project(tmp_path, world, order=order, tomograms=("z last", "a_first"))
    other, same = particles(em_files.classify(tmp_path, world)[0]), particles(plain).select(order)
    np.testing.assert_array_equal(other.class_numbers, same.class_numbers)
    np.testing.assert_allclose(other.origins, same.origins, atol=0.02)
    assert angular_distance(other.angles, same.angles).max() < 0.02


def test_order_of_particles_that_know_no_tomogram_sizes(project: Path, tmp_path: Path) -> None:
    """RELION 3.1 coordinates count from a corner; all angles and origins alike still leave one order."""
    count = 6
    pixels = {label: np.arange(count) * 10.0 + axis for axis, label in enumerate(r.COORDINATES)}
    angles = {label: np.zeros(count) for label in (*r.ANGLES, *r.ORIGINS)}
    one = ParticleSet.create({r.MICROGRAPH_NAME: ["t.mrc"] * count, **pixels, **angles}, None)
    rows = np.array([3, 1, 5, 0, 2, 4])
    np.testing.assert_array_equal(rows[canonical_order(one.select(rows))], canonical_order(one))


def test_size_of_blocks_and_number_of_threads(
    plain: JobFolder, project: Path, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("napari_subtomo.em.expectation.BLOCK_BYTES", 1)
    monkeypatch.setattr("napari_subtomo.em.expectation.REFERENCE_BYTES", 1)
    monkeypatch.setattr("napari_subtomo.em.back_rotation.scatter_points", lambda nodes, columns: 20_000)
    folder, _ = em_files.classify(project, world, f"Class3D/{tmp_path.name}", threads=1, iterations=LAST)
    np.testing.assert_array_equal(particles(folder).class_numbers, particles(plain).class_numbers)
    np.testing.assert_allclose(particles(folder).origins, particles(plain).origins, atol=0.02)


def test_threads_do_not_change_a_byte(plain: JobFolder, project: Path, world: World, tmp_path: Path) -> None:
    folder, _ = em_files.classify(project, world, f"Class3D/{tmp_path.name}", threads=1)
    assert_same_run(plain, folder)


def test_relion_5_and_relion_31_files_of_the_same_particles(plain: JobFolder, world: World, tmp_path: Path) -> None:
    """Data with Σ CTF², or a volume and its 3D CTF: one statistic."""
    em_files.write_project(tmp_path, world, form="relion31")
    other, same = particles(em_files.classify(tmp_path, world)[0]), particles(plain)
    np.testing.assert_array_equal(other.class_numbers, same.class_numbers)
    there = world.labels > 0  # poses of empty places follow the last digits of float32
    # Å: a hundredth of a pixel. The last digits of float32 move flat peaks by up to 0.06 Å (seeds 1 to 5 of the world)
    np.testing.assert_allclose(other.origins[there], same.origins[there], atol=0.1)
    assert angular_distance(other.angles, same.angles)[there].max() < 0.1


def test_the_subtomogram_frame_only_turns_where_a_pose_is_counted_from(project: Path, world: World, plain: JobFolder) -> None:
    """Frames S in the file: A and o are relative to them and the volumes too, so nothing changes."""
    framed = read_particles(project / "particles.star")
    columns = {label: np.full(len(framed), 33.0) for label in r.SUBTOMOGRAM_ANGLES}
    path = project / "framed.star"
    write_particles(path, framed.with_columns(columns))
    folder, _ = em_files.classify(project, world, "Class3D/framed", particles=path)
    np.testing.assert_array_equal(particles(folder).class_numbers, particles(plain).class_numbers)
    assert particles(folder).texts(r.ANGLES[0]) == particles(plain).texts(r.ANGLES[0])


# --- references and masks -----------------------------------------------------------------------------------------------------


def test_a_reference_of_another_box_and_pixel_is_resampled_and_said(project: Path, world: World, plain: JobFolder) -> None:
    reference = read_mrc(project / "reference.mrc")
    larger = np.asarray(resize_centred(reference, 24), np.float32)
    write_mrc(project / "other.mrc", fourier_crop(larger, 20), PIXEL * 24 / 20)
    listener = Listener()
    folder, _ = em_files.classify(project, world, "Class3D/resized", listener, reference=project / "other.mrc", iterations=LAST)
    assert any("other.mrc resampled from 20 px at 12 Å to 16 px at 10 Å" in text for text in listener.messages)
    np.testing.assert_array_equal(particles(folder).class_numbers, particles(plain).class_numbers)
    first, same = read_mrc(folder.file("run_it000_class001.mrc")), read_mrc(plain.file("run_it000_class001.mrc"))
    assert np.corrcoef(first.ravel(), same.ravel())[0, 1] > 0.99


def test_several_references_from_a_star_list(project: Path, world: World) -> None:
    """Class numbers are those of the list; no consensus comes first."""
    for number, volume in enumerate(world.maps, start=1):
        write_mrc(project / f"species{number}.mrc", volume, PIXEL)
    for names in (["species1.mrc", "species2.mrc"], ["species2.mrc", "species1.mrc"]):
        write_star(project / "references.star", [StarBlock.loop("", {r.REFERENCE_IMAGE: names})])
        listener = Listener()
        folder, _ = em_files.classify(
            project, world, f"Class3D/{names[0][:8]}", listener, reference=project / "references.star", iterations=2
        )
        wanted = np.where(
            world.labels == 0, 3, [{1: names.index("species1.mrc") + 1, 2: names.index("species2.mrc") + 1, 0: 0}[x] for x in world.labels]
        )
        np.testing.assert_array_equal(particles(folder, 2).class_numbers, wanted)
        assert {event["phase"] for event in listener.events} == {"start", "classes"}


def test_a_mask_file_bounds_the_references(project: Path, world: World) -> None:
    mask = np.zeros((16, 16, 16), np.float32)
    mask[:, :, 4:12] = 1
    write_mrc(project / "mask.mrc", mask, PIXEL)
    folder, _ = em_files.classify(project, world, "Class3D/masked", solvent_mask=project / "mask.mrc", iterations=1)
    for name in ("run_it000_class001.mrc", "run_it001_class001.mrc"):
        volume = read_mrc(folder.file(name))
        assert not volume[mask == 0].any() and volume[mask == 1].any()
    assert read_star(folder.file("run_it001_optimiser.star")).first.text(r.SOLVENT_MASK_NAME) == "mask.mrc"


def test_without_an_empty_class_everything_goes_to_real_classes(project: Path, world: World) -> None:
    folder, result = em_files.classify(project, world, "Class3D/no_empty", empty_class=False, iterations=2, consensus_iterations=1)
    assert sum(result.numbers["counts"]) == len(world.particles) and len(result.numbers["counts"]) == 2
    assert not folder.file("run_it002_class003.mrc").exists() and set(particles(folder, 2).class_numbers) <= {1, 2}


# --- what is refused ----------------------------------------------------------------------------------------------------------


def nan_reference(root: Path) -> dict[str, Any]:
    raw = bytearray((root / "reference.mrc").read_bytes())
    raw[1024:1028] = np.float32(np.nan).tobytes()
    (root / "bad.mrc").write_bytes(raw)
    return {"reference": root / "bad.mrc"}


def flat_reference(root: Path) -> dict[str, Any]:
    write_mrc(root / "flat.mrc", np.zeros((16, 16, 16)), PIXEL)
    return {"reference": root / "flat.mrc"}


def oblong_reference(root: Path) -> dict[str, Any]:
    write_mrc(root / "oblong.mrc", np.ones((16, 16, 12)), PIXEL)
    return {"reference": root / "oblong.mrc"}


def other_box(root: Path) -> dict[str, Any]:
    write_mrc(root / "box20.mrc", np.ones((20, 20, 20)), PIXEL)
    return {"reference": root / "box20.mrc", "resize_reference": False}


def reference_of_an_unset_header(root: Path) -> dict[str, Any]:
    write_mrc(root / "unset.mrc", np.ones((16, 16, 16)), 1.0)
    return {"reference": root / "unset.mrc"}  # allowed to be resampled, but of which scale?


def mask_of_another_scale(root: Path) -> dict[str, Any]:
    write_mrc(root / "mask.mrc", np.ones((16, 16, 16)), 10.1)
    return {"solvent_mask": root / "mask.mrc"}


def three_references(root: Path) -> dict[str, Any]:
    write_star(root / "three.star", [StarBlock.loop("", {r.REFERENCE_IMAGE: ["reference.mrc"] * 3})])
    return {"reference": root / "three.star"}


def no_references(root: Path) -> dict[str, Any]:
    return {"reference": root / "particles.star"}


def mask_of_another_box(root: Path) -> dict[str, Any]:
    write_mrc(root / "mask20.mrc", np.ones((20, 20, 20)), PIXEL)
    return {"solvent_mask": root / "mask20.mrc"}


def mask_that_is_none(root: Path) -> dict[str, Any]:
    write_mrc(root / "mask5.mrc", np.full((16, 16, 16), 5.0), PIXEL)
    return {"solvent_mask": root / "mask5.mrc"}


def mask_beyond_the_box(root: Path) -> dict[str, Any]:
    return {"mask_diameter": 170.0}


def no_particles(root: Path) -> dict[str, Any]:
    write_particles(root / "none.star", read_particles(root / "particles.star").select([]))
    return {"particles": root / "none.star"}


def missing_image(root: Path) -> dict[str, Any]:
    (root / "Extract/7_data.mrc").unlink()
    return {}


def truncated_image(root: Path) -> dict[str, Any]:
    path = root / "Extract/7_data.mrc"
    path.write_bytes(path.read_bytes()[:-40])
    return {}


def missing_particles(root: Path) -> dict[str, Any]:
    return {"particles": root / "nowhere.star"}


def missing_reference(root: Path) -> dict[str, Any]:
    return {"reference": root / "nowhere.mrc"}


def not_extracted(root: Path) -> dict[str, Any]:
    write_particles(root / "picks.star", read_particles(root / "particles.star").without_columns(r.IMAGE_NAME, r.CTF_IMAGE))
    return {"particles": root / "picks.star"}


def no_such_symmetry(root: Path) -> dict[str, Any]:
    return {"symmetry": "Q7"}


REFUSED: list[tuple[Callable[[Path], dict[str, Any]], str]] = [
    (nan_reference, r"Expected finite values in .*bad\.mrc, found 1 NaN or infinite"),
    (flat_reference, r"Expected a reference with density inside the mask, found an empty one in .*flat\.mrc"),
    (oblong_reference, r"Expected a cubic reference map, found shape \(16, 16, 12\)"),
    (
        other_box,
        r"Expected a reference of 16 px at 10 Å, .*found 20 px at 10 Å .*box20\.mrc --box-size 16 --pixel-size 10`.*--resize-reference",
    ),
    (reference_of_an_unset_header, r"found 16 px at 1 Å .*or correct its header, .*--input-pixel-size 10`"),
    (mask_of_another_scale, r"Expected a mask of 16 px at 10 Å, as the particles have, found 16 px at 10\.1 Å"),
    (three_references, r"Expected one reference or 2, one per class, found 3"),
    (no_references, r"Expected a table with a column rlnReferenceImage .*found none"),
    (
        mask_of_another_box,
        r"Expected a mask of 16 px at 10 Å, .* found 20 px at 10 Å .*resize-map .* --mask --box-size 16 --pixel-size 10`",
    ),
    (mask_that_is_none, r"Expected a mask with values 0 to 1, found 5 to 5"),
    (mask_beyond_the_box, r"Expected a mask diameter of at most the box, 160 Å, found 170 Å"),
    (no_particles, r"Expected at least one particle, found none in .*none\.star"),
    (missing_image, r"Particle .* \(row 7\): Expected the MRC file .*7_data\.mrc, found nothing there"),
    (truncated_image, r"Particle .* \(row 7\): .*7_data\.mrc.*cut off"),
    (missing_particles, r"Expected the STAR file .*nowhere\.star, found nothing there"),
    (missing_reference, r"Expected the MRC file .*nowhere\.mrc, found nothing there"),
    (not_extracted, r"file name in column _rlnImageName .*extract the particles first"),
    (no_such_symmetry, r"Q7"),
]


@pytest.mark.parametrize(("spoil", "sentence"), REFUSED, ids=[spoil.__name__ for spoil, _ in REFUSED])
def test_bad_input_is_refused_in_a_sentence_and_nothing_is_written(
    project: Path, world: World, tmp_path: Path, spoil: Callable[[Path], dict[str, Any]], sentence: str
) -> None:
    root = tmp_path / "project"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns("Class3D"))
    changed = spoil(root)
    with pytest.raises(InputError, match=sentence) as error:
        em_files.classify(root, world, **changed)
    assert "\n" not in str(error.value)
    assert list((root / "Class3D/job001").iterdir()) == []


# --- stop and go on -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("iteration", range(LAST))
def test_going_on_from_any_iteration_is_the_uninterrupted_run(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder], iteration: int
) -> None:
    folder, listener = again(plain, iteration), Listener()
    run(em_files.options_for(project, world), folder, listener)
    assert f"Going on from iteration {iteration} in {folder.path.name}." in listener.messages
    assert_same_run(plain, folder)


def test_more_iterations_later_are_the_longer_run(plain: JobFolder, world: World, project: Path, tmp_path: Path) -> None:
    short = em_files.classify(project, world, f"Class3D/{tmp_path.name}", iterations=3)[0]
    assert complete_iterations(short.path) == [0, 1, 2, 3]
    em_files.classify(project, world, f"Class3D/{tmp_path.name}", iterations=LAST)
    assert complete_iterations(short.path) == list(range(LAST + 1))
    # where fewer iterations are planned classes begin earlier, and which of two of one size is the first may be another
    assert rand_index(particles(short).class_numbers, particles(plain).class_numbers) == 1.0


def test_a_finished_run_asked_for_again_only_says_what_it_found(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder]
) -> None:
    folder, listener = again(plain, LAST), Listener()
    result = run(em_files.options_for(project, world), folder, listener)
    assert result.numbers["counts"] == [12, 12, 6] and not any(text.startswith("Iteration ") for text in listener.messages)
    assert_same_run(plain, folder)


def test_a_damaged_state_is_said_and_the_iteration_before_taken(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder]
) -> None:
    folder, listener = again(plain, 2), Listener()
    state = folder.file("run_it002_state.npz")
    state.write_bytes(state.read_bytes()[:1000])
    run(em_files.options_for(project, world), folder, listener)
    assert len(listener.warnings) == 1 and "run_it002_state.npz, found a damaged file" in listener.warnings[0]
    assert_same_run(plain, folder)


STAGES = ["Expectation", "Maximisation", "Leave-one-out clustering", "Resample at best poses"]


@pytest.mark.parametrize("stage", STAGES)
def test_cancelling_leaves_the_last_whole_iteration(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder], stage: str
) -> None:
    folder = again(plain, 0)
    with pytest.raises(JobCancelled):
        run(em_files.options_for(project, world), folder, Listener(3, stage))
    assert complete_iterations(folder.path) == [0, 1, 2]
    assert not list(folder.path.glob("*it003*")) and not list(folder.path.glob(".*"))
    run(em_files.options_for(project, world), folder, Silent())
    assert_same_run(plain, folder)


def test_cancelling_while_particles_are_read_leaves_nothing(world: World, project: Path, tmp_path: Path) -> None:
    folder = em_files.job_folder(project, f"Class3D/{tmp_path.name}")
    with pytest.raises(JobCancelled):
        run(em_files.options_for(project, world), folder, Listener(0, "Resample particles"))
    assert list(folder.path.iterdir()) == []


def test_cancelling_after_writing_keeps_what_was_written(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder]
) -> None:
    folder = again(plain, 0)
    with pytest.raises(JobCancelled):
        run(em_files.options_for(project, world), folder, Listener(2, check=True))
    assert complete_iterations(folder.path) == [0, 1, 2]
    run(em_files.options_for(project, world), folder, Silent())
    assert_same_run(plain, folder)


@pytest.mark.parametrize("name", ["write_particles", "write_mrc", "write_star"])
def test_cancelling_while_files_are_written_leaves_the_last_whole_iteration(
    plain: JobFolder, world: World, project: Path, again: Callable[..., JobFolder], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As a signal would: in the middle of the files of iteration 3."""
    import napari_subtomo.io.class3d as module

    write = getattr(module, name)

    def stop(path: Path, *rest: Any) -> None:
        if "_it003_" in Path(path).name:
            raise JobCancelled("stopped")
        write(path, *rest)

    folder = again(plain, 0)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        with pytest.raises(JobCancelled):
            run(em_files.options_for(project, world), folder, Silent())
    assert complete_iterations(folder.path) == [0, 1, 2]
    assert not list(folder.path.glob(".*"))
    run(em_files.options_for(project, world), folder, Silent())
    assert_same_run(plain, folder)


# --- RELION's own particles ---------------------------------------------------------------------------------------------------


def test_particles_that_relion_extracted_fall_into_relions_classes(shared: Path, tmp_path: Path) -> None:
    """HSP60 and ATPase: the classes are those of the simulation, and those that RELION 5 found."""
    root = shared / "golden" / "relion5"
    if not (root / "Extract3d" / "particles.star").is_file():
        pytest.skip(f"RELION's subtomograms are not in {root}")
    options = ClassifyOptions(
        optimisation_set=root / "Extract3d/optimisation_set.star",
        reference=root / "Reconstruct/merged.mrc",
        mask_diameter=260.0,
        initial_lowpass=60.0,
        classes=2,
        iterations=4,
        consensus_iterations=2,
        local_range=15.0,
        angular_step=7.5,
        offset_range=2.0,
        device="cpu",
    )
    result = run(options, JobFolder(Project(root), tmp_path), Silent())
    found = read_particles(result.outputs["data"])
    truth = read_star(root / "truth.star")["particles"]
    relion = read_particles(root / "Class3D_3d" / "run_it004_data.star")
    assert rand_index(found.class_numbers, truth.ints("trueClass")) == 1.0
    assert rand_index(found.class_numbers, relion.class_numbers) == 1.0
    assert read_star(result.outputs["optimisation_set"]).first.text(r.TOMO_TOMOGRAMS_FILE) == str(root / "tomograms.star")
