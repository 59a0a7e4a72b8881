"""What 40 real ribosomes let a classification say: poses that stay, classes that cannot be told apart, and RELION 3.1's on the same.

    python benchmarks/ribosomes.py ../shared/data/real_ribosomes_2dstacks     # tables on the terminal, figures into ribosomes.json

Four tilt series of ten 70S ribosomes as 2D stacks, exported by WarpTools with refined poses; which class a ribosome belongs to nobody
knows. Their average is set beside the map of their authors; one class shows how far particles move from the given poses; two classes are
repeated with halves that judge each other; volumes that were moved by known whole pixels show whether positions are found again. Where
`relion_refine` of RELION 3.1 is on the path, it gets the same particles as volumes and 3D CTFs (X/√W and √W), the same reference and the
same search. What came out: docs/compared-with-relion5.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from chain import fingerprint, measure
from judge import common_turn
from peer_runs import RELION, relion_version

from napari_subtomo.em.start import rand_index
from napari_subtomo.geometry.orientations import angular_distance
from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.star import read_star
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.io.tomograms import read_tomograms
from napari_subtomo.numerics.fourier import centred_fft, centred_ifft, shells
from napari_subtomo.numerics.fsc import fsc

STEM = "warptools_test_4-tomos_10-ptcls_box-32_angpix-12"
AUTHORS_MAP = "warptools_test_box-32_angpix-12_reconstruct.mrc"
BAND = (2, 10)  # shells of box 32 at 12 Å: 192 to 38 Å
ITERATIONS, REPEATS, SEEDS = 10, 9, (101, 102, 103, 104, 105)
#: a local search of ±10° on a grid of 3.75°, offsets of ±2 px in steps of half a pixel: RELION's after one step of oversampling
SEARCH = "--angular-step 3.75 --local-range 10 --offset-range 2 --offset-step 0.5 --fixed-sampling"
SAME = f"--mask-diameter 330 --initial-lowpass 60 --iterations {ITERATIONS} --no-stop-when-converged --threads 2 --device cpu {SEARCH}"
RELION_WORDS = (
    "--i peer/{particles}.star --ref average/merged.mrc --o peer/{name} --firstiter_cc --ini_high 60 --sym C1 --K {classes} "
    f"--iter {ITERATIONS} --tau2_fudge 1 --particle_diameter 330 --ctf --zero_mask --flatten_solvent --pad 2 --oversampling 1 "
    "--healpix_order 3 --sigma_ang 3.33 --offset_range 2 --offset_step 1 --pool 3 --j 2 --dont_combine_weights_via_disc "
    "--random_seed {seed}"
)


def for_relion31(root: Path) -> None:
    """The particles as RELION 3.1's subtomograms: whitened volumes and their 3D CTF, whose product is what the stacks hold."""
    project = Project(root)
    given = read_particles(root / f"{STEM}.star")
    source = open_subtomograms(given, project, read_tomograms(root / f"{STEM}_tomograms.star", project))
    n, pixel = source.box, source.pixel_size
    names = []
    for i in range(source.n):
        particle = source.read(i)
        contrast = np.sqrt(np.maximum(particle.weights, 0)).astype(np.float64)
        seen = contrast > 1e-3 * contrast.max()
        transform = np.fft.rfftn(np.fft.ifftshift(particle.data.astype(np.float64)))
        white = np.where(seen, transform / np.where(seen, contrast, 1), 0)
        volume = np.fft.fftshift(np.fft.irfftn(white, s=(n, n, n), axes=(0, 1, 2)))
        inside = shells(n) <= n // 2 - 2
        scale = volume[~inside].std()  # RELION wants noise of about 1
        names.append((f"peer/Subtomograms/{i + 1:02d}.mrc", f"peer/Subtomograms/{i + 1:02d}_ctf.mrc"))
        write_mrc(root / names[-1][0], volume / scale, pixel)
        write_mrc(root / names[-1][1], np.where(seen, contrast, 0) / scale, pixel)
    columns = {
        r.MICROGRAPH_NAME: list(given.tomo_names),
        **{label: given.floats(label) for label in (*r.COORDINATES, *r.ANGLES, *r.ORIGINS)},
        r.OPTICS_GROUP: [1] * source.n,
        r.IMAGE_NAME: [image for image, _ in names],
        r.CTF_IMAGE: [ctf for _, ctf in names],
    }
    optics = {r.OPTICS_GROUP: [1], r.OPTICS_GROUP_NAME: ["opticsGroup1"], r.VOLTAGE: [300.0], r.SPHERICAL_ABERRATION: [2.7]}
    optics |= {r.AMPLITUDE_CONTRAST: [0.07], r.IMAGE_PIXEL_SIZE: [pixel], r.IMAGE_SIZE: [n], r.IMAGE_DIMENSIONALITY: [3]}
    write_particles(root / "peer/particles.star", ParticleSet.create(columns, optics))


