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

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint fmt protos contracts foundry bench check clean image cluster cluster-demo cluster-down

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or later is needed: make PYTHON=...'; exit 1; }
	$(PYTHON) -m venv $(VENV)

# CrypTen asks for packages that cannot be installed; what it really imports is in our own list (docs/adr/0003).
$(DEMO_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing what the demo needs into $(VENV) (about two minutes, once)'
	$(PIP) -e '.[demo]'
	$(PIP) --no-deps crypten==0.4.1
	@touch $@

$(DEV_STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo 'installing everything into $(VENV) (about two minutes, once)'
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps crypten==0.4.1
	@touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP)  ## a network of your own, two models, private answers, verified receipts (ARGS='--parties 4')
	$(BIN)/mpc-infer demo $(ARGS)

test: lint foundry  ## what CI runs: everything but the slow tests
	$(BIN)/python -m pytest -q -m 'not slow' $(PYTEST_ARGS)

test-all: lint foundry  ## with the slow tests (200,000 inferences)
	$(BIN)/python -m pytest -q $(PYTEST_ARGS)

lint: $(DEV_STAMP)  ## ruff, mypy --strict, layers, protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint protos

fmt: $(DEV_STAMP)  ## format and sort imports
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(DEV_STAMP)  ## side by side with stock CrypTen on this machine; what a request costs around the computation
	$(BIN)/python -m bench.overhead $(ARGS)
	$(BIN)/python -m bench.service

protos: $(DEV_STAMP)  ## generate mpc_infer/v1 from protos/
	$(BIN)/buf lint protos
	$(BIN)/python -m grpc_tools.protoc -I protos --python_out=. --pyi_out=. --grpc_python_out=. protos/mpc_infer/v1/*.proto

# The toolchain comes from npm; without node the committed artifacts are used as they are.
contracts: | $(BIN)/python  ## compile, write the artifacts into the package, run the Solidity tests
	PYTHON='$(abspath $(BIN))/python' contracts/check.sh

foundry:
	@if command -v node >/dev/null && command -v npm >/dev/null; then $(MAKE) --no-print-directory contracts; \
	else echo 'skipped: Foundry tests (node and npm not found)'; fi

COMPOSE := docker compose -f deploy/docker/compose.yaml

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

check: protos contracts  ## generated files are what they should be
	git diff --exit-code -- mpc_infer/v1 mpc_infer/chain/artifacts

clean:  ## remove what was built here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -rf contracts/node_modules contracts/out contracts/cache
