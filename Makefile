# pose78: every stage of the tool chain is a target here.  `make help` lists them.
# Everything a target needs is set up on the way: a Python (3.10 to 3.13) and make are enough.

# What a user names is taken as it is written, a $$ in it as well: make expands none of it here, and
# recipes hand it on in quoted variables of the environment, so that no shell does either.
named := PYTHON VENV PIP_FLAGS TASK BUILD IMAGE CHECKPOINT CHECKPOINTS NETWORK SAMPLE DATA TEACHER \
  SECONDS WORKERS SET BACKEND PORT CAMERA REPLAY BAUD FOLLOW FOLLOW_COLOUR BOARD FIRMWARE STUDENT \
  TEACHER_KIND PICTURES NETWORKS LABELS COUNT ONNX ARGS AI8X_URL AI8X_FOLDER AI8X_SYNTHESIS AI8X_PYTHON AI8X_BASE
$(foreach name,$(named),$(if $(filter command environment,$(firstword $(origin $(name)))),\
  $(eval override $(name) := $$(value $(name)))))
# Names of targets and words can hold no character that means something to make or a shell.
define newline


endef
special := $$ ` " ' \ ; & | < > ( ) * ? [ ] { } \# ~ = % ! ^ :
strange = $(strip $(foreach sign,$(special),$(findstring $(sign),$1)) \
  $(if $(findstring $(newline),$1),line-end)$(if $(filter-out 1,$(words x$1x)),space))
plain   = $(if $(call strange,$($1)),$(error $1 is '$($1)'; it must be without spaces and without \
  any of $(special)))

PYTHON    ?= python3
VENV      ?= .venv
PIP_FLAGS ?=

$(call plain,VENV)
# Which kind of network: a package of distill/tasks (see docs/tasks.md).
TASK      ?= pose
tasks     := pose grey lift
ifeq ($(TASK),linear)
$(error TASK is 'linear', which is a teacher of the task pose now: make teacher \
  TEACHER_KIND=transformer, then make student STUDENT=seed TEACHER_KIND=transformer)
endif
ifneq ($(words $(filter $(TASK),$(tasks)))/$(words $(TASK)),1/1)
$(error TASK is '$(TASK)'; it must be one of $(tasks))
endif
# The first task builds where it always did, the others beside it.
BUILD     ?= $(patsubst build/pose,build,build/$(TASK))
$(call plain,BUILD)
ifeq ($(BUILD),)
$(error BUILD is empty; name a folder, or leave it out for build)
endif
# Its usual student.
usual     := $(patsubst pose,native,$(TASK))

# The picture to look at (for lifting, a file of keypoints).
IMAGE       ?= $(firstword $(wildcard docs/images/$(TASK).*) docs/images/people.png)
# The integer student that is compiled and evaluated unless another one is named: that of STUDENT.
CHECKPOINT  ?= ai8x_models/checkpoints/$(or $(STUDENT),$(usual))-q.pth.tar
CHECKPOINTS ?= $(CHECKPOINT)
# For a network that does not describe itself in its checkpoint: its description (YAML).  One input
# of a network that does not look at IMAGE (.npy); for one with a description random bytes stand in.
NETWORK     ?=
SAMPLE      ?=
# Where photographs are: lspet/ and coco_mini/, or any COCO-format sets that a recipe names.
DATA        ?= data
# A teacher to learn from: that of `make teacher`, which is trained if it does not exist, or a
# published one (a checkpoint, or the Open Model Zoo's .onnx), which `make teacher` starts from.
# Without one, a student whose recipe names a teacher has that of `make teacher`.
TEACHER     ?=
# How long `make fuzz` runs each target.
SECONDS ?= 600
# How many processes `make test` runs tests in: a number, or auto for as many as cores, at most 8.
WORKERS ?= auto
# Settings of a recipe, key=value, e.g. SET="epochs=2 accelerator=cpu".
SET         ?=
# Who writes the C project: this project's own compiler, or ai8x-synthesis (see ai8x.mk).
BACKEND     ?= pose78
$(foreach name,TASK SECONDS WORKERS BACKEND,$(call plain,$(name)))
ifneq ($(words $(filter $(BACKEND),pose78 ai8x))/$(words $(BACKEND)),1/1)
$(error BACKEND is '$(BACKEND)'; it must be pose78 or ai8x)
endif

py    := $(VENV)/bin/python
# Puts the words of a variable where +NAME stands.
words := $(py) -m common.words
task   = POSE78_DATA="$$DATA" $(words) $(py) -m distill $(TASK)
ready := $(VENV)/.ready

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# One make at a time writes to $(BUILD): these targets are made by another make that holds a lock.
keep  = $(words) --lock $(BUILD) $(MAKE) --no-print-directory -o $(ready) KEPT=1
kept := run synth firmware injection live board-report eval-kit quantize
ifndef KEPT
.NOTPARALLEL:
.PHONY: $(kept)
$(kept): | $(ready)
	+@$(keep) $@
endif

##@ From a picture to a skeleton

choice  := $(BUILD)/.choice
input   := $(BUILD)/input.npy
project := $(BUILD)/project
sample  := $(if $(SAMPLE),--sample "$$SAMPLE",$(if $(NETWORK),,--sample $(input)))
elf     := $(project)/firmware.elf
results := $(addprefix $(BUILD)/,maps.npz timeline.html overlay.png)
include ai8x.mk

ifdef KEPT
ifneq ($(BACKEND),ai8x)
.PHONY: run
run: $(elf) | $(ready) ## find people in IMAGE=photo.jpg with the firmware, on the virtual kit
	@echo "== the firmware's console"
	@$(py) -m evalkit run $(elf) --uart - --maps $(BUILD)/maps.npz --timeline $(BUILD)/timeline.html
	@echo; echo "== the network on the chip"
	@cat $(project)/table.txt
	@echo; echo "== people"
	@$(task) show "$$IMAGE" --maps $(BUILD)/maps.npz --report $(project)/report.json \
	  -o $(BUILD)/overlay.png
	@echo "timeline: $(BUILD)/timeline.html"
endif
endif

ifdef KEPT
.PHONY: synth
synth: $(project)/report.json ## compile CHECKPOINT=file to a C project, with a table of what it takes
	@cat $(project)/table.txt
endif

.PHONY: networks
networks: $(ready) ## write networks/NAME.yaml of every shipped student again
	@$(py) -m synthesize networks

ifdef KEPT
.PHONY: firmware
firmware: $(elf) ## build the C project to an ARM image
	@echo $(elf)
endif

# Which picture and network the files under $(BUILD)/ are made of, by content.  It is rewritten only
# when that changes, and then what was made of others goes: a clock that was set back would have it
# look newer than what it is to be made of.
stale := $(results) $(input) $(patsubst %,$(BUILD)/%/report.json,project injection live)
FORCE:
$(choice): FORCE
	@mkdir -p $(@D)
	@{ for file in "$$IMAGE" "$$CHECKPOINT" "$$NETWORK" "$$SAMPLE"; do \
	  echo "$$file"; if test -f "$$file"; then cksum < "$$file"; fi; done; echo "$(BAUD) $(BOARD) $(FOLLOW) $(FOLLOW_COLOUR)"; } > $@.new 2>/dev/null; \
	  if cmp -s $@.new $@; then rm $@.new; else \
  if test -e $@; then echo "other settings or files than before: $(BUILD) is made anew of them" >&2; fi; \
  rm -f $(stale) && mv $@.new $@; fi

$(input): $(choice) ai8x_models/preprocess.py | $(ready)
	@$(task) sample "$$IMAGE" -o $@

$(project)/report.json: $(choice) $(if $(NETWORK)$(SAMPLE),,$(input)) \
  $(wildcard synthesize/*.py synthesize/*/*.py synthesize/*/*/*.py firmware_templates/*/*) | $(ready)
	@$(py) -m synthesize compile $${NETWORK:+"$$NETWORK"} "$$CHECKPOINT" $(sample) \
	  --quiet --out $(project)

$(elf): $(project)/report.json | $(ready)
	@$(py) -m synthesize.build $(@D) --cache $(BUILD)/objects

##@ On a board

# The board's serial port; without one, the virtual kit stands in.
PORT   ?=
$(foreach name,BAUD FOLLOW FOLLOW_COLOUR BOARD,$(call plain,$(name)))
# Photographs or a video to send to the board; CAMERA= for firmware that uses the board's own.
CAMERA ?= $(IMAGE)
# A recording to play instead.
REPLAY ?=
# Rate of the board's console with these firmwares.
BAUD   ?= 921600
# 1: `make live` follows people.
FOLLOW ?= 0
# 1: it tells them by the colour of their clothes too.
FOLLOW_COLOUR ?= 0
# Which board: fthr (MAX78000FTHR) or evkit (MAX78000EVKIT).
BOARD  ?= fthr
ifneq ($(words $(filter $(FOLLOW),0 1))/$(words $(FOLLOW)),1/1)
$(error FOLLOW is '$(FOLLOW)'; it must be 0 (every picture by itself) or 1)
endif
ifneq ($(words $(filter $(FOLLOW_COLOUR),0 1))/$(words $(FOLLOW_COLOUR)),1/1)
$(error FOLLOW_COLOUR is '$(FOLLOW_COLOUR)'; it must be 0 (people are followed by their points alone) or 1)
endif
ifeq ($(FOLLOW)$(FOLLOW_COLOUR),01)
$(error FOLLOW_COLOUR is 1, but FOLLOW is 0; say FOLLOW=1 as well, or leave FOLLOW_COLOUR out)
endif
ifneq ($(words $(filter $(BOARD),fthr evkit))/$(words $(BOARD)),1/1)
$(error BOARD is '$(BOARD)'; it must be one of fthr evkit)
endif

injection := $(BUILD)/injection/firmware.elf
live      := $(BUILD)/live/firmware.elf
# What is flashed or watched on the virtual kit.
FIRMWARE ?= $(injection)
ours      = $(filter $(injection) $(live) $(elf),$(FIRMWARE))
# One that is named and there is taken as it is: this command may lack a setting that it was built
# with (FOLLOW, BAUD, CHECKPOINT ...).
absent    = $(if $(filter override,$(origin FIRMWARE)),$(filter-out $(wildcard $(ours)),$(ours)),$(ours))
target_of = $(patsubst project,firmware,$(notdir $(patsubst %/,%,$(dir $1))))
as_built  = $(if $(absent),$(keep) $(absent),$(if $(ours),echo "$(ours) is taken as it \
  was built; make $(call target_of,$(ours)) builds it again",:))

ifdef KEPT
.PHONY: injection
injection: $(injection) ## build the firmware that takes pictures over the serial line
	@echo $(injection)
endif

ifdef KEPT
.PHONY: live
live: $(live) ## build the firmware that uses the board's own camera (then: make view FIRMWARE=build/live/firmware.elf)
	@echo $(live)
endif

$(BUILD)/injection/report.json: application := frame-injection
$(BUILD)/live/report.json: application := $(if $(filter 0,$(FOLLOW)),live-pose,live-follow)
$(BUILD)/injection/report.json $(BUILD)/live/report.json: $(choice) \
  $(wildcard synthesize/*.py synthesize/*/*.py synthesize/*/*/*.py firmware_templates/*/* firmware_templates/*/*/*) | $(ready)
	@$(py) -m synthesize compile $${NETWORK:+"$$NETWORK"} "$$CHECKPOINT" --quiet \
	  --application $(application) --out $(@D)

$(live): colour := $(if $(filter 1,$(FOLLOW_COLOUR)),--colour)
$(injection) $(live): %/firmware.elf: %/report.json | $(ready)
	@$(py) -m synthesize.build $(@D) --cache $(BUILD)/objects --baud $(BAUD) --board $(BOARD) $(colour)

.PHONY: flash
flash: | $(ready) ## write FIRMWARE=file into the board (ARGS="--mass-erase" erases it first)
	+@$(as_built)
	@$(words) $(py) -m evalkit flash "$$FIRMWARE" +ARGS

# Every shipped network, for a report about a board.
reported := $(patsubst ai8x_models/checkpoints/%-q.pth.tar,%,$(wildcard ai8x_models/checkpoints/*-q.pth.tar))

ifdef KEPT
.PHONY: board-report
board-report: | $(ready) ## known answers and chip times of every shipped network on PORT=/dev/ttyACM0 or the virtual kit
	@for name in $(reported); do \
	  $(py) -m synthesize compile ai8x_models/checkpoints/$$name-q.pth.tar --quiet \
	    --out $(BUILD)/board/$$name && \
	  $(py) -m synthesize.build $(BUILD)/board/$$name --cache $(BUILD)/objects --baud 115200 \
	    --board $(BOARD) || exit $$?; done
	@$(words) $(py) -m evalkit board-report $(addprefix $(BUILD)/board/,$(reported)) --baud 115200 \
	  $(if $(PORT),--port "$$PORT") -o $(BUILD)/board.json +ARGS
endif

.PHONY: view
view: | $(ready) ## watch PORT=/dev/ttyACM0 or the virtual kit look at CAMERA=folder, or REPLAY=file
	+@$(if $(PORT)$(REPLAY),:,$(as_built))
	@$(words) $(py) -m evalkit view $(if $(REPLAY),--replay "$$REPLAY",$(if $(PORT),--port "$$PORT" \
	  --baud $(BAUD),--kit "$$FIRMWARE") $(if $(CAMERA),--camera "$$CAMERA")) +ARGS

##@ Training

recipes  := distill/tasks/$(TASK)/recipes
# Which student to train: one of those that have recipes there.
STUDENT  ?= $(usual)
$(foreach name,STUDENT TEACHER_KIND COUNT,$(call plain,$(name)))
students := $(patsubst $(recipes)/%-qat.yaml,%,$(wildcard $(recipes)/*-qat.yaml))
ifneq ($(words $(filter $(STUDENT),$(students)))/$(words $(STUDENT)),1/1)
$(error STUDENT is '$(STUDENT)'; it must be one of $(students))
endif
# Which recipe makes the teacher, for example transformer for pose and vit for lift.
TEACHER_KIND ?=
lesson := $(recipes)/$(or $(TEACHER_KIND),teacher).yaml
ifeq ($(wildcard $(lesson)),)
$(error TEACHER_KIND is '$(TEACHER_KIND)', but there is no $(lesson))
endif

# The recipes of a student, what they write and whom they learn from is said in the recipes alone.
setting  = $(shell sed -n 's/^$(2): *//p' $(1))
teacher := $(call setting,$(lesson),out)/teacher.pth.tar
course  := $(firstword $(if $(TEACHER)$(TEACHER_KIND),$(wildcard $(recipes)/$(STUDENT)-distill.yaml)) \
  $(recipes)/$(STUDENT).yaml)
float   := $(call setting,$(course),out)/student.pth.tar
# A teacher whose name make cannot hold is handed on, but not looked at for being newer.
taught  := $(if $(call setting,$(course),teacher)$(TEACHER)$(TEACHER_KIND),$(or $(TEACHER),$(teacher)))
# On ordinary pictures a teacher looks at the whole picture; its recipe names the usual one itself.
wholly  := $(filter pictures,$(call setting,$(course),kind))
tuning  := $(recipes)/$(STUDENT)-qat.yaml
qat     := $(call setting,$(tuning),out)/student.pth.tar
as_file  = $(if $(call strange,$1),,$1)
# While the bits are set, a student may be taught by itself in real numbers.
tutor   := $(call setting,$(tuning),teacher)
tutor   := $(if $(tutor),$(if $(findstring student.pth.tar,$(tutor)),$(float),$(or $(TEACHER),$(teacher))))
# Pose students have layers whose channels differ so much that one scale a layer costs accuracy.
level   := $(if $(filter pose,$(TASK)),$(dir $(float))equalized.pth.tar,$(float))
own     := $(BUILD)/$(STUDENT)-q.pth.tar

export TAUGHT := $(taught)
export TUTOR  := $(tutor)

.PHONY: teacher
teacher: $(teacher) ## train the teacher of TASK=name on DATA=folder (an accelerator helps)

.PHONY: student
student: $(qat) ## train STUDENT=name on DATA=folder, with TEACHER=file if given, then at its bit widths

$(teacher): $(lesson) | $(ready)
	$(task) teacher --config $< $(if $(filter-out $(teacher),$(TEACHER)),start_from="$$TEACHER") +SET

$(float): $(course) $(call as_file,$(taught)) | $(ready)
	$(task) student --config $< $(if $(taught),$(if $(wholly),picture_)teacher="$$TAUGHT") +SET

ifneq ($(level),$(float))
$(level): $(float) | $(ready)
	images="$$DATA/people/images"; test -d "$$images" || images="$$DATA/lspet/train"; \
	  $(py) -m quantize equalize $< $@ --images "$$images"
endif

$(qat): $(tuning) $(level) $(call as_file,$(tutor)) | $(ready)
	$(task) student --config $< start_from=$(level) $(if $(tutor),teacher="$$TUTOR") \
	  $(if $(wholly),$(if $(taught),picture_teacher="$$TAUGHT")) +SET

ifdef KEPT
.PHONY: quantize
quantize: $(own) ## turn the trained student into an integer checkpoint
endif

$(own): $(qat) | $(ready)
	@mkdir -p $(@D)
	$(task) quantize $< $@

# A folder of pictures to label, the networks that do it, and the file that comes out.
PICTURES ?=
NETWORKS ?=
LABELS   ?= $(BUILD)/labels.json

.PHONY: label
label: $(ready) ## label the pictures in PICTURES=folder by NETWORKS="a.onnx b.onnx" into LABELS=file.json
	$(words) $(py) -m distill label "$$PICTURES" --networks +NETWORKS --out "$$LABELS" +ARGS

# How many crops of the validation set eval-kit takes, and where onnx writes to.
COUNT ?= 100
ONNX  ?= $(BUILD)/network.onnx

.PHONY: eval
eval: $(ready) ## accuracy of CHECKPOINTS="..." on the validation set of TASK=name under DATA=folder
	$(task) eval +CHECKPOINTS +ARGS

ifdef KEPT
.PHONY: eval-kit
eval-kit: $(injection) | $(ready) ## the same on the virtual kit: COUNT crops through the firmware of CHECKPOINT=file
	@rm -rf $(BUILD)/crops
	$(task) crops --out $(BUILD)/crops --count $(COUNT)
	$(py) -m evalkit maps --kit $(injection) --camera $(BUILD)/crops -o $(BUILD)/crops.npz
	$(task) kit "$$CHECKPOINT" $(BUILD)/crops.npz
endif

.PHONY: onnx
onnx: $(ready) ## write CHECKPOINT=file (teacher or student, float or integers) as ONNX=file
	$(task) export "$$CHECKPOINT" "$$ONNX"

.PHONY: plot
plot: $(ready) ## draw docs/results.yaml (accuracy against cycles) and docs/curves.csv (training) to docs/images
	$(py) -m distill pose plot

##@ Documentation

docs_ready := $(VENV)/.docs

$(docs_ready): $(ready)
	$(words) $(py) -m pip install --quiet +PIP_FLAGS -c constraints.txt -e '.[docs]'
	@touch $@

.PHONY: site
site: $(ready) $(docs_ready) ## build the documentation as a site: build/site/index.html
	@$(py) -m sphinx -W --keep-going -q -b html docs build/site
	@echo build/site/index.html

##@ Checks

# A recorded bus trace to replay, where the reference data lies.
recording := $(or $(POSE78_SHARED),../shared)/golden/pose659/trace.npz

.PHONY: bench
bench: | $(ready) ## speed of the front door, data preparation, compiler and kit here, of the C decoder and of following on the kit
	+@$(keep) $(injection)
	$(py) -m distill.people.bench
	$(py) -m tests.bench.decoder_cycles
	$(py) -m tests.bench.follow_stages --pictures 100
	$(py) -m tests.bench.compile_times
	$(py) -m tests.bench.official_time
	$(py) -m tests.bench.integer_student
	$(py) -m tests.bench.front_door
	$(py) -m evalkit bench $(injection) --picture docs/images/people.png \
	  $(if $(wildcard $(recording)),--trace $(recording))
	$(py) -m tests.bench.kit_answers $(injection) --checkpoint "$$CHECKPOINT"

pytest = $(words) $(py) -m pytest -q -n $(WORKERS) --maxprocesses 8 --dist loadfile

.PHONY: test
test: $(ready) ## run the quick tests (ARGS="-k name" is passed on to pytest; ARGS=-n0: in one process)
	$(pytest) +ARGS

.PHONY: test-long
test-long: $(ready) ## run every test, the long ones too
	$(pytest) -m "long or not long" +ARGS

.PHONY: fuzz
fuzz: $(ready) ## fuzz the C pose decoder and frame receiver for SECONDS each (needs clang with libFuzzer)
	$(words) $(py) -m tests.native.fuzz --seconds $(SECONDS) +ARGS

.PHONY: audit
audit: $(ready) ## compare what is installed with requirements.lock, and ask for known advisories
	$(py) -m tests.supply check
	$(py) -m tests.supply advisories

.PHONY: lint
lint: $(ready) ## ruff (style, imports, format) and mypy (types)
	$(py) -m ruff check .
	$(py) -m ruff format --check --quiet .
	$(py) -m mypy

##@ Housekeeping

# Behind all definitions: what is exported counts as given, and ?= would leave it empty.
export PYTHON PIP_FLAGS IMAGE CHECKPOINT CHECKPOINTS NETWORK SAMPLE DATA TEACHER SET PORT CAMERA \
  REPLAY FIRMWARE PICTURES NETWORKS LABELS ONNX ARGS

.PHONY: setup
setup: $(ready) ## make the virtual environment and install the dependencies

# An environment that was being made when a setup was killed may lack anything, a file of a package
# that says it is there as well: it is made anew.  One that was there before is never removed.
unfinished := $(VENV)/.unfinished

# torch first and pinned: it is by far the largest download, and nothing may move it afterwards.
$(ready): pyproject.toml constraints.txt
	@"$$PYTHON" -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else \
	  "error: pose78 needs Python 3.10 to 3.13, but %s is %d.%d; name another one: make PYTHON=python3.11" \
	  % (sys.executable, *sys.version_info[:2]))'
	@if test -e $(unfinished); then echo "$(VENV) was left unfinished; it is made anew" && rm -rf $(VENV); fi
	test -x $(py) || { mkdir -p $(VENV) && touch $(unfinished) && "$$PYTHON" -m venv $(VENV); }
	$(words) $(py) -m pip install --quiet +PIP_FLAGS -c constraints.txt torch
	$(words) $(py) -m pip install --quiet +PIP_FLAGS -c constraints.txt -e '.[kit,toolchain,view,train,dev]'
	@rm -f $(unfinished)
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
