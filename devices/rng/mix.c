/* Several entropy sources as one: each word is the XOR of a word of each. */
#include "devices/rng/mix.h"

#include "vmm/wipe.h"

/* Tries of each member where trying the whole again would waste a slow member's word. */
#define MEMBER_TRIES 16U

bool mix_add(struct mix *mix, const struct entropy_source *source)
{
    unsigned place = mix->count;

    if (mix->count == MIX_SOURCES) {
        return false;
    }
    for (; source->slow && place > 0; place--) {
        mix->members[place] = mix->members[place - 1];
    }
    mix->members[place] = *source;
    mix->count++;
    mix->slow |= source->slow;
    return true;
}

static bool read_member(const struct mix *mix, const struct entropy_source *member, uint64_t *word)
{
    unsigned tries = mix->slow && !member->slow ? MEMBER_TRIES : 1;

    for (unsigned i = 0; i < tries; i++) {
        if (member->read(member->context, word) && *word != 0 && *word != UINT64_MAX) {
            return true;
        }
    }
    return false;
}

/* The slow members are asked first: the others' words cost little, if one of these has none. */
static bool mix_read(void *context, uint64_t *word)
{
    const struct mix *mix = context;
    uint64_t sum = 0;
    uint64_t part = 0;
    bool good = true;

    for (unsigned i = 0; i < mix->count && good; i++) {
        good = read_member(mix, &mix->members[i], &part);
        sum ^= part;
    }
    *word = good ? sum : 0;
    wipe(&part, sizeof(part));
    wipe(&sum, sizeof(sum));
    return good;
}

struct entropy_source mix_source(struct mix *mix)
{
    return (struct entropy_source){
        .name = "mix", .read = mix_read, .context = mix, .slow = mix->slow};
}
