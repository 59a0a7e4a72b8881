#!/bin/sh
# Installs napari-subtomo with its tools into .venv, then runs the static checks and all tests.
# sh scripts/test.sh [options of pytest]
set -eu

root="$(cd "$(dirname "$0")/.." && pwd)"
. "$root/scripts/setup.sh"

ensure_package dev
cd "$root"
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1

status=0
sh scripts/check.sh || status=1

# Windows need a screen. A virtual one is taken even where there is a real one, so that no test window gets in somebody's way.
if ensure_window virtual; then
    set -- xvfb-run -a -s "-screen 0 1600x1000x24" "$venv/bin/python" -m pytest "$@"
elif [ -n "${DISPLAY:-}" ] && ensure_window real; then
    set -- "$venv/bin/python" -m pytest "$@"
else
    say "tests of napari and its windows are left out until these are installed (as root: apt-get install $missing)."
    # Without these libraries not even napari's and Qt's own pytest plugins can be imported.
    set -- "$venv/bin/python" -m pytest -p no:napari -p no:pytest-qt --ignore=tests/viewer --ignore=tests/widgets -m "not gui" "$@"
fi
room "${TMPDIR:-/tmp}" 1500 "a run of the tests"
# A test that hangs is stopped and says where.
"$@" -n auto --maxprocesses 4 --dist loadgroup --timeout 600 || status=1
exit "$status"
