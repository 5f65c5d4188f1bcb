/* Runs every case that the machine allows, one line each, and ends with the number of failures;
 * or plays the role that the command line names. */
#include "guest-tests/bare/bare.h"

#include "guest-tests/bare/driver.h"
#include "guest-tests/bare/machine.h"

uint32_t boot_magic;
const uint8_t *boot_information;

void bare_main(uint32_t magic, uint64_t information);

static struct {
    bool failed;
    const char *file;
    unsigned line;
    const char *what;
    uint64_t actual;
    uint64_t expected;
} result;

void case_failed(const char *file, unsigned line, const char *what, uint64_t actual,
                 uint64_t expected)
{
    if (!result.failed) {
        result.failed = true;
        result.file = file;
        result.line = line;
        result.what = what;
        result.actual = actual;
        result.expected = expected;
    }
}

bool case_has_failed(void)
{
    return result.failed;
}

static unsigned passed, failed, skipped;

static void print_failure(void)
{
    print(": ");
    print(result.file);
    print(":");
    print_number(result.line);
    print(": ");
    print(result.what);
    print(" is ");
    print_hex(result.actual);
    print(", not ");
    print_hex(result.expected);
}

static void run_case(const struct bare_case *bare_case)
{
    uint64_t missing = bare_case->features & ~device_features();
    bool other = bare_case->version != 0 && bare_case->version != register_read(REG_VERSION);

    if (missing != 0 || other || bare_case->cpus > cpu_count()) {
        print("skip ");
        print(bare_case->name);
        print("\n");
        skipped++;
        return;
    }
    result.failed = false;
    machine_case_begins(bare_case->name);
    bare_case->run();
    print(result.failed ? "not ok " : "ok ");
    print(bare_case->name);
    if (result.failed) {
        print_failure();
        failed++;
    } else {
        passed++;
    }
    print("\n");
    register_write(REG_STATUS, 0);
}

static void run_cases(const struct bare_case *cases)
{
    while (cases->name != NULL) {
        run_case(cases++);
    }
}

void bare_main(uint32_t magic, uint64_t information)
{
    boot_magic = magic;
    boot_information = (const uint8_t *)information;
    machine_start();
    play_role();
    print("bare: started\n");
    run_cases(boot_cases);
    run_cases(cpu_cases);
    run_cases(event_cases);
    run_cases(register_cases);
    run_cases(feature_cases);
    run_cases(interrupt_cases);
    run_cases(split_cases);
    run_cases(packed_cases);
    run_cases(hostile_cases);
    run_cases(hostile_packed_cases);
    run_cases(smp_cases);
    run_cases(legacy_cases);
    print("bare: ");
    print_number(passed);
    print(" ok, ");
    print_number(failed);
    print(" not ok, ");
    print_number(skipped);
    print(" skipped\n");
    debug_exit(failed);
}
