/*
 * The table of a shard against a list; the table of files.
 */
#include <stdlib.h>
#include <string.h>

#include <block/files.h>
#include <block/table.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define COUNT 600u /* of 896 slots in 128 buckets: many are full */

static block_table table_begin(uint32_t log2)
{
    void *pages =
        aligned_alloc(8192, block_table_bytes(log2) < 8192 ? 8192 : block_table_bytes(log2));

    assert_non_null(pages);
    memset(pages, 0, block_table_bytes(log2));
    return block_table_make(pages, log2);
}

static void table_end(block_table table)
{
    free(block_table_buckets(table));
}

static uint64_t hash_at(uint64_t n)
{
    return random_u64(&n);
}

static uint64_t slot_at(uint64_t n)
{
    return n % 2 == 0 ? block_slot_ghost(hash_at(n), (uint32_t)n)
                      : block_slot_block(hash_at(n), (void *)(uintptr_t)(n << 12));
}

static void slots_tell_blocks_from_ghosts(void **state)
{
    (void)state;
    uint64_t hash = UINT64_C(0xfedcba9876543210);
    void *address = (void *)UINT64_C(0x7ffffffffff8);
    uint64_t block = block_slot_block(hash, address);
    uint64_t ghost = block_slot_ghost(hash, UINT32_MAX - 1);

    assert_false(block_slot_is_ghost(block));
    assert_ptr_equal(block_slot_header(block), address);
    assert_true(block_slot_is_ghost(ghost));
    assert_int_equal(block_slot_entry(ghost), UINT32_MAX - 1);
    assert_int_equal(block >> BLOCK_SLOT_TAG_SHIFT, ghost >> BLOCK_SLOT_TAG_SHIFT);
    assert_int_equal(block >> BLOCK_SLOT_TAG_SHIFT, hash >> 19 & 0x7ffff);
}

static void what_is_added_is_found_until_it_is_removed(void **state)
{
    (void)state;
    block_table table = table_begin(BLOCK_TABLE_LOG2_MIN);
    bool is_in[COUNT] = {false};
    uint64_t random = 1, used = 0, counted = 0;

    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t n = random_u64(&random) % COUNT;
        if (is_in[n]) {
            block_table_remove(table, hash_at(n), slot_at(n));
            used--;
        } else {
            block_table_add(table, hash_at(n), slot_at(n));
            used++;
        }
        is_in[n] = !is_in[n];
        n = random_u64(&random) % COUNT;
        assert_int_equal(block_table_find(table, hash_at(n), slot_at(n)) != NULL, is_in[n]);
        if (i % 10000 == 0) {
            assert_null(block_table_validate(table, &counted));
            assert_int_equal(counted, used);
        }
    }
    table_end(table);
}

static void an_emptied_table_has_been_passed_by_nobody(void **state)
{
    (void)state;
    block_table table = table_begin(BLOCK_TABLE_LOG2_MIN);

    for (uint64_t n = 0; n < 880; n++) {
        block_table_add(table, hash_at(n), slot_at(n));
    }
    for (uint64_t n = 0; n < 880; n++) {
        block_table_remove(table, hash_at(n * 7 % 880), slot_at(n * 7 % 880));
    }
    for (uint64_t i = 0; i <= block_table_mask(table); i++) {
        const struct block_bucket *bucket = &block_table_buckets(table)[i];
        assert_int_equal(atomic_load_relaxed_u64(&bucket->passed_count), 0);
        for (uint32_t j = 0; j < BLOCK_BUCKET_SLOTS; j++) {
            assert_int_equal(atomic_load_relaxed_u64(&bucket->slot[j]), 0);
        }
    }
    table_end(table);
}

/* ---- files ---------------------------------------------------------------------------------- */

static struct clock_pro_chunk chunk;
static struct clock_pro_chunk *chunks[1] = {&chunk};

static void on_event(void *argument, uint32_t entry)
{
    (void)argument;
    (void)entry;
}

static const struct clock_pro_events no_events = {on_event, on_event};

static uint32_t entry_in_file(struct clock_pro *clock, struct block_files *files, uint64_t file)
{
    uint32_t entry = clock_pro_insert(clock, 1, false);

    clock_pro_entry(clock, entry)->key = (struct quarry_block_key){.handle = 1, .file = file};
    block_files_enter(files, clock, entry);
    return entry;
}

static void a_file_has_all_its_entries_and_goes_with_the_last(void **state)
{
    (void)state;
    enum { ENTRIES = 1000, FILES = 40 };
    struct clock_pro clock;
    struct block_files files = {0};
    uint64_t *slots = calloc(128, sizeof(*slots)), random = 5, entry_count = 0;
    uint32_t entry[ENTRIES];
    bool is_in[ENTRIES] = {false};

    memset(&chunk, 0, sizeof(chunk));
    clock_pro_init(&clock, UINT32_MAX, &no_events, NULL);
    clock.chunks = chunks;
    clock.chunk_capacity = 1;
    clock_pro_add_chunk(&clock, &chunk);
    assert_null(block_files_grow(&files, slots, 128));
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t n = random_u64(&random) % ENTRIES;
        if (is_in[n]) {
            block_files_leave(&files, &clock, entry[n]);
            clock_pro_remove(&clock, entry[n]);
            entry_count--;
        } else {
            entry[n] = entry_in_file(&clock, &files, n % FILES);
            entry_count++;
        }
        is_in[n] = !is_in[n];
        if (i % 1000 == 0) {
            assert_null(block_files_validate(&files, &clock, entry_count));
        }
    }
    for (uint32_t n = 0; n < ENTRIES; n++) {
        if (is_in[n]) {
            block_files_leave(&files, &clock, entry[n]);
            clock_pro_remove(&clock, entry[n]);
        }
    }
    assert_int_equal(files.count, 0);
    for (uint64_t file = 0; file < FILES; file++) {
        assert_int_equal(block_files_find(&files, &clock, 1, file), CLOCK_PRO_NONE);
    }
    free(slots);
}

static void a_larger_table_of_files_has_the_same_files(void **state)
{
    (void)state;
    struct clock_pro clock;
    struct block_files files = {0};
    uint64_t *small = calloc(128, sizeof(*small)), *large = calloc(256, sizeof(*large));

    memset(&chunk, 0, sizeof(chunk));
    clock_pro_init(&clock, UINT32_MAX, &no_events, NULL);
    clock.chunks = chunks;
    clock.chunk_capacity = 1;
    clock_pro_add_chunk(&clock, &chunk);
    assert_int_equal(block_files_find(&files, &clock, 1, 1), CLOCK_PRO_NONE);
    assert_true(block_files_is_full(&files));
    assert_null(block_files_grow(&files, small, 128));
    for (uint64_t file = 0; file < 64; file++) {
        assert_false(block_files_is_full(&files));
        (void)entry_in_file(&clock, &files, file);
    }
    assert_true(block_files_is_full(&files));
    assert_ptr_equal(block_files_grow(&files, large, 256), small);
    assert_false(block_files_is_full(&files));
    for (uint64_t file = 0; file < 64; file++) {
        assert_int_not_equal(block_files_find(&files, &clock, 1, file), CLOCK_PRO_NONE);
    }
    assert_null(block_files_validate(&files, &clock, 64));
    free(small);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_tell_blocks_from_ghosts),
        cmocka_unit_test(what_is_added_is_found_until_it_is_removed),
        cmocka_unit_test(an_emptied_table_has_been_passed_by_nobody),
        cmocka_unit_test(a_file_has_all_its_entries_and_goes_with_the_last),
        cmocka_unit_test(a_larger_table_of_files_has_the_same_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
