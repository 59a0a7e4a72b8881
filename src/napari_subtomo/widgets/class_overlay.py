"""The classes of a gallery on the tomogram: which particles are kept, which light up, and whose are shown at all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_subtomo.errors import SubtomoError
from napari_subtomo.progress import Reporter
from napari_subtomo.viewer.choosing import Choice, is_shown, kept_by, same_classes
from napari_subtomo.viewer.gallery import Gallery
from napari_subtomo.viewer.session import Session
from napari_subtomo.viewer.shelf import load_iteration
from napari_subtomo.widgets.showing import Stage
from napari_subtomo.widgets.status import StatusLine
from napari_subtomo.widgets.worker import Worker

ELSEWHERE = "Particles edited by hand and not saved are shown: save them, or press “Show on tomogram” to look at these classes instead."


class ClassOverlay:
    """Changes the session of a viewer, and nothing else.

    Parameters
    ----------
    stage : Stage
    status : StatusLine
    """

    def __init__(self, stage: Stage, status: StatusLine) -> None:
        self._stage, self._status = stage, status
        self.worker = Worker(status)
        self._same: tuple[Any, Any, bool] | None = None

    def shows(self, gallery: Gallery | None) -> bool:
        """Whether the particles of that iteration are shown."""
        session = self._stage.session
        return gallery is not None and session is not None and is_shown(gallery, session)

    def shows_sibling(self, gallery: Gallery) -> bool:
        """Whether another iteration of the same classification is shown, without edits that could be lost."""
        session = self._stage.session
        path = session.sets[0].path if session is not None and session.sets else None
        if session is None or path is None or session.edited or is_shown(gallery, session):
            return False
        return Path(path).name.endswith("_data.star") and Path(path).parent.resolve() == gallery.folder.resolve()

    def keep(self, gallery: Gallery, choice: Choice) -> None:
        """Keep the particles of the chosen classes, reject the others; without a choice all but the empty class are kept."""
        view = self._stage.view
        if view is not None and is_shown(gallery, view.session):
            self._try(lambda: view.update(kept=kept_by(gallery, choice, view.session)))

    def choose(self, gallery: Gallery, choice: Callable[[], Choice], say: Callable[[], None] | None = None) -> None:
        """As `keep`; where other particles are shown, those of the gallery are read and shown first, unless edits would be lost.

        `say` is called once they are shown, for what is to be read then.
        """
        session = self._stage.session
        if session is None or self.shows(gallery):
            self.keep(gallery, choice())
            if say is not None:
                say()
        elif session.edited:
            self._status.warn(ELSEWHERE)
        else:
            self.show(gallery, choice, say)

    def show(self, gallery: Gallery, choice: Callable[[], Choice], say: Callable[[], None] | None = None) -> None:
        """Read the particles of the iteration beside the window and show them; the choice is looked up when they are there.

        `say` is called once they are shown, for what is to be read then.
        """
        if gallery.particles is None:
            return  # the form says already that their file is missing

        def load(reporter: Reporter) -> Session:
            reporter.stage(f"Reading the particles of {gallery.title}")
            return load_iteration(gallery)

        def place(session: Session) -> None:
            if gallery.missing:
                self._status.warn(gallery.missing_sentence)
            else:
                self._status.say("")
            self._try(lambda: self._stage.show(session))
            self.keep(gallery, choice())
            if say is not None:
                say()

        self.worker.run(load, place)

    def light_up(self, gallery: Gallery | None, number: int | None) -> None:
        """Dim all particles but those of a class; None: none are dimmed. Nothing where class numbers mean something else."""
        view = self._stage.view
        if view is None or view.session.hover_class == number:
            return
        if number is None or (gallery is not None and self._fits(gallery, view.session)):
            self._try(lambda: view.update(hover_class=number))

    def _fits(self, gallery: Gallery, session: Session) -> bool:
        """Whether the particles shown have the classes of the gallery; remembered, for every particle is looked at."""
        if self._same is None or self._same[0] is not gallery or self._same[1] is not session.sets:
            self._same = (gallery, session.sets, same_classes(gallery, session))
        return self._same[2]

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (SubtomoError, OSError) as error:
            self._status.fail(error)
