# pose78: every stage of the tool chain is a target here.  `make help` lists them.
# Everything a target needs is set up on the way: a Python (3.10 to 3.13) and make are enough.

PYTHON ?= python3
VENV   ?= .venv
PIP_FLAGS ?=
# The integer student that is compiled and evaluated unless another one is named.
CHECKPOINT  ?= ai8x_models/checkpoints/seed-q.pth.tar
CHECKPOINTS ?= $(CHECKPOINT)
# A description in YAML, for networks that do not describe themselves in their checkpoint.
NETWORK     ?=
# The picture to look at.
IMAGE       ?= docs/images/people.png

py    := $(VENV)/bin/python
ready := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Where photographs are: lspet/ and coco_mini/ (or any COCO-format sets named in a recipe).
DATA ?= data
# Settings of a recipe, key=value, e.g. SET="epochs=2 accelerator=cpu".
SET  ?=

export IMAGE CHECKPOINT NETWORK

##@ From a picture to a skeleton

choice  := build/.choice
input   := build/input.npy
project := build/project
elf     := $(project)/firmware.elf

.PHONY: run
run: $(elf) | $(ready) ## find people in IMAGE=photo.jpg with the firmware, on the virtual kit
	@echo "== the firmware's console"
	@$(py) -m evalkit run $(elf) --uart - --maps build/maps.npz --timeline build/timeline.html
	@echo; echo "== the network on the chip"
	@cat build/table.txt
	@echo; echo "== people"
	@$(py) -m ai8x_models.show "$$IMAGE" --maps build/maps.npz --report $(project)/report.json \
	  -o build/overlay.png
	@echo "timeline: build/timeline.html"

.PHONY: synth
synth: $(project)/report.json ## compile CHECKPOINT=file to a C project, with a table of what it takes
	@cat build/table.txt

.PHONY: firmware
firmware: $(elf) ## build the C project to an ARM image
	@echo $(elf)

# Which picture and network the files under build/ were made of; rewritten only when that changes.
FORCE:
$(choice): FORCE
	@mkdir -p $(@D)
	@{ for file in "$$IMAGE" "$$CHECKPOINT" "$$NETWORK"; do \
	  echo "$$file"; cksum < "$$file"; done; } > $@.new 2>/dev/null; \
	  cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(input): $(choice) ai8x_models/preprocess.py | $(ready)
	@$(py) -m ai8x_models.preprocess "$$IMAGE" -o $@

$(project)/report.json: $(input) $(wildcard synthesize/*.py synthesize/*/*.py) \
  $(wildcard firmware_templates/*/*) | $(ready)
	@$(py) -m synthesize compile $${NETWORK:+"$$NETWORK"} "$$CHECKPOINT" --sample $(input) \
	  --out $(project) > build/table.txt || { status=$$?; rm -f build/table.txt; exit $$status; }

$(elf): $(project)/report.json | $(ready)
	@$(py) -m synthesize.build $(project) --cache build/objects

##@ Training

float := runs/seed-float/student.pth.tar
qat   := runs/seed-qat/student.pth.tar
own   := build/seed-q.pth.tar

.PHONY: student
student: $(qat) ## train the student on DATA=folder, then again at its bit widths (hours on two cores)

$(float): distill/configs/seed.yaml | $(ready)
	POSE78_DATA=$(DATA) $(py) -m distill student --config $< $(SET)

$(qat): distill/configs/seed-qat.yaml $(float) | $(ready)
	POSE78_DATA=$(DATA) $(py) -m distill student --config $< $(SET)

.PHONY: quantize
quantize: $(own) ## turn the trained student into an integer checkpoint

$(own): $(qat) | $(ready)
	@mkdir -p $(@D)
	$(py) -m quantize $< $@

.PHONY: eval
eval: $(ready) ## PCK of CHECKPOINTS="..." on the 14-point validation set of DATA=folder
	$(py) -m distill eval $(CHECKPOINTS) --annotations $(DATA)/lspet/lspet_val.json \
	  --images $(DATA)/lspet/val $(ARGS)

##@ Checks

.PHONY: bench
bench: $(ready) ## speed of data preparation and decoding on this machine
	$(py) -m distill.bench

.PHONY: test
test: $(ready) ## run the quick tests (ARGS="-k name" is passed on to pytest)
	$(py) -m pytest -q $(ARGS)

.PHONY: test-long
test-long: $(ready) ## run every test, the long ones too
	$(py) -m pytest -q -m "long or not long" $(ARGS)

.PHONY: lint
lint: $(ready) ## ruff (style, imports, format) and mypy (types)
	$(py) -m ruff check .
	$(py) -m ruff format --check --quiet .
	$(py) -m mypy

##@ Housekeeping

.PHONY: setup
setup: $(ready) ## make the virtual environment and install the dependencies

# torch first and pinned: it is by far the largest download, and nothing may move it afterwards.
$(ready): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else \
	  "error: pose78 needs Python 3.10 to 3.13, but $(PYTHON) is %d.%d; name another one: make PYTHON=python3.11" \
	  % sys.version_info[:2])'
	test -x $(py) || $(PYTHON) -m venv $(VENV)
	$(py) -m pip install --quiet $(PIP_FLAGS) -c constraints.txt torch
	$(py) -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[kit,toolchain,train,dev]'
	@touch $@

.PHONY: clean
clean: ## remove what was built (keeps the virtual environment and training runs)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## "; print "usage: make TARGET [VARIABLE=value ...]" } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
