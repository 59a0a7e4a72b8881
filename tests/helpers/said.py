"""A reporter that keeps what is said."""

from napari_subtomo.progress import Silent


class Said(Silent):
    """Messages, in order."""

    def __init__(self):
        self.messages = []

    def message(self, text):
        self.messages.append(text)
