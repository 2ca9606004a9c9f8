/*
 * A keyspace against a sorted map: random changes, virtual time, flushes, compactions and opening
 * it anew, in two databases and another tenant.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

#define KEYS        64u
#define SCOPES      3u
#define KEY_BYTES   24u
#define VALUE_BYTES 700u

struct model_entry {
    bool is_there;
    uint64_t expires_ms;
    uint32_t value; /* a number; its text is `value_bytes` long */
    size_t value_bytes;
};

static const struct keyspace_scope scopes[SCOPES] = {{0, 0}, {0, 255}, {7, 3}};
static char key_names[KEYS][KEY_BYTES]; /* in order */
static size_t key_bytes[KEYS];
static struct model_entry model[SCOPES][KEYS];
static uint64_t seed;
static uint32_t counter;

static struct quarry_kv_slice key_at(uint32_t key)
{
    return (struct quarry_kv_slice){key_names[key], key_bytes[key]};
}

/* Keys in order, of all lengths, with zeros and with bytes above all letters. */
static void make_keys(void)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        key_bytes[i] = (size_t)snprintf(key_names[i], KEY_BYTES, "%c%02u%s", 'a' + (char)(i / 16),
                                        i, i % 3 == 0 ? "" : "with a tail");
        if (i % 5 == 0) {
            key_names[i][key_bytes[i] - 1] = i % 2 == 0 ? '\0' : '\xff';
        }
    }
    key_bytes[0] = 0;
    for (uint32_t i = 1; i < KEYS; i++) { /* by insertion */
        for (uint32_t j = i; j > 1; j--) {
            size_t shorter = size_min(key_bytes[j], key_bytes[j - 1]);
            int order = memcmp(key_names[j - 1], key_names[j], shorter);
            if (order < 0 || (order == 0 && key_bytes[j - 1] <= key_bytes[j])) {
                break;
            }
            char moved[KEY_BYTES];
            size_t moved_bytes = key_bytes[j];
            memcpy(moved, key_names[j], KEY_BYTES);
            memcpy(key_names[j], key_names[j - 1], KEY_BYTES);
            memcpy(key_names[j - 1], moved, KEY_BYTES);
            key_bytes[j] = key_bytes[j - 1];
            key_bytes[j - 1] = moved_bytes;
        }
    }
}

static uint64_t now_ms(void)
{
    return atomic_load_relaxed_u64(&rig.now_ms);
}

static bool is_alive(const struct model_entry *entry)
{
    return entry->is_there && (entry->expires_ms == 0 || entry->expires_ms > now_ms());
}

static void fill(const struct model_entry *entry, char *to)
{
    char text[32];
    size_t byte_count = (size_t)snprintf(text, sizeof(text), "value %u", entry->value);

    memset(to, '.', entry->value_bytes);
    memcpy(to, text, size_min(byte_count, entry->value_bytes));
}

static void check_value(const struct model_entry *entry, const struct keyspace_value *value)
{
    char wanted[VALUE_BYTES];

    fill(entry, wanted);
    assert_int_equal(value->expires_ms, entry->expires_ms);
    assert_int_equal(value->byte_count, entry->value_bytes);
    assert_memory_equal(value->bytes, wanted, entry->value_bytes);
}

/* ---- changes -------------------------------------------------------------------------------- */

static void put(struct keyspace_change *change, uint32_t scope, uint32_t key)
{
    char value[VALUE_BYTES];
    struct model_entry *entry = &model[scope][key];
    bool expires = rig_below(&seed, 3) == 0;

    /* Now and then in the past: that deletes. */
    *entry = (struct model_entry){.is_there = true,
                                  .expires_ms = expires ? now_ms() + rig_below(&seed, 2000) : 0,
                                  .value = ++counter,
                                  .value_bytes = rig_below(&seed, VALUE_BYTES)};
    fill(entry, value);
    size_t cut = rig_below(&seed, entry->value_bytes + 1);
    const struct quarry_kv_slice pieces[] = {{value, cut}, {value + cut, entry->value_bytes - cut}};
    assert_int_equal(
        keyspace_put_pieces(change, &scopes[scope], key_at(key), pieces, 2, entry->expires_ms),
        QUARRY_OK);
    /* What it points to ends with this function: the change must not go on with it. */
    struct keyspace_value found;
    enum quarry_status status = keyspace_get(change, &scopes[scope], key_at(key), &found, NULL);
    assert_int_equal(status, is_alive(entry) ? QUARRY_OK : QUARRY_NOT_FOUND);
    if (status == QUARRY_OK) {
        check_value(entry, &found);
        keyspace_value_release(&found);
    }
}

static void check_get(struct keyspace_change *change, uint32_t scope, uint32_t key)
{
    struct keyspace_value found;
    enum quarry_status status = keyspace_get(change, &scopes[scope], key_at(key), &found, NULL);

    assert_int_equal(status, is_alive(&model[scope][key]) ? QUARRY_OK : QUARRY_NOT_FOUND);
    if (status == QUARRY_OK) {
        check_value(&model[scope][key], &found);
        keyspace_value_release(&found);
    }
}

