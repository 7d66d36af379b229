# On a fresh machine `make run` and `make test` install what they need; afterwards they start at once.
#
#   make run     the demo: service, collector and a small training run     ARGS="--port 8700 --for 60"
#   make test    every test, on the built wheel                            ARGS="-k follow"
#   make check   style, types, Python 3.9, JavaScript, then `make test`
#   make pyz     dist/logsvc-collector.pyz: the collector as one file for Python 3.9 and newer
#   make bench   measures, and prints the machine's own limits beside      ARGS=…
#   make dev     .venv with the test tools too, for working on the source
#   make lock    newer versions into the locks          make vendor  the vendored libraries again
#   make screenshots   the pictures of docs/viewer.md again
#   make dashboards    the files of dashboards/ that tools/dashboards.py writes
#   make clean   away with everything made here

VENV  := .venv
TEST  := .venv-test
WHEEL := build/wheel
ARGS  :=
# Three at a time, on two cores: many tests wait for processes. A file's tests stay together.
TEST_JOBS := 3

SHELL       := /bin/sh
MAKEFLAGS   += --no-print-directory
SOURCES     := $(shell find logsvc collectors dashboards -type f ! -name '*.pyc' 2>/dev/null | grep -v '[[:space:]]')
SCRIPTS     := $(shell find logsvc/web -name '*.js' ! -path '*/vendor/*' 2>/dev/null)
# What runs in a user's container; also imported by that Python itself where it can be had.
PYTHON_3_9  := collectors logsvc/__init__.py logsvc/errors.py logsvc/model
# The oldest that the collector promises, the newest, and Debian's: a version, and the Debian suite that holds it.
PYTHONS     := 3.9=bullseye 3.13=trixie 3.14=sid
PYTHONS_DIR := build/pythons
PROMETHEUS_DIR := build/prometheus
PYZ         := dist/logsvc-collector.pyz
define IMPORT_ALL
import collectors, importlib, logsvc.errors, logsvc.model, pkgutil
for package in (collectors, logsvc.model):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):
        if not found.name.endswith('__main__'):
            importlib.import_module(found.name)
endef
export IMPORT_ALL

.PHONY: run test check style types py39 js pyz logsvc-collector.pyz bench dev lock vendor screenshots clean test-tools pythons prometheus dashboards

run: $(VENV)/.run-installed
	@exec $(VENV)/bin/logsvc demo $(ARGS)

# Safe path: `python -m` started by a test finds the wheel, not the source beside it.
test: $(TEST)/.wheel-installed test-tools
	@LOGSVC_TESTED=wheel PYTHONSAFEPATH=1 PATH="$(CURDIR)/$(TEST)/bin:$$PATH" \
	  $(TEST)/bin/pytest -n $(TEST_JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: style types py39 js
	@$(MAKE) test

style: $(TEST)/.installed
	@$(TEST)/bin/ruff check --quiet --output-format concise .
	@$(TEST)/bin/ruff format --check --quiet . || { echo "not formatted: run ruff format"; exit 1; }
	@echo "style: ok"

types: $(TEST)/.installed
	@$(TEST)/bin/mypy

py39: $(TEST)/.installed pythons
	@$(TEST)/bin/vermin --quiet --no-tips --violations --target=3.9- $(PYTHON_3_9)
	@if [ -x $(PYTHONS_DIR)/python3.9 ]; then $(PYTHONS_DIR)/python3.9 -B -c "$$IMPORT_ALL"; fi
	@echo "python 3.9: ok"

js:
	@if command -v node >/dev/null 2>&1; then \
	  for file in $(SCRIPTS); do \
	    node --input-type=module --check - <"$$file" || { echo "$$file: not JavaScript"; exit 1; }; \
	  done; echo "javascript: ok"; \
	else echo "javascript: not checked, there is no node"; fi

pyz logsvc-collector.pyz: $(PYZ)

$(PYZ): tools/pyz.py pyproject.toml $(SOURCES)
	@python3 tools/pyz.py $@

bench: $(VENV)/.run-installed
	@exec $(VENV)/bin/python -m bench $(ARGS)

dev: $(VENV)/.run-installed
	@tools/bootstrap.sh $(VENV) requirements-dev.lock

test-tools: pythons prometheus
	@tools/bootstrap.sh --test-tools

prometheus:
	@tools/prometheus.sh $(PROMETHEUS_DIR)

pythons:
	@tools/pythons.sh $(PYTHONS_DIR) $(PYTHONS)

# What stands in the source is what runs: editable, so nothing is built again after a change.
$(VENV)/.run-installed: requirements.lock pyproject.toml tools/bootstrap.sh
	@tools/bootstrap.sh $(VENV) requirements.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(TEST)/.installed: requirements-dev.lock tools/bootstrap.sh
	@tools/bootstrap.sh $(TEST) requirements-dev.lock
	@touch $@

$(TEST)/.wheel-installed: $(TEST)/.installed pyproject.toml README.md LICENSE $(SOURCES)
	@rm -rf $(WHEEL) && $(TEST)/bin/python -m hatchling build -t wheel -d $(WHEEL) >/dev/null
	@$(TEST)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall $(WHEEL)/*.whl
	@touch $@

# uv writes one lock for every platform and Python; the dev lock contains the other, unchanged.
LOCK := UV_CUSTOM_COMPILE_COMMAND="make lock" build/lock-venv/bin/uv --quiet pip compile --universal --upgrade \
  --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --extra all pyproject.toml
lock:
	@python3 -m venv build/lock-venv
	@build/lock-venv/bin/python -m pip install --quiet uv==0.13.9
	@$(LOCK) --group build -o requirements.lock
	@$(LOCK) --group dev -c requirements.lock -o requirements-dev.lock

vendor:
	@python3 tools/vendor.py

dashboards: $(TEST)/.installed
	@$(TEST)/bin/python tools/dashboards.py

screenshots: $(TEST)/.installed test-tools
	@$(TEST)/bin/python tools/screenshots.py

clean:
	rm -rf build dist $(VENV) $(TEST) .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
