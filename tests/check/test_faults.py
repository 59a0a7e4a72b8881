"""Each planted fault is caught by the check whose business it is; a sound set passes; too little data is called so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

FAULTS = {
    "off-centre 8 px (particles' axes)": "centre",
    "off-centre 8 px (tomogram's axes)": "centre",
    "inverted contrast": "contrast",
    "wrong hand": "hand",
    "box 36 px": "box",
    "pixel size + 3 %": "pixels",
    "tilt angles of the other sign": "wedge",
    "tilt angles + 10°": "wedge",
    "picks at random places": "signal",
}
Found = Callable[..., Any]


@pytest.mark.parametrize("kind", ["2D stacks", "3D", "tomogram"])
def test_a_sound_set_passes_every_check(checked: Found, kind: str) -> None:
    found = checked("sound", kind)
    assert {v.name: v.status for v in found.verdicts} == dict.fromkeys(
        ("signal", "centre", "box", "contrast", "hand", "wedge", "pixels"), "pass"
    )


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_caught_by_its_check(checked: Found, name: str) -> None:
    found = checked(name)
    verdict = found[FAULTS[name]]
    assert verdict.status == "fail", [(v.name, v.status, v.sentence) for v in found.verdicts]
    assert verdict.sentence[-1] in ".?" and verdict.rule.endswith(".")


@pytest.mark.parametrize("name", ["inverted contrast", "wrong hand", "box 36 px"])
def test_what_has_nothing_to_do_with_a_fault_does_not_fail(checked: Found, name: str) -> None:
    found = checked(name)
    assert [v.name for v in found.verdicts if v.status == "fail"] == [FAULTS[name]]


@pytest.mark.parametrize("name", ["tilt angles of the other sign", "picks at random places"])
def test_the_hand_is_not_judged_where_something_else_is_wrong(checked: Found, name: str) -> None:
    hand = checked(name)["hand"]
    assert hand.status == "cannot tell" and hand.sentence.startswith("Not to be told while")


def test_six_particles_are_too_few_for_what_needs_particles(checked: Found) -> None:
    found = checked("6 particles")
    assert {found[name].status for name in ("signal", "centre", "contrast", "hand")} == {"cannot tell"}
    assert found["pixels"].status == "pass"  # needs files only


def test_tilt_angles_that_are_turned_show_in_the_power_by_as_many_degrees(checked: Found) -> None:
    numbers = checked("tilt angles + 10°")["wedge"].numbers
    assert numbers["turn"] == pytest.approx(-10, abs=1)
    assert numbers["z, angles 10° lower"] > 6


def test_the_hand_turns_its_sign_with_the_files(checked: Found) -> None:
    right, wrong = (checked(name)["hand"].numbers["z"] for name in ("sound", "wrong hand"))
    assert right == pytest.approx(-wrong, rel=0.02)
