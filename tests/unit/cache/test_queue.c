/*
 * The list of new items: first in, first out, in little memory.
 */
#include "unit/cache/policy_rig.h"

#include "unit/base/random.h"

static struct cache_queue queue;

static int queue_set_up(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(4)});
    cache_queue_init(&queue, cache, 1);
    return 0;
}

static int queue_tear_down(void **state)
{
    (void)state;
    cache_queue_fini(&queue);
    policy_end();
    return 0;
}

static void entries_say_what_they_were_made_of(void **state)
{
    uint64_t hash = UINT64_C(0xfedcba9876543210), ref48 = UINT64_C(0x123456789abc);

    (void)state;
    uint64_t entry = cache_entry_make(ref48, hash, true);
    assert_int_equal(cache_entry_ref(entry), ref48);
    assert_true(cache_entry_is_second(entry));
    assert_true(cache_entry_is_of(entry, hash));
    assert_false(cache_entry_is_of(entry, hash ^ 1));
    assert_false(cache_entry_is_of(entry, hash ^ 0x4000));
    assert_false(cache_entry_is_second(cache_entry_make(ref48, hash, false)));
    /* A ref with its generation loses it. */
    assert_int_equal(cache_entry_ref(cache_entry_make(ref48 | UINT64_C(7) << 48, 0, false)), ref48);
}

static void an_empty_queue_gives_nothing(void **state)
{
    uint64_t entry;

    (void)state;
    assert_int_equal(cache_queue_pop(&queue, &entry, 1), 0);
    assert_int_equal(atomic_load_relaxed_u64(&queue.bytes), 0);
}

static void what_goes_in_first_comes_out_first(void **state)
{
    uint64_t next_in = 1, next_out = 1, random = 5, entries[16];

    (void)state;
    for (uint32_t i = 0; i < 20000; i++) {
        uint64_t in = random_u64(&random) % (i < 10000 ? 12 : 8);
        for (; in > 0; in--) {
            assert_true(cache_queue_push(&queue, next_in++));
        }
        uint32_t most = (uint32_t)(random_u64(&random) % (i < 10000 ? 8 : 16));
        uint32_t count = cache_queue_pop(&queue, entries, most);
        assert_true(count <= most);
        for (uint32_t at = 0; at < count; at++) {
            assert_int_equal(entries[at], next_out++);
        }
        assert_int_equal(atomic_load_relaxed_u64(&queue.count), next_in - next_out);
    }
    while (cache_queue_pop(&queue, entries, 1) == 1) {
        assert_int_equal(entries[0], next_out++);
    }
    assert_int_equal(next_out, next_in);
}

static void few_entries_take_few_bytes(void **state)
{
    (void)state;
    assert_true(cache_queue_push(&queue, 1));
    assert_int_equal(atomic_load_relaxed_u64(&queue.bytes), CACHE_CHUNK_BYTES_FIRST);
    for (uint64_t n = 2; n <= 100000; n++) {
        assert_true(cache_queue_push(&queue, n));
    }
    uint64_t bytes = atomic_load_relaxed_u64(&queue.bytes);
    assert_true(bytes < 100000 * 8 / 100 * 102);
    for (uint32_t i = 0; i < 100000; i++) { /* one in, one out: nothing is taken or given back */
        uint64_t entry;
        assert_int_equal(cache_queue_pop(&queue, &entry, 1), 1);
        assert_true(cache_queue_push(&queue, entry));
        assert_true(atomic_load_relaxed_u64(&queue.bytes) <= bytes + CACHE_CHUNK_BYTES_MAX);
    }
}

static void without_memory_nothing_is_added(void **state)
{
    uint64_t count = 0, next = 0, entry;

    (void)state;
    cache_policy_depth++; /* nobody gives any */
    while (cache_queue_push(&queue, count)) {
        count++;
        assert_true(count < Q_MIB(4) / 8);
    }
    cache_policy_depth--;
    assert_true(count > Q_MIB(3) / 8);
    while (cache_queue_pop(&queue, &entry, 1) == 1) {
        assert_int_equal(entry, next++);
    }
    assert_int_equal(next, count);
}

#define QUEUE(test) cmocka_unit_test_setup_teardown(test, queue_set_up, queue_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE(entries_say_what_they_were_made_of), QUEUE(an_empty_queue_gives_nothing),
        QUEUE(what_goes_in_first_comes_out_first), QUEUE(few_entries_take_few_bytes),
        QUEUE(without_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
