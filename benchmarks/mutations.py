"""Break the package in one place at a time and see that a test notices.

Each mutation is a wrong sign, a dropped term or swapped axes: what still looks like a result and is none. A copy of the sources gets it,
the tests that are about that law run against the copy, and one of them must fail. Run from a clone with the test tools installed:

    python benchmarks/mutations.py [--jobs N] [WORD ...]

Words choose the mutations whose names hold one of them. The exit code is 0 if every mutation was noticed.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mutation_list import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_subtomo"


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutation: `noticed` by `tests`, or what went wrong."""

    mutation: Mutation
    noticed: bool
    tests: tuple[str, ...]
    problem: str
    seconds: float


def mutated(mutation: Mutation, package: Path = PACKAGE) -> str:
    """The text of the file with the mutation.

    Raises
    ------
    ValueError
        `right` does not stand there exactly once: the list is older than the sources.
    """
    text = (package / mutation.file).read_text(encoding="utf-8")
    if text.count(mutation.right) != 1:
        raise ValueError(
            f"{mutation.file} holds {mutation.right!r} {text.count(mutation.right)} times, not once: bring the list up to date"
        )
    return text.replace(mutation.right, mutation.wrong)


def run_tests(source: Path, tests: Sequence[str], first_only: bool = True) -> tuple[int, str]:
    """Exit code and output of tests against the package in `source`."""
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # no plugins: the laws need no Qt, and their start would take longer than the tests
    environment = os.environ | threads | {"PYTHONPATH": str(source), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=no", "-p", "no:cacheprovider", *(["-x"] if first_only else []), *tests]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def copied(folder: Path) -> Path:
    """A copy of the sources in `folder`."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def try_one(mutation: Mutation) -> Outcome:
    """Run the tests of a mutation against a mutated copy."""
    began = time.monotonic()
    try:
        text = mutated(mutation)
    except ValueError as error:
        return Outcome(mutation, False, (), str(error), 0.0)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        source = copied(Path(folder))
        (source / PACKAGE.name / mutation.file).write_text(text, encoding="utf-8")
        code, output = run_tests(source, mutation.tests)
    failed = tuple(re.findall(r"^FAILED (\S+)", output, re.MULTILINE))
    problem = {0: "SURVIVED", 1: ""}.get(code, f"pytest ended with {code}: {output.strip().splitlines()[-1] if output.strip() else ''}")
    return Outcome(mutation, code == 1 and bool(failed), failed, problem, time.monotonic() - began)


def sound(mutations: Sequence[Mutation]) -> str:
    """What the tests of these mutations say of the sources as they are; empty if they pass, as they must."""
    tests = list(dict.fromkeys(test for mutation in mutations for test in mutation.tests))
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        code, output = run_tests(copied(Path(folder)), tests, first_only=False)
    return "" if code == 0 else output


def main(words: Sequence[str] | None = None) -> int:
    """Print a table of mutations and the tests that notice them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name", nargs="*", help="only mutations whose names hold one of these words")
    parser.add_argument("--jobs", type=int, default=2, help="mutations tried at once (default 2)")
    given = parser.parse_args(words)
    chosen = [m for m in MUTATIONS if not given.name or any(word in m.name for word in given.name)]
    if not chosen:
        print("no mutation of that name")
        return 2
    wrong = sound(chosen)
    if wrong:
        print(wrong)
        print("The tests fail on the sources as they are: nothing can be said of mutations.")
        return 2
    with ThreadPoolExecutor(given.jobs) as pool:
        outcomes = []
        for outcome in pool.map(try_one, chosen):
            outcomes.append(outcome)
            told = outcome.tests[0] if outcome.noticed else outcome.problem
            print(
                f"{'noticed ' if outcome.noticed else 'NOT SEEN'}  {outcome.seconds:5.1f} s  {outcome.mutation.name:<42} {told}", flush=True
            )
    missed = sum(not outcome.noticed for outcome in outcomes)
    print(f"{len(outcomes) - missed} of {len(outcomes)} mutations were noticed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
