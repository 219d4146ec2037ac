# pose78: every stage of the tool chain is a target here.  `make help` lists them.
# Everything a target needs is set up on the way: a Python (3.10 to 3.13) and make are enough.

PYTHON    ?= python3
VENV      ?= .venv
PIP_FLAGS ?=

# Which kind of network: pose, or another package of distill/tasks (see docs/tasks.md).
TASK      ?= pose
tasks     := pose linear grey lift
ifneq ($(words $(filter $(TASK),$(tasks)))/$(words $(TASK)),1/1)
$(error TASK is '$(TASK)'; it must be one of $(tasks))
endif
posing    := $(filter pose,$(TASK))
BUILD     ?= $(if $(posing),build,build/$(TASK))

# The picture to look at (for lifting, a file of keypoints).
IMAGE       ?= $(firstword $(wildcard docs/images/$(TASK).*) docs/images/people.png)
# The integer student that is compiled and evaluated unless another one is named.
CHECKPOINT  ?= ai8x_models/checkpoints/$(if $(posing),native,$(TASK))-q.pth.tar
CHECKPOINTS ?= $(CHECKPOINT)
# For a network that does not describe itself in its checkpoint: its description (YAML) and one
# input (.npy).  Without an input, random bytes stand in.
NETWORK     ?=
SAMPLE      ?=
# Where photographs are: lspet/ and coco_mini/, or any COCO-format sets that a recipe names.
DATA        ?= data
# A teacher to learn from: runs/teacher/teacher.pth.tar, which is trained if it does not exist, or
# a published one (a checkpoint, or the Open Model Zoo's .onnx), which `make teacher` starts from.
# The students of other tasks than pose always have one.
TEACHER     ?=
# How long `make fuzz` runs each target.
SECONDS ?= 600
# Settings of a recipe, key=value, e.g. SET="epochs=2 accelerator=cpu".
SET         ?=
# Who writes the C project: this project's own compiler, or ai8x-synthesis (see ai8x.mk).
BACKEND     ?= pose78
export IMAGE CHECKPOINT NETWORK SAMPLE

py    := $(VENV)/bin/python
task   = POSE78_DATA=$(DATA) $(py) -m distill.tasks $(TASK)
ready := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

##@ From a picture to a skeleton

choice  := $(BUILD)/.choice
input   := $(BUILD)/input.npy
project := $(BUILD)/project
sample  := $(if $(NETWORK),$(if $(SAMPLE),--sample "$$SAMPLE"),--sample $(input))
elf     := $(project)/firmware.elf
sampler := $(if $(posing),ai8x_models.preprocess,distill.tasks $(TASK) sample)
shower  := $(if $(posing),ai8x_models.show,distill.tasks $(TASK) show)
results := $(addprefix $(BUILD)/,maps.npz timeline.html overlay.png)
include ai8x.mk

ifneq ($(BACKEND),ai8x)
.PHONY: run
run: $(elf) | $(ready) ## find people in IMAGE=photo.jpg with the firmware, on the virtual kit
	@echo "== the firmware's console"
	@$(py) -m evalkit run $(elf) --uart - --maps $(BUILD)/maps.npz --timeline $(BUILD)/timeline.html
	@echo; echo "== the network on the chip"
	@cat $(BUILD)/table.txt
	@echo; echo "== people"
	@$(py) -m $(shower) "$$IMAGE" --maps $(BUILD)/maps.npz --report $(project)/report.json \
	  -o $(BUILD)/overlay.png
	@echo "timeline: $(BUILD)/timeline.html"
endif

.PHONY: synth
synth: $(project)/report.json ## compile CHECKPOINT=file to a C project, with a table of what it takes
	@cat $(BUILD)/table.txt

.PHONY: firmware
firmware: $(elf) ## build the C project to an ARM image
	@echo $(elf)

# Which picture and network the files under $(BUILD)/ are made of, by content.  It is rewritten only
# when that changes, and then the results of the last run go.
FORCE:
$(choice): FORCE
	@mkdir -p $(@D)
	@{ for file in "$$IMAGE" "$$CHECKPOINT" "$$NETWORK" "$$SAMPLE"; do \
	  echo "$$file"; cksum < "$$file"; done; echo "$(BAUD) $(BOARD) $(FOLLOW)"; } > $@.new 2>/dev/null; \
	  if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; rm -f $(results); fi

$(input): $(choice) ai8x_models/preprocess.py | $(ready)
	@$(py) -m $(sampler) "$$IMAGE" -o $@

