# The commands of the README under short names; each works on its own machine-made .venv.
.PHONY: demo test check format clean

demo:
	sh scripts/demo.sh

test:
	sh scripts/test.sh

check:
	sh scripts/check.sh

format:
	.venv/bin/python -m ruff check --fix . && .venv/bin/python -m ruff format .

clean:
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
