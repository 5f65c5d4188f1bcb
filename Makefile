# Seedvisor: builds the hypervisor, its tests and its demonstration. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += --jobs=$(shell nproc)
endif

# FAULTS=1: in build/faults, a hypervisor whose source of entropy can be made to fail, for tests
# (debug.rng_fault).
BUILD := build$(if $(FAULTS),/faults)
PYTHON ?= /usr/bin/python3
# What runs disk images: auto, tcg, bochs or kvm (tools/launch --accel).
ACCEL ?= auto
# `make V=1` shows the commands.
Q := $(if $(V),,@)

CC := gcc
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	-Wconversion -Wno-sign-conversion -Wimplicit-fallthrough
COMMON := -std=gnu11 -g -I. -I$(BUILD)/generated $(WARNINGS)

.PHONY: help run image test check unit system format format-check conformance tidy clean packages

help: ## Show this list
	@echo "Targets:"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1|\2/' | \
		column -t -s '|'
	@echo "Variables: ACCEL=auto|tcg|bochs|kvm for run and system; V=1 shows commands;"
	@echo "  HOST_ONLY=1: coverage of the unit tests alone"

run: packages ## Install what is missing, build, and boot the demonstration guest
	+$(Q)$(MAKE) --no-print-directory image
	$(Q)tools/launch --accel $(ACCEL) $(BUILD)/guest/demo.img

image: $(BUILD)/guest/demo.img ## Build the demonstration's disk image, build/guest/demo.img

packages:
	$(Q)tools/install-packages

## The hypervisor: one UEFI application.
# No SSE or x87 (the guest's stay in the registers), no red zone (exceptions use the same stack).
# The compiler knows memcpy() and the like: short ones become moves (but see HV_LIBRARY).
HV_CFLAGS := $(COMMON) -O2 -ffreestanding -fbuiltin -fpic -fvisibility=hidden -fshort-wchar \
	-mno-red-zone -mgeneral-regs-only -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-fstack-protector-strong -mstack-protector-guard=global -maccumulate-outgoing-args \
	$(if $(FAULTS),-DSEEDVISOR_FAULTS) -DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
HV_LDFLAGS := -nostdlib -shared \
	-Wl,-znocombreloc,-Bsymbolic,--no-undefined,--warn-common,--build-id=none \
	-T arch/x86/boot/seedvisor.lds

# `make HV_COVERAGE=1 BUILD=...` counts what is executed; power_off() tells the counters. Not
# optimised, as the host tests' build, so that both have the same branches.
ifdef HV_COVERAGE
HV_CFLAGS += -O0 -DCOVERAGE -fdata-sections -fprofile-arcs -ftest-coverage -fprofile-abs-path \
	-fprofile-update=atomic -fprofile-info-section
HV_LDFLAGS += -Wl,--defsym=__gcov_merge_add=0
endif
COVERAGE_SOURCE := arch/x86/host/coverage.c

# Free of machine instructions: these compile on the host too, for the tests.
PURE_X86 := arch/x86/cpu/amd_errata.c arch/x86/cpu/cpu_quirks.c arch/x86/cpu/errata.c \
	arch/x86/cpu/machine_check.c arch/x86/cpu/page_table.c arch/x86/cpu/resident_abilities.c \
	arch/x86/cpu/tsc_exchange.c arch/x86/cpu/tsc_frequency.c arch/x86/vmx/controls.c \
	arch/x86/vmx/events.c arch/x86/vmx/exit.c arch/x86/svm/events.c arch/x86/svm/exit.c arch/x86/svm/vcpu.c \
	arch/x86/svm/vmcb.c
