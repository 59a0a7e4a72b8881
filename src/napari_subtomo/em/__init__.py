"""The EM engine: expectation over classes, orientations and offsets in each particle's own frame, and maximisation."""
