# Seedvisor: builds the hypervisor, its tests and its demonstration. `make help` lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -e -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

BUILD := build
PYTHON ?= /usr/bin/python3
ACCEL ?= auto

CC := gcc
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wundef -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	-Wconversion -Wno-sign-conversion -Wimplicit-fallthrough
COMMON := -std=gnu11 -g -I. -I$(BUILD)/generated $(WARNINGS)

include tools/packages.mk

## The hypervisor: one UEFI application.
# No SSE or x87 (the guest's stay in the registers), no red zone (exceptions use the same stack).
HV_CFLAGS := $(COMMON) -O2 -ffreestanding -fpic -fvisibility=hidden -fshort-wchar -mno-red-zone \
	-mgeneral-regs-only -fno-strict-aliasing -fno-asynchronous-unwind-tables \
	-fstack-protector-strong -mstack-protector-guard=global -maccumulate-outgoing-args \
	-DGNU_EFI_USE_MS_ABI -isystem /usr/include/efi -isystem /usr/include/efi/x86_64
HV_LDFLAGS := -nostdlib -znocombreloc -shared -Bsymbolic --no-undefined --warn-common \
	-T arch/x86/boot/seedvisor.lds

PURE_IN_MACHINE := arch/x86/cpu/page_table.c $(addprefix arch/x86/svm/,exit.c vcpu.c vmcb.c) \
	$(addprefix arch/x86/vmx/,controls.c exit.c)
PURE_SOURCES := $(sort $(wildcard vmm/*.c virtio/*.c devices/*/*.c arch/x86/guest/*.c) \
	$(PURE_IN_MACHINE))
MACHINE_SOURCES := $(sort $(filter-out $(PURE_IN_MACHINE), \
	$(wildcard arch/x86/boot/*.c arch/x86/cpu/*.c arch/x86/host/*.c arch/x86/vmx/*.c \
	arch/x86/svm/*.c)))
ASSEMBLY_SOURCES := $(sort $(wildcard arch/x86/*/*.asm))
HV_OBJECTS := $(patsubst %,$(BUILD)/hv/%.o,$(PURE_SOURCES) $(MACHINE_SOURCES) $(ASSEMBLY_SOURCES))
DSDT := $(BUILD)/generated/dsdt.h
EFI := $(BUILD)/seedvisor.efi

# Which sources this is built from; a panic prints it.
BUILD_ID := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
$(BUILD)/generated/build_id.h: FORCE
	@mkdir -p $(@D)
	@echo '#define BUILD_ID "$(BUILD_ID)"' > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:

$(BUILD)/hv/%.c.o: %.c | $(DSDT) $(BUILD)/generated/build_id.h
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/hv/%.asm.o: %.asm
	@mkdir -p $(@D)
	nasm -f elf64 -g -F dwarf -Werror -I . -MD $(@:.o=.d) -o $@ $<

$(BUILD)/seedvisor.so: $(HV_OBJECTS) arch/x86/boot/seedvisor.lds
	ld $(HV_LDFLAGS) -o $@ /usr/lib/crt0-efi-x86_64.o $(HV_OBJECTS) /usr/lib/libgnuefi.a

$(EFI): $(BUILD)/seedvisor.so
	objcopy -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j .rel -j .rela \
		-j '.rel.*' -j '.rela.*' -j .reloc --target efi-app-x86_64 --subsystem=10 $< $@

# The guest's ACPI byte code: compiled by iasl, which also makes the C table of it.
$(DSDT): arch/x86/guest/dsdt.asl
	@mkdir -p $(@D)
	iasl -ve -tc -p $(BUILD)/generated/dsdt $< > $(BUILD)/generated/iasl.log || \
		{ cat $(BUILD)/generated/iasl.log; exit 1; }
	sed 's/^unsigned char/static const unsigned char/' $(BUILD)/generated/dsdt.hex > $@

## Host tests: the shipped sources, compiled for this machine under the sanitizers.
HOST_CFLAGS := $(COMMON) -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
HOST_SOURCES := $(PURE_SOURCES)
HOST_OBJECTS := $(patsubst %,$(BUILD)/host/%.o,$(HOST_SOURCES))
HOST_TESTS := $(patsubst guest-tests/host/%.c,$(BUILD)/host/%,$(wildcard guest-tests/host/test_*.c))

$(BUILD)/host/%.c.o: %.c | $(DSDT)
	@mkdir -p $(@D)
	$(CC) $(HOST_CFLAGS) -MMD -MP -c $< -o $@

$(BUILD)/host/libseedvisor.a: $(HOST_OBJECTS)
	rm -f $@ && ar rcs $@ $^

# support.c: what the machine supplies on the machine, such as the log.
$(BUILD)/host/test_%: $(BUILD)/host/guest-tests/host/test_%.c.o \
		$(BUILD)/host/guest-tests/host/support.c.o $(BUILD)/host/libseedvisor.a
	$(CC) $(HOST_CFLAGS) -o $@ $^ -Wl,--as-needed -lcmocka -lZydis

.PRECIOUS: $(BUILD)/host/%.c.o

include guest-tests/linux/guest.mk

-include $(shell find $(BUILD)/hv $(BUILD)/host -name '*.d' 2>/dev/null)
