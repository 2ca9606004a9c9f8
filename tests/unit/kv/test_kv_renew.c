/*
 * Iterators that stay open while memtables become files and files others: what they hold, and that
 * they see the same all the time. And what the background has of its own when memory is used up.
 */
#include "unit/kv/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/background_parts.h>
#include <kv/read.h>
#include <kv/walk.h>

#include "unit/base/random.h"

#define KEYS      60u
#define WALKS     12u
#define VALUE_MAX 64u

static struct quarry_kv *kv;

static uint64_t charged_bytes(enum kv_part part)
{
    struct quarry_account_state own;

    quarry_account_read(kv->part[part], &own);
    return own.charged_bytes;
}

static void flush(void)
{
    struct quarry_error error = {0};

    if (quarry_kv_flush(kv, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static void compact(void)
{
    const struct quarry_kv_slice none = {NULL, 0};
    struct quarry_error error = {0};

    if (quarry_kv_compact_range(kv, none, none, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

/* ---- what they hold ------------------------------------------------------------------------- */

static void expect_number(const struct quarry_kv_iterator *iterator, uint32_t number,
                          uint32_t round)
{
    char key[32], begin[64];
    struct quarry_kv_slice at = quarry_kv_iterator_key(iterator);
    struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);

    (void)snprintf(key, sizeof(key), "key%06u", number);
    (void)snprintf(begin, sizeof(begin), "value %u of %u", number, round);
    assert_int_equal(at.byte_count, strlen(key));
    assert_memory_equal(at.bytes, key, at.byte_count);
    assert_true(value.byte_count >= strlen(begin));
    assert_memory_equal(value.bytes, begin, strlen(begin));
}

static void an_iterator_lets_go_of_what_was_flushed_with_its_next_step(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv_iterator *iterator = NULL;

    (void)state;
    options.write_buffer_bytes = Q_MIB(4);
    kv = store_open(&options);
    for (uint32_t i = 0; i < 5000; i++) {
        store_put_number(kv, i, 0, 400);
    }
    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    assert_true(quarry_kv_iterator_first(iterator));
    for (uint32_t i = 0; i < 5000; i++) {
        store_put_number(kv, i, 1, 40);
    }
    flush();
    compact();
    quarry_arena_keeper_reclaim(kv->keeper, UINT64_MAX);
    uint64_t before_bytes = charged_bytes(KV_PART_MEMTABLE);
    assert_true(before_bytes > Q_MIB(2)); /* that nobody but the iterator has a use for */
    assert_true(quarry_kv_iterator_next(iterator));
    quarry_arena_keeper_reclaim(kv->keeper, UINT64_MAX);
    assert_true(charged_bytes(KV_PART_MEMTABLE) + Q_MIB(2) <= before_bytes);
    for (uint32_t i = 1; i < 5000; i++) {
        expect_number(iterator, i, 0);
        assert_int_equal(quarry_kv_iterator_next(iterator), i + 1 < 5000);
    }
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    quarry_kv_iterator_destroy(iterator);
    assert_null(kv->snapshots); /* and nothing is kept for it any more */
    compact();
    assert_true(store_has_number(kv, 17, 1, 40));
    store_close(kv);
}

static void a_snapshot_may_go_before_its_iterator(void **state)
{
    const struct quarry_kv_snapshot *snapshot = NULL;
    struct quarry_kv_read_options read = {.snapshot = NULL};
    struct quarry_kv_iterator *iterator = NULL;

    (void)state;
    kv = store_open(NULL);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++) {
            store_put_number(kv, i, round, 40);
        }
        if (round == 1) {
            assert_int_equal(quarry_kv_snapshot_take(kv, &snapshot), QUARRY_OK);
        }
    }
    read.snapshot = snapshot;
    assert_int_equal(quarry_kv_iterate(kv, &read, &iterator, NULL), QUARRY_OK);
    assert_true(quarry_kv_iterator_last(iterator));
    quarry_kv_snapshot_release(kv, snapshot);
    flush();
    compact();
    for (uint32_t i = 100; i-- > 0;) {
        expect_number(iterator, i, 1);
        assert_int_equal(quarry_kv_iterator_previous(iterator), i != 0);
    }
    quarry_kv_iterator_destroy(iterator);
    store_close(kv);
}

/* ---- that they see the same ----------------------------------------------------------------- */

struct model {
    bool is_there[KEYS];
    char value[KEYS][VALUE_MAX];
};

static struct model now;
static struct {
    struct quarry_kv_iterator *iterator;
    struct model model;
    int at; /* -1: at no key */
} walks[WALKS];

static void key_of(uint32_t index, char room[8])
{
    (void)snprintf(room, 8, "k%03u", index % 1000);
}

static void change_model(uint64_t *seed)
{
    uint32_t index = (uint32_t)(random_u64(seed) % KEYS);
    char key[8], end[8];

    key_of(index, key);
    switch (random_u64(seed) % 8) {
    case 0: {
        uint32_t to = index + 1 + (uint32_t)(random_u64(seed) % 6);
        to = to > KEYS ? KEYS : to;
        key_of(to, end);
        assert_int_equal(quarry_kv_delete_range(kv, NULL, key, 4, end, 4, NULL), QUARRY_OK);
        memset(&now.is_there[index], 0, (to - index) * sizeof(now.is_there[0]));
        break;
    }
    case 1:
    case 2:
        assert_int_equal(quarry_kv_delete(kv, NULL, key, 4, NULL), QUARRY_OK);
        now.is_there[index] = false;
        break;
    default:
        (void)snprintf(now.value[index], VALUE_MAX, "%llu", (unsigned long long)random_u64(seed));
        store_put(kv, key, now.value[index]);
        now.is_there[index] = true;
    }
}

/* The key of the model after one, or before it; -1: none. */
static int neighbour(const struct model *model, int from, int step)
{
    int at = from + step;

    while (at >= 0 && at < (int)KEYS && !model->is_there[at]) {
        at += step;
    }
    return at < 0 || at >= (int)KEYS ? -1 : at;
}

static void begin_walk(uint32_t which)
{
    assert_int_equal(quarry_kv_iterate(kv, NULL, &walks[which].iterator, NULL), QUARRY_OK);
    walks[which].model = now;
    walks[which].at = -1;
}

static void move_walk(uint32_t which, uint64_t *seed)
{
    struct quarry_kv_iterator *iterator = walks[which].iterator;
    const struct model *model = &walks[which].model;
    uint64_t move = random_u64(seed) % 8;
    bool is_at;

    if (walks[which].at < 0 || move == 0) {
        uint32_t sought = (uint32_t)(random_u64(seed) % KEYS);
        char key[8];
        key_of(sought, key);
        is_at = quarry_kv_iterator_seek(iterator, key, 4);
        walks[which].at = neighbour(model, (int)sought - 1, 1);
    } else if (move <= 4) {
        is_at = quarry_kv_iterator_next(iterator);
        walks[which].at = neighbour(model, walks[which].at, 1);
    } else {
        is_at = quarry_kv_iterator_previous(iterator);
        walks[which].at = neighbour(model, walks[which].at, -1);
    }
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    assert_int_equal(is_at, walks[which].at >= 0);
    if (is_at) {
        struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);
        const char *wanted = model->value[walks[which].at];
        assert_int_equal(value.byte_count, strlen(wanted));
        assert_memory_equal(value.bytes, wanted, value.byte_count);
    }
}

static void play(uint64_t seed)
{
    memset(&now, 0, sizeof(now));
    kv = store_open(NULL);
    for (uint32_t i = 0; i < WALKS; i++) {
        begin_walk(i);
    }
    for (uint32_t step = 0; step < 3000; step++) {
        uint32_t which = (uint32_t)(random_u64(&seed) % WALKS);
        switch (random_u64(&seed) % 64) {
        case 0:
            flush();
            break;
        case 1:
            (void)quarry_kv_step(kv);
            assert_int_equal(quarry_kv_validate(kv, NULL), QUARRY_OK);
            break;
        case 2:
            if (random_u64(&seed) % 4 == 0) {
                compact();
            }
            break;
        case 4: /* memory is short, or has become plenty */
            kv_pins_shrink(&kv->pins);
            break;
        case 5:
            for (uint32_t i = 0; i < 64; i++) {
                kv_pins_grow(&kv->pins);
            }
            break;
        case 3:
            quarry_kv_iterator_destroy(walks[which].iterator);
            begin_walk(which);
            break;
        default:
            if (random_u64(&seed) % 2 == 0) {
                change_model(&seed);
            } else {
                move_walk(which, &seed);
            }
        }
    }
    for (uint32_t i = 0; i < WALKS; i++) {
        quarry_kv_iterator_destroy(walks[i].iterator);
    }
    store_close(kv);
    assert_int_equal(quarry_kv_destroy(rig_disk, "/db", NULL), QUARRY_OK);
}

static void iterators_see_the_same_across_flushes_and_compactions(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        play(seed);
    }
}

static void while_memory_is_short_walks_hold_nothing_between_moves(void **state)
{
    struct quarry_kv_iterator *iterator = NULL;

    (void)state;
    kv = store_open(NULL);
    for (uint32_t i = 0; i < 200; i++) {
        store_put_number(kv, i, 0, 200);
    }
    flush();
    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_true(atomic_load_relaxed_u64(&kv->pins.held_bytes) > 0);
    kv_pins_shrink(&kv->pins);
    for (uint32_t i = 1; i < 100; i++) {
        assert_true(quarry_kv_iterator_next(iterator));
        expect_number(iterator, i, 0);
        assert_int_equal(atomic_load_relaxed_u64(&kv->pins.held_bytes), 0);
    }
    while (kv_pins_are_short(&kv->pins)) {
        kv_pins_grow(&kv->pins);
    }
    assert_true(quarry_kv_iterator_seek(iterator, "key000007", 9));
    expect_number(iterator, 7, 0);
    assert_false(iterator->is_frugal);
    assert_true(atomic_load_relaxed_u64(&kv->pins.held_bytes) > 0);
    quarry_kv_iterator_destroy(iterator);
    store_close(kv);
}

/* ---- memory that is used up ----------------------------------------------------------------- */

static struct quarry_kv *open_tight(void)
{
    struct quarry_kv_options options = store_options();

    options.memory_bytes = Q_MIB(32);
    options.write_buffer_bytes = Q_MIB(1);
    options.level0_compact = 16;
    return store_open(&options);
}

static uint64_t use_up(void)
{
    uint64_t used_bytes = 0;

    for (uint64_t bytes = Q_MIB(32); bytes != 0; bytes /= 2) {
        while (quarry_account_charge(kv->part[KV_PART_READ], bytes) == QUARRY_OK) {
            used_bytes += bytes;
        }
    }
    return used_bytes;
}

static void fill_level0(uint32_t file_count)
{
    for (uint32_t round = 0; round < file_count; round++) {
        for (uint32_t i = 0; i < 1000; i++) {
            store_put_number(kv, i, round, 200);
        }
        flush();
    }
}

/* Not a byte is left but the reserve; before, it is done, and after. */
static void a_compaction_gets_by_with_the_reserve(void **state)
{
    (void)state;
    kv = open_tight();
    assert_int_equal(kv->reserve_bytes, Q_MIB(2));
    fill_level0(12);
    uint64_t used_bytes = use_up();
    compact();
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    assert_int_equal(version->levels[0].file_count, 0);
    kv_version_release(version);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(store_has_number(kv, i, 11, 200));
    }
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    store_close(kv);
}

