"""Take the picture of docs/check-extraction.md: verdicts of a check as the Extraction dock shows them.

napari-subtomo check-extraction --optimisation-set Extract/job001/optimisation_set.star
xvfb-run -a python scripts/make_check_picture.py Check/job002
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "check-extraction.png"


def main() -> None:
    """Show the verdicts of a job folder, and save what is seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=IMAGE)
    given = parser.parse_args()
    from napari._qt.qt_event_loop import get_qapp
    from napari._qt.qt_resources import get_stylesheet

    from napari_subtomo.io.project import Project
    from napari_subtomo.widgets.results import ChecksView

    application = get_qapp()
    application.setStyleSheet(get_stylesheet("dark"))
    view = ChecksView()
    view.resize(560, 690)
    view.show()
    view.show_job(given.folder.absolute(), Project(given.folder.absolute().parents[1]))
    until = time.monotonic() + 20
    while not view.rows and time.monotonic() < until:
        application.processEvents()
    for _ in range(10):
        application.processEvents()
    view.grab().save(str(given.out))


if __name__ == "__main__":
    main()
