/*
 * A memtable against arrays of versions: random histories of puts, deletes, merges and range
 * deletes, read at random sequences, by key and by iterators in both directions.
 *
 * Runs a million operations, fewer under a sanitizer; or as many as the first argument says.
 */
#include "unit/kv/mem_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define KEYS   3000u
#define RANGES 300u

static uint64_t op_count = ROUNDS(1000000, 250000);

struct version {
    uint64_t sequence;
    enum kv_type type;
};
struct versions {
    struct version *all;
    size_t count, capacity;
};

static struct versions versions[KEYS]; /* oldest first */
static struct {
    uint32_t begin, end;
    uint64_t sequence;
} ranges[RANGES];
static size_t range_count;

/* Keys of several shapes that order as their numbers do. */
static struct kv_slice key_of(uint32_t number, char room[32])
{
    int byte_count = number % 3 == 0   ? snprintf(room, 32, "%04u", number)
                     : number % 3 == 1 ? snprintf(room, 32, "%04u-same-head", number)
                                       : snprintf(room, 32, "%04u-same-head-%u", number, number);
    return kv_slice(room, (size_t)byte_count);
}

static struct kv_slice value_of(uint64_t sequence, char room[40])
{
    int byte_count = snprintf(room, 40, "%.*s%llu", (int)(sequence % 17), "-----------------",
                              (unsigned long long)sequence);
    return kv_slice(room, (size_t)byte_count);
}

static void remember(uint32_t number, uint64_t sequence, enum kv_type type)
{
    struct versions *of = &versions[number];

    if (of->count == of->capacity) {
        of->capacity = of->capacity * 2 + 4;
        of->all = realloc(of->all, of->capacity * sizeof(*of->all));
        assert_non_null(of->all);
    }
    of->all[of->count++] = (struct version){sequence, type};
}

static void forget_all(void)
{
    for (size_t i = 0; i < KEYS; i++) {
        free(versions[i].all);
        versions[i] = (struct versions){NULL, 0, 0};
    }
    range_count = 0;
}

/* The newest version that is not above a sequence; count: none. */
static size_t visible(uint32_t number, uint64_t sequence)
{
    const struct versions *of = &versions[number];
    size_t low = 0, high = of->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (of->all[middle].sequence <= sequence) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? of->count : low - 1;
}

static void add_change(struct quarry_kv_batch *batch, uint64_t *random, uint64_t sequence)
{
    char key_room[32], end_room[32], value_room[40];
    uint32_t number = (uint32_t)(random_u64(random) % KEYS);
    struct kv_slice key = key_of(number, key_room), value = value_of(sequence, value_room);
    uint64_t kind = random_u64(random) % 1000;

    if (kind == 0 && range_count < RANGES) {
        uint32_t end = (uint32_t)(number + random_u64(random) % 50 + 1);
        end = end < KEYS ? end : KEYS - 1;
        struct kv_slice end_key = key_of(end, end_room);
        number = number < end ? number : end;
        key = key_of(number, key_room);
        assert_int_equal(
            quarry_kv_batch_delete_range(batch, key.bytes, key.count, end_key.bytes, end_key.count),
            QUARRY_OK);
        ranges[range_count].begin = number;
        ranges[range_count].end = end;
        ranges[range_count++].sequence = sequence;
    } else if (kind < 100) {
        assert_int_equal(quarry_kv_batch_delete(batch, key.bytes, key.count), QUARRY_OK);
        remember(number, sequence, KV_TYPE_DELETE);
    } else if (kind < 250) {
        assert_int_equal(
            quarry_kv_batch_merge(batch, key.bytes, key.count, value.bytes, value.count),
            QUARRY_OK);
        remember(number, sequence, KV_TYPE_MERGE);
    } else {
        assert_int_equal(quarry_kv_batch_put(batch, key.bytes, key.count, value.bytes, value.count),
                         QUARRY_OK);
        remember(number, sequence, KV_TYPE_PUT);
    }
}

