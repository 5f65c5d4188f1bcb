# The launcher's test fixture.
PROBE := $(GUEST)/probe.efi

$(PROBE): guest-tests/system/probe/probe.c guest-tests/linux/make-efi
	guest-tests/linux/make-efi $< $@
