# mini-Minishift: `make up` starts a whole small Kubernetes on this machine, `make walkthrough` plays the article on it.
# Root is needed for up, stop, down, status, walkthrough and test: containers and iptables rules are root's.

BIN := .venv/bin
CLUSTER := $(BIN)/mini-minishift
PYTEST := $(BIN)/python -m pytest

help: ## Show this
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' Makefile | expand -t 22

up: .venv/made ## Start the cluster, or bring it back as it was
	@$(CLUSTER) up

stop: .venv/made ## Stop it and keep its objects
	@$(CLUSTER) stop

down: .venv/made ## Remove everything that it put on this machine
	@$(CLUSTER) down

status: .venv/made ## How it is
	@$(CLUSTER) status

logs: .venv/made ## Follow what the components say, or one: make logs C=kubelet; with V=3 every request
	@$(CLUSTER) logs $(if $(V),--verbosity=$(V)) $(C)

walkthrough: .venv/made ## Play the article, command by command, and compare
	@$(BIN)/python demo/play.py

notebook: .venv/dev ## The walk-through as a notebook, in the browser
	@$(BIN)/jupyter lab --allow-root demo/walkthrough.ipynb

test: lint unit golden integration e2e ## Everything below: lint to e2e

lint: .venv/dev ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy && $(BIN)/mypy --strict demo/play.py demo/transcript.py sample-app/sise.py
	$(BIN)/lint-imports

unit: .venv/dev ## Pure tests, in seconds
	$(PYTEST) tests/unit

golden: .venv/dev ## Rules and objects against recorded ones
	$(PYTEST) tests/golden

integration: .venv/dev tools ## Parts against real etcd, Docker and iptables
	$(PYTEST) tests/integration

e2e: .venv/dev tools ## A whole cluster of its own, both kubectl versions, faults, the notebook
	$(PYTEST) tests/e2e

controllerroles: .venv/made ## Give the API server the rules that the controllers declare
	$(BIN)/python -m controllers --print-roles >apiserver/authorization/controllerroles.json.new
	mv apiserver/authorization/controllerroles.json.new apiserver/authorization/controllerroles.json

bench: .venv/dev ## The rows of the table of aims, measured
	@$(BIN)/python -m bench

apibench: .venv/dev ## The rows that are about the API, on an API server and etcd of their own
	@$(BIN)/python -m bench --alone

tools: .venv/made ## Install what a cluster needs and start Docker, without a cluster
	@$(CLUSTER) prepare

venv: .venv/made ## The virtual environment, from pyproject.toml

.venv/made: pyproject.toml
	@.ci/venv .venv
	@touch $@

.venv/dev: .venv/made
	@$(BIN)/python -m pip install --quiet --use-pep517 --editable '.[dev,notebook]'
	@touch $@

.PHONY: controllerroles help up stop down status logs walkthrough notebook test lint unit golden integration e2e bench apibench tools venv
