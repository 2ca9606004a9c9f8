/*
 * What a store says of itself: properties, figures, sizes of ranges; and that verifying finds what
 * is damaged.
 */
#include "unit/kv/out_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char room[65536];

static const char *property(struct quarry_kv *kv, const char *name)
{
    size_t byte_count = 0;
    enum quarry_status status = quarry_kv_property(kv, name, room, sizeof(room), &byte_count);

    if (status != QUARRY_OK) {
        fail_msg("%s: %s", name, quarry_status_name(status));
    }
    assert_int_equal(byte_count, strlen(room));
    return room;
}
static uint64_t number(struct quarry_kv *kv, const char *name)
{
    char *end;
    uint64_t value = strtoull(property(kv, name), &end, 10);

    assert_true(end != room && *end == '\0');
    return value;
}

static void compact(struct quarry_kv *kv)
{
    must(quarry_kv_compact_range(kv, (struct quarry_kv_slice){0}, (struct quarry_kv_slice){0},
                                 &out_error));
}

static void numbers_are_what_they_are_called(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    const struct quarry_kv_snapshot *snapshot;

    (void)state;
    assert_int_equal(number(kv, "rocksdb.estimate-num-keys"), 0);
    assert_int_equal(number(kv, "rocksdb.total-sst-files-size"), 0);
    out_fill(kv, 0, 1000, "first");
    must(quarry_kv_delete(kv, NULL, "key000000", 9, &out_error));
    assert_int_equal(number(kv, "rocksdb.num-entries-active-mem-table"), 1001);
    assert_int_equal(number(kv, "rocksdb.num-deletes-active-mem-table"), 1);
    assert_true(number(kv, "rocksdb.cur-size-active-mem-table") > 100000);
    assert_int_equal(number(kv, "rocksdb.estimate-num-keys"), 999);
    must(quarry_kv_flush(kv, &out_error));
    assert_int_equal(number(kv, "rocksdb.num-entries-active-mem-table"), 0);
    assert_int_equal(number(kv, "rocksdb.num-files-at-level0"), 1);
    assert_int_equal(number(kv, "leveldb.num-files-at-level0"), 1);
    assert_true(number(kv, "rocksdb.total-sst-files-size") > 1000);
    must(quarry_kv_snapshot_take(kv, &snapshot));
    assert_int_equal(number(kv, "rocksdb.num-snapshots"), 1);
    assert_int_equal(number(kv, "rocksdb.oldest-snapshot-sequence"), 1001);
    quarry_kv_snapshot_release(kv, snapshot);
    compact(kv);
    assert_int_equal(number(kv, "rocksdb.num-files-at-level0"), 0);
    assert_true(number(kv, "rocksdb.num-files-at-level6") > 0);
    assert_int_equal(number(kv, "rocksdb.estimate-num-keys"), 999);
    assert_int_equal(number(kv, "rocksdb.base-level"), 6);
    assert_true(number(kv, "rocksdb.num-live-versions") >= 1);
    assert_int_equal(number(kv, "rocksdb.is-write-stopped"), 0);
    assert_int_equal(number(kv, "rocksdb.is-file-deletions-enabled"), 1);
    assert_int_equal(number(kv, "rocksdb.background-errors"), 0);
    assert_true(number(kv, "rocksdb.block-cache-capacity") > 0);
    assert_true(atof(property(kv, "rocksdb.compression-ratio-at-level6")) > 0.5);
    out_close(kv);
}