PURE_SOURCES := $(sort $(wildcard vmm/*.c virtio/*.c devices/*/*.c arch/x86/guest/*.c) $(PURE_X86))
# What only a build with FAULTS=1 contains.
FAULT_SOURCES := devices/rng/fault_source.c
MACHINE_SOURCES := $(sort $(filter-out $(PURE_X86) $(if $(HV_COVERAGE),,$(COVERAGE_SOURCE)), $(wildcard arch/x86/boot/*.c arch/x86/cpu/*.c \
	arch/x86/host/*.c arch/x86/vmx/*.c arch/x86/svm/*.c)))
ASSEMBLY_SOURCES := $(sort $(wildcard arch/x86/*/*.asm))
HV_OBJECTS := $(patsubst %,$(BUILD)/hv/%.o,$(filter-out $(if $(FAULTS),,$(FAULT_SOURCES)), \
	$(PURE_SOURCES)) $(MACHINE_SOURCES) $(ASSEMBLY_SOURCES)) \
	$(BUILD)/hv/gnulib/sha256.c.o
DSDT := $(BUILD)/generated/dsdt.h
# SHA-256, the optional conditioner, is gnulib's: LGPL 2.1 or later, from the package as it stands.
GNULIB := /usr/share/gnulib/lib
SHA256 := $(addprefix $(BUILD)/generated/gnulib/,sha256.h sha256.c config.h)
EFI := $(BUILD)/seedvisor.efi

# Which sources this is built from; a panic prints it.
BUILD_ID := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
$(BUILD)/generated/build_id.h: FORCE
	@mkdir -p $(@D)
	@echo '#define BUILD_ID "$(BUILD_ID)"' > $@.$$$$; cmp -s $@.$$$$ $@ && rm $@.$$$$ || mv $@.$$$$ $@
FORCE:

# A loop of the functions themselves must not become a call of them.
HV_LIBRARY := arch/x86/cpu/memory.c
$(BUILD)/hv/$(HV_LIBRARY).o: HV_CFLAGS += -fno-builtin

# Optimised as a whole, for an exit passes through many small functions in many files; but not those
# that the compiler's own calls go to, which it does not see before.
HV_LTO := $(if $(HV_COVERAGE),,-flto=auto)
OUTSIDE_LTO := $(HV_LIBRARY) arch/x86/host/panic.c

$(BUILD)/hv/%.c.o: %.c Makefile | $(DSDT) $(SHA256) $(BUILD)/generated/build_id.h
	@mkdir -p $(@D)
	@echo "CC      $<"
	$(Q)$(CC) $(HV_CFLAGS) $(if $(filter $<,$(OUTSIDE_LTO)),,$(HV_LTO)) -MMD -MP -c $< -o $@

$(BUILD)/hv/%.asm.o: %.asm Makefile
	@mkdir -p $(@D)
	@echo "NASM    $<"
	$(Q)nasm -f elf64 -g -F dwarf -Werror -I . -MD $(@:.o=.d) -o $@ $<

# What gnulib's sources expect of a configure script. The flags are ours, the warnings its own affair.
.SECONDARY: $(SHA256)
$(BUILD)/generated/gnulib/config.h:
	@mkdir -p $(@D)
	@printf '#define HAVE_OPENSSL_SHA256 0\n#include <stdalign.h>\n' > $@

$(BUILD)/generated/gnulib/%: $(GNULIB)/%
	@mkdir -p $(@D)
	$(Q)cp $< $@

$(BUILD)/hv/gnulib/%.c.o: $(SHA256) Makefile
	@mkdir -p $(@D)
	@echo "CC      $(GNULIB)/$*.c"
	$(Q)$(CC) $(HV_CFLAGS) -w -I$(BUILD)/generated/gnulib -c $(BUILD)/generated/gnulib/$*.c -o $@

$(BUILD)/host/gnulib/%.c.o: $(SHA256) Makefile
	@mkdir -p $(@D)
	@echo "CC host $(GNULIB)/$*.c"
	$(Q)$(CC) $(HOST_CFLAGS) -w -I$(BUILD)/generated/gnulib -c $(BUILD)/generated/gnulib/$*.c -o $@

