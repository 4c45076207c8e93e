# mini-Minishift: `make up` starts a whole small Kubernetes on this machine, `make walkthrough` plays the article on it.
# Root is needed for up, stop, down, status, walkthrough and test: containers and iptables rules are root's.

BIN := .venv/bin
CLUSTER := $(BIN)/mini-minishift
PYTEST := $(BIN)/python -m pytest

help: ## Show this
	@sed -n 's/^\([a-z0-9]*\):.*## /  make \1\t/p' Makefile | expand -t 22

up: .venv/made ## Start the cluster, or bring it back as it was; with CORE=1 the core alone (docs/reading.md)
	@$(CLUSTER) up $(if $(CORE),--core)

stop: .venv/made ## Stop it and keep its objects
	@$(CLUSTER) stop

down: .venv/made ## Remove everything that it put on this machine
	@$(CLUSTER) down

status: .venv/made ## Show how it is
	@$(CLUSTER) status

logs: .venv/made ## Follow what the components say, or one: make logs C=kubelet; with V=3 every request
	@$(CLUSTER) logs $(if $(V),--verbosity=$(V)) $(C)

walkthrough: .venv/made ## Play the article, command by command, and compare
	@$(BIN)/python demo/play.py

notebook: .venv/all ## Open the walk-through as a notebook, in the browser
	@$(BIN)/jupyter lab --allow-root demo/walkthrough.ipynb

test: lint unit golden integration e2e ## Run everything below: lint to e2e

lint: .venv/dev ## Run ruff, mypy --strict, import-linter
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy && $(BIN)/mypy --strict demo/play.py demo/transcript.py sample-app/sise.py
	$(BIN)/lint-imports

unit: .venv/dev ## Run the pure tests, in seconds
	$(PYTEST) tests/unit

golden: .venv/dev ## Compare rules and objects with recorded ones
	$(PYTEST) tests/golden

integration: .venv/all tools ## Test parts against real etcd, Docker and iptables
	$(PYTEST) tests/integration

fuzz: .venv/dev ## Send hostile requests for TIME=60 seconds, with SEED=…; one of them again with AT=…
	@SEED=$(SEED) TIME=$(TIME) AT=$(AT) PYTHONPATH=tests $(BIN)/python tests/integration/hostile/fuzz.py

e2e: .venv/all tools ## Test a whole cluster: both kubectl versions, faults, the notebook
	$(PYTEST) tests/e2e

controllerroles: .venv/made ## Give the API server the rules that the controllers declare
	$(BIN)/python -m controllers --print-roles >apiserver/authorization/controllerroles.json.new
	mv apiserver/authorization/controllerroles.json.new apiserver/authorization/controllerroles.json

gofields: .venv/made ## Derive the numbers of protobuf's fields anew, from Debian's packages of Kubernetes' Go types
	@.ci/debian-packages .cache/gofields trixie golang-k8s-api-dev golang-k8s-apimachinery-dev golang-k8s-metrics-dev
	@.ci/debian-packages .cache/gofields sid golang-k8s-apiextensions-apiserver-dev
	PYTHONPATH=. $(BIN)/python tools/gofields.py .cache/gofields/*.deb >apiserver/schema/gofields.json.new
	mv apiserver/schema/gofields.json.new apiserver/schema/gofields.json

record: .venv/dev ## Record all goldens anew; read the difference before you commit it
	$(PYTEST) tests/golden --record

coverage: .venv/dev ## Measure how much of the pure cores the quick tests run; fail below the floor
	$(BIN)/coverage run -m pytest -q tests/unit tests/golden
	@$(BIN)/coverage report

bench: wrk .venv/made ## Measure the rows of the table of aims
	@$(BIN)/python -m bench

apibench: wrk .venv/made ## Measure the API's rows, on an API server and etcd of their own
	@$(BIN)/python -m bench --alone

tools: .venv/made ## Install what a cluster needs and start Docker, without a cluster
	@$(CLUSTER) prepare

wrk:
	@command -v wrk >/dev/null || { echo "The API's rows are measured with wrk. Install it: apt-get install wrk" >&2; exit 1; }

venv: .venv/made ## Make the virtual environment, from pyproject.toml

# Three sizes of it, each with all of the smaller ones: for a cluster; for lint, unit and golden; for every test.
.venv/made: pyproject.toml
	@.ci/venv .venv cluster
	@touch $@

.venv/dev: pyproject.toml
	@.ci/venv .venv dev
	@touch .venv/made $@

.venv/all: pyproject.toml
	@.ci/venv .venv dev,clients,notebook
	@touch .venv/made .venv/dev $@

.PHONY: help up stop down status logs walkthrough notebook test lint unit golden integration fuzz e2e record coverage
.PHONY: controllerroles gofields bench apibench tools wrk venv
