##@ The public generator, for those who want it

# ai8x-training and ai8x-synthesis at the commits this project was compared with.  Nothing here needs
# them; BACKEND=ai8x lets ai8x-synthesis write the C project instead of the compiler of this project.
AI8X_URL        ?= https://github.com/analogdevicesinc
AI8X_FOLDER     ?= third_party
AI8X_SYNTHESIS  ?= $(AI8X_FOLDER)/ai8x-synthesis
# Its dependencies want an older Python and numpy than ours, hence an environment of its own.
AI8X_BASE       ?= python3.11
AI8X_PYTHON     ?= $(AI8X_FOLDER)/venv/bin/python
ai8x_synthesis_commit := ab4f4c01f205c7d9f0233c4438425144c433f44b
ai8x_training_commit  := c3d4eb1b06b03475385f2ed0dc4689f2bc94ef2a
ai8x_packages := 'numpy<2' torch pyyaml yamllint rich colorama xxhash GitPython PyGithub scipy onnx
export AI8X_URL AI8X_BASE AI8X_SYNTHESIS AI8X_PYTHON
$(call plain,AI8X_FOLDER)

ai8x_ready := $(addprefix $(AI8X_FOLDER)/,ai8x-synthesis/.tested ai8x-training/.tested venv/.ready)

.PHONY: ai8x
ai8x: $(ai8x_ready) ## clone ai8x-training and ai8x-synthesis at the tested commits
	@echo "use them with: make synth BACKEND=ai8x"

$(AI8X_FOLDER)/ai8x-%/.tested:
	@rm -rf $(@D)
	@git clone --quiet -- "$$AI8X_URL/ai8x-$*.git" $(@D) && \
	  git -C $(@D) checkout --quiet $(ai8x_$*_commit) || { rm -rf $(@D); \
	  echo "error: cannot get ai8x-$* from $$AI8X_URL; connect to the network, or set" \
	  "AI8X_SYNTHESIS to a checkout" >&2; exit 2; }
	@touch $@

$(AI8X_FOLDER)/venv/.ready:
	@set -f; "$$AI8X_BASE" -m venv $(@D) && $(@D)/bin/python -m pip install --quiet $$PIP_FLAGS \
	  $(ai8x_packages) || { echo "error: cannot set up the Python of ai8x-synthesis; name a" \
	  "Python 3.11 with AI8X_BASE, or one that has its packages with AI8X_PYTHON" >&2; exit 2; }
	@touch $@

ifeq ($(BACKEND),ai8x)
official := $(BUILD)/ai8x/firmware
elf      := $(official)/firmware.elf

# The description, checkpoint and sample lie in the folder of our own C project.
$(official)/network.h: $(project)/report.json | $(ready)
	@$(py) -m synthesize.official $(project) --out $(BUILD)/ai8x/generated --firmware $(official)

$(elf): $(official)/network.h
ifdef KEPT
synth: $(official)/network.h

.PHONY: run
run: $(elf) | $(ready)
	@$(py) -m evalkit run $(elf) --uart -
endif
endif
