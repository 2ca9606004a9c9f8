/*
 * Iterators against a model: random walks over stores that were put together by hand, with bounds,
 * prefixes, snapshots, and changes in between.
 */
#include "unit/kv/read_rig.h"

#include <kv/walk.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/rounds.h"

/* Where the walk is in the model. */
struct walk {
    struct quarry_kv_iterator *iterator;
    const struct rig_state *state;
    struct kv_slice lower, upper; /* bytes NULL: none */
    bool has_prefix;
    struct kv_slice prefix; /* bytes NULL: none */
    int at;                 /* index of a key; -1: nowhere */
};

static int compare(struct kv_slice a, struct kv_slice b)
{
    return kv_compare(rig.kv->comparator, a, b);
}

static bool shows(const struct walk *walk, int key)
{
    struct kv_slice own = rig.keys[key];

    return walk->state->values[key] != NULL &&
           (walk->lower.bytes == NULL || compare(own, walk->lower) >= 0) &&
           (walk->upper.bytes == NULL || compare(own, walk->upper) < 0);
}

static bool begins_with(struct kv_slice key, struct kv_slice prefix)
{
    return key.count >= prefix.count && memcmp(key.bytes, prefix.bytes, prefix.count) == 0;
}

/* The next key from an index on, upwards or downwards, that is shown. */
static int model_find(const struct walk *walk, int from, int step)
{
    for (int key = from; key >= 0 && key < (int)RIG_KEYS; key += step) {
        if (shows(walk, key)) {
            bool ends = walk->prefix.bytes != NULL && !begins_with(rig.keys[key], walk->prefix);
            return ends ? -1 : key;
        }
    }
    return -1;
}

static void check(struct walk *walk, bool is_found, const char *what)
{
    struct quarry_error error = {0};
    enum quarry_status status = quarry_kv_iterator_status(walk->iterator, &error);

    if (status != QUARRY_OK) {
        fail_msg("%s: %s", what, error.text);
    }
    assert_int_equal(quarry_kv_iterator_is_valid(walk->iterator), is_found);
    if (is_found != (walk->at >= 0)) {
        fail_msg("%s: found %d, expected key %d", what, is_found, walk->at);
    }
    if (!is_found) {
        return;
    }
    struct quarry_kv_slice key = quarry_kv_iterator_key(walk->iterator);
    struct quarry_kv_slice value = quarry_kv_iterator_value(walk->iterator);
    struct kv_slice expected = rig.keys[walk->at];
    if (kv_compare_bytes(kv_slice(key.bytes, key.byte_count), expected) != 0) {
        fail_msg("%s: at '%.*s', expected '%.*s'", what, (int)key.byte_count,
                 (const char *)key.bytes, (int)expected.count, expected.bytes);
    }
    assert_int_equal(value.byte_count, walk->state->counts[walk->at]);
    assert_memory_equal(value.bytes, walk->state->values[walk->at], value.byte_count);
}

static int index_at_or_after(struct kv_slice key)
{
    int index = 0;

    while (index < (int)RIG_KEYS && compare(rig.keys[index], key) < 0) {
        index++;
    }
    return index;
}

static void set_prefix(struct walk *walk, struct kv_slice key)
{
    size_t byte_count = rig.kv->options.prefix_bytes;

    walk->prefix = (struct kv_slice){0};
    if (walk->has_prefix && key.count >= byte_count) {
        walk->prefix = kv_slice(key.bytes, byte_count);
    }
}

static void do_seek(struct walk *walk, struct kv_slice key)
{
    set_prefix(walk, key);
    walk->at = model_find(walk, index_at_or_after(key), 1);
    check(walk, quarry_kv_iterator_seek(walk->iterator, key.bytes, key.count), "seek");
}

static void do_seek_for_prev(struct walk *walk, struct kv_slice key)
{
    int from = index_at_or_after(key);

    if (from == (int)RIG_KEYS || compare(rig.keys[from], key) > 0) {
        from--;
    }
    set_prefix(walk, key);
    walk->at = model_find(walk, from, -1);
    check(walk, quarry_kv_iterator_seek_for_prev(walk->iterator, key.bytes, key.count),
          "seek for prev");
}

