/* A file of bare machine code. */
#include "arch/x86/guest/flat.h"

#include "arch/x86/guest/boot_memory.h"
#include "arch/x86/guest/layout.h"
#include "arch/x86/guest/pvh.h"

bool flat_load(struct boot *boot, struct vcpu_start *start)
{
    uint64_t load = 0;

    if (!boot_load_file(boot, &boot->image->kernel, LAYOUT_ONE_MEGABYTE, &load) ||
        !pvh_write_start_info(boot, load + boot->image->kernel.size)) {
        return false;
    }
    boot_write_start(boot, START_64_BIT, start);
    start->rip = load;
    start->rdi = BOOT_GPA_INFO;
    return true;
}
