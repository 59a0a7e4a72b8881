"""Point groups without mirrors, with their axes where RELION puts them.

A reference with symmetry G looks the same after every rotation R of G, so the pose A (reference -> particle) and the poses A·R
describe the same particle.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from napari_subtomo.errors import OptionError

MAX_FOLD = 360
_CYCLIC = re.compile(r"([CD])([1-9]\d*)")
_PLATONIC_ORDER = {"T": 12, "O": 24, "I1": 60, "I2": 60, "I3": 60, "I4": 60}
_GOLDEN = (1 + 5**0.5) / 2


def symmetry_name(text: str) -> str:
    """The group's name as this package writes it.

    Parameters
    ----------
    text : str
        C1, C2, ..., D1, D2, ..., T, O, I (the same as I2), I1, I2, I3 or I4, in either case.

    Returns
    -------
    str
        Upper case, with I spelt out as I2.

    Raises
    ------
    OptionError
        For any other text, groups with mirror planes among them: no molecule of one hand has them.
    """
    name = text.strip().upper()
    name = "I2" if name == "I" else name
    cyclic = _CYCLIC.fullmatch(name)
    if name in _PLATONIC_ORDER or (cyclic and int(cyclic.group(2)) <= MAX_FOLD):
        return name
    raise OptionError(f'"{text}" is no symmetry known here: give C1, C2, ..., D2, D3, ..., T, O, I (as I2), I1, I2, I3 or I4')


def symmetry_order(text: str) -> int:
    """Number of rotations in the group: 1 for C1, n for Cn, 2n for Dn, 12, 24 and 60 for T, O and I."""
    name = symmetry_name(text)
    if name in _PLATONIC_ORDER:
        return _PLATONIC_ORDER[name]
    return int(name[1:]) * (2 if name[0] == "D" else 1)


def symmetry_matrices(text: str) -> NDArray[np.float64]:
    """All rotations of a point group.

    Parameters
    ----------
    text : str
        Name of the group, see `symmetry_name`.

    Returns
    -------
    (m, 3, 3) float64
        Matrices that act on xyz column vectors, the identity first.

    Notes
    -----
    Axes as in RELION (`src/symmetries.cpp`, the same as in Xmipp):

    * Cn: the n-fold axis on z;  Dn: besides, a 2-fold axis on x.
    * T: a 3-fold axis on z, a 2-fold axis in the yz plane (not the "222" setting).
    * O: 4-fold axes on x, y and z.
    * I2 (also I): 2-fold axes on x, y and z, a 5-fold axis in the xz plane at 31.7° from z (Crowther's 222 setting).
    * I1: I2 turned by 90° about z. I3 and I4: a 5-fold axis on z and 2-fold axes on y; they differ by 180° about z.
    """
    return _matrices(symmetry_name(text)).copy()


@lru_cache(maxsize=32)
def _matrices(name: str) -> NDArray[np.float64]:
    if name in _PLATONIC_ORDER:
        return _close(_generators(name), _PLATONIC_ORDER[name])
    fold = int(name[1:])
    turns = np.stack([_turn((0, 0, 1), fold, step) for step in range(fold)])
    if name[0] == "C":
        return turns
    return np.concatenate([turns, turns @ _turn((1, 0, 0), 2)])


def _turn(axis: tuple[float, float, float], fold: int, steps: int = 1) -> NDArray[np.float64]:
    """Rotation by `steps` times 360°/fold about an axis (x, y, z)."""
    unit = np.asarray(axis, float) / np.linalg.norm(axis)
    matrix: NDArray[np.float64] = Rotation.from_rotvec(unit * 2 * np.pi * steps / fold).as_matrix()
    return matrix


def _generators(name: str) -> list[NDArray[np.float64]]:
    if name == "T":
        return [_turn((0, 0, 1), 3), _turn((0, 2**0.5, 1), 2)]
    if name == "O":
        return [_turn((1, 1, 1), 3), _turn((0, 0, 1), 4)]
    icosahedral = [_turn((0, 0, 1), 2), _turn((1, 0, _GOLDEN), 5), _turn((0, 1, _GOLDEN**2), 3)]
    # The 5-fold axes (±1, 0, golden) of I2 lie at this angle from z: I3 turns the first of them onto z, I4 the second.
    off_z = np.degrees(np.arctan2(1, _GOLDEN))
    setting = {"I1": ("y", 90.0), "I2": ("y", 0.0), "I3": ("y", -off_z), "I4": ("y", off_z)}[name]
    frame = Rotation.from_euler(setting[0], setting[1], degrees=True).as_matrix()
    return [frame @ generator @ frame.T for generator in icosahedral]


def _close(generators: list[NDArray[np.float64]], order: int) -> NDArray[np.float64]:
    """All products of the generators; `order` is what the group must come to."""
    group = [np.eye(3)]
    for element in group:  # grows while it is walked through, until no product is new
        for generator in generators:
            product = element @ generator
            if all(np.abs(product - known).max() > 1e-6 for known in group):
                group.append(product)
        if len(group) > order:
            break
    if len(group) != order:
        raise ValueError(f"the generators make {len(group)} rotations, expected {order}")
    return np.stack(group)
