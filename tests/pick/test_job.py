"""The pick job on files: annotations that RELION's picker opens, and particles that find their columns again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from napari_subtomo.data.result import JobResult
from napari_subtomo.errors import InputError
from napari_subtomo.io import relion
from napari_subtomo.io.annotations import Annotations, read_annotations, write_annotations
from napari_subtomo.io.optimisation import read_optimisation_set
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import JobFolder, Project
from napari_subtomo.io.star import format_star, read_star
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms
from napari_subtomo.options.pick import PickOptions
from napari_subtomo.pick import Picks, join_particles, run, stable_ids
from napari_subtomo.pick.job import particle_annotations
from napari_subtomo.progress import Silent

Pick = Callable[..., JobResult]
CSV = "x,y,z,tomogram\n100,200,50,01\n393.45,202.11,167.1,01\n100,200,50,01\n20,30,40,TS 1.mrc\n"


class Listener(Silent):
    """Keeps warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def saved_by_relions_picker(path: Path) -> None:
    """Read and write an annotation file as RELION 5's picker does: name and coordinates only, through napari's zyx points."""
    import pandas as pd
    import starfile

    frame = starfile.read(path, parse_as_string=["rlnTomoName"])
    zyx = frame[["rlnCoordinateZ", "rlnCoordinateY", "rlnCoordinateX"]].to_numpy().astype(np.float32)
    data = {
        "rlnTomoName": frame["rlnTomoName"].tolist(),
        "rlnCoordinateX": zyx[:, 2],
        "rlnCoordinateY": zyx[:, 1],
        "rlnCoordinateZ": zyx[:, 0],
    }
    if "rlnSphereRadius" in frame:
        data["rlnSphereRadius"] = frame["rlnSphereRadius"]
    starfile.write(pd.DataFrame(data), path, overwrite=True)


