"""The job: files, labels, sentences."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydantic
import pytest

from napari_subtomo.errors import GeometryError, InputError, JobCancelled
from napari_subtomo.io import relion
from napari_subtomo.io.mrc import mrc_header, read_mrc, write_mrc
from napari_subtomo.io.optimisation import write_optimisation_set
from napari_subtomo.io.particles import read_particles, write_particles
from napari_subtomo.io.project import JobFolder
from napari_subtomo.io.star import read_star
from napari_subtomo.numerics.masks import soft_sphere
from napari_subtomo.options.reconstruct import ReconstructOptions
from napari_subtomo.progress import Silent
from napari_subtomo.reconstruct import run
from napari_subtomo.reconstruct.curve import KIND_LABEL
from napari_subtomo.reconstruct.gridded import taper


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.steps = 0
        self.stop_after = stop_after

    def message(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def advance(self, steps: int = 1) -> None:
        self.steps += steps
        if self.stop_after is not None and self.steps >= self.stop_after:
            raise JobCancelled("stopped")


@pytest.fixture(scope="module")
def noisy(lab: SimpleNamespace) -> Any:
    return lab.make(24, seed=21, noise=0.3)


def options(job: JobFolder, **more: Any) -> ReconstructOptions:
    return ReconstructOptions(particles=job.project.root / "particles.star", device="cpu", **more)


def test_half_sets_of_the_file_give_three_maps_a_curve_and_a_plot(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    halves = 1 + np.arange(noisy.n) % 2
    lab.write(job.project.root, noisy, halves=halves)
    listener = Listener()
    result = run(options(job), job, listener)
    assert set(result.outputs) == {"merged", "half1", "half2", "fsc", "fsc_plot"}
    assert {path.name for path in job.path.iterdir()} == {"merged.mrc", "half1.mrc", "half2.mrc", "fsc.star", "fsc.png"}
    header = mrc_header(result.outputs["merged"])
    assert header.shape == (24, 24, 24) and header.voxel_size == pytest.approx(lab.voxel)
    assert lab.correlation(read_mrc(result.outputs["merged"]), lab.density()) > 0.9
    star = read_star(result.outputs["fsc"])
    assert star["general"].text(KIND_LABEL) == "gold-standard only if the halves were aligned apart"
    assert star["general"].text(relion.UNFILTERED_MAP_HALF1) == "Reconstruct/job001/half1.mrc"
    curve = star["fsc"].floats(relion.FSC_UNMASKED_MAPS)
    assert len(curve) == 13 and curve[2:5].min() > 0.5 and abs(curve[-1]) < 0.5
    assert star["fsc"].floats(relion.ANGSTROM_RESOLUTION)[4] == pytest.approx(24 * lab.voxel / 4)
    assert star["general"].floats(relion.FINAL_RESOLUTION)[0] == pytest.approx(result.numbers["resolution"], abs=1e-5)
    assert 16 <= result.numbers["resolution"] < 60
    assert result.outputs["fsc_plot"].read_bytes().startswith(b"\x89PNG")
    assert not listener.warned
    assert listener.steps == noisy.n + 3
    assert any("which the file does not tell" in text for text in listener.said)


def test_merged_is_the_average_of_all_and_halves_of_their_own(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    path = lab.write(job.project.root, noisy, halves=np.r_[[1] * 6, [2] * 16, [0] * 2])
    listener = Listener()
    result = run(options(job), job, listener)
    assert "2 of 24 particles belong to neither half set" in listener.warned[0]
    alone = job.project.root / "alone.star"
    for name, rows in {"merged": np.arange(24), "half1": np.arange(6)}.items():
        write_particles(alone, read_particles(path).select(rows).with_columns({relion.RANDOM_SUBSET: [1] * len(rows)}))
        other = JobFolder(job.project, job.path.parent / name)
        found = run(ReconstructOptions(particles=alone, device="cpu"), other, Silent())
        assert np.allclose(read_mrc(found.outputs["merged"]), read_mrc(result.outputs[name]), atol=1e-5)


def test_without_half_sets_a_split_is_written_and_the_fsc_is_called_not_gold_standard(
    lab: SimpleNamespace, noisy: Any, job: JobFolder
) -> None:
    path = lab.write(job.project.root, noisy)
    listener = Listener()
    result = run(options(job, seed=5), job, listener)
    written = read_particles(result.outputs["particles"])
    assert sorted(np.bincount(written.half_sets).tolist()) == [0, 12, 12]
    original = read_particles(path)
    assert all(written.texts(label) == original.texts(label) for label in original.table.columns)
    assert read_star(result.outputs["fsc"])["general"].text(KIND_LABEL) == "not gold-standard"
    assert any("not gold-standard" in text for text in listener.said)
    assert "(not gold-standard)" in result.summary[1]
    again = run(
        ReconstructOptions(particles=result.outputs["particles"], device="cpu"), JobFolder(job.project, job.path / "again"), Silent()
    )
    assert np.allclose(read_mrc(again.outputs["half1"]), read_mrc(result.outputs["half1"]), atol=1e-6)


def test_the_plot_says_what_kind_of_fsc_it_shows(lab: SimpleNamespace, noisy: Any, job: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.figure import Figure

    figures: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1])
    lab.write(job.project.root, noisy)
    run(options(job), job, Silent())
    axes = figures[0].axes[0]
    assert "not gold-standard" in axes.get_title()
    assert axes.get_xlabel() == "resolution (Å)"
    assert axes.get_xticklabels()[-1].get_text() == f"{2 * lab.voxel:.1f}"
    assert {line.get_ydata()[0] for line in axes.get_lines() if len(set(line.get_ydata())) == 1} >= {0.5, 0.143}


def test_the_same_particles_in_each_form_give_the_same_map(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    maps = []
    for form in ("relion5", "relion31", "relion31-full"):
        lab.write(job.project.root, noisy, form)
        maps.append(read_mrc(run(options(job), job, Silent()).outputs["merged"]))
    assert np.abs(maps[1] - maps[0]).max() < 1e-4 * np.abs(maps[0]).max()
    assert np.array_equal(maps[1], maps[2])


def test_half_precision_loses_little(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy)
    full = read_mrc(run(options(job), job, Silent()).outputs["merged"])
    lab.write(job.project.root, noisy, float16=True)
    assert lab.correlation(read_mrc(run(options(job), job, Silent()).outputs["merged"]), full) > 0.9999


def test_the_frame_of_the_subtomogram_does_not_turn_the_average(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    path = lab.write(job.project.root, noisy)
    plain = read_mrc(run(options(job), job, Silent()).outputs["merged"])
    frames = dict(zip(relion.SUBTOMOGRAM_ANGLES, np.random.default_rng(0).uniform(0, 90, (3, noisy.n)), strict=True))
    write_particles(path, read_particles(path).with_columns(frames))
    assert np.array_equal(read_mrc(run(options(job), job, Silent()).outputs["merged"]), plain)


def test_an_optimisation_set_replaces_the_particles(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy)
    path = job.project.root / "optimisation_set.star"
    write_optimisation_set(path, particles="particles.star")
    result = run(ReconstructOptions(optimisation_set=path, device="cpu"), job, Silent())
    assert result.numbers["particles"] == noisy.n


def test_a_mask_adds_the_corrected_curve(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy)
    mask = job.project.root / "mask.mrc"
    write_mrc(mask, soft_sphere(24, 8, 3), lab.voxel)
    result = run(options(job, mask=mask), job, Silent())
    star = read_star(result.outputs["fsc"])
    assert star["general"].text(relion.MASK_NAME) == "mask.mrc"
    masked, corrected = (star["fsc"].floats(label) for label in (relion.FSC_MASKED_MAPS, relion.FSC_CORRECTED))
    unmasked = star["fsc"].floats(relion.FSC_UNMASKED_MAPS)
    assert masked[3:8].mean() > unmasked[3:8].mean()
    assert np.allclose(masked[:3], corrected[:3])
    write_mrc(mask, soft_sphere(20, 8, 3), lab.voxel)
    with pytest.raises(GeometryError, match=r"mask of 24 px at 8 Å.* found 20 px at 8 Å .* --box-size 24 --pixel-size 8`"):
        run(options(job, mask=mask), job, Silent())
    write_mrc(mask, soft_sphere(24, 8, 3), 1.01 * lab.voxel)
    with pytest.raises(GeometryError, match=r"found 24 px at 8\.08 Å"):
        run(options(job, mask=mask), job, Silent())
    write_mrc(mask, soft_sphere(24, 8, 3), 1.0003 * lab.voxel)  # what four digits of a pixel size may be off
    assert run(options(job, mask=mask), job, Silent()).outputs["fsc"].is_file()


def test_a_cropped_map_keeps_its_centre(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy)
    small = read_mrc(run(options(job, crop_size=20), job, Silent()).outputs["merged"])
    assert small.shape == (20, 20, 20)
    assert lab.correlation(small, taper(lab.density(n=20), 0.375 * 20), radius=8) > 0.9
    with pytest.raises(GeometryError, match="at most 24 px, the box of the particles, found 26"):
        run(options(job, crop_size=26), job, Silent())


def test_one_particle_gives_a_merged_map_and_says_why_no_fsc(lab: SimpleNamespace, job: JobFolder) -> None:
    lab.write(job.project.root, lab.make(1, seed=2, with_wedge=False, with_ctf=False))
    listener = Listener()
    result = run(options(job), job, listener)
    assert set(result.outputs) == {"merged"}
    assert lab.correlation(read_mrc(result.outputs["merged"]), lab.density()) > 0.99
    assert "Expected at least two subtomograms for an FSC, found one" in listener.warned[0]
    assert listener.warned[0] in result.summary


def test_an_empty_half_gives_a_merged_map_only(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy, halves=np.ones(noisy.n, int))
    listener = Listener()
    result = run(options(job), job, listener)
    assert set(result.outputs) == {"merged"}
    assert listener.warned == ["Half set 2 has no particles, so there is no FSC; only the merged map is written."]


def test_no_particles_is_an_error_in_one_sentence(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    path = lab.write(job.project.root, noisy)
    write_particles(path, read_particles(path).select([]))
    with pytest.raises(InputError, match=r"Expected at least one particle in .*particles.star, found none"):
        run(options(job), job, Silent())
    assert not list(job.path.iterdir())


def test_a_broken_particle_leaves_no_files(lab: SimpleNamespace, noisy: Any, job: JobFolder) -> None:
    lab.write(job.project.root, noisy)
    (job.project.root / "Extract/24_data.mrc").write_bytes(b"short")
    with pytest.raises(InputError, match=r"Particle 01/24 \(row 24\)"):
        run(options(job, threads=2), job, Silent())
    assert not list(job.path.iterdir())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_job_stops_when_asked(lab: SimpleNamespace, noisy: Any, job: JobFolder, threads: int) -> None:
    lab.write(job.project.root, noisy)
    with pytest.raises(JobCancelled):
        run(options(job, threads=threads), job, Listener(stop_after=1))
    assert not list(job.path.iterdir())


def test_symmetry_is_checked_when_options_are_made(tmp_path: Path) -> None:
    assert ReconstructOptions(particles=tmp_path, symmetry="i").symmetry == "I2"
    with pytest.raises(pydantic.ValidationError, match="is no symmetry known here"):
        ReconstructOptions(particles=tmp_path, symmetry="X3")
