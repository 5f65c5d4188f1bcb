/* The machine as the cases use it: serial port, interrupt table, APICs, faults, a second CPU. */
#include "guest-tests/bare/machine.h"

#define SERIAL_DATA  0x3f8
#define SERIAL_LSR   0x3fd
#define LSR_HAS_ROOM 0x20

/* About four seconds in a fast machine and a minute in a slow one. */
#define PATIENCE 10000000000ULL

#define APIC_ID       0x20
#define APIC_EOI      0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ICR_LOW  0x300
#define APIC_ICR_HIGH 0x310
#define ICR_INIT      0x4500
#define ICR_START_UP  0x4600
#define TRAMPOLINE    0x8000

#define EXCEPTIONS 32U

struct frame {
    uint64_t registers[15];
    struct exception exception;
};

struct gate {
    uint16_t offset_low, selector, type, offset_middle;
    uint32_t offset_high, reserved;
};

extern const uint64_t interrupt_stubs[256];
extern const uint8_t ap_trampoline[], ap_real_mode_fault[], ap_trampoline_end[];

void machine_interrupt(struct frame *frame);
void ap_main(void);
void *memcpy(void *target, const void *source, size_t size);
void *memset(void *target, int value, size_t size);
int memcmp(const void *first, const void *second, size_t size);

static struct gate idt[256] __attribute__((aligned(16)));
static unsigned counts[256];
static const char *case_name = "before the first case";

/* Where to go on after a fault that is expected, and which it was. */
static volatile uint64_t resume_at;
static volatile unsigned fault;
static bool (*volatile exception_handler)(struct exception *exception);

static void (*volatile second_cpu_work)(void);
static volatile bool second_cpu_alive, second_cpu_stopping;

/* The compiler may call these. */
void *memcpy(void *target, const void *source, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)target)[i] = ((const uint8_t *)source)[i];
    }
    return target;
}

void *memset(void *target, int value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((uint8_t *)target)[i] = (uint8_t)value;
    }
    return target;
}

int memcmp(const void *first, const void *second, size_t size)
{
    const uint8_t *a = first;
    const uint8_t *b = second;

    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            return a[i] - b[i];
        }
    }
    return 0;
}

static void print_character(char character)
{
    while ((in8(SERIAL_LSR) & LSR_HAS_ROOM) == 0) {
    }
    out8(SERIAL_DATA, (uint8_t)character);
}

void print(const char *text)
{
    while (*text != '\0') {
        if (*text == '\n') {
            print_character('\r');
        }
        print_character(*text++);
    }
}

void print_number(uint64_t value)
{
    if (value >= 10) {
        print_number(value / 10);
    }
    print_character((char)('0' + value % 10));
}

void print_hex(uint64_t value)
{
    print("0x");
    for (int shift = 60; shift >= 0; shift -= 4) {
        if (value >> shift != 0 || shift == 0) {
            print_character("0123456789abcdef"[value >> shift & 0xf]);
        }
    }
}

_Noreturn void debug_exit(uint32_t value)
{
    out32(DEBUG_EXIT_PORT, value);
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

uint64_t fw_cfg(uint16_t selector, unsigned bytes)
{
    uint64_t value = 0;

    out16(FW_CFG_PORT, selector);
    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)in8(FW_CFG_PORT + 1) << 8 * i;
    }
    return value;
}

unsigned cpu_count(void)
{
    const uint16_t nb_cpus = 5;

    return fw_cfg(0, 4) == 0x554d4551 ? (unsigned)fw_cfg(nb_cpus, 2) : 1;
}

uint64_t mmio_read(uint64_t address, unsigned size)
{
    uint64_t value = 0;

    switch (size) {
    case 1:
        __asm__ volatile("movb (%1), %b0" : "+r"(value) : "r"(address) : "memory");
        break;
    case 2:
        __asm__ volatile("movw (%1), %w0" : "+r"(value) : "r"(address) : "memory");
        break;
    case 4:
        __asm__ volatile("movl (%1), %k0" : "+r"(value) : "r"(address) : "memory");
        break;
    default:
        __asm__ volatile("movq (%1), %0" : "+r"(value) : "r"(address) : "memory");
        break;
    }
    return value;
}

void mmio_write(uint64_t address, unsigned size, uint64_t value)
{
    switch (size) {
    case 1:
        __asm__ volatile("movb %b0, (%1)" : : "r"(value), "r"(address) : "memory");
        break;
    case 2:
        __asm__ volatile("movw %w0, (%1)" : : "r"(value), "r"(address) : "memory");
        break;
    case 4:
        __asm__ volatile("movl %k0, (%1)" : : "r"(value), "r"(address) : "memory");
        break;
    default:
        __asm__ volatile("movq %0, (%1)" : : "r"(value), "r"(address) : "memory");
        break;
    }
}

struct cpuid_leaf cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_leaf answer;

    __asm__ volatile("cpuid"
                     : "=a"(answer.eax), "=b"(answer.ebx), "=c"(answer.ecx), "=d"(answer.edx)
                     : "a"(leaf), "c"(subleaf));
    return answer;
}

/* An instruction, and where machine_interrupt() goes on if it faults. */
#define TRY(instruction, ...)                                                                      \
    fault = NO_FAULT;                                                                              \
    __asm__ volatile("movq $1f, %[resume]\n\t" instruction "\n1:\n\tmovq $0, %[resume]"            \
                     : [resume] "+m"(resume_at)__VA_ARGS__)

