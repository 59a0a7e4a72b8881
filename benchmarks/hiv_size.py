"""A classification of the size of the HIV tutorial's (21 659 particles, 9 classes, 25 iterations), simulated where it is computed.

    python benchmarks/hiv_size.py --device cuda:0                      # box 64, all shells that iterations come to
    python benchmarks/hiv_size.py --device cuda:0 --box 128 --shells 37
    python benchmarks/hiv_size.py --device cuda:0 --tf32               # matrix products in TF32
    python benchmarks/hiv_size.py --device cpu --particles 60 --classes 2 --box 32 --iterations 3    # a quick try

Sampling is that of the tutorial's Class3D job: sigma 1.67 degrees (searched to three sigma), HEALPix order 4 with one oversampling,
offsets of +-5 px in steps of 2 with one oversampling. Particles lie in their own frames on the engine's lattice: reading files and
resampling are not part of it. Each is one of `--classes` densities that differ in a domain, with a missing wedge of +-60 degrees, a CTF
and white noise.

Prints seconds of the parts of each iteration, floating-point operations of the products and their share of the peak that a product of two
large matrices reaches on the same device, the adjusted Rand index, and the error of log-likelihoods against float64. Writes hiv_size.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
PIXEL, SNR, FOLDS = 4.0, 0.05, 5


class Clock:
    """A reporter that measures how long stages take and keeps what is said."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin anew."""
        self.seconds: dict[str, float] = {}
        self.said: list[str] = []
        self._name, self._began = "before", time.perf_counter()

    def stage(self, name: str, total: int | None = None, unit: str = "") -> None:
        """The former stage ends."""
        now = time.perf_counter()
        self.seconds[self._name] = self.seconds.get(self._name, 0.0) + now - self._began
        self._name, self._began = name, now

    def advance(self, steps: int = 1) -> None:
        """Ignore."""

    def message(self, text: str) -> None:
        """Keep."""
        self.said.append(text.strip())

    warn = message

    def event(self, kind: str, **data: Any) -> None:
        """Ignore."""

    def check(self) -> None:
        """Never stop."""


def main(words: list[str] | None = None) -> int:
    """Simulate, classify, report."""
    options = parse(words)
    if options.tf32:
        os.environ["CUPY_TF32"] = "1"
    sys.path[:0] = [str(HERE.parent / "src"), str(HERE)]
    from napari_subtomo.em.engine import initial_state, iterate
    from napari_subtomo.em.start import rand_index
    from napari_subtomo.numerics.backend import resolve_devices

    devices = resolve_devices(options.device)
    began = time.perf_counter()
    setup, labels = make(options, devices)
    report: dict[str, Any] = {"options": {k: str(v) for k, v in vars(options).items()}, "devices": list(devices)}
    report["simulation_seconds"] = round(time.perf_counter() - began, 1)
    report["peak_tflops"] = round(peak(devices[0]) / 1e12, 2)
    clock, first, rows = Clock(), initial_state(setup), []
    state, before = first, time.perf_counter()
    clock.clear()
    for state, classes in iterate(setup, first, clock):
        clock.stage("between")
        now = time.perf_counter()
        rows.append(row(setup, state, classes, clock, now - before, report["peak_tflops"]))
        print(json.dumps(rows[-1]), flush=True)
        write(options.json, report | {"iterations": rows})  # what there is, should time run out
        clock.clear()
        before = time.perf_counter()
    report |= {"iterations": rows, "seconds": round(sum(r["seconds"] for r in rows), 1)}
    report["rand_index"] = round(rand_index(state.labels, labels), 4)
    report["error_nat"] = error(setup, state)
    index, wrong = report["rand_index"], report["error_nat"]["rms"]
    print(f"{report['seconds']} s for {len(rows)} iterations, index {index:.2f}, error {wrong:.1e} nat r.m.s.")
    write(options.json, report)
    return 0


def write(path: Path, report: dict[str, Any]) -> None:
    """Write the report."""
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--particles", type=int, default=21_659)
    parser.add_argument("--classes", type=int, default=9)
    parser.add_argument("--box", type=int, default=64)
    parser.add_argument("--shells", type=int, default=0, help="particles are simulated up to this shell (0: all)")
    parser.add_argument("--iterations", type=int, default=25)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tf32", action="store_true", help="products of matrices in TF32 on a GPU")
    parser.add_argument("--json", type=Path, default=HERE / "hiv_size.json")
    return parser.parse_args(words)


