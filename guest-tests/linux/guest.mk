# What a Linux guest is made of: Debian's kernel as shipped, a small initramfs, the demo image.
GUEST := $(BUILD)/guest
GUEST_SOURCE := guest-tests/linux
# Debian packages that are fetched and unpacked here, not installed.
GUEST_KERNEL_PACKAGE ?= linux-image-cloud-amd64
GUEST_PACKAGES := $(GUEST)/packages
GUEST_KERNEL := $(GUEST_PACKAGES)/$(GUEST_KERNEL_PACKAGE)
GUEST_BUSYBOX := $(GUEST_PACKAGES)/busybox-static
GUEST_RNG_TOOLS := $(GUEST_PACKAGES)/rng-tools-debian
GUEST_SSH := $(GUEST_PACKAGES)/openssh-client
GUEST_TESTS := $(wildcard $(GUEST_SOURCE)/tests/*.sh)
GUEST_CFLAGS := -std=gnu11 -O2 -g0 -Wall -Wextra -Werror
# What is no kernel, or not all of one.
GUEST_WRONG := $(addprefix $(GUEST)/wrong/,short shorter cut packed cut.elf large empty)
GUEST_FILES := $(GUEST)/vmlinuz $(GUEST)/initramfs.cpio

.PHONY: guest
guest: $(GUEST_FILES) $(GUEST)/vmlinux $(GUEST_WRONG) $(BARE_FILES)

# A package's folder gets this file last, as the sign that it is whole.
$(GUEST_PACKAGES)/%/.unpacked: $(GUEST_SOURCE)/fetch-package
	@echo "Fetching $* for the guest ..."
	$(GUEST_SOURCE)/fetch-package $* $(@D)
	@touch $@

.PRECIOUS: $(GUEST_PACKAGES)/%/.unpacked

$(GUEST)/vmlinuz: $(GUEST_KERNEL)/.unpacked
	cp $(GUEST_KERNEL)/boot/vmlinuz-* $@

# For the PVH protocol, which enters the kernel that a bzImage holds.
$(GUEST)/vmlinux: $(GUEST)/vmlinuz $(GUEST_SOURCE)/extract-vmlinux
	$(GUEST_SOURCE)/extract-vmlinux $< $@

$(GUEST_WRONG) &: $(GUEST)/vmlinuz $(BARE_FILES)
	@mkdir -p $(GUEST)/wrong
	head -c 300 $(GUEST)/vmlinuz > $(GUEST)/wrong/shorter
	head -c 600 $(GUEST)/vmlinuz > $(GUEST)/wrong/short
	head -c 1000000 $(GUEST)/vmlinuz > $(GUEST)/wrong/cut
	gzip -c $(BARE)/bare.elf > $(GUEST)/wrong/packed
	head -c 50000 $(BARE)/bare.elf > $(GUEST)/wrong/cut.elf
	truncate -s 16M $(GUEST)/wrong/large
	truncate -s 0 $(GUEST)/wrong/empty

# PID 1's first instructions: nothing of libc, so that they are the first thing it does.
$(GUEST)/start: $(GUEST_SOURCE)/start.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -ffreestanding -fno-stack-protector -fno-pie -no-pie -static -nostdlib \
		-o $@ $<

GUEST_BENCHES := $(GUEST)/rng-bench $(GUEST)/exit-bench
GUEST_PROGRAMS := $(addprefix $(GUEST)/,fill-memory random-check read-hwrng rng-limit share \
	starve write-port) $(GUEST_BENCHES)

$(GUEST_BENCHES): $(GUEST)/%: guest-tests/bench/%.c guest-tests/bench/ticks.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -I. -o $@ $<

$(filter-out $(GUEST_BENCHES),$(GUEST_PROGRAMS)): $(GUEST)/%: $(GUEST_SOURCE)/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -o $@ $<

$(GUEST)/initramfs.cpio: $(GUEST_SOURCE)/make-initramfs $(GUEST_SOURCE)/init $(GUEST_TESTS) \
		$(GUEST)/start $(GUEST_PROGRAMS) \
		$(addsuffix /.unpacked,$(GUEST_KERNEL) $(GUEST_BUSYBOX) $(GUEST_RNG_TOOLS))
	$(GUEST_SOURCE)/make-initramfs -o $@ -k $(GUEST_KERNEL) -b $(GUEST_BUSYBOX)/bin/busybox \
		-i $(GUEST)/start $(GUEST_RNG_TOOLS)/usr/bin/rngtest $(GUEST_PROGRAMS)

# With what a first boot does with its randomness.
$(GUEST)/starvation.cpio: $(GUEST)/initramfs.cpio $(GUEST_SSH)/.unpacked
	$(GUEST_SOURCE)/make-initramfs -o $@ -k $(GUEST_KERNEL) -b $(GUEST_BUSYBOX)/bin/busybox \
		-i $(GUEST)/start $(GUEST)/starve $(GUEST_SSH)/usr/bin/ssh-keygen

$(GUEST)/demo.img: $(GUEST_SOURCE)/demo.conf $(GUEST_FILES) $(BUILD)/seedvisor.efi tools/mkimage
	tools/mkimage -o $@ -e $(BUILD)/seedvisor.efi -c $< $(GUEST_FILES)

# The same kernel and initramfs without a hypervisor, for comparison.
$(GUEST)/plain-boot.efi: $(GUEST_SOURCE)/plain-boot.c tools/make-efi
	tools/make-efi $< $@

.PHONY: boot-ticks
boot-ticks: $(GUEST_FILES) $(GUEST)/plain-boot.efi $(BUILD)/seedvisor.efi
	tools/boot-ticks

.PHONY: starvation
starvation: $(GUEST)/vmlinuz $(GUEST)/starvation.cpio $(BUILD)/seedvisor.efi ## Measure when a guest has randomness, with and without the device and the seed
	$(Q)tools/starvation

.PHONY: quality
quality: packages ## Collect 32 MiB from a guest's /dev/hwrng and test them; renews guest-tests/QUALITY.txt
	+$(Q)$(MAKE) --no-print-directory $(GUEST_FILES) $(BUILD)/seedvisor.efi
	$(Q)tools/quality --rngtest $(GUEST_RNG_TOOLS)/usr/bin/rngtest > $(BUILD)/QUALITY.txt
	$(Q)mv $(BUILD)/QUALITY.txt guest-tests/QUALITY.txt

include guest-tests/system/probe/probe.mk

# What guest-tests/system needs; `make test` builds it before it calls pytest.
SYSTEM_TEST_FILES := $(BUILD)/seedvisor.efi $(FAULTS_EFI) $(GUEST_FILES) $(GUEST)/vmlinux $(GUEST_WRONG) $(BARE_FILES) $(PROBE)