unsigned try_read_msr(uint32_t index, uint64_t *value)
{
    uint32_t low = 0;
    uint32_t high = 0;

    TRY("rdmsr", , "+a"(low), "+d"(high) : "c"(index) : "memory");
    *value = (uint64_t)high << 32 | low;
    return fault;
}

unsigned try_write_msr(uint32_t index, uint64_t value)
{
    TRY("wrmsr", : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index) : "memory");
    return fault;
}

unsigned try_xsetbv(uint32_t index, uint64_t value)
{
    TRY("xsetbv", : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index) : "memory");
    return fault;
}

unsigned try_write_cr0(uint64_t value)
{
    TRY("movq %[value], %%cr0", : [value] "r"(value) : "memory");
    return fault;
}

unsigned try_write_cr4(uint64_t value)
{
    TRY("movq %[value], %%cr4", : [value] "r"(value) : "memory");
    return fault;
}

unsigned try_undefined(void)
{
    TRY("ud2", : : "memory");
    return fault;
}

unsigned try_vmxon(void)
{
    static uint64_t region;

    TRY("vmxon %[region]", : [region] "m"(region) : "memory");
    return fault;
}

unsigned try_vmrun(void)
{
    TRY("vmrun", : "a"(0x100000UL) : "memory");
    return fault;
}

void on_exception(bool (*handler)(struct exception *exception))
{
    exception_handler = handler;
}

static void end_of_interrupt(void)
{
    mmio_write(LOCAL_APIC + APIC_EOI, 4, 0);
}

void machine_interrupt(struct frame *frame)
{
    struct exception *exception = &frame->exception;

    if (exception->vector >= EXCEPTIONS) {
        __atomic_fetch_add(&counts[exception->vector], 1, __ATOMIC_RELEASE);
        end_of_interrupt();
        return;
    }
    if (exception_handler != NULL && exception_handler(exception)) {
        return;
    }
    if (resume_at != 0) {
        fault = (unsigned)exception->vector;
        exception->rip = resume_at;
        resume_at = 0;
        return;
    }
    print("not ok ");
    print(case_name);
    print(": exception ");
    print_number(exception->vector);
    print(" at ");
    print_hex(exception->rip);
    print("\n");
    debug_exit(0xff);
}

unsigned interrupts(unsigned vector)
{
    return __atomic_load_n(&counts[vector], __ATOMIC_ACQUIRE);
}

bool too_long_since(uint64_t start)
{
    __asm__ volatile("pause");
    return ticks() - start > PATIENCE;
}

bool await_interrupts(unsigned vector, unsigned count)
{
    uint64_t start = ticks();

    while (interrupts(vector) < count) {
        if (too_long_since(start)) {
            return false;
        }
    }
    return true;
}

static void load_idt(void)
{
    const struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(pointer));
}

static void apic_on(void)
{
    mmio_write(LOCAL_APIC + APIC_SPURIOUS, 4, 0x1ff);
}

void machine_start(void)
{
    for (unsigned i = 0; i < 256; i++) {
        idt[i] = (struct gate){
            .offset_low = (uint16_t)interrupt_stubs[i],
            .selector = 0x08,
            .type = 0x8e00,
            .offset_middle = (uint16_t)(interrupt_stubs[i] >> 16),
        };
    }
    load_idt();
    apic_on();
    __asm__ volatile("sti");
}

void machine_case_begins(const char *name)
{
    case_name = name;
}

void io_apic_write(uint32_t index, uint32_t value)
{
    mmio_write(IO_APIC, 4, index);
    mmio_write(IO_APIC + 0x10, 4, value);
}

uint32_t io_apic_read(uint32_t index)
{
    mmio_write(IO_APIC, 4, index);
    return (uint32_t)mmio_read(IO_APIC + 0x10, 4);
}

void virtio_interrupt(bool on)
{
    const uint32_t masked = 1U << 16;

    io_apic_write(0x10 + 2 * VIRTIO_PIN + 1, (uint32_t)mmio_read(LOCAL_APIC + APIC_ID, 4));
    io_apic_write(0x10 + 2 * VIRTIO_PIN, VIRTIO_VECTOR | (on ? 0 : masked));
}

/* The second CPU: waits for work, does it, waits again. */
void ap_main(void)
{
    load_idt();
    apic_on();
    second_cpu_alive = true;
    for (;;) {
        if (second_cpu_work != NULL) {
            second_cpu_work();
            second_cpu_work = NULL;
        }
        __asm__ volatile("pause");
    }
}

static void send_to_second_cpu(uint32_t command)
{
    mmio_write(LOCAL_APIC + APIC_ICR_HIGH, 4, 1U << 24);
    mmio_write(LOCAL_APIC + APIC_ICR_LOW, 4, command);
}

bool second_cpu_run(void (*work)(void))
{
    uint64_t start = ticks();

    if (!second_cpu_alive) {
        memcpy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
        send_to_second_cpu(ICR_INIT);
        send_to_second_cpu(ICR_START_UP | TRAMPOLINE >> 12);
    }
    while (!second_cpu_alive) {
        if (too_long_since(start)) {
            return false;
        }
    }
    second_cpu_stopping = false;
    second_cpu_work = work;
    return true;
}

bool second_cpu_faulted_well(void)
{
    return *(volatile const uint8_t *)(TRAMPOLINE + (ap_real_mode_fault - ap_trampoline)) == 1;
}

bool second_cpu_stop(void)
{
    uint64_t start = ticks();

    second_cpu_stopping = true;
    while (second_cpu_work != NULL) {
        if (too_long_since(start)) {
            return false;
        }
    }
    return true;
}

bool second_cpu_wanted(void)
{
    return !second_cpu_stopping;
}