$(BUILD)/seedvisor.so: $(HV_OBJECTS) arch/x86/boot/seedvisor.lds
	@echo "LD      $@"
	$(Q)$(CC) $(filter-out -fprofile-arcs -ftest-coverage,$(HV_CFLAGS)) $(HV_LTO) $(HV_LDFLAGS) \
		-o $@ /usr/lib/crt0-efi-x86_64.o $(HV_OBJECTS) /usr/lib/libgnuefi.a

$(EFI): $(BUILD)/seedvisor.so
	@echo "EFI     $@"
	$(Q)objcopy -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j .rel -j .rela \
		-j '.rel.*' -j '.rela.*' -j .reloc --target efi-app-x86_64 --subsystem=10 $< $@

ifndef FAULTS
FAULTS_EFI := $(BUILD)/faults/seedvisor.efi
$(FAULTS_EFI): FORCE
	+$(Q)$(MAKE) --no-print-directory FAULTS=1 $@
endif

# The guest's ACPI byte code: compiled by iasl, which also makes the C table of it.
$(DSDT): arch/x86/guest/dsdt.asl
	@mkdir -p $(@D)
	@echo "IASL    $<"
	$(Q)iasl -ve -tc -p $(BUILD)/generated/dsdt $< > $(BUILD)/generated/iasl.log || \
		{ cat $(BUILD)/generated/iasl.log; exit 1; }
	$(Q)sed 's/^unsigned char/static const unsigned char/' $(BUILD)/generated/dsdt.hex > $@

## Host tests: the shipped sources, compiled for this machine under the sanitizers.
HOST_CFLAGS := $(COMMON) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
HOST_OBJECTS := $(patsubst %,$(BUILD)/host/%.o,$(PURE_SOURCES)) $(BUILD)/host/gnulib/sha256.c.o
HOST_TESTS := $(patsubst guest-tests/host/%.c,$(BUILD)/host/%,$(wildcard guest-tests/host/test_*.c))

$(BUILD)/host/%.c.o: %.c Makefile | $(DSDT) $(SHA256)
	@mkdir -p $(@D)
	@echo "CC host $<"
	$(Q)$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/host/libseedvisor.a: $(HOST_OBJECTS)
	$(Q)rm -f $@ && ar rcs $@ $^

# support.c: what the machine supplies on the machine, such as the log.
$(BUILD)/host/test_%: $(BUILD)/host/guest-tests/host/test_%.c.o \
		$(BUILD)/host/guest-tests/host/support.c.o $(BUILD)/host/libseedvisor.a
	$(Q)$(CC) $(HOST_CFLAGS) -o $@ $^ -Wl,--as-needed -lcmocka -lZydis

.PRECIOUS: $(BUILD)/host/%.c.o

