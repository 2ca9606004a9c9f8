/*
 * Memtables that are refused memory: creating and preparing at every limit, an arena that fills to
 * the last byte, a table of keys that cannot grow, range deletions without memory to cut them.
 */
#include "unit/kv/mem_rig.h"

#include <stdio.h>

/* One put of a key by number. */
static void fill_batch(struct quarry_kv_batch *batch, uint32_t number, size_t value_bytes)
{
    static const char value[4096];
    char key[16];

    quarry_kv_batch_clear(batch);
    snprintf(key, sizeof key, "%08u", number * 2654435761u % 100000000u);
    assert_int_equal(quarry_kv_batch_put(batch, key, 8, value, value_bytes), QUARRY_OK);
}

/* Writes until it is refused. Returns: how many were written. */
static uint32_t fill(struct kv_memtable *memtable, size_t value_bytes, enum quarry_status *refusal)
{
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_splice splice = {.memtable_id = 0};
    uint32_t count = 0;

    for (;; count++) {
        struct kv_memtable_plan plan;
        fill_batch(batch, count, value_bytes);
        assert_int_equal(kv_memtable_plan(kv_batch_slice(batch), &plan, NULL), QUARRY_OK);
        *refusal = kv_memtable_prepare(memtable, &plan, count + 1);
        if (*refusal != QUARRY_OK) {
            break;
        }
        assert_true(kv_memtable_has_writers(memtable));
        kv_memtable_apply(memtable, &plan, &splice);
        assert_false(kv_memtable_has_writers(memtable));
    }
    quarry_kv_batch_destroy(batch);
    return count;
}

static void check_all(const struct kv_memtable *memtable, uint32_t count)
{
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_found found;

    for (uint32_t i = 0; i < count; i++) {
        struct kv_batch_cursor cursor;
        struct kv_batch_record record;
        fill_batch(batch, i, 0);
        kv_batch_cursor_init(&cursor, kv_batch_slice(batch), NULL);
        kv_batch_next(&cursor, &record, NULL);
        assert_true(kv_memtable_get(memtable, record.key, KV_SEQUENCE_MAX, &found));
        assert_true(kv_trailer_sequence(found.trailer) >= i + 1);
    }
    quarry_kv_batch_destroy(batch);
}

static void a_full_arena_refuses_and_keeps_what_it_has(void **state)
{
    static const size_t sizes[] = {0, 10, 100, 1000, 4096};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct kv_memtable *memtable = memtable_make(Q_MIB(1), false);
        struct kv_memtable_stats stats;
        enum quarry_status refusal;
        uint32_t count = fill(memtable, sizes[i], &refusal);
        assert_int_equal(refusal, QUARRY_NO_ADDRESS);
        kv_memtable_read_stats(memtable, &stats);
        assert_int_equal(stats.entry_count, count);
        assert_true(stats.used_bytes > Q_MIB(1) - 5000);
        kv_memtable_validate(memtable);
        check_all(memtable, count);
        kv_memtable_release(memtable);
    }
}

static void every_charge_may_be_refused(void **state)
{
    uint32_t refused_count = 0, created_count = 0;

    (void)state;
    for (uint64_t bytes = 0; bytes <= Q_KIB(512); bytes += Q_KIB(4)) {
        const struct kv_memtable_options options = {.keeper = rig_keeper,
                                                    .memory = &rig_kv_memory,
                                                    .comparator = &kv_bytewise,
                                                    .capacity_bytes = Q_KIB(256)};
        struct kv_memtable *memtable = NULL;
        enum quarry_status refusal = QUARRY_OK;
        (void)quarry_arena_keeper_reclaim(rig_keeper, 1);
        mem_rig_leave(bytes);
        if (kv_memtable_create(&options, &memtable, NULL) == QUARRY_OK) {
            created_count++;
            mem_rig_leave(UINT64_MAX);
            struct quarry_kv_batch *batch = batch_make(false);
            quarry_kv_batch_put(batch, "k", 1, "v", 1);
            memtable_write(memtable, batch, 1, NULL);
            quarry_kv_batch_destroy(batch);
            kv_memtable_validate(memtable);
            kv_memtable_release(memtable);
        } else {
            refused_count++;
            mem_rig_leave(UINT64_MAX);
        }
        (void)refusal;
    }
    assert_true(refused_count >= 10 && created_count >= 10);
}

