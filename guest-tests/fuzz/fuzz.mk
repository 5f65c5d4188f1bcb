# Fuzzing with libFuzzer under the sanitizers: `make fuzz SECONDS=600` searches for that long.
SECONDS := 60
FUZZ_CC := clang
FUZZ_CFLAGS := $(COMMON) -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all
FUZZ_SOURCES := $(sort $(wildcard virtio/*.c devices/rng/*.c) vmm/bus.c vmm/guest_memory.c)
FUZZ_CORPUS := guest-tests/fuzz/corpus

$(BUILD)/fuzz/fuzz_virtio: guest-tests/fuzz/fuzz_virtio.c $(FUZZ_SOURCES) \
		$(wildcard virtio/*.h devices/rng/*.h vmm/*.h)
	@mkdir -p $(@D)
	@echo "FUZZ    $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $(filter %.c,$^)

# What is found goes to build/fuzz/new; the corpus in the source tree is only read.
.PHONY: fuzz
fuzz: $(BUILD)/fuzz/fuzz_virtio ## Search for driver behaviour that breaks the entropy device
	@mkdir -p $(BUILD)/fuzz/new
	$(Q)$< -max_total_time=$(SECONDS) -max_len=4096 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix=$(BUILD)/fuzz/ $(BUILD)/fuzz/new $(FUZZ_CORPUS) \
		> $(BUILD)/fuzz/log 2>&1 || { tail -n 40 $(BUILD)/fuzz/log; exit 1; }
	@awk '/number_of_executed_units/ {print "fuzz: " $$2 " executions, nothing found"}' \
		$(BUILD)/fuzz/log

# Keeps of all that was found what reaches something new, for the corpus in the source tree.
.PHONY: fuzz-corpus
fuzz-corpus: $(BUILD)/fuzz/fuzz_virtio
	@mkdir -p $(FUZZ_CORPUS)
	$< -merge=1 -max_len=300 $(FUZZ_CORPUS) $(BUILD)/fuzz/new

## The configuration's parser: text from the developer, so less hostile; the search is short.
FUZZ_CONFIG_CORPUS := guest-tests/fuzz/corpus-config
$(BUILD)/fuzz/fuzz_config: guest-tests/fuzz/fuzz_config.c $(CONFIG_SOURCES) $(wildcard vmm/*.h)
	@mkdir -p $(@D)
	@echo "FUZZ    $@"
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $(filter %.c,$^)

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
