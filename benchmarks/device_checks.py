"""Everything that can run on a GPU, each with a small input: the same computation is done there and by numpy, and compared."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from device_verdicts import CHECKS, Check, Outputs, check, compare

from napari_subtomo.data.subtomograms import StoredSubtomograms
from napari_subtomo.data.tomogram import TiltSeries, Tomogram
from napari_subtomo.em.engine import _e_step, initial_state, one_iteration
from napari_subtomo.em.expectation import EStep, search
from napari_subtomo.em.prepare import prepare
from napari_subtomo.em.sampling import iteration_poses
from napari_subtomo.em.seeding import clustered_references
from napari_subtomo.extract.noise import NoiseCheck
from napari_subtomo.extract.resample import Resampling, resample
from napari_subtomo.extract.statistics import premultiplied, relion5_weights, whitened
from napari_subtomo.extract.transfer import MeanTransfer
from napari_subtomo.geometry.orientations import random_matrices
from napari_subtomo.geometry.projection import tilt_matrices
from napari_subtomo.geometry.symmetry import symmetry_matrices
from napari_subtomo.numerics import fourier, fsc
from napari_subtomo.numerics.backend import device_context, namespace, to_device
from napari_subtomo.numerics.ctf import ctf, dose_weight
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.numerics.padded_grid import PaddedGrid
from napari_subtomo.numerics.planes import PlaneSums
from napari_subtomo.numerics.rotate import Interpolation, rotate_volume
from napari_subtomo.numerics.slices import insert_slices, slice_insertion
from napari_subtomo.numerics.wedge import make_wedge
from napari_subtomo.progress import Silent
from napari_subtomo.reconstruct.average import average
from napari_subtomo.reconstruct.gridded import solve_planes
from napari_subtomo.reconstruct.sums import solve
from napari_subtomo.tilts.plan import Sightings
from napari_subtomo.tilts.slices import SliceMaker
from napari_subtomo.tilts.stacks import stack_images
from napari_subtomo.tilts.volumes import pseudo_subtomogram

__all__ = ["CHECKS", "Check", "Outputs", "compare"]


def _noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# --- numerics ------------------------------------------------------------------------------------------------------------


@check(1e-5)
def insertion_of_slices(device: str) -> Outputs:
    """Sums of 2D transforms in a box, with samples that count and samples that do not."""
    rng = np.random.default_rng(8)
    values = (rng.standard_normal((5, 24, 13)) + 1j * rng.standard_normal((5, 24, 13))).astype(np.complex64)
    weights = rng.random((5, 24, 13)).astype(np.float32)
    axes = random_matrices(5, rng)[:, :2] * (16 / 24)
    with device_context(device):
        arrays = [to_device(a, device) for a in (values, weights, axes)]
        plain = insert_slices(*arrays, 16)
        counted = insert_slices(*arrays, 16, to_device((weights > 0.3).astype(np.float32), device))
    return {f"{name} {i}": value for name, three in (("all", plain), ("counted", counted)) for i, value in enumerate(three)}


@check(3e-5)
def particles_of_tilt_images(device: str) -> Outputs:
    """Stacks and pseudo-subtomograms, with a whole and a real-valued binning."""
    rng, n = np.random.default_rng(9), 5
    flat = np.zeros(n)
    angles = {"x_tilt": flat, "y_tilt": np.linspace(-50, 50, n), "z_rot": flat + 85, "x_shift": flat, "y_shift": flat}
    optics = {"defocus_u": flat + 2.2e4, "defocus_v": flat + 2e4, "defocus_angle": flat + 30, "phase_shift": flat, "scale": flat + 1}
    series = TiltSeries("TS_01", **angles, **optics, dose=np.arange(n) * 400.0, bfactor=flat)
    tomogram = Tomogram("TS_01", (100, 90, 40), 4.0, 1.0, 300.0, 2.7, 0.1)
    images = [rng.standard_normal((90, 100)).astype(np.float32) for _ in range(n)]
    places, visible = rng.uniform(35, 55, (1, n, 2)), np.ones((1, n), bool)
    seen = Sightings(tomogram, series, images, places, rng.uniform(-500, 500, (1, n)), visible)  # type: ignore[arg-type]
    out: Outputs = {}
    for binning in (1.0, 1.3):
        slices = SliceMaker(seen, 24, binning, device=device).slices(0)
        with device_context(device):
            insertion = slice_insertion(to_device(seen.axes(np.eye(3)[None])[0] * (16 / 24), device), 24, 16)
            data, weights = pseudo_subtomogram(insertion, slices.values, slices.transfer, slices.counts, binning=binning)
            stack = stack_images(slices.values, 16)
        out |= {f"stack {binning}": stack, f"data {binning}": data, f"weights {binning}": weights, f"transfer {binning}": slices.transfer}
    return out


@check(1e-5)
def centred_transforms(device: str) -> Outputs:
    with device_context(device):
        even, odd = to_device(_noise(16, 16, 16), device), to_device(_noise(9, 12, 15), device)
        forward = fourier.centred_fft(even)
        return {"forward": forward, "back": fourier.centred_ifft(forward), "odd": fourier.centred_fft(odd)}


@check(1e-5)
def layouts_and_cropping(device: str) -> Outputs:
    with device_context(device):
        out = {}
        for n in (12, 13):
            volume = to_device(_noise(n, n, n), device)
            half = fourier.full_to_half(fourier.centred_fft(volume))
            out |= {f"half {n}": half, f"full {n}": fourier.half_to_full(half), f"real {n}": fourier.half_to_full(abs(half))}
            out |= {f"cropped {n}": fourier.fourier_crop(volume, 8), f"padded {n}": fourier.resize_centred(volume, 20)}
        return out


@check(1e-5)
def shells_and_low_pass(device: str) -> Outputs:
    with device_context(device):
        volume = to_device(_noise(16, 16, 16), device)
        transform = fourier.centred_fft(volume)
        means = {"real": fourier.radial_mean(abs(transform) ** 2), "complex": fourier.radial_mean(transform, 6)}
        return means | {"lowpass": fourier.lowpass(volume, 10.0, 50.0)}


@check(1e-5)
def correlation_of_shells(device: str) -> Outputs:
    with device_context(device):
        a, b = to_device(_noise(16, 16, 16), device), to_device(_noise(16, 16, 16) + _noise(16, 16, 16, seed=1), device)
        mask = to_device(soft_sphere(16, 5, 2), device)
        corrected = fsc.corrected_fsc(a, b, mask, np.random.default_rng(1))
        return {"plain": fsc.fsc(a, b), "masked": fsc.fsc(a, b, mask), "corrected": np.stack(corrected)}


@check(1e-3)  # the sine of some hundred radians in float32
def contrast_transfer(device: str) -> Outputs:
    with device_context(device):
        k = to_device(np.linspace(0, 0.05, 200, dtype=np.float32), device)
        angle = to_device(np.linspace(0, 90, 200, dtype=np.float32), device)
        return {"ctf": ctf(k, 0.3 * k, 300.0, 2.7, 0.1, 30000.0, 29000.0, angle, 10.0), "dose": dose_weight(k, 60.0)}


@check(2e-5)
def padded_grid(device: str) -> Outputs:
    with device_context(device):
        grid = PaddedGrid(12)
        transform = grid.transform(to_device(_noise(12, 12, 12), device))
        power = transform.real**2 + transform.imag**2
        sums = {"complex": grid.symmetrise(transform), "real": grid.symmetrise(power)}
        return sums | {"transform": transform, "map": grid.to_map(transform), "means": grid.shell_mean(power, 6)}


@check(2e-5)
def interpolation_both_ways(device: str) -> Outputs:
    rng = np.random.default_rng(2)
    points = rng.uniform(-5, 5, (401, 3)).astype(np.float32)
    with device_context(device):
        grid = PaddedGrid(12)
        maps = [grid.transform(to_device(_noise(12, 12, 12, seed=s), device)).reshape(-1, 1) for s in range(3)]
        here = Interpolation(grid, to_device(points, device))
        values = to_device((_noise(401, 3) + 1j * _noise(401, 3, seed=9)).astype(np.complex64), device)
        out = {}
        for columns in (1, 3):
            volumes = maps[0] if columns == 1 else _columns(maps)
            out |= {f"gathered {columns}": here.gather(volumes), f"gathered real {columns}": here.gather(abs(volumes))}
            out |= {f"scattered {columns}": here.scatter(values[:, :columns]), f"real {columns}": here.scatter(abs(values[:, :columns]))}
        return out


@check(2e-5)
def rotated_volume(device: str) -> Outputs:
    matrix = random_matrices(1, np.random.default_rng(3))[0]
    with device_context(device):
        return {"rotated": rotate_volume(to_device(_noise(12, 12, 12), device), matrix, (0.5, -1.0, 2.0))}


def _columns(arrays: list[Any]) -> Any:
    return namespace(arrays[0]).concatenate(arrays, axis=1)


# --- extract -------------------------------------------------------------------------------------------------------------


def _series() -> tuple[TiltSeries, Tomogram]:
    tilts = np.arange(-60, 61, 6.0)
    zero, one = np.zeros(len(tilts)), np.ones(len(tilts))
    series = TiltSeries(
        "TS_1", zero, tilts, 85 * one, zero, zero, 30000 * one, 29500 * one, 20 * one, zero, one - 0.001 * np.abs(tilts), 2 * np.abs(tilts),
        bfactor=zero,
    )  # fmt: skip
    tomogram = Tomogram("TS_1", (64, 64, 32), 10.0, 1.0, 300.0, 2.7, 0.1)
    return series, tomogram


@check(2e-5)
def resampled_box(device: str) -> Outputs:
    resampling = Resampling(12, 1.3)
    side = resampling.side
    with device_context(device):
        matrices = to_device(resampling.matrices(np.array([20.3, 21.8, 19.5])), device)
        return {"box": resample(to_device(_noise(side, side, side), device), matrices)}


@check(1e-3)  # of the CTF, as above
def subtomogram_statistics(device: str) -> Outputs:
    series, tomogram = _series()
    host = make_wedge(24, tilt_matrices(series))
    noise, wedge = NoiseCheck(host), host.to(device)
    out = {}
    for kind in ("none", "phase-flipped", "corrected"):
        with device_context(device):
            transfer = MeanTransfer(wedge, series, tomogram, 10.0, kind, device)  # type: ignore[arg-type]
            crop = to_device(_noise(24, 24, 24), device)
            mean = transfer.at(np.linspace(-200, 200, len(series)))
            data, weights, tilts = premultiplied(crop, wedge, mean, 24)
            out |= {f"transfer {kind}": mean, f"data {kind}": data, f"weights {kind}": relion5_weights(weights, tilts)}
            small = premultiplied(crop, wedge, mean, 16)
            out |= {f"small data {kind}": small[0], f"small weights {kind}": small[1], f"small tilts {kind}": small[2]}
            volume, amplitude = whitened(crop, wedge, mean, 16)
            out |= {f"white {kind}": volume, f"3D CTF {kind}": amplitude, f"noise {kind}": noise.measure(crop, wedge)}
    return out


# --- reconstruct ---------------------------------------------------------------------------------------------------------


@check(1e-4)
def averages(device: str) -> Outputs:
    rng = np.random.default_rng(5)
    n, count = 16, 6
    weights = rng.uniform(0.5, 2, (count, n, n, n // 2 + 1)).astype(np.float32)
    source = StoredSubtomograms.of(_noise(count, n, n, n), weights, 10.0)
    halves = np.arange(count) % 2 + 1
    sums = average(source, random_matrices(count, rng), rng.uniform(-2, 2, (count, 3)), halves, device=device)
    out: Outputs = {"numerator": sums[1].numerator, "denominator": sums[2].denominator}
    with device_context(device):
        for group in ("C1", "C3", "D2"):
            out[group] = solve(sums[1] + sums[2], symmetry_matrices(group))
        out["Wiener"] = solve(sums[1], symmetry_matrices("C1"), 0.5)
    return out


@check(1e-4)
def averages_of_planes(device: str) -> Outputs:
    """Slices inserted into the grid of a map, some of them cut short by dose, and the maps."""
    rng = np.random.default_rng(6)
    values = np.fft.rfft2(_noise(30, 16, 16)).astype(np.complex64)
    weights = rng.uniform(0.5, 2, values.shape).astype(np.float32)
    out: Outputs = {}
    with device_context(device):
        arrays = [to_device(a, device) for a in (values, weights)]
        sums = PlaneSums.zero(16, namespace(arrays[0]), np.float64)
        sums.insert(*arrays, random_matrices(30, rng), rng.integers(4, 10, 30))
        out |= {"values": sums.values, "weights": sums.weights}
        for group in ("C1", "C3", "D2"):
            out[group] = solve_planes(sums, symmetry_matrices(group))
        out["Wiener"] = solve_planes(sums, symmetry_matrices("C1"), 0.5, 2.0)
    return out


# --- em ------------------------------------------------------------------------------------------------------------------


def em_setup(n: int, count: int, device: str, **options: Any) -> Any:
    """An engine over simulated particles, as many species as classes; needs the folder `tests` on the path."""
    from helpers import em_world

    given = {"classes": 2, "folds": 2, "initial_lowpass": n * 10.0 / 5, "noise_temperature": 1.0, **options}
    made = em_world.simulate(n=n, count=count, snr=0.1, species=given["classes"], empty=count // 8, seed=6)
    return replace(em_world.setup(made, reference=np.stack(made.maps), **given), devices=(device,))


def e_step(setup: Any, last_shell: int | None = None, cross_correlation: bool = False) -> EStep:
    """The first E-step of a setup, at `last_shell` if given."""
    state = initial_state(setup)
    if last_shell is not None:
        state = replace(state, last_shell=last_shell)
    return _e_step(setup, state, iteration_poses(setup, state, 1, Silent()), None, cross_correlation)


def _searched(device: str, cross_correlation: bool = False, **options: Any) -> Outputs:
    setup = em_setup(16, 10, device, **options)
    poses, results = search(e_step(setup, cross_correlation=cross_correlation), setup.prepared, 1, Silent())
    names = ("posterior", "log_evidence", "log_likelihood", "pmax", "turn", "offset")
    kept = {"kept": np.bincount(poses.particle, poses.score, len(poses))}
    return {name: getattr(results, name) for name in names} | kept


@check(2e-5)
def particles_in_frames(device: str) -> Outputs:
    setup = em_setup(16, 10, "cpu")
    given = setup.load, random_matrices(10, np.random.default_rng(2)), np.linspace(-1, 1, 30).reshape(10, 3), setup.lattice, 2, Silent()
    made = prepare(*given, setup.maximiser.mask, device=device)
    return {"data": made.G, "masked": made.GE, "weights": made.H}


@check(0.01, absolute=True)  # nats, probabilities, pixels
def search_of_poses_and_classes(device: str) -> Outputs:
    return _searched(device)


@check(0.01, absolute=True)
def search_by_correlation(device: str) -> Outputs:
    return _searched(device, cross_correlation=True)


@check(0.01, absolute=True)
def search_of_all_orientations(device: str) -> Outputs:
    return _searched(device, local_range=-1.0, angular_step=30.0, offset_range=1.0, fixed_sampling=True)


@check(0.01, absolute=True)
def search_without_alignment(device: str) -> Outputs:
    return _searched(device, align=False)


def _iterated(device: str, **options: Any) -> Outputs:
    setup = em_setup(16, 10, device, **options)
    state, classes = one_iteration(setup, initial_state(setup), Silent())
    told: Any = SimpleNamespace(**vars(classes))
    return {"references": state.maps, "noise": state.noise, "labels": state.labels, "maps": told.maps, "origins": state.offsets}


@check(2e-3)
def whole_iteration(device: str) -> Outputs:
    return _iterated(device)


@check(2e-3)
def whole_iteration_at_stored_poses(device: str) -> Outputs:
    return _iterated(device, align=False)


@check(2e-3)
def whole_iteration_over_all_orientations(device: str) -> Outputs:
    return _iterated(device, local_range=-1.0, angular_step=30.0, offset_range=1.0, fixed_sampling=True)


@check(2e-3)
def where_classes_begin(device: str) -> Outputs:
    setup = em_setup(16, 40, device)
    state, given = clustered_references(setup, initial_state(setup), Silent())
    assert given is not None
    return {"posteriors": given, "references": state.maps, "shell": np.array([state.class_shell])}
