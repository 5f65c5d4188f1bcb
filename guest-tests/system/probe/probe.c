// The launcher's own test fixture: a UEFI application that talks on COM1, tells a result on port
// 0xE9 and powers an emulator off. What it does is chosen by words in its configuration file.
#include <efi.h>
#include <efilib.h>

enum {
    PORT_COM1 = 0x3f8,
    PORT_DEBUG = 0xe9,
    PORT_BOCHS_SHUTDOWN = 0x8900,
    PORT_QEMU_EXIT = 0xf4,
    COM_LINE_CONTROL = 3,
    COM_LINE_STATUS = 5,
    COM_DATA_READY = 0x01,
    COM_HOLDING_EMPTY = 0x20,
    COM_ALL_SENT = 0x40,
    COM_8N1 = 0x03,
    CONFIG_SIZE = 256,
};

static void out8(UINT16 port, UINT8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static UINT8 in8(UINT16 port)
{
    UINT8 value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void serial_put(char character)
{
    while ((in8(PORT_COM1 + COM_LINE_STATUS) & COM_HOLDING_EMPTY) == 0) {
    }
    out8(PORT_COM1, (UINT8)character);
}

static void serial_print(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            serial_put('\r');
        }
        serial_put(*text);
    }
}

static void debug_print(const char *text)
{
    for (; *text != '\0'; text++) {
        out8(PORT_DEBUG, (UINT8)*text);
    }
}

// Whether the configuration holds the word, anywhere.
static int has_word(const char *config, const char *word)
{
    for (; *config != '\0'; config++) {
        UINTN length = 0;

        while (word[length] != '\0' && config[length] == word[length]) {
            length++;
        }
        if (word[length] == '\0') {
            return 1;
        }
    }
    return 0;
}

static void read_config(EFI_HANDLE image, char *config)
{
    EFI_LOADED_IMAGE *loaded;
    EFI_FILE_HANDLE root;
    EFI_FILE_HANDLE file;
    UINTN size = CONFIG_SIZE - 1;

    config[0] = '\0';
    if (EFI_ERROR(uefi_call_wrapper(BS->HandleProtocol, 3, image, &LoadedImageProtocol,
                                    (void **)&loaded))) {
        return;
    }
    root = LibOpenRoot(loaded->DeviceHandle);
    if (root == NULL || EFI_ERROR(uefi_call_wrapper(root->Open, 5, root, &file,
                                                    (CHAR16 *)L"EFI\\seedvisor\\seedvisor.conf",
                                                    (UINT64)EFI_FILE_MODE_READ, (UINT64)0))) {
        return;
    }
    if (EFI_ERROR(uefi_call_wrapper(file->Read, 3, file, &size, config))) {
        size = 0;
    }
    config[size] = '\0';
}

// Sends back each character in upper case, so that a test sees its input was read; '.' ends it.
static void echo_input(void)
{
    UINT8 character = 0;

    // The firmware reads its serial console from a timer interrupt, and would take the input.
    __asm__ volatile("cli");
    serial_print("probe: waiting for input\n");
    while (character != '.') {
        while ((in8(PORT_COM1 + COM_LINE_STATUS) & COM_DATA_READY) == 0) {
        }
        character = in8(PORT_COM1);
        if (character >= 'a' && character <= 'z') {
            character = (UINT8)(character - 'a' + 'A');
        }
        serial_put((char)character);
    }
    serial_print("\n");
}

static void power_off(void)
{
    const char *word;

    // Bochs drops what its UART has not yet sent when it shuts down.
    while ((in8(PORT_COM1 + COM_LINE_STATUS) & COM_ALL_SENT) == 0) {
    }
    for (word = "Shutdown"; *word != '\0'; word++) {
        out8(PORT_BOCHS_SHUTDOWN, (UINT8)*word);
    }
    out8(PORT_QEMU_EXIT, 0);
}

EFI_STATUS
efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    char config[CONFIG_SIZE];

    InitializeLib(image, system);
    read_config(image, config);
    out8(PORT_COM1 + COM_LINE_CONTROL, COM_8N1);
    serial_print("probe: hello on COM1\n");
    debug_print("probe: hello on port 0xE9\n");
    if (has_word(config, "echo")) {
        echo_input();
    }
    if (has_word(config, "flood")) {
        for (unsigned line = 0; line < 400; line++) {
            serial_print("probe: a line that must not be lost, as long as lines tend to be\n");
        }
    }
    if (has_word(config, "hang")) {
        for (;;) {
            __asm__ volatile("pause");
        }
    }
    if (has_word(config, "result-0")) {
        debug_print("seedvisor-result: 0\n");
    }
    if (has_word(config, "result-1")) {
        debug_print("seedvisor-result: 1\n");
    }
    if (has_word(config, "result-2")) {
        debug_print("seedvisor-result: 2\n");
    }
    serial_print("probe: the last line\n");
    power_off();
    return EFI_SUCCESS;
}
