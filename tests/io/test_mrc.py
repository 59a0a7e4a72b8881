"""Volumes of all modes are read, written whole, and bad ones refused with numbers."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest

from napari_subtomo.errors import FileFormatError, FileMissingError, InputError
from napari_subtomo.io.mrc import mrc_header, open_mrc, read_mrc, require_finite, write_mrc


@pytest.mark.parametrize(("dtype", "mode"), [("i1", 0), ("i2", 1), ("f4", 2), ("u2", 6), ("f2", 12)])
def test_every_mode_of_the_mrcfile_package_is_read(tmp_path: Path, dtype: str, mode: int):
    values = (np.arange(2 * 3 * 4).reshape(2, 3, 4) - (0 if dtype == "u2" else 7)).astype(dtype)
    with mrcfile.new(tmp_path / "v.mrc") as mrc:
        mrc.set_data(values)
        mrc.voxel_size = 7.84
    header = mrc_header(tmp_path / "v.mrc")
    assert header.mode == mode
    assert header.shape == (2, 3, 4)
    assert header.voxel_size == pytest.approx(7.84, rel=1e-6)
    read = read_mrc(tmp_path / "v.mrc")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_big_endian_and_extended_headers_are_read(tmp_path: Path):
    values = np.arange(24, dtype=">f4").reshape(2, 3, 4)
    words = np.zeros(256, dtype=">i4")
    words[0:3], words[3], words[7:10], words[16:19], words[23] = (4, 3, 2), 2, (4, 3, 2), (1, 2, 3), 80
    words.view(">f4")[10:13] = (8, 6, 4)
    (tmp_path / "big.mrc").write_bytes(words.tobytes() + bytes(80) + values.tobytes())
    assert mrc_header(tmp_path / "big.mrc").voxel_size == 2.0
    np.testing.assert_array_equal(read_mrc(tmp_path / "big.mrc"), values)


@pytest.mark.parametrize(("order", "stamp"), [("<", b"\x44\x44"), ("<", b"\x44\x41"), (">", b"\x11\x11"), ("<", b"\x11\x11"), (">", b"DD")])
def test_byte_order_is_that_of_the_machine_stamp_or_the_one_that_makes_sense(tmp_path: Path, order: str, stamp: bytes):
    values = np.arange(24, dtype=order + "f4").reshape(2, 3, 4)
    words = np.zeros(256, dtype=order + "i4")
    words[0:3], words[3], words[7:10], words[16:19] = (4, 3, 2), 2, (4, 3, 2), (1, 2, 3)
    raw = bytearray(words.tobytes())
    raw[208:212], raw[212:214] = b"MAP ", stamp
    (tmp_path / "v.mrc").write_bytes(bytes(raw) + values.tobytes())
    np.testing.assert_array_equal(read_mrc(tmp_path / "v.mrc"), values.astype(np.float32))


def test_imod_bytes_are_unsigned(tmp_path: Path):
    words = np.zeros(256, dtype="<i4")
    words[0:3], words[7:10], words[16:19], words[38] = (2, 1, 1), (2, 1, 1), (1, 2, 3), 1146047817
    (tmp_path / "imod.mrc").write_bytes(words.tobytes() + bytes([200, 3]))
    np.testing.assert_array_equal(read_mrc(tmp_path / "imod.mrc").ravel(), [200, 3])


@pytest.mark.parametrize("float16", [False, True])
def test_what_is_written_reads_the_same_here_and_in_mrcfile(tmp_path: Path, float16: bool):
    values = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float16).astype(np.float32)
    write_mrc(tmp_path / "v.mrc", values, 2.7, float16=float16)
    np.testing.assert_array_equal(read_mrc(tmp_path / "v.mrc"), values)
    assert mrc_header(tmp_path / "v.mrc").mode == (12 if float16 else 2)
    assert mrcfile.validate(str(tmp_path / "v.mrc"))
    with mrcfile.open(tmp_path / "v.mrc") as mrc:
        np.testing.assert_array_equal(mrc.data.astype(np.float32), values)
        assert float(mrc.voxel_size.x) == pytest.approx(2.7, rel=1e-6)
        assert float(mrc.header.rms) == pytest.approx(values.std(), rel=1e-5)
        assert mrc.is_volume()
    assert (tmp_path / "v.mrc").stat().st_size == 1024 + values.size * (2 if float16 else 4)


def test_a_stack_is_marked_as_one(tmp_path: Path):
    write_mrc(tmp_path / "s.mrcs", np.ones((3, 4, 4)), 1.5, stack=True)
    assert mrc_header(tmp_path / "s.mrcs").is_stack
    with mrcfile.open(tmp_path / "s.mrcs") as mrc:
        assert mrc.is_image_stack()


def test_relion_s_own_files_read_as_mrcfile_reads_them(golden: Path):
    for name in (
        "Reconstruct/merged.mrc",
        "Extract3d_bin2_f16/Subtomograms/TS_01/3_data.mrc",
        "Extract2d_bin2_f16/Subtomograms/TS_01/3_stack2d.mrcs",
    ):
        with mrcfile.open(golden / name, permissive=True) as mrc:
            np.testing.assert_array_equal(read_mrc(golden / name), mrc.data.astype(np.float32))
    assert mrc_header(golden / "Reconstruct/merged.mrc").voxel_size == pytest.approx(10)
    assert mrc_header(golden / "Extract3d_bin2_f16/Subtomograms/TS_01/3_data.mrc").mode == 12


def test_a_map_into_memory_is_read_only_and_cuts_without_reading_all(tmp_path: Path):
    write_mrc(tmp_path / "v.mrc", np.arange(60).reshape(3, 4, 5), 1.0)
    mapped = open_mrc(tmp_path / "v.mrc")
    assert isinstance(mapped, np.memmap)
    assert mapped[1, 2, 3] == 33
    with pytest.raises(ValueError, match="read-only"):
        mapped[0, 0, 0] = 1


def test_a_truncated_file_says_how_many_bytes_are_missing(tmp_path: Path):
    path = tmp_path / "cut.mrc"
    write_mrc(path, np.ones((4, 4, 4)), 1.0)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match=r"Expected 1280 bytes .*cut\.mrc, found 1270"):
        read_mrc(path)
    path.write_bytes(b"short")
    with pytest.raises(FileFormatError, match="found 5 bytes"):
        read_mrc(path)


def test_other_axis_orders_unknown_modes_and_other_files_are_refused(tmp_path: Path):
    path = tmp_path / "v.mrc"
    write_mrc(path, np.ones((2, 2, 2)), 1.0)
    good = path.read_bytes()
    for word, value, message in (16, 3, "MAPC"), (3, 4, "mode 4"), (3, 101, "mode 101"), (0, -1, "no MRC header"):
        words = np.frombuffer(good, dtype="<i4").copy()
        words[word] = value
        path.write_bytes(words.tobytes())
        with pytest.raises(FileFormatError, match=message):
            read_mrc(path)
    with pytest.raises(FileMissingError, match="nothing there"):
        read_mrc(tmp_path / "none.mrc")


def test_values_that_are_not_finite_are_found_and_never_written(tmp_path: Path):
    volume = np.ones((2, 3, 4))
    volume[1, 2, 3] = np.nan
    with pytest.raises(FileFormatError, match=r"found 1 .* zyx \(1, 2, 3\)"):
        require_finite(volume, "v.mrc")
    with pytest.raises(InputError, match="found 1 that do not"):
        write_mrc(tmp_path / "v.mrc", volume, 1.0)
    with pytest.raises(InputError, match="write float32"):
        write_mrc(tmp_path / "v.mrc", np.full((2, 2, 2), 1e6), 1.0, float16=True)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path: Path):
    path = tmp_path / "v.mrc"
    write_mrc(path, np.ones((2, 2, 2)), 1.0)
    before = path.read_bytes()
    with pytest.raises(InputError):
        write_mrc(path, np.full((2, 2, 2), np.inf), 1.0)
    assert path.read_bytes() == before
