# Two commands for every user (demo, test); quick, check, format, docs and clean are for those who change vitret.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready

.PHONY: demo test quick check format docs clean

# torch and torchvision are installed first and pinned: for a range, a package index may send several GB of CUDA instead.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(READY)  ## synthetic datasets, train, measure, print the tables
	$(BIN)/vitret demo

test: $(READY)  ## every test, doctests included
	$(BIN)/python -m pytest --numprocesses auto

quick: $(READY)  ## the tests of under two seconds each, for the inner loop
	$(BIN)/python -m pytest --numprocesses auto -m "not slow"

check: $(READY)  ## exactly what CI runs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test
	$(BIN)/vitret results validate
	$(BIN)/vitret leaderboard --check

docs: $(READY)  ## the site, into site/; a warning is an error
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	$(BIN)/mkdocs build --strict

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist site *.egg-info
