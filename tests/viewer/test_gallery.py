"""Classes as a gallery shows them: entries, order, grey scale, choice and what it keeps. No Qt."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.small_project import PIXEL, SmallProject, particle_columns, write_iteration

from napari_subtomo.cli.main import main
from napari_subtomo.errors import FileMissingError, InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles
from napari_subtomo.io.project import Project
from napari_subtomo.progress import Silent
from napari_subtomo.viewer.choosing import (
    Choice,
    carried,
    command_line,
    is_shown,
    kept_by,
    next_job,
    same_classes,
    select_options,
    total_sentence,
)
from napari_subtomo.viewer.class_surface import map_layer, map_surface, surface_level
from napari_subtomo.viewer.gallery import (
    BY_COUNT,
    BY_FRACTION,
    BY_NUMBER,
    BY_RESOLUTION,
    ClassEntry,
    Gallery,
    SliceCache,
    Slices,
    grey_limits,
    ordered,
    read_gallery,
    read_slices,
    to_grey,
)
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.shelf import place_of, read_shelf
from napari_subtomo.viewer.thinning import duplicates_options, preview, score_columns


@pytest.fixture
def gallery(project: SmallProject) -> Gallery:
    return read_gallery(project.data.parent, None, Project(project.root))


# --- reading ---------------------------------------------------------------------------------------------------------------------


def test_entries_say_what_model_and_particles_say(gallery: Gallery) -> None:
    assert gallery.title == "Class3D/job004, iteration 2"
    assert [entry.lines for entry in gallery.entries] == [
        ("class 1 · 50.0 %", "4 particles", "25.0 Å"),
        ("class 2 · 30.0 %", "4 particles", "28.0 Å"),
        ("class 3 · 20.0 %", "4 particles", "– Å"),
    ]
    assert dict(gallery.entries[1].metadata)[r.REFERENCE_IMAGE] == "Class3D/job004/run_it002_class002.mrc"
    assert gallery.missing == ()
    assert gallery.missing_sentence == ""


def test_the_empty_class_says_so(project: SmallProject) -> None:
    particles = ParticleSet.create(particle_columns(), None, are_2d_stacks=False)
    folder = project.root / "Class3D" / "job009"
    write_iteration(folder, "Class3D/job009", 1, particles, empty=3)
    found = read_gallery(folder, 1, Project(project.root))
    assert found.empty_class == 3
    assert found.entries[2].lines == ("class 3 · 20.0 %", "4 particles", "empty class")


def test_relions_own_classification_opens(golden: Path) -> None:
    found = read_gallery(golden / "Class3D_3d", None, Project(golden))
    assert [entry.resolution for entry in found.entries] == [64.0, 53.333333]
    assert sum(entry.count or 0 for entry in found.entries) == found.n_particles == 24
    assert found.missing == ()


def test_missing_maps_and_particles_are_named_and_the_rest_is_shown(project: SmallProject) -> None:
    (project.data.parent / "run_it002_class002.mrc").unlink()
    project.data.unlink()
    found = read_gallery(project.data.parent, 2, Project(project.root))
    assert found.missing_sentence == "Not here: run_it002_data.star, run_it002_class002.mrc."
    assert [entry.path is None for entry in found.entries] == [False, True, False]
    assert found.entries[0].count is None
    with pytest.raises(InputError, match=r"found no run_it002_data\.star"):
        select_options(found, Choice(frozenset({1})))


def test_an_iteration_that_is_not_there_is_refused_with_those_that_are(project: SmallProject) -> None:
    with pytest.raises(FileMissingError, match="found the iterations 0, 1, 2"):
        read_gallery(project.data.parent, 7, Project(project.root))


def test_the_shelf_has_all_classifications_newest_first_and_falls_back_to_the_last_iteration(project: SmallProject) -> None:
    particles = read_particles(project.data)
    newer = project.root / "Class3D" / "job007"
    write_iteration(newer, "Class3D/job007", 1, particles)
    home = Project(project.root)
    shelf = read_shelf(home, None, None, SliceCache(), Silent())
    assert [folder.name for folder in shelf.folders] == ["job007", "job004"]
    assert shelf.gallery is not None and shelf.gallery.folder == newer
    other = read_shelf(home, project.data.parent, 99, SliceCache(), Silent())
    assert other.gallery is not None and other.gallery.iteration == 2
    assert other.next_job == "Select/job008"


def test_a_project_without_classes_has_an_empty_shelf(tmp_path: Path) -> None:
    shelf = read_shelf(Project(tmp_path), None, None, SliceCache(), Silent())
    assert (shelf.gallery, shelf.folders, shelf.next_job) == (None, (), "Select/job001")


@pytest.mark.parametrize("what", ["model", "optimiser", "data"])
def test_any_file_of_an_iteration_leads_to_it(project: SmallProject, what: str) -> None:
    home, folder, iteration = place_of(project.data.with_name(f"run_it001_{what}.star"))
    assert (home.root.resolve(), folder, iteration) == (project.root.resolve(), project.data.parent, 1)


# --- order -----------------------------------------------------------------------------------------------------------------------

ENTRIES = (
    ClassEntry(1, 0.2, 5, 20.0),
    ClassEntry(2, 0.5, 2, np.nan),
    ClassEntry(3, np.nan, None, 10.0),
    ClassEntry(4, 0.2, 9, 30.0),
)


@pytest.mark.parametrize(
    ("by", "reverse", "expected"),
    [
        (BY_FRACTION, False, (2, 1, 4, 3)),
        (BY_FRACTION, True, (1, 4, 2, 3)),
        (BY_COUNT, False, (4, 1, 2, 3)),
        (BY_COUNT, True, (2, 1, 4, 3)),
        (BY_RESOLUTION, False, (3, 1, 4, 2)),
        (BY_RESOLUTION, True, (4, 1, 3, 2)),
        (BY_NUMBER, False, (1, 2, 3, 4)),
        (BY_NUMBER, True, (4, 3, 2, 1)),
    ],
)
def test_order_with_ties_by_number_and_unknown_values_last_either_way(by: str, reverse: bool, expected: tuple[int, ...]) -> None:
    assert ordered(ENTRIES, by, reverse) == expected


# --- pictures --------------------------------------------------------------------------------------------------------------------


def test_slices_go_through_the_centre_of_the_box_across_each_axis(tmp_path: Path) -> None:
    volume = np.arange(6 * 4 * 8, dtype=np.float32).reshape(6, 4, 8)
    write_mrc(tmp_path / "map.mrc", volume, 3.5)
    found = read_slices(tmp_path / "map.mrc")
    for section, expected in zip(found.sections, (volume[3], volume[:, 2], volume[:, :, 4]), strict=True):
        np.testing.assert_array_equal(section, expected)
    assert found.voxel_size == 3.5


def test_a_changed_map_is_read_again_and_a_broken_one_counts_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    entry, cache = ClassEntry(1, path=path), SliceCache()
    write_mrc(path, np.zeros((4, 4, 4)), 1.0)
    first = cache.read(entry)
    assert cache.read(entry) is first
    write_mrc(path, np.ones((6, 6, 6)), 1.0)
    second = cache.read(entry)
    assert second is not None and second.sections[0].shape == (6, 6)
    path.write_bytes(path.read_bytes()[:1100])
    assert cache.read(entry) is None
    assert cache.read(ClassEntry(2, path=None)) is None


def flat(low: float, high: float) -> Slices:
    section = np.linspace(low, high, 100, dtype=np.float32).reshape(10, 10)
    return Slices((section, section, section), 1.0)


def test_one_grey_scale_that_most_particles_need() -> None:
    beads, protein = flat(0, 100), flat(-1, 2)
    low, high = grey_limits([protein, beads, None, flat(0, 0)], [0.7, 0.2, 0.05, 0.05])
    np.testing.assert_allclose((low, high), np.percentile(np.tile(protein.sections[0], 3), (0.2, 99.9)))
    assert grey_limits([None, flat(3, 3)], [0.5, 0.5]) == (0.0, 1.0)


def test_grey_values_run_from_black_to_white_and_reversed_limits_invert() -> None:
    section = np.asarray([[-5.0, 0.0, 1.0, 2.0, 9.0]], dtype=np.float32)
    np.testing.assert_array_equal(to_grey(section, 0, 2), [[0, 0, 128, 255, 255]])
    np.testing.assert_array_equal(to_grey(section, 2, 0), [[255, 255, 128, 0, 0]])
    np.testing.assert_array_equal(to_grey(section, 1, 1), [[0, 0, 0, 0, 0]])


def test_a_surface_encloses_the_density_in_voxels_of_the_map() -> None:
    grid = np.indices((24, 24, 24)) - 12
    ball = (np.sqrt((grid**2).sum(axis=0)) < 6).astype(np.float32)
    vertices, faces, level = map_surface(ball, 0.5)
    assert level == 0.5
    assert faces.max() < len(vertices)
    np.testing.assert_allclose(np.linalg.norm(vertices - 12, axis=1), 6, atol=0.9)
    np.testing.assert_allclose((vertices.min(axis=0) + vertices.max(axis=0)) / 2, 12, atol=1e-6)
    assert ball.mean() < surface_level(ball) <= 0.5 + 0.5 * ball.mean()
    with pytest.raises(InputError, match="flat"):
        map_surface(np.zeros((8, 8, 8), dtype=np.float32))


def test_density_that_touches_the_wall_gives_a_closed_surface() -> None:
    volume = np.zeros((8, 8, 8), dtype=np.float32)
    volume[:, 2:6, 2:6] = 1
    _, faces, _ = map_surface(volume, 0.5)
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()  # each edge has a face on either side


def test_a_map_is_placed_with_the_middle_of_its_box_where_it_is_wanted(gallery: Gallery) -> None:
    path = gallery.entries[0].path
    assert path is not None
    volume, settings, kind = map_layer(path, "class 1", centre=(100.0, 200.0, 300.0))
    assert (kind, settings["scale"]) == ("image", (PIXEL,) * 3)
    middle = np.asarray(settings["translate"]) + PIXEL * np.asarray(volume.shape) // 2
    np.testing.assert_allclose(middle, (100, 200, 300))
    low, high = settings["contrast_limits"]
    assert volume.min() <= low < high <= volume.max()


# --- choosing --------------------------------------------------------------------------------------------------------------------


def test_clicks_toggle_and_ranges_follow_the_order_shown() -> None:
    order = (5, 2, 9, 1, 7)
    choice = Choice().toggled(2)
    assert choice.ranged(order, 7).numbers == {2, 9, 1, 7}
    assert choice.ranged(order, 5).numbers == {5, 2}
    assert choice.toggled(2).numbers == frozenset()
    cleared = Choice(frozenset(order)).toggled(9).ranged(order, 7)  # from one that was left out: the range is left out
    assert cleared.numbers == {5, 2}
    assert Choice().ranged(order, 9).numbers == {9}  # no beginning: a click


def test_all_or_none() -> None:
    assert Choice(frozenset({1})).all_or_none((1, 2)).numbers == {1, 2}
    assert Choice(frozenset({1, 2})).all_or_none((1, 2)).numbers == frozenset()


def test_the_total_is_always_a_sentence(gallery: Gallery) -> None:
    assert total_sentence(gallery, Choice()) == "0 of 12 particles in 0 classes"
    assert total_sentence(gallery, Choice(frozenset({3}))) == "4 of 12 particles in 1 class"
    assert total_sentence(gallery, Choice(frozenset({1, 3}))) == "8 of 12 particles in 2 classes"


def test_nothing_chosen_and_empty_classes_cannot_be_saved(gallery: Gallery) -> None:
    with pytest.raises(InputError, match="click the classes to keep"):
        select_options(gallery, Choice())
    empty = replace(gallery, entries=(replace(gallery.entries[0], count=0), *gallery.entries[1:]))
    with pytest.raises(InputError, match="found none; choose a class with particles"):
        select_options(empty, Choice(frozenset({1})))


def test_the_copied_command_does_what_the_button_does_from_any_folder(
    gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = command_line("select", select_options(gallery, Choice(frozenset({3, 1}))), gallery.project)
    words = shlex.split(line)
    assert words[:2] == ["napari-subtomo", "select"]
    assert words[2:7] == ["--optimiser", "Class3D/job004/run_it002_optimiser.star", "--keep", "1", "3"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(words[1:]) == 0
    made = read_particles(gallery.project.root / "Select" / "job006" / "particles.star")
    assert made.n == 8


def test_the_next_job_follows_the_folders_and_relions_counter(project: SmallProject) -> None:
    home = Project(project.root)
    assert next_job(home, "Select") == "Select/job006"
    shutil.copytree(project.root / "Select" / "job005", project.root / "Select" / "job011")
    assert next_job(home, "Select") == "Select/job012"


# --- on the tomogram -------------------------------------------------------------------------------------------------------------


def test_classes_mean_the_same_on_a_selection_of_the_same_iteration_only(project: SmallProject, gallery: Gallery) -> None:
    whole, selection = load_session(project.data), load_session(project.kept.parent)
    assert is_shown(gallery, whole) and not is_shown(gallery, selection)
    assert same_classes(gallery, whole) and same_classes(gallery, selection)
    particles = gallery.particles
    assert particles is not None
    other = particles.with_columns({r.CLASS_NUMBER: np.roll(particles.class_numbers, 1)})
    assert not same_classes(replace(gallery, particles=other), selection)
    assert not same_classes(gallery, load_session(project.picks))


def test_the_choice_keeps_its_particles_and_those_added_by_hand(project: SmallProject, gallery: Gallery) -> None:
    session = load_session(project.data)
    table = session.table.with_added("TS_01", [[0.0, 0.0, 0.0]])
    session = replace(session, table=table, kept=np.ones(len(table), dtype=bool))
    kept = kept_by(gallery, Choice(frozenset({1, 2})), session)
    np.testing.assert_array_equal(kept, [*np.isin(table.classes[:-1], (1, 2)), True])
    assert kept_by(gallery, Choice(), session).all()
    with_empty = replace(gallery, entries=(*gallery.entries[:2], replace(gallery.entries[2], is_empty=True)))
    np.testing.assert_array_equal(kept_by(with_empty, Choice(), session)[:-1], table.classes[:-1] != 3)


def test_other_particles_are_shown_where_the_user_is(project: SmallProject) -> None:
    here = replace(load_session(project.data).showing("TS_02"), colour_by=r.RANDOM_SUBSET, rejected="hidden", diameter=77.0)
    there = carried(load_session(project.kept.parent), here)
    assert (there.shown, there.colour_by, there.rejected, there.diameter) == ("TS_02", r.RANDOM_SUBSET, "hidden", 77.0)
    assert there.title == "Select/job005"
    fresh = load_session(project.kept.parent)
    assert carried(fresh, None) is fresh


# --- duplicates ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["greedy", "relion"])
def test_the_preview_marks_what_the_job_removes(project: SmallProject, rule: str) -> None:
    session = load_session(project.kept.parent)
    options = duplicates_options(session, 150.0, r.MAX_VALUE_PROB_DISTRIBUTION, rule)
    found = preview(session, options)
    line = command_line("remove-duplicates", options, Project(session.project))
    assert main([*shlex.split(line)[1:], "-o", str(project.root / "Select" / "job020")]) == 0
    removed = read_particles(project.root / "Select" / "job020" / "particles_removed.star")
    assert 0 < removed.n < 8
    assert sorted(session.table.names[found.removed]) == sorted(removed.names)
    assert found.sentence == f"{removed.n} of 8 would be removed."


def test_duplicates_are_removed_from_saved_selections_as_their_files_have_them(project: SmallProject) -> None:
    with pytest.raises(InputError, match="save the selected classes first"):
        duplicates_options(load_session(project.data), 50.0, None, "greedy")
    session = load_session(project.kept.parent)
    edited = replace(session, table=session.table.without([0]))
    with pytest.raises(InputError, match="save them first"):
        duplicates_options(edited, 50.0, None, "greedy")


def test_scores_are_columns_of_numbers_and_those_meant_for_it_come_first(project: SmallProject) -> None:
    found = score_columns(load_session(project.kept.parent))
    assert found[0] == r.MAX_VALUE_PROB_DISTRIBUTION
    assert r.TOMO_NAME not in found and r.IMAGE_NAME not in found
