"""The list of mutations fits the sources, and tests notice them."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "benchmarks" / "mutations.py"
# one of each law; the script without words tries all
WORDS = ["sign of rot", "read by the engine", "sign of the CTF", "tilt in the wedge", "power term", "zyx for xyz in points", "padding"]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutations", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutations"] = module  # dataclasses look their module up
    sys.path.append(str(SCRIPT.parent))
    spec.loader.exec_module(module)
    return module


def test_every_mutation_changes_one_place_into_code_that_runs(script: ModuleType) -> None:
    for mutation in script.MUTATIONS:
        assert mutation.right != mutation.wrong
        ast.parse(script.mutated(mutation))
    names = [mutation.name for mutation in script.MUTATIONS]
    assert len(set(names)) == len(names)


def test_every_mutation_names_tests_that_exist(script: ModuleType) -> None:
    for test in {test for mutation in script.MUTATIONS for test in mutation.tests}:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text(encoding="utf-8"), test


def test_a_list_older_than_the_sources_is_told(script: ModuleType) -> None:
    outcome = script.try_one(script.Mutation("gone", "numerics/ctf.py", "no such text", "", ("tests/numerics/test_ctf.py",)))
    assert not outcome.noticed and "0 times, not once" in outcome.problem


@pytest.mark.slow
def test_tests_notice_a_mutation_of_each_law() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), *WORDS], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("noticed ") >= len(WORDS)


@pytest.mark.slow
def test_a_mutation_that_no_test_notices_is_told(
    script: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    harmless = script.Mutation(
        "a comment", "numerics/ctf.py", "import numpy as np", "import numpy as np  # unlike", ("tests/numerics/test_ctf.py",)
    )
    monkeypatch.setattr(script, "MUTATIONS", (harmless,))
    assert script.main([]) == 1
    assert "SURVIVED" in capsys.readouterr().out
