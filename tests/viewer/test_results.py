"""What the result views show, without Qt: pictures, grids, plots, and the FSC of a job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import FileFormatError, InputError
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import StarBlock, read_star, write_star
from napari_subtomo.numerics.fsc import fsc
from napari_subtomo.progress import Silent
from napari_subtomo.viewer.results.fsc import read_fsc
from napari_subtomo.viewer.results.pictures import (
    best_grid,
    central_section,
    grey,
    grid_of_width,
    map_sections,
    shared_limits,
)
from napari_subtomo.viewer.results.plots import Curve, Plot, from_zero, iteration_ticks, resolution_ticks


def test_sections_go_through_the_centre_of_odd_and_even_boxes(tmp_path: Path) -> None:
    for n in (8, 9):
        volume = np.zeros((n, n, n), np.float32)
        volume[n // 2, :, :], volume[:, n // 2, :], volume[:, :, n // 2] = 1, 2, 3
        write_mrc(tmp_path / "map.mrc", volume, 5.0)
        for axis, section in enumerate(map_sections(tmp_path / "map.mrc")):
            np.testing.assert_array_equal(section, np.take(volume, n // 2, axis=axis))
    line = np.arange(8, dtype=np.float32)[:, None, None] * np.ones((8, 8, 8), np.float32)
    assert central_section(line, 0, 3)[0, 0] == 4
    assert central_section(line, 0, 99)[0, 0] == pytest.approx(3.5)


def test_a_map_with_nan_is_named(tmp_path: Path) -> None:
    write_mrc(tmp_path / "map.mrc", np.ones((4, 4, 4), np.float32), 5.0)
    raw = (tmp_path / "map.mrc").read_bytes()
    (tmp_path / "map.mrc").write_bytes(raw[:1024] + np.full(64, np.nan, np.float32).tobytes())
    with pytest.raises(FileFormatError, match=r"map\.mrc"):
        map_sections(tmp_path / "map.mrc")


def test_one_odd_picture_does_not_rule_the_grey_scale() -> None:
    rng = np.random.default_rng(3)
    usual = [[rng.normal(size=(20, 20))] for _ in range(4)]
    low, high = shared_limits([*usual, [1000 * rng.normal(size=(20, 20))]])
    assert -4 < low < -1 and 1 < high < 4
    assert shared_limits([[np.zeros((3, 3))]]) == (0.0, 1.0)
    heavy = shared_limits([[np.linspace(0, 1, 50)], [np.linspace(0, 9, 50)]], [0.1, 0.9], (0, 100))
    assert heavy == (0.0, 9.0)
    np.testing.assert_array_equal(grey(np.array([[-1.0, 0.0, 2.0, np.nan]]), (0.0, 1.0)), [[0, 0, 255, 0]])


@pytest.mark.parametrize(("n", "width", "height"), [(25, 360, 220), (25, 400, 400), (4, 360, 100), (1, 360, 260), (25, 700, 90)])
def test_the_grid_fits_and_no_tile_could_be_larger(n: int, width: int, height: int) -> None:
    def fits(columns: int, side: int) -> bool:
        rows = -(-n // columns)
        return columns * (side + 4) - 4 <= width and rows * (side + 10 + 4) - 4 <= height

    grid = best_grid(n, width, height, caption=10, gap=4, smallest=20, largest=110)
    assert fits(grid.columns, grid.side) and grid.columns * grid.rows >= n
    assert grid.side == 110 or not any(fits(columns, grid.side + 1) for columns in range(1, n + 1))


def test_a_grid_that_does_not_fit_keeps_the_smallest_side_and_the_width() -> None:
    grid = best_grid(25, 360, 30, caption=10, gap=4, smallest=44, largest=110)
    assert grid.side >= 44 and grid.columns * (grid.side + 4) - 4 <= 360 and grid.columns * grid.rows >= 25
    assert grid_of_width(4, 360, 4, 64, 92) == grid_of_width(4, 363, 4, 64, 92)
    assert grid_of_width(9, 360, 4, 64, 92).rows == 2


# --- plots --------------------------------------------------------------------------------------------------------------------


def test_ticks_are_whole_iterations_and_nice_resolutions() -> None:
    assert iteration_ticks(0, 15) == [(0.0, "0"), (5.0, "5"), (10.0, "10"), (15.0, "15")]
    assert iteration_ticks(0, 1) == [(0.0, "0"), (1.0, "1")]
    assert len(iteration_ticks(0, 999)) <= 8
    ticks = resolution_ticks(1 / 20)
    assert ticks[-1] == (1 / 20, "20")
    places = [place for place, _ in ticks]
    assert places == sorted(places) and np.diff(places).min() > 0.1 / 20
    assert all(float(text) == pytest.approx(1 / place) for place, text in ticks)


def test_the_value_next_to_the_mouse_is_read_out_with_its_unit() -> None:
    x = np.arange(4.0)
    first, second = Curve("class 1", x, np.array([10, 20, 30, np.nan])), Curve("class 2", x, np.full(4, 90.0))
    plot = Plot((first, second), "Iteration", "Particles (%)", (0, 3), (0, 100), " %")
    found = plot.nearest(2.1, 40)
    assert found is not None and found[0] is first
    assert plot.reading(*found) == "iteration 2, class 1: 30.0 %"
    assert plot.nearest(2.9, 80) == (second, 3)
    empty = Plot((Curve("class 1", x, np.full(4, np.nan)),), "", "", (0, 3), (0, 1))
    assert empty.nearest(1, 1) is None and empty.shown == ()
    over = Plot((Curve("masked", np.array([0, 0.05]), np.array([1, 0.5])),), "", "FSC", (0, 0.05), (0, 1), over="resolution", decimals=3)
    assert over.reading(over.curves[0], 1) == "20.0 Å, masked: 0.500"
    assert from_zero(np.array([np.nan]))[0] == 0.0


# --- FSC ----------------------------------------------------------------------------------------------------------------------


def test_relions_reconstruct_has_no_curve_so_its_halves_are_correlated(golden: Path) -> None:
    result = read_fsc(golden / "Reconstruct", Project(golden), Silent())
    halves = [read_mrc(golden / "Reconstruct" / f"half{half}.mrc") for half in (1, 2)]
    np.testing.assert_allclose(result.curves["unmasked"], fsc(*halves))
    n = len(halves[0])
    np.testing.assert_allclose(result.frequency, np.arange(n // 2 + 1) / (n * 10.0))
    merged = read_mrc(golden / "Reconstruct" / "merged.mrc")
    np.testing.assert_array_equal(result.sections[0], merged[n // 2])
    assert (result.map_name, result.voxel_size, result.note) == ("merged.mrc", 10.0, "")


def test_relions_postprocess_shows_its_four_curves(golden: Path) -> None:
    result = read_fsc(golden / "PostProcess", Project(golden), Silent())
    table = read_star(golden / "PostProcess" / "postprocess.star")[r.FSC]
    assert list(result.curves) == ["corrected", "masked", "unmasked", "randomised"]
    np.testing.assert_array_equal(result.curves["masked"], table.floats(r.FSC_MASKED_MAPS))
    np.testing.assert_allclose(result.frequency[1:], table.floats(r.RESOLUTION)[1:], atol=1e-6)
    assert result.frequency[0] == 0
    assert "map itself" in result.note and result.sections == ()


def _table(path: Path, values: np.ndarray, step: float = 0.005, **general: str) -> None:
    columns = {r.SPECTRAL_INDEX: np.arange(len(values)), r.RESOLUTION: np.arange(len(values)) * step, r.FSC_UNMASKED_MAPS: values}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_star(path, [StarBlock.list(r.GENERAL, general), StarBlock.loop(r.FSC, columns)])


def test_the_headline_has_the_resolutions_where_the_curve_crosses(tmp_path: Path) -> None:
    _table(tmp_path / "Reconstruct" / "job003" / "fsc.star", np.array([1, 1, 0.9, 0.7, 0.3, 0.0, 0.0]), subtomoFscKind="not gold-standard")
    result = read_fsc(tmp_path / "Reconstruct" / "job003", Project(tmp_path), Silent())
    # 0.5 lies halfway between shells 3 and 4, 0.143 at 4 + 0.157/0.3
    assert result.resolution(0.5) == pytest.approx(1 / (3.5 * 0.005))
    assert result.resolution(0.143) == pytest.approx(1 / ((4 + 0.157 / 0.3) * 0.005))
    assert result.headline == "Reconstruct/job003: 44.2 Å at 0.143, 57.1 Å at 0.5"
    assert result.kind == "not gold-standard"
    assert result.plot().across == (0.143, 0.5)


def test_a_refinement_tells_the_fsc_of_its_model_also_while_it_runs(tmp_path: Path) -> None:
    folder = tmp_path / "Refine3D" / "job010"
    folder.mkdir(parents=True)
    for number, last in ((3, 0.2), (4, 0.4)):
        columns = {r.RESOLUTION: [0.0, 0.01, 0.02], r.GOLD_STANDARD_FSC: [1.0, 0.9, last]}
        write_star(folder / f"run_it{number:03d}_half1_model.star", [StarBlock.loop(r.MODEL_CLASS.format(1), columns)])
    result = read_fsc(folder, Project(tmp_path), Silent())
    assert result.curves["refinement"].tolist() == [1.0, 0.9, 0.4]
    assert result.kind.endswith("iteration 4")
    (folder / "run_it005_half1_model.star").write_text("data_model_class_1\nloop_\n_rlnResol")  # being written
    assert read_fsc(folder, Project(tmp_path), Silent()).kind.endswith("iteration 4")


def test_a_real_refinement(shared: Path) -> None:
    root = shared / "data" / "relion5_hiv_project"
    result = read_fsc(root / "Refine3D" / "job074", Project(root), Silent())
    assert 3.4 < result.resolution(0.143) < 3.6  # its model says 3.55 Å


def test_without_an_fsc_a_sentence_says_so(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Class3D_3d, found none"):
        read_fsc(golden / "Class3D_3d", Project(golden), Silent())
    folder = tmp_path / "Reconstruct" / "job003"
    folder.mkdir(parents=True)
    write_mrc(folder / "merged.mrc", np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32), 5.0)
    result = read_fsc(folder, Project(tmp_path), Silent())
    assert result.curves == {} and len(result.sections) == 3 and "no half maps" in result.note
    (folder / "fsc.star").write_text("data_fsc\nloop_\n_rlnResol")
    assert "fsc.star" in read_fsc(folder, Project(tmp_path), Silent()).note
