/* Guests before they run: their files read and judged, their memory taken, from the firmware. */
#include "arch/x86/boot/guests.h"

#include <string.h>

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/boot.h"
#include "arch/x86/guest/layout.h"
#include "vmm/log.h"

static bool read_file(const struct config_guest *config, const char *key, const char *path,
                      struct boot_file *file)
{
    static const struct {
        const char *reason;
        const char *remedy;
    } failures[] = {
        [FILE_NO_VOLUME] = {"the volume we were loaded from has no file system",
                            "start seedvisor.efi from a FAT volume that has the file"},
        [FILE_NOT_FOUND] = {"there is no such file on the boot volume",
                            "copy it there, or give its path from the top of that volume"},
        [FILE_REFUSED] = {"the firmware takes no such path",
                          "give the path from the top of the boot volume, without \"..\""},
        [FILE_FOLDER] = {"it is a folder", "give the path of a file"},
        [FILE_EMPTY] = {"it is empty", "copy the file to the boot volume again"},
        [FILE_NO_MEMORY] = {"the machine has too little memory for it",
                            "give a smaller file, or the machine more memory"},
        [FILE_FAILED] = {"it cannot be read", "copy the file to the boot volume again"},
    };
    void *bytes;
    uint64_t length;

    log_line("guest \"%s\": reading %s %s", config->name, key, path);
    enum file_status status = firmware_read_file(path, &bytes, &length);

    if (status != FILE_READ) {
        log_line("guest \"%s\": %s = %s: %s", config->name, key, path, failures[status].reason);
        log_line("  to mend it: %s", failures[status].remedy);
        return false;
    }
    *file = (struct boot_file){.name = path, .data = bytes, .size = length, .key = key};
    return true;
}

/* One region of RAM, on the largest page boundary that the firmware can give. */
static bool add_region(struct guest *guest, uint64_t gpa, uint64_t size)
{
    void *memory = NULL;

    if (size >= PAGE_SIZE_1G) {
        memory = firmware_allocate(size, PAGE_SIZE_1G);
    }
    if (memory == NULL) {
        memory = firmware_allocate(size, PAGE_SIZE_2M);
    }
    if (memory == NULL) {
        log_line("guest \"%s\": memory = %luM: the machine has no free piece of %lu MiB",
                 guest->config->name, guest->config->memory >> 20, size >> 20);
        log_line(
            "  to mend it: lower memory =, or give the machine more; a guest's memory must lie "
            "in one piece");
        return false;
    }
    return guest_memory_add(&guest->vm.memory, gpa, size, memory);
}

unsigned guest_read(struct guest *guest, const struct config_guest *config)
{
    static const enum boot_kind_name kinds[] = {
        [CONFIG_BOOT_AUTO] = BOOT_AUTO, [CONFIG_BOOT_LINUX] = BOOT_LINUX,
        [CONFIG_BOOT_PVH] = BOOT_PVH,   [CONFIG_BOOT_MULTIBOOT] = BOOT_MULTIBOOT,
        [CONFIG_BOOT_FLAT] = BOOT_FLAT,
    };

    _Static_assert(CONFIG_MODULES <= BOOT_MODULES, "each module has its place");
    struct boot_image *image = &guest->image;

    guest->config = config;
    image->kind = kinds[config->boot];
    image->cmdline = config->cmdline;
    image->module_count = (unsigned)config->modules.count;
    unsigned failed = read_file(config, "kernel", config->kernel, &image->kernel) ? 0 : 1;

    if (config->initrd[0] != '\0' && !read_file(config, "initrd", config->initrd, &image->initrd)) {
        failed++;
    }
    for (unsigned i = 0; i < image->module_count; i++) {
        if (!read_file(config, "modules", config->modules.path[i], &image->modules[i])) {
            failed++;
        }
    }
    return failed;
}

/* What of the guest's RAM lies below 3 GiB. */
static uint64_t low_size(const struct config_guest *config)
{
    return config->memory < LAYOUT_LOW_RAM_LIMIT ? config->memory : LAYOUT_LOW_RAM_LIMIT;
}

bool guest_judge(const struct guest *guest, void *low)
{
    const struct config_guest *config = guest->config;
    uint64_t high = config->memory - low_size(config);
    struct guest_memory memory = {0};
    struct boot_error error = {0};

    if (guest_memory_add(&memory, 0, low_size(config), low) &&
        (high == 0 || guest_memory_add(&memory, LAYOUT_HIGH_RAM_BASE, high, low)) &&
        boot_check(&memory, &guest->image, &error)) {
        return true;
    }
    log_line("guest \"%s\": %s", config->name, error.text);
    log_line("  to mend it: %s", error.remedy);
    return false;
}

bool guest_take_memory(struct guest *guest)
{
    uint64_t low = low_size(guest->config);
    uint64_t high = guest->config->memory - low;

    return add_region(guest, 0, low) &&
           (high == 0 || add_region(guest, LAYOUT_HIGH_RAM_BASE, high));
}

uint64_t guest_arena_size(const struct config_guest *config, uint64_t largest_page)
{
    /* VM: objects, bitmaps, the devices' pages and tables for them. vCPU: VMCS or VMCB, APIC page.
     */
    const uint64_t vm = 36 * PAGE_SIZE + sizeof(struct console_channel);
    const uint64_t vcpu = 8 * PAGE_SIZE;
    /* One entry of 8 bytes per 2 MiB, in the nested tables and again in our own. */
    uint64_t tables = 2 * (config->memory / PAGE_SIZE_2M * 8 + 4 * PAGE_SIZE);

    if (largest_page < PAGE_SIZE_2M) {
        tables += config->memory / PAGE_SIZE * 8;
    }
    return vm + config->vcpus * vcpu + tables;
}