/* One of the keys, or one that is between them. */
static struct kv_slice any_key(char *room)
{
    struct kv_slice key = rig.keys[rig_below(RIG_KEYS)];
    size_t count = rig_below(5) == 0 ? rig_below(key.count + 1) : key.count;

    memcpy(room, key.bytes, count);
    if (rig_below(5) == 0) {
        room[count++] = (char)rig_below(256);
    }
    return kv_slice(room, count);
}

static void step(struct walk *walk, bool is_forward)
{
    if (walk->at < 0) {
        return;
    }
    if (is_forward) {
        walk->at = model_find(walk, walk->at + 1, 1);
        check(walk, quarry_kv_iterator_next(walk->iterator), "next");
    } else {
        walk->at = model_find(walk, walk->at - 1, -1);
        check(walk, quarry_kv_iterator_previous(walk->iterator), "previous");
    }
}

static void move(struct walk *walk)
{
    static char room[64];
    uint64_t which = rig_below(20);

    if (which == 0) {
        walk->prefix = (struct kv_slice){0};
        walk->at = model_find(walk, 0, 1);
        check(walk, quarry_kv_iterator_first(walk->iterator), "first");
    } else if (which == 1) {
        walk->prefix = (struct kv_slice){0};
        walk->at = model_find(walk, RIG_KEYS - 1, -1);
        check(walk, quarry_kv_iterator_last(walk->iterator), "last");
    } else if (which < 5) {
        do_seek(walk, any_key(room));
    } else if (which < 8) {
        do_seek_for_prev(walk, any_key(room));
    } else {
        bool is_forward = rig_below(2) == 0;
        for (uint64_t i = 1 + rig_below(6); i > 0; i--) {
            step(walk, is_forward);
        }
    }
}

static void pick_bounds(struct quarry_kv_read_options *options, char *lower, char *upper)
{
    options->lower = options->upper = (struct quarry_kv_slice){0};
    if (rig_below(2) == 0) {
        struct kv_slice key = any_key(lower);
        options->lower = (struct quarry_kv_slice){key.bytes, key.count};
    }
    if (rig_below(2) == 0) {
        struct kv_slice key = any_key(upper);
        options->upper = (struct quarry_kv_slice){key.bytes, key.count};
    }
}

static void take_bounds(struct walk *walk, const struct quarry_kv_read_options *options)
{
    walk->lower = kv_slice(options->lower.bytes, options->lower.byte_count);
    walk->upper = kv_slice(options->upper.bytes, options->upper.byte_count);
    walk->prefix = (struct kv_slice){0};
    walk->at = -1;
}

static void copy_state(struct rig_state *to, const struct rig_state *from)
{
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        to->values[i] = NULL;
        to->counts[i] = from->counts[i];
        if (from->values[i] != NULL) {
            to->values[i] = malloc(from->counts[i] + 1);
            memcpy(to->values[i], from->values[i], from->counts[i]);
        }
    }
}

static void free_state(struct rig_state *state)
{
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        free(state->values[i]);
    }
}

/* An iterator's life: the store changes under it, and it does not see that until it is refreshed.
 */
