"""Picking by hand, without a window: spheres, undo and redo, the edit journal, slices and planes."""