def run_own(root: Path, name: str, words: str, code: str) -> Path:
    """A command of ours in the project, written into a folder of it."""
    command = f"napari-subtomo {words}"
    if (root / name / "job_record.json").is_file():
        return root / name
    print(f"  {command}", flush=True)
    measure(command, [*words.split(), "-o", name], root, root / f"{name}.log", code)
    return root / name


def run_relion(root: Path, name: str, classes: int, seed: int, code: str, particles: str = "particles") -> ParticleSet:
    """RELION's classification; its particles of the last iteration in the order of ours: RELION sorts them by tomogram."""
    words = RELION_WORDS.format(particles=particles, name=name, classes=classes, seed=seed)
    data = root / f"peer/{name}_it{ITERATIONS:03d}_data.star"
    if not data.is_file():
        print(f"  {RELION} {words}", flush=True)
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        measure(f"{RELION} {words}", words.split(), root, root / f"peer/{name}.log", code, (RELION,), environment)
    found = read_particles(data)
    return found.select(np.argsort(found.texts(r.IMAGE_NAME)))


def displaced(root: Path) -> np.ndarray:
    """The volumes, each moved by -1, 0 or 1 voxels along each axis, as `peer/displaced.star`; by how much, Å, shape (n, 3), xyz."""
    particles = read_particles(root / "peer/particles.star")
    voxels = np.random.default_rng(SEEDS[0]).integers(-1, 2, (len(particles), 3))
    names = [f"peer/Displaced/{i + 1:02d}.mrc" for i in range(len(particles))]
    for name, path, steps in zip(names, particles.image_paths, voxels, strict=True):
        write_mrc(root / name, np.roll(read_mrc(root / path), tuple(steps[::-1]), (0, 1, 2)), particles.pixel_size)
    write_particles(root / "peer/displaced.star", particles.with_columns({r.IMAGE_NAME: names}))
    return voxels * particles.pixel_size


def found_again(found: ParticleSet, given: ParticleSet, displacement: np.ndarray) -> dict[str, float]:
    """Root mean squares per axis, Å: what was planted, and what is left of it; the shift that all particles share is that of the map."""
    rests = {"planted": displacement, "left": found.origins + displacement}
    own = {name: np.einsum("nji,nj->ni", given.angles, rest) for name, rest in rests.items()}
    return {name: round(float(np.sqrt(((rest - rest.mean(0)) ** 2).mean())), 2) for name, rest in own.items()}


def moved(found: ParticleSet, given: ParticleSet, which: np.ndarray) -> dict[str, float]:
    """How far poses lie from the given ones: as they are, and about the turn and shift that all particles share (those of the map)."""
    turns = np.einsum("nji,njk->nik", given.angles, found.angles)[which]
    common = common_turn(given.angles[which], found.angles[which])
    shift = (found.origins - given.origins)[which]
    own = np.einsum("nji,nj->ni", given.angles[which], shift)
    numbers = {
        "degrees": np.median(angular_distance(found.angles, given.angles)[which]),
        "common_degrees": angular_distance(np.eye(3), common),
        "own_degrees": np.median(angular_distance(turns, np.broadcast_to(common, turns.shape))),
        "own_degrees_largest": np.max(angular_distance(turns, np.broadcast_to(common, turns.shape))),
        "angstrom": np.median(np.linalg.norm(shift, axis=1)),
        "common_angstrom": np.linalg.norm(own.mean(0)),
        "own_angstrom": np.median(np.linalg.norm(own - own.mean(0), axis=1)),
        "own_angstrom_largest": np.max(np.linalg.norm(own - own.mean(0), axis=1)),
    }
    return {name: round(float(value), 2) for name, value in numbers.items()}


def band_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation inside the box's sphere of two maps filtered to `BAND`."""
    n = a.shape[0]
    passed = (shells(n) >= BAND[0]) & (shells(n) <= BAND[1])
    x, y = (centred_ifft(np.where(passed, centred_fft(m), 0)).real[shells(n) < n / 2 - 0.5] for m in (a, b))
    return round(float(np.corrcoef(x, y)[0, 1]), 3)


