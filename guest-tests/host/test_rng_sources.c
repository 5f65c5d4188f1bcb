/* Tests of the sources that are programs: several mixed, and the client of an outside daemon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "devices/rng/egd.h"
#include "devices/rng/entropy.h"
#include "devices/rng/mix.h"
#include "guest-tests/host/scripted_source.h"

#define FREQUENCY 1000000U
#define MS        ((uint64_t)FREQUENCY / 1000)

/* A line with a daemon at its end that answers as a test wants it. */
struct daemon {
    bool deaf;        /* takes no byte: the line's transmitter is busy */
    bool silent;      /* does not answer */
    bool empty;       /* answers with no bytes */
    int excess;       /* added to the count it announces */
    unsigned cut;     /* bytes missing at the end of an answer */
    unsigned unasked; /* bytes more than announced */
    unsigned limit;   /* bytes an answer has at most; 0: as many as asked for */
    uint8_t command[2];
    unsigned written; /* bytes the client wrote */
    unsigned asked;   /* whole requests */
    unsigned reads;   /* bytes the client read, or tried to */
    uint64_t sent;    /* bytes of entropy: the n-th is script_word(n) */
    uint8_t line[1024];
    unsigned head, tail;
};

static uint64_t clock_now;
static struct daemon daemon_of_test;
static struct egd egd;

static uint64_t test_ticks(void)
{
    return clock_now;
}

static void send(struct daemon *daemon, uint8_t byte)
{
    assert_true(daemon->tail < sizeof(daemon->line));
    daemon->line[daemon->tail++] = byte;
}

static void answer(struct daemon *daemon, unsigned wanted)
{
    unsigned count = daemon->limit != 0 && daemon->limit < wanted ? daemon->limit : wanted;

    if (daemon->empty) {
        count = 0;
    }
    send(daemon, (uint8_t)((int)count + daemon->excess));
    for (unsigned i = 0; i + daemon->cut < count + daemon->unasked; i++) {
        send(daemon, (uint8_t)script_word(daemon->sent++));
    }
}

static bool line_ready(void *context)
{
    return !((struct daemon *)context)->deaf;
}

static void line_write(void *context, uint8_t byte)
{
    struct daemon *daemon = context;

    daemon->command[daemon->written++ % 2] = byte;
    if (daemon->written % 2 == 0) {
        daemon->asked++;
        assert_int_equal(daemon->command[0], 1);
        assert_int_equal(daemon->command[1], 15);
        if (!daemon->silent) {
            answer(daemon, daemon->command[1]);
        }
    }
}

static bool line_read(void *context, uint8_t *byte)
{
    struct daemon *daemon = context;

    daemon->reads++;
    if (daemon->head == daemon->tail) {
        daemon->head = daemon->tail = 0;
        return false;
    }
    *byte = daemon->line[daemon->head++];
    return true;
}

static int set_up_egd(void **state)
{
    const struct byte_port port = {line_ready, line_write, line_read, &daemon_of_test};

    (void)state;
    daemon_of_test = (struct daemon){0};
    clock_now = 5;
    egd_init(&egd, &port, test_ticks, FREQUENCY);
    return 0;
}

static bool try(uint64_t *word)
{
    const struct entropy_source source = egd_source(&egd);

    return source.read(source.context, word);
}

/* The next word that comes within so many tries. */
static uint64_t next_word(unsigned tries)
{
    uint64_t word;

    while (!try(&word)) {
        assert_true(tries-- > 0);
    }
    return word;
}

/* The word that the daemon's bytes from the n-th on make. */
static uint64_t word_from(uint64_t n)
{
    uint8_t bytes[8];
    uint64_t word;

    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (uint8_t)script_word(n + i);
    }
    memcpy(&word, bytes, 8);
    return word;
}

/* Asks, takes the answer, and joins answers of 15 bytes to words, without a byte lost or doubled.
 */
static void test_egd_words(void **state)
{
    uint64_t word;

    (void)state;
    assert_true(egd_source(&egd).slow);
    assert_false(try(&word));
    assert_int_equal(daemon_of_test.asked, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_true(next_word(2) == word_from(8 * i));
    }
    assert_true(egd.counters.bytes == daemon_of_test.sent);
    assert_true(egd.counters.requests == daemon_of_test.asked);
    assert_true(egd.counters.timeouts + egd.counters.wrong + egd.counters.empty == 0);
}