static void check_entry(uint32_t number, size_t version, uint64_t trailer, struct kv_slice value)
{
    const struct version *expected = &versions[number].all[version];
    char room[40];

    assert_int_equal(trailer, kv_trailer(expected->sequence, expected->type));
    if (expected->type == KV_TYPE_DELETE) {
        assert_int_equal(value.count, 0);
    } else {
        assert_true(slices_are_equal(value, value_of(expected->sequence, room)));
    }
}

static void check_get(const struct kv_memtable *memtable, uint32_t number, uint64_t sequence)
{
    char room[32];
    struct kv_memtable_found found;
    size_t version = visible(number, sequence);
    bool is_found = kv_memtable_get(memtable, key_of(number, room), sequence, &found);

    assert_int_equal(is_found, version < versions[number].count);
    if (!is_found) {
        return;
    }
    check_entry(number, version, found.trailer, found.value);
    for (int i = 0; i < 5 && version-- > 0; i++) {
        assert_true(kv_memtable_older(memtable, &found));
        check_entry(number, version, found.trailer, found.value);
    }
    if (version == SIZE_MAX) {
        assert_false(kv_memtable_older(memtable, &found));
    }
}

static void check_cover(struct kv_memtable *memtable, uint32_t number, uint64_t sequence)
{
    uint64_t expected = 0;
    char room[32];

    for (size_t i = 0; i < range_count; i++) {
        if (ranges[i].begin <= number && number < ranges[i].end && ranges[i].sequence <= sequence &&
            ranges[i].sequence > expected) {
            expected = ranges[i].sequence;
        }
    }
    assert_int_equal(kv_memtable_cover(memtable, key_of(number, room), sequence), expected);
}

/* Walks some steps forward or back from a random place. */
static void check_walk(struct kv_memtable *memtable, uint64_t *random, uint64_t last_sequence)
{
    uint32_t number = (uint32_t)(random_u64(random) % KEYS);
    uint64_t sequence = random_u64(random) % (last_sequence + 1);
    bool is_forward = random_u64(random) % 2 == 0;
    struct kv_memtable_iterator iterator;
    size_t version = visible(number, sequence);
    char room[32];

    kv_memtable_iterator_init(&iterator, memtable);
    struct kv_iterator *it = &iterator.base;
    const struct kv_key key = {key_of(number, room), kv_trailer_seek(sequence)};
    if (is_forward) {
        it->ops->seek(it, key);
        version = version == versions[number].count ? 0 : version + 1;
    } else {
        it->ops->seek_before(it, key);
        version = version == versions[number].count ? 0 : version + 1;
    }
    /* `version` counts those of the key that are not newer; the walk goes from there. */
    for (int step = 0; step < 20; step++) {
        if (is_forward) {
            while (number < KEYS && version == 0) {
                number++;
                version = number < KEYS ? versions[number].count : 0;
            }
            assert_int_equal(it->is_valid, number < KEYS);
        } else {
            while (number != UINT32_MAX && version == versions[number].count) {
                number--;
                version = 0;
            }
            assert_int_equal(it->is_valid, number != UINT32_MAX);
        }
        if (!it->is_valid) {
            break;
        }
        size_t at = is_forward ? version - 1 : version;
        char own_room[32];
        assert_true(slices_are_equal(it->key.user, key_of(number, own_room)));
        check_entry(number, at, it->key.trailer, it->value);
        if (is_forward) {
            version--;
            it->ops->next(it);
        } else {
            version++;
            it->ops->previous(it);
        }
    }
    it->ops->fini(it);
}