def mirrored(volume: np.ndarray) -> np.ndarray:
    """In z, about index n // 2."""
    return np.roll(volume[::-1], 1, axis=0)


def compare(root: Path) -> dict[str, Any]:
    """Everything as plain numbers."""
    code, optimisation = fingerprint(), f"--optimisation-set {STEM}_optimisation_set.star"
    given = read_particles(root / f"{STEM}.star")
    everyone = np.ones(len(given), bool)
    run_own(root, "average", f"reconstruct {optimisation}", code)
    average, theirs = read_mrc(root / "average/merged.mrc"), read_mrc(root / AUTHORS_MAP)
    found: dict[str, Any] = {
        "code": code,
        "average": {
            "mirrored": band_correlation(mirrored(average), theirs),
            "as_it_is": band_correlation(average, theirs),
            "fsc": [round(float(v), 2) for v in fsc(mirrored(average), theirs)],
        },
    }
    common = f"classify {optimisation} --reference average/merged.mrc {SAME}"
    one = read_particles(run_own(root, "one", f"{common} --classes 1", code) / f"run_it{ITERATIONS:03d}_data.star")
    found["one"] = {"empty": int((one.class_numbers == 2).sum()), "moved": moved(one, given, one.class_numbers == 1)}
    if not (root / "peer").is_dir():
        for_relion31(root)
    displacement = displaced(root)
    again = f"{common.replace(optimisation, '--particles peer/displaced.star')} --classes 1"
    own = read_particles(run_own(root, "displaced", again, code) / f"run_it{ITERATIONS:03d}_data.star")
    found["displaced"] = found_again(own, given, displacement)
    found["two"] = []
    labels = {"own": [], "RELION": []}
    for seed in SEEDS:
        folder = run_own(root, f"two-{seed}", f"{common} --classes 2 --seed {seed} --repeats {REPEATS}", code)
        two, model = read_particles(folder / f"run_it{ITERATIONS:03d}_data.star"), read_star(folder / f"run_it{ITERATIONS:03d}_model.star")
        labels["own"].append(two.class_numbers)
        pairs = model[r.MODEL_PAIRS] if any(block.name == r.MODEL_PAIRS for block in model.blocks) else None
        row = {"seed": seed, "counts": np.bincount(two.class_numbers, minlength=4)[1:].tolist()}
        row["stability"] = [round(float(v), 2) for v in model[r.MODEL_CLASSES].floats(r.STABILITY)]
        if pairs is not None:
            row |= {"separation": round(float(pairs.floats(r.SEPARATION)[0]), 2), "p": round(float(pairs.floats(r.SEPARATION_P)[0]), 3)}
            row["distinct"] = bool(pairs.ints(r.DISTINCT)[0])
        found["two"].append(row)
    if shutil.which(RELION):
        found["relion"] = relion_version()
        peer = run_relion(root, "one", 1, SEEDS[0], code)
        found["relion_one"] = {
            "moved": moved(peer, given, everyone),
            "to_ours": moved(peer, one, one.class_numbers == 1),
            "map": band_correlation(
                read_mrc(root / f"peer/one_it{ITERATIONS:03d}_class001.mrc"), read_mrc(root / f"one/run_it{ITERATIONS:03d}_class001.mrc")
            ),
        }
        found["relion_displaced"] = found_again(run_relion(root, "displaced", 1, SEEDS[0], code, "displaced"), given, displacement)
        labels["RELION"] = [run_relion(root, f"two-{seed}", 2, seed, code).class_numbers for seed in SEEDS]
        found["relion_two"] = [np.bincount(numbers, minlength=3)[1:].tolist() for numbers in labels["RELION"]]
    found["index"] = {
        f"{a} and {b}": [round(rand_index(x, y), 2) for i, x in enumerate(labels[a]) for j, y in enumerate(labels[b]) if a != b or i < j]
        for a, b in (("own", "own"), ("RELION", "RELION"), ("own", "RELION"))
        if labels[a] and labels[b]
    }
    return found


def main() -> int:
    """Run, compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ribosomes", type=Path, help="folder with the STAR files and stacks")
    parser.add_argument("--work", type=Path, help="folder for the project, where finished runs are kept (a temporary one)")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".json")), help='JSON file; "" for none')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = (given.work or Path(temporary)).absolute() / "ribosomes"
        if not root.is_dir():
            shutil.copytree(given.ribosomes, root)
        found = compare(root)
    print(json.dumps(found, indent=1))
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