def make(options: argparse.Namespace, devices: tuple[str, ...]) -> tuple[Any, np.ndarray]:
    """A setup with simulated particles, and the density that each is of (1-based)."""
    from napari_subtomo.em.assembly import Labels, assemble
    from napari_subtomo.em.lattice import Lattice, lattice_map
    from napari_subtomo.em.prepare import Prepared
    from napari_subtomo.geometry.orientations import random_matrices
    from napari_subtomo.numerics.masks import soft_sphere
    from napari_subtomo.options.classify import ClassifyOptions

    n, count = options.box, options.particles
    rng = np.random.default_rng([options.seed, 9])
    model = ClassifyOptions(
        reference="simulated.mrc",
        classes=options.classes,
        iterations=options.iterations,
        mask_diameter=0.8 * n * PIXEL,
        initial_lowpass=n * PIXEL / 8,
        local_range=5.0,
        angular_step=1.875,
        offset_range=5.0,
        offset_step=1.0,
        fixed_sampling=True,
        folds=FOLDS,
        mask_particles=False,
        stop_when_converged=False,
        threads=options.threads,
        absolute_greyscale=True,
        highres_limit=n * PIXEL / options.shells if options.shells else 0.0,
    )
    lattice = Lattice.of(n, n // 2)
    if options.shells:
        voxels = lattice.prefix(min(options.shells + 3, lattice.last_shell))
        lattice = Lattice(n, int(lattice.shell[voxels - 1]), lattice.k[:voxels], lattice.shell[:voxels])
    maps = densities(n, options.classes, rng)
    labels = rng.integers(0, options.classes, count)
    shape = count, len(lattice)
    prepared = Prepared(lattice, g := np.empty(shape, np.complex64), g, np.empty(shape, np.float32))
    fill(prepared, maps, labels, random_matrices(count, rng), rng, devices[0])
    mask = soft_sphere(n, 0.4 * n, 5)
    reference = (maps.mean(0) * mask)[None].astype(np.float32)
    zeros = np.zeros(count, np.int64)
    poses = np.repeat(np.eye(3)[None], count, axis=0), np.zeros((count, 3))
    tomograms = Labels(zeros, zeros, ("TS_1",))

    def load(i: int) -> SimpleNamespace:
        """A particle as files have it; the start of the classes resamples them in the poses found."""
        weights = np.zeros(n * n * (n // 2 + 1), np.float32)
        weights[lattice.half_layout_index()] = prepared.H[i]
        plane = lattice.k[:, 0] == 0
        z, y = (-lattice.k[plane][:, [2, 1]].astype(np.int64) % n).T
        weights[(z * n + y) * (n // 2 + 1)] = prepared.H[i][plane]
        return SimpleNamespace(data=lattice_map(prepared.G[i], lattice), weights=weights.reshape(n, n, n // 2 + 1), multiplicity=None)

    return assemble(model, prepared, load, np.arange(count), poses, tomograms, reference, mask, PIXEL, devices), labels + 1


def densities(n: int, classes: int, rng: np.random.Generator) -> np.ndarray:
    """Maps of a body of blobs, each with a domain in another place; shape (classes, n, n, n)."""
    grid = np.stack(np.meshgrid(*[np.arange(n) - n // 2] * 3, indexing="ij"), -1).astype(np.float32)

    def blob(centre: np.ndarray, width: float) -> np.ndarray:
        return np.exp(-((grid - centre) ** 2).sum(-1) / (2 * width**2)).astype(np.float32)

    body = sum(blob(centre, 0.04 * n) for centre in rng.normal(size=(20, 3)) * 0.12 * n)
    return np.stack([body + 2 * blob(rng.normal(size=3) * 0.15 * n, 0.05 * n) for _ in range(classes)])


def fill(prepared: Any, maps: np.ndarray, labels: np.ndarray, tilts: np.ndarray, rng: np.random.Generator, device: str) -> None:
    """Write data and weights of all particles; `tilts` (n, 3, 3) turn each particle's frame into that of its tomogram."""
    from napari_subtomo.geometry.orientations import rotation_vectors_to_matrices
    from napari_subtomo.numerics.backend import device_context, namespace, to_device, to_host
    from napari_subtomo.numerics.padded_grid import PaddedGrid
    from napari_subtomo.numerics.rotate import Interpolation

    lattice, count = prepared.lattice, len(labels)
    grid = PaddedGrid(lattice.n).up_to(int(lattice.shell[-1]))
    turns = rotation_vectors_to_matrices(rng.normal(size=(count, 3)) * 1.67).astype(np.float32)
    shifts = rng.normal(size=(count, 3)).astype(np.float32)
    with device_context(device):
        columns = [grid.transform(to_device(m, device)).reshape(-1, 1) for m in maps]
        xp = namespace(columns[0])
        volumes, k = xp.concatenate(columns, axis=1), xp.asarray(lattice.k)
        radius = xp.sqrt((k**2).sum(1)) / lattice.n
        contrast = xp.sin(40 * radius**2 + 0.1) ** 2
        sigma = float(np.sqrt(maps[0].var() / SNR) * lattice.n**1.5)
        source = xp.random.RandomState(7)
        for ids in np.array_split(np.arange(count), -(-count // max(1, 2**22 // len(lattice)))):
            points = (k[None] @ xp.asarray(turns[ids])).reshape(-1, 3)
            every = Interpolation(grid, points).gather(volumes).reshape(len(ids), len(lattice), -1)
            clean = every[xp.arange(len(ids)), :, xp.asarray(labels[ids])]
            clean *= xp.exp(-2j * np.pi / lattice.n * (xp.asarray(shifts[ids]) @ k.T)).astype(xp.complex64)
            there = k[None] @ xp.asarray(tilts[ids].transpose(0, 2, 1).astype(np.float32))
            seen = xp.abs(there[:, :, 2]) <= np.tan(np.radians(60)) * xp.abs(there[:, :, 0])
            weight = (seen * contrast[None]).astype(xp.float32)
            noise = source.standard_normal((*clean.shape, 2)).astype(xp.float32).view(xp.complex64)[..., 0] * np.float32(sigma / np.sqrt(2))
            prepared.G[ids] = to_host(weight * clean + xp.sqrt(weight) * noise)
            prepared.H[ids] = to_host(weight)


def row(setup: Any, state: Any, classes: Any, clock: Clock, seconds: float, peak_tflops: float) -> dict[str, Any]:
    """The figures of an iteration."""
    step = classes.sampling
    voxels, count, maps = setup.lattice.prefix(int(state.last_shell)), len(state.labels), state.maps.shape[1]
    functions, references = step.n_shifts, step.n_rotations * maps
    told = next((text for text in clock.said if text.startswith("Compared through")), "")
    for words in told.removeprefix("Compared through ").split(";")[0].split(", "):
        if "offsets" in words:
            functions = int(words.split()[0])
        elif "references" in words:
            references = int(words.split()[0])
    # data with references: real and imaginary parts; then offsets out of their functions, references out of theirs; weights with power
    flops = 4.0 * functions * references * voxels + 2.0 * functions * references * step.n_rotations * maps
    flops += 2.0 * step.n_shifts * functions * step.n_rotations * maps + 2.0 * step.n_rotations * maps * voxels
    parts = {name: round(value, 2) for name, value in clock.seconds.items() if value >= 0.005}
    expectation = clock.seconds.get("Expectation", 0.0) or seconds
    tflops = count * flops / expectation / 1e12
    return {
        "iteration": classes.iteration,
        "seconds": round(seconds, 2),
        "shell": int(state.last_shell),
        "poses": step.n_rotations * step.n_shifts,
        "functions": [functions, references],
        "classes": maps,
        "parts": parts,
        "tflops": round(tflops, 3),
        "of_peak": round(tflops / peak_tflops, 3),
        "gigabytes_of_data": round(12 * count * voxels / 1e9, 2),
    }


def peak(device: str) -> float:
    """Operations per second of a product of two large matrices on the device, in the precision in use."""
    from napari_subtomo.numerics.backend import device_context, to_device

    size = 1024 if device == "cpu" else 8192
    with device_context(device):
        a = to_device(np.random.default_rng(1).standard_normal((size, size), np.float32), device)
        best = np.inf
        for _ in range(5):
            began = time.perf_counter()
            float((a @ a)[0, 0])
            best = min(best, time.perf_counter() - began)
    return 2.0 * size**3 / best


def error(setup: Any, state: Any, some: int = 40) -> dict[str, float]:
    """Differences of log-likelihoods of some particles to those computed in float64 on the processor, nat: r.m.s. and largest."""
    from napari_subtomo.em.basis import phases
    from napari_subtomo.em.engine import _e_step
    from napari_subtomo.em.expectation import reference_volumes, rotated, search
    from napari_subtomo.em.sampling import iteration_poses
    from napari_subtomo.numerics.backend import device_context, to_host

    ids = np.arange(min(some, len(setup.prepared)))
    poses = iteration_poses(setup, state, state.iteration + 1, Clock())
    step = _e_step(setup, state, poses, None, False)
    few = replace(step, particles=step.particles.some(ids, 1), offsets_px=step.offsets_px[ids])
    prepared = setup.prepared.some(ids)
    found = search(few, prepared, 1, Clock())[1].log_likelihood
    with device_context(few.device):
        volumes = reference_volumes(few)
        references = to_host(rotated(few, volumes, poses.rotations)).reshape(len(poses.rotations), few.voxels, *few.model.maps.shape[:2])
    turns = phases(poses.shifts, few.lattice.k[: few.voxels].astype(np.float64), few.lattice.n).astype(np.complex128)
    shell, exact = few.lattice.shell[: few.voxels], []
    for i in ids:
        refs = references[:, :, few.particles.fold[i]].astype(np.complex128)
        w = few.whitening(np.array([i]))[0].astype(np.float64)
        g, h = prepared.G[int(i), : few.voxels].astype(np.complex128), prepared.H[int(i), : few.voxels].astype(np.float64) * w
        cross = np.stack([(np.conj(refs[:, :, c]) @ (2 * w * g * turns).T).real.T for c in range(refs.shape[2])], axis=1)
        energy = np.stack([(refs[:, :, c].real ** 2 + refs[:, :, c].imag ** 2) @ h for c in range(refs.shape[2])])
        log = cross - energy[None] + poses.rotation_log_prior + few.shift_log_prior(np.array([i]))[0][:, None, None]
        log += (few.model.log_fractions[:-1] + few.model.map_noise[:, shell] @ h)[None, :, None]
        exact.append(np.logaddexp(np.logaddexp.reduce(log.ravel()), few.model.log_fractions[-1]))
    difference = np.abs(found - exact)
    return {"rms": round(float(np.sqrt((difference**2).mean())), 5), "largest": round(float(difference.max()), 5)}


if __name__ == "__main__":
    sys.exit(main())
