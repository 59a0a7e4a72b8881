"""A density placed by hand comes back in place; matrices, files and the density itself are worked out here, apart from the program."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from helpers.terminal import succeed

#: x, y, z, height: no symmetry, one hand; Å about the particle's centre
BLOBS = np.array([[0, 0, 0, 1.0], [70, 0, 5, 1.6], [0, 50, 15, 0.8], [-15, 12, 66, 1.3], [-55, -40, -12, 1.0], [25, -50, -45, 0.7]])
WIDTH = 16.0
BOX, VOXEL = 34, 10.0
TILTS = np.arange(-60, 61, 3.0)
#: coordinate, origin (Å), angles of the subtomogram frame and of the particle (rot, tilt, psi)
ONE = [((31.3, -64.9, 41.7), (13.1, -8.2, 21.4), (31.0, 62.0, -75.0), (-120.0, 40.0, 15.0))]
COLUMNS = ["rlnTomoName", "rlnTomoParticleName"]
COLUMNS += [f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"] + [f"rlnOrigin{axis}Angst" for axis in "XYZ"]
COLUMNS += [f"rln{kind}{angle}" for kind in ("TomoSubtomogram", "Angle") for angle in ("Rot", "Tilt", "Psi")] + ["rlnOpticsGroup"]


def about_z(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def about_y(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def pose(angles: tuple[float, float, float]) -> np.ndarray:
    """RELION's matrix that takes a point of the reference into the tomogram, on columns (x, y, z)."""
    rot, tilt, psi = angles
    return about_z(-psi) @ about_y(-tilt) @ about_z(-rot)


def density(shape_zyx: tuple[int, int, int], centre_xyz: np.ndarray, matrix: np.ndarray, voxel: float) -> np.ndarray:
    """The blobs turned by a matrix, about a place in voxels."""
    z, y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in shape_zyx), indexing="ij")
    out = np.zeros(shape_zyx)
    for *place, height in BLOBS:
        a, b, c = centre_xyz + matrix @ np.array(place) / voxel
        out += height * np.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / 2 / (WIDTH / voxel) ** 2)
    return out


def back_projection(shape_zyx: tuple[int, int, int], centre_xyz: np.ndarray, matrix: np.ndarray, voxel: float) -> np.ndarray:
    """The same as a tilt series shows it: the weighted back-projection of the blobs' projections, each again a blob."""
    width, fine = WIDTH / voxel, 16
    k = np.fft.rfftfreq(512 * fine, 1 / fine)
    ramped = np.fft.fftshift(np.fft.irfft(k * np.exp(-2 * (np.pi * width * k) ** 2))) * fine * 2 * np.pi * width**2
    places = (np.arange(512 * fine) - 256 * fine) / fine
    z, y, x = (np.arange(n, dtype=float) for n in shape_zyx)
    out = np.zeros(shape_zyx)
    for *place, height in BLOBS:
        a, b, c = centre_xyz + matrix @ np.array(place) / voxel
        plane = np.zeros((len(z), len(x)))
        for tilt in np.radians(TILTS):
            plane += np.radians(TILTS[1] - TILTS[0]) * np.interp(
                (x - a)[None, :] * np.cos(tilt) + (z - c)[:, None] * np.sin(tilt), places, ramped
            )
        out += height * plane[:, None, :] * np.exp(-((y - b) ** 2) / 2 / width**2)[None, :, None]
    return out