static void walk_once(bool allows_changes)
{
    char lower[64], upper[64], other_lower[64], other_upper[64];
    struct quarry_kv_read_options options = {
        .leaves_no_trace = rig_below(4) == 0,
        .is_prefix_only = rig.kv->options.prefix_bytes != 0 && rig_below(2) == 0,
    };
    const struct rig_snapshot *old = &rig.snapshots[rig_below(RIG_SNAPSHOTS)];
    struct walk walk = {.has_prefix = options.is_prefix_only};
    struct quarry_error error = {0};
    struct rig_state state;

    pick_bounds(&options, lower, upper);
    options.snapshot = old->snapshot;
    copy_state(&state, old->snapshot != NULL ? &old->state : &rig.now);
    walk.state = &state;
    take_bounds(&walk, &options);
    assert_int_equal(quarry_kv_iterate(rig.kv, &options, &walk.iterator, &error), QUARRY_OK);
    assert_false(quarry_kv_iterator_is_valid(walk.iterator));
    for (uint64_t i = rig_below(30); i > 0; i--) {
        move(&walk);
        if (rig_below(10) == 0 && allows_changes) {
            rig_live(1 + (uint32_t)rig_below(40));
        } else if (rig_below(16) == 0) {
            pick_bounds(&options, other_lower, other_upper);
            take_bounds(&walk, &options);
            assert_int_equal(
                quarry_kv_iterator_set_bounds(walk.iterator, options.lower, options.upper),
                QUARRY_OK);
        } else if (rig_below(24) == 0) {
            assert_int_equal(quarry_kv_iterator_refresh(walk.iterator, &error), QUARRY_OK);
            free_state(&state);
            copy_state(&state, &rig.now);
            walk.prefix = (struct kv_slice){0};
            walk.at = -1;
        }
    }
    quarry_kv_iterator_destroy(walk.iterator);
    free_state(&state);
}

static void live_and_walk(const struct rig_options *options)
{
    rig_begin(options);
    for (uint32_t round = 0; round < 12; round++) {
        rig_live(1 + (uint32_t)rig_below(100));
        if (rig_below(3) == 0) {
            rig_snapshot_take((uint32_t)rig_below(RIG_SNAPSHOTS));
        }
        for (uint32_t i = 0; i < 8; i++) {
            walk_once(true);
        }
    }
    rig_end();
}

static void every_walk_shows_what_the_model_has(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(30, 10); seed++) {
        const struct rig_options options = {
            .seed = seed,
            .prefix_bytes = seed % 3 == 0 ? 2 : 0,
            .pins_bytes = seed % 4 == 0 ? 1 : 0,
            .has_no_reserve = seed % 5 == 0,
        };
        live_and_walk(&options);
    }
}

static int compare_reversed(void *argument, const void *a, size_t a_bytes, const void *b,
                            size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}
static const struct quarry_kv_comparator reversed = {.name = "test.Reversed",
                                                     .compare = compare_reversed};

static void walks_are_right_in_another_order(void **state)
{
    (void)state;
    for (uint64_t seed = 200; seed < ROUNDS(220, 208); seed++) {
        const struct rig_options options = {
            .seed = seed, .comparator = &reversed, .prefix_bytes = seed % 2 == 0 ? 2 : 0};
        live_and_walk(&options);
    }
}

/* ---- by hand -------------------------------------------------------------------------------- */

static void begin(void)
{
    const struct rig_options options = {.seed = 5};

    rig_begin(&options);
}

static struct quarry_kv_iterator *iterate(const struct quarry_kv_read_options *options)
{
    struct quarry_kv_iterator *iterator = NULL;

    assert_int_equal(quarry_kv_iterate(rig.kv, options, &iterator, NULL), QUARRY_OK);
    return iterator;
}

static void an_empty_store_has_nothing_to_show(void **state)
{
    (void)state;
    begin();
    struct quarry_kv_iterator *iterator = iterate(NULL);
    assert_false(quarry_kv_iterator_first(iterator));
    assert_false(quarry_kv_iterator_last(iterator));
    assert_false(quarry_kv_iterator_seek(iterator, "a", 1));
    assert_false(quarry_kv_iterator_seek_for_prev(iterator, NULL, 0));
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    quarry_kv_iterator_destroy(iterator);
    quarry_kv_iterator_destroy(NULL);
    rig_end();
}

