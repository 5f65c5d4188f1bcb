# The launcher's test fixture: a UEFI application built the way gnu-efi has it.
PROBE := $(GUEST)/probe.efi

$(PROBE): guest-tests/system/probe/probe.c
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -Wall -Wextra -Werror -O2 -ffreestanding -fpic -fshort-wchar -mno-red-zone \
		-fno-stack-protector -maccumulate-outgoing-args -isystem /usr/include/efi \
		-isystem /usr/include/efi/x86_64 -c $< -o $(@:.efi=.o)
	ld -nostdlib -znocombreloc -shared -Bsymbolic -T /usr/lib/elf_x86_64_efi.lds \
		/usr/lib/crt0-efi-x86_64.o $(@:.efi=.o) -o $(@:.efi=.so) /usr/lib/libefi.a \
		/usr/lib/libgnuefi.a
	objcopy -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j '.rel*' -j .reloc \
		--target efi-app-x86_64 --subsystem=10 $(@:.efi=.so) $@
