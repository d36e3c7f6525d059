# Every target sets up what it needs. The logic is in infra/bootstrap (standard library only) and infra/stack.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

IN_A_CLUSTER := $(addprefix tests/integration/control_plane/,enrichment scheduling store webhooks)

.PHONY: help demo up test e2e faults soak upgrade lint bench lock clean setup chromium libreoffice