static void too_many_deleted_keys_end_a_step(void **state)
{
    struct quarry_kv_read_options options = {.skipped_max = 10};
    struct quarry_error error = {0};

    (void)state;
    begin();
    rig_put(0, "first", 5);
    rig_put(40, "last", 4);
    for (uint32_t key = 1; key < 12; key++) {
        rig_delete(key);
    }
    struct quarry_kv_iterator *iterator = iterate(&options);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_false(quarry_kv_iterator_next(iterator));
    assert_int_equal(quarry_kv_iterator_status(iterator, &error), QUARRY_CANCELLED);
    assert_int_equal(error.status, QUARRY_CANCELLED);
    assert_true(quarry_kv_iterator_last(iterator));
    assert_false(quarry_kv_iterator_previous(iterator));
    assert_int_equal(quarry_kv_iterator_status(iterator, &error), QUARRY_CANCELLED);
    quarry_kv_iterator_destroy(iterator);
    options.skipped_max = 12;
    iterator = iterate(&options);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_true(quarry_kv_iterator_next(iterator));
    assert_int_equal(quarry_kv_iterator_status(iterator, &error), QUARRY_OK);
    quarry_kv_iterator_destroy(iterator);
    rig_end();
}

static void a_range_deletion_passes_older_sources_by_seeking(void **state)
{
    (void)state;
    begin();
    for (uint32_t key = 0; key < RIG_KEYS; key++) {
        rig_put(key, "old", 3);
    }
    rig_rotate();
    rig_flush();
    rig_compact(0);
    rig_delete_range(2, RIG_KEYS - 2);
    rig_put(30, "new", 3);
    static const uint32_t shown[] = {0, 1, 30, RIG_KEYS - 2, RIG_KEYS - 1};
    struct quarry_kv_iterator *iterator = iterate(NULL);
    bool is_found = quarry_kv_iterator_first(iterator);
    for (size_t i = 0; i < COUNT_OF(shown); i++, is_found = quarry_kv_iterator_next(iterator)) {
        assert_true(is_found);
        struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
        assert_int_equal(key.byte_count, rig.keys[shown[i]].count);
        assert_memory_equal(key.bytes, rig.keys[shown[i]].bytes, key.byte_count);
    }
    assert_false(is_found);
    is_found = quarry_kv_iterator_last(iterator);
    for (size_t i = COUNT_OF(shown); i-- > 0; is_found = quarry_kv_iterator_previous(iterator)) {
        assert_true(is_found);
        struct quarry_kv_slice key = quarry_kv_iterator_key(iterator);
        assert_memory_equal(key.bytes, rig.keys[shown[i]].bytes, key.byte_count);
    }
    assert_false(is_found);
    quarry_kv_iterator_destroy(iterator);
    rig_end();
}

static void a_key_that_changed_often_is_passed(void **state)
{
    (void)state;
    begin();
    rig_put(5, "before", 6);
    rig_snapshot_take(0);
    for (int i = 0; i < 100; i++) {
        rig_put(6, "many", 4);
        rig_put(7, "many", 4);
    }
    const struct quarry_kv_read_options then = {.snapshot = rig.snapshots[0].snapshot};
    struct quarry_kv_iterator *iterator = iterate(&then);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_false(quarry_kv_iterator_next(iterator));
    assert_true(quarry_kv_iterator_last(iterator));
    assert_false(quarry_kv_iterator_previous(iterator));
    quarry_kv_iterator_destroy(iterator);
    iterator = iterate(NULL);
    assert_true(quarry_kv_iterator_first(iterator));
    assert_true(quarry_kv_iterator_next(iterator));
    assert_true(quarry_kv_iterator_next(iterator));
    assert_false(quarry_kv_iterator_next(iterator));
    quarry_kv_iterator_destroy(iterator);
    rig_end();
}

/* Its own key and value as what is sought, also when the walk gets other sources for it. */
static void what_is_sought_may_be_what_is_shown(void **state)
{
    (void)state;
    begin();
    for (uint32_t key = 0; key < RIG_KEYS; key++) {
        rig_put(key, rig.keys[key].bytes, rig.keys[key].count);
    }
    struct quarry_kv_iterator *iterator = iterate(NULL);
    assert_true(quarry_kv_iterator_last(iterator));
    for (uint32_t left = 40; left > 0; left--) {
        if (left % 8 == 0) {
            rig_put(0, rig.keys[0].bytes, rig.keys[0].count);
            rig_rotate();
            rig_flush();
        }
        struct quarry_kv_slice own =
            left % 2 == 0 ? quarry_kv_iterator_key(iterator) : quarry_kv_iterator_value(iterator);
        assert_true(quarry_kv_iterator_seek_for_prev(iterator, own.bytes, own.byte_count));
    }
    quarry_kv_iterator_destroy(iterator);
    rig_end();
}