static void run_history(uint64_t seed, bool has_no_hash, uint64_t capacity_bytes, uint64_t ops)
{
    struct kv_memtable *memtable = memtable_make(capacity_bytes, has_no_hash);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_splice splice = {.memtable_id = 0};
    uint64_t random = seed, sequence = 1;

    for (uint64_t op = 0; op < ops;) {
        uint64_t count = random_u64(&random) % 8 + 1;
        quarry_kv_batch_clear(batch);
        for (uint64_t i = 0; i < count; i++) {
            add_change(batch, &random, sequence + i);
        }
        memtable_write(memtable, batch, sequence, op % 3 == 0 ? NULL : &splice);
        sequence += count;
        for (uint64_t i = 0; i < count; i++, op++) {
            uint32_t number = (uint32_t)(random_u64(&random) % KEYS);
            uint64_t at = random_u64(&random) % 2 == 0 ? KV_SEQUENCE_MAX
                                                       : random_u64(&random) % (sequence + 1);
            check_get(memtable, number, at);
            if (op % 64 == 0) {
                check_cover(memtable, number, at);
                check_walk(memtable, &random, sequence);
            }
        }
    }
    kv_memtable_validate(memtable);
    struct kv_memtable_stats stats;
    kv_memtable_read_stats(memtable, &stats);
    assert_int_equal(stats.entry_count + stats.range_count, sequence - 1);
    assert_int_equal(stats.range_count, range_count);
    assert_int_equal(stats.smallest_sequence, 1);
    assert_int_equal(stats.largest_sequence, sequence - 1);
    assert_int_equal(stats.has_whole_hash, !has_no_hash);
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
    forget_all();
}

static void a_million_operations_agree_with_arrays(void **state)
{
    (void)state;
    run_history(1, false, Q_MIB(256), op_count);
}

static void without_a_table_of_keys_all_is_the_same(void **state)
{
    (void)state;
    run_history(2, true, Q_MIB(64), op_count / 8);
}

static void keys_in_order_in_reverse_and_interleaved_are_found(void **state)
{
    enum { COUNT = 20000 };
    (void)state;
    for (int shape = 0; shape < 3; shape++) {
        struct kv_memtable *memtable = memtable_make(Q_MIB(16), false);
        struct quarry_kv_batch *batch = batch_make(false);
        struct kv_memtable_splice splice = {.memtable_id = 0};
        struct kv_memtable_found found;
        char key[32];
        for (uint32_t i = 0; i < COUNT; i++) {
            uint32_t number = shape == 0 ? i : shape == 1 ? COUNT - 1 - i : i * 7919 % COUNT;
            quarry_kv_batch_clear(batch);
            snprintf(key, sizeof key, "%016u", number);
            quarry_kv_batch_put(batch, key, 16, key, 16);
            memtable_write(memtable, batch, i + 1, &splice);
        }
        kv_memtable_validate(memtable);
        for (uint32_t i = 0; i < COUNT; i++) {
            snprintf(key, sizeof key, "%016u", i);
            assert_true(kv_memtable_get(memtable, kv_slice(key, 16), KV_SEQUENCE_MAX, &found));
            assert_memory_equal(found.value.bytes, key, 16);
            snprintf(key, sizeof key, "%016u", i + COUNT);
            assert_false(kv_memtable_get(memtable, kv_slice(key, 16), KV_SEQUENCE_MAX, &found));
        }
        quarry_kv_batch_destroy(batch);
        kv_memtable_release(memtable);
    }
}

/* ---- looking ahead -------------------------------------------------------------------------- */

#define AHEAD_KEYS 50000u

struct ahead_rig {
    struct kv_memtable *memtable;
    struct quarry_kv_batch *batch;
    struct kv_memtable_splice splice;
    uint64_t random, sequence, newest[AHEAD_KEYS];
};

/* Keys, like those of a store, begin alike. */
static struct kv_slice ahead_key(uint32_t number, char room[32])
{
    return kv_slice(room, (size_t)snprintf(room, 32, "0:key:%0*u", (int)(number % 9), number));
}

static void put_ahead(struct ahead_rig *rig, uint32_t number)
{
    char room[32];
    struct kv_slice key = ahead_key(number, room);

    quarry_kv_batch_clear(rig->batch);
    quarry_kv_batch_put(rig->batch, key.bytes, key.count, key.bytes, key.count);
    memtable_write(rig->memtable, rig->batch, ++rig->sequence, &rig->splice);
    rig->newest[number] = rig->sequence;
}

