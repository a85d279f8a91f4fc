# Needs Python 3.11 or newer with venv and pip, and make.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo-sweep
DEMO_GAME ?= KungFuMaster
DEMO_ALGO ?= ppo
DEMO_STEPS ?= 20000

.PHONY: setup demo test test-quick coverage check docs

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The main job on a small budget: a grid of runs, their scores and the report. Started again it goes
# on where it was, or makes the report anew.
demo: setup
	@$(BIN)/python sweep.py --games $(DEMO_GAME) --algos $(DEMO_ALGO) --extractors nature coordconv --seeds 3 --steps $(DEMO_STEPS) --episodes 20 --runs-dir $(DEMO)
	@$(BIN)/python evaluate.py compare $(DEMO) --out $(DEMO)/report --videos 1
	@echo "TensorBoard: $(BIN)/tensorboard --logdir $(DEMO)"

# A file stays in one process, so that what its tests share is made once; tests/conftest.py orders the files.
BY_FILE := --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: setup
	$(BIN)/python -m pytest $(BY_FILE) --durations 25

# The tests that take less than about a second: part of every folder.
test-quick: setup
	$(BIN)/python -m pytest --numprocesses 2 -m "not slow and not learning"

# Every test again, with the lines and branches that none of them runs; in build/coverage as pages.
coverage: setup
	$(BIN)/python -m pytest $(BY_FILE) --cov --cov-report term:skip-covered --cov-report html:build/coverage

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, in build/site; a broken link or a docstring without its parameter ends it.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