static void the_memory_of_one_iterator_is_kept(void **state)
{
    (void)state;
    begin();
    struct quarry_kv_iterator *first = iterate(NULL), *second = iterate(NULL);
    quarry_kv_iterator_destroy(first);
    struct quarry_kv_iterator *third = iterate(NULL);
    assert_ptr_equal(third, first);
    assert_int_equal(rig.kv->iterator_count, 2);
    quarry_kv_iterator_destroy(second);
    quarry_kv_iterator_destroy(third);
    assert_int_equal(rig.kv->iterator_count, 0);
    rig_end();
}

static void an_iterator_over_a_batch_shows_both(void **state)
{
    struct quarry_kv_batch *batch = NULL;
    struct quarry_kv_iterator *iterator = NULL;
    struct rig_state expected;

    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(16, 6); seed++) {
        const struct rig_options options = {.seed = seed};
        rig_begin(&options);
        rig_live(200);
        const struct kv_batch_options own = {.memory = &rig.kv->small[KV_PART_READ],
                                             .comparator = rig.kv->comparator,
                                             .key_bytes_max = 1000,
                                             .value_bytes_max = 100000};
        assert_int_equal(kv_batch_create(&own, true, &batch), QUARRY_OK);
        copy_state(&expected, &rig.now);
        for (uint32_t i = 0; i < 30; i++) {
            uint32_t key = (uint32_t)rig_below(RIG_KEYS - 8), to = key + 4;
            struct kv_slice from = rig.keys[key], end = rig.keys[to];
            uint64_t which = rig_below(10);
            if (which < 6) {
                (void)quarry_kv_batch_put(batch, from.bytes, from.count, "batch", 5);
                free(expected.values[key]);
                expected.values[key] = strdup("batch");
                expected.counts[key] = 5;
                continue;
            }
            if (which < 9) {
                (void)quarry_kv_batch_delete(batch, from.bytes, from.count);
                to = key + 1;
            } else {
                (void)quarry_kv_batch_delete_range(batch, from.bytes, from.count, end.bytes,
                                                   end.count);
            }
            for (uint32_t gone = key; gone < to; gone++) {
                free(expected.values[gone]);
                expected.values[gone] = NULL;
                expected.counts[gone] = 0;
            }
        }
        assert_int_equal(quarry_kv_batch_iterate(rig.kv, NULL, batch, &iterator, NULL), QUARRY_OK);
        struct walk walk = {.iterator = iterator, .state = &expected, .at = -1};
        for (uint32_t i = 0; i < 60; i++) {
            move(&walk);
        }
        quarry_kv_iterator_destroy(iterator);
        quarry_kv_batch_destroy(batch);
        free_state(&expected);
        rig_end();
    }
}

/* ---- errors --------------------------------------------------------------------------------- */

static void walks_go_on_when_the_budget_refuses_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(12, 5); seed++) {
        const struct rig_options options = {.seed = seed, .pins_bytes = seed % 2};
        rig_begin(&options);
        rig_live(400);
        for (uint32_t i = 0; i < 3; i++) {
            rig_rotate();
            while (rig.kv->immutable_count != 0) {
                rig_flush();
            }
            rig_compact(2 - i);
        }
        rig_live(20);
        rig_cool();
        rig_allow(0);
        for (uint32_t i = 0; i < 10; i++) {
            walk_once(false);
        }
        rig_allow(UINT64_MAX);
        rig_end();
    }
}

/* So many files of level 0, of all keys or nearly. Every few have range deletions. */
static void make_level0(uint32_t file_count, size_t value_bytes)
{
    char value[4096];

    for (uint32_t i = 0; i < file_count; i++) {
        memset(value, 'a' + (int)(i % 26), value_bytes);
        for (uint32_t key = 0; key < RIG_KEYS; key++) {
            if (rig_below(8) != 0) {
                rig_put(key, value, value_bytes);
            }
        }
        if (i % 5 == 0) {
            uint32_t from = (uint32_t)rig_below(RIG_KEYS - 4);
            rig_delete_range(from, from + 4);
        }
        rig_rotate();
        rig_flush();
    }
}

