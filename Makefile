# Two commands do everything: `make demo` and `make test`. Both may be run again at any time.
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PRESET ?=
TIER ?= default
BIN := $(VENV)/bin
DEMO := .demo
PHOTOS ?= $(DEMO)/world/photo
SKETCHES := $(DEMO)/world/sketch

TESTS_all := not weights and not gpu and not slow
TESTS_default := $(TESTS_all) and not thorough

.PHONY: help demo test docs lint clean
help:
	@echo "make demo                  install, index a drawn gallery, search it with sketches, draw the results"
	@echo "make demo PHOTOS=FOLDER    the same with your own photos"
	@echo "make test                  install, lint, type-check and run the tests; some minutes"
	@echo "make test TIER=all         the same with the tests that take longer, as CI does"
	@echo "make docs                  build the documentation as a site into site/"
	@echo "make clean                 remove what these made ($(VENV), $(DEMO), site)"

$(VENV)/installed: pyproject.toml
	@echo "==> virtual environment in $(VENV) (first time only; downloads PyTorch if it is not at hand)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; try: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(VENV)/installed
	@VENV=$(VENV) PHOTOS="$(PHOTOS)" DEMO=$(DEMO) PRESET=$(PRESET) bash scripts/demo.sh

test: $(VENV)/installed
	$(if $(TESTS_$(TIER)),,$(error there is no tier "$(TIER)" of tests; give TIER=default or TIER=all))
	@echo "==> ruff, mypy, pytest ($(TIER) tier)"
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -n logical -m '$(TESTS_$(TIER))'

docs: $(VENV)/installed
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/mkdocs build --strict
	@echo "site/index.html; with the search: $(PYTHON) -m http.server --directory site"

clean:
	rm -rf $(VENV) $(DEMO) site
