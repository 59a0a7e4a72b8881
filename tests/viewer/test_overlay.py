"""What is drawn, as facts about `resolve`; no window, no napari."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import GeometryError, InputError
from napari_subtomo.geometry.orientations import euler_to_matrix
from napari_subtomo.io import relion as r
from napari_subtomo.viewer import palette
from napari_subtomo.viewer.columns import MOST_CATEGORIES, colour_columns
from napari_subtomo.viewer.overlay import REJECTED_ALPHA, resolve
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.table import ParticleTable


def table(positions: Any, tomograms: Any = None, classes: Any = None, **columns: Any) -> ParticleTable:
    positions = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    n = len(positions)
    orientations = columns.pop("orientations", np.full((n, 3, 3), np.nan))
    return ParticleTable(
        tomograms=np.asarray(tomograms if tomograms is not None else ["A"] * n, dtype=np.str_),
        positions=positions,
        orientations=orientations,
        classes=np.asarray(classes if classes is not None else [0] * n, dtype=np.int64),
        scores=np.full(n, np.nan),
        names=np.asarray([f"p{i}" for i in range(n)], dtype=np.str_),
        source=np.zeros(n, dtype=np.int64),
        row=np.arange(n),
        alive=np.ones(n, dtype=bool),
        columns=columns,
    )


def session(particles: ParticleTable, kept: Any = None, **more: Any) -> Session:
    frame = Tomogram("A", size_xyz=(4000, 4000, 2000), pixel_size=1.35, binning=7.407407)
    other = Tomogram("B", size_xyz=(400, 400, 200), pixel_size=1.35, binning=2.0)
    mask = np.ones(len(particles), dtype=bool) if kept is None else np.asarray(kept, dtype=bool)
    return Session(Path("/project"), (frame, other), table=particles, kept=mask, **({"shown": "A"} | more))


def test_a_particle_at_the_centre_of_a_4000_px_tomogram_at_binning_7_407_is_drawn_at_voxel_270() -> None:
    state = resolve(session(table([[0, 0, 0]])))
    np.testing.assert_allclose(state.points_zyx, [[135, 270, 270]], atol=1e-4)
    np.testing.assert_allclose(state.points_zyx[0, 2] * state.voxel_size, 270 * 1.35 * 7.407407, rtol=1e-7)


def test_the_position_of_the_conventions_is_drawn_where_they_say() -> None:
    state = resolve(session(table([[1234.5, -678.9, 321.0]])))
    np.testing.assert_allclose(state.points_zyx, [[167.100, 202.110, 393.450]], atol=1e-3)


def test_the_arrow_is_the_third_column_of_the_orientation_in_zyx() -> None:
    one = session(table([[0, 0, 0]], orientations=euler_to_matrix([[23.0, 57.0, -110.0]])))
    state = resolve(one)
    start, direction = state.vectors[0]
    np.testing.assert_array_equal(start, state.points_zyx[0])
    np.testing.assert_allclose(direction / np.linalg.norm(direction), [0.544639, -0.788093, 0.286842], atol=1e-6)


def test_particles_without_angles_have_no_arrows() -> None:
    assert resolve(session(table([[0, 0, 0], [9, 9, 9]]))).vectors.shape == (0, 2, 3)


def test_only_the_shown_tomogram_is_drawn_and_ids_are_rows_of_the_table() -> None:
    state = resolve(session(table(np.zeros((4, 3)), tomograms=["A", "B", "A", "B"]), shown="B"))
    np.testing.assert_array_equal(state.rows, [1, 3])
    np.testing.assert_array_equal(state.features["row"], [1, 3])


def test_a_class_has_one_colour_in_every_tomogram() -> None:
    particles = table(np.zeros((4, 3)), tomograms=["A", "A", "B", "B"], classes=[1, 2, 2, 5])
    first, second = resolve(session(particles)), resolve(session(particles, shown="B"))
    np.testing.assert_array_equal(first.face_colours[1], second.face_colours[0])
    assert palette.to_hex(first.face_colours[0]) == palette.OKABE_ITO[0]


def test_rejected_particles_are_dimmed_grey_crosses_and_can_be_hidden() -> None:
    particles = table(np.zeros((2, 3)), classes=[1, 2])
    dimmed = resolve(session(particles, kept=[True, False]))
    assert dimmed.symbols.tolist() == ["disc", "x"]
    np.testing.assert_array_equal(dimmed.face_colours[1], palette.rgba(palette.REJECTED, REJECTED_ALPHA))
    assert dimmed.shown.all()
    hidden = resolve(session(particles, kept=[True, False], rejected="hidden"))
    assert hidden.shown.tolist() == [True, False]


def test_hovering_over_a_class_dims_all_others() -> None:
    particles = table(np.zeros((3, 3)), classes=[1, 2, 2])
    state = resolve(session(particles, hover_class=2))
    assert state.face_colours[:, 3].tolist() == [pytest.approx(0.2), 1.0, 1.0]


def test_legend_counts_add_up_to_the_particles() -> None:
    particles = table(np.zeros((6, 3)), tomograms=["A", "A", "A", "B", "B", "B"], classes=[1, 1, 2, 2, 2, 0])
    legend = resolve(session(particles, kept=[1, 1, 1, 0, 1, 1])).legend
    assert [(entry.label, entry.here, entry.total) for entry in legend] == [
        ("no class", 0, 1),
        ("class 1", 2, 2),
        ("class 2", 1, 2),
        ("rejected", 0, 1),
    ]


def test_a_column_of_many_numbers_is_a_scale_and_one_of_few_integers_has_one_colour_a_value() -> None:
    n = 100
    cells = {r.LOG_LIKELI_CONTRIBUTION: tuple(f"{x:.3f}" for x in np.arange(n) + 0.5), r.RANDOM_SUBSET: ("1", "2") * (n // 2)}
    particles = table(np.zeros((n, 3)), **cells)
    scale = resolve(session(particles, colour_by=r.LOG_LIKELI_CONTRIBUTION))
    assert len(np.unique(scale.face_colours, axis=0)) > MOST_CATEGORIES
    assert [entry.label for entry in scale.legend] == ["about 2.48", "about 50", "about 97.5"]
    assert sum(entry.total for entry in scale.legend) == n
    halves = resolve(session(particles, colour_by=r.RANDOM_SUBSET))
    assert [(entry.label, entry.total) for entry in halves.legend] == [("1", 50), ("2", 50)]


def test_colour_columns_offers_what_differs_and_neither_paths_nor_names() -> None:
    cells = {
        r.TOMO_PARTICLE_NAME: tuple(f"A/{i}" for i in range(40)),
        r.IMAGE_NAME: tuple(f"x{i}.mrc" for i in range(40)),
        r.RANDOM_SUBSET: ("1", "2") * 20,
        r.OPTICS_GROUP: ("1",) * 40,
        r.GROUP_NAME: ("one", "two") * 20,
    }
    assert colour_columns(table(np.zeros((40, 3)), **cells)) == [r.CLASS_NUMBER, r.RANDOM_SUBSET, r.GROUP_NAME]


def test_a_missing_column_and_no_particles_are_legal() -> None:
    state = resolve(session(table(np.zeros((0, 3))), colour_by=r.RANDOM_SUBSET))
    assert state.points_zyx.shape == (0, 3)
    assert state.legend == ()
    white = resolve(session(table(np.zeros((1, 3))), colour_by="nothing"))
    np.testing.assert_array_equal(white.face_colours, [palette.rgba(palette.UNCLASSIFIED)])


def test_a_tomogram_without_a_size_is_an_error_that_names_it() -> None:
    nameless = replace(session(table([[0, 0, 0]])), tomograms=(Tomogram("A", pixel_size=1.35),))
    with pytest.raises(GeometryError, match="tomogram A"):
        resolve(nameless)


def test_stepping_stops_at_both_ends_and_unknown_names_are_refused() -> None:
    both = session(table(np.zeros((0, 3))))
    assert both.stepped(1).shown == "B"
    assert both.stepped(1).stepped(1).shown == "B"
    assert both.stepped(-1).shown == "A"
    with pytest.raises(InputError, match="“C”"):
        both.showing("C")


def test_palette_colours_stay_apart_without_red_and_green() -> None:
    """Machado, Oliveira and Fernandes (2009): the matrices of full deuteranopia and protanopia on linear colours."""
    blind = {
        "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
        "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    }
    colours = palette.category_colours(7)[:, :3]
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    for matrix in blind.values():
        seen = np.clip(linear @ np.asarray(matrix).T, 0, 1) ** (1 / 2.4)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=-1)[np.triu_indices(7, 1)]
        assert distances.min() > 0.1


def test_more_than_seven_categories_still_differ() -> None:
    assert len(np.unique(palette.category_colours(21).round(6), axis=0)) == 21
