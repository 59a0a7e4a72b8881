"""``python -m napari_subtomo``: the command, from this very installation."""

from napari_subtomo.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
