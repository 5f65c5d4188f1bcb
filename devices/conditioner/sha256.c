/* SHA-256 as a conditioner of entropy; the hash itself is gnulib's. */
#include "devices/conditioner/sha256.h"

#include "gnulib/config.h"
#include "gnulib/sha256.h"
#include "vmm/wipe.h"

_Static_assert(ENTROPY_CONDITIONER_OUT == SHA256_DIGEST_SIZE, "the pool takes a whole hash");

/* The hash works on copies of its input in its own frame: what lay there is overwritten. */
static __attribute__((noinline)) void wipe_stack(void)
{
    uint8_t frame[512];

    wipe(frame, sizeof(frame));
}

void conditioner_sha256(const uint8_t in[ENTROPY_CONDITIONER_IN],
                        uint8_t out[ENTROPY_CONDITIONER_OUT])
{
    struct sha256_ctx hash;

    sha256_init_ctx(&hash);
    sha256_process_bytes(in, ENTROPY_CONDITIONER_IN, &hash);
    sha256_finish_ctx(&hash, out);
    wipe(&hash, sizeof(hash));
    wipe_stack();
}
