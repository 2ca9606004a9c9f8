#include "mix.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Words are written and read this far apart: every OS page of a large thing is touched. */
#define STEP_BYTES 4096u

static uint64_t word_at(uint64_t mark, uint64_t offset)
{
    return (mark + offset) * UINT64_C(0x9E3779B97F4A7C15) | 1;
}

static void write_word(char *data, uint64_t offset, uint64_t mark)
{
    uint64_t word = word_at(mark, offset);

    memcpy(data + offset, &word, sizeof(word));
}

void mix_fill(void *data, uint64_t bytes, uint64_t mark)
{
    for (uint64_t offset = 0; offset + sizeof(uint64_t) <= bytes; offset += STEP_BYTES) {
        write_word(data, offset, mark);
    }
    if (bytes >= 2 * sizeof(uint64_t)) {
        write_word(data, bytes - sizeof(uint64_t), mark);
    }
}

static void check_word(const char *data, uint64_t offset, uint64_t mark)
{
    uint64_t word;

    memcpy(&word, data + offset, sizeof(word));
    if (word != word_at(mark, offset)) {
        (void)fprintf(stderr, "mix: %p + %lu holds %lx, not what was written with mark %lx\n",
                      (const void *)data, offset, word, mark);
        abort();
    }
}

/* The last word may overlap one that fill wrote before it: that one is not looked at. */
void mix_check(struct mix_actor *actor, const void *data, uint64_t bytes, uint64_t mark)
{
    for (uint64_t offset = 0; offset + 2 * sizeof(uint64_t) <= bytes; offset += STEP_BYTES) {
        check_word(data, offset, mark);
    }
    if (bytes >= 2 * sizeof(uint64_t)) {
        check_word(data, bytes - sizeof(uint64_t), mark);
    }
    actor->checked_count++;
}

bool mix_is_ok(struct mix_actor *actor, enum quarry_status status)
{
    actor->done_count++;
    if (status == QUARRY_NO_MEMORY) {
        actor->refused_count++;
    } else if (status != QUARRY_OK) {
        (void)fprintf(stderr, "mix: an actor got '%s'\n", quarry_status_name(status));
        abort();
    }
    return status == QUARRY_OK;
}
