# The Debian packages that building and testing need: one list for make, the README and CI.
# One package a line, each with what it is for; tools/install-packages reads this file too.

# To build seedvisor.efi
PACKAGES += make # the build
PACKAGES += gcc # C compiler, also for tools/launch; libgcov for coverage
PACKAGES += libc6-dev # host tests and the guest's programs
PACKAGES += binutils # linker and objcopy
PACKAGES += gnu-efi # UEFI headers, start-up code and self-relocation
PACKAGES += nasm # assembler
PACKAGES += gnulib # the source of SHA-256, the conditioner of random bytes
PACKAGES += acpica-tools # iasl: compiles the guest's DSDT, and decodes tables in tests

# To make disk images (tools/mkimage)
PACKAGES += python3 # the tools' language
PACKAGES += gdisk # sgdisk: GPT
PACKAGES += dosfstools # mkfs.fat: the EFI system partition
PACKAGES += mtools # files into it without mounting

# To run them (tools/launch)
PACKAGES += bochs # emulates VMX
PACKAGES += bochs-term # its display for no display
PACKAGES += vgabios # the VGA BIOS that its display card wants
PACKAGES += qemu-system-x86 # emulates SVM; runs KVM
PACKAGES += ovmf # UEFI firmware for both

# To make the Linux guest; its kernel, busybox and rngtest are fetched by apt, not installed
PACKAGES += cpio # the initramfs
PACKAGES += lz4 # Debian's cloud kernel is packed so
PACKAGES += zstd # other kernels are
PACKAGES += kmod # depmod and modprobe: which modules, in which order

# To test the quality of what guests read (make quality)
PACKAGES += ent # simple statistics
PACKAGES += dieharder # many statistics

# To test
PACKAGES += libcmocka-dev # unit tests
PACKAGES += libzydis-dev # a second opinion on the MMIO decoder
PACKAGES += python3-pytest # system tests
PACKAGES += python3-pexpect # system tests that type
PACKAGES += lcov # coverage report
PACKAGES += clang-format # source format
PACKAGES += clang-tidy # static analysis
PACKAGES += clang # fuzzing
PACKAGES += libclang-rt-14-dev # libFuzzer and the sanitizers, for fuzzing

# For the proofs (make prove, and so make test): 900 MB with what they need
PROOF_PACKAGES += frama-c-base # its WP
PROOF_PACKAGES += why3 # between that and the prover
PROOF_PACKAGES += cvc4 # the prover