/* Far more files than the reserve has room for blocks of. */
static void a_walk_needs_one_block_however_many_files_there_are(void **state)
{
    const struct rig_options options = {.seed = 5};
    struct walk walk = {.state = &rig.now, .at = -1};

    (void)state;
    rig_begin(&options);
    make_level0(40, 3000);
    rig_cool();
    rig_allow(0);
    assert_int_equal(quarry_kv_iterate(rig.kv, NULL, &walk.iterator, NULL), QUARRY_OK);
    for (uint32_t i = 0; i < 100; i++) {
        move(&walk);
        if (i % 10 == 0) {
            rig_cool();
        }
    }
    assert_true(walk.iterator->is_frugal);
    walk.at = model_find(&walk, 0, 1);
    check(&walk, quarry_kv_iterator_first(walk.iterator), "first");
    while (walk.at >= 0) {
        step(&walk, true);
    }
    quarry_kv_iterator_destroy(walk.iterator);
    rig_allow(UINT64_MAX);
    rig_end();
}

#define WALKS 16u

/* Each leaves the reserve to the others when its move is done. */
static void walks_that_are_open_at_once_share_the_reserve(void **state)
{
    const struct rig_options options = {.seed = 6};
    struct walk walks[WALKS];

    (void)state;
    rig_begin(&options);
    make_level0(10, 3000);
    rig_cool();
    rig_allow(0);
    for (uint32_t i = 0; i < WALKS; i++) {
        walks[i] = (struct walk){.state = &rig.now, .at = -1};
        assert_int_equal(quarry_kv_iterate(rig.kv, NULL, &walks[i].iterator, NULL), QUARRY_OK);
        do_seek(&walks[i], rig.keys[i]);
    }
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < WALKS; i++) {
            move(&walks[(i + round) % WALKS]);
        }
    }
    for (uint32_t i = 0; i < WALKS; i++) {
        quarry_kv_iterator_destroy(walks[i].iterator);
    }
    rig_allow(UINT64_MAX);
    rig_end();
}

/* What is shown stays where it is when blocks are let go of, and the walk goes on from there. */
static void a_frugal_walk_lets_go_between_moves(void **state)
{
    uint64_t let_go_count = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        const struct rig_options options = {.seed = seed, .pins_bytes = seed % 2};
        struct walk walk = {.state = &rig.now, .at = -1};
        rig_begin(&options);
        rig_live(400);
        rig_cool();
        rig_allow(0);
        assert_int_equal(quarry_kv_iterate(rig.kv, NULL, &walk.iterator, NULL), QUARRY_OK);
        for (uint32_t i = 0; i < 200; i++) {
            rig_cool();
            move(&walk);
            if (walk.iterator->is_frugal && walk.at >= 0) {
                kv_walk_let_go(walk.iterator);
                check(&walk, true, "letting go");
                let_go_count++;
            }
        }
        quarry_kv_iterator_destroy(walk.iterator);
        rig_allow(UINT64_MAX);
        rig_end();
    }
    assert_true(let_go_count > 100);
}

static void a_walk_is_frugal_for_some_moves_only(void **state)
{
    const struct rig_options options = {.seed = 8};
    struct walk walk = {.state = &rig.now, .at = -1};
    uint32_t move_count = 0;

    (void)state;
    rig_begin(&options);
    make_level0(20, 100);
    rig_cool();
    rig_allow(0);
    assert_int_equal(quarry_kv_iterate(rig.kv, NULL, &walk.iterator, NULL), QUARRY_OK);
    walk.at = model_find(&walk, 0, 1);
    check(&walk, quarry_kv_iterator_first(walk.iterator), "first");
    assert_true(walk.iterator->is_frugal);
    rig_allow(UINT64_MAX);
    for (bool is_forward = true; walk.iterator->is_frugal && move_count < 1000; move_count++) {
        if (walk.at == model_find(&walk, RIG_KEYS - 1, -1)) {
            is_forward = false;
        } else if (walk.at == model_find(&walk, 0, 1)) {
            is_forward = true;
        }
        step(&walk, is_forward);
    }
    assert_in_range(move_count, 200, 300);
    step(&walk, false);
    quarry_kv_iterator_destroy(walk.iterator);
    rig_end();
}

