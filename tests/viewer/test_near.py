"""Only the particles near an oblique plane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.picking.near import near_plane
from napari_subtomo.viewer.picking.picker import Picker
from napari_subtomo.viewer.picking.slab import show_axes
from napari_subtomo.viewer.view import ProjectView, open_session


@pytest.fixture
def view(project: Any) -> ProjectView:
    view = open_session(ViewerModel(), load_session(project.root))
    table = view.session.table.with_added("TS_01", np.random.default_rng(6).uniform(-140, 140, (40, 3)), np.tile(np.eye(3), (40, 1, 1)))
    view.update(table=table, kept=np.concatenate([view.session.kept, np.ones(40, dtype=bool)]), slab=120.0)
    return view


@pytest.fixture
def picker(view: ProjectView) -> Any:
    picker = Picker(view)
    yield picker
    picker.close()


def test_the_distance_from_a_plane_counts_along_its_normal() -> None:
    rng = np.random.default_rng(2)
    position, normal = rng.normal(size=(2, 3))
    unit = normal / np.linalg.norm(normal)
    aside = np.cross(unit, [1.0, 0.0, 0.0])
    points = position + np.outer([0, 1.9, -1.9, 2.1, -2.1], unit) + 50 * aside
    np.testing.assert_array_equal(near_plane(points, position, 7 * normal, 2.0), [True, True, True, False, False])
    assert near_plane(np.zeros((0, 3)), position, normal, 1.0).shape == (0,)


def oblique(view: ProjectView) -> tuple[Any, Any, set[int]]:
    """The plane tilted, the points, and which of them lie within 60 Å of it."""
    show_axes(view.viewer, "oblique")
    image: Any = layers.find_layer(view.viewer, layers.TOMOGRAM)
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    image.plane.position, image.plane.normal = (16, 20, 24), (0.6, 0.0, 0.8)
    away = np.abs((points.data - [16, 20, 24]) @ [0.6, 0.0, 0.8]) * 10
    return image, points, set(np.flatnonzero(away <= 60).tolist())


def seen(layer: Any) -> set[int]:
    return set(np.flatnonzero(layer.border_color[:, 3] > 0).tolist())


def test_particles_away_from_the_plane_are_neither_seen_nor_selected(view: ProjectView, picker: Picker) -> None:
    image, points, near = oblique(view)
    assert 5 < len(near) < 41
    assert len(seen(points)) == 46
    picker.show_only_near(True)
    assert seen(points) == near
    arrows: Any = layers.find_layer(view.viewer, layers.ORIENTATIONS)
    assert 0 < (arrows.edge_color[:, 3] > 0).sum() < len(arrows.data)
    points.selected_data = set(range(46))  # as a box over all of them does
    assert set(points.selected_data) == near
    points.remove_selected()
    assert view.session.totals()[0] + view.session.totals()[1] == 52 - len(near)
    picker.undo()
    assert seen(points) == near
    image.plane.position = (10, 20, 24)
    moved = seen(points)
    assert moved != near
    view.update(slab=400.0)
    assert seen(points) > moved


def test_slices_closing_and_the_box_show_all_of_them_again(view: ProjectView, picker: Picker) -> None:
    _, points, near = oblique(view)
    colours = points.face_color.copy()
    for leave, enter in (
        (lambda: picker.show_only_near(False), lambda: picker.show_only_near(True)),
        (lambda: show_axes(view.viewer, "XY"), lambda: show_axes(view.viewer, "oblique")),
        (picker.close, lambda: show_axes(view.viewer, "oblique")),
    ):
        picker.show_only_near(True)
        enter()
        assert seen(points) == near
        leave()
        np.testing.assert_allclose(points.face_color, colours, atol=1e-6)
    points.selected_data = set(range(46))
    assert len(points.selected_data) == 46


def test_a_point_added_on_the_plane_is_seen(view: ProjectView, picker: Picker) -> None:
    _, points, near = oblique(view)
    picker.show_only_near(True)
    picker.click(np.array([16.0, 20.0, 24.0]))
    assert seen(points) == near | {46}


def test_rejected_particles_that_are_hidden_are_hidden_in_3d_too(view: ProjectView, picker: Picker) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    show_axes(view.viewer, "oblique")
    rejected = set(np.flatnonzero(~view.state.kept).tolist())
    assert rejected
    view.update(rejected="hidden")
    assert seen(points) == set(range(46)) - rejected
    points.selected_data = set(range(46))
    assert not rejected & set(points.selected_data)
