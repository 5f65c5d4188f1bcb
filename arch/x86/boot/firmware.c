/* UEFI, as far as we use it (UEFI 2.10, chapters 7, 8, 9, 12 and 13). */
#include "arch/x86/boot/firmware.h"

#include <efi.h>
#include <string.h>

#include "arch/x86/cpu/apic.h"
#include "arch/x86/cpu/page_table.h"

#define READ_CHUNK 0x100000U /* one MiB at a time: some firmware fails on large reads */

static EFI_HANDLE image;
static EFI_SYSTEM_TABLE *system_table;
static EFI_BOOT_SERVICES *boot;
static struct firmware_range ranges[FIRMWARE_RANGES];
static unsigned range_count;

static EFI_GUID loaded_image_guid = LOADED_IMAGE_PROTOCOL;
static EFI_GUID file_system_guid = SIMPLE_FILE_SYSTEM_PROTOCOL;
static EFI_GUID file_info_guid = EFI_FILE_INFO_ID;
static EFI_GUID global_variable_guid = EFI_GLOBAL_VARIABLE;

void firmware_init(void *image_handle, void *table)
{
    image = image_handle;
    system_table = table;
    boot = system_table->BootServices;
    /* Reading files may take longer than the firmware's watchdog lets a boot loader live. */
    boot->SetWatchdogTimer(0, 0, 0, NULL);
}

void firmware_print(const char *text, size_t length)
{
    CHAR16 wide[2] = {0, 0};

    for (size_t i = 0; i < length; i++) {
        wide[0] = (CHAR16)(unsigned char)text[i];
        system_table->ConOut->OutputString(system_table->ConOut, wide);
    }
}

/* The size of a device path node, or 0 at the end or for one that makes no sense. */
static size_t node_size(const uint8_t *node, size_t room)
{
    size_t size = room >= 4 ? (size_t)(node[2] | node[3] << 8) : 0;

    return size >= 4 && size <= room ? size : 0;
}

bool firmware_console_is_com1(void)
{
    static uint8_t path[1024];
    UINTN size = sizeof(path);
    /*
     * UEFI 2.10, 10.3.3 and 10.3.4.13: an ACPI node, PNP0501 of UID 0, and a UART node behind it.
     * Firmware that describes COM1 in another way shows everything twice, no more.
     */
    static const uint8_t com1[] = {2, 1, 12, 0, 0xd0, 0x41, 0x01, 0x05, 0, 0, 0, 0};
    const uint8_t messaging = 3;
    const uint8_t uart = 14;
    const uint8_t end = 0x7f; /* of one console's path */
    bool on_com1 = false;

    if (system_table->RuntimeServices->GetVariable((CHAR16 *)u"ConOut", &global_variable_guid, NULL,
                                                   &size, path) != EFI_SUCCESS) {
        return false;
    }
    for (size_t at = 0, step = 0; (step = node_size(path + at, size - at)) != 0; at += step) {
        if (on_com1 && path[at] == messaging && path[at + 1] == uart) {
            return true;
        }
        on_com1 = path[at] != end &&
                  (on_com1 || (step == sizeof(com1) && memcmp(path + at, com1, step) == 0));
    }
    return false;
}

static void keep_range(uint64_t base, uint64_t pages, enum firmware_use use)
{
    ranges[range_count++] = (struct firmware_range){base, pages * PAGE_SIZE, use};
}

