# The Debian packages that building and testing need: one list for make, the README and CI.
PACKAGES := gcc make binutils gnu-efi nasm acpica-tools
