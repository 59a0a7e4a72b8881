"""Spheres from clicks, their handles and outlines, slices and planes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_subtomo.errors import GeometryError, InputError
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.picking.handles import CENTRE, RIM, Cutting, dragged, handles_of, outlines
from napari_subtomo.viewer.picking.slab import axes_of, meet, show_axes
from napari_subtomo.viewer.picking.spheres import Sphere, count, cut, fit_sphere, lattice
from napari_subtomo.viewer.view import ProjectView

FRAME = Frame((96, 80, 64), 5.0, 2.0)


def test_the_sphere_through_rim_clicks_is_found() -> None:
    rng = np.random.default_rng(3)
    directions = rng.normal(size=(9, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    fit = fit_sphere([10, -40, 25] + 300 * directions)
    np.testing.assert_allclose(fit.centre, [10, -40, 25], atol=1e-9)
    assert fit.radius == pytest.approx(300)
    assert (fit.flat, fit.residual < 1e-9) == (False, True)
    noisy = fit_sphere([10, -40, 25] + (300 + rng.normal(0, 3, (9, 1))) * directions)
    assert np.linalg.norm(noisy.centre - [10, -40, 25]) < 10
    assert 0.5 < noisy.residual < 5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_clicks_in_one_slice_of_any_axis_make_its_equator(axis: int) -> None:
    angles = np.deg2rad([0, 100, 200, 290])
    points = np.insert(np.column_stack([50 + 80 * np.cos(angles), -20 + 80 * np.sin(angles)]), axis, 7.0, axis=1)
    for used in (points[:3], points):
        fit = fit_sphere(used)
        np.testing.assert_allclose(fit.centre, np.insert([50.0, -20.0], axis, 7.0), atol=1e-9)
        assert (fit.flat, fit.radius) == (True, pytest.approx(80))


def test_clicks_on_a_small_part_of_a_sphere_are_called_loose() -> None:
    angles = np.deg2rad(np.arange(0, 360, 60))
    ring = 300 * np.column_stack([np.cos(angles), np.sin(angles), np.zeros(6)])
    assert not fit_sphere(ring).loose
    tilted = np.where(np.arange(6) % 2, 12.0, -12.0)[:, None] * [0, 0, 1] + ring  # slices 24 Å apart
    assert fit_sphere(tilted).loose
    low = np.column_stack([280 * np.cos(angles), 280 * np.sin(angles), np.full(6, np.sqrt(300**2 - 280**2))])
    fit = fit_sphere(np.concatenate([ring, low, low * [1, 1, -1]]))
    assert (fit.loose, fit.flat) == (False, False)
    np.testing.assert_allclose(fit.centre, 0, atol=1e-9)


@pytest.mark.parametrize("points", [[], [[0, 0, 0], [1, 0, 0]], [[0, 0, 0], [1, 1, 1], [2, 2, 2], [3, 3, 3]]])
def test_clicks_that_tell_no_sphere_are_an_error(points: list[list[float]]) -> None:
    with pytest.raises(InputError, match="Expected"):
        fit_sphere(points)


def test_a_plane_cuts_the_circle_that_pythagoras_says() -> None:
    centre, radius = cut([0, 0, 0], 5, [3, 9, 9], [1, 0, 0]) or (None, 0)
    np.testing.assert_allclose(centre, [3, 0, 0])
    assert radius == pytest.approx(4)
    assert cut([0, 0, 0], 5, [5.1, 0, 0], [1, 0, 0]) is None


def test_a_sphere_of_300_and_a_spacing_of_60_angstrom_are_323_particles() -> None:
    assert count(300, 60) == 323
    names, positions, frames = lattice([Sphere.at("a", (1, 2, 3), 300)], [0], 60, 1)
    assert len(names) == 323
    np.testing.assert_allclose(positions, [1, 2, 3] + 300 * frames[:, :, 2], atol=1e-9)


def test_a_sphere_has_the_same_particles_alone_and_among_others() -> None:
    spheres = [Sphere.at("a", (0, 0, 0), 100), Sphere.at("b", (0, 0, 0), 90), Sphere.at("a", (300, 0, 0), 120)]
    names, positions, frames = lattice(spheres, [0, 1, 2], 40, 7)
    last, alone = count(120, 40), lattice(spheres, [2], 40, 7)
    assert alone[0] == names[-last:]
    np.testing.assert_array_equal(alone[1], positions[-last:])
    np.testing.assert_array_equal(alone[2], frames[-last:])


def test_handles_move_resize_copy_and_delete_spheres() -> None:
    spheres = (Sphere.at("a", (0, 0, 0), 100), Sphere.at("b", (0, 0, 0), 50), Sphere.at("a", (50, 0, 0), 80))
    cutting = Cutting(FRAME.voxels_zyx([0, 0, 0]), np.array([1.0, 0, 0]))
    drawn = handles_of(spheres, "a", FRAME, cutting)
    assert drawn.sphere.tolist() == [0, 0, 2, 2]
    np.testing.assert_allclose(np.linalg.norm(drawn.points_zyx[1] - drawn.points_zyx[0]), 10)

    def after(points: Any, keep: list[int] | None = None) -> tuple[Sphere, ...]:
        keep = [0, 1, 2, 3] if keep is None else keep
        return dragged(spheres, drawn, points[keep], drawn.sphere[keep].tolist(), drawn.part[keep].tolist(), FRAME)

    assert after(drawn.points_zyx) == spheres
    points = drawn.points_zyx.copy()
    points[0] += [0, 0, 3]
    assert after(points) == (replace(spheres[0], centre=(30.0, 0.0, 0.0)), *spheres[1:])
    points = drawn.points_zyx.copy()
    points[3] = drawn.points_zyx[2] + [0, 6, 0]
    assert after(points)[2].radius == pytest.approx(60)
    assert after(drawn.points_zyx, [2, 3]) == spheres[1:]
    assert after(drawn.points_zyx, [0, 2, 3]) == spheres
    points = np.vstack([drawn.points_zyx, drawn.points_zyx[0] + [0, 1, 0]])
    copied = dragged(spheres, drawn, points, [*drawn.sphere, 0], [*drawn.part, CENTRE], FRAME)
    assert copied == (*spheres, replace(spheres[0], centre=(0.0, 10.0, 0.0)))


def test_off_its_equator_a_sphere_is_drawn_as_the_circle_that_the_slice_cuts() -> None:
    sphere = Sphere.at("a", (0, 0, 0), 100)
    cutting = Cutting(FRAME.voxels_zyx([0, 0, 60]), np.array([1.0, 0, 0]))
    segments, owners = outlines([sphere], "a", FRAME, cutting)
    corners = segments[:, 0]
    np.testing.assert_allclose(corners[:, 0], cutting.point[0])
    np.testing.assert_allclose(np.linalg.norm(corners - [cutting.point[0], *FRAME.voxels_zyx([0, 0, 0])[1:]], axis=1), 8)
    assert set(owners.tolist()) == {0}
    rim = handles_of([sphere], "a", FRAME, cutting).points_zyx[RIM]
    np.testing.assert_allclose(np.linalg.norm(rim - FRAME.voxels_zyx([0, 0, 0])), 10)
    assert len(outlines([sphere], "a", FRAME, replace(cutting, point=np.array([99.0, 0, 0])))[0]) == 0
    assert len(outlines([sphere], "b", FRAME, cutting)[0]) == 0


def test_a_line_of_sight_meets_an_oblique_plane_where_it_should() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        normal, position, aim, eye = rng.normal(size=(4, 3))
        on_plane = aim - normal * ((aim - position) @ normal) / (normal @ normal)
        np.testing.assert_allclose(meet(eye, 7 * (on_plane - eye), position, 3 * normal), on_plane, atol=1e-9)
    with pytest.raises(GeometryError, match="from its edge"):
        meet([0, 0, 0], [1, 0, 0], [0, 0, 5], [0, 0, 1])


def test_slices_of_every_axis_go_through_the_same_point(view: ProjectView) -> None:
    viewer = view.viewer
    viewer.dims.point = (310.0, 100.0, 420.0)
    for axes, displayed in (("XZ", (0, 2)), ("YZ", (0, 1)), ("oblique", (0, 1, 2)), ("XY", (1, 2))):
        show_axes(viewer, axes)  # type: ignore[arg-type]
        assert axes_of(viewer) == axes
        assert viewer.dims.displayed == displayed
        np.testing.assert_allclose(viewer.dims.point, (310.0, 100.0, 420.0))


def test_a_slab_of_chosen_thickness_shows_all_particles_whose_centres_are_in_it(view: ProjectView) -> None:
    points: Any = layers.find_layer(view.viewer, layers.PARTICLES)
    view.update(slab=200.0)
    view.viewer.dims.point = (320.0, 0.0, 0.0)
    inside = np.flatnonzero(np.abs(view.state.points_zyx[:, 0] * 10 - 320) <= 100)
    assert 0 < len(inside) < 6
    assert sorted(points._view_indices.tolist()) == inside.tolist()
    image: Any = layers.find_layer(view.viewer, layers.TOMOGRAM)
    assert image.projection_mode == "mean"
    view.update(slab=0.0)
    assert points.projection_mode == "rescale_spherical"
    assert view.viewer.dims.margin_left[0] == view.session.diameter / 2
