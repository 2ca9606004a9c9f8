/*
 * The watch: is the promise kept, at every instant that it looks?
 *
 * Ten times a second it reads the ledger and the resident bytes. A sample's limit is the higher one
 * of before and after, because the two readings are of no single instant. Every few seconds it
 * halves the limit, or restores it, and measures how long that takes while all go on.
 */
#include "mix.h"

#include <stdio.h>
#include <stdlib.h>

#include <os/os.h>

#define SAMPLE_NS      (100 * Q_MS_NS)
#define CHANGE_SAMPLES 15u /* samples between changes of the limit */

static int64_t over(uint64_t bytes, uint64_t limit_bytes)
{
    return (int64_t)bytes - (int64_t)limit_bytes;
}

static void note_most(int64_t *most, int64_t value)
{
    if (value > *most) {
        *most = value;
    }
}

static void sample(struct mix *mix, uint64_t other_bytes, struct mix_watch *watch)
{
    struct quarry_ledger before, after;

    (void)quarry_memory_ledger(mix->memory, &before, NULL, 0);
    uint64_t resident_bytes = os_resident_bytes();
    (void)quarry_memory_ledger(mix->memory, &after, NULL, 0);
    note_most(&watch->committed_over, over(before.committed_bytes, before.limit_bytes));
    note_most(&watch->committed_over, over(after.committed_bytes, after.limit_bytes));
    note_most(
        &watch->resident_over,
        over(resident_bytes, other_bytes + size_max_u64(before.limit_bytes, after.limit_bytes)));
    watch->committed_bytes = after.committed_bytes;
    watch->sample_count++;
}

/* A limit below what the actors hold that give nothing is refused, and asked for again later. */
static void change_limit(struct mix *mix, bool is_halved, struct mix_watch *watch)
{
    uint64_t limit_bytes = is_halved ? mix->full_limit_bytes / 2 : mix->full_limit_bytes;

    atomic_store_relaxed_u64(&mix->limit_bytes, limit_bytes);
    uint64_t begin_ns = os_monotonic_ns(os_real());
    enum quarry_status status = quarry_memory_set_limit(mix->memory, limit_bytes);
    uint64_t took_ns = os_monotonic_ns(os_real()) - begin_ns;
    watch->change_count++;
    watch->refused_count += status == QUARRY_NO_MEMORY;
    if (is_halved && took_ns > watch->slowest_ns) {
        watch->slowest_ns = took_ns;
    }
    if (status != QUARRY_OK && status != QUARRY_NO_MEMORY) {
        (void)fprintf(stderr, "mix: set_limit: '%s'\n", quarry_status_name(status));
        abort();
    }
}

static void validate(struct mix *mix, struct mix_watch *watch)
{
    struct quarry_error error = {0};

    if (quarry_memory_validate(mix->memory, &error) != QUARRY_OK) {
        (void)fprintf(stderr, "mix: %s\n", error.text);
        abort();
    }
    watch->validation_count++;
}

void mix_watch_run(struct mix *mix, uint64_t seconds, uint64_t other_bytes,
                   struct mix_watch *ret_watch)
{
    struct mix_watch watch = {.committed_over = INT64_MIN, .resident_over = INT64_MIN};
    uint64_t end_ns = os_monotonic_ns(os_real()) + seconds * Q_SECOND_NS;

    for (uint64_t i = 1; os_monotonic_ns(os_real()) < end_ns; i++) {
        os_sleep_ns(SAMPLE_NS);
        sample(mix, other_bytes, &watch);
        if (i % CHANGE_SAMPLES == 0) {
            change_limit(mix, i / CHANGE_SAMPLES % 2 == 1, &watch);
            validate(mix, &watch);
        }
    }
    *ret_watch = watch;
}