/* Looks for some places, and puts these keys, some of them, others as well, or ones in between. */
static void seek_and_put(struct ahead_rig *rig)
{
    char rooms[KV_MEMTABLE_AHEAD][32];
    struct kv_slice keys[KV_MEMTABLE_AHEAD] = {{NULL, 0}};
    uint32_t numbers[KV_MEMTABLE_AHEAD];
    size_t count = random_u64(&rig->random) % (KV_MEMTABLE_AHEAD + 1);
    uint64_t manner = random_u64(&rig->random) % 4;

    for (size_t i = 0; i < count; i++) {
        uint64_t jump = random_u64(&rig->random);
        /* Anywhere, or beside the last one. */
        numbers[i] =
            (uint32_t)(i == 0 || manner < 2 ? jump : numbers[i - 1] + jump % 3) % AHEAD_KEYS;
        keys[i] = ahead_key(numbers[i], rooms[i]);
    }
    kv_memtable_seek_ahead(rig->memtable, keys, count, &rig->splice);
    for (size_t i = 0; i < count; i++) {
        if (manner % 2 == 0 || random_u64(&rig->random) % 2 == 0) {
            put_ahead(rig, numbers[i]);
        }
        if (manner % 2 == 1) {
            put_ahead(rig, (numbers[i] + (uint32_t)(random_u64(&rig->random) % 2)) % AHEAD_KEYS);
        }
    }
}

static void places_that_were_looked_for_ahead_are_where_keys_belong(void **state)
{
    struct ahead_rig *rig = calloc(1, sizeof(*rig));
    struct kv_memtable *other = memtable_make(Q_MIB(1), false);
    struct kv_memtable_found found;
    uint64_t taken_count = 0;
    char room[32];

    (void)state;
    assert_non_null(rig);
    rig->memtable = memtable_make(Q_MIB(64), false);
    rig->batch = batch_make(false);
    while (rig->sequence < 4 * AHEAD_KEYS) {
        seek_and_put(rig);
        taken_count += rig->splice.place_next != 0;
        if (rig->sequence % 1000 == 0) {
            /* What is known of another memtable is of no use to this one, nor to itself again. */
            struct kv_slice key = ahead_key(7, room);
            kv_memtable_seek_ahead(other, &key, 1, &rig->splice);
        }
    }
    assert_true(taken_count > 1000);
    kv_memtable_validate(rig->memtable);
    for (uint32_t i = 0; i < AHEAD_KEYS; i++) {
        bool is_there = kv_memtable_get(rig->memtable, ahead_key(i, room), KV_SEQUENCE_MAX, &found);
        assert_int_equal(is_there, rig->newest[i] != 0);
        assert_true(!is_there || found.trailer == kv_trailer(rig->newest[i], KV_TYPE_PUT));
    }
    quarry_kv_batch_destroy(rig->batch);
    kv_memtable_release(rig->memtable);
    kv_memtable_release(other);
    free(rig);
}

static void an_iterator_finds_both_ends_and_turns_around(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_KIB(256), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_iterator iterator;
    struct kv_iterator *it = &iterator.base;

    (void)state;
    kv_memtable_iterator_init(&iterator, memtable);
    it->ops->first(it);
    assert_false(it->is_valid);
    it->ops->last(it);
    assert_false(it->is_valid);
    quarry_kv_batch_put(batch, "b", 1, "1", 1);
    quarry_kv_batch_put(batch, "", 0, "", 0);
    quarry_kv_batch_put(batch, "b", 1, "3", 1);
    quarry_kv_batch_put(batch, "b\0", 2, "4", 1);
    memtable_write(memtable, batch, 10, NULL);
    it->ops->first(it);
    assert_true(it->is_valid && it->key.user.count == 0 && it->value.count == 0);
    it->ops->next(it);
    assert_slice(it->value, "3");
    it->ops->next(it);
    assert_slice(it->value, "1");
    it->ops->previous(it);
    assert_slice(it->value, "3");
    it->ops->previous(it);
    it->ops->previous(it);
    assert_false(it->is_valid);
    it->ops->last(it);
    assert_slice(it->value, "4");
    it->ops->next(it);
    assert_false(it->is_valid);
    assert_int_equal(it->status, QUARRY_OK);
    /* It holds the memtable. */
    kv_memtable_release(memtable);
    it->ops->first(it);
    assert_true(it->is_valid);
    it->ops->fini(it);
    quarry_kv_batch_destroy(batch);
}

