# make test | claims | check | bench: each sets up .venv first. PYTHON= chooses the interpreter, ARGS= goes to the tool.

PYTHON ?= python3
ARGS ?=
VENV := .venv
BIN := $(VENV)/bin
VERSION := $(shell "$(PYTHON)" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
READY := $(VENV)/.ready-$(VERSION)

.PHONY: test claims check bench clean

test: $(READY)
	$(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

claims: $(READY)
	$(BIN)/pytest claims/ $(ARGS)

check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/style.py

bench: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[benchmarks]'
	$(BIN)/python benchmarks/training.py $(ARGS)

$(READY): pyproject.toml constraints.txt
	@test -n "$(VERSION)" || { \
	  echo "rlclaims needs Python 3.11 or newer, and '$(PYTHON)' is not installed or does not run; name one: make PYTHON=python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "rlclaims needs Python 3.11 or newer, and $(PYTHON) is $(VERSION); name another: make PYTHON=python3.12" >&2; exit 2; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module; install it (Debian and Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@$(BIN)/python -c 'import sys; sys.exit("%d.%d.%d" % sys.version_info[:3] != "$(VERSION)")' 2>/dev/null \
	  || "$(PYTHON)" -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .rlclaims reports/latest
