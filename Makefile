# Needs Python 3.11 or newer with venv and pip, and make.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
DEMO_STEPS ?= 65000

.PHONY: setup demo test check

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The main job on a small budget. Started again it goes on where it was, or shows what is there.
demo: setup
	@if [ -f $(DEMO)/DONE ]; then echo "$(DEMO) is trained already: delete it to train again"; \
	elif [ -f $(DEMO)/config.json ]; then $(BIN)/python train.py --resume $(DEMO); \
	else $(BIN)/python train.py --game KungFuMaster --algo ppo --extractor coordconv --steps $(DEMO_STEPS) --out $(DEMO); fi
	@$(BIN)/python evaluate.py score $(DEMO) --episodes 24 --random
	@$(BIN)/python evaluate.py record $(DEMO)
	@echo "run folder:  $(DEMO)"
	@echo "TensorBoard: $(BIN)/tensorboard --logdir runs"

test: setup
	$(BIN)/python -m pytest --numprocesses 2

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
