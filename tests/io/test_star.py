"""STAR files keep every text, whatever it looks like, and errors say where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.star import StarBlock, format_star, parse_star, read_star, write_star

AWKWARD = """# made by hand
# second line

data_general

_rlnTomoSubTomosAre2DStacks   1
_rlnEmpty ""
_rlnNothing


# version 50001

data_particles

loop_
_rlnTomoName #1
_rlnNumberAsText #2
_rlnDenoised #3
_rlnFrames #4
_rlnQuoted #5
01 1e3 N/A [1,1,0,1] 'TS 1'
1e3 007 None [1,1,1,1] ""
"TS 1" -0.0 inf [0,0,0,1] it's
5'end 1.50 nan [1] 'say "hi" now'
# trailing words
"""


def test_awkward_values_stay_what_they_are():
    table = parse_star(AWKWARD)["particles"]
    assert table.texts("rlnTomoName") == ("01", "1e3", "TS 1", "5'end")
    assert table.texts("rlnNumberAsText") == ("1e3", "007", "-0.0", "1.50")
    assert table.texts("rlnDenoised") == ("N/A", "None", "inf", "nan")
    assert table.texts("rlnFrames") == ("[1,1,0,1]", "[1,1,1,1]", "[0,0,0,1]", "[1]")
    assert table.texts("rlnQuoted") == ("TS 1", "", "it's", 'say "hi" now')
    general = parse_star(AWKWARD)["data_general"]
    assert (general.text("rlnEmpty"), general.text("rlnNothing")) == ("", "")


def test_editing_one_row_changes_nothing_else(tmp_path: Path):
    (tmp_path / "a.star").write_text(AWKWARD)
    star = read_star(tmp_path / "a.star")
    table = star["particles"]
    edited = list(table.texts("rlnNumberAsText"))
    edited[1] = "8"
    write_star(tmp_path / "b.star", star.replace(table.with_column("rlnNumberAsText", edited)))
    back = read_star(tmp_path / "b.star")
    assert back.names == star.names == ("general", "particles")
    assert [b.kind for b in back] == ["list", "loop"]
    assert back["particles"].labels == table.labels
    for label in table.labels:
        expected = tuple(edited) if label == "rlnNumberAsText" else table.texts(label)
        assert back["particles"].texts(label) == expected
    assert back["general"].columns == star["general"].columns


def test_a_hundred_cycles_are_byte_identical_from_the_second_on(tmp_path: Path):
    path = tmp_path / "a.star"
    path.write_text(AWKWARD)
    write_star(path, read_star(path))
    first = path.read_bytes()
    for _ in range(100):
        write_star(path, read_star(path))
        assert path.read_bytes() == first


def test_comments_stay_with_their_tables():
    star = parse_star(AWKWARD)
    assert star["general"].comments == ("# made by hand", "# second line")
    assert star["particles"].comments == ("# version 50001",)
    assert star.trailer == ("# trailing words",)
    again = parse_star(format_star(star))
    assert [b.comments for b in again] == [b.comments for b in star]
    assert again.trailer == star.trailer


def test_what_relion_wrote_comes_back_byte_for_byte(golden: Path):
    """The layout is RELION's own, so its files do not change at all."""
    written_by_relion = [p for p in sorted(golden.rglob("*.star")) if "starfile" not in p.read_text()[:60]]
    assert len(written_by_relion) > 30
    for path in written_by_relion:
        assert format_star(read_star(path)) == path.read_text(), path


def test_the_picker_s_layout_settles_at_once(golden: Path):
    """Files of the starfile package take RELION's layout at the first save and then stay."""
    for name in "particles.star", "tomograms.star", "truth.star", "tilt_series/TS_01.star":
        star = read_star(golden / name)
        once = format_star(star)
        again = parse_star(once)
        assert format_star(again) == once
        for before, after in zip(star, again, strict=True):
            assert (before.name, before.kind, dict(before.columns)) == (after.name, after.kind, dict(after.columns))


def test_windows_line_ends_and_byte_order_mark_are_read(tmp_path: Path):
    path = tmp_path / "w.star"
    path.write_bytes(b"\xef\xbb\xbfdata_x\r\n\r\nloop_\r\n_a #1\r\n_b #2\r\n1 2\r\n")
    assert read_star(path)["x"].texts("b") == ("2",)


def test_bytes_that_are_no_utf8_survive(tmp_path: Path):
    path = tmp_path / "latin.star"
    path.write_bytes(b"data_x\n\nloop_\n_a #1\n_b #2\nM\xfcller 2\n")
    write_star(tmp_path / "again.star", read_star(path))
    assert b"M\xfcller" in (tmp_path / "again.star").read_bytes()


def test_other_white_space_than_blank_and_tab_belongs_to_the_value():
    star = parse_star("data_x\nloop_\n_a\n_b\na\xa0b\t2\nc\x0bd 3\n")
    assert star["x"].texts("a") == ("a\xa0b", "c\x0bd")
    assert parse_star(format_star(star))["x"].columns == star["x"].columns


def test_a_table_may_be_called_as_a_tomogram_with_a_space():
    star = parse_star("data_TS 1\n\nloop_\n_a #1\n1\n\ndata_particles\n\nloop_\n_a #1\n_b #2\ndata_01.mrc 2\n")
    assert star.names == ("TS 1", "particles")
    assert star["particles"].texts("a") == ("data_01.mrc",)
    assert parse_star(format_star(star)).names == star.names


