"""What a check of a GPU is, and how its verdict is found: the same computation there and by numpy.

A check is a function of the device that returns named arrays. Tolerances are stated with each: relative to the largest value of an
output, or absolute where `absolute` says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_subtomo.em import basis
from napari_subtomo.numerics.backend import to_host

Outputs = dict[str, Any]


@dataclass(frozen=True)
class Check:
    """A computation; `tolerance` holds for each of its outputs."""

    name: str
    compute: Callable[[str], Outputs]
    tolerance: float
    absolute: bool = False


@dataclass(frozen=True)
class Verdict:
    """The largest difference of any output to numpy's."""

    name: str
    passed: bool
    difference: float
    tolerance: float
    output: str
    error: str = ""


CHECKS: list[Check] = []


def check(tolerance: float, absolute: bool = False) -> Callable[[Callable[[str], Outputs]], Callable[[str], Outputs]]:
    """Decorator: the function is one of the checks."""

    def register(function: Callable[[str], Outputs]) -> Callable[[str], Outputs]:
        CHECKS.append(Check(function.__name__.replace("_", " "), function, tolerance, absolute))
        return function

    return register


def compare(case: Check, device: str) -> Verdict:
    """Run a check on a device and with numpy, which make fewer functions of references under the same conditions here."""
    usual, basis.DEVICE = basis.DEVICE, 1.0
    try:
        return _compared(case, device)
    finally:
        basis.DEVICE = usual


def _compared(case: Check, device: str) -> Verdict:
    """What comes out there against what comes out here."""
    expected = {name: np.asarray(value) for name, value in case.compute("cpu").items()}
    try:
        found = {name: np.asarray(to_host(value)) for name, value in case.compute(device).items()}
    except Exception as error:
        return Verdict(case.name, False, float("inf"), case.tolerance, "", f"{type(error).__name__}: {error}")
    worst, where = 0.0, ""
    for name, right in expected.items():
        value = found[name]
        if value.shape != right.shape or np.iscomplexobj(value) != np.iscomplexobj(right):
            return Verdict(
                case.name, False, float("inf"), case.tolerance, name, f"{value.shape} {value.dtype}, not {right.shape} {right.dtype}"
            )
        scale = 1.0 if case.absolute else max(float(np.abs(right).max(initial=0)), 1e-30)
        difference = float(np.abs(value - right).max(initial=0)) / scale
        if not difference <= worst:  # also when it is no number
            worst, where = difference, name
    return Verdict(case.name, bool(worst <= case.tolerance), worst, case.tolerance, where)
