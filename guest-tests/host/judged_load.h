/* Loads an image as a run does: judged first, in no more memory than a judgement may touch. */
#ifndef GUEST_TESTS_HOST_JUDGED_LOAD_H
#define GUEST_TESTS_HOST_JUDGED_LOAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86/guest/boot.h"
#include "arch/x86/guest/layout.h"

/* As boot_load(), which must say what boot_check() said. */
static inline bool judged_load(const struct guest_memory *memory, const struct boot_image *image,
                               struct vcpu_start *start, struct boot_error *error)
{
    static uint8_t low[LAYOUT_ONE_MEGABYTE]; /* the sanitizer guards its end */
    struct guest_memory measured = *memory;
    struct boot_error judged;

    for (unsigned i = 0; i < measured.count; i++) {
        measured.regions[i].hva = low;
    }
    memset(&judged, 'y', sizeof(judged));
    memset(error, 'x', sizeof(*error));
    bool good = boot_check(&measured, image, &judged);
    bool loaded = boot_load(memory, image, start, error);

    assert_int_equal(good, loaded);
    assert_string_equal(judged.text, error->text);
    assert_ptr_equal(judged.remedy, error->remedy);
    assert_int_equal(loaded, error->remedy == NULL);
    return loaded;
}

#endif
