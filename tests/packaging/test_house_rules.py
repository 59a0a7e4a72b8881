"""Rules of docs/architecture.md that neither ruff nor import-linter can check."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "napari_subtomo"
SOURCES = sorted(PACKAGE.rglob("*.py"))
RLN_NAME = re.compile(r"(?<![A-Za-z])_?rln[A-Z]")
ORDERINGS = {"argsort", "arange", "sorted", "sort", "list", "tuple", "range", "unique", "cumsum", "cumprod", "accumulate"}


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """String constants that the program uses: docstrings and other bare strings only explain."""
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node


def is_reversal(node: ast.AST) -> bool:
    """A slice of the form ``::-1``."""
    return (
        isinstance(node, ast.Slice)
        and node.lower is None
        and node.upper is None
        and isinstance(node.step, ast.UnaryOp)
        and isinstance(node.step.op, ast.USub)
        and isinstance(node.step.operand, ast.Constant)
        and node.step.operand.value == 1
    )


def called_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return ""


def axis_reversals(tree: ast.Module) -> Iterator[int]:
    """Lines that turn xyz into zyx or back: the last axis of an array is reversed, or a short sequence such as a shape.

    A sorted sequence turned round (``np.argsort(score)[::-1]``) is an order and ``volume[:, :, ::-1]`` a mirror image: they pass.
    """
    for node in ast.walk(tree):
        if not isinstance(node, ast.Subscript):
            continue
        index = node.slice
        last_axis = isinstance(index, ast.Tuple) and len(index.elts) == 2 and is_reversal(index.elts[-1])
        whole = is_reversal(index) and called_name(node.value) not in ORDERINGS
        if last_axis or whole:
            yield node.lineno


def test_the_package_has_sources() -> None:
    assert len(SOURCES) > 10


@pytest.mark.parametrize("path", SOURCES, ids=shown)
def test_no_source_file_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def names_relion(path: Path, text: str) -> bool:
    """Whether a string uses a column's name. The help text of an option may tell the user one, as an example of what to type."""
    return bool(RLN_NAME.search(text)) and not (path.parent == PACKAGE / "options" and " " in text)


def test_relion_names_are_spelt_in_one_module_only() -> None:
    found = [
        f"{shown(path)}:{node.lineno}: {node.value!r}"
        for path in SOURCES
        if path not in (PACKAGE / "io" / "relion.py", PACKAGE / "io" / "relion_optimiser.py")
        for node in code_strings(ast.parse(path.read_text(encoding="utf-8")))
        if names_relion(path, str(node.value))
    ]
    assert not found, "names that belong into io/relion.py:\n" + "\n".join(found)


def test_axes_are_reversed_in_one_module_only() -> None:
    found = [
        f"{shown(path)}:{line}"
        for path in SOURCES
        if path != PACKAGE / "geometry" / "frames.py"
        for line in axis_reversals(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not found, "axes are reversed outside geometry/frames.py (use reverse_axes):\n" + "\n".join(found)


@pytest.mark.parametrize("line", ["shape[::-1]", "points[..., ::-1]", "points[:, ::-1]", "tuple(header.shape[::-1])"])
def test_the_rule_sees_an_axis_reversal(line: str) -> None:
    assert list(axis_reversals(ast.parse(line))) == [1]


@pytest.mark.parametrize("line", ["np.argsort(score)[::-1]", "sorted(names)[::-1]", "volume[:, :, ::-1]", "points[..., ::2]"])
def test_the_rule_lets_other_slices_pass(line: str) -> None:
    assert not list(axis_reversals(ast.parse(line)))


def test_the_rule_sees_a_relion_name_but_not_a_docstring() -> None:
    tree = ast.parse('"""rlnTomoName in words"""\nx = "rlnTomoName"\ny = f"_rlnAngleRot {x}"\n')
    assert sum(bool(RLN_NAME.search(str(node.value))) for node in code_strings(tree)) == 2
