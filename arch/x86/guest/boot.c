/* The kinds of kernels, in the order in which they are looked for. */
#include "arch/x86/guest/boot.h"

#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/flat.h"
#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/linux_boot.h"
#include "arch/x86/guest/multiboot.h"
#include "arch/x86/guest/pvh.h"

struct boot_kind {
    enum boot_kind_name name;
    bool (*recognises)(const struct boot_file *kernel); /* NULL: never chosen by itself */
    bool (*load)(struct boot *boot, struct vcpu_start *start);
};

/* Multiboot first: an ELF file with both says so in a header, where a note may be left over. */
static const struct boot_kind kinds[] = {
    {BOOT_LINUX, linux_boot_recognises, linux_boot_load},
    {BOOT_MULTIBOOT, multiboot_recognises, multiboot_load},
    {BOOT_PVH, pvh_recognises, pvh_load},
    {BOOT_FLAT, NULL, flat_load},
};

static const struct boot_kind *choose(const struct boot_image *image)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        const struct boot_kind *kind = &kinds[i];

        if (image->kind == kind->name || (image->kind == BOOT_AUTO && kind->recognises != NULL &&
                                          kind->recognises(&image->kernel))) {
            return kind;
        }
    }
    return NULL;
}

static bool load(struct boot *boot, struct vcpu_start *start)
{
    const struct boot_kind *kind = choose(boot->image);

    boot->low = guest_memory_range(boot->memory, 0, LAYOUT_ONE_MEGABYTE);
    *boot->error = (struct boot_error){0};
    if (kind == NULL) {
        return boot_fail(boot, BOOT_MEND_FILE,
                         "kernel = %s is no kernel of a known kind: no bzImage, no Multiboot "
                         "header, no ELF file with a PVH entry (boot = flat runs any file)",
                         boot->image->kernel.name);
    }
    if (boot->low == NULL) {
        return boot_fail(boot, BOOT_MEND_MEMORY, "the guest has no memory from 0 to 1 MiB");
    }
    if (!kind->load(boot, start)) {
        return false;
    }
    boot_write_reset_vector(boot);
    return true;
}

bool boot_load(const struct guest_memory *memory, const struct boot_image *image,
               struct vcpu_start *start, struct boot_error *error)
{
    struct boot boot = {.memory = memory, .image = image, .error = error};

    return load(&boot, start);
}

bool boot_check(const struct guest_memory *memory, const struct boot_image *image,
                struct boot_error *error)
{
    struct boot boot = {.memory = memory, .image = image, .plan = true, .error = error};
    struct vcpu_start start;

    return load(&boot, &start);
}
