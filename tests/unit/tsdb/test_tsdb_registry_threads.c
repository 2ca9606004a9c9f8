/*
 * Readers beside who makes series and who removes them: what is found inside the epoch is what was
 * asked for, until the reader leaves.
 */
#include "unit/tsdb/registry_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/select.h>

#define KEYS    2000u
#define READERS 2u
#define ROUNDS  30u

static _Atomic bool is_over;
static _Atomic uint64_t found_count, selected_count;

static void text_of(uint32_t number, char text[64])
{
    snprintf(text, 64, "m%u{host=h%u,job=j%u}", number % 5, number, number % 17);
}

/* Whether a series is the one that a number names. */
static void expect_series(uint32_t id, uint32_t number)
{
    struct rig_labels room;
    struct tsdb_label labels[TSDB_LABELS_MAX];
    char text[64];

    text_of(number, text);
    const struct tsdb_labels *wanted = rig_labels(&room, text);
    struct tsdb_labels set = {.labels = labels,
                              .count = tsdb_registry_labels(rig.registry, id, labels)};
    if (tsdb_labels_compare(&set, wanted) != 0) {
        abort(); /* cmocka's asserts are for its own thread */
    }
}

static void read_one(uint32_t number)
{
    char text[64];

    text_of(number, text);
    quarry_epoch_enter(rig.epoch);
    uint32_t id =
        tsdb_registry_find(rig.registry, tsdb_registry_key(rig.registry, 0, tsdb_slice_of(text)));
    if (id != TSDB_SERIES_NONE) {
        expect_series(id, number);
        atomic_add_relaxed_u64(&found_count, 1);
    }
    quarry_epoch_leave(rig.epoch);
}

static void *read_known(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    while (!atomic_load_relaxed_bool(&is_over)) {
        read_one(rig_random(&seed, KEYS));
    }
    return NULL;
}

/* Selects the series of one job by different matchers: all have that job. */
static void select_job(uint32_t job, enum tsdb_matcher_type type)
{
    struct tsdb_matcher matcher;
    struct tsdb_selector selector = {.matchers = &matcher, .matcher_count = 1};
    struct tsdb_ids selected;
    char value[16];

    snprintf(value, sizeof(value), type == TSDB_MATCH_EQUAL ? "j%u" : "(j%u)+", job);
    if (tsdb_matcher_init(&matcher, &rig.objects, type, tsdb_slice_of("job"), tsdb_slice_of(value),
                          NULL) != QUARRY_OK) {
        abort();
    }
    quarry_epoch_enter(rig.epoch);
    if (tsdb_select(rig.registry, &selector, &rig.objects, &selected) != QUARRY_OK ||
        tsdb_select_sort(rig.registry, &selected) != QUARRY_OK) {
        abort();
    }
    for (size_t i = 0; i < selected.count; i++) {
        struct tsdb_label labels[TSDB_LABELS_MAX];
        struct tsdb_labels set = {
            .labels = labels, .count = tsdb_registry_labels(rig.registry, selected.ids[i], labels)};
        if (!tsdb_matcher_passes(&matcher, tsdb_labels_find(&set, tsdb_slice_of("job")))) {
            abort();
        }
    }
    atomic_add_relaxed_u64(&selected_count, selected.count);
    quarry_epoch_leave(rig.epoch);
    tsdb_ids_fini(&selected);
    tsdb_matcher_fini(&matcher);
}

static void list_hosts(void)
{
    const struct tsdb_selector all = {.tenant = 0};
    struct tsdb_values found;

    if (tsdb_select_values(rig.registry, &all, tsdb_slice_of("host"), &rig.objects, &found) !=
        QUARRY_OK) {
        abort();
    }
    for (size_t i = 1; i < found.count; i++) {
        if (tsdb_slice_compare(found.values[i - 1].text, found.values[i].text) >= 0) {
            abort();
        }
    }
    tsdb_values_fini(&found);
}

static void *select_all(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    while (!atomic_load_relaxed_bool(&is_over)) {
        select_job(rig_random(&seed, 17),
                   rig_random(&seed, 2) == 0 ? TSDB_MATCH_EQUAL : TSDB_MATCH_REGEX);
        list_hosts();
    }
    return NULL;
}

static void *create_again(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    while (!atomic_load_relaxed_bool(&is_over)) {
        struct rig_labels room;
        char text[64];
        uint32_t id, number = rig_random(&seed, KEYS);
        bool is_new;
        text_of(number, text);
        quarry_epoch_enter(rig.epoch);
        struct tsdb_memo_key key = tsdb_registry_key(rig.registry, 0, tsdb_slice_of(text));
        if (tsdb_registry_find(rig.registry, key) == TSDB_SERIES_NONE) {
            if (tsdb_registry_get(rig.registry, 0, rig_labels(&room, text), &key, &id, &is_new) !=
                QUARRY_OK) {
                abort();
            }
            expect_series(id, number);
        }
        quarry_epoch_leave(rig.epoch);
    }
    return NULL;
}

static void remove_some(uint64_t *seed)
{
    uint32_t ids[64];

    for (uint32_t i = 0; i < 20; i++) {
        quarry_epoch_enter(rig.epoch);
        size_t count = tsdb_registry_list(rig.registry, rig_random(seed, KEYS), ids, 64);
        for (size_t n = 0; n < count; n++) {
            enum quarry_status status = tsdb_registry_remove(rig.registry, ids[n], NULL, NULL);
            assert_int_equal(status, QUARRY_OK);
        }
        quarry_epoch_leave(rig.epoch);
        tsdb_registry_collect(rig.registry);
    }
}

static void test_readers_see_whole_series_beside_those_who_make_and_remove(void **state)
{
    pthread_t threads[READERS + 2];
    uint64_t seed = 99;

    (void)state;
    atomic_store_relaxed_bool(&is_over, false);
    for (uintptr_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_known, (void *)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&threads[READERS], NULL, select_all, (void *)7), 0);
    assert_int_equal(pthread_create(&threads[READERS + 1], NULL, create_again, (void *)8), 0);
    for (uint32_t round = 0; round < ROUNDS || atomic_load_relaxed_u64(&found_count) < 100 ||
                             atomic_load_relaxed_u64(&selected_count) == 0;
         round++) {
        remove_some(&seed);
        rig_validate();
        os_sleep_ns(5000000);
    }
    atomic_store_relaxed_bool(&is_over, true);
    for (uint32_t i = 0; i < READERS + 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    rig_validate();
    assert_true(atomic_load_relaxed_u64(&selected_count) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_readers_see_whole_series_beside_those_who_make_and_remove, rig_set_up,
            rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