static void what_was_refused_once_is_narrow_for_a_while(void **state)
{
    (void)state;
    kv = open_tight();
    fill_level0(12);
    uint64_t used_bytes = use_up();
    compact();
    os_mutex_lock(&kv->mutex);
    uint32_t narrow_count = kv->background->narrow_count;
    os_mutex_unlock(&kv->mutex);
    assert_true(narrow_count > 0);
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    for (uint32_t i = 0; i < 100 && narrow_count != 0; i++) {
        fill_level0(2);
        compact();
        narrow_count = kv->background->narrow_count;
    }
    assert_int_equal(narrow_count, 0);
    store_close(kv);
}

static void a_flush_gets_by_with_the_reserve(void **state)
{
    (void)state;
    kv = open_tight();
    for (uint32_t i = 0; i < 2000; i++) {
        store_put_number(kv, i, 0, 200);
    }
    uint64_t used_bytes = use_up();
    flush();
    assert_true(store_has_number(kv, 1999, 0, 200));
    quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
    store_close(kv);
}

/* Where a walk cannot have sources for the new view it waits with none, and says why; then it goes
 * on from where it was. */
static void a_renewal_that_is_refused_memory_is_done_later(void **state)
{
    struct quarry_kv_iterator *iterator = NULL;
    uint32_t refused_count = 0;

    (void)state;
    kv = open_tight();
    fill_level0(1);
    assert_int_equal(quarry_kv_iterate(kv, NULL, &iterator, NULL), QUARRY_OK);
    assert_true(quarry_kv_iterator_first(iterator));
    for (uint32_t i = 1; i < 6; i++) {
        struct quarry_kv_iterator *other =
            NULL; /* holds the view, too: nothing comes free with it */
        assert_int_equal(quarry_kv_iterate(kv, NULL, &other, NULL), QUARRY_OK);
        kv_walk_set_frugal(iterator, true); /* holds no block that could be evicted */
        fill_level0(i);                     /* more runs than the walk has room for */
        uint64_t used_bytes = use_up();
        kv_reads_make_room(kv);
        assert_true(kv_reserve_enter(kv)); /* nothing is left for reads, either */
        used_bytes += use_up();
        bool is_at = kv_walk_renew(iterator) == QUARRY_OK;
        refused_count += !is_at;
        assert_int_equal(iterator->is_bare, !is_at);
        quarry_account_uncharge(kv->part[KV_PART_READ], used_bytes);
        kv_reserve_leave(kv);
        quarry_kv_iterator_destroy(other);
        assert_true(quarry_kv_iterator_seek(iterator, "key000500", 9));
        assert_false(iterator->is_bare);
        for (uint32_t at = 500; at < 510; at++) {
            expect_number(iterator, at, 0);
            assert_true(quarry_kv_iterator_next(iterator));
        }
    }
    assert_true(refused_count > 0);
    quarry_kv_iterator_destroy(iterator);
    store_close(kv);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_iterator_lets_go_of_what_was_flushed_with_its_next_step),
        TEST(a_snapshot_may_go_before_its_iterator),
        TEST(iterators_see_the_same_across_flushes_and_compactions),
        TEST(while_memory_is_short_walks_hold_nothing_between_moves),
        TEST(a_compaction_gets_by_with_the_reserve),
        TEST(what_was_refused_once_is_narrow_for_a_while),
        TEST(a_flush_gets_by_with_the_reserve),
        TEST(a_renewal_that_is_refused_memory_is_done_later),
    };

    return cmocka_run_group_tests_name("kv_renew", tests, NULL, NULL);
}