static void check_walk(struct keyspace_change *change, uint32_t scope)
{
    uint32_t from = (uint32_t)rig_below(&seed, KEYS), to = (uint32_t)rig_below(&seed, KEYS);
    bool has_begin = rig_below(&seed, 2) == 0, has_end = rig_below(&seed, 2) == 0;
    struct keyspace_walk_options options = {.is_reverse = rig_below(&seed, 2) == 0,
                                            .change = change};
    struct keyspace_walk *walk;
    struct quarry_kv_slice key;
    struct keyspace_value value;
    enum quarry_status status;

    if (has_begin && has_end && from > to) {
        return;
    }
    options.begin = has_begin ? key_at(from) : (struct quarry_kv_slice){NULL, 0};
    options.end = has_end ? key_at(to) : (struct quarry_kv_slice){NULL, 0};
    from = has_begin ? from : 0;
    to = has_end ? to : KEYS;
    assert_int_equal(keyspace_walk_begin(rig.keyspace, &scopes[scope], &options, &walk, NULL),
                     QUARRY_OK);
    uint32_t at = options.is_reverse ? to : from;
    while ((status = keyspace_walk_next(walk, &key, &value, NULL)) == QUARRY_OK) {
        if (options.is_reverse) {
            do {
                assert_true(at > from);
                at--;
            } while (!is_alive(&model[scope][at]));
        } else {
            while (at < to && !is_alive(&model[scope][at])) {
                at++;
            }
            assert_true(at < to);
        }
        assert_int_equal(key.byte_count, key_bytes[at]);
        assert_memory_equal(key.bytes, key_names[at], key.byte_count);
        check_value(&model[scope][at], &value);
        at += !options.is_reverse;
    }
    assert_int_equal(status, QUARRY_NOT_FOUND);
    for (uint32_t i = options.is_reverse ? from : at; i < (options.is_reverse ? at : to); i++) {
        assert_false(is_alive(&model[scope][i]));
    }
    keyspace_walk_end(walk);
}

/* Several keys of several scopes, locked together; kept, or not. */
static void change_some(void)
{
    struct model_entry before[SCOPES][KEYS];
    struct quarry_kv_slice slices[SCOPES][4];
    struct keyspace_keys sets[SCOPES];
    uint32_t keys[SCOPES][4];
    struct keyspace_change change;
    uint32_t count = 1 + (uint32_t)rig_below(&seed, 4);

    memcpy(before, model, sizeof(model));
    for (uint32_t s = 0; s < SCOPES; s++) {
        for (uint32_t k = 0; k < count; k++) {
            keys[s][k] = (uint32_t)rig_below(&seed, KEYS);
            slices[s][k] = key_at(keys[s][k]);
        }
        sets[s] = (struct keyspace_keys){scopes[s], slices[s], count};
    }
    assert_int_equal(keyspace_begin(rig.keyspace, sets, SCOPES, 0, &change), QUARRY_OK);
    for (uint64_t i = rig_below(&seed, 7); i > 0; i--) {
        uint32_t s = (uint32_t)rig_below(&seed, SCOPES);
        uint32_t key = keys[s][rig_below(&seed, count)];
        check_get(&change, s, key);
        if (rig_below(&seed, 4) == 0) {
            assert_int_equal(keyspace_delete(&change, &scopes[s], key_at(key)), QUARRY_OK);
            model[s][key].is_there = false;
        } else {
            put(&change, s, key);
        }
        check_get(&change, s, key);
    }
    check_walk(&change, (uint32_t)rig_below(&seed, SCOPES));
    if (rig_below(&seed, 4) == 0) {
        keyspace_abort(&change);
        memcpy(model, before, sizeof(model));
    } else {
        rig_commit(&change);
    }
}

static void delete_range(void)
{
    uint32_t s = (uint32_t)rig_below(&seed, SCOPES);
    uint32_t from = (uint32_t)rig_below(&seed, KEYS), to = (uint32_t)rig_below(&seed, KEYS + 1);
    struct quarry_kv_slice end = to == KEYS ? (struct quarry_kv_slice){NULL, 0} : key_at(to);
    struct keyspace_change change;

    assert_int_equal(keyspace_begin(rig.keyspace, NULL, 0, KEYSPACE_ALL_KEYS, &change), QUARRY_OK);
    put(&change, s, from);
    assert_int_equal(keyspace_delete_range(&change, &scopes[s], key_at(from), end), QUARRY_OK);
    for (uint32_t i = from; i < to; i++) {
        model[s][i].is_there = false;
    }
    check_walk(&change, s);
    rig_commit(&change);
}

/* ---- looking -------------------------------------------------------------------------------- */

