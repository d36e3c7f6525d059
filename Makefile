# Every target sets up what it needs. The logic is in infra/bootstrap (standard library only) and infra/stack.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

CLIENT := clients/typescript
APP := e2e/next-app
IN_A_CLUSTER := $(addprefix tests/integration/control_plane/,enrichment scheduling store webhooks)

.PHONY: help demo up stack stack-down stack-test test faults soak upgrade lint client e2e e2e-browsers pictures bench openapi aws-check deploy-plan lock clean setup chromium libreoffice browsers npm

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*## /\t/' | expand -t 14

demo: chromium ## scrape the bundled sample town with real Chromes into leads.csv
	@$(BIN)/python -m infra.demo

up: chromium ## run the whole stack on this machine until Ctrl-C
	@$(BIN)/leadfleet up

stack: setup ## run the whole stack in containers; NODES=3 browser nodes, make stack-down ends it
	@$(BIN)/python -m infra.containers up --nodes $(or $(NODES),1)

stack-down: setup ## stop the stack in containers; tasks and leads stay
	@$(BIN)/python -m infra.containers down

stack-test: setup ## use, kill, cut off and attack the stack in containers
	@$(BIN)/python -m pytest tests/stack -m stack $(ARGS)

test: chromium libreoffice ## run every test
	@$(BIN)/python -m pytest $(ARGS)

faults: chromium ## kill, freeze, cut off and starve every part of a running fleet
	@$(BIN)/python -m pytest tests/faults -m "not soak" $(ARGS)
	@$(BIN)/python -m pytest tests/unit tests/contract tests/integration -m faults $(ARGS)
	@LEADFLEET_TEST_CLUSTER=1 $(BIN)/python -m pytest $(IN_A_CLUSTER) $(ARGS)

soak: chromium ## run the slow tests that kill and starve for minutes; MINUTES=60 SEED=7 OUT=folder for the fleet's
	@LEADFLEET_SOAK_MINUTES=$(MINUTES) LEADFLEET_SOAK_SEED=$(SEED) LEADFLEET_SOAK_OUT=$(OUT) \
		$(BIN)/python -m pytest -m soak -s $(ARGS)

upgrade: chromium ## upgrade a running stack under load to another version of the messages
	@$(BIN)/python -m infra.upgrade

lint: setup ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

client: npm ## lint, build and test the TypeScript client
	@cd $(CLIENT) && npm run --silent lint && npm run --silent build && npm run --silent test

e2e: chromium client tests/e2e/node_modules $(APP)/node_modules ## use clients, console and Next app in front of a whole stack that is killed and cut
	@export LEADFLEET_CHROME="$$($(BIN)/python -c 'from browser_node.chrome_binary import find_chrome as f; print(f().path)')" \
		&& cd $(CLIENT) && npm run --silent test:e2e
	@cd $(APP) && npm run --silent lint
	@$(BIN)/python -m pytest tests/e2e -m e2e $(ARGS)

e2e-browsers: chromium browsers npm ## use the console, the streams and the client in Chromium, Firefox and WebKit
	@cd $(CLIENT) && npm run --silent build
	@$(BIN)/python -m pytest tests/browsers -m e2e $(ARGS)

pictures: chromium client $(APP)/node_modules ## take the pictures of docs/ anew; OUT=folder for elsewhere
	@$(BIN)/python -m tests.e2e.take_pictures $(or $(OUT),docs/images)

bench: chromium ## measure, print and write bench.json; ONLY=name runs a part
	@$(BIN)/python -m infra.bench $(if $(ONLY),--only $(ONLY))

openapi: setup npm ## write the OpenAPI document and the client's types from the routes
	@$(BIN)/python -m infra.openapi > $(CLIENT)/openapi.json
	@cd $(CLIENT) && npm run --silent types

aws-check: setup ## check the CloudFormation template and its parts with every tool there is, without AWS
	@infra/aws/check.sh

deploy-plan: setup ## list what the template would make on AWS, from its files alone; NODES=n1,n2 as in the parameter
	@$(BIN)/python -m infra.aws.plan $(if $(NODES),--nodes $(NODES))

lock: setup ## resolve the dependencies into requirements/*.lock; UPGRADE=1 takes the newest
	@infra/bootstrap/lock.sh

clean: ## remove what was built and stored, the environment included
	rm -rf $(VENV) .state build dist *.egg-info leads.csv bench.json tests/e2e/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache $(CLIENT)/dist $(CLIENT)/node_modules $(APP)/.next $(APP)/node_modules

tests/e2e/node_modules: tests/e2e/package-lock.json
	@npm ci --prefix tests/e2e --no-audit --no-fund --silent
	@touch $@

# it holds a copy of the client, so it is as old as what the client was built from
$(APP)/node_modules: $(APP)/package-lock.json $(shell find $(CLIENT)/src -type f) | client
	@npm ci --prefix $(APP) --no-audit --no-fund --silent
	@touch $@

setup:
	@$(PYTHON) -m infra.bootstrap.environment

chromium: setup
	@$(BIN)/python -m infra.bootstrap.chromium

libreoffice: setup
	@$(BIN)/python -m infra.bootstrap.libreoffice

browsers: setup
	@$(BIN)/python -m infra.bootstrap.browsers

# `npm ci` again only when the lock is newer than what it installed
npm: $(CLIENT)/node_modules/.package-lock.json

$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package-lock.json
	@cd $(CLIENT) && npm ci --no-audit --no-fund --silent
	@touch $@
