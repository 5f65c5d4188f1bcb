# The bare guest: a kernel of its own that tests the machine and its entropy device case by case.
BARE := $(BUILD)/guest/bare
BARE_SOURCE := guest-tests/bare
BARE_CFLAGS := -std=gnu11 -O2 -g0 -I. $(WARNINGS) -ffreestanding -fno-pie -mno-red-zone \
	-mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-tree-loop-distribute-patterns
BARE_OBJECTS := $(BARE)/start.o $(patsubst $(BARE_SOURCE)/%.c,$(BARE)/%.o, \
	$(wildcard $(BARE_SOURCE)/*.c))
BARE_FILES := $(BARE)/bare.elf $(BARE)/bare.bin $(BARE)/module.txt

$(BARE)/%.o: $(BARE_SOURCE)/%.c $(wildcard $(BARE_SOURCE)/*.h)
	@mkdir -p $(@D)
	@echo "CC bare $<"
	$(Q)$(CC) $(BARE_CFLAGS) -c $< -o $@

$(BARE)/start.o: $(BARE_SOURCE)/start.asm
	@mkdir -p $(@D)
	$(Q)nasm -f elf64 -Werror -o $@ $<

$(BARE)/bare.elf: $(BARE_OBJECTS) $(BARE_SOURCE)/bare.lds
	$(Q)ld -nostdlib -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments \
		-T $(BARE_SOURCE)/bare.lds -o $@ $(BARE_OBJECTS)

# For the flat kind: no headers, and the zeroes of .bss as well.
$(BARE)/bare.bin: $(BARE)/bare.elf
	$(Q)objcopy -O binary --set-section-flags .bss=alloc,load,contents $< $@

$(BARE)/module.txt:
	@mkdir -p $(@D)
	$(Q)echo "a module" > $@
