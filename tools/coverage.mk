# `make coverage`: what the unit tests execute on this machine, and what the system tests execute in
# the hypervisor itself, in one report.
COVERAGE := $(BUILD)/coverage
COVERAGE_TESTS = $(patsubst $(BUILD)/%,$(COVERAGE)/%,$(HOST_TESTS))
COVERAGE_ACCELS ?= bochs,tcg
# Emulators at a time.
COVERAGE_JOBS ?= $(shell nproc)
# geninfo's own source makes Perl talk of what is redefined.
LCOV := lcov --quiet --rc lcov_branch_coverage=1 2> >(grep -v ' redefined at /usr/bin' >&2)

.PHONY: coverage coverage-host coverage-system
coverage: packages ## Show what the tests execute; HTML in build/coverage/html
	+$(Q)$(MAKE) --no-print-directory coverage-host $(if $(HOST_ONLY),,coverage-system)
	$(Q)$(LCOV) $(addprefix --add-tracefile $(COVERAGE)/,host.info $(if $(HOST_ONLY),,hv.info)) \
		--output-file $(COVERAGE)/all.info
	$(Q)genhtml --quiet --branch-coverage --prefix $(CURDIR) --output-directory $(COVERAGE)/html \
		$(COVERAGE)/all.info
	$(Q)tools/coverage-report --floors tools/coverage-floors $(if $(HOST_ONLY),--host-only) \
		$(COVERAGE)/all.info

# The same flags but for the sanitizers, whose checks would be branches.
coverage-host:
	+$(Q)$(MAKE) --no-print-directory BUILD=$(COVERAGE) SEEDVISOR_TEST_KERNEL= \
		HOST_CFLAGS='$(COMMON) -I$(COVERAGE)/generated -O0 --coverage -fprofile-abs-path' \
		$(COVERAGE_TESTS)
	$(Q)find $(COVERAGE)/host -name '*.gcda' -delete
	$(Q)tools/test-summary $(COVERAGE_TESTS) > $(COVERAGE)/host.log || \
		{ cat $(COVERAGE)/host.log; exit 1; }
	$(Q)$(LCOV) --capture --directory $(COVERAGE)/host --output-file $(COVERAGE)/host-all.info
	$(Q)$(LCOV) --remove $(COVERAGE)/host-all.info '*/guest-tests/*' '/usr/*' \
		--output-file $(COVERAGE)/host.info

coverage-system:
	+$(Q)$(MAKE) --no-print-directory guest
	+$(Q)$(MAKE) --no-print-directory BUILD=$(COVERAGE) HV_COVERAGE=1 $(COVERAGE)/seedvisor.efi
	$(Q)rm -f $(COVERAGE)/system/*.debug
	$(Q)$(PYTHON) -m pytest -q guest-tests/system --coverage --accel $(COVERAGE_ACCELS) \
		--jobs $(COVERAGE_JOBS)
	$(Q)tools/coverage-import $(COVERAGE)/seedvisor.so $(COVERAGE)/system/*.debug
	$(Q)$(LCOV) --capture --directory $(COVERAGE)/hv --output-file $(COVERAGE)/hv-all.info
	$(Q)$(LCOV) --remove $(COVERAGE)/hv-all.info '/usr/*' '*/$(COVERAGE_SOURCE)' \
		--output-file $(COVERAGE)/hv.info
