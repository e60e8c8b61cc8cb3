# run: the dashboard on its demo · demo: make its two runs anew · test: every test · check: what a commit must pass · lint: style and types. All set themselves up.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -n auto --dist loadscope --no-loadscope-reorder

unexport PYTHONDONTWRITEBYTECODE  # else every process of the tests compiles every file again

.PHONY: run demo test check lint python

run: .venv/runtime
	$(BIN)/python launch.py

DEMO := dashboard/demo
demo: .venv/runtime
	rm -rf $(DEMO) $(DEMO)_repaired
	$(BIN)/python launch.py run --model tiny_conv:toon_studios --data toon_studios --out $(DEMO)
	$(BIN)/python launch.py run --model tiny_conv:toon_studios_balanced --data toon_studios --out $(DEMO)_repaired
	for run in $(DEMO) $(DEMO)_repaired; do $(BIN)/python launch.py trust $$run --images 100 --figures insertion_deletion && \
	$(BIN)/python launch.py analyze $$run || exit 1; done
	$(BIN)/python launch.py top-activations $(DEMO)

test: .venv/development
	$(PYTEST)

lint: .venv/development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint
	$(PYTEST) -m "not slow"

python:
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Vitrine needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": name a newer one, as in make run PYTHON=python3.12")'

.venv/runtime: requirements.txt | python
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

.venv/development: requirements-dev.txt .venv/runtime
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@
