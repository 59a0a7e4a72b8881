"""Columns of STAR files as text, CSV, JSON and pictures."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import FileMissingError, InputError
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.options.table import TableOptions
from napari_subtomo.progress import Silent
from napari_subtomo.table import file_grid, render, run
from napari_subtomo.table.iterations import collect, find_run, iteration_grid
from napari_subtomo.table.plot import axis_label


@pytest.fixture
def model(golden: Path) -> Path:
    return golden / "Class3D_3d" / "run_it004_model.star"


def shown(file: Path, *words: str, **options: object) -> str:
    """What `table FILE [TABLE] [COLUMN...]` prints."""
    table, columns = (words[0], words[1:]) if words else (None, ())
    return render(TableOptions(file=file, table=table, columns=columns, **options))


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_file_with_several_tables_is_summarised(model: Path) -> None:
    rows = lines(shown(model))
    assert rows[0] == ["table", "kind", "rows", "columns"]
    assert rows[1][:3] == ["data_model_general", "list", "1"]
    assert rows[2] == ["data_model_classes", "loop", "2", *read_star(model)["model_classes"].labels]


def test_a_file_with_one_table_is_printed(golden: Path) -> None:
    rows = lines(shown(golden / "tomograms.star"))
    assert rows[0][0] == "rlnTomoName"
    assert rows[1][:2] == ["TS_01", "300.000000"]


@pytest.mark.parametrize("table", ["model_classes", "data_model_classes"])
def test_columns_come_in_the_order_asked_for_with_their_text(model: Path, table: str) -> None:
    assert lines(shown(model, table, "_rlnEstimatedResolution", "rlnClassDistribution")) == [
        ["rlnEstimatedResolution", "rlnClassDistribution"],
        ["64.000000", "0.499940"],
        ["53.333333", "0.500060"],
    ]


def test_a_column_can_be_named_without_its_table(model: Path) -> None:
    assert lines(shown(model, "rlnClassDistribution", "rlnEstimatedResolution")) == lines(
        shown(model, "model_classes", "rlnClassDistribution", "rlnEstimatedResolution")
    )


def test_a_list_is_printed_label_by_label(model: Path) -> None:
    rows = lines(shown(model, "model_general", "rlnNrClasses", "rlnPixelSize"))
    assert rows == [["label", "value"], ["rlnNrClasses", "2"], ["rlnPixelSize", "10.000000"]]


def test_csv_and_json_keep_the_text_of_the_file(tmp_path: Path) -> None:
    columns = {"rlnTomoName": ["01", "TS 1,2"], "rlnOriginXAngst": ["1e3", "-0.000"], "note": ['say "x"', ""]}
    write_star(tmp_path / "a.star", [StarBlock.loop("particles", columns)])
    rows = list(csv.reader(io.StringIO(shown(tmp_path / "a.star", format="csv"))))
    assert rows == [list(columns), ["01", "1e3", 'say "x"'], ["TS 1,2", "-0.000", ""]]
    assert json.loads(shown(tmp_path / "a.star", format="json")) == [dict(zip(columns, row, strict=True)) for row in rows[1:]]


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left() -> None:
    star = StarFile((StarBlock.loop("t", {"a": ["1", "200"], "name": ["xyz", "q"]}),))
    assert file_grid(star).as_text() == "  a  name\n  1  xyz\n200  q\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("model_nothing",), "Expected the table data_model_nothing"),
        (("model_classes", "rlnNoSuch"), "Expected the column _rlnNoSuch in table data_model_classes"),
        (("rlnClassDistribution", "rlnPixelSize"), "Expected a table with the columns rlnClassDistribution, rlnPixelSize"),
    ],
)
def test_unknown_tables_and_columns_are_named(model: Path, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        shown(model, *words)


@pytest.mark.skipif(shutil.which("relion_star_printtable") is None, reason="relion_star_printtable is not installed")
def test_values_are_those_that_relion_star_printtable_prints(golden: Path) -> None:
    path = golden / "Class3D_3d" / "run_it004_data.star"
    columns = ("rlnTomoParticleName", "rlnAngleRot", "rlnClassNumber", "rlnLogLikeliContribution")
    command = ["relion_star_printtable", str(path), "data_particles", *columns]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert lines(shown(path, "particles", *columns))[1:] == lines(printed)


def test_iterations_show_resolution_changes_and_class_sizes(golden: Path) -> None:
    rows = lines(shown(golden / "Class3D_3d" / "run_it001_optimiser.star", iterations=True))
    table = {label: [row[i] for row in rows[1:]] for i, label in enumerate(rows[0])}
    assert table["iteration"] == ["0", "1", "4"]
    assert table["rlnCurrentResolution"] == ["inf", "64.000000", "53.333333"]
    assert table["rlnChangesOptimalClasses"][1:] == ["1.000000", "0.000000"]
    assert table["rlnClassDistribution:1"] == ["0.500000", "0.416656", "0.499940"]
    assert table["rlnClassDistribution:2"] == ["0.500000", "0.583344", "0.500060"]
    assert table["rlnEstimatedResolution:2"] == ["inf", "inf", "53.333333"]


def test_columns_of_other_files_of_the_iteration_are_found(model: Path) -> None:
    rows = lines(shown(model, "rlnChangesOptimalOffsets", "rlnHealpixOrder", "rlnNrClasses", iterations=True))
    assert rows[0] == ["iteration", "rlnChangesOptimalOffsets", "rlnHealpixOrder", "rlnNrClasses"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "4"]
    assert rows[3][1:] == ["6.350645", "2", "2"]


def test_a_column_that_one_iteration_lacks_is_empty_there(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model.parent, tmp_path / "run")
    (tmp_path / "run" / "run_it001_model.star").unlink()
    grid = iteration_grid(collect(tmp_path / "run" / model.name, None, ("rlnAveragePmax",)))
    assert grid.rows == (("0", "0.000000"), ("1", ""), ("4", "0.916747"))
    np.testing.assert_allclose(grid.numbers("rlnAveragePmax"), [0, np.nan, 0.916747])


def test_files_of_other_runs_in_the_folder_are_left_out(model: Path, tmp_path: Path) -> None:
    for name in ("run_it004_model.star", "run_it1000_model.star", "other_it005_model.star", "run_it006_class001.mrc"):
        shutil.copy(model, tmp_path / name)
    assert find_run(tmp_path / "run_it004_model.star").iterations == (4, 1000)


def test_what_cannot_be_shown_over_iterations_is_refused(model: Path, golden: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Expected a file of one iteration"):
        shown(golden / "tomograms.star", iterations=True)
    with pytest.raises(FileMissingError, match="found nothing there"):
        shown(model.parent / "run_it777_model.star", iterations=True)
    with pytest.raises(InputError, match="found it in no iteration"):
        shown(model, "rlnNoSuch", iterations=True)
    with pytest.raises(InputError, match="found it in no iteration"):
        shown(model, "model_general", "rlnClassDistribution", iterations=True)
    write_star(tmp_path / "run_it001_data.star", [StarBlock.loop("particles", {"x": np.arange(600)})])
    with pytest.raises(InputError, match="at most 512 rows"):
        shown(tmp_path / "run_it001_data.star", "x", iterations=True)


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return np.asarray(imread(path))[..., :3]


def test_a_plot_of_a_table_over_a_column(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "ssnr.png"
    text = shown(model, "model_class_1", "rlnSsnrMap", x="_rlnResolution", plot=target, log=True)
    assert lines(text)[0] == ["rlnSsnrMap"]
    image = pixels(target)
    assert image.shape[1] == 975
    assert image.std() > 0.05


@pytest.mark.parametrize("suffix", [".pdf", ".svg"])
def test_plots_can_be_vector_graphics(model: Path, tmp_path: Path, suffix: str) -> None:
    shown(model, "model_class_1", "rlnSsnrMap", plot=tmp_path / f"p{suffix}")
    head = (tmp_path / f"p{suffix}").read_bytes()[:5]
    assert head == (b"%PDF-" if suffix == ".pdf" else b"<?xml")


def test_a_plot_over_iterations_has_a_panel_a_column_and_a_curve_a_class(model: Path, tmp_path: Path) -> None:
    shown(model, "rlnClassDistribution", iterations=True, plot=tmp_path / "one.png")
    shown(model, iterations=True, plot=tmp_path / "all.png")
    one, whole = pixels(tmp_path / "one.png"), pixels(tmp_path / "all.png")
    assert whole.shape[0] > 4 * one.shape[0]
    for colour in ((0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)):  # the first two colours of classes
        assert (np.abs(one - np.array(colour) / 255).max(axis=-1) < 0.02).sum() > 200


def test_a_spectrum_over_iterations_has_a_curve_an_iteration(model: Path, tmp_path: Path) -> None:
    options = {"iterations": True, "x": "rlnResolution", "plot": tmp_path / "p.png", "log": True}
    text = shown(model, "model_class_2", "rlnSsnrMap", **options)
    assert lines(text)[0][:3] == ["iteration", "rlnSsnrMap:1", "rlnSsnrMap:2"]
    assert (tmp_path / "p.png").stat().st_size > 10_000
    with pytest.raises(InputError, match="as many rows of rlnNrClasses as of rlnSsnrMap"):
        shown(model, "rlnSsnrMap", **{**options, "x": "rlnNrClasses"})


def test_what_cannot_be_drawn_is_said_and_leaves_no_file(model: Path, golden: Path, tmp_path: Path) -> None:
    data = golden / "Class3D_3d" / "run_it004_data.star"
    target = tmp_path / "p.png"
    for file, words, sentence in (
        (model, ("model_general", "rlnPixelSize"), "found the list data_model_general"),
        (data, ("particles", "rlnImageName"), "Expected numbers in the column rlnImageName"),
        (data, ("particles",), "at most 12 columns"),
    ):
        with pytest.raises(InputError, match=sentence):
            shown(file, *words, plot=target)
    with pytest.raises(InputError, match=r"ending in \.png"):
        shown(model, "model_class_1", "rlnSsnrMap", plot=tmp_path / "p.jpeg")
    assert list(tmp_path.iterdir()) == []


def test_units_stand_at_the_axes() -> None:
    assert axis_label("rlnCurrentResolution") == "rlnCurrentResolution (Å)"
    assert axis_label("rlnOriginXAngst") == "rlnOriginXAngst (Å)"
    assert axis_label("rlnClassNumber") == "rlnClassNumber"


def test_the_hiv_classification_shows_its_nine_classes(shared: Path) -> None:
    path = shared / "data/relion5_hiv_project/Class3D/job017/run_it025_model.star"
    rows = lines(shown(path, "model_classes", "rlnClassDistribution"))
    assert len(rows) == 10
    assert sum(float(row[0]) for row in rows[1:]) == pytest.approx(1, abs=1e-5)
    over = lines(shown(path, iterations=True))
    assert over[1][0] == "25"
    assert over[0].count("rlnClassDistribution:9") == 1


def test_the_command_says_its_lines(model: Path, tmp_path: Path) -> None:
    said: list[str] = []

    class Listener(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    options = TableOptions(file=model, table="model_classes", columns=("rlnClassDistribution",), plot=tmp_path / "p.png")
    result = run(options, None, Listener())
    assert said == ["rlnClassDistribution", "            0.499940", "            0.500060"]
    assert result.outputs == {"plot": tmp_path / "p.png"}
