/*
 * Small stores as they are, flushed and compacted in an order that chance gives, against a model:
 * every walk and every get, now and as snapshots have it.
 */
#include "unit/kv/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS      80u
#define VALUE_MAX 400u
#define SNAPSHOTS 4u

/* What each key has; -1: nothing. */
struct model {
    int counts[KEYS];
    char values[KEYS][VALUE_MAX];
};
struct view {
    const struct quarry_kv_snapshot *snapshot; /* NULL: free, or now */
    struct model model;
};

static struct quarry_kv *kv;
static struct view now, views[SNAPSHOTS];
static uint64_t random_state;

static uint64_t below(uint64_t bound)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (z ^ (z >> 27)) % bound;
}

static size_t make_key(char *room, uint32_t index)
{
    return (size_t)snprintf(room, 32, "%s%03u", index % 7 < 3 ? "long common beginning/" : "k",
                            index);
}

/* Keys in the order of the store: those of the first kind come behind the others. */
static uint32_t order[KEYS];

static int compare_indexes(const void *a, const void *b)
{
    char one[32], other[32];

    (void)make_key(one, *(const uint32_t *)a);
    (void)make_key(other, *(const uint32_t *)b);
    return strcmp(one, other);
}

static void begin(uint64_t seed)
{
    random_state = seed;
    for (uint32_t i = 0; i < KEYS; i++) {
        order[i] = i;
        now.model.counts[i] = -1;
    }
    qsort(order, KEYS, sizeof(order[0]), compare_indexes);
}

/* ---- changes -------------------------------------------------------------------------------- */

/* `at`: by order, as in the model. */
static void change_one(struct quarry_kv_batch *batch, uint32_t at)
{
    char key[32], end[32], value[VALUE_MAX];
    size_t key_bytes = make_key(key, order[at]);
    uint64_t which = below(20);
    struct model *model = &now.model;

    if (which < 11) {
        int count =
            snprintf(value, sizeof(value), "%0*u", (int)(1 + below(120)), (unsigned)below(1000));
        assert_int_equal(quarry_kv_batch_put(batch, key, key_bytes, value, (size_t)count),
                         QUARRY_OK);
        memcpy(model->values[at], value, (size_t)count);
        model->counts[at] = count;
    } else if (which < 15) {
        assert_int_equal(quarry_kv_batch_delete(batch, key, key_bytes), QUARRY_OK);
        model->counts[at] = -1;
    } else if (which < 19) {
        if (model->counts[at] > (int)VALUE_MAX - 10) {
            return;
        }
        int count = snprintf(value, sizeof(value), "m%u", (unsigned)below(100));
        assert_int_equal(quarry_kv_batch_merge(batch, key, key_bytes, value, (size_t)count),
                         QUARRY_OK);
        if (model->counts[at] < 0) {
            model->counts[at] = 0;
        } else {
            model->values[at][model->counts[at]++] = ',';
        }
        memcpy(model->values[at] + model->counts[at], value, (size_t)count);
        model->counts[at] += count;
    } else {
        uint32_t to = at + 1 + (uint32_t)below(KEYS - at);
        size_t end_bytes =
            to == KEYS ? (size_t)snprintf(end, sizeof(end), "zz") : make_key(end, order[to]);
        assert_int_equal(quarry_kv_batch_delete_range(batch, key, key_bytes, end, end_bytes),
                         QUARRY_OK);
        for (uint32_t i = at; i < to; i++) {
            model->counts[i] = -1;
        }
    }
}

static void change(void)
{
    struct quarry_kv_batch *batch = NULL;

    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    for (uint64_t i = 1 + below(4); i > 0; i--) {
        change_one(batch, (uint32_t)below(KEYS));
    }
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
}

static void tend(void)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;
    char key[32], end[32];
    uint32_t from = (uint32_t)below(KEYS), to = (uint32_t)below(KEYS);

    if (below(40) == 0) {
        status = quarry_kv_flush(kv, &error);
    } else if (below(120) == 0 && from < to) {
        const struct quarry_kv_slice range[2] = {{key, make_key(key, order[from])},
                                                 {end, make_key(end, order[to])}};
        status = quarry_kv_compact_range(kv, range[0], range[1], &error);
    } else if (below(20) == 0) {
        (void)quarry_kv_step(kv);
    } else if (below(60) == 0) {
        struct view *view = &views[below(SNAPSHOTS)];
        quarry_kv_snapshot_release(kv, view->snapshot);
        status = quarry_kv_snapshot_take(kv, &view->snapshot);
        view->model = now.model;
    }
    if (status != QUARRY_OK) {
        fail_msg("%s: %s", quarry_status_name(status), error.text);
    }
}

