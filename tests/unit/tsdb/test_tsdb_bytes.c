/*
 * What a store takes, by its own accounts: bytes of a series, and pages beside what lives in them.
 *
 * docs/decisions/0071-bytes-of-a-series.md takes the figures apart.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <string.h>

#include <base/base.h>

#define LABELS     8u
#define REQUEST    8000u
#define SERIES     40000u
#define PAGE_BYTES UINT64_C(8192)
#define SHARDS     64u
/* What was reached, 288 by the accounts at 40,000 series, and 5 % more. */
#define BYTES_A_SERIES_MAX 302u

static const char *const names[LABELS] = {"__name__", "arch",   "datacenter", "hostname",
                                          "os",       "region", "service",    "team"};

/* A request's entries, of series with the eight labels that TSBS' devops has. */
static struct {
    struct quarry_tsdb_entry entries[REQUEST];
    struct quarry_tsdb_label labels[REQUEST][LABELS];
    struct quarry_tsdb_sample samples[REQUEST];
    char texts[REQUEST][LABELS][32], keys[REQUEST][16];
} room;

static void entry_fill(uint32_t place, uint32_t number)
{
    static const uint32_t kinds[LABELS] = {10, 2, 29, UINT32_MAX, 3, 9, 20, 5};

    for (uint32_t i = 0; i < LABELS; i++) {
        uint32_t value = i == 0 ? number % 10 : number / 10 % kinds[i];
        char *text = room.texts[place][i];
        (void)snprintf(text, sizeof room.texts[place][i], "%s-of-devops-%u", names[i], value);
        room.labels[place][i] =
            (struct quarry_tsdb_label){{names[i], strlen(names[i])}, {text, strlen(text)}};
    }
    (void)snprintf(room.keys[place], sizeof room.keys[place], "series %08u", number);
    room.entries[place] =
        (struct quarry_tsdb_entry){.key = {room.keys[place], strlen(room.keys[place])},
                                   .labels = {room.labels[place], LABELS},
                                   .samples = &room.samples[place],
                                   .sample_count = 1};
}

/* Has the entries be those of series from `first` on. */
static void entries_fill(uint32_t first)
{
    for (uint32_t i = 0; i < REQUEST; i++) {
        entry_fill(i, first + i);
    }
}

typedef uint64_t value_function(uint32_t number, int64_t t_ms);

/* A sample of each of the entries' series. */
static void append_step(int64_t t_ms, value_function *bits)
{
    const struct quarry_tsdb_request request = {.entries = room.entries, .entry_count = REQUEST};

    for (uint32_t i = 0; i < REQUEST; i++) {
        room.samples[i] = (struct quarry_tsdb_sample){t_ms, bits(i, t_ms)};
    }
    assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &rig_result), QUARRY_OK);
    assert_int_equal(rig_result.taken_count, REQUEST);
}

static uint64_t walk(uint32_t number, int64_t t_ms)
{
    double value = (double)((number * 7 + (uint64_t)t_ms / 1000 % 5) % 100);
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Doubles that fit no code but their 64 bits. */
static uint64_t noise(uint32_t number, int64_t t_ms)
{
    uint64_t bits = ((uint64_t)t_ms + number) * UINT64_C(0x9e3779b97f4a7c15);

    return (bits & ~(UINT64_C(0x7ff) << 52)) | UINT64_C(1) << 61;
}

static void a_series_with_one_sample_takes_its_part(void **state)
{
    (void)state;
    rig_open();
    for (uint32_t first = 0; first < SERIES; first += REQUEST) {
        entries_fill(first);
        append_step(1000, walk);
    }
    rig_turns();
    struct quarry_tsdb_stats stats = rig_stats();
    uint64_t bytes = stats.registry_bytes + stats.open_bytes + stats.meta_bytes;
    print_message("bytes a series: registry %.1f, open window %.1f, the rest %.1f, in all %.1f\n",
                  (double)stats.registry_bytes / SERIES, (double)stats.open_bytes / SERIES,
                  (double)stats.meta_bytes / SERIES, (double)bytes / SERIES);
    assert_int_equal(stats.series_count, SERIES);
    assert_int_equal(stats.query_bytes + stats.sealed_bytes, 0);
    assert_true(bytes <= (uint64_t)BYTES_A_SERIES_MAX * SERIES);
}

/* Pages of windows beside what lives in them. */
static uint64_t slack_bytes(uint32_t *ret_open_count)
{
    struct quarry_tsdb_window windows[16];
    size_t count = quarry_tsdb_windows(rig.tsdb, windows, COUNT_OF(windows));
    uint64_t slack = 0;

    *ret_open_count = 0;
    for (size_t i = 0; i < count; i++) {
        slack += windows[i].open_bytes - windows[i].open_used_bytes;
        slack += windows[i].sealed_bytes - windows[i].sealed_used_bytes;
        *ret_open_count += windows[i].open_bytes != 0;
    }
    return slack;
}

/* Of each shard that is open a page that is partly used, and of each window one: after each step,
 * though every one could have used a chunklet for each series, two pages of a shard. */
static void pages_are_hardly_ahead_of_use(void **state)
{
    uint32_t open_count;

    (void)state;
    rig_open();
    entries_fill(0);
    for (uint32_t step = 1; step <= 60; step++) {
        append_step(step * INT64_C(50000), step % 3 == 0 ? noise : walk);
        rig_turns();
        uint64_t slack = slack_bytes(&open_count);
        assert_true(slack <= open_count * SHARDS * PAGE_BYTES + 8 * PAGE_BYTES);
    }
    assert_true(rig_stats().sealed_shard_count >= SHARDS);
}

#define BYTES_TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BYTES_TEST(a_series_with_one_sample_takes_its_part),
        BYTES_TEST(pages_are_hardly_ahead_of_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