static void every_name_is_known(void **state)
{
    static const char *const names[] = {
        "leveldb.approximate-memory-usage",
        "leveldb.sstables",
        "leveldb.stats",
        "quarry.lsm",
        "quarry.memory",
        "quarry.pins",
        "rocksdb.actual-delayed-write-rate",
        "rocksdb.aggregated-table-properties",
        "rocksdb.block-cache-pinned-usage",
        "rocksdb.block-cache-usage",
        "rocksdb.cfstats",
        "rocksdb.cur-size-all-mem-tables",
        "rocksdb.dbstats",
        "rocksdb.estimate-live-data-size",
        "rocksdb.estimate-pending-compaction-bytes",
        "rocksdb.estimate-table-readers-mem",
        "rocksdb.levelstats",
        "rocksdb.live-sst-files-size",
        "rocksdb.mem-table-flush-pending",
        "rocksdb.min-log-number-to-keep",
        "rocksdb.num-deletes-imm-mem-tables",
        "rocksdb.num-entries-imm-mem-tables",
        "rocksdb.num-immutable-mem-table",
        "rocksdb.num-running-compactions",
        "rocksdb.num-running-flushes",
        "rocksdb.obsolete-sst-files-size",
        "rocksdb.size-all-mem-tables",
        "rocksdb.sstables",
        "rocksdb.stats",
    };
    static const char *const unknown[] = {
        "",
        "rocksdb.",
        "rocksdb.num-files-at-level",
        "rocksdb.num-files-at-level7",
        "rocksdb.num-files-at-level01",
        "quarry.nothing",
        "rocksdb.statsx",
    };
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    out_fill(kv, 0, 1000, "first");
    must(quarry_kv_flush(kv, &out_error));
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        assert_true(strlen(property(kv, names[i])) > 0);
    }
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        assert_int_equal(quarry_kv_property(kv, unknown[i], room, sizeof(room), NULL),
                         QUARRY_NOT_FOUND);
    }
    assert_non_null(strstr(property(kv, "rocksdb.sstables"), "--- level 0 --- version# "));
    assert_non_null(strstr(room, "6B6579303030303030")); /* key00000 */
    assert_non_null(strstr(property(kv, "rocksdb.aggregated-table-properties"), "# entries=1000;"));
    out_close(kv);
}

static void leveldbs_texts_have_its_form(void **state)
{
    struct quarry_kv *kv = out_open("/kv");

    (void)state;
    assert_string_equal(property(kv, "leveldb.sstables"),
                        "--- level 0 ---\n--- level 1 ---\n--- level 2 ---\n--- level 3 ---\n"
                        "--- level 4 ---\n--- level 5 ---\n--- level 6 ---\n");
    assert_string_equal(property(kv, "leveldb.stats"),
                        "                               Compactions\n"
                        "Level  Files Size(MB) Time(sec) Read(MB) Write(MB)\n"
                        "--------------------------------------------------\n");
    must(quarry_kv_put(kv, NULL, "a\n\xff", 3, "1", 1, &out_error));
    must(quarry_kv_delete(kv, NULL, "b", 1, &out_error));
    must(quarry_kv_flush(kv, &out_error));
    assert_non_null(
        strstr(property(kv, "leveldb.sstables"), "['a\\x0a\\xff' @ 1 : 1 .. 'b' @ 2 : 0]\n"));
    assert_non_null(strstr(property(kv, "leveldb.stats"),
                           "\n  0        1        0         0        0         0\n"));
    out_close(kv);
}

static void a_text_is_cut_off_where_the_room_ends(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    char little[16];
    size_t whole, cut;

    (void)state;
    memset(little, 'x', sizeof(little));
    must(quarry_kv_property(kv, "rocksdb.levelstats", room, sizeof(room), &whole));
    must(quarry_kv_property(kv, "rocksdb.levelstats", little, 10, &cut));
    assert_int_equal(whole, cut);
    assert_memory_equal(little, room, 9);
    assert_int_equal(little[9], '\0');
    assert_int_equal(little[10], 'x');
    must(quarry_kv_property(kv, "rocksdb.levelstats", NULL, 0, &cut));
    assert_int_equal(whole, cut);
    out_close(kv);
}

static void figures_count_what_was_done(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    struct quarry_kv_iterator *iterator;
    struct quarry_kv_stats stats;

    (void)state;
    out_fill(kv, 0, 500, "first");
    must(quarry_kv_delete(kv, NULL, "key000000", 9, &out_error));
    must(quarry_kv_delete_range(kv, NULL, "key000400", 9, "key000500", 9, &out_error));
    out_expect_fill(kv, 1, 2, "first");
    out_expect(kv, "key000000", NULL);
    quarry_kv_read_stats(kv, &stats);
    assert_int_equal(stats.put_count, 500);
    assert_int_equal(stats.delete_count, 1);
    assert_int_equal(stats.range_delete_count, 1);
    assert_int_equal(stats.get_count, 2);
    assert_int_equal(stats.get_hit_count, 1);
    assert_int_equal(stats.sequence, 502);
    assert_int_equal(stats.memtable_count, 1);
    assert_true(stats.log_bytes > 50000);
    assert_true(stats.written_bytes > 50000);
    must(quarry_kv_flush(kv, &out_error));
    out_fill(kv, 0, 500, "second");
    must(quarry_kv_iterate(kv, NULL, &iterator, &out_error));
    assert_true(quarry_kv_iterator_first(iterator));
    compact(kv);
    quarry_kv_read_stats(kv, &stats);
    assert_int_equal(stats.flush_count, 2);
    assert_true(stats.compaction_count > 0);
    assert_int_equal(stats.iterator_count, 1);
    assert_true(stats.obsolete_bytes > 0);
    assert_true(stats.level[6].file_count > 0);
    assert_true(stats.charged_bytes > 0);
    quarry_kv_iterator_destroy(iterator);
    out_close(kv);
}