def rich_set(project: Project, n: int = 12) -> ParticleSet:
    """Particles with frames, origins, angles, classes and half sets in two tomograms; no names."""
    rng = np.random.default_rng(11)
    columns: dict[str, object] = {relion.TOMO_NAME: ["01" if i % 3 else "TS 1.mrc" for i in range(n)]}
    columns |= dict(zip(relion.CENTRED, rng.uniform(-390, 390, (3, n)), strict=True))
    for labels, scale in ((relion.ORIGINS, 8), (relion.ANGLES, 90), (relion.SUBTOMOGRAM_ANGLES, 90)):
        columns |= dict(zip(labels, rng.uniform(-scale, scale, (3, n)), strict=True))
    columns |= {relion.CLASS_NUMBER: ["01"] * n, relion.RANDOM_SUBSET: ["1", "2"] * (n // 2), relion.OPTICS_GROUP: ["1"] * n}
    particles = ParticleSet.create(columns, optics={relion.OPTICS_GROUP: [1], relion.OPTICS_GROUP_NAME: ["first"]})
    write_particles(project.root / "in.star", particles)
    return read_particles(project.root / "in.star")


def test_points_become_annotations_particles_and_an_optimisation_set(project: Project, pick: Pick) -> None:
    (project.root / "p.csv").write_text(CSV)
    result = pick(points=project.root / "p.csv")
    job = project.root / "Picks" / "job002"
    assert sorted(p.name for p in (job / "annotations").iterdir()) == ["01_particles.star", "TS 1.mrc_particles.star"]
    particles = read_particles(job / "particles.star")
    assert particles.names == ("01/1", "01/2", "01/3", "TS 1.mrc/1")
    assert [b.name for b in particles.star] == [relion.PARTICLES]
    np.testing.assert_allclose(particles.positions()[1], [1234.5, -678.9, 321.0], atol=0.01)
    assert not particles.has(relion.ANGLE_ROT) and not particles.has(relion.MICROGRAPH_NAME) and not particles.has(relion.COORDINATE_X)
    found = read_optimisation_set(job / "optimisation_set.star")
    assert (found.particles, found.tomograms) == ("Picks/job002/particles.star", "tomograms.star")
    assert result.numbers == {"particles": 4, "tomograms": 2}


def test_annotation_files_are_what_relions_picker_reads(project: Project, pick: Pick) -> None:
    starfile = pytest.importorskip("starfile")
    (project.root / "p.csv").write_text(CSV)
    pick(points=project.root / "p.csv")
    frame = starfile.read(project.root / "Picks/job002/annotations/01_particles.star", parse_as_string=["rlnTomoName"])
    assert list(frame.columns[:4]) == ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]
    assert frame["rlnTomoName"].tolist() == ["01"] * 3
    np.testing.assert_allclose(
        frame[["rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]].to_numpy()[1], [393.45, 202.11, 167.1], atol=1e-6
    )


def test_spheres_give_relions_number_of_points_with_their_split_orientations(project: Project, pick: Pick) -> None:
    result = pick(sphere=("01,0,0,0,300", "TS 1.mrc,10,20,30,300"), units="angstrom", spacing=60, seed=7)
    particles = read_particles(result.outputs["particles"])
    assert particles.tomo_names == ("01",) * 323 + ("TS 1.mrc",) * 323
    assert set(zip(*(particles.texts(label) for label in relion.ANGLES), strict=True)) == {("0.000000", "90.000000", "0.000000")}
    assert set(particles.texts(relion.ANGLE_TILT_PRIOR)) == {"90.000000"}
    assert set(particles.texts(relion.ANGLE_PSI_PRIOR)) == {"0.000000"}
    assert not particles.has(relion.ANGLE_ROT_PRIOR)
    centre = np.repeat([[0, 0, 0], [10, 20, 30]], 323, axis=0)
    np.testing.assert_allclose(particles.orientations[:, :, 2], (particles.positions() - centre) / 300, atol=1e-6)
    block = read_star(project.root / "Picks/job002/annotations/01_spheres.star").first
    assert block.labels == (relion.TOMO_NAME, *relion.COORDINATES, relion.SPHERE_RADIUS)
    assert float(block.text(relion.COORDINATE_X)) == pytest.approx(2000 / 7.407407, abs=1e-6)
    assert float(block.text(relion.SPHERE_RADIUS)) == pytest.approx(300 / 1.35 / 7.407407, abs=1e-6)
    assert result.numbers["spheres"] == 2


def test_the_same_seed_gives_the_same_file_and_another_seed_other_in_plane_angles_only(project: Project, pick: Pick) -> None:
    options = {"sphere": ("01,0,0,0,300",), "units": "angstrom", "spacing": 60}
    texts = [pick(n, seed=seed, **options).outputs["particles"].read_text() for n, seed in ((1, 5), (2, 5), (3, 6))]
    assert texts[0] == texts[1] != texts[2]
    one, other = (read_particles(project.root / f"Picks/job00{n}/particles.star") for n in (1, 3))
    np.testing.assert_array_equal(one.positions(), other.positions())
    np.testing.assert_allclose(one.orientations[:, :, 2], other.orientations[:, :, 2], atol=1e-6)


def test_particles_become_annotations_at_their_true_positions_and_keep_every_cell(
    project: Project, pick: Pick, tomograms: TomogramSet
) -> None:
    before = rich_set(project)
    result = pick(particles=project.root / "in.star")
    after = read_particles(result.outputs["particles"])
    assert [b.name for b in after.star] == [b.name for b in before.star]
    assert all(after.texts(label) == before.texts(label) for label in before.table.labels)
    assert after.texts(relion.ROW_ID) == tuple(str(i) for i in range(1, 13))
    for name in ("01", "TS 1.mrc"):
        found = read_annotations(project.root / f"Picks/job002/annotations/{name}_particles.star")
        rows = [i for i, tomogram in enumerate(before.tomo_names) if tomogram == name]
        np.testing.assert_allclose(found.points_zyx, tomograms[name].frame.voxels_zyx(before.positions()[rows]), atol=1e-6)
        assert found.ids == tuple(str(i + 1) for i in rows)


@pytest.mark.parametrize("picker", [False, True])
def test_unedited_annotations_give_the_same_particles_text(project: Project, pick: Pick, picker: bool) -> None:
    rich_set(project)
    first = pick(particles=project.root / "in.star").outputs["particles"].read_text()
    for number in range(2, 7):
        folder = project.root / f"Picks/job{number:03d}/annotations"
        if picker:
            for path in folder.iterdir():
                saved_by_relions_picker(path)
        result = pick(number + 1, annotations=folder)
        assert result.outputs["particles"].read_text() == first
        assert {k: result.numbers[k] for k in ("kept", "moved", "added", "dropped")} == {"kept": 12, "moved": 0, "added": 0, "dropped": 0}


@pytest.mark.parametrize("picker", [False, True])
def test_a_hundred_cycles_move_nothing(project: Project, tomograms: TomogramSet, picker: bool) -> None:
    frame = tomograms["01"].frame
    positions = np.round(np.random.default_rng(2).uniform(-2000, 2000, (40, 3)), 6)
    path = write_annotations(project.root, Annotations("01", frame.voxels_zyx(positions)))
    first = frame.positions(read_annotations(path).points_zyx)
    for _ in range(100):
        now = frame.positions(read_annotations(path).points_zyx)
        path = write_annotations(project.root, Annotations("01", frame.voxels_zyx(np.round(now, 6))))
        if picker:
            saved_by_relions_picker(path)
    last = frame.positions(read_annotations(path).points_zyx)
    np.testing.assert_allclose(first, positions, atol=1e-5)
    np.testing.assert_allclose(last, first, atol=1e-3 if picker else 1e-9)  # the picker's points are float32


def test_a_hundred_cycles_of_particles_through_annotation_files_change_no_cell(project: Project, tomograms: TomogramSet) -> None:
    start, _ = stable_ids(rich_set(project))
    particles = start
    for _ in range(100):
        found = [read_annotations(write_annotations(project.root, one)) for one in particle_annotations(particles, tomograms)]
        names = tuple(one.tomo_name for one in found for _ in range(len(one)))
        positions = np.concatenate([tomograms[one.tomo_name].frame.positions(one.points_zyx) for one in found])
        particles = join_particles(particles, Picks(names, positions), tomograms, [key for one in found for key in one.ids or ()]).particles
    assert format_star(particles.star) == format_star(start.star)


def test_edits_drop_move_and_add_and_leave_the_rest_as_text(project: Project, pick: Pick, tomograms: TomogramSet) -> None:
    rich_set(project)
    pick(particles=project.root / "in.star")
    before = read_particles(project.root / "Picks/job002/particles.star")
    folder = project.root / "Picks/job002/annotations"
    found, frame = read_annotations(folder / "01_particles.star"), tomograms["01"].frame
    points, ids = found.points_zyx.copy(), found.ids or ()
    points[2] += [0, 0, 3]
    points = np.concatenate([points[1:], [[100.0, 120.0, 140.0]]])
    write_annotations(folder, Annotations("01", points, ids=(*ids[1:], "")))
    result = pick(3, annotations=folder)
    after = read_particles(result.outputs["particles"])
    assert {k: result.numbers[k] for k in ("kept", "moved", "added", "dropped")} == {"kept": 11, "moved": 1, "added": 1, "dropped": 1}
    lost, moved = before.texts(relion.ROW_ID).index(ids[0]), before.texts(relion.ROW_ID).index(ids[2])
    kept = [i for i in range(12) if i != lost]
    for label in before.table.labels:
        wanted, got = [before.texts(label)[i] for i in kept], list(after.texts(label)[:11])
        if label == relion.CENTRED_X:
            wanted.pop(kept.index(moved)), got.pop(kept.index(moved))
        assert got == wanted, label
    np.testing.assert_allclose(after.positions()[kept.index(moved)], before.positions()[moved] + [3 * frame.voxel_size, 0, 0], atol=1e-4)
    np.testing.assert_allclose(after.positions()[11], frame.positions([100.0, 120.0, 140.0]), atol=1e-4)
    assert after.texts(relion.ROW_ID)[11] == "13"
    again = pick(4, annotations=project.root / "Picks/job003/annotations")
    assert again.outputs["particles"].read_text() == result.outputs["particles"].read_text()


def test_of_two_particles_at_one_place_the_right_one_is_deleted(project: Project, pick: Pick) -> None:
    (project.root / "p.csv").write_text(CSV)
    pick(points=project.root / "p.csv")
    folder = project.root / "Picks/job002/annotations"
    found = read_annotations(folder / "01_particles.star")
    write_annotations(folder, Annotations("01", found.points_zyx[1:], ids=(found.ids or ())[1:]))
    assert read_particles(pick(3, annotations=folder).outputs["particles"]).names == ("01/2", "01/3", "TS 1.mrc/1")


def test_an_empty_tomogram_and_a_missing_file_are_legal(project: Project, pick: Pick) -> None:
    (project.root / "p.csv").write_text(CSV)
    pick(points=project.root / "p.csv")
    folder = project.root / "Picks/job002/annotations"
    write_annotations(folder, Annotations("01", np.zeros((0, 3))))
    particles = read_particles(pick(3, annotations=folder).outputs["particles"])
    assert particles.names == ("TS 1.mrc/1",)
    assert len(read_annotations(project.root / "Picks/job003/annotations/01_particles.star")) == 0
    (folder / "TS 1.mrc_particles.star").unlink()
    assert read_particles(pick(4, annotations=folder).outputs["particles"]).n == 0


def test_edited_spheres_keep_the_particles_of_the_others(project: Project, pick: Pick, tomograms: TomogramSet) -> None:
    pick(sphere=("01,0,0,0,300", "01,0,900,0,300"), units="angstrom", spacing=60)
    before = read_particles(project.root / "Picks/job002/particles.star")
    folder, frame = project.root / "Picks/job002/annotations", tomograms["01"].frame
    saved_by_relions_picker(folder / "01_spheres.star")
    found = read_annotations(folder / "01_spheres.star")
    assert found.radii is not None
    centres = np.concatenate([found.points_zyx[1:], frame.voxels_zyx([[0.0, -900.0, 0.0]])])
    write_annotations(folder, Annotations("01", centres, radii=np.array([found.radii[1], 400 / frame.voxel_size])))
    result = pick(3, annotations=folder, spacing=60)
    after = read_particles(result.outputs["particles"])
    assert {k: result.numbers[k] for k in ("kept", "added", "dropped")} == {"kept": 323, "added": 574, "dropped": 323}
    for label in before.table.labels:
        assert after.texts(label)[:323] == before.texts(label)[323:]
    assert after.names[323:] == tuple(f"01/{i}" for i in range(647, 647 + 574))
    np.testing.assert_allclose(after.orientations[323:, :, 2], (after.positions()[323:] - [0, -900, 0]) / 400, atol=1e-5)


def test_wrong_units_show_as_particles_outside(project: Project, pick: Pick) -> None:
    (project.root / "p.csv").write_text(CSV)
    listener = Listener()
    pick(points=project.root / "p.csv", units="pixels", listener=listener)
    assert listener.warnings == []
    (project.root / "p.csv").write_text("x,y,z,tomogram\n3999,10,10,01\n")
    pick(points=project.root / "p.csv", listener=listener)
    assert "1 of 1 particles lie outside of the tomogram 01" in listener.warnings[0]


def test_a_sphere_too_small_for_its_spacing_is_reported(pick: Pick) -> None:
    listener = Listener()
    assert pick(sphere=("01,0,0,0,10",), units="angstrom", spacing=90, listener=listener).numbers["particles"] == 0
    assert "too small" in listener.warnings[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "give --points, --spheres, --sphere, --annotations or --particles"),
        ({"tomograms": None, "sphere": ("01,1,2,3,4",), "spacing": 10}, "give --tomograms"),
        ({"annotations": "nowhere"}, "Expected files <tomogram>_particles.star .* give --spacing"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_written(project: Project, pick: Pick, options: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        pick(**options)
    assert list((project.root / "Picks/job002").iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"points": "a", "sphere": ("01,1,2,3,4",), "spacing": 1},
        {"points": "a", "particles": "b"},
        {"sphere": ("01,1,2,3,4",)},
        {"sphere": ("01,1,2,3,4",), "spacing": -1},
        {"seed": -1},
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PickOptions.model_validate(options)


def test_particles_of_an_extraction_by_relion_go_through_unchanged(golden: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Picks" / "job002"
    options = PickOptions(optimisation_set=golden / "Extract3d" / "optimisation_set.star")
    result = run(options, JobFolder(Project(golden), folder), Silent())
    assert result.outputs["particles"].read_text() == (golden / "Extract3d" / "particles.star").read_text()
    found = read_optimisation_set(result.outputs["optimisation_set"])
    assert found.tomograms == (golden / "tomograms.star").as_posix()  # the job lies outside of the project
    assert found.particles == folder.as_posix() + "/particles.star"


def test_the_kept_hiv_particles_round_trip_through_relions_picker(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "relion5_hiv_project"
    project = Project(root)
    tomograms = root / "CtfRefine/job037/tomograms.star"
    source = root / "Picks/job019/particles.star"
    first = run(PickOptions(particles=source, tomograms=tomograms), JobFolder(project, tmp_path / "job002"), Silent())
    before = read_particles(source)
    names = read_tomograms(tomograms, project).names
    assert sorted(p.name for p in (tmp_path / "job002/annotations").iterdir()) == sorted(f"{name}_particles.star" for name in names)
    for path in (tmp_path / "job002/annotations").iterdir():
        saved_by_relions_picker(path)
    options = PickOptions(annotations=tmp_path / "job002/annotations", tomograms=tomograms)
    second = run(options, JobFolder(project, tmp_path / "job003"), Silent())
    assert second.numbers["kept"] == 9442
    assert second.numbers["added"] == second.numbers["dropped"] == second.numbers["moved"] == 0
    after = read_particles(second.outputs["particles"])
    assert all(after.texts(label) == before.texts(label) for label in before.table.labels)
    assert first.outputs["particles"].read_text() == second.outputs["particles"].read_text()


def test_pixels_of_relion_4_become_centred_angstrom(project: Project, pick: Pick) -> None:
    columns: dict[str, object] = {relion.TOMO_NAME: ["01"]} | dict(zip(relion.COORDINATES, ([2100.0], [1900.0], [1000.0]), strict=True))
    write_particles(project.root / "old.star", ParticleSet.create(columns))
    particles = read_particles(pick(particles=project.root / "old.star").outputs["particles"])
    assert particles.dialect == "relion5"
    assert not particles.has(relion.COORDINATE_X)
    np.testing.assert_allclose(particles.positions(), [[135, -135, 0]], atol=1e-6)


def test_a_name_that_no_annotation_file_can_have_is_refused_before_anything_is_written(project: Project, pick: Pick) -> None:
    path = project.root / "tomograms.star"
    path.write_text(path.read_text().replace('"TS 1.mrc"', "a/b"))
    with pytest.raises(InputError, match="without '/'"):
        pick(sphere=("01,0,0,0,300", "a/b,0,0,0,300"), units="angstrom", spacing=60)
    assert list((project.root / "Picks/job002").iterdir()) == []
