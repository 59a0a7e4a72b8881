"""A session on a viewer model without a window."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_subtomo.errors import FileFormatError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.viewer import layers
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.show import open_project
from napari_subtomo.viewer.view import ProjectView, open_session, view_of
from napari_subtomo.viewer.volume import open_volume, sampled_limits, smoothing_kernel


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def view(project: Any, viewer: ViewerModel) -> ProjectView:
    return open_session(viewer, load_session(project.root))


def layer(viewer: ViewerModel, role: str) -> Any:
    found = layers.find_layer(viewer, role)
    assert found is not None
    return found


def test_image_points_and_arrows_share_the_voxel_size_in_angstrom(view: ProjectView, viewer: ViewerModel) -> None:
    assert [found.metadata[layers.KEY]["role"] for found in viewer.layers] == ["tomogram", "particles", "orientations"]
    for found in viewer.layers:
        np.testing.assert_array_equal(found.scale, [10.0] * 3)
        assert [str(unit) for unit in found.units] == ["angstrom"] * 3
    assert viewer.canvas.overlays.scale_bar.visible


def test_the_tomogram_stays_on_disk(view: ProjectView, viewer: ViewerModel) -> None:
    assert isinstance(layer(viewer, layers.TOMOGRAM).data, np.memmap)


def test_drawn_points_are_the_resolved_ones(view: ProjectView, viewer: ViewerModel) -> None:
    points = layer(viewer, layers.PARTICLES)
    np.testing.assert_array_equal(points.data, view.state.points_zyx)
    np.testing.assert_allclose(points.border_color, view.state.face_colours, atol=1e-6)
    assert points.features["row"].tolist() == view.state.rows.tolist()
    assert len(layer(viewer, layers.ORIENTATIONS).data) == 4


def test_brackets_step_through_the_tomograms(view: ProjectView, viewer: ViewerModel) -> None:
    bound = {str(key): call for key, call in viewer.keymap.items()}
    image = layer(viewer, layers.TOMOGRAM)
    bound["]"](viewer)
    assert view.session.shown == "TS_02"
    assert layer(viewer, layers.TOMOGRAM) is image
    assert image.name == "TS_02"
    np.testing.assert_array_equal(np.asarray(image.data), read_mrc(view.session.project / "tomograms" / "TS_02.mrc"))
    np.testing.assert_array_equal(layer(viewer, layers.PARTICLES).data, view.state.points_zyx)
    bound["]"](viewer)
    assert view.session.shown == "TS_02"
    bound["["](viewer)
    assert view.session.shown == "TS_01"
    assert "TS_01 (1/2) · Select/job005 · 4 kept, 2 rejected" in viewer.canvas.overlays.text.text


def test_recolouring_sets_colours_and_leaves_the_rest_alone(view: ProjectView, viewer: ViewerModel) -> None:
    points = layer(viewer, layers.PARTICLES)
    heard: list[str] = []
    points.events.connect(lambda event: heard.append(event.type))
    view.update(colour_by=r.RANDOM_SUBSET)
    np.testing.assert_allclose(points.border_color, view.state.face_colours, atol=1e-6)
    assert "data" not in heard
    assert "size" not in heard


def test_hiding_the_rejected_hides_their_points(view: ProjectView, viewer: ViewerModel) -> None:
    view.update(rejected="hidden")
    assert layer(viewer, layers.PARTICLES).shown.sum() == 4


def test_points_edited_by_hand_reach_the_session_and_survive_a_tomogram_switch(view: ProjectView, viewer: ViewerModel) -> None:
    points = layer(viewer, layers.PARTICLES)
    points.add([[1.0, 2.0, 3.0]])
    points.selected_data = {0}
    points.remove_selected()
    moved = points.data.copy()
    moved[0] += [0, 0, 4]
    points.data = moved
    view.step(1)
    view.step(-1)
    np.testing.assert_allclose(layer(viewer, layers.PARTICLES).data, moved, atol=1e-9)
    assert len(view.session.table) == 13
    assert view.session.totals() == (8, 4)
    assert layer(viewer, layers.PARTICLES).features["row"].tolist()[-1] == 12
    assert view.session.edited


def test_an_added_point_gets_the_look_of_a_particle(view: ProjectView, viewer: ViewerModel) -> None:
    points = layer(viewer, layers.PARTICLES)
    points.add([[1.0, 2.0, 3.0]])
    assert points.size[-1] == pytest.approx(view.state.sizes[-1])
    np.testing.assert_allclose(points.border_color[-1], [1, 1, 1, 1])


def test_a_tomogram_without_a_file_is_shown_empty_and_said_so(project: Any, viewer: ViewerModel) -> None:
    (project.root / "tomograms" / "TS_02.mrc").unlink()
    view = open_session(viewer, load_session(project.root))
    view.step(1)
    assert layers.find_layer(viewer, layers.TOMOGRAM) is None
    assert "file is not here" in viewer.canvas.overlays.text.text
    view.step(-1)
    assert viewer.layers[0] is layer(viewer, layers.TOMOGRAM)


def test_tomograms_of_other_sizes_and_voxels_are_drawn_by_their_own(project: Any, viewer: ViewerModel) -> None:
    session = load_session(project.root)
    write_mrc(project.root / "tomograms" / "TS_02.mrc", np.random.default_rng(0).normal(size=(64, 80, 96)), 5.0)
    assert session.tomogram_set is not None
    star = session.tomogram_set.with_values("TS_02", {r.TOMO_BINNING: 1.0})
    (project.root / "tomograms.star").unlink()
    from napari_subtomo.io.star import write_star

    write_star(project.root / "tomograms.star", star.star)
    view = open_session(viewer, load_session(project.root))
    view.step(1)
    for found in viewer.layers:
        np.testing.assert_array_equal(found.scale, [5.0] * 3)
    assert layer(viewer, layers.TOMOGRAM).data.shape == (64, 80, 96)


def test_denoised_volumes_are_preferred_and_shown_as_they_are(project: Any, viewer: ViewerModel) -> None:
    write_mrc(project.root / "tomograms" / "clean.mrc", np.random.default_rng(0).normal(size=(32, 40, 48)), 10.0)
    session = load_session(project.root)
    assert session.tomogram_set is not None
    from napari_subtomo.io.star import write_star

    named = session.tomogram_set.with_values("TS_01", {r.TOMO_RECONSTRUCTED_DENOISED: "tomograms/clean.mrc"})
    write_star(project.root / "tomograms.star", named.star)
    view = open_session(viewer, load_session(project.root))
    image = layer(viewer, layers.TOMOGRAM)
    assert image.name == "TS_01 (denoised)"
    assert str(image.projection_mode) == "none"
    view.step(1)
    assert image.name == "TS_02"  # N/A in the denoised column: the plain one
    assert str(image.projection_mode) == "mean"


def test_opening_again_keeps_one_view_on_a_viewer(project: Any, view: ProjectView, viewer: ViewerModel) -> None:
    assert open_session(viewer, load_session(project.picks)) is view
    assert view_of(viewer) is view
    assert view_of(ViewerModel()) is None
    assert len(viewer.layers) == 3
    assert view.session.totals() == (12, 0)


def test_closing_a_view_takes_its_layers_away_and_leaves_others(view: ProjectView, viewer: ViewerModel) -> None:
    viewer.add_points(np.zeros((1, 3)), name="mine")
    view.close()
    assert [found.name for found in viewer.layers] == ["mine"]
    assert view_of(viewer) is None


def test_an_empty_project_of_tomograms_opens_without_particles(project: Any, viewer: ViewerModel) -> None:
    view = open_project(project.tomograms, show=False, viewer=viewer)
    assert view is not None
    assert view.session.totals() == (0, 0)
    layer(viewer, layers.PARTICLES).add([[3.0, 4.0, 5.0]])
    assert view.session.totals() == (1, 0)


def test_a_classification_without_particles_is_shown_as_curves_with_what_is_missing(project: Any, viewer: ViewerModel) -> None:
    for path in project.data.parent.glob("*_data.star"):
        path.unlink()
    assert open_project(project.data.parent, show=False, viewer=viewer) is None
    assert "run_it002_data.star" in notification_manager.records[-1].message
    assert [found.name for found in viewer.layers] == ["Classes", "Curves"]


def test_contrast_limits_come_from_a_few_slices() -> None:
    class Counting:
        def __init__(self, data: Any) -> None:
            self.data, self.shape, self.read = data, data.shape, 0

        def __len__(self) -> int:
            return len(self.data)

        def __getitem__(self, index: Any) -> Any:
            piece = self.data[index]
            self.read += piece.size
            return piece

    rng = np.random.default_rng(0)
    data = Counting(rng.normal(5, 2, (200, 60, 60)))
    low, high = sampled_limits(data)  # type: ignore[arg-type]
    assert data.read <= 7 * 60 * 60
    assert (low, high) == (pytest.approx(5 - 2 * 2.75, abs=0.4), pytest.approx(5 + 2 * 2.75, abs=0.4))


def test_contrast_limits_of_flat_and_broken_volumes_are_usable() -> None:
    assert sampled_limits(np.full((4, 5, 6), 3.0)) == (2.5, 3.5)
    assert sampled_limits(np.full((4, 5, 6), np.nan)) == (0.0, 1.0)


def test_smoothing_adds_up_to_one_and_narrow_ones_do_nothing() -> None:
    assert smoothing_kernel(10.0).shape == (9, 9)
    assert smoothing_kernel(10.0).sum() == pytest.approx(1)
    assert smoothing_kernel(100.0).shape == (1, 1)


def test_float16_volumes_open(project: Any, tmp_path: Any) -> None:
    write_mrc(tmp_path / "half.mrc", np.random.default_rng(0).normal(size=(8, 9, 10)), 10.0, float16=True)
    volume = open_volume(tmp_path / "half.mrc", slab=30.0)
    assert volume.data.dtype == np.float16
    assert volume.contrast_limits[0] < volume.contrast_limits[1]


def test_a_tomogram_that_is_cut_off_is_an_error_and_leaves_the_view_as_it_was(view: ProjectView, viewer: ViewerModel) -> None:
    path = view.session.project / "tomograms" / "TS_02.mrc"
    path.write_bytes(path.read_bytes()[:2000])
    before = [found.name for found in viewer.layers]
    with pytest.raises(FileFormatError, match="cut off"):
        view.step(1)
    assert view.session.shown == "TS_01"
    assert [found.name for found in viewer.layers] == before
