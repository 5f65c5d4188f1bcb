# Measuring: tables and JSON in build/bench. Needs minutes; see tools/bench --help.
BENCH_BASELINE := guest-tests/bench/baseline.json

.PHONY: bench bench-baseline bench-check bench-compare bench-peers peers-baseline report

.PHONY: bench-files
bench-files: $(EFI) guest $(BUILD)/guest/bare/measure.elf

bench: packages ## Measure costs in Bochs (VMX) and TCG (SVM): table and build/bench/bench.json
	+$(Q)$(MAKE) --no-print-directory bench-files
	$(Q)tools/bench

# What CI has the time for: one machine, two runs, against what is committed.
bench-check: packages
	+$(Q)$(MAKE) --no-print-directory bench-files
	$(Q)tools/bench --machines svm-tcg --runs quick --output $(BUILD)/bench/check/bench.json
	$(Q)tools/bench-compare $(BENCH_BASELINE) $(BUILD)/bench/check/bench.json

bench-baseline: bench ## Measure, and make that the baseline that CI compares with
	$(Q)cp $(BUILD)/bench/bench.json $(BENCH_BASELINE)

bench-compare: ## Show how measurements differ: OLD=a.json NEW=b.json
	$(Q)tools/bench-compare $(or $(OLD),$(BENCH_BASELINE)) $(or $(NEW),$(BUILD)/bench/bench.json)

# The peer's host: QEMU and KVM's modules beside our initramfs.
PEER := guest-tests/bench/peers
$(BUILD)/bench/stamp: $(PEER)/stamp.c guest-tests/bench/ticks.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -I. -o $@ $<

$(BUILD)/bench/peer.cpio: $(PEER)/make-peer $(PEER)/peer.sh $(BUILD)/bench/stamp $(GUEST_FILES)
	$(PEER)/make-peer -o $@ -k $(GUEST_KERNEL) -g $(GUEST) $(BUILD)/bench/stamp

bench-peers: packages ## Measure beside KVM and QEMU in the same emulators; takes many minutes
	+$(Q)$(MAKE) --no-print-directory bench-files $(BUILD)/bench/peer.cpio $(GUEST)/plain-boot.efi
	$(Q)tools/bench-peers

peers-baseline: bench-peers ## Measure the peers, and make that what the report shows beside ours
	$(Q)cp $(BUILD)/bench/peers.json guest-tests/bench/peers.json

report: ## Write build/report.html: costs beside the peers, coverage, conformance
	$(Q)tools/report

# The guest without an operating system: the bare guest's start and machine, and what it measures.
MEASURE := $(BARE)/measure.elf
$(BARE)/measure.o: guest-tests/bench/measure.c $(BARE_SOURCE)/machine.h
	@mkdir -p $(@D)
	$(CC) $(BARE_CFLAGS) -c $< -o $@

$(MEASURE): $(BARE)/start.o $(BARE)/machine.o $(BARE)/measure.o $(BARE_SOURCE)/bare.lds
	$(Q)ld -nostdlib -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments \
		-T $(BARE_SOURCE)/bare.lds -o $@ $(filter %.o,$^)
