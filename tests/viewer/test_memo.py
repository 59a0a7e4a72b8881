"""What is remembered, and for how long."""

from __future__ import annotations

from napari_subtomo.viewer import memo
from napari_subtomo.viewer.memo import remembered
from napari_subtomo.viewer.table import coded


def test_a_value_is_made_once_for_each_object_and_name() -> None:
    made: list[str] = []
    first, second = [1], [1]  # equal, but not the same

    def make(text: str) -> str:
        made.append(text)
        return text

    assert remembered(first, "a", lambda: make("1a")) == "1a"
    assert remembered(first, "a", lambda: make("again")) == "1a"
    assert remembered(first, "b", lambda: make("1b")) == "1b"
    assert remembered(second, "a", lambda: make("2a")) == "2a"
    assert made == ["1a", "1b", "2a"]


def test_only_so_many_values_are_kept_and_an_old_place_in_memory_is_no_old_object() -> None:
    for number in range(3 * memo.MOST):
        owner = [number]
        assert remembered(owner, "x", lambda owner=owner: owner[0]) == number
    assert len(memo._results) <= memo.MOST


def test_codes_number_texts_in_the_order_of_their_first_appearance() -> None:
    names, codes = coded(["b", "a", "b", "", "a"])
    assert names == ("b", "a", "")
    assert codes.tolist() == [0, 1, 0, 2, 1]
