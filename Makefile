# The one door to the project. `make help` lists the targets; the first of them makes the environment by itself.
PYTHON ?= python3
NAME ?= single_token_predictions
ARGS ?=
WHERE ?= text=correlation
JOBS ?= 2
PORT ?= 5000

BIN := .venv/bin
READY := .venv/ready
BENCH_READY := .venv-bench/ready

.DEFAULT_GOAL := help
.PHONY: help setup experiment test check mutants fuzz coverage ui paper bench docs notebook notebooks clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv (every other target does it when needed)

# A changed pyproject.toml or constraints.txt installs again; so does an interrupted installation.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": make PYTHON=python3.12 ...")'
	@echo "Installing into .venv: 2 GB, which takes some minutes. Interrupted, the same command goes on."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@
	@echo "Ready. make experiment runs the first experiment; $(BIN)/tokenviz shows the way."

experiment: $(READY)  ## run an experiment: NAME=single_token_predictions ARGS="--models gpt2 --models gpt2-large"
	@$(BIN)/tokenviz run $(NAME) $(ARGS)

CHOSEN = $(if $(BENCH),bench,not bench$(if $(SLOW),, and not slow)$(if $(NETWORK),, and not network)$(if $(GPU),, and not gpu))

# Each process computes with one thread: two of them are quicker than one after the other with two.
test: $(READY) $(if $(BENCH),.venv-bench/ready)  ## run the tests; SLOW=1 adds those with large models or processes of their own, NETWORK=1 those that need a model hub, GPU=1 those that need NVIDIA GPUs; BENCH=1 runs those that compare with other tools instead; JOBS=2 processes, ARGS go to pytest
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m '$(CHOSEN)' \
	  --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(READY)  ## formatting, lint, types, generated pages
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache
	@$(BIN)/python docs/generate.py --check

mutants: $(READY)  ## break the core on purpose, break by break: does the named test notice?
	@$(BIN)/python tests/support/mutating.py $(ARGS)

# Words after --only are of readers: then it is one of them that is looked at, and not the property tests.
fuzz: $(READY)  ## damaged input for everything that reads, and new examples for the property tests; ARGS="--seconds 60 --seed 0 --only tables"
	@$(BIN)/python tests/support/fuzzing.py $(ARGS)
	@$(if $(findstring --only,$(ARGS)),,OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'hypothesis and not slow' \
	  --hypothesis-profile fuzz --numprocesses $(JOBS) -q)

coverage: $(READY)  ## which lines of tokenviz/ the everyday tests reach
	@$(BIN)/python -m coverage run --source tokenviz -m pytest -m '$(CHOSEN)' $(ARGS)
	@$(BIN)/python -m coverage report --skip-covered --show-missing

ui: $(READY)  ## browse the runs: grids and MLflow's pages on 127.0.0.1, PORT=5000
	@$(BIN)/tokenviz ui --port $(PORT)

docs: $(READY)  ## make the generated pages and the pictures of the docs again; those of MLflow's pages need Chromium
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/walk.py

notebook: $(READY)  ## open the notebooks in JupyterLab, which is installed when it is needed
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[notebooks]'
	@$(BIN)/jupyter lab notebooks

notebooks: $(READY)  ## run the notebooks and write them with their outputs into docs/notebooks
	@$(BIN)/python docs/render_notebooks.py $(ARGS)

# The other tools have an environment of their own, whose versions are pinned.
$(BENCH_READY): benchmarks/requirements.txt
	@echo "Installing the other tools into .venv-bench; this takes some minutes."
	@$(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --disable-pip-version-check -r benchmarks/requirements.txt
	@touch $@

# QUICK=1 tries everything but the other tools, on a small model, and leaves the page as it is.
BENCH_WHAT = $(if $(QUICK),--cases glass-en:sentences --contenders tokenviz --contenders plain-loop --rounds 1 --costs-of "",--keep benchmarks/results --page docs/benchmarks.md)
bench: $(READY) $(if $(QUICK),,$(BENCH_READY))  ## measure speed, memory and error compared with other tools, and rewrite docs/benchmarks.md; QUICK=1 tries it in a minute
	@CUDA_VISIBLE_DEVICES= $(BIN)/tokenviz run throughput $(BENCH_WHAT) $(ARGS)

# TeX's own report is long: it is shown where it ends with an error.
paper: $(READY)  ## pull an experiment's figures, tables and numbers into paper/ and compile paper/example.tex
	@$(BIN)/tokenviz pull $(NAME) --where "$(WHERE)" --to paper $(ARGS) || { echo "make experiment makes the runs" >&2; exit 1; }
	@if ! command -v pdflatex >/dev/null; then \
	  echo "To compile paper/example.tex install LaTeX (Debian: texlive-latex-recommended and lmodern)." >&2; \
	else cd paper && for pass in 1 2; do \
	  pdflatex -interaction=nonstopmode -halt-on-error example.tex >example.out || { tail -n 25 example.out >&2; exit 1; }; \
	done && echo paper/example.pdf; fi

clean:  ## remove the environment and caches; runs in mlruns/ and prepared models stay
	@rm -rf .venv .venv-bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
