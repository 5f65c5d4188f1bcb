# What a Linux guest is made of: Debian's kernel as shipped, a small initramfs, the demo image.
GUEST := $(BUILD)/guest
GUEST_SOURCE := guest-tests/linux
# The kernel package that this one depends on is fetched and unpacked, not installed.
GUEST_KERNEL_PACKAGE ?= linux-image-cloud-amd64
GUEST_TESTS := $(wildcard $(GUEST_SOURCE)/tests/*.sh)
GUEST_CFLAGS := -std=gnu11 -O2 -g0 -Wall -Wextra -Werror
GUEST_FILES := $(GUEST)/vmlinuz $(GUEST)/initramfs.cpio

.PHONY: guest
guest: $(GUEST_FILES)

# One rule for the kernel and its modules: the folder beside the file holds the unpacked package.
$(GUEST)/vmlinuz: $(GUEST_SOURCE)/fetch-kernel
	@echo "Fetching the guest's kernel ($(GUEST_KERNEL_PACKAGE)) ..."
	$(GUEST_SOURCE)/fetch-kernel $(GUEST_KERNEL_PACKAGE) $(GUEST)

# PID 1's first instructions: nothing of libc, so that they are the first thing it does.
$(GUEST)/start: $(GUEST_SOURCE)/start.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -ffreestanding -fno-stack-protector -fno-pie -no-pie -static -nostdlib \
		-o $@ $<

$(GUEST)/rng-bench: $(GUEST_SOURCE)/rng-bench.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -o $@ $<

$(GUEST)/initramfs.cpio: $(GUEST_SOURCE)/make-initramfs $(GUEST_SOURCE)/init $(GUEST_TESTS) \
		$(GUEST)/start $(GUEST)/rng-bench $(GUEST)/vmlinuz
	$(GUEST_SOURCE)/make-initramfs $(GUEST) $@

$(GUEST)/demo.img: $(GUEST_SOURCE)/demo.conf $(GUEST_FILES) $(BUILD)/seedvisor.efi tools/mkimage
	tools/mkimage -o $@ -e $(BUILD)/seedvisor.efi -c $< $(GUEST_FILES)
