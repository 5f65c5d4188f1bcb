/* A source that fails by a script: parsing of the script and playing it. */
#include "devices/rng/fault_source.h"

#include <string.h>

#include "vmm/format.h"
#include "vmm/host.h"

static const char *const kind_names[FAULT_KINDS] = {
    [FAULT_GOOD] = "good",     [FAULT_DRY] = "dry",   [FAULT_STUCK] = "stuck",
    [FAULT_REPEAT] = "repeat", [FAULT_ZERO] = "zero", [FAULT_ONES] = "ones",
    [FAULT_FAIL] = "fail",     [FAULT_BIAS] = "bias", [FAULT_EMPTY] = "empty",
};

#define NUMBER_MAX 1000000000ULL

static const char *skip_blanks(const char *text)
{
    while (*text == ' ' || *text == '\t') {
        text++;
    }
    return text;
}

static bool parse_kind(const char **text, enum fault_kind *kind)
{
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        size_t length = strlen(kind_names[i]);

        if (strncmp(*text, kind_names[i], length) == 0) {
            *kind = (enum fault_kind)i;
            *text += length;
            return true;
        }
    }
    return false;
}

static bool parse_length(const char **text, struct fault_phase *phase)
{
    const char *at = *text;

    if (*at < '0' || *at > '9') {
        return true; /* for ever */
    }
    while (*at >= '0' && *at <= '9' && phase->length <= NUMBER_MAX) {
        phase->length = phase->length * 10 + (uint64_t)(*at++ - '0');
    }
    phase->unit = FAULT_TRIES;
    if (at[0] == 'm' && at[1] == 's') {
        phase->unit = FAULT_MILLISECONDS;
        at += 2;
    }
    *text = at;
    return phase->length > 0 && phase->length <= NUMBER_MAX;
}

bool fault_source_parse(struct fault_source *faults, const char *script, char *error,
                        size_t error_size)
{
    const char *text = skip_blanks(script);

    *faults = (struct fault_source){0};
    for (;;) {
        struct fault_phase phase = {0};
        const char *start = text;

        if (faults->count == FAULT_PHASES) {
            format(error, error_size, "at most %u phases", FAULT_PHASES);
            return false;
        }
        if (!parse_kind(&text, &phase.kind)) {
            format(error, error_size, "\"%s\" does not begin with a kind of fault", start);
            return false;
        }
        text = skip_blanks(text);
        bool good = parse_length(&text, &phase);

        text = skip_blanks(text);
        if (!good || (*text != ',' && *text != '\0')) {
            format(error, error_size, "\"%s\": expected a length such as 5000 or 3000ms", start);
            return false;
        }
        faults->phases[faults->count++] = phase;
        if (*text == '\0') {
            return true;
        }
        text = skip_blanks(text + 1);
    }
}

static uint64_t milliseconds_since(const struct fault_source *faults, uint64_t begin)
{
    return (host_ticks() - begin) / (faults->frequency / 1000);
}

static bool is_over(const struct fault_source *faults, const struct fault_phase *phase)
{
    switch (phase->unit) {
    case FAULT_TRIES:
        return faults->tries >= phase->length;
    case FAULT_MILLISECONDS:
        return faults->begun && milliseconds_since(faults, faults->begin) >= phase->length;
    default:
        return false;
    }
}

/* The kind of fault that holds now; goes on to the next phase if one is over. */
static enum fault_kind advance(struct fault_source *faults)
{
    while (faults->current < faults->count && is_over(faults, &faults->phases[faults->current])) {
        faults->current++;
        faults->begun = false;
        faults->tries = 0;
    }
    return faults->current < faults->count ? faults->phases[faults->current].kind : FAULT_GOOD;
}

/* 0x42 in place of one byte in ten or so, which ones decided by a mix of the count. */
static uint64_t biased(uint64_t word, uint64_t count)
{
    for (unsigned i = 0; i < sizeof(word); i++) {
        uint64_t mix = (count * sizeof(word) + i + 1) * 0x9e3779b97f4a7c15ULL;

        mix = (mix ^ mix >> 30) * 0xbf58476d1ce4e5b9ULL;
        if ((mix >> 32) % 10 == 0) {
            word = (word & ~(0xffULL << 8 * i)) | 0x42ULL << 8 * i;
        }
    }
    return word;
}

static bool read_faulty(void *context, uint64_t *word)
{
    struct fault_source *faults = context;
    enum fault_kind kind = advance(faults);
    uint64_t count = faults->tries;
    uint64_t last = faults->word;

    if (!faults->begun) {
        faults->begun = true;
        faults->begin = host_ticks();
    }
    faults->tries += kind == FAULT_EMPTY ? 0 : 1;
    if (kind == FAULT_DRY || (kind == FAULT_FAIL && count % 10 == 0) ||
        !faults->source.read(faults->source.context, word)) {
        *word = 0;
        return false;
    }
    if (kind == FAULT_ZERO || kind == FAULT_ONES) {
        *word = kind == FAULT_ZERO ? 0 : UINT64_MAX;
    } else if (kind == FAULT_STUCK || (kind == FAULT_REPEAT && count % 2 == 1)) {
        *word = last;
    } else if (kind == FAULT_BIAS) {
        *word = biased(*word, count);
    }
    faults->word = *word;
    return true;
}

struct entropy_source fault_source_start(struct fault_source *faults,
                                         const struct entropy_source *source, uint64_t frequency)
{
    faults->source = *source;
    faults->frequency = frequency;
    faults->current = 0;
    faults->begun = false;
    faults->tries = 0;
    return (struct entropy_source){
        .name = source->name, .read = read_faulty, .context = faults, .slow = source->slow};
}

bool fault_source_completes_empty(struct fault_source *faults)
{
    bool empty = advance(faults) == FAULT_EMPTY;

    faults->tries += empty ? 1 : 0;
    return empty;
}