def reference(matrix: np.ndarray | None = None, shift: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """The density as an average shows it: its centre at voxel n // 2."""
    return density((BOX,) * 3, np.full(3, BOX // 2) + shift, np.eye(3) if matrix is None else matrix, VOXEL)


def write_star(path: Path, tables: dict[str, tuple[list[str], list[list[object]]]]) -> None:
    text = ""
    for name, (labels, rows) in tables.items():
        text += f"\ndata_{name}\n\nloop_\n" + "".join(f"_{label}\n" for label in labels)
        text += "".join(" ".join(map(str, row)) + "\n" for row in rows) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_project(root: Path, poses: list, size_xyz: tuple[int, int, int], pixel: float, binning: int, *, wedge: bool = False) -> None:
    """A tomogram with dark densities at their places, and the STAR files that tell of them.

    Without a wedge the tomogram holds all of the densities, and its tilts go all round.
    """
    draw, tilts = (back_projection, TILTS) if wedge else (density, np.arange(-89, 90, 2.0))
    shape = tuple(n // binning for n in reversed(size_xyz))
    volume = np.zeros(shape)
    for coordinate, origin, frame, angles in poses:
        s = pose(frame)
        unbinned = np.array(coordinate) / pixel + np.array(size_xyz) / 2 - s @ np.array(origin) / pixel
        volume -= draw(shape, unbinned / binning, s @ pose(angles), pixel * binning)
    (root / "tomograms").mkdir(parents=True)
    with mrcfile.new(root / "tomograms/T.mrc") as mrc:
        mrc.set_data(volume.astype(np.float32))
        mrc.voxel_size = pixel * binning
    write_star(root / "tilt_series/T.star", {"T": (["rlnTomoYTilt", "rlnTomoZRot"], [[tilt, 85.0] for tilt in tilts])})
    labels = "rlnTomoName rlnTomoTiltSeriesPixelSize rlnTomoHand rlnOpticsGroupName rlnTomoTiltSeriesStarFile rlnTomoTomogramBinning"
    labels += " rlnTomoSizeX rlnTomoSizeY rlnTomoSizeZ rlnTomoReconstructedTomogram"
    row = ["T", pixel, -1, "optics1", "tilt_series/T.star", binning, *size_xyz, "tomograms/T.mrc"]
    write_star(root / "tomograms.star", {"global": (labels.split(), [row])})
    rows = [["T", f"T/{i + 1}", *c, *o, *s, *a, 1] for i, (c, o, s, a) in enumerate(poses)]
    optics = ["rlnOpticsGroup", "rlnOpticsGroupName", "rlnTomoTiltSeriesPixelSize"]
    write_star(root / "particles.star", {"optics": (optics, [[1, "optics1", pixel]]), "particles": (COLUMNS, rows)})


def averaged(root: Path, binning: int) -> np.ndarray:
    lines = (
        f"extract --from tomogram --particles particles.star --tomograms tomograms.star --box-size {BOX} --binning {binning} --no-normalize"
        " --no-float16 -o Extract/job001",
        "reconstruct --particles Extract/job001/particles.star -o Reconstruct/job002",
    )
    for line in lines:
        succeed(line, root)
    with mrcfile.open(root / "Reconstruct/job002/merged.mrc") as mrc:
        assert float(mrc.voxel_size.x) == pytest.approx(VOXEL)
        return np.array(mrc.data, dtype=float)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def wrong_ones() -> dict[str, np.ndarray]:
    """What other conventions would make of it."""
    right, s, a = reference(), pose(ONE[0][2]), pose(ONE[0][3])
    found = {f"one voxel along axis {axis}": np.roll(right, 1, axis) for axis in range(3)}
    found |= {f"half a voxel along {'xyz'[i]}": reference(shift=tuple(np.eye(3)[i] * 0.5)) for i in range(3)}
    found |= {f"mirrored along {'xyz'[i]}": reference(np.diag(1 - 2 * np.eye(3)[i])) for i in range(3)}
    found |= {f"axes {order}": right.transpose(order) for order in permutations(range(3)) if order != (0, 1, 2)}
    found |= {"inverse pose": reference((s @ a).T @ (s @ a).T), "frame forgotten": reference((s @ a).T @ a)}
    found |= {"frame after the pose": reference((s @ a).T @ a @ s), "5 degrees off": reference(about_y(5))}
    return found


@pytest.mark.parametrize(("size", "pixel", "binning"), [((93, 80, 71), 10.0, 1), ((186, 162, 142), 5.0, 2)], ids=["unbinned", "binned"])
def test_one_density_comes_back_in_place_and_no_variant_of_it_fits(tmp_path: Path, size: tuple, pixel: float, binning: int) -> None:
    write_project(tmp_path, ONE, size, pixel, binning)
    found = averaged(tmp_path, binning)
    right = correlation(found, reference())
    assert right > 0.99
    assert np.vdot(found, reference()) / np.vdot(reference(), reference()) == pytest.approx(1, abs=0.05)  # and on its own grey scale
    scores = {name: correlation(found, wrong) for name, wrong in wrong_ones().items()}
    assert max(scores.values()) < min(0.99, right), scores


def test_densities_without_their_missing_wedges_fill_each_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    places = [(x, y, z) for x in (-540.0, -180.0, 180.0, 540.0) for y in (-180.0, 180.0) for z in (-180.0, 180.0)][:10]
    poses = [(p + rng.uniform(-9, 9, 3), rng.uniform(-9, 9, 3), rng.uniform(20, 160, 3), rng.uniform(20, 160, 3)) for p in places]
    write_project(tmp_path, poses, (153, 78, 77), 10.0, 1, wedge=True)
    found = averaged(tmp_path, 1)
    assert correlation(found, reference()) > 0.99
    assert np.vdot(found, reference()) / np.vdot(reference(), reference()) == pytest.approx(1, abs=0.05)
    assert correlation(found, reference(np.diag([1.0, 1.0, -1.0]))) < 0.9
