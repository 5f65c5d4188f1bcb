/* The machine under what is fuzzed: there is no other CPU to wait for, and nobody needs a clock. */
#include "vmm/host.h"

void host_pause(void)
{
}

/* Only traces ask, and none is kept here. */
uint64_t host_ticks(void)
{
    return 0;
}