/* Answers of any length up to that asked for are right. */
static void test_egd_short_answers(void **state)
{
    for (unsigned limit = 1; limit <= 15; limit++) {
        set_up_egd(state);
        daemon_of_test.limit = limit;
        for (uint64_t i = 0; i < 50; i++) {
            assert_true(next_word(10) == word_from(8 * i));
        }
        assert_true(egd.counters.wrong == 0);
    }
}

/* What one try takes of the line is bounded, also when the line never stops. */
static void test_egd_bounded_steps(void **state)
{
    uint64_t word;

    (void)state;
    assert_false(try(&word));
    daemon_of_test.line[0] = 200;
    for (unsigned i = 1; i < 1000; i++) {
        send(&daemon_of_test, (uint8_t)i);
    }
    daemon_of_test.reads = 0;
    for (unsigned i = 1; i < 60; i++) {
        assert_false(try(&word));
        assert_true(daemon_of_test.reads <= i * EGD_STEP_BYTES);
    }
    assert_int_equal(egd.state, EGD_DRAINING);
    assert_int_equal(daemon_of_test.asked, 1);
    assert_true(egd.counters.wrong == 1);
}

/* A daemon without entropy is asked again after a pause, not all the time. */
static void test_egd_empty(void **state)
{
    uint64_t word;

    (void)state;
    daemon_of_test.empty = true;
    for (unsigned round = 1; round <= 5; round++) {
        uint64_t begin = clock_now;

        while (egd.counters.empty < round) {
            assert_false(try(&word));
        }
        clock_now = begin + EGD_PAUSE_MS * MS - 1;
        for (unsigned i = 0; i < 10; i++) {
            assert_false(try(&word));
        }
        assert_int_equal(daemon_of_test.asked, round);
        clock_now = begin + EGD_PAUSE_MS * MS;
    }
    daemon_of_test.empty = false;
    assert_true(next_word(3) == word_from(0));
}

/* Silence, from the start or within an answer: dropped, and asked again once the line is quiet. */
static void test_egd_timeouts(void **state)
{
    uint64_t word;

    for (unsigned cut = 1; cut <= 16; cut++) {
        set_up_egd(state);
        daemon_of_test.silent = cut == 16;
        daemon_of_test.cut = cut;
        assert_false(try(&word));
        clock_now += EGD_TIMEOUT_MS * MS - 1;
        assert_false(try(&word));
        assert_true(egd.counters.timeouts == 0);
        clock_now += 1;
        assert_false(try(&word));
        assert_true(egd.counters.timeouts == 1);
        daemon_of_test.silent = false;
        daemon_of_test.cut = 0;
        clock_now += EGD_QUIET_MS * MS - 1;
        assert_false(try(&word));
        assert_int_equal(daemon_of_test.asked, 1);
        clock_now += 1;
        uint64_t first = daemon_of_test.sent;

        /* Nothing of the broken answer is used. */
        assert_true(next_word(3) == word_from(first));
        assert_int_equal(daemon_of_test.asked, 2);
    }
}

/* An answer that comes after it was given up ends up in the drain, as a whole. */
static void test_egd_late_answer(void **state)
{
    uint64_t word;

    (void)state;
    daemon_of_test.silent = true;
    assert_false(try(&word));
    clock_now += EGD_TIMEOUT_MS * MS;
    assert_false(try(&word));
    assert_int_equal(egd.state, EGD_DRAINING);
    answer(&daemon_of_test, 15);
    clock_now += EGD_QUIET_MS * MS;
    assert_false(try(&word)); /* drains it, and waits anew */
    assert_int_equal(egd.state, EGD_DRAINING);
    assert_int_equal(daemon_of_test.asked, 1);
    daemon_of_test.silent = false;
    clock_now += EGD_QUIET_MS * MS;
    assert_true(next_word(3) == word_from(15));
}

