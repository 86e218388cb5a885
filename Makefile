# Two commands for everybody (demo, test); quick, check, format and clean are for whoever changes vitret.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready

.PHONY: demo test quick check format clean

# torch and torchvision go first and pinned: asked for by range, a package index may send several GB of CUDA instead.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(READY)  ## draw a small world, train, measure, print the fair tables
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

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info