def test_first_values_that_look_like_keywords_are_quoted():
    block = StarBlock.loop("x", {"a": ["data_y", "loop_", "_label", "#no comment", "\ufeff"]})
    again = parse_star(format_star([block]))["x"]
    assert again.texts("a") == ("data_y", "loop_", "_label", "#no comment", "\ufeff")


def test_the_first_table_is_found_without_a_name_and_any_with_and_without_data():
    star = parse_star("data_\n\n_rlnTomoParticlesFile a.star\n")
    assert star.first.name == ""
    assert star[""].text("rlnTomoParticlesFile") == "a.star"
    assert parse_star("data_data_x\n_a 1\n")["data_x"].name == "data_x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["data_", "found none", "file.star"]),
        ("hello\n", ["hello", "line 1", "file.star"]),
        ("data_x\n_a 1\n\ndata_x\n_a 1\n", ["data_x", "again", "line 4", "file.star"]),
        ("data_x\nloop_\n_a #1\n_b #2\n1 2\n3\n", ["row 2", "data_x", "line 6", "found 1", "_b", "cut off"]),
        ("data_x\nloop_\n_a #1\n_b #2\n1 2 3\n", ["row 1", "found 3", "quote"]),
        ("data_x\nloop_\n_a #1\n_a #2\n1 2\n", ["_a", "again", "line 4"]),
        ("data_x\n_a 1\n_a 2\n", ["_a", "again", "line 3"]),
        ("data_x\n_a 1 2\n", ["_a", "found 2", "line 2"]),
        ("data_x\nloop_\n_a #1\n_b #2\n'open 2\n", ["closing quote", "line 5"]),
        ("data_x\n_a 1\nloop_\n_b\n1\n", ["second loop_", "data_x"]),
    ],
)
def test_broken_files_are_refused_in_one_sentence(tmp_path: Path, text: str, words: list[str]):
    path = tmp_path / "file.star"
    path.write_text(text)
    with pytest.raises(FileFormatError) as error:
        read_star(path)
    message = str(error.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_missing_files_tables_columns_and_numbers_are_named(tmp_path: Path):
    with pytest.raises(FileMissingError, match=r"none\.star"):
        read_star(tmp_path / "none.star")
    path = tmp_path / "p.star"
    path.write_text("data_particles\nloop_\n_a #1\n_b #2\n1.5 x\n2 nan\n")
    star = read_star(path)
    with pytest.raises(FileFormatError, match=r"data_optics in .*p\.star, found data_particles"):
        star["optics"]
    table = star["particles"]
    with pytest.raises(FileFormatError, match=r"_c in table data_particles of .*p\.star, found a, b"):
        table.texts("c")
    with pytest.raises(FileFormatError, match=r"number in row 1, column _b of table data_particles of .*p\.star, found 'x'"):
        table.floats("b")
    with pytest.raises(FileFormatError, match=r"integer in row 1, column _a .* found '1\.5'"):
        table.ints("a")
    with pytest.raises(FileFormatError, match=r"finite number in row 2, column _b .* found 'nan'"):
        table.rows([1, 1]).rows([0, 1]).with_column("b", ["1", "nan"]).floats("b", finite=True)


def test_numbers_are_read_and_written_as_relion_does():
    table = parse_star("data_x\nloop_\n_a\n_b\n1.000 -inf\n2 1e-4\n")["x"]
    np.testing.assert_array_equal(table.ints("a"), [1, 2])
    np.testing.assert_array_equal(table.floats("b"), [-np.inf, 1e-4])
    block = StarBlock.loop("x", {"f": np.array([0.0, -1234.5, 1e-5, 2e6]), "i": [1, 2, 3, 4], "b": [True, False, True, True]})
    assert block.texts("f") == ("0.000000", "-1234.500000", "1.000000e-05", "2.000000e+06")
    assert block.texts("i") == ("1", "2", "3", "4")
    assert block.texts("b") == ("1", "0", "1", "1")


def test_rows_are_chosen_by_mask_or_number():
    table = StarBlock.loop("x", {"a": ["p", "q", "r"]})
    assert table.rows([2, 0]).texts("a") == ("r", "p")
    assert table.rows(np.array([False, True, False])).texts("a") == ("q",)
    with pytest.raises(InputError, match="mask of 3 rows"):
        table.rows(np.array([True]))


def test_values_that_no_star_file_can_hold_are_refused_and_nothing_is_written(tmp_path: Path):
    path = tmp_path / "x.star"
    path.write_text("data_old\n_a 1\n")
    for value in ("two\nlines", """both " and ' here"""):
        with pytest.raises(InputError):
            write_star(path, [StarBlock.loop("x", {"a": [value]})])
    assert path.read_text() == "data_old\n_a 1\n"
    assert [p.name for p in tmp_path.iterdir()] == ["x.star"]


def test_columns_of_different_length_are_refused():
    with pytest.raises(InputError, match="one length"):
        StarBlock.loop("x", {"a": ["1"], "b": ["1", "2"]})
    with pytest.raises(InputError, match="Expected 1 values for _b"):
        StarBlock.loop("x", {"a": ["1"]}).with_column("b", ["1", "2"])


def test_a_folder_that_is_a_file_is_an_input_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        write_star(tmp_path / "file" / "x.star", [StarBlock.list("x", {"a": 1})])
