# Fuzzing with libFuzzer under the sanitizers: `make fuzz SECONDS=600` searches for that long.
# fuzz_virtio: the whole entropy device, under rules that must always hold. fuzz_reference: the
# transport and the rings, step by step against a model of them.
SECONDS := 60
FUZZ_TARGETS := virtio reference
FUZZ_PROGRAMS = $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%) $(BUILD)/fuzz/fuzz_config
FUZZ_CC := clang
FUZZ_CFLAGS := $(COMMON) -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_LDFLAGS := -fsanitize=fuzzer,address,undefined
FUZZ_COVERAGE := -fprofile-instr-generate -fcoverage-mapping
FUZZ_LIBRARY := $(sort $(wildcard virtio/*.c devices/rng/*.c)) vmm/bus.c vmm/device_trace.c \
	vmm/guest_memory.c guest-tests/fuzz/host.c
# The reference model, and the machine that holds the device against it.
FUZZ_LIBRARY += $(wildcard guest-tests/fuzz/model*.c guest-tests/fuzz/reference_*.c)
FUZZ_HEADERS := $(wildcard virtio/*.h devices/rng/*.h vmm/*.h guest-tests/fuzz/*.h)
# The corpora in the source tree are only read; what is found goes to build/fuzz/found/TARGET.
FUZZ_CORPUS := guest-tests/fuzz/corpus

$(BUILD)/fuzz/%.c.o: %.c $(FUZZ_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -c -o $@ $<

$(BUILD)/fuzz/libfuzz.a: $(FUZZ_LIBRARY:%=$(BUILD)/fuzz/%.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/fuzz/%.c.counted.o: %.c $(FUZZ_HEADERS)
	@mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(COMMON) -O1 $(FUZZ_COVERAGE) -c -o $@ $<

$(BUILD)/fuzz/libcounted.a: $(FUZZ_LIBRARY:%=$(BUILD)/fuzz/%.counted.o)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# A program of each target, and one that counts what is reached, without the sanitizers.
define FUZZ_PROGRAM
$(BUILD)/fuzz/fuzz_$(1): $(BUILD)/fuzz/guest-tests/fuzz/fuzz_$(1).c.o $(BUILD)/fuzz/libfuzz.a
	@echo "FUZZ    $$@"
	$(Q)$(FUZZ_CC) $(FUZZ_LDFLAGS) -o $$@ $$^

$(BUILD)/fuzz/coverage_$(1): $(BUILD)/fuzz/guest-tests/fuzz/fuzz_$(1).c.counted.o $(BUILD)/fuzz/libcounted.a
	$(Q)$(FUZZ_CC) -fsanitize=fuzzer $(FUZZ_COVERAGE) -o $$@ $$^
endef
$(foreach target,$(FUZZ_TARGETS),$(eval $(call FUZZ_PROGRAM,$(target))))

.PHONY: fuzz fuzz-coverage fuzz-corpus
fuzz: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%) ## Search for driver behaviour that breaks the entropy device
	$(Q)for target in $(FUZZ_TARGETS); do \
		mkdir -p $(BUILD)/fuzz/found/$$target; \
		$(BUILD)/fuzz/fuzz_$$target -max_len=1024 -print_final_stats=1 -verbosity=0 \
			-max_total_time=$$(( $(SECONDS) / $(words $(FUZZ_TARGETS)) )) \
			-artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/found/$$target $(FUZZ_CORPUS)/$$target \
			> $(BUILD)/fuzz/$$target.log 2>&1 || \
			{ tail -n 40 $(BUILD)/fuzz/$$target.log; exit 1; }; \
		awk -v target=$$target '/number_of_executed_units/ \
			{print "fuzz " target ": " $$2 " executions, nothing found"}' \
			$(BUILD)/fuzz/$$target.log; \
	done

fuzz-coverage: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/coverage_%) ## Show what of virtio/ the fuzzers' corpora reach
	$(Q)for target in $(FUZZ_TARGETS); do \
		LLVM_PROFILE_FILE=$(BUILD)/fuzz/$$target.profraw $(BUILD)/fuzz/coverage_$$target -runs=0 \
			-verbosity=0 $(FUZZ_CORPUS)/$$target 2> $(BUILD)/fuzz/coverage.log || exit 1; \
	done
	$(Q)llvm-profdata-14 merge -o $(BUILD)/fuzz/all.profdata \
		$(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.profraw)
	$(Q)llvm-cov-14 report $(BUILD)/fuzz/coverage_reference \
		-instr-profile=$(BUILD)/fuzz/all.profdata $(wildcard virtio/*.c) vmm/guest_memory.c

# Adds what was found and reaches something new to the corpora in the source tree. Nothing is taken
# out: some inputs are there for a fault that they show (test_reference.py), not for what they reach.
fuzz-corpus: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/fuzz_%)
	$(Q)for target in $(FUZZ_TARGETS); do \
		mkdir -p $(BUILD)/fuzz/found/$$target && \
		$(BUILD)/fuzz/fuzz_$$target -merge=1 -max_len=300 -artifact_prefix=$(BUILD)/fuzz/ \
			$(FUZZ_CORPUS)/$$target $(BUILD)/fuzz/found/$$target; \
	done

## The configuration's parser: text from the developer, so less hostile; the search is short.
FUZZ_CONFIG_CORPUS := guest-tests/fuzz/corpus-config
$(BUILD)/fuzz/fuzz_config: guest-tests/fuzz/fuzz_config.c $(CONFIG_SOURCES) $(wildcard vmm/*.h) guest-tests/fuzz/input.h
	@mkdir -p $(@D)
	@echo "FUZZ    $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_LDFLAGS) -o $@ $(filter %.c,$^)

# The keys' names, as words for the search.
$(BUILD)/fuzz/config.dict: $(CHECKER)
	@mkdir -p $(@D)
	$(Q)$< --reference | sed -n 's/^| [a-z]* | `\([^`]*\)`.*/"\1 = "/p' > $@

.PHONY: fuzz-config
fuzz-config: $(BUILD)/fuzz/fuzz_config $(BUILD)/fuzz/config.dict ## Search for text that breaks the parser
	@mkdir -p $(BUILD)/fuzz/new-config
	$(Q)$< -max_total_time=$(SECONDS) -max_len=4096 -dict=$(BUILD)/fuzz/config.dict \
		-print_final_stats=1 -verbosity=0 -artifact_prefix=$(BUILD)/fuzz/ \
		$(BUILD)/fuzz/new-config $(FUZZ_CONFIG_CORPUS) > $(BUILD)/fuzz/config.log 2>&1 || \
		{ tail -n 40 $(BUILD)/fuzz/config.log; exit 1; }
	@awk '/number_of_executed_units/ {print "fuzz-config: " $$2 " executions, nothing found"}' \
		$(BUILD)/fuzz/config.log