void *firmware_allocate(uint64_t size, uint64_t alignment)
{
    uint64_t pages = (size + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t spare = alignment / PAGE_SIZE - 1;
    EFI_PHYSICAL_ADDRESS address = 0;

    if (range_count == FIRMWARE_RANGES || pages == 0 ||
        boot->AllocatePages(AllocateAnyPages, EfiLoaderData, pages + spare, &address) !=
            EFI_SUCCESS) {
        return NULL;
    }
    uint64_t base = (address + alignment - 1) & ~(alignment - 1);

    /* Give back what only alignment needed. */
    if (base > address) {
        boot->FreePages(address, (base - address) / PAGE_SIZE);
    }
    uint64_t behind = address / PAGE_SIZE + spare - base / PAGE_SIZE;

    if (behind > 0) {
        boot->FreePages(base + pages * PAGE_SIZE, behind);
    }
    keep_range(base, pages, FIRMWARE_DATA);
    return (void *)(uintptr_t)base;
}

void firmware_give_back(void)
{
    const struct firmware_range *range = &ranges[--range_count];

    boot->FreePages(range->base, range->size / PAGE_SIZE);
}

static void *allocate_below(uint64_t size, uint64_t limit, enum firmware_use use)
{
    uint64_t pages = (size + PAGE_SIZE - 1) / PAGE_SIZE;
    EFI_PHYSICAL_ADDRESS address = limit - 1;
    EFI_MEMORY_TYPE type = use == FIRMWARE_CODE ? EfiLoaderCode : EfiLoaderData;

    if (range_count == FIRMWARE_RANGES ||
        boot->AllocatePages(AllocateMaxAddress, type, pages, &address) != EFI_SUCCESS) {
        return NULL;
    }
    keep_range(address, pages, use);
    return (void *)(uintptr_t)address;
}

void *firmware_allocate_below(uint64_t size, uint64_t limit)
{
    return allocate_below(size, limit, FIRMWARE_DATA);
}

void *firmware_allocate_code_below(uint64_t size, uint64_t limit)
{
    return allocate_below(size, limit, FIRMWARE_CODE);
}

/* PI 1.8, Vol. 2, 13.4; gnu-efi does not have it. What we do not call is not spelt out. */
struct mp_services {
    EFI_STATUS(EFIAPI *get_number)(struct mp_services *self, UINTN *all, UINTN *enabled);
    EFI_STATUS(EFIAPI *get_info)(struct mp_services *self, UINTN index, void *info);
};

struct processor_info {
    UINT64 id; /* the APIC ID */
    UINT32 status;
    UINT32 location[9]; /* the longer form of later versions */
};

#define PROCESSOR_IS_BSP  (1U << 0)
#define PROCESSOR_ENABLED (1U << 1)
#define PROCESSOR_HEALTHY (1U << 2)

unsigned firmware_find_cpus(uint32_t *ids, unsigned capacity)
{
    static EFI_GUID mp_services_guid = {
        0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};
    struct mp_services *services = NULL;
    UINTN all = 0;
    UINTN enabled = 0;
    unsigned count = 1;

    ids[0] = apic_id();
    if (boot->LocateProtocol(&mp_services_guid, NULL, (void **)&services) != EFI_SUCCESS ||
        services->get_number(services, &all, &enabled) != EFI_SUCCESS) {
        return count;
    }
    for (UINTN i = 0; i < all; i++) {
        const UINT32 wanted = PROCESSOR_ENABLED | PROCESSOR_HEALTHY;
        struct processor_info info = {0};

        if (services->get_info(services, i, &info) != EFI_SUCCESS ||
            (info.status & (wanted | PROCESSOR_IS_BSP)) != wanted) {
            continue;
        }
        if (count < capacity) {
            ids[count] = (uint32_t)info.id;
        }
        count++;
    }
    return count;
}

const struct firmware_range *firmware_ranges(unsigned *count)
{
    *count = range_count;
    return ranges;
}

/* The memory map, in a buffer that is made once and kept; NULL if the firmware will not say. */
static uint8_t *memory_map(UINTN *size, UINTN *key, UINTN *descriptor_size)
{
    static uint8_t *buffer;
    static UINTN capacity;
    UINT32 version;

    if (buffer == NULL) {
        UINTN needed = 0;

        boot->GetMemoryMap(&needed, NULL, key, descriptor_size, &version);
        capacity = needed + 64 * *descriptor_size; /* it grows with each allocation */
        if (boot->AllocatePool(EfiLoaderData, capacity, (void **)&buffer) != EFI_SUCCESS) {
            buffer = NULL;
            return NULL;
        }
    }
    *size = capacity;
    return boot->GetMemoryMap(size, (EFI_MEMORY_DESCRIPTOR *)buffer, key, descriptor_size,
                              &version) == EFI_SUCCESS
               ? buffer
               : NULL;
}

uint64_t firmware_free_memory(void)
{
    UINTN size, key, descriptor_size;
    const uint8_t *map = memory_map(&size, &key, &descriptor_size);
    uint64_t total = 0;

    for (UINTN at = 0; map != NULL && at + descriptor_size <= size; at += descriptor_size) {
        const EFI_MEMORY_DESCRIPTOR *piece = (const EFI_MEMORY_DESCRIPTOR *)(map + at);

        if (piece->Type == EfiConventionalMemory) {
            total += piece->NumberOfPages * PAGE_SIZE;
        }
    }
    return total;
}

static EFI_LOADED_IMAGE *loaded_image(void)
{
    EFI_LOADED_IMAGE *loaded = NULL;

    return boot->HandleProtocol(image, &loaded_image_guid, (void **)&loaded) == EFI_SUCCESS ? loaded
                                                                                            : NULL;
}

static EFI_FILE_HANDLE open_volume(void)
{
    EFI_LOADED_IMAGE *loaded = loaded_image();
    EFI_FILE_IO_INTERFACE *volume = NULL;
    EFI_FILE_HANDLE root = NULL;

    if (loaded == NULL || boot->HandleProtocol(loaded->DeviceHandle, &file_system_guid,
                                               (void **)&volume) != EFI_SUCCESS) {
        return NULL;
    }
    return volume->OpenVolume(volume, &root) == EFI_SUCCESS ? root : NULL;
}

/* The size of an open file; FILE_READ if it has one. */
static enum file_status file_size(EFI_FILE_HANDLE file, uint64_t *bytes)
{
    union {
        EFI_FILE_INFO info;
        uint8_t bytes[sizeof(EFI_FILE_INFO) + 512]; /* the name follows the struct */
    } answer;
    UINTN size = sizeof(answer);

    if (file->GetInfo(file, &file_info_guid, &size, &answer) != EFI_SUCCESS) {
        return FILE_FAILED;
    }
    if ((answer.info.Attribute & EFI_FILE_DIRECTORY) != 0) {
        return FILE_FOLDER;
    }
    *bytes = answer.info.FileSize;
    return *bytes > 0 ? FILE_READ : FILE_EMPTY;
}

static enum file_status read_open_file(EFI_FILE_HANDLE file, void **data, uint64_t *size)
{
    uint64_t done = 0;
    enum file_status status = file_size(file, size);

    if (status != FILE_READ) {
        return status;
    }
    *data = firmware_allocate(*size, PAGE_SIZE);
    if (*data == NULL) {
        return FILE_NO_MEMORY;
    }
    while (done < *size) {
        UINTN chunk = *size - done < READ_CHUNK ? *size - done : READ_CHUNK;

        if (file->Read(file, &chunk, (uint8_t *)*data + done) != EFI_SUCCESS || chunk == 0) {
            return FILE_FAILED;
        }
        done += chunk;
    }
    return FILE_READ;
}

enum file_status firmware_read_file(const char *path, void **data, uint64_t *size)
{
    CHAR16 wide[256];
    size_t length = strlen(path);
    EFI_FILE_HANDLE root = open_volume();
    EFI_FILE_HANDLE file = NULL;

    if (root == NULL) {
        return FILE_NO_VOLUME;
    }
    if (length >= sizeof(wide) / sizeof(wide[0])) {
        return FILE_NOT_FOUND;
    }
    for (size_t i = 0; i <= length; i++) {
        wide[i] = (CHAR16)(unsigned char)path[i];
    }
    EFI_STATUS status = root->Open(root, &file, wide, EFI_FILE_MODE_READ, 0);

    root->Close(root);
    if (status != EFI_SUCCESS) {
        return status == EFI_NOT_FOUND           ? FILE_NOT_FOUND
               : status == EFI_INVALID_PARAMETER ? FILE_REFUSED
                                                 : FILE_FAILED;
    }
    enum file_status result = read_open_file(file, data, size);

    file->Close(file);
    return result;
}

void firmware_image_folder(char *path, size_t size)
{
    const EFI_LOADED_IMAGE *loaded = loaded_image();
    const uint8_t *node = loaded == NULL ? NULL : (const uint8_t *)loaded->FilePath;
    const uint8_t media = 4; /* UEFI 2.10, 10.3.5.4: file path */
    const uint8_t file_path = 4;
    size_t length = 0;

    /* A node of type 0x7f ends the path. */
    for (size_t step = 0; node != NULL && node[0] != 0x7f && (step = node_size(node, 4096)) != 0;
         node += step) {
        const uint8_t *name = node + 4;

        if (node[0] != media || node[1] != file_path) {
            continue;
        }
        for (size_t i = 0; 4 + i + 1 < step && length + 1 < size; i += 2) {
            if (name[i] != 0) {
                path[length++] = (char)name[i];
            }
        }
    }
    while (length > 0 && path[length - 1] != '\\') {
        length--;
    }
    if (length == 0) {
        path[length++] = '\\';
    }
    path[length] = '\0';
}

/* UEFI 2.10, 37.5; gnu-efi does not have it. What we do not call is not spelt out. */
struct rng_protocol {
    EFI_STATUS(EFIAPI *get_info)(struct rng_protocol *self, UINTN *size, EFI_GUID *algorithms);
    EFI_STATUS(EFIAPI *get_rng)
    (struct rng_protocol *self, EFI_GUID *algorithm, UINTN size, UINT8 *bytes);
};

bool firmware_random(void *buffer, size_t size)
{
    static EFI_GUID rng_guid = {
        0x3152bca5, 0xeade, 0x433d, {0x86, 0x2e, 0xc0, 0x1c, 0xdc, 0x29, 0x1f, 0x44}};
    struct rng_protocol *rng = NULL;

    return boot->LocateProtocol(&rng_guid, NULL, (void **)&rng) == EFI_SUCCESS &&
           rng->get_rng(rng, NULL, size, buffer) == EFI_SUCCESS;
}

void firmware_stall(uint64_t microseconds)
{
    boot->Stall(microseconds);
}

/* Days from 1970-01-01 in the Gregorian calendar; March is month 0, so leap days come last. */
static uint64_t days_since_1970(unsigned year, unsigned month, unsigned day)
{
    unsigned shifted_year = month < 3 ? year - 1 : year;
    unsigned shifted_month = (month + 9) % 12;

    return 365ULL * shifted_year + shifted_year / 4 - shifted_year / 100 + shifted_year / 400 +
           (153 * shifted_month + 2) / 5 + day - 1 - 719468;
}

uint64_t firmware_time(void)
{
    EFI_TIME time;

    if (system_table->RuntimeServices->GetTime(&time, NULL) != EFI_SUCCESS || time.Year < 1970) {
        return 0;
    }
    int64_t seconds = (int64_t)(days_since_1970(time.Year, time.Month, time.Day) * 86400 +
                                time.Hour * 3600ULL + time.Minute * 60ULL + time.Second);

    /* Local time = UTC - TimeZone minutes (UEFI 2.10, 8.3.1); unspecified is taken for UTC. */
    if (time.TimeZone != EFI_UNSPECIFIED_TIMEZONE) {
        seconds += time.TimeZone * 60LL;
    }
    return (uint64_t)seconds;
}

bool firmware_exit_boot_services(void)
{
    UINTN size, key, descriptor_size;

    /* The first call may itself change the map; the key of a second one holds (7.4.6). */
    for (unsigned i = 0; i < 3; i++) {
        if (memory_map(&size, &key, &descriptor_size) == NULL) {
            return false;
        }
        if (boot->ExitBootServices(image, key) == EFI_SUCCESS) {
            return true;
        }
    }
    return false;
}

/* LCOV_EXCL_START: only where there is no port 0xE9, and so no way for the counters to leave */
void firmware_shut_down(void *context)
{
    (void)context;
    system_table->RuntimeServices->ResetSystem(EfiResetShutdown, EFI_SUCCESS, 0, NULL);
}

void firmware_wait_for_key(void)
{
    static const char prompt[] = "Press a key to go back to the firmware.\r\n";
    UINTN index;

    firmware_print(prompt, sizeof(prompt) - 1);
    system_table->ConIn->Reset(system_table->ConIn, FALSE);
    boot->WaitForEvent(1, &system_table->ConIn->WaitForKey, &index);
}
/* LCOV_EXCL_STOP */
