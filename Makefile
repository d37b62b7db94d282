# SPDX-License-Identifier: GPL-3.0-or-later
# make check: the fast loop. make test: everything, as CI runs it. make demo, make bench: see README.md and CONTRIBUTING.md.
PYTHON := .venv/bin/python
ATTACKS := $(addprefix tests/integration/test_,hostile_layers.py hostile_registries.py full_disk.py pull_interrupted.py killed_at_each_call.py container_networks_life.py)
ATTACKS += $(addprefix tests/integration/test_,container_limits.py supervision.py)
ATTACKS += tests/unit/plugins/module_utils/network/test_container.py
# Where it is set, each of thousands of processes compiles what it imports, and each worker rewrites all tests' assertions.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help setup check test attacks fuzz demo bench vm generate clean

help:
	@echo "make demo      pull, run and remove containers on this machine, and look at it"
	@echo "make check     lint, types, unit tests, generated files (2 minutes)"
	@echo "make test      everything that CI runs"
	@echo "make bench     the benchmarks (ROWS=P1,P4 for some)"
	@echo "make fuzz      feed the parsers with bytes of strangers (MINUTES=10)"
	@echo "make attacks   all attacks of layers and registries, full disks, kills and power cuts (25 minutes)"
	@echo "make vm        both engines on a real Debian host under QEMU: logins that end, limits, reboots (5 to 20 minutes; SUITE=bookworm)"
	@echo "make generate  write the generated files"

setup:
	@python3 tools/setup.py

check: setup
	@$(PYTHON) tools/gates.py check
	@$(PYTHON) -m pytest -q -m "not daemon" tests/unit

# Gates that take seconds come first; beside them the tests are compiled, once for all workers. Gates that take minutes run beside the
# tests, which wait now and then (docs/adr/0024-time-of-make-test.md). Their output comes after that of the tests; the tests' summary is
# repeated as the last line.
test: SHELL := /bin/bash
test: setup
	@$(PYTHON) -m pytest -q --collect-only tests/unit tests/integration > .build/tests.log & \
	$(PYTHON) tools/gates.py check; gates=$$?; wait; exit $$gates
	@set -o pipefail; setsid nice -n 10 $(PYTHON) tools/gates.py slow > .build/gates.log 2>&1 & gates=$$!; trap 'kill -- -$$gates' INT TERM HUP; \
	$(PYTHON) -m pytest -q -n 3 --dist loadgroup tests/unit tests/integration | tee .build/tests.log; tests=$$?; \
	wait $$gates || tests=1; cat .build/gates.log; tail -n 1 .build/tests.log; exit $$tests

attacks: setup
	@FLEET_ATTACKS=full $(PYTHON) -m pytest -q -n 2 --timeout 1800 $(ATTACKS)

fuzz: setup
	@$(PYTHON) tools/fuzz.py $(or $(MINUTES),10)

demo: setup
	@$(PYTHON) tools/demo.py $(if $(IMAGE),--image $(IMAGE))

bench: setup
	@PYTHONPATH=.build/link PATH="$(CURDIR)/.venv/bin:$$PATH" ROWS="$(ROWS)" RUNS="$(or $(RUNS),5)" $(PYTHON) -m ansible_collections.fleet.containerd.tools.bench

vm:
	@python3 tools/setup.py --vm
	@SUITE="$(SUITE)" $(PYTHON) -m pytest -q -s -x tests/vm

generate: setup
	@$(PYTHON) tools/specs.py
	@$(PYTHON) tools/descriptors.py
	@$(PYTHON) tools/readme.py
	@$(PYTHON) tools/options.py

clean:
	rm -rf .build/sanity .build/galaxy .mypy_cache .ruff_cache tests/output