/* A count larger than asked for, and bytes behind the answer: out of step, until it is quiet. */
static void test_egd_wrong_answers(void **state)
{
    uint64_t word;

    for (int excess = 1; excess <= 240; excess += 7) {
        set_up_egd(state);
        daemon_of_test.excess = excess;
        assert_false(try(&word));
        assert_false(try(&word));
        assert_int_equal(egd.state, EGD_DRAINING);
        assert_true(egd.counters.wrong == 1);
        daemon_of_test.excess = 0;
        assert_false(try(&word));
        assert_int_equal(daemon_of_test.asked, 1);
        clock_now += EGD_QUIET_MS * MS;
        assert_true(next_word(3) == word_from(15));
    }
    set_up_egd(state);
    daemon_of_test.unasked = 3;
    assert_true(next_word(3) == word_from(0));
    daemon_of_test.unasked = 0;
    assert_false(try(&word));
    assert_true(egd.counters.wrong == 1);
    assert_int_equal(egd.state, EGD_DRAINING);
    clock_now += EGD_QUIET_MS * MS;
    /* The seven bytes of the first answer that were left are followed by the next answer's. */
    uint8_t next[8];
    uint8_t expected[8];
    uint64_t word_behind = next_word(3);

    memcpy(next, &word_behind, 8);
    for (unsigned i = 0; i < 8; i++) {
        expected[i] = (uint8_t)script_word(i < 7 ? 8 + i : 18);
    }
    assert_memory_equal(next, expected, 8);
}

/* A line that takes nothing: not a byte is written until it does. */
static void test_egd_busy_line(void **state)
{
    uint64_t word;

    (void)state;
    daemon_of_test.deaf = true;
    for (unsigned i = 0; i < 100; i++) {
        assert_false(try(&word));
        clock_now += 1000 * MS;
    }
    assert_int_equal(daemon_of_test.written, 0);
    assert_true(egd.counters.timeouts == 0);
    daemon_of_test.deaf = false;
    assert_true(next_word(3) == word_from(0));
}

/* While one CPU is at the line, for the others the source is dry. */
static void test_egd_one_cpu_at_a_time(void **state)
{
    uint64_t word;

    (void)state;
    egd.busy = 1;
    assert_false(try(&word));
    assert_int_equal(daemon_of_test.reads, 0);
    egd.busy = 0;
    assert_true(next_word(3) == word_from(0));
}

/* Random misbehaviour: whatever happens, a daemon that is good again is used again. */
static void test_egd_survives_anything(void **state)
{
    uint64_t word;

    for (uint64_t round = 0; round < 2000; round++) {
        set_up_egd(state);
        for (uint64_t i = 0; i < 40; i++) {
            uint64_t dice = script_word(round * 40 + i);

            daemon_of_test.silent = dice % 5 == 0;
            daemon_of_test.empty = dice >> 8 & 1;
            daemon_of_test.excess = (dice >> 16) % 3 == 0 ? (int)(dice >> 24 & 0xff) : 0;
            daemon_of_test.cut = dice >> 32 & 3;
            daemon_of_test.unasked = dice >> 34 & 3;
            clock_now += dice >> 40 & 0xfffff;
            (void)try(&word);
        }
        daemon_of_test = (struct daemon){0};
        clock_now += EGD_TIMEOUT_MS * MS;
        (void)try(&word);
        clock_now += EGD_TIMEOUT_MS * MS;
        (void)try(&word);
        clock_now += EGD_PAUSE_MS * MS;
        (void)next_word(10);
    }
}

/* At a core: long silence is no fault, and the health tests look at what comes. */
static void test_egd_at_a_core(void **state)
{
    static struct entropy_core core;
    const struct entropy_source source = egd_source(&egd);
    unsigned rounds = 0;

    (void)state;
    entropy_init(&core, &source);
    daemon_of_test.silent = true;
    for (unsigned i = 0; i < 2 * ENTROPY_DRY_LIMIT; i++) {
        assert_int_equal(entropy_refill(&core, 64), 0);
        clock_now += 1;
    }
    assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
    assert_true(core.faults == 0);
    daemon_of_test.silent = false;
    clock_now += EGD_TIMEOUT_MS * MS * 2;
    while (entropy_level(&core) < ENTROPY_POOL_SIZE) {
        entropy_refill(&core, 64);
        clock_now += EGD_QUIET_MS * MS;
        assert_true(rounds++ < 2000);
    }
    /* A stuck daemon is noticed. */
    uint8_t sink[64];

    entropy_take(&core, sink, sizeof(sink));
    const struct script stuck = {.mode = SCRIPT_STUCK, .tries = UINT64_MAX};
    struct script script = stuck;

    core.source = script_source(&script);
    core.source.slow = true;
    entropy_refill(&core, 2);
    assert_int_equal(entropy_state(&core), ENTROPY_STARTING);
    assert_true(entropy_counters(&core).hits[HEALTH_WORD_REPETITION] == 1);
}