static void a_refused_step_leaves_the_memtable_as_it_was(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_MIB(4), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_plan plan;
    uint32_t count = 0;
    enum quarry_status status;

    (void)state;
    fill_batch(batch, 0, 4096);
    mem_rig_leave(Q_KIB(600));
    for (;; count++) {
        assert_int_equal(kv_memtable_plan(kv_batch_slice(batch), &plan, NULL), QUARRY_OK);
        status = kv_memtable_prepare(memtable, &plan, count + 1);
        if (status != QUARRY_OK) {
            break;
        }
        kv_memtable_apply(memtable, &plan, NULL);
    }
    assert_int_equal(status, QUARRY_NO_MEMORY);
    kv_memtable_validate(memtable);
    mem_rig_leave(UINT64_MAX);
    assert_int_equal(kv_memtable_prepare(memtable, &plan, count + 1), QUARRY_OK);
    kv_memtable_apply(memtable, &plan, NULL);
    kv_memtable_validate(memtable);
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

static void a_batch_that_no_memtable_could_hold_is_too_large(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_KIB(256), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_plan plan;

    (void)state;
    for (uint32_t i = 0; i < 70; i++) {
        static const char value[4000];
        char key[8];
        snprintf(key, sizeof key, "%u", i);
        quarry_kv_batch_put(batch, key, strlen(key), value, sizeof value);
    }
    assert_int_equal(kv_memtable_plan(kv_batch_slice(batch), &plan, NULL), QUARRY_OK);
    assert_int_equal(kv_memtable_prepare(memtable, &plan, 1), QUARRY_TOO_LARGE);
    assert_false(kv_memtable_has_writers(memtable));
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

static void a_table_that_cannot_grow_sends_readers_to_the_list(void **state)
{
    /* One batch that leaves no room for a table behind it. */
    struct kv_memtable *memtable = memtable_make(Q_KIB(256), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_stats stats;
    struct kv_memtable_found found;
    char key[16];
    uint32_t count = 5300;

    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%08u", i);
        quarry_kv_batch_put(batch, key, 8, "", 0);
    }
    memtable_write(memtable, batch, 1, NULL);
    kv_memtable_read_stats(memtable, &stats);
    assert_false(stats.has_whole_hash);
    kv_memtable_validate(memtable);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%08u", i);
        assert_true(kv_memtable_get(memtable, kv_slice(key, 8), KV_SEQUENCE_MAX, &found));
        key[8] = 'x';
        assert_false(kv_memtable_get(memtable, kv_slice(key, 9), KV_SEQUENCE_MAX, &found));
    }
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

static void range_deletions_cover_without_memory_too(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_MIB(1), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_fragments *fragments = NULL;
    char begin[8], end[8];

    (void)state;
    assert_int_equal(kv_memtable_fragments(memtable, &fragments), QUARRY_OK);
    assert_null(fragments);
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(begin, sizeof begin, "%03u", i);
        snprintf(end, sizeof end, "%03u", i + 10);
        quarry_kv_batch_delete_range(batch, begin, 3, end, 3);
    }
    memtable_write(memtable, batch, 100, NULL);
    for (int has_memory = 0; has_memory < 2; has_memory++) {
        mem_rig_leave(has_memory ? UINT64_MAX : 0);
        assert_int_equal(kv_memtable_fragments(memtable, &fragments),
                         has_memory ? QUARRY_OK : QUARRY_NO_MEMORY);
        assert_int_equal(kv_memtable_cover(memtable, text_slice("025"), KV_SEQUENCE_MAX), 125);
        assert_int_equal(kv_memtable_cover(memtable, text_slice("025"), 120), 120);
        assert_int_equal(kv_memtable_cover(memtable, text_slice("025"), 100), 0);
        assert_int_equal(kv_memtable_cover(memtable, text_slice("060"), KV_SEQUENCE_MAX), 0);
    }
    kv_fragments_release(fragments);
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

static void references_are_counted(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_KIB(256), false);

    (void)state;
    kv_memtable_acquire(memtable);
    assert_true(kv_memtable_try_acquire(memtable));
    kv_memtable_release(memtable);
    kv_memtable_release(memtable);
    assert_true(mem_rig_charged() != 0);
    kv_memtable_release(memtable);
    kv_memtable_release(NULL);
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, mem_rig_set_up, mem_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_full_arena_refuses_and_keeps_what_it_has),
        WITH_RIG(every_charge_may_be_refused),
        WITH_RIG(a_refused_step_leaves_the_memtable_as_it_was),
        WITH_RIG(a_batch_that_no_memtable_could_hold_is_too_large),
        WITH_RIG(a_table_that_cannot_grow_sends_readers_to_the_list),
        WITH_RIG(range_deletions_cover_without_memory_too),
        WITH_RIG(references_are_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