static void what_a_batch_has_besides_changes_is_left_out(void **state)
{
    struct kv_memtable *memtable = memtable_make(Q_KIB(256), false);
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_stats stats;
    struct kv_memtable_plan plan;

    (void)state;
    quarry_kv_batch_log_data(batch, "only for the log", 16);
    memtable_write(memtable, batch, 5, NULL);
    kv_memtable_read_stats(memtable, &stats);
    assert_int_equal(stats.entry_count, 0);
    assert_int_equal(stats.largest_sequence, 0);
    quarry_kv_batch_put(batch, "k", 1, "v", 1);
    quarry_kv_batch_delete(batch, "l", 1);
    memtable_write(memtable, batch, 5, NULL);
    kv_memtable_read_stats(memtable, &stats);
    assert_int_equal(stats.entry_count, 2);
    assert_int_equal(stats.delete_count, 1);
    assert_int_equal(stats.largest_sequence, 6);
    assert_int_equal(stats.key_bytes, 2);
    assert_int_equal(kv_memtable_plan(kv_slice("short", 5), &plan, NULL), QUARRY_CORRUPT);
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

/* Reverse of memcmp. */
static int compare_reverse(void *argument, const void *a, size_t a_bytes, const void *b,
                           size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}

static void another_comparator_orders_keys(void **state)
{
    static const struct quarry_kv_comparator reverse = {.name = "reverse",
                                                        .compare = compare_reverse};
    const struct kv_memtable_options options = {.keeper = rig_keeper,
                                                .memory = &rig_kv_memory,
                                                .comparator = &reverse,
                                                .capacity_bytes = Q_MIB(1)};
    struct kv_memtable *memtable = NULL;
    struct quarry_kv_batch *batch = batch_make(false);
    struct kv_memtable_iterator iterator;
    struct kv_memtable_found found;
    char key[16];

    (void)state;
    assert_int_equal(kv_memtable_create(&options, &memtable, NULL), QUARRY_OK);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "%03d", i * 7 % 1000);
        quarry_kv_batch_put(batch, key, 3, key, 3);
    }
    memtable_write(memtable, batch, 1, NULL);
    kv_memtable_validate(memtable);
    kv_memtable_iterator_init(&iterator, memtable);
    struct kv_iterator *it = &iterator.base;
    it->ops->first(it);
    for (int i = 999; i >= 0; i--) {
        snprintf(key, sizeof key, "%03d", i);
        assert_slice(it->key.user, key);
        assert_true(kv_memtable_get(memtable, it->key.user, KV_SEQUENCE_MAX, &found));
        it->ops->next(it);
    }
    assert_false(it->is_valid);
    it->ops->fini(it);
    quarry_kv_batch_destroy(batch);
    kv_memtable_release(memtable);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_million_operations_agree_with_arrays, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(without_a_table_of_keys_all_is_the_same, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(keys_in_order_in_reverse_and_interleaved_are_found,
                                        mem_rig_set_up, mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(places_that_were_looked_for_ahead_are_where_keys_belong,
                                        mem_rig_set_up, mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(an_iterator_finds_both_ends_and_turns_around,
                                        mem_rig_set_up, mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(what_a_batch_has_besides_changes_is_left_out,
                                        mem_rig_set_up, mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(another_comparator_orders_keys, mem_rig_set_up,
                                        mem_rig_tear_down),
    };

    if (argc > 1) {
        op_count = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
