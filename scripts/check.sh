#!/bin/sh
# Static checks: ruff, mypy, the import contracts, the plugin manifest. Tells all that fail, not only the first.
set -eu

root="$(cd "$(dirname "$0")/.." && pwd)"
. "$root/scripts/setup.sh"

ensure_package dev
cd "$root"
failed=""
check() {
    name="$1"
    shift
    if output="$("$@" 2>&1)"; then
        say "$name: passed"
    else
        printf '%s\n' "$output"
        say "$name: FAILED"
        failed="$failed $name"
    fi
}

bin="$venv/bin"
check ruff "$bin/python" -m ruff check --output-format concise .
check format "$bin/python" -m ruff format --check -q .
check mypy "$bin/python" -m mypy
check import-contracts "$bin/python" -c 'import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())'
check manifest "$bin/python" -m npe2 validate napari.yaml
[ -z "$failed" ] || fail "static checks failed:$failed"
