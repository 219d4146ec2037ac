# Settings for the project Makefile of the MSDK (copy both to the project's folder, or point
# VPATH at it). standalone/ is left out: the MSDK has its own start-up code and linker script.
# SPDX-License-Identifier: MIT

TARGET = MAX78000
BOARD ?= FTHR_RevA
AUTOSEARCH = 1
VPATH += . sdk
IPATH += .
MXC_OPTIMIZE_CFLAGS = -O2
PROJ_CFLAGS += -std=gnu11
ifeq ($(BOARD),EvKit_V1)
PROJ_CFLAGS += -DBOARD_EVKIT
endif
