"""particles.star after extraction, as RELION writes it: true positions, no origins, images and the optics table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_subtomo.data.tomogram import Tomogram
from napari_subtomo.errors import GeometryError
from napari_subtomo.geometry.orientations import euler_to_matrix, matrix_to_euler
from napari_subtomo.io import relion
from napari_subtomo.io.particles import ParticleSet
from napari_subtomo.io.star import StarBlock

FloatArray = npt.NDArray[np.float64]
RELION31_COMMENT = "# version 30001"


def turned_into_tomogram(particles: ParticleSet, positions: FloatArray) -> ParticleSet:
    """The set with poses relative to the axes of the tomogram, in which a crop lies: same places and orientations, other numbers.

    Coordinates become the true positions and origins 0, as RELION's extraction does; the frame S of the subtomogram becomes the
    identity and the angles ``S·A``; priors follow.

    Parameters
    ----------
    particles : ParticleSet
    positions : ndarray, shape (n, 3)
        True positions, xyz, Å from the centre.
    """
    frames, origins = particles.frames, particles.origins
    columns: dict[str, Any] = {}
    framed = any(particles.has(label) for label in relion.SUBTOMOGRAM_ANGLES)
    if framed:
        columns |= {label: np.zeros(particles.n) for label in relion.SUBTOMOGRAM_ANGLES}
        columns |= _turned_priors(particles, frames)
    if particles.has(*relion.ORIGIN_PRIORS):
        prior = np.stack([particles.floats(label) for label in relion.ORIGIN_PRIORS], axis=-1)
        columns |= dict(zip(relion.ORIGIN_PRIORS, np.einsum("nij,nj->ni", frames, prior - origins).T, strict=True))
    turned = particles.with_coordinates(positions)
    angles = particles.orientations if framed or not particles.has(*relion.ANGLES) else None  # angles that hold stay as text
    return turned.with_poses(angles, np.zeros((particles.n, 3))).with_columns(columns)


def _turned_priors(particles: ParticleSet, frames: FloatArray) -> dict[str, FloatArray]:
    """Priors of the angles that are there, for S = 1: those of ``S·A(prior)``, with the angle itself where a prior is missing."""
    present = [label for label in relion.ANGLE_PRIORS if particles.has(label)]
    if not present:
        return {}
    euler = matrix_to_euler(particles.angles)
    for i, label in enumerate(relion.ANGLE_PRIORS):
        if label in present:
            prior = particles.floats(label)
            euler[:, i] = np.where(prior == 999, euler[:, i], prior)  # 999: RELION's mark for a prior that is not set
    turned = matrix_to_euler(frames @ euler_to_matrix(euler))
    return {label: turned[:, i] for i, label in enumerate(relion.ANGLE_PRIORS) if label in present}


def optics_table(
    particles: ParticleSet, tomograms: Sequence[Tomogram], binning: float, size: int, premultiplied: bool, dimensions: int = 3
) -> ParticleSet:
    """The set with the optics table of extracted images, one made from the tomograms where there is none.

    Parameters
    ----------
    particles : ParticleSet
    tomograms : sequence of Tomogram
        Of each particle.
    binning : float
    size : int
        Box in px.
    premultiplied : bool
    dimensions : int
        2 for stacks, 3 for volumes.

    Raises
    ------
    GeometryError
        Tomograms of one optics group with different pixel sizes.
    """
    if particles.optics is None:
        names = list(dict.fromkeys(t.optics_group for t in tomograms))
        particles = particles.with_columns({relion.OPTICS_GROUP: [names.index(t.optics_group) + 1 for t in tomograms]})
        block = StarBlock.loop(relion.OPTICS, {relion.OPTICS_GROUP: range(1, len(names) + 1), relion.OPTICS_GROUP_NAME: names})
    else:
        block = particles.optics
        if not block.has(relion.OPTICS_GROUP):
            block = block.with_column(relion.OPTICS_GROUP, range(1, len(block) + 1))
    if not particles.has(relion.OPTICS_GROUP):
        particles = particles.with_columns({relion.OPTICS_GROUP: [1] * particles.n})
    members: dict[int, Tomogram] = {}
    for group, tomogram in zip(particles.optics_groups.tolist(), tomograms, strict=True):
        first = members.setdefault(group, tomogram)
        if abs(tomogram.frame.pixel_size - first.frame.pixel_size) > 1e-4 * first.frame.pixel_size:
            raise GeometryError(
                f"Expected one tilt-series pixel size in the optics group {group}, found {first.frame.pixel_size:g} Å in {first.name} and "
                f"{tomogram.frame.pixel_size:g} Å in {tomogram.name}; give them different optics groups."
            )
    numbers: list[int] = block.ints(relion.OPTICS_GROUP).tolist()
    block = block.rows([number in members for number in numbers])
    used = [members[number] for number in numbers if number in members]
    known: dict[str, list[Any]] = {
        relion.OPTICS_GROUP_NAME: [t.optics_group for t in used],
        relion.VOLTAGE: [t.voltage for t in used],
        relion.SPHERICAL_ABERRATION: [t.cs for t in used],
        relion.AMPLITUDE_CONTRAST: [t.amplitude_contrast for t in used],
        relion.TILT_SERIES_PIXEL_SIZE: [t.frame.pixel_size for t in used],
    }
    for label, values in known.items():
        if not block.has(label) and all(value is not None for value in values):
            block = block.with_column(label, values)
    pixels = np.array([t.frame.pixel_size for t in used])
    written: dict[str, Any] = {
        relion.CTF_PREMULTIPLIED: [int(premultiplied)] * len(used),
        relion.IMAGE_DIMENSIONALITY: [dimensions] * len(used),
        relion.SUBTOMOGRAM_BINNING: [binning] * len(used),
        relion.IMAGE_PIXEL_SIZE: pixels * binning,
        relion.IMAGE_SIZE: [size] * len(used),
    }
    for label, values in written.items():
        block = block.with_column(label, values)
    return _with_optics(particles, block.without(relion.CTF_CORRECTED))


def _with_optics(particles: ParticleSet, block: StarBlock) -> ParticleSet:
    """The set with this optics table, in front of the particles if there was none."""
    if particles.optics is None:
        return particles.with_optics({label: list(values) for label, values in block.columns.items()})
    return replace(particles, star=particles.star.replace(block))


def relion5_table(particles: ParticleSet) -> ParticleSet:
    """The set flagged as 3D subtomograms; frames of 2D stacks are forgotten."""
    return particles.without_columns(relion.VISIBLE_FRAMES).with_2d_stacks(False)


def from_tilts_table(particles: ParticleSet, coordinates: FloatArray, *, fold: bool, stacks: bool) -> ParticleSet:
    """The set as RELION's extraction from tilt images leaves it: frames of subtomograms and angles stay, also as text.

    Parameters
    ----------
    particles : ParticleSet
    coordinates : ndarray, shape (n, 3)
        Centred coordinates to write, xyz, Å.
    fold : bool
        They are the true positions: origins become 0, and priors of origins follow.
    stacks : bool
        Images are 2D stacks.
    """
    table, columns = particles, {}
    if fold:
        if particles.has(*relion.ORIGIN_PRIORS):
            prior = np.stack([particles.floats(label) for label in relion.ORIGIN_PRIORS], axis=-1)
            columns = dict(zip(relion.ORIGIN_PRIORS, (prior - particles.origins).T, strict=True))
        table = table.with_coordinates(coordinates).with_poses(None, np.zeros((particles.n, 3))).with_columns(columns)
    elif not particles.has(*relion.CENTRED):
        table = table.with_coordinates(coordinates).with_poses(None, particles.origins)
    return table.without_columns(relion.VISIBLE_FRAMES, relion.IMAGE_NAME, relion.CTF_IMAGE).with_2d_stacks(stacks)


def relion31_table(particles: ParticleSet, tomograms: Sequence[Tomogram], positions: FloatArray) -> ParticleSet:
    """The set in RELION 3.1's columns: micrograph names and coordinates in unbinned pixels from the corner of the tomogram."""
    pixels = np.stack([t.frame.unbinned(p) for t, p in zip(tomograms, positions, strict=True)]) if len(positions) else np.zeros((0, 3))
    gone = (*relion.CENTRED, *relion.SUBTOMOGRAM_ANGLES, relion.VISIBLE_FRAMES, relion.TOMO_NAME)
    old = particles.without_columns(*gone).with_columns(
        {relion.MICROGRAPH_NAME: particles.tomo_names, **dict(zip(relion.COORDINATES, pixels.T, strict=True))}
    )
    assert old.optics is not None
    block = old.optics
    pixel_sizes = block.texts(relion.TILT_SERIES_PIXEL_SIZE)
    block = block.without(relion.TILT_SERIES_PIXEL_SIZE, relion.SUBTOMOGRAM_BINNING, relion.CTF_PREMULTIPLIED)
    old = _with_optics(old, block.with_column(relion.MICROGRAPH_ORIGINAL_PIXEL_SIZE, pixel_sizes))
    star = old.star.without(relion.GENERAL)
    return replace(old, star=replace(star, blocks=tuple(replace(b, comments=(RELION31_COMMENT,)) for b in star.blocks)))
