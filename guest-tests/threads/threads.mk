# The neutral core and the guest's machine under ThreadSanitizer, with threads that play CPUs.
THREADS := $(BUILD)/threads/test_threads
# What drives VMCS or VMCB is not played here, and no conditioner.
THREADS_SOURCES := $(filter-out arch/x86/vmx/% arch/x86/svm/% devices/conditioner/%,$(PURE_SOURCES))
THREADS_OBJECTS := $(patsubst %,$(BUILD)/threads/%.o,$(THREADS_SOURCES) \
	guest-tests/threads/test_threads.c)
# -Wno-tsan: it does not know fences. They order a CPU against the guest, whom no thread plays.
THREADS_CFLAGS := $(COMMON) -O1 -fsanitize=thread -Wno-tsan

$(BUILD)/threads/%.c.o: %.c Makefile | $(DSDT)
	@mkdir -p $(@D)
	@echo "CC tsan $<"
	$(Q)$(CC) $(THREADS_CFLAGS) -MMD -MP -c $< -o $@

$(THREADS): $(THREADS_OBJECTS)
	$(Q)$(CC) $(THREADS_CFLAGS) -o $@ $^ -lcmocka -lpthread

-include $(THREADS_OBJECTS:.o=.d)