$(project)/report.json: $(choice) $(if $(NETWORK),,$(input)) \
  $(wildcard synthesize/*.py synthesize/*/*.py synthesize/*/*/*.py firmware_templates/*/*) | $(ready)
	@$(py) -m synthesize compile $${NETWORK:+"$$NETWORK"} "$$CHECKPOINT" $(sample) \
	  --out $(project) > $(BUILD)/table.txt || { status=$$?; rm -f $(BUILD)/table.txt; exit $$status; }

$(elf): $(project)/report.json | $(ready)
	@$(py) -m synthesize.build $(@D) --cache $(BUILD)/objects

##@ On a board

# The board's serial port; without one, the virtual kit stands in.
PORT   ?=
# Photographs or a video to send to the board; CAMERA= for firmware that uses the board's own.
CAMERA ?= $(IMAGE)
# A recording to play instead.
REPLAY ?=
# Rate of the board's console with these firmwares.
BAUD   ?= 921600
# 0: `make live` looks at every picture as if it were the first.
FOLLOW ?= 1
# Which board: fthr (MAX78000FTHR) or evkit (MAX78000EVKIT).
BOARD  ?= fthr

injection := $(BUILD)/injection/firmware.elf
live      := $(BUILD)/live/firmware.elf
# What is flashed or watched on the virtual kit.
FIRMWARE ?= $(injection)

.PHONY: injection
injection: $(injection) ## build the firmware that takes pictures over the serial line
	@echo $(injection)

.PHONY: live
live: $(live) ## build the firmware that uses the board's own camera (then: make view FIRMWARE=build/live/firmware.elf)
	@echo $(live)

$(BUILD)/injection/report.json: application := frame-injection
$(BUILD)/live/report.json: application := $(if $(filter 0,$(FOLLOW)),live-pose,live-follow)
$(BUILD)/injection/report.json $(BUILD)/live/report.json: $(choice) \
  $(wildcard synthesize/*.py synthesize/*/*.py synthesize/*/*/*.py firmware_templates/*/* firmware_templates/*/*/*) | $(ready)
	@$(py) -m synthesize compile $${NETWORK:+"$$NETWORK"} "$$CHECKPOINT" --quiet \
	  --application $(application) --out $(@D)

$(injection) $(live): %/firmware.elf: %/report.json | $(ready)
	@$(py) -m synthesize.build $(@D) --cache $(BUILD)/objects --baud $(BAUD) --board $(BOARD)

.PHONY: flash
flash: $(FIRMWARE) | $(ready) ## write FIRMWARE=file into the board (ARGS="--mass-erase" erases it first)
	@$(py) -m evalkit flash "$(FIRMWARE)" $(ARGS)

.PHONY: view
view: $(if $(PORT)$(REPLAY),,$(FIRMWARE)) | $(ready) ## watch PORT=/dev/ttyACM0 or the virtual kit look at CAMERA=folder, or REPLAY=file
	@$(py) -m evalkit view $(if $(REPLAY),--replay "$(REPLAY)",$(if $(PORT),--port "$(PORT)" \
	  --baud $(BAUD),--kit "$(FIRMWARE)") $(if $(CAMERA),--camera "$(CAMERA)")) $(ARGS)

##@ Training

# Which pose student to train: one of those that have recipes.
STUDENT  ?= native
students := $(patsubst distill/tasks/pose/recipes/%-qat.yaml,%,$(wildcard distill/tasks/pose/recipes/*-qat.yaml))

ifneq ($(posing),)
ifneq ($(words $(filter $(STUDENT),$(students)))/$(words $(STUDENT)),1/1)
$(error STUDENT is '$(STUDENT)'; it must be one of $(students))
endif
teacher := runs/teacher/teacher.pth.tar
float   := runs/$(STUDENT)-$(if $(TEACHER),distill,float)/student.pth.tar
level   := $(dir $(float))equalized.pth.tar
qat     := runs/$(STUDENT)-qat/student.pth.tar
own     := $(BUILD)/$(STUDENT)-q.pth.tar
train    = POSE78_DATA=$(DATA) $(py) -m distill
else
teacher := runs/$(TASK)-teacher/teacher.pth.tar
float   := runs/$(TASK)-float/student.pth.tar
qat     := runs/$(TASK)-qat/student.pth.tar
own     := $(BUILD)/$(TASK)-q.pth.tar
recipes := $(if $(filter linear,$(TASK)),distill/tasks/pose/teachers/transformer,distill/tasks/$(TASK))/recipes
endif

.PHONY: teacher
teacher: $(teacher) ## train the teacher of TASK=name on DATA=folder (an accelerator helps)

.PHONY: student
student: $(qat) ## train STUDENT=name on DATA=folder, with TEACHER=file if given, then at its bit widths

ifneq ($(posing),)
$(teacher): distill/tasks/pose/recipes/teacher.yaml | $(ready)
	$(train) teacher --config $< $(addprefix start_from=,$(filter-out $(teacher),$(TEACHER))) $(SET)

runs/$(STUDENT)-float/student.pth.tar: distill/tasks/pose/recipes/$(STUDENT).yaml | $(ready)
	$(train) student --config $< $(SET)

runs/$(STUDENT)-distill/student.pth.tar: distill/tasks/pose/recipes/$(STUDENT)-distill.yaml $(TEACHER) | $(ready)
	$(train) student --config $< teacher=$(TEACHER) $(SET)

$(level): $(float) | $(ready)
	$(py) -m quantize equalize $< $@ --images $(DATA)/lspet/train

# Where the recipe has a teacher, it is the float student itself.
taught := $(if $(shell grep '^teacher:' distill/tasks/pose/recipes/$(STUDENT)-qat.yaml),teacher=$(float))

$(qat): distill/tasks/pose/recipes/$(STUDENT)-qat.yaml $(level) | $(ready)
	$(train) student --config $< start_from=$(level) $(taught) $(SET)
else
$(teacher): $(recipes)/teacher.yaml | $(ready)
	$(task) teacher --config $< $(SET)

$(float): $(recipes)/student.yaml $(or $(TEACHER),$(teacher)) | $(ready)
	$(task) student --config $< teacher=$(or $(TEACHER),$(teacher)) $(SET)

$(qat): $(recipes)/qat.yaml $(float) | $(ready)
	$(task) student --config $< start_from=$(float) teacher=$(or $(TEACHER),$(teacher)) $(SET)
endif

.PHONY: quantize
quantize: $(own) ## turn the trained student into an integer checkpoint

$(own): $(qat) | $(ready)
	@mkdir -p $(@D)
	$(if $(posing),$(py) -m quantize,$(task) quantize) $< $@

# What eval measures on, how many crops of it eval-kit takes, and where onnx writes to.
validation := --annotations $(DATA)/lspet/lspet_val.json --images $(DATA)/lspet/val
COUNT      ?= 100
ONNX       ?= $(BUILD)/network.onnx

.PHONY: eval
ifneq ($(posing),)
eval: $(ready) ## accuracy of CHECKPOINTS="..." on DATA=folder; for pose, PCK on its 14-point validation set
	$(py) -m distill eval $(CHECKPOINTS) $(validation) $(ARGS)
else
eval: $(ready)
	$(task) eval $(CHECKPOINTS) $(ARGS)
endif

.PHONY: eval-kit
eval-kit: $(injection) | $(ready) ## the same on the virtual kit: COUNT crops through the firmware of CHECKPOINT=file
	@rm -rf $(BUILD)/crops
	$(py) -m distill crops --out $(BUILD)/crops --count $(COUNT) $(validation)
	$(py) -m evalkit maps --kit $(injection) --camera $(BUILD)/crops -o $(BUILD)/crops.npz
	$(py) -m distill kit "$$CHECKPOINT" $(BUILD)/crops.npz $(validation)

.PHONY: onnx
onnx: $(ready) ## write CHECKPOINT=file (teacher or student, float or integers) as ONNX=file
	$(py) -m distill export "$$CHECKPOINT" "$(ONNX)"

.PHONY: plot
plot: $(ready) ## draw docs/results.yaml (accuracy against cycles) and docs/curves.csv (training) to docs/images
	$(py) -m distill plot

##@ Checks

# A recorded bus trace to replay, where the reference data lies.
recording := $(or $(POSE78_SHARED),../shared)/golden/pose659/trace.npz

.PHONY: bench
bench: $(injection) | $(ready) ## speed of data preparation, compiler and kit here, of the C decoder on the kit
	$(py) -m distill.people.bench
	$(py) -m tests.bench.decoder_cycles
	$(py) -m tests.bench.compile_times
	$(py) -m evalkit bench $(injection) --picture docs/images/people.png \
	  $(if $(wildcard $(recording)),--trace $(recording))

.PHONY: test
test: $(ready) ## run the quick tests (ARGS="-k name" is passed on to pytest)
	$(py) -m pytest -q $(ARGS)

.PHONY: test-long
test-long: $(ready) ## run every test, the long ones too
	$(py) -m pytest -q -m "long or not long" $(ARGS)

.PHONY: fuzz
fuzz: $(ready) ## fuzz the C pose decoder and frame receiver for SECONDS each (needs clang with libFuzzer)
	$(py) -m tests.native.fuzz --seconds $(SECONDS) $(ARGS)

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
	$(py) -m pip install --quiet $(PIP_FLAGS) -c constraints.txt -e '.[kit,toolchain,view,train,dev]'
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
