# The launcher's test fixture.
PROBE := $(GUEST)/probe.efi

$(PROBE): guest-tests/system/probe/probe.c tools/make-efi
	tools/make-efi $< $@
