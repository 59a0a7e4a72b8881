"""The images of whole tilt series: noise-free ones in threads, then the scale that gives the wanted SNR, and the noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import numpy.typing as npt
import scipy.fft

from napari_subtomo.data.tomogram import TiltSeries
from napari_subtomo.geometry.frames import Frame
from napari_subtomo.geometry.projection import defocus_offset, project, tilt_matrices
from napari_subtomo.numerics.ctf import electron_wavelength
from napari_subtomo.options.simulate import SimulateOptions
from napari_subtomo.progress import Reporter
from napari_subtomo.simulate.images import Exposure, Image, Optics, Slicer, tilt_image
from napari_subtomo.simulate.scene import FloatArray, Purpose, Scene, generator

NOISE = 1.0  # standard deviation of the noise of an untilted image: densities are scaled to the wanted SNR


def patch_size(options: SimulateOptions) -> int:
    """Even side in pixels of the image of one particle: its box and what the CTF spreads at Nyquist to both sides."""
    depth = options.thickness / 2
    spread = electron_wavelength(options.voltage) * (options.defocus_max + depth) / (2 * options.pixel_size)
    size = options.box + 2 * int(np.ceil(spread / options.pixel_size))
    while size % 2 or scipy.fft.next_fast_len(size, real=True) != size:
        size += 1
    return size


def _clean_image(
    options: SimulateOptions,
    slicers: Sequence[Slicer],
    scene: Scene,
    series: TiltSeries,
    frame: Frame,
    tilt: int,
    kinds: npt.NDArray[np.int64],
) -> Image:
    """Noise-free image of the objects whose kind is not negative."""
    size = (options.width, options.width)
    places = project(scene.positions, series, frame, size)[tilt]
    optics = Optics(options.voltage, options.cs, options.amplitude_contrast, options.pixel_size)
    exposure = Exposure(series.defocus_u[tilt], series.defocus_v[tilt], series.defocus_angle[tilt], series.dose[tilt], series.scale[tilt])
    matrices = tilt_matrices(series)[tilt] @ scene.matrices
    offsets = defocus_offset(places[:, 2], options.pixel_size, options.hand)
    return tilt_image(size, slicers, kinds, matrices, places[:, :2], offsets, optics, exposure)


def clean_series(
    options: SimulateOptions, slicers: Sequence[Slicer], scene: Scene, series: TiltSeries, frame: Frame, reporter: Reporter
) -> Image:
    """Noise-free images (n_tilts, height, width) of all objects."""
    stack = np.empty((len(series), options.width, options.width), np.float32)

    def one(tilt: int) -> None:
        stack[tilt] = _clean_image(options, slicers, scene, series, frame, tilt, scene.kinds)

    _in_threads(one, len(series), options.threads, reporter.advance)
    return stack


def scale_and_add_noise(
    options: SimulateOptions,
    images: Sequence[Image],
    scenes: Sequence[Scene],
    series: Sequence[TiltSeries],
    frame: Frame,
    slicers: Sequence[Slicer],
) -> tuple[np.float32, dict[str, float]]:
    """Scale the images to the wanted SNR and add noise, in place; the scale of the densities and what was measured.

    The signal is that of the true particles alone, in the least tilted image of each series, within discs of the particle's diameter.
    """
    signal, drawn, discs = [], [], []
    for scene, s in zip(scenes, series, strict=True):
        tilt = int(np.argmin(np.abs(s.y_tilt)))
        clean = _clean_image(options, slicers, scene, s, frame, tilt, np.where(scene.classes > 0, scene.kinds, -1))
        places = project(scene.positions[scene.classes > 0], s, frame, (options.width, options.width))[tilt, :, :2]
        discs.append(disc_mask(clean.shape, places, options.diameter / 2 / options.pixel_size))
        signal.append(clean[discs[-1]])
    variance = float(np.concatenate(signal).var(dtype=np.float64))
    scale = np.float32(np.sqrt(options.snr / variance) * NOISE)
    for i, (stack, s) in enumerate(zip(images, series, strict=True)):
        untilted = int(np.argmin(np.abs(s.y_tilt)))

        def one(tilt: int, i: int = i, stack: Image = stack, s: TiltSeries = s) -> None:
            rng = generator(options.seed, Purpose.NOISE, i, tilt)
            level = NOISE * np.cos(np.radians(s.y_tilt[tilt])) ** (-options.noise_growth / 2)
            stack[tilt] = stack[tilt] * scale + rng.standard_normal(stack.shape[1:], dtype=np.float32) * np.float32(level)

        before = stack[untilted] * scale
        _in_threads(one, len(s), options.threads, lambda: None)
        drawn.append((stack[untilted] - before)[discs[i]])
    measured = float(scale) ** 2 * variance / float(np.concatenate(drawn).var(dtype=np.float64))
    return scale, {"snr": measured, "disc_fraction": float(np.mean([d.mean() for d in discs]))}


def disc_mask(shape: tuple[int, ...], places: FloatArray, radius: float) -> npt.NDArray[np.bool_]:
    """Pixels (height, width) within `radius` pixels of any place (n, 2) xy."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=bool)
    for px, py in places:
        mask |= (x - px) ** 2 + (y - py) ** 2 <= radius**2
    return mask


def _in_threads(work: Callable[[int], None], n: int, threads: int, done: Callable[[], None]) -> None:
    """Run `work(0 … n-1)`; `done` is called in this thread after each and may stop the rest by raising."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(work, i) for i in range(n)]
        try:
            for future in as_completed(futures):
                future.result()
                done()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
