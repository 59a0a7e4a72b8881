"""Pictures without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from napari_subtomo.errors import InputError
from napari_subtomo.io.project import Project
from napari_subtomo.viewer import palette, show
from napari_subtomo.viewer.class_figures import curves_figure, gallery_figure
from napari_subtomo.viewer.classjob import read_class_job
from napari_subtomo.viewer.figures import best_window, nice_length, slab, tomogram_figure
from napari_subtomo.viewer.load import load_session
from napari_subtomo.viewer.overlay import resolve
from napari_subtomo.viewer.pictures import make_pictures
from napari_subtomo.viewer.volume import tomogram_volume


def texts(figure: Any) -> str:
    import matplotlib.text

    return "\n".join(found.get_text() for found in figure.findobj(matplotlib.text.Text))


def test_a_project_gives_a_picture_a_tomogram_classes_and_curves(project: Any, tmp_path: Path) -> None:
    written = make_pictures(project.root, tmp_path / "out")
    assert [path.name for path in written] == ["tomogram_TS_01.png", "tomogram_TS_02.png", "classes.png", "curves.png"]
    for path in written:
        assert min(imread(path).shape[:2]) > 200


def test_pictures_go_to_the_project_by_default(project: Any) -> None:
    assert {path.parent for path in make_pictures(project.root)} == {project.root / "pictures"}


def test_the_legend_counts_kept_and_rejected(project: Any) -> None:
    session = load_session(project.root)
    figure = tomogram_figure(resolve(session), tomogram_volume(session.tomogram), (32, 40, 48), "title")
    shown = texts(figure)
    for line in ("class 1: 2 / 4", "class 3: 2 / 4", "rejected: 2 / 4", "Å"):
        assert line in shown


def test_a_ring_of_the_class_colour_lies_around_the_particle(golden: Path) -> None:
    session = load_session(golden)
    state = resolve(session)
    figure = tomogram_figure(state, None, session.tomogram.frame.file_shape_zyx(), "")
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
    axes = figure.axes[0]
    low, high = best_window(state.points_zyx[:, 0], float(state.sizes.max()))
    inside = np.flatnonzero((state.points_zyx[:, 0] >= low) & (state.points_zyx[:, 0] <= high))
    hits = 0
    for particle in inside:
        y, x = state.points_zyx[particle, 1:]
        for angle in np.linspace(0, 2 * np.pi, 8, endpoint=False):
            rim = (x + np.cos(angle) * state.sizes[particle] / 2, y + np.sin(angle) * state.sizes[particle] / 2)
            column, row = axes.transData.transform(rim)
            seen = pixels[len(pixels) - 1 - round(row), round(column), :3] / 255
            hits += np.abs(seen - state.face_colours[particle, :3]).max() < 0.1
    assert hits > 0.8 * 8 * len(inside)  # rings cross each other here and there


def test_the_gallery_names_fraction_count_and_rejected_classes(project: Any) -> None:
    job = read_class_job(project.data.parent, Project(project.root))
    assert job is not None
    shown = texts(gallery_figure(job, frozenset({1, 3})))
    assert "class 1\n50.0 % · 4 particles\n25.0 Å" in shown
    assert "class 2\n30.0 % · 4 particles\n28.0 Å · rejected" in shown
    assert "class 3\n20.0 % · 4 particles\n–" in shown


def test_all_classes_share_one_grey_scale(project: Any) -> None:
    job = read_class_job(project.data.parent, Project(project.root))
    assert job is not None
    limits = {image.get_clim() for axes in gallery_figure(job).axes for image in axes.images}
    assert len(limits) == 1


def test_curves_are_those_of_relions_files(golden: Path) -> None:
    job = read_class_job(golden / "Class3D_3d", Project(golden))
    assert job is not None
    assert job.iterations.tolist() == [0, 1, 4]
    np.testing.assert_allclose(job.fractions[-1], [0.499940, 0.500060])
    np.testing.assert_allclose(job.resolutions[-1], [64.0, 53.333333])
    np.testing.assert_allclose(job.current_resolution[-1], 53.333333)
    np.testing.assert_allclose(job.change_orientations[-1], 4.507872)
    np.testing.assert_allclose(job.change_offsets[-1], 6.350645)
    assert np.isnan(job.change_classes[0])
    assert job.counts is not None
    assert job.counts.tolist() == [12, 12]
    assert job.missing == ()
    assert "change of offsets" in texts(curves_figure(job))


def test_the_hiv_classification_shows_its_nine_classes_and_says_which_files_are_missing(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "relion5_hiv_project" / "Class3D" / "job017"
    job = read_class_job(folder, Project(folder.parents[1]))
    assert job is not None
    assert job.n_classes == 9
    assert job.fractions[-1].sum() == pytest.approx(1, abs=1e-4)
    assert "Class3D/job017/run_it025_data.star" in job.missing
    assert len(job.missing) == 10
    assert "Not here: run_it025_data.star" in texts(curves_figure(job))
    assert [path.name for path in make_pictures(folder, tmp_path)] == ["curves.png"]


def test_the_empty_class_is_marked(project: Any) -> None:
    from napari_subtomo.io import relion as r
    from napari_subtomo.io.star import read_star, write_star

    model = project.data.with_name("run_it002_model.star")
    star = read_star(model)
    write_star(model, star.replace(star[r.MODEL_GENERAL].with_values({r.EMPTY_CLASS: 3})))
    job = read_class_job(project.data.parent, Project(project.root))
    assert job is not None
    assert "class 3 (empty)" in texts(gallery_figure(job))


def test_nothing_to_show_is_an_error_and_leaves_no_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="found neither"):
        make_pictures(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_odd_tomogram_names_give_usable_file_names(project: Any, tmp_path: Path) -> None:
    for path in (project.tomograms, project.kept, project.rejected, project.data):
        path.write_text(path.read_text().replace("TS_01", "1e3"))
    written = make_pictures(project.root, tmp_path)
    assert "tomogram_1e3.png" in [path.name for path in written]


def test_a_slab_is_the_mean_of_its_slices(project: Any) -> None:
    session = load_session(project.root)
    volume = tomogram_volume(session.tomogram)
    assert volume is not None
    np.testing.assert_allclose(slab(volume, 0, 2.5, 5.2), np.asarray(volume.data[3:6]).mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(slab(volume, 1, -3, 1), np.asarray(volume.data[:, :2]).mean(axis=1), atol=1e-6)


def test_the_best_window_holds_most_values() -> None:
    assert best_window(np.asarray([0.0, 10.0, 11.0, 12.0, 30.0]), 4.0) == (9.0, 13.0)


@pytest.mark.parametrize(("length", "nice"), [(1.0, 1.0), (499.0, 200.0), (500.0, 500.0), (0.03, 0.02), (9999.0, 5000.0)])
def test_scale_bars_have_round_lengths(length: float, nice: float) -> None:
    assert nice_length(length) == pytest.approx(nice)


def test_rejected_particles_are_crosses_in_grey(project: Any) -> None:
    state = resolve(load_session(project.root))
    assert {entry.label: entry.colour for entry in state.legend}["rejected"] == palette.GREY


def test_a_missing_system_library_is_named_and_pictures_are_made(project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show, "X11_LIBRARIES", ("libno-such-thing.so.7",))
    monkeypatch.setenv("DISPLAY", ":99")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.warns(UserWarning, match="libno-such-thing"):
        assert len(show.present(project.root, tmp_path)) == 4
