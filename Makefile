# make run      serve on http://127.0.0.1:8000 (HOST and PORT are respected)
# make install  .venv with jarvis-trio and hypercorn in it
# make page     build the chat page if ui/ has changed; those above do too
# make check    format, lint, types, floors, of the page too
# make test     every test
# make peers    the storm against ours and other servers (downloads them): writes docs/peers.md
# make bench    what ours and other servers cost (downloads them): writes docs/performance.md
# make screenshots  the page, talking with the simulated model: writes docs/screenshots
# make clean    remove what the others made

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
BIN := .venv/bin
# All rules and ASYNC900, but not: 124 and 910 to 913 (a checkpoint in every async function; Quart
# wants async hooks, and a coroutine that has what it needs should not yield), 127 (use httpx2).
ASYNC_RULES := --enable=ASYNC,ASYNC900 --disable=ASYNC124,ASYNC127,ASYNC910,ASYNC911,ASYNC912,ASYNC913 \
	--startable-in-context-manager=run,run_services,serve_sim
CHECKS := check-format check-ruff check-async-sources check-async-tests check-types check-floors check-page
LOTS := test-faults test-storm test-page test-others
# What each of them says is shown when it has ended.
AT_ONCE = $(MAKE) --no-print-directory --keep-going --jobs --output-sync=target
PYTEST := $(BIN)/python -X dev -m pytest
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PAGE := $(BIN)/python hatch_build.py
NODE := $(PAGE) has-node || { echo "installing Node from PyPI: there is none that will do"; \
	$(PIP) install --require-hashes -r requirements/node.txt; }
WITH_TOOLS := [ -f ui/node_modules/.with-tools ] || { \
	echo "THE PAGE IS NOT CHECKED: npm could not install what that takes"; exit 0; };

.PHONY: run install page check $(CHECKS) test $(LOTS) test-alone clean lock format peers bench screenshots

run: .venv/installed
	@exec $(BIN)/jarvis-trio serve --host "$(HOST)" --port "$(PORT)"

install: .venv/installed
	@echo "ready: $(BIN)/jarvis-trio and $(BIN)/hypercorn"

check: .venv/test-installed ui/node_modules/.with-tools
	@$(AT_ONCE) $(CHECKS)

check-format:
	@echo "== ruff format"; $(BIN)/ruff format --check .

check-ruff:
	@echo "== ruff"; $(BIN)/ruff check .

check-async-sources:
	@echo "== flake8-async"; $(BIN)/flake8-async $(ASYNC_RULES) $$(git ls-files '*.py' ':!tests')

check-async-tests:
	@echo "== flake8-async, of the tests"; $(BIN)/flake8-async $(ASYNC_RULES) $$(git ls-files 'tests/*.py')

check-types:
	@echo "== mypy"; $(BIN)/mypy

check-floors:
	@echo "== floors"; $(BIN)/lint-imports --no-cache

check-page:
	@echo "== page"; $(WITH_TOOLS) $(PAGE) npm run --silent check

# Most tests wait, for processes and for time: four lots that take about as long are run at once.
# Those that judge time or memory, or take every core, come after them, and nothing beside them.
FAULTS := tests/end_to_end/faults
STORM := tests/end_to_end/storm tests/storm
BROWSER := tests/browser
test: .venv/test-installed ui/node_modules/.with-tools
	@$(AT_ONCE) $(LOTS); failed=$$?; $(MAKE) --no-print-directory test-alone && exit $$failed

test-faults:
	$(PYTEST) -m "not alone" $(FAULTS)

test-storm:
	$(PYTEST) -m "not alone" $(STORM)

test-page:
	@$(WITH_TOOLS) $(PAGE) npm test --silent
	$(PYTEST) -m "not alone" $(BROWSER)

test-others:
	$(PYTEST) -m "not alone" $(addprefix --ignore=,$(FAULTS) $(STORM) $(BROWSER))

test-alone:
	$(PYTEST) -m alone

# The peers' packages are not locked: what the newest do is what people get.
peers: .venv/test-installed
	@$(BIN)/python -m tests.benchmarks.peers

bench: .venv/test-installed
	@$(BIN)/python -m tests.benchmarks.bench

screenshots: .venv/test-installed page
	@$(BIN)/python -m tests.browser.screenshots

format: .venv/test-installed ui/node_modules/.with-tools
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(PAGE) npm run --silent format

clean:
	rm -rf ui/node_modules jarvis_trio/web/page
	rm -rf .venv .venv-peers build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Locks anew: needs uv. No file names a package index.
lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate pyproject.toml --group build -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate pyproject.toml --group test -c requirements/run.txt \
		-o requirements/test.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --group node -o requirements/node.txt

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "jarvis_trio needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -1)."; \
		echo "Name one that will do: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "making .venv with $$($(PYTHON) --version)"
	@rm -rf .venv
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "could not make .venv: on Debian and Ubuntu, install python3-venv"; exit 1; }

.venv/locked: .venv/bin/python requirements/run.txt
	@echo "installing jarvis_trio and what it needs (locked by hash)"
	@$(PIP) install --require-hashes -r requirements/run.txt
	@touch $@

page: .venv/locked
	@$(PAGE) is-built || { echo "building the page"; $(NODE); $(PAGE); } || \
		echo "GOING ON WITHOUT A NEW PAGE"

.venv/installed: .venv/locked pyproject.toml | page
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

.venv/test-installed: .venv/installed requirements/test.txt
	@echo "installing what the checks and tests need (locked by hash)"
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

ui/node_modules/.with-tools: .venv/locked ui/package-lock.json ui/package.json | page
	@echo "installing what the page's checks and tests need (locked by hash)"
	@{ $(NODE); } && $(PAGE) tools && touch $@ || echo "GOING ON WITHOUT THEM"
