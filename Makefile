# Everything goes through bootstrap.py, which needs Python 3.11 or newer and nothing else.
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup run test test-faults lint bench lock

help setup run lock:
	@$(PYTHON) bootstrap.py $@

test test-faults lint bench:
	@$(PYTHON) bootstrap.py $@ $(ARGS)
