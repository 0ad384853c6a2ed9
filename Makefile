# softnet: every target creates .venv as needed, with plain pip, and leaves .venv/bin/softnet.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv mount run test check bench clean

venv: .venv/.ready

.venv/.ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

mount: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mount]'

run: venv
	$(BIN)/softnet run

test: check
	$(BIN)/python -m pytest -n 2

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: venv
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