static void test_mix_is_the_xor(void **state)
{
    struct script one = {0};
    struct script two = {.played = 1000};
    struct script three = {.played = 2000};
    struct mix mix = {0};
    const struct entropy_source sources[] = {script_source(&one), script_source(&two),
                                             script_source(&three)};
    uint64_t word;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(mix_add(&mix, &sources[i]));
    }
    const struct entropy_source source = mix_source(&mix);

    assert_false(source.slow);
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(source.read(source.context, &word));
        assert_true(word == (script_word(i) ^ script_word(1000 + i) ^ script_word(2000 + i)));
    }
    assert_true(mix_add(&mix, &sources[0]));
    assert_false(mix_add(&mix, &sources[0]));
}

/* Whichever member is dry, the mix is, and so it is for 0 and all ones. */
static void test_mix_dry(void **state)
{
    const enum script_mode modes[] = {SCRIPT_DRY, SCRIPT_ZERO, SCRIPT_ONES};

    (void)state;
    for (unsigned i = 0; i < 9; i++) {
        struct script scripts[3] = {{0}, {.played = 1000}, {.played = 2000}};
        struct mix mix = {0};
        uint64_t word = 5;

        for (unsigned j = 0; j < 3; j++) {
            const struct entropy_source member = script_source(&scripts[j]);

            assert_true(mix_add(&mix, &member));
        }
        scripts[i / 3].mode = modes[i % 3];
        scripts[i / 3].tries = 5;
        const struct entropy_source source = mix_source(&mix);

        for (unsigned j = 0; j < 5; j++) {
            assert_false(source.read(source.context, &word));
            assert_true(word == 0);
        }
        assert_true(source.read(source.context, &word));
    }
}

/* A slow member comes first, wherever it was named, and its word is not lost to a dry fast one. */
static void test_mix_with_a_slow_member(void **state)
{
    struct script fast = {0};
    struct script lines = {.played = 1000};
    struct entropy_source slow = script_source(&lines);
    const struct entropy_source quick = script_source(&fast);
    struct mix mix = {0};
    uint64_t word;

    (void)state;
    slow.slow = true;
    assert_true(mix_add(&mix, &quick));
    assert_true(mix_add(&mix, &slow));
    const struct entropy_source source = mix_source(&mix);

    assert_true(source.slow);
    lines.mode = SCRIPT_DRY;
    lines.tries = 100;
    for (unsigned i = 0; i < 100; i++) {
        assert_false(source.read(source.context, &word));
    }
    assert_true(fast.asked == 0);
    fast.mode = SCRIPT_DRY;
    fast.tries = 15;
    assert_true(source.read(source.context, &word));
    assert_true(word == (script_word(1000) ^ script_word(0)));
}

/* One member stuck, the other good: the mix is good, which is what it is for. */
static void test_mix_with_a_stuck_member(void **state)
{
    static struct entropy_core core;
    struct script stuck = {.mode = SCRIPT_STUCK, .tries = UINT64_MAX};
    struct script good = {0};
    const struct entropy_source members[] = {script_source(&stuck), script_source(&good)};
    struct mix mix = {0};

    (void)state;
    assert_true(mix_add(&mix, &members[0]) && mix_add(&mix, &members[1]));
    const struct entropy_source source = mix_source(&mix);

    entropy_init(&core, &source);
    assert_int_equal(entropy_refill(&core, 100000), ENTROPY_STARTUP_WORDS + ENTROPY_POOL_SIZE / 8);
    assert_true(entropy_counters(&core).health_hits == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_egd_words, set_up_egd),
        cmocka_unit_test_setup(test_egd_short_answers, set_up_egd),
        cmocka_unit_test_setup(test_egd_bounded_steps, set_up_egd),
        cmocka_unit_test_setup(test_egd_empty, set_up_egd),
        cmocka_unit_test_setup(test_egd_timeouts, set_up_egd),
        cmocka_unit_test_setup(test_egd_late_answer, set_up_egd),
        cmocka_unit_test_setup(test_egd_wrong_answers, set_up_egd),
        cmocka_unit_test_setup(test_egd_busy_line, set_up_egd),
        cmocka_unit_test_setup(test_egd_one_cpu_at_a_time, set_up_egd),
        cmocka_unit_test_setup(test_egd_survives_anything, set_up_egd),
        cmocka_unit_test_setup(test_egd_at_a_core, set_up_egd),
        cmocka_unit_test(test_mix_is_the_xor),
        cmocka_unit_test(test_mix_dry),
        cmocka_unit_test(test_mix_with_a_slow_member),
        cmocka_unit_test(test_mix_with_a_stuck_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