static void a_walk_that_is_refused_memory_says_so_and_goes_on_later(void **state)
{
    const struct rig_options options = {.seed = 21, .has_no_reserve = true};
    uint64_t refused_count = 0;

    (void)state;
    rig_begin(&options);
    rig_live(600);
    for (uint64_t bytes = 0; bytes < 100000; bytes += 1 + bytes / 8) {
        struct quarry_kv_iterator *iterator = NULL;
        rig_cool();
        rig_allow(bytes);
        if (quarry_kv_iterate(rig.kv, NULL, &iterator, NULL) != QUARRY_OK) {
            refused_count++;
            rig_allow(UINT64_MAX);
            continue;
        }
        struct walk walk = {.iterator = iterator, .state = &rig.now, .at = -1};
        bool is_found = quarry_kv_iterator_first(iterator);
        while (is_found) {
            is_found = rig_below(8) == 0 ? quarry_kv_iterator_previous(iterator)
                                         : quarry_kv_iterator_next(iterator);
        }
        refused_count += quarry_kv_iterator_status(iterator, NULL) == QUARRY_NO_MEMORY;
        rig_allow(UINT64_MAX);
        for (uint32_t i = 0; i < 10; i++) {
            move(&walk);
        }
        quarry_kv_iterator_destroy(iterator);
    }
    assert_true(refused_count > 2);
    rig_end();
}

static void a_file_that_is_gone_is_told(void **state)
{
    struct quarry_error error = {0};
    char path[64];

    (void)state;
    begin();
    rig_put(3, "x", 1);
    rig_rotate();
    rig_flush();
    (void)snprintf(path, sizeof(path), "%06u.sst", 1u);
    assert_int_equal(quarry_vfs_remove(rig.kv->vfs, path, NULL), QUARRY_OK);
    struct quarry_kv_iterator *iterator = iterate(NULL);
    assert_false(quarry_kv_iterator_first(iterator));
    assert_int_not_equal(quarry_kv_iterator_status(iterator, &error), QUARRY_OK);
    assert_true(error.text[0] != '\0');
    quarry_kv_iterator_destroy(iterator);
    const struct quarry_kv_read_options cached = {.only_cached = true};
    iterator = iterate(&cached);
    assert_false(quarry_kv_iterator_last(iterator));
    assert_int_equal(quarry_kv_iterator_status(iterator, &error), QUARRY_BUSY);
    quarry_kv_iterator_destroy(iterator);
    rig_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_store_has_nothing_to_show),
        cmocka_unit_test(a_key_that_changed_often_is_passed),
        cmocka_unit_test(too_many_deleted_keys_end_a_step),
        cmocka_unit_test(a_range_deletion_passes_older_sources_by_seeking),
        cmocka_unit_test(every_walk_shows_what_the_model_has),
        cmocka_unit_test(walks_are_right_in_another_order),
        cmocka_unit_test(what_is_sought_may_be_what_is_shown),
        cmocka_unit_test(the_memory_of_one_iterator_is_kept),
        cmocka_unit_test(an_iterator_over_a_batch_shows_both),
        cmocka_unit_test(walks_go_on_when_the_budget_refuses_everything),
        cmocka_unit_test(a_walk_needs_one_block_however_many_files_there_are),
        cmocka_unit_test(walks_that_are_open_at_once_share_the_reserve),
        cmocka_unit_test(a_frugal_walk_lets_go_between_moves),
        cmocka_unit_test(a_walk_is_frugal_for_some_moves_only),
        cmocka_unit_test(a_walk_that_is_refused_memory_says_so_and_goes_on_later),
        cmocka_unit_test(a_file_that_is_gone_is_told),
    };

    return cmocka_run_group_tests_name("kv_iterator", tests, NULL, NULL);
}
