/* The machine's console. Several CPUs write to it, so a lock guards the buffer. */
#include "arch/x86/host/console.h"

#include "arch/x86/cpu/instructions.h"
#include "arch/x86/host/uart.h"

#define BUFFER_SIZE   16384U
#define GUEST_RESERVE 2048U /* what guests must leave for the hypervisor's own lines */
#define WORK_FIFOS    16U   /* bound of console_work(); a virtual port is always ready for more */

struct console {
    uint8_t buffer[BUFFER_SIZE];
    uint32_t head; /* bytes ever put in */
    uint32_t tail; /* bytes ever taken out */
    bool lock;
    bool serial;
    bool serial_too;
    void (*firmware)(const char *text, size_t length);
};

static struct console console;

static void acquire(void)
{
    while (__atomic_test_and_set(&console.lock, __ATOMIC_ACQUIRE)) {
        pause();
    }
}

static void release(void)
{
    __atomic_clear(&console.lock, __ATOMIC_RELEASE);
}

/* One FIFO's worth, if the port is ready for it. Called with the lock held. */
static bool move_some(void)
{
    if (!console.serial) {
        console.tail = console.head;
        return true;
    }
    if (!host_uart_ready(&host_uart_com1)) {
        return false;
    }
    for (unsigned i = 0; i < HOST_UART_FIFO && console.tail != console.head; i++) {
        host_uart_write(&host_uart_com1, console.buffer[console.tail++ % BUFFER_SIZE]);
    }
    return true;
}

void console_init(void (*firmware)(const char *text, size_t length), bool serial_too)
{
    console.firmware = firmware;
    console.serial_too = serial_too;
    console.serial = host_uart_init(&host_uart_com1);
}

void console_leave_firmware(void)
{
    console.firmware = NULL;
    console.serial_too = true;
}

void console_write(const char *text, size_t length)
{
    if (console.firmware != NULL) {
        console.firmware(text, length);
        if (!console.serial_too) {
            return;
        }
    }
    acquire();
    for (size_t i = 0; i < length; i++) {
        while (console.head - console.tail == BUFFER_SIZE) {
            (void)move_some();
        }
        console.buffer[console.head++ % BUFFER_SIZE] = (uint8_t)text[i];
    }
    release();
    if (console.firmware != NULL) {
        console_flush();
    }
}

bool console_has_room(void)
{
    return __atomic_load_n(&console.head, __ATOMIC_RELAXED) -
               __atomic_load_n(&console.tail, __ATOMIC_RELAXED) <
           BUFFER_SIZE - GUEST_RESERVE;
}

void console_work(void)
{
    if (__atomic_load_n(&console.head, __ATOMIC_RELAXED) ==
            __atomic_load_n(&console.tail, __ATOMIC_RELAXED) ||
        __atomic_test_and_set(&console.lock, __ATOMIC_ACQUIRE)) {
        return; /* nothing to do, or another CPU is doing it */
    }
    for (unsigned i = 0; i < WORK_FIFOS && console.tail != console.head && move_some(); i++) {
    }
    release();
}

void console_flush(void)
{
    acquire();
    while (console.tail != console.head) {
        (void)move_some();
    }
    release();
    if (console.serial) {
        host_uart_drain(&host_uart_com1);
    }
}

bool console_read(uint8_t *byte)
{
    return console.serial && host_uart_read(&host_uart_com1, byte);
}
