# seedvisor-check: the configuration's parser as a program of the developer's machine.
CONFIG_SOURCES := $(wildcard vmm/config*.c) vmm/format.c
CHECKER := $(BUILD)/seedvisor-check

$(CHECKER): tools/seedvisor-check.c $(CONFIG_SOURCES) $(wildcard vmm/config*.h) vmm/format.h Makefile
	@mkdir -p $(@D)
	@echo "CC      $@"
	$(Q)$(CC) $(COMMON) -O2 -o $@ $(filter %.c,$^)

# The part of the README that comes from the table of keys, and the table itself.
REFERENCE_LINES := /^<!-- keys -->$$/,/^<!-- end of keys -->$$/

.PHONY: seedvisor-check reference reference-check
seedvisor-check: $(CHECKER) ## Build the checker of configurations, build/seedvisor-check

reference: $(CHECKER) ## Renew the README's reference of the configuration's keys
	$(Q)$(CHECKER) --reference > $(BUILD)/reference.md
	$(Q)sed -i -e '$(REFERENCE_LINES){/^<!-- keys -->$$/r $(BUILD)/reference.md' \
		-e '/^<!--/!d}' README.md

reference-check: $(CHECKER) ## Fail if the README's reference is not what the table of keys says
	$(Q)diff <(sed -n '$(REFERENCE_LINES){/^<!--/!p}' README.md) <($(CHECKER) --reference) || \
		{ echo "README.md: its keys differ from vmm/config_keys.c; make reference renews them"; exit 1; }
