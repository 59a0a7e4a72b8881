"""The end of the program: threads of tasks are stopped, and late ones leave Qt alone."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.gui

#: A window's program that ends with a thread at work: it heeds a stop, or is deaf to it and speaks when all is over.
PROGRAM = """
import sys, time
from qtpy.QtWidgets import QApplication
from napari_subtomo.widgets import task

application = QApplication([])
task.FAREWELL = float(sys.argv[2])
started = time.monotonic()

def heeding(reporter):
    try:
        for _ in range(100_000):
            time.sleep(0.01)
            reporter.advance()
    finally:
        print("stopped", flush=True)

def deaf(reporter):
    time.sleep(0.5)
    reporter.stage("late")
    print("spoke", flush=True)

one = task.Task({"heeding": heeding, "deaf": deaf}[sys.argv[1]])
one.start()
time.sleep(0.1)
print("ends", flush=True)
"""


def ended(kind: str, patience: float) -> list[str]:
    """What a program says whose thread is at work when it ends."""
    words = [sys.executable, "-X", "faulthandler", "-c", PROGRAM, kind, str(patience)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_thread_is_stopped_before_the_program_is_taken_down():
    assert ended("heeding", 20.0) == ["ends", "stopped"]


def test_what_a_thread_says_too_late_is_not_heard():
    assert ended("deaf", 20.0) == ["ends", "spoke"]
    assert ended("deaf", 0.0)[0] == "ends"
