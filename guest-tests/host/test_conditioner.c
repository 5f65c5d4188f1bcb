/* Tests of the SHA-256 conditioner: known answers, and its place in the core. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/conditioner/sha256.h"
#include "gnulib/config.h"
#include "gnulib/sha256.h"
#include "guest-tests/host/scripted_source.h"

static void expect(const char *message, size_t length, const char *hex)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t hash[32];

    sha256_buffer(message, length, hash);
    for (size_t i = 0; i < 32; i++) {
        assert_int_equal(hex[2 * i], digits[hash[i] >> 4]);
        assert_int_equal(hex[2 * i + 1], digits[hash[i] & 15]);
    }
}

/* FIPS 180-4: the examples that NIST publishes with it. */
static void test_known_answers(void **state)
{
    static char million[1000000];

    (void)state;
    expect("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
           "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    memset(million, 'a', sizeof(million));
    expect(million, sizeof(million),
           "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* The conditioner is that hash of its 64 bytes. */
static void test_conditioner_is_the_hash(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 1000; round++) {
        uint64_t in[8];
        uint8_t out[33];
        uint8_t hash[32];

        for (uint64_t i = 0; i < 8; i++) {
            in[i] = script_word(8 * round + i);
        }
        out[32] = 0x5a;
        conditioner_sha256((const uint8_t *)in, out);
        sha256_buffer((const char *)in, sizeof(in), hash);
        assert_memory_equal(out, hash, 32);
        assert_int_equal(out[32], 0x5a);
    }
}

/* In the core: what is delivered is the hash of the words in the order they came. */
static void test_in_the_core(void **state)
{
    static struct entropy_core core;
    struct script script = {0};
    const struct entropy_source source = script_source(&script);
    uint8_t bytes[ENTROPY_POOL_SIZE];

    (void)state;
    entropy_init(&core, &source);
    core.condition = conditioner_sha256;
    assert_int_equal(entropy_refill(&core, 100000),
                     ENTROPY_STARTUP_WORDS + 2 * ENTROPY_POOL_SIZE / 8);
    assert_int_equal(entropy_take(&core, bytes, sizeof(bytes)), sizeof(bytes));
    for (uint64_t block = 0; block < ENTROPY_POOL_SIZE / 32; block++) {
        uint64_t in[8];
        uint8_t hash[32];

        for (uint64_t i = 0; i < 8; i++) {
            in[i] = script_word(ENTROPY_STARTUP_WORDS + 8 * block + i);
        }
        sha256_buffer((const char *)in, sizeof(in), hash);
        assert_memory_equal(bytes + 32 * block, hash, 32);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_conditioner_is_the_hash),
        cmocka_unit_test(test_in_the_core),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
