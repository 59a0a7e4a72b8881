#!/bin/sh
# Installs napari-subtomo into .venv and runs its demo: pick, extract, average, classify and select on a simulated sample.
# sh scripts/demo.sh [DIR] [options of `napari-subtomo demo`]
set -eu

root="$(cd "$(dirname "$0")/.." && pwd)"
. "$root/scripts/setup.sh"

ensure_package all
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    ensure_window real || say "no window can be opened until these are installed (as root: apt-get install $missing); going on with pictures."
fi
"$venv/bin/python" -m napari_subtomo.cli.main demo "$@"
say "the command napari-subtomo is in $venv/bin; '. $venv/bin/activate' puts it on the path."
