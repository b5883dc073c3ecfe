# Two commands, which need only Python >= 3.11 and make:
#
#     make demo    install, then watch agents search long videos for evidence
#     make test    install, then run the tests
#
# `make help` lists the others. Settings, e.g. `make demo QUICK=1` or `make test PYTHON=python3.12`:
PYTHON      ?= python3
DEMO_EXTRAS ?= llm,plots
TEST_EXTRAS ?= all,dev
DOCS_EXTRAS ?= docs
WORKERS     ?= 2
# Tests of `make test-lowest`: uses of the core dependencies, without optional packages, in about a minute.
LOWEST_TESTS ?= tests/core tests/episode tests/protocols tests/rewards/test_composition.py tests/video/test_cache.py \
  tests/envs/test_env_actions.py tests/envs/test_env_contract.py tests/envs/test_unicode_text.py tests/envs/test_wrappers.py
# Interfaces to packages that cannot be installed beside those of constraints.txt: each has its own constraints file,
# environment, extra and tests. ALSO_name is what its environment needs further.
INTERFACES  ?= $(filter $(notdir $(wildcard tests/interfaces/*)),$(patsubst constraints-%.txt,%,$(wildcard constraints-*.txt)))
# Chat templates of the models in its tests.
ALSO_verl ?= trl
# The plug-in that verifiers loads.
ALSO_verifiers ?= -e packages/video-zoom
# Tests of `make test-lowest-llm`: a tiny model, its training and GRPO on it.
LOWEST_LLM_TESTS ?= tests/agents/tiny tests/agents/training/test_mixture.py
PYTEST_ARGS ?=

VENV := .venv
BIN  := $(VENV)/bin

# A stamp marks a set of extras as installed. It is named after the set, and out of date as soon as pyproject.toml or
# constraints.txt changes.
comma := ,
stamp = $(VENV)/.installed-$(subst $(comma),-,$(1))
DEMO  := $(call stamp,$(DEMO_EXTRAS))
TEST  := $(call stamp,$(TEST_EXTRAS))
DOCS  := $(call stamp,$(DOCS_EXTRAS))

# $(call pip_install,environment,arguments): install, with a one-line progress display (on a terminal) and pip's output
# in a log, whose end is shown on failure.
define pip_install
echo 'installing into $(1) (log: $(1)/install.log): $(2)'; \
{ $(1)/bin/python -m pip install --disable-pip-version-check --progress-bar off $(2) 2>&1 || echo 'install failed'; } \
  | tee $(1)/install.log \
  | awk -v tty="$$(test -t 1 && echo 1)" ' \
      /^Collecting /  { n++; if (tty) { printf "\r%d packages found, now %-40.40s", n, $$2; fflush() } } \
      /^Installing collected/ { if (tty) { printf "\r%d packages found, now installing them %-20s", n, ""; fflush() } } \
      /^install failed$$/ { failed = 1 } \
      END { if (tty && n) printf "\r%-70s\r", ""; exit failed }' \
  || { tail -n 20 $(1)/install.log >&2; exit 1; }
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pip processes must not write to one environment.
.NOTPARALLEL:
.PHONY: demo test test-lowest test-lowest-llm test-interfaces gpu-wheels lint format docs package hooks install clean distclean help

demo: $(DEMO)  ## install, run all baselines on real video files, then watch a model learn (QUICK=1: files only)
	$(BIN)/vzgym demo $(if $(filter-out 0,$(QUICK)),--quick)

# One thread per worker: numpy's and torch's threads would compete for the cores.
test: $(TEST)  ## install, run the tests (WORKERS=n, PYTEST_ARGS="-k needle")
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --timeout 600 $(PYTEST_ARGS)

# Separate fresh environments, not `$(VENV)`, to test that nothing else is needed.
test-lowest:  ## test with the lowest releases of the core dependencies that pyproject.toml allows
	$(PYTHON) -m venv --clear $(VENV)-lowest
	@$(call pip_install,$(VENV)-lowest,-c constraints-lowest.txt -e . pytest hypothesis "sybil[pytest]")
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -q $(LOWEST_TESTS)

# Not the lowest torch, whose oldest releases for CPUs are not offered for every Python.
test-lowest-llm:  ## test language models with the lowest transformers, TRL, datasets, accelerate and peft
	$(PYTHON) -m venv --clear $(VENV)-lowest-llm
	@$(call pip_install,$(VENV)-lowest-llm,-c constraints-lowest.txt -e ".[llm]" pytest hypothesis "sybil[pytest]")
	OMP_NUM_THREADS=1 $(VENV)-lowest-llm/bin/python -m pytest -q $(LOWEST_LLM_TESTS)

test-interfaces: $(INTERFACES:%=test-interface-%)  ## test interfaces in environments of their own (INTERFACES="openenv")

test-interface-%: $(VENV)-%/.installed
	OMP_NUM_THREADS=1 $(VENV)-$*/bin/python -m pytest -q tests/interfaces/$* tests/interfaces/test_conformance.py $(PYTEST_ARGS)

test-vllm:  ## test vLLM and DeepSpeed on the CPU, in an environment of their own of 4 GB
	PYTHON=$(PYTHON) .ci/vllm-environment $(VENV)-vllm
	PATH="$(CURDIR)/$(VENV)-vllm/bin:$$PATH" OMP_NUM_THREADS=1 $(VENV)-vllm/bin/python -m pytest -q tests/vllm \
	  tests/agents/training/test_processes.py

package: $(TEST)  ## build wheel and sdist into dist/, install the wheel alone in a fresh environment, and test it
	rm -rf dist
	$(BIN)/python -m hatchling build
	$(PYTHON) -m venv --clear $(VENV)-package
	@$(call pip_install,$(VENV)-package,-c constraints.txt dist/*.whl)
	$(VENV)-package/bin/python .ci/smoke.py dist

gpu-wheels: $(TEST)  ## pack what the GPU benchmark needs beside torch into build/gpu-wheels (GPU_PYTHON=3.12)
	$(BIN)/python benchmarks/gpu/wheels.py build/gpu-wheels $(if $(GPU_PYTHON),--python $(GPU_PYTHON))

# No cache: import-linter's does not notice new modules.
lint: $(TEST)  ## check style, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(TEST)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(DOCS)  ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "built: site/index.html"

hooks: $(TEST)  ## check style and types at each commit
	$(BIN)/pre-commit install

install: $(TEST)  ## install for development only

clean:  ## remove build outputs, but keep the environment and all runs
	rm -rf build dist site $(VENV)-lowest $(VENV)-lowest-llm $(VENV)-package $(VENV)-vllm
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find vzgym tests $(wildcard docs examples benchmarks) -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environments too
	rm -rf $(VENV) $(INTERFACES:%=$(VENV)-%)

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{ printf "  make %-16s %s\n", $$1, $$2 }'

# The environment is recreated if it is missing, incomplete, of an older Python, or was moved from another folder (its
# scripts hold absolute paths).
HEALTHY := $(shell $(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
             && grep -sqF '$(CURDIR)/$(BIN)/' $(BIN)/pip && echo yes)
ifneq ($(HEALTHY),yes)
.PHONY: $(VENV)/.made
endif
$(VENV)/.made:
ifneq ($(HEALTHY),yes)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	  "vzgym needs Python 3.11 or newer, as in: make $(firstword $(MAKECMDGOALS)) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
endif
	@touch $@

# No upgrade of pip: the version that comes with Python is sufficient (tested with 23.0).
$(VENV)/.installed-%: $(VENV)/.made pyproject.toml constraints.txt
	@$(call pip_install,$(VENV),-c constraints.txt -e ".[$(subst -,$(comma),$*)]")
	@touch $@

# Otherwise make removes the stamp after use, and the environment is made again each time.
.PRECIOUS: $(VENV)-%/.installed
$(VENV)-%/.installed: constraints-%.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-$*
	@$(call pip_install,$(VENV)-$*,-c constraints-$*.txt -e ".[$*]" pytest hypothesis "sybil[pytest]" $(ALSO_$*))
	@touch $@
