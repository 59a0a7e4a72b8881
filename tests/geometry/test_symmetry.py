"""Point groups: they are groups, of the right order, with RELION's axes."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

from napari_subtomo.errors import OptionError
from napari_subtomo.geometry.symmetry import symmetry_matrices, symmetry_name, symmetry_order

ORDERS = {"C1": 1, "C2": 2, "C7": 7, "D1": 2, "D2": 4, "D7": 14, "T": 12, "O": 24, "I": 60, "I1": 60, "I2": 60, "I3": 60, "I4": 60}

# What `relion_refine --print_symmetry_ops --sym X` (RELION 3.1.3) prints: some elements, row by row, that make all others.
RELION = {
    "C3": ["-0.5 0.86602539 0  -0.86602539 -0.5 0  0 0 1"],
    "D2": ["-1 0 0  0 -1 0  0 0 1", "1 0 0  0 -1 0  0 0 -1"],
    "D3": ["-0.5 0.86602539 0  -0.86602539 -0.5 0  0 0 1", "1 0 0  0 -1 0  0 0 -1"],
    "T": ["-0.5 0.86602539 0  -0.86602539 -0.5 0  0 0 1", "-1 0 0  0 0.33333 0.94281  0 0.94281 -0.33333"],
    "O": ["0 1 0  0 0 1  1 0 0", "0 1 0  -1 0 0  0 0 1"],
    "I1": ["1 0 0  0 -1 0  0 0 -1", "0.80902 -0.5 -0.30902  0.5 0.30902 0.80902  -0.30902 -0.80902 0.5"],
    "I2": ["-1 0 0  0 -1 0  0 0 1", "0.5 0.80902 0.30902  -0.80902 0.30902 0.5  0.30902 -0.5 0.80902"],
    "I3": ["-0.44721 0 -0.89443  0 -1 0  -0.89443 0 0.44721", "0.309017 0.95105654 0  -0.95105654 0.309017 0  0 0 1"],
    "I4": [
        "-0.44721 0 0.89443  0 -1 0  0.89443 0 0.44721",
        "0.8618 0.42533 0.27639  -0.42533 0.30902 0.85065  0.27639 -0.85065 0.44721",
    ],
}


def distance_to(group: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Largest difference in any element between each matrix and the nearest of the group."""
    return np.abs(matrices[:, None] - group[None]).max(axis=(2, 3)).min(axis=1)


def generated(generators: np.ndarray, limit: int) -> int:
    group = [np.eye(3)]
    for element in group:
        for generator in generators:
            product = element @ generator
            if distance_to(np.array(group), product[None])[0] > 1e-3:
                group.append(product)
        if len(group) > limit:
            break
    return len(group)


@pytest.mark.parametrize("name", ORDERS)
def test_a_group_has_its_order_and_begins_with_the_identity(name: str) -> None:
    matrices = symmetry_matrices(name)
    assert matrices.shape == (ORDERS[name], 3, 3)
    assert symmetry_order(name) == ORDERS[name]
    assert np.allclose(matrices[0], np.eye(3))


@pytest.mark.parametrize("name", ORDERS)
def test_elements_are_different_rotations(name: str) -> None:
    matrices = symmetry_matrices(name)
    assert np.allclose(matrices @ np.swapaxes(matrices, 1, 2), np.eye(3))
    assert np.allclose(np.linalg.det(matrices), 1)
    apart = np.abs(matrices[:, None] - matrices[None]).max(axis=(2, 3)) + 9 * np.eye(len(matrices))
    assert apart.min() > 0.1


@pytest.mark.parametrize("name", ORDERS)
def test_products_and_inverses_stay_in_the_group(name: str) -> None:
    matrices = symmetry_matrices(name)
    products = (matrices[:, None] @ matrices[None]).reshape(-1, 3, 3)
    assert distance_to(matrices, products).max() < 1e-9
    assert distance_to(matrices, np.swapaxes(matrices, 1, 2)).max() < 1e-9


@pytest.mark.parametrize("name", RELION)
def test_axes_are_where_relion_puts_them(name: str) -> None:
    matrices = symmetry_matrices(name)
    printed = np.array([np.array(text.split(), float).reshape(3, 3) for text in RELION[name]])
    assert generated(printed, len(matrices)) == len(matrices)
    assert distance_to(matrices, printed).max() < 2e-5


@pytest.mark.skipif(shutil.which("relion_refine") is None, reason="relion_refine is not installed")
@pytest.mark.parametrize("name", ["C5", "D7", "T", "O", "I", "I1", "I2", "I3", "I4"])
def test_all_elements_are_those_that_relion_prints(name: str) -> None:
    text = subprocess.run(["relion_refine", "--print_symmetry_ops", "--sym", name], capture_output=True, text=True, check=True).stdout
    printed = np.array([[line.split() for line in part.splitlines()[1:4]] for part in text.split("R(")[1:]], float)
    matrices = symmetry_matrices(name)
    assert len(printed) == len(matrices)
    assert distance_to(matrices, printed).max() < 2e-5


def test_i_is_i2_in_either_case() -> None:
    assert symmetry_name(" i ") == "I2"
    assert np.array_equal(symmetry_matrices("I"), symmetry_matrices("i2"))


@pytest.mark.parametrize("name", ["", "C0", "C", "D0", "CI", "TH", "OH", "I5", "C2v", "C-1", "C1.5", "helix"])
def test_unknown_groups_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match="is no symmetry known here"):
        symmetry_matrices(name)


def test_the_matrices_may_be_changed_by_their_user() -> None:
    symmetry_matrices("C2")[:] = 0
    assert np.allclose(symmetry_matrices("C2")[0], np.eye(3))