static void check_all(uint32_t s)
{
    enum quarry_status statuses[KEYS];
    struct keyspace_value values[KEYS];
    struct quarry_kv_slice slices[KEYS];
    struct keyspace_counts counts;
    uint64_t alive = 0, expiring = 0, ttl_ms_sum = 0;

    for (uint32_t i = 0; i < KEYS; i++) {
        slices[i] = key_at(i);
    }
    assert_int_equal(
        keyspace_read_many(rig.keyspace, &scopes[s], slices, KEYS, false, statuses, values, NULL),
        QUARRY_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        bool is = is_alive(&model[s][i]);
        assert_int_equal(statuses[i], is ? QUARRY_OK : QUARRY_NOT_FOUND);
        if (is) {
            check_value(&model[s][i], &values[i]);
            keyspace_value_release(&values[i]);
        }
        alive += is;
        expiring += is && model[s][i].expires_ms != 0;
        ttl_ms_sum += is && model[s][i].expires_ms != 0 ? model[s][i].expires_ms - now_ms() : 0;
    }
    assert_int_equal(keyspace_count(rig.keyspace, &scopes[s], NULL, &counts, NULL), QUARRY_OK);
    assert_int_equal(counts.keys, alive);
    assert_int_equal(counts.expiring_keys, expiring);
    assert_int_equal(counts.ttl_ms_sum, ttl_ms_sum);
}

static uint32_t visited[KEYS];

static void visit(void *argument, struct quarry_kv_slice key, const struct keyspace_value *value)
{
    const uint32_t *s = argument;

    for (uint32_t i = 0; i < KEYS; i++) {
        if (key.byte_count == key_bytes[i] && memcmp(key.bytes, key_names[i], key_bytes[i]) == 0) {
            visited[i]++;
            check_value(&model[*s][i], value);
        }
    }
}

static void check_scan(uint32_t s)
{
    uint64_t cursor = 0;

    memset(visited, 0, sizeof(visited));
    do {
        assert_int_equal(keyspace_scan(rig.keyspace, &scopes[s], cursor, rig_below(&seed, 20),
                                       false, NULL, visit, &s, &cursor, NULL),
                         QUARRY_OK);
    } while (cursor != 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(visited[i], is_alive(&model[s][i]));
    }
}

static void check_random(uint32_t s)
{
    struct keyspace_value key;
    uint32_t alive = 0, found = 0;
    enum quarry_status status =
        keyspace_random(rig.keyspace, &scopes[s], rig_random(&seed), false, &key, NULL);

    for (uint32_t i = 0; i < KEYS; i++) {
        alive += is_alive(&model[s][i]);
        found += status == QUARRY_OK && is_alive(&model[s][i]) && key.byte_count == key_bytes[i] &&
                 memcmp(key.bytes, key_names[i], key_bytes[i]) == 0;
    }
    assert_int_equal(status, alive == 0 ? QUARRY_NOT_FOUND : QUARRY_OK);
    if (status == QUARRY_OK) {
        assert_int_equal(found, 1);
        keyspace_value_release(&key);
    }
}

/* ---- histories ------------------------------------------------------------------------------ */

static void do_something(void)
{
    uint32_t s = (uint32_t)rig_below(&seed, SCOPES);

    switch (rig_below(&seed, 40)) {
    case 0:
        delete_range();
        return;
    case 1:
        rig_reopen();
        return;
    case 2:
        assert_int_equal(quarry_kv_flush(keyspace_kv(rig.keyspace), NULL), QUARRY_OK);
        return;
    case 3:
        assert_int_equal(quarry_kv_compact_range(keyspace_kv(rig.keyspace),
                                                 (struct quarry_kv_slice){NULL, 0},
                                                 (struct quarry_kv_slice){NULL, 0}, NULL),
                         QUARRY_OK);
        return;
    case 4:
    case 5:
        (void)atomic_add_relaxed_u64(&rig.now_ms, rig_below(&seed, 500));
        return;
    case 6:
    case 7:
        check_all(s);
        return;
    case 8:
        check_scan(s);
        return;
    case 9:
        check_random(s);
        return;
    case 10:
        check_walk(NULL, s);
        return;
    default:
        change_some();
        return;
    }
}

static void run_history(uint64_t begin, uint32_t step_count)
{
    seed = begin;
    counter = 0;
    memset(model, 0, sizeof(model));
    for (uint32_t i = 0; i < step_count; i++) {
        do_something();
    }
    for (uint32_t s = 0; s < SCOPES; s++) {
        check_all(s);
        check_scan(s);
    }
}

static void test_a_keyspace_reads_as_a_sorted_map(void **state)
{
    (void)state;
    make_keys();
    run_history(20261, 20000);
}

static void test_few_stripes_change_nothing(void **state)
{
    (void)state;
    make_keys();
    rig_close();
    rig.keyspace_options.stripe_count = 64;
    rig.keyspace_options.cursors_max = 1;
    rig_open();
    run_history(7, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_keyspace_reads_as_a_sorted_map, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_few_stripes_change_nothing, rig_set_up, rig_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