/* ---- checks --------------------------------------------------------------------------------- */

static void check_at(const struct quarry_kv_iterator *iterator, const struct model *model,
                     uint32_t at)
{
    char key[32];
    size_t key_bytes = make_key(key, order[at]);
    struct quarry_kv_slice own_key = quarry_kv_iterator_key(iterator);
    struct quarry_kv_slice value = quarry_kv_iterator_value(iterator);

    if (own_key.byte_count != key_bytes || memcmp(own_key.bytes, key, key_bytes) != 0) {
        fail_msg("at '%.*s', expected '%s'", (int)own_key.byte_count, (const char *)own_key.bytes,
                 key);
    }
    assert_int_equal(value.byte_count, model->counts[at]);
    assert_memory_equal(value.bytes, model->values[at], value.byte_count);
}

static void check_walks(const struct view *view)
{
    char lower[32], upper[32];
    uint32_t from = below(2) == 0 ? 0 : (uint32_t)below(KEYS);
    uint32_t to = below(2) == 0 ? KEYS : (uint32_t)below(KEYS);
    struct quarry_kv_read_options options = {.snapshot = view->snapshot};
    struct quarry_kv_iterator *iterator = NULL;
    uint32_t at;

    if (from != 0) {
        options.lower = (struct quarry_kv_slice){lower, make_key(lower, order[from])};
    }
    if (to != KEYS) {
        options.upper = (struct quarry_kv_slice){upper, make_key(upper, order[to])};
    }
    assert_int_equal(quarry_kv_iterate(kv, &options, &iterator, NULL), QUARRY_OK);
    bool is_found = quarry_kv_iterator_first(iterator);
    for (at = from; at < to; at++) {
        if (view->model.counts[at] >= 0) {
            assert_true(is_found);
            check_at(iterator, &view->model, at);
            is_found = quarry_kv_iterator_next(iterator);
        }
    }
    assert_false(is_found);
    is_found = quarry_kv_iterator_last(iterator);
    for (at = to; at-- > from;) {
        if (view->model.counts[at] >= 0) {
            assert_true(is_found);
            check_at(iterator, &view->model, at);
            is_found = quarry_kv_iterator_previous(iterator);
        }
    }
    assert_false(is_found);
    assert_int_equal(quarry_kv_iterator_status(iterator, NULL), QUARRY_OK);
    quarry_kv_iterator_destroy(iterator);
}

static void check_gets(const struct view *view)
{
    const struct quarry_kv_read_options options = {.snapshot = view->snapshot};

    for (uint32_t at = 0; at < KEYS; at++) {
        char key[32];
        struct quarry_kv_value value = {0};
        size_t key_bytes = make_key(key, order[at]);
        enum quarry_status status = quarry_kv_get(kv, &options, key, key_bytes, &value, NULL);
        assert_int_equal(status, view->model.counts[at] < 0 ? QUARRY_NOT_FOUND : QUARRY_OK);
        if (status == QUARRY_OK) {
            assert_int_equal(value.byte_count, view->model.counts[at]);
            assert_memory_equal(value.bytes, view->model.values[at], value.byte_count);
        }
        quarry_kv_value_release(&value);
    }
}

static void check(const struct view *view)
{
    check_walks(view);
    if (below(3) == 0) {
        check_gets(view);
    }
}

static void live(uint64_t seed)
{
    struct quarry_kv_options options = store_options();

    options.merge_operator = quarry_kv_merge_append(',');
    options.write_buffer_bytes = Q_KIB(64);
    options.file_bytes = Q_KIB(4);
    options.level1_bytes = Q_KIB(8);
    options.block_bytes = 512;
    options.level_ratio = 2;
    options.step_seed = seed;
    kv = store_open(&options);
    begin(seed);
    for (uint32_t i = 0; i < 1200; i++) {
        change();
        tend();
        if (below(20) == 0) {
            check(&now);
            const struct view *view = &views[below(SNAPSHOTS)];
            check(view->snapshot == NULL ? &now : view);
        }
    }
    for (uint32_t i = 0; i < SNAPSHOTS; i++) {
        quarry_kv_snapshot_release(kv, views[i].snapshot);
        views[i].snapshot = NULL;
    }
    store_close(kv);
}

static void every_read_shows_what_the_model_has(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        if (seed != 1) {
            assert_int_equal(store_set_up(state), 0);
        }
        live(seed);
        if (seed != 40) {
            assert_int_equal(store_tear_down(state), 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_read_shows_what_the_model_has, store_set_up,
                                        store_tear_down),
    };

    return cmocka_run_group_tests_name("kv_read_store", tests, NULL, NULL);
}
