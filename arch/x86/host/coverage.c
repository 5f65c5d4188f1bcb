/* Tells the compiler's execution counters on the debug port; only in builds that have them. */
#include "arch/x86/host/coverage.h"

#include <stdint.h>

#include "arch/x86/host/emulator.h"
#include "build_id.h"
#include "vmm/format.h"

/*
 * The linker script gathers the counters here. What they count stands in the image's own tables,
 * which tools/coverage-import reads from the linked file: nothing of it has to leave the machine.
 */
extern uint64_t coverage_counters[], coverage_counters_end[], coverage_copy[];

/*
 * The lines: "seedvisor-coverage: begin BUILD COUNTERS", "NUMBER=VALUE" for each counter that is
 * not zero, "seedvisor-coverage: end LINES SUM"; all numbers hexadecimal.
 */
void coverage_tell(void)
{
    unsigned count = (unsigned)(coverage_counters_end - coverage_counters);
    unsigned lines = 0;
    uint64_t sum = 0;
    char line[96];

    /* The writing is counted too: a copy, so that what is told is of one moment. */
    for (unsigned i = 0; i < count; i++) {
        coverage_copy[i] = __atomic_load_n(&coverage_counters[i], __ATOMIC_RELAXED);
    }
    format(line, sizeof(line), "seedvisor-coverage: begin " BUILD_ID " %x\n", count);
    emulator_write(line);
    for (unsigned i = 0; i < count; i++) {
        if (coverage_copy[i] != 0) {
            lines++;
            sum += coverage_copy[i];
            format(line, sizeof(line), "%x=%lx\n", i, coverage_copy[i]);
            emulator_write(line);
        }
    }
    format(line, sizeof(line), "seedvisor-coverage: end %x %lx\n", lines, sum);
    emulator_write(line);
}
