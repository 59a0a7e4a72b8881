"""Layers that are there are brought up to date in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_subtomo.io import relion as r
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.overlay import REJECTED_LABEL, resolve
from napari_subtomo.viewer.view import ProjectView
from napari_subtomo.viewer.volume import carried_limits, sampled_limits, smoothing_kernel


def layer(view: ProjectView, role: str) -> Any:
    found = layers.find_layer(view.viewer, role)
    assert found is not None
    return found


def assert_drawn(view: ProjectView) -> None:
    """Layers hold what a fresh look at the session says."""
    state, points, vectors = resolve(view.session), layer(view, layers.PARTICLES), layer(view, layers.ORIENTATIONS)
    np.testing.assert_array_equal(points.data, state.points_zyx)
    np.testing.assert_allclose(points.border_color, state.face_colours, atol=1e-6)
    np.testing.assert_allclose(points.face_color, layers.fill_colours(state), atol=1e-6)
    np.testing.assert_array_equal(points.size, state.sizes)
    np.testing.assert_array_equal(points.shown, state.shown)
    np.testing.assert_array_equal(points.border_width > 0, state.kept)
    assert [str(symbol) for symbol in points.symbol] == state.symbols.tolist()
    assert points.features["row"].tolist() == state.rows.tolist()
    assert points.features["kept"].tolist() == state.kept.tolist()
    np.testing.assert_array_equal(vectors.data, state.vectors)
    if len(state.vectors):
        np.testing.assert_allclose(vectors.edge_color, state.vector_colours, atol=1e-6)


def test_any_order_of_changes_leaves_what_a_fresh_look_would_draw(view: ProjectView) -> None:
    assert_drawn(view)
    classes = view.session.table.classes
    steps: list[Any] = [
        lambda: view.update(hover_class=1),
        lambda: view.update(kept=classes == 2),
        lambda: view.step(1),
        lambda: view.update(hover_class=None, rejected="hidden"),
        lambda: view.update(colour_by=r.RANDOM_SUBSET),
        lambda: view.update(hover_label="2"),
        lambda: view.update(hover_label=REJECTED_LABEL, rejected="dimmed"),
        lambda: view.update(kept=np.zeros(12, dtype=bool)),
        lambda: view.update(hover_label="", diameter=50.0),
        lambda: view.step(-1),
        lambda: view.update(kept=np.ones(12, dtype=bool), colour_by=r.CLASS_NUMBER),
    ]
    for step in steps:
        step()
        assert_drawn(view)


def test_tomograms_with_other_numbers_of_particles_and_none(view: ProjectView) -> None:
    view.update(table=view.session.table.without([0, 1, 2, 3]))
    assert_drawn(view)
    view.step(1)  # from two to six
    assert_drawn(view)
    view.update(table=view.session.table.without(range(6, 12)))
    assert_drawn(view)
    view.step(-1)
    assert_drawn(view)


def test_a_point_that_is_dragged_moves_its_particle(view: ProjectView) -> None:
    """napari moves points within the layer's own array."""
    points = layer(view, layers.PARTICLES)
    before = view.session.table.positions.copy()
    points.data[0] += [0, 0, 4]
    points.events.data(value=points.data, action="changed", data_indices=(0,), vertex_indices=((),))
    moved = view.session.table.positions - before
    np.testing.assert_allclose(moved[view.state.rows[0]], [40, 0, 0], atol=1e-9)  # 4 voxels of 10 Å
    assert view.session.edited


def test_hidden_arrows_wait_until_they_are_shown(view: ProjectView) -> None:
    vectors = layer(view, layers.ORIENTATIONS)
    vectors.visible = False
    before = vectors.data.copy()
    view.step(1)
    np.testing.assert_array_equal(vectors.data, before)
    vectors.visible = True
    assert_drawn(view)


def test_the_slider_has_room_and_limits_are_those_sampled(view: ProjectView) -> None:
    image = layer(view, layers.TOMOGRAM)
    volume = view.volume
    assert volume is not None
    low, high = volume.contrast_limits
    assert tuple(image.contrast_limits) == (low, high)
    np.testing.assert_allclose(image.contrast_limits_range, (2 * low - high, 2 * high - low))


def test_the_scale_bar_that_the_user_hides_stays_hidden(view: ProjectView) -> None:
    view.viewer.canvas.overlays.scale_bar.visible = False
    view.step(1)
    assert not view.viewer.canvas.overlays.scale_bar.visible


def test_carried_limits_keep_their_place_between_the_sampled_ones() -> None:
    assert carried_limits((0.0, 1.0), (0.0, 1.0), (-4.0, 4.0)) == (-4.0, 4.0)
    assert carried_limits((0.25, 0.5), (0.0, 1.0), (10.0, 14.0)) == (11.0, 12.0)


def test_limits_of_smoothed_slabs_are_those_of_their_mean_and_gaussian() -> None:
    from scipy.ndimage import convolve

    data = np.random.default_rng(0).normal(size=(24, 40, 40)).astype(np.float32)
    kernel = smoothing_kernel(10.0)
    pieces = [convolve(data[z : z + 4].mean(axis=0), kernel, mode="nearest") for z in np.linspace(4, 20, 7).astype(int)]
    np.testing.assert_allclose(sampled_limits(data, 4, kernel), np.percentile(pieces, (0.3, 99.7)), rtol=1e-4)
