# make run | test | data | import | release | card | ui | viz | lint | docs | bench. Needs Python 3.11 (or 3.10 to 3.13) and make.
PYTHON ?= python3
CORPUS ?= meld
PIP_ARGS ?=
ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/installed
HOST := 127.0.0.1
UI_PORT ?= 5000
VIZ_PORT ?= 4141

.DEFAULT_GOAL := help
.PHONY: help run test lint data import release card ui viz docs bench

help:  ## show this
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 8

# Installs once; again only when what is to be installed changes.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]" -c constraints.txt $(PIP_ARGS)
	@touch $@

run: $(INSTALLED)  ## the whole experiment: kedro run --pipeline=augment_meld (ARGS="--params=...")
	@$(BIN)/kedro run --pipelines=augment_$(CORPUS) $(ARGS)
	@echo
	@echo "Read the report:       data/08_reporting/$(CORPUS)/report.html (all numbers: comparison.json beside it)"
	@echo "Compare the arms:      make ui   then http://$(HOST):$(UI_PORT)"
	@echo "See the pipeline:      make viz  then http://$(HOST):$(VIZ_PORT)"

test: $(INSTALLED)  ## the tests, one end-to-end run included (ARGS="-k name")
	@$(BIN)/python -m pytest $(ARGS)

lint: $(INSTALLED)  ## ruff, mypy, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

data: $(INSTALLED)  ## official files of a corpus: make data CORPUS=meld [FROM=folder]
	@$(BIN)/python -m erc_kedro.corpora $(CORPUS) $(if $(FROM),--from "$(FROM)")

import: $(INSTALLED)  ## dialogues of yours become a bank: make import CORPUS=meld FILE=data.json [MAPPING=mapping.yml], or OTHER=emorynlp
	@$(BIN)/python -m erc_kedro.importing $(CORPUS) $(if $(OTHER),--other $(OTHER),$(if $(FILE),"$(FILE)")) $(if $(MAPPING),--mapping "$(MAPPING)")

release: $(INSTALLED)  ## releases/CORPUS anew, from the real files: kedro run --pipeline=release_meld, then the copy
	@$(BIN)/kedro run --pipelines=release_$(CORPUS) $(ARGS)
	@$(BIN)/python -m erc_kedro.releasing $(CORPUS) --from data/08_reporting/$(CORPUS)/release

card: $(INSTALLED)  ## releases/CORPUS anew, from the stored dialogues, without the real files: make card CORPUS=iemocap
	@$(BIN)/python -m erc_kedro.releasing $(CORPUS)

ui: $(INSTALLED)  ## MLflow UI on 127.0.0.1 (UI_PORT=5000)
	@MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(BIN)/mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///$(CURDIR)/mlflow.db}" --host $(HOST) --port $(UI_PORT) --workers 1

viz: $(INSTALLED)  ## kedro-viz on 127.0.0.1 (VIZ_PORT=4141)
	@$(BIN)/kedro viz run --host $(HOST) --port $(VIZ_PORT) --no-browser

docs: $(INSTALLED)  ## docs/configuration.md, written anew from the parameters and conf/base
	@$(BIN)/python tools/configuration_reference.py

bench: $(INSTALLED)  ## how fast it is here, in a table (minutes; ARGS="encoding training" for a part)
	@$(BIN)/python -m benchmarks.speed $(ARGS)
