/* Guests before they run: reads their files and takes their memory while the firmware is there. */
#include "arch/x86/boot/guests.h"

#include <string.h>

#include "arch/x86/boot/firmware.h"
#include "arch/x86/cpu/page_table.h"
#include "arch/x86/guest/layout.h"
#include "vmm/log.h"

static bool read_file(const struct config_guest *config, const char *key, const char *path,
                      struct boot_file *file)
{
    static const char *const reasons[] = {
        [FILE_NO_VOLUME] = "the volume we were loaded from has no file system",
        [FILE_NOT_FOUND] = "there is no such file on the boot volume",
        [FILE_NO_MEMORY] = "the machine has too little memory for it",
        [FILE_FAILED] = "it is empty or cannot be read",
    };
    void *bytes;
    uint64_t length;

    log_line("guest \"%s\": reading %s %s", config->name, key, path);
    enum file_status status = firmware_read_file(path, &bytes, &length);

    if (status != FILE_READ) {
        log_line("guest \"%s\": %s = %s: %s", config->name, key, path, reasons[status]);
        return false;
    }
    *file = (struct boot_file){.name = path, .data = bytes, .size = length};
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

static bool read_image(struct boot_image *image, const struct config_guest *config)
{
    static const enum boot_kind_name kinds[] = {
        [CONFIG_BOOT_AUTO] = BOOT_AUTO, [CONFIG_BOOT_LINUX] = BOOT_LINUX,
        [CONFIG_BOOT_PVH] = BOOT_PVH,   [CONFIG_BOOT_MULTIBOOT] = BOOT_MULTIBOOT,
        [CONFIG_BOOT_FLAT] = BOOT_FLAT,
    };

    _Static_assert(CONFIG_MODULES <= BOOT_MODULES, "each module has its place");
    image->kind = kinds[config->boot];
    image->cmdline = config->cmdline;
    image->module_count = (unsigned)config->modules.count;
    if (!read_file(config, "kernel", config->kernel, &image->kernel) ||
        (config->initrd[0] != '\0' &&
         !read_file(config, "initrd", config->initrd, &image->initrd))) {
        return false;
    }
    for (unsigned i = 0; i < image->module_count; i++) {
        if (!read_file(config, "modules", config->modules.path[i], &image->modules[i])) {
            return false;
        }
    }
    return true;
}

bool guest_prepare(struct guest *guest, const struct config_guest *config)
{
    uint64_t low = config->memory < LAYOUT_LOW_RAM_LIMIT ? config->memory : LAYOUT_LOW_RAM_LIMIT;
    uint64_t high = config->memory - low;

    guest->config = config;
    if (!read_image(&guest->image, config)) {
        return false;
    }
    return add_region(guest, 0, low) &&
           (high == 0 || add_region(guest, LAYOUT_HIGH_RAM_BASE, high));
}

uint64_t guest_arena_size(const struct config_guest *config)
{
    /* VM: objects, bitmaps, the devices' pages and tables for them. vCPU: VMCS or VMCB, APIC page.
     */
    const uint64_t vm = 36 * PAGE_SIZE + sizeof(struct console_channel);
    const uint64_t vcpu = 8 * PAGE_SIZE;
    /* One entry of 8 bytes per 2 MiB, in the nested tables and again in our own. */
    uint64_t tables = 2 * (config->memory / PAGE_SIZE_2M * 8 + 4 * PAGE_SIZE);

    return vm + config->vcpus * vcpu + tables;
}
