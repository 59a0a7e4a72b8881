"""RELION's 2D stacks of the golden extraction as a project that tests may change, and the facts about them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_subtomo.io import relion as r
from napari_subtomo.io.mrc import read_mrc, write_mrc
from napari_subtomo.io.particles import ParticleSet, read_particles, write_particles
from napari_subtomo.io.project import Project
from napari_subtomo.io.stacks import StackSubtomograms
from napari_subtomo.io.star import StarBlock, StarFile, read_star, write_star
from napari_subtomo.io.subtomograms import open_subtomograms
from napari_subtomo.io.tomograms import TomogramSet, read_tomograms

PIXEL, BOX = 20.0, 16


@dataclass(frozen=True)
class StackProject:
    """A copy of the golden project with its 2D stacks (box 16, 20 Å, 21 of 41 tilts visible)."""

    root: Path

    @property
    def project(self) -> Project:
        return Project(self.root)

    @property
    def particles_path(self) -> Path:
        return self.root / "Extract2d_bin2_f16/particles.star"

    @property
    def particles(self) -> ParticleSet:
        return read_particles(self.particles_path)

    @property
    def tomograms(self) -> TomogramSet:
        return read_tomograms(self.root / "tomograms.star", self.project)

    def stack(self, row: int) -> Path:
        return self.root / self.particles.image_paths[row]

    def rewrite_stack(self, row: int, images: np.ndarray) -> None:
        write_mrc(self.stack(row), images, PIXEL, stack=True)

    def open(self, particles: ParticleSet | None = None, **options: object) -> StackSubtomograms:
        found = open_subtomograms(self.particles if particles is None else particles, self.project, self.tomograms, **options)  # type: ignore[arg-type]
        assert isinstance(found, StackSubtomograms)
        return found

    def visible(self, row: int) -> np.ndarray:
        return np.array([flag == "1" for flag in self.particles.texts(r.VISIBLE_FRAMES)[row].strip("[]").split(",")])


def copy_golden(golden: Path, root: Path) -> StackProject:
    for part in ("Extract2d_bin2_f16", "tilt_series"):
        shutil.copytree(golden / part, root / part)
    shutil.copy(golden / "tomograms.star", root)
    return StackProject(root)


def as_relion4(world: StackProject) -> None:
    """Rewrite the tomogram set as RELION 4 does: projection matrices, one table a tilt series in the same file."""
    series = world.tomograms.tilt_series("TS_01")
    a, b, c = (np.radians(v) for v in (series.x_tilt, series.y_tilt, series.z_rot))
    zero, one = np.zeros_like(a), np.ones_like(a)
    rx = np.array([[one, zero, zero], [zero, np.cos(a), -np.sin(a)], [zero, np.sin(a), np.cos(a)]]).transpose(2, 0, 1)
    ry = np.array([[np.cos(b), zero, np.sin(b)], [zero, one, zero], [-np.sin(b), zero, np.cos(b)]]).transpose(2, 0, 1)
    rz = np.array([[np.cos(c), -np.sin(c), zero], [np.sin(c), np.cos(c), zero], [zero, zero, one]]).transpose(2, 0, 1)
    matrices = rz @ ry @ rx
    table = read_star(world.root / "tilt_series/TS_01.star").first
    columns = {label: values for label, values in table.columns.items() if not label.startswith("rlnTomo")}
    for i, label in enumerate(r.TOMO_PROJECTION_ROWS):
        columns[label] = tuple(f"[{','.join(f'{v:.9f}' for v in row[i])},0]" for row in matrices)
    columns["rlnTomoProjW"] = ("[0,0,0,1]",) * len(table)
    tomograms = world.tomograms
    head = tomograms.table.without(r.TOMO_TILT_SERIES_STAR_FILE)
    write_star(world.root / "tomograms.star", StarFile((head, StarBlock.loop("TS_01", columns))))


def with_flag(world: StackProject, label: str, value: object) -> None:
    """Set a column of the optics table."""
    write_particles(world.particles_path, world.particles.with_optics({label: value}))


def with_all_frames_stored(world: StackProject, row: int) -> None:
    """A stack as Warp writes it: with images of hidden tilts too."""
    seen = world.visible(row)
    images = np.full((len(seen), BOX, BOX), 7.0, np.float32)
    images[seen] = read_mrc(world.stack(row))
    world.rewrite_stack(row, images)


def with_cell(world: StackProject, label: str, row: int, text: str) -> ParticleSet:
    """The particles with one cell changed."""
    cells = list(world.particles.texts(label))
    cells[row] = text
    return replace(world.particles.with_columns({label: cells}), path=world.particles_path)