## Style and static analysis, of all C there is.
C_FILES := $(sort $(shell find arch devices guest-tests tools vmm virtio -name '*.[ch]'))
TIDY_HV := $(patsubst %,$(BUILD)/tidy/%.ok,$(sort $(PURE_SOURCES) $(MACHINE_SOURCES) $(COVERAGE_SOURCE)))
TIDY_HOST := $(patsubst %,$(BUILD)/tidy/%.ok,$(wildcard guest-tests/host/*.c \
	guest-tests/threads/*.c guest-tests/fuzz/*.c) tools/seedvisor-check.c)
TIDY_BARE := $(patsubst %,$(BUILD)/tidy/%.ok,$(wildcard guest-tests/bare/*.c))

format: ## Format the C sources
	$(Q)clang-format -i $(C_FILES)

format-check: ## Fail if a C source is not formatted
	$(Q)clang-format --dry-run --Werror $(C_FILES)

tidy: $(TIDY_HV) $(TIDY_HOST) $(TIDY_BARE) ## Run clang-tidy on what changed since it last passed

# The hypervisor's flags but for those that only GCC knows.
TIDY_FLAGS := $(filter-out -Werror -maccumulate-outgoing-args -mstack-protector-guard=global, \
	$(HV_CFLAGS))
$(TIDY_HV): TIDY_WITH := $(TIDY_FLAGS)
$(TIDY_HOST): TIDY_WITH := $(filter-out -Werror,$(COMMON))
$(TIDY_BARE): TIDY_WITH = $(filter-out -Werror -fno-tree-loop-distribute-patterns,$(BARE_CFLAGS))
$(BUILD)/tidy/%.ok: % .clang-tidy | $(DSDT) $(SHA256) $(BUILD)/generated/build_id.h
	@mkdir -p $(@D)
	@echo "TIDY    $<"
	$(Q)clang-tidy --quiet $< -- $(TIDY_WITH) 2>$@.log || { cat $@.log; exit 1; }
	$(Q)rm -f $@.log; touch $@

include tools/checker.mk
include guest-tests/threads/threads.mk

## Tests.
SYSTEM_ACCELS ?= bochs,tcg
# test_linux_boot loads the real kernel as well, where it is there already.
export SEEDVISOR_TEST_KERNEL := $(wildcard $(BUILD)/guest/vmlinuz)

# The tools' own tests: small recorded inputs, no emulator.
TOOL_TESTS := $(PYTHON) -m pytest -q guest-tests/tools

unit: $(HOST_TESTS) $(THREADS) $(CHECKER) ## Run the unit tests on this machine
	$(Q)tools/test-summary --jobs $$(nproc) $(HOST_TESTS) $(THREADS) '$(TOOL_TESTS)'

conformance: ## Fail if a row of virtio/CONFORMANCE.md names no code or no test
	$(Q)tools/check-conformance

check: format-check conformance reference-check tidy $(EFI) unit ## What a developer runs all day

system: packages ## Boot every scenario in the emulators (SYSTEM_ACCELS=bochs,tcg)
	+$(Q)$(MAKE) --no-print-directory $(EFI) $(FAULTS_EFI) guest $(BUILD)/guest/probe.efi
	$(Q)$(PYTHON) -m pytest -q guest-tests/system --accel $(SYSTEM_ACCELS)

# A make of its own, with jobs of its own: test-summary is no make and hands none on.
MAKE_AFRESH := env MAKEFLAGS= MAKELEVEL=0 $(MAKE) --no-print-directory
# They run side by side, so nothing that two of them build may be left to them. The proofs take
# longest and mostly one processor. The measurement counts instructions, not time. The emulators of
# the system tests are as many as processors, and some of those tests compare times.
TEST_COMMANDS = $(foreach test,$(HOST_TESTS) $(THREADS),'$(test)') \
	'$(MAKE_AFRESH) format-check' 'tools/check-conformance' '$(MAKE_AFRESH) reference-check' \
	'$(MAKE_AFRESH) prove' '$(MAKE_AFRESH) tidy' '$(MAKE_AFRESH) bench-check' \
	'$(MAKE_AFRESH) fuzz-config SECONDS=10' '$(MAKE_AFRESH) fuzz SECONDS=20' \
	'$(PYTHON) -m pytest -q guest-tests/fuzz' '$(TOOL_TESTS)' \
	'$(MAKE_AFRESH) coverage HOST_ONLY=1' \
	--alone '$(PYTHON) -m pytest -v guest-tests/system --accel $(SYSTEM_ACCELS)'

test: packages ## Everything, as CI runs it
	+$(Q)$(MAKE) --no-print-directory $(EFI) $(FAULTS_EFI) guest $(BUILD)/guest/probe.efi $(HOST_TESTS) \
		$(THREADS) $(CHECKER) $(FUZZ_PROGRAMS)
	$(Q)SEEDVISOR_TEST_KERNEL=$(BUILD)/guest/vmlinuz tools/test-summary --jobs $$(nproc) $(TEST_COMMANDS)

clean: ## Remove everything that was built
	rm -rf $(BUILD)

include guest-tests/proof/proof.mk guest-tests/bare/bare.mk guest-tests/linux/guest.mk guest-tests/bench/bench.mk \
	guest-tests/fuzz/fuzz.mk tools/coverage.mk

-include $(shell find $(BUILD)/hv $(BUILD)/host -name '*.d' 2>/dev/null)