static void ranges_have_about_their_share_of_bytes(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    const struct quarry_kv_slice begins[] = {
        {NULL, 0}, {"key000000", 9}, {"key002500", 9}, {"x", 1}, {"key002500", 9}};
    const struct quarry_kv_slice ends[] = {
        {NULL, 0}, {"key002500", 9}, {NULL, 0}, {"z", 1}, {"key002400", 9}};
    uint64_t bytes[5];

    (void)state;
    out_fill(kv, 0, 5000, "first");
    compact(kv);
    quarry_kv_approximate_bytes(kv, begins, ends, 5, bytes);
    uint64_t all = number(kv, "rocksdb.total-sst-files-size");
    assert_true(bytes[0] > all * 9 / 10 && bytes[0] <= all);
    assert_true(bytes[1] > all * 4 / 10 && bytes[1] < all * 6 / 10);
    assert_true(bytes[2] > all * 4 / 10 && bytes[2] < all * 6 / 10);
    assert_int_equal(bytes[3], 0);
    assert_int_equal(bytes[4], 0);
    out_close(kv);
}

static uint32_t corruptions;
static void count_corruption(void *argument, const struct quarry_kv_event_data *data)
{
    (void)argument;
    corruptions += data->event == QUARRY_KV_EVENT_CORRUPTION && data->error != NULL;
}

static void verifying_finds_a_byte_that_has_changed(void **state)
{
    struct quarry_kv_options options = out_options();
    char name[256], path[320];

    (void)state;
    options.listener.notice = count_corruption;
    struct quarry_kv *kv = out_open_with("/kv", &options);
    out_fill(kv, 0, 3000, "first");
    compact(kv);
    must(quarry_kv_verify(kv, &out_error));
    assert_true(out_files("/kv", ".sst", name) > 1);
    (void)snprintf(path, sizeof(path), "/kv/%s", name);
    for (uint64_t at = 10; at < 20000; at += 1999) {
        out_damage(path, at);
        corruptions = 0;
        assert_int_equal(quarry_kv_verify(kv, &out_error), QUARRY_CORRUPT);
        name[6] = '\0';
        assert_non_null(strstr(out_error.text, name)); /* the number */
        assert_int_equal(corruptions, 1);
        out_damage(path, at);
    }
    must(quarry_kv_verify(kv, &out_error));
    struct quarry_kv_state health;
    quarry_kv_read_state(kv, &health);
    assert_false(health.is_read_only);
    out_close(kv);
}

static void every_name_that_is_listed_is_told(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    static char names[sizeof room];
    unsigned count = 0;

    (void)state;
    (void)strcpy(names, property(kv, "quarry.properties"));
    for (char *name = strtok(names, "\n"); name != NULL; name = strtok(NULL, "\n")) {
        (void)property(kv, name);
        count++;
    }
    assert_in_range(count, 50, 80);
    out_close(kv);
}

static void the_json_has_levels_files_and_counters(void **state)
{
    struct quarry_kv *kv = out_open("/kv");
    char part[64];

    (void)state;
    out_fill(kv, 0, 1000, "first");
    must(quarry_kv_flush(kv, &out_error));
    (void)snprintf(part, sizeof part, "{\"level\":0,\"file_count\":1,\"file_bytes\":%llu,",
                   (unsigned long long)number(kv, "rocksdb.total-sst-files-size"));
    const char *text = property(kv, "quarry.stats");
    assert_non_null(strstr(text, part));
    assert_non_null(strstr(text, "\"put_count\":1000,"));
    assert_non_null(strstr(text, "\"sublevels\":[{\"file_count\":1,"));
    assert_int_equal(text[strlen(text) - 1], '}');
    out_close(kv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, out_set_up, out_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_are_what_they_are_called),
        TEST(every_name_is_known),
        TEST(leveldbs_texts_have_its_form),
        TEST(a_text_is_cut_off_where_the_room_ends),
        TEST(figures_count_what_was_done),
        TEST(ranges_have_about_their_share_of_bytes),
        TEST(verifying_finds_a_byte_that_has_changed),
        TEST(every_name_that_is_listed_is_told),
        TEST(the_json_has_levels_files_and_counters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
