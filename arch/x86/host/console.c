/* The machine's console: the switch, and the serial port that is served from it. */
#include "arch/x86/host/console.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/uart.h"

/* A port that takes nothing for so long is dead; a poll takes about a microsecond. */
#define STALL_POLLS 10000000U

/* Of a second: who holds a lock for longer than that is not at work. */
#define PATIENCE_PER_SECOND 10U

#define WORK_FIFOS 16U /* bound of console_work(); a virtual port is always ready for more */

struct console {
    struct console_switch consoles;
    struct spin_lock port; /* who holds it takes from the switch and writes to the port */
    bool serial;
    bool serial_too;
    bool ending;
    uint64_t patience; /* ticks; 0 as long as there is no other CPU */
    void (*firmware)(const char *text, size_t length);
};

static struct console console;

static bool port_ready(void)
{
    return !console.serial || host_uart_ready(&host_uart_com1);
}

/*
 * Gives the port, which is ready, one FIFO's worth. Called with the port's lock held; the switch's
 * own is not, while the port is written, as that may take its time.
 */
static bool move_some(void)
{
    uint8_t bytes[HOST_UART_FIFO];
    size_t count = console_switch_take(&console.consoles, bytes, sizeof(bytes));

    for (size_t i = 0; console.serial && i < count; i++) {
        host_uart_write(&host_uart_com1, bytes[i]);
    }
    return count > 0;
}

void console_init(void (*firmware)(const char *text, size_t length), bool serial_too)
{
    console.firmware = firmware;
    console.serial_too = serial_too;
    console.serial = host_uart_init(&host_uart_com1);
}

bool console_has_port(void)
{
    return console.serial;
}

void console_leave_firmware(uint64_t tsc_frequency)
{
    console.patience = tsc_frequency / PATIENCE_PER_SECOND;
    console.firmware = NULL;
    console.serial_too = true;
}

void console_end(void)
{
    console_switch_end(&console.consoles, console.patience);
    __atomic_store_n(&console.ending, true, __ATOMIC_RELEASE);
}

static bool is_ending(void)
{
    return __atomic_load_n(&console.ending, __ATOMIC_ACQUIRE);
}

struct console_switch *console_consoles(void)
{
    return &console.consoles;
}

void console_write(const char *line, size_t length)
{
    if (console.firmware != NULL) {
        console.firmware(line, length);
        if (!console.serial_too) {
            return;
        }
    }
    while (!console_switch_write(&console.consoles, line, length) && !is_ending()) {
        spin_lock_acquire(&console.port);
        if (port_ready()) {
            (void)move_some();
        }
        spin_lock_release(&console.port);
    }
    if (console.firmware != NULL) {
        console_flush();
    }
}

bool console_work(uint64_t ticks)
{
    uint64_t begin = read_tsc();
    bool busy = false;

    if (__atomic_test_and_set(&console.port.held, __ATOMIC_ACQUIRE)) {
        return true; /* another CPU is doing it */
    }
    for (unsigned i = 0; i < WORK_FIFOS && read_tsc() - begin < ticks; i++) {
        bool ready = port_ready();

        if (ready && !move_some()) {
            break;
        }
        busy = true;
        if (!ready) {
            break;
        }
    }
    spin_lock_release(&console.port);
    return busy;
}

void console_flush(void)
{
    console_switch_finish(&console.consoles);
    if (is_ending()) {
        spin_lock_seize(&console.port, console.patience);
    } else {
        spin_lock_acquire(&console.port);
    }
    for (unsigned polls = 0;
         polls < STALL_POLLS && console_switch_room(&console.consoles) < CONSOLE_OWN; polls++) {
        if (port_ready() && move_some()) {
            polls = 0;
        }
    }
    spin_lock_release(&console.port);
    if (console.serial) {
        host_uart_drain(&host_uart_com1);
    }
}

#ifdef SEEDVISOR_FAULTS
void console_hold_locks(void)
{
    spin_lock_acquire(&console.port);
    spin_lock_acquire(&console.consoles.lock);
}
#endif

bool console_read(uint8_t *byte)
{
    return console.serial && host_uart_read(&host_uart_com1, byte);
}
