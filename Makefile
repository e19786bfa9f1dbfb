# On a fresh machine with Python 3.11 or newer, git and make, two commands do everything:
#
#   make run     set up, and start the server on this machine alone (data in ./data)
#   make test    set up, and run the tests
#
# and `make check` is what CI runs. `make help` lists the rest. Another Python: make PYTHON=/path/to/python3.12 test

# The first of these that is new enough, works (a shim may be there without its Python) and can make environments.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$p"; break; }; done)
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready-to-run
DEVEL  := $(VENV)/.ready-to-develop
# Package registries may be slow: wait longer, and try again, before giving up.
PIP    := $(BIN)/python -u -m pip install --disable-pip-version-check --no-input --progress-bar off --timeout 60 --retries 8
# Say which packages are fetched, one a line, and fail when pip did.
SHOW   := { bad=0; while read -r word name rest; do \
	case "$$word" in Collecting) echo "  $$name";; pip-failed) bad=1;; esac; done; \
	test $$bad = 0 || { echo "that did not work; when the network was the reason, run make again" >&2; exit 1; }; }

# Tests run in a process for each core, a file in one of them; SIDE_BY_SIDE= for one after the other.
SIDE_BY_SIDE := --numprocesses auto --maxprocesses 4 --dist loadfile

# The packages whose every branch is taken by a test of their own, in tests/unit/NAME.
COVERED := wire tls policy greylist queue

.PHONY: help run setup test unit check lint types rules spec coverage man docs wheel fuzz bench soak clean

help:
	@echo "make run      set up and start the server on this machine alone; data in ./data"
	@echo "make test     set up and run the tests; PYTEST_ARGS='-k upgrade' for some of them"
	@echo "make check    what CI runs: ruff, mypy --strict, import rules, clauses, tests"
	@echo "make unit     the unit tests only"
	@echo "make spec     look whether every clause of spec/ has its test or its reason"
	@echo "make coverage look whether every branch of $(COVERED) is taken by a test of theirs"
	@echo "make docs     write the documents that are made by programs"
	@echo "make man      write the man pages into docs/man"
	@echo "make wheel    build the wheel into dist, look whether it is whole, run the examples with it"
	@echo "make bench    measure beside the servers that are installed; writes docs/performance.md; takes half an hour"
	@echo "make soak     ten minutes of real traffic while everything goes wrong, then the books"
	@echo "make fuzz     ten minutes of coverage-guided noise at everything that reads"
	@echo "make clean    remove what was set up; ./data stays"

run: $(READY)
	@echo "starting gatepost; its commands are in $(BIN), its data in ./data; Ctrl-C stops it"
	@$(BIN)/gatepost --data ./data serve

setup: $(DEVEL)

test: $(DEVEL)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

unit: $(DEVEL)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit $(PYTEST_ARGS)

# The tests of the covered packages run once, counted; `make test` then runs the others.
check: lint types rules spec coverage
	$(MAKE) test PYTEST_ARGS="$(COVERED:%=--ignore=tests/unit/%) $(PYTEST_ARGS)"

coverage: $(DEVEL)
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(COVERED:%=tests/unit/%) $(COVERED:%=--cov=gatepost.%) --cov-fail-under=100

lint: $(DEVEL)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(DEVEL)
	$(BIN)/mypy

rules: $(DEVEL)
	$(BIN)/python -m pytest -q tests/test_import_rules.py

spec: $(DEVEL)
	$(BIN)/python docs/generate_standards.py --check
	$(BIN)/python -m pytest -q tests/test_spec.py

man: $(READY)
	$(BIN)/python docs/generate_man.py docs/man

docs: $(READY)
	$(BIN)/python docs/generate_configuration.py
	$(BIN)/python docs/generate_api.py
	$(BIN)/python docs/generate_standards.py
	$(BIN)/python docs/diagrams.py

wheel: $(READY)
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python packaging/check_wheel.py dist
	$(BIN)/python packaging/check_installed.py dist

# Where there is no wheel of atheris, noise without guidance.
fuzz: $(DEVEL)
	-@$(PIP) --quiet --only-binary atheris --editable '.[dev,fuzz]'
	$(BIN)/python fuzz/run.py $(FUZZ_ARGS)

bench: $(DEVEL)
	@$(PIP) --quiet --editable '.[dev,bench]'
	$(BIN)/python bench/run.py $(BENCH_ARGS)

soak: $(DEVEL)
	$(BIN)/python soak/soak.py $(SOAK_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build dist docs/man

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or newer with venv was found; on Debian: apt-get install python3-venv; elsewhere: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making a virtual environment in $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "it could not be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(READY): pyproject.toml | $(BIN)/python
	@echo "fetching what gatepost needs; the first time takes about a minute ..."
	@{ $(PIP) --editable '.[speed]' || echo pip-failed; } | $(SHOW)
	@touch $@

$(DEVEL): pyproject.toml | $(BIN)/python
	@echo "fetching what gatepost and its tests need; the first time takes about a minute ..."
	@{ $(PIP) --editable '.[dev]' || echo pip-failed; } | $(SHOW)
	@touch $@ $(READY)
