/*
 * Series by labels and by key: who is found, who is not, what is left when they have gone.
 */
#include "unit/tsdb/registry_rig.h"

#include <stdio.h>
#include <string.h>

#define MANY 3000u

static struct tsdb_memo_key key_of(uint16_t tenant, const char *raw)
{
    return tsdb_registry_key(rig.registry, tenant, tsdb_slice_of(raw));
}

static uint32_t find_by_key(uint16_t tenant, const char *raw)
{
    quarry_epoch_enter(rig.epoch);
    uint32_t id = tsdb_registry_find(rig.registry, key_of(tenant, raw));
    quarry_epoch_leave(rig.epoch);
    return id;
}

static uint32_t get_by_key(uint16_t tenant, const char *text, const char *raw)
{
    struct rig_labels room;
    struct tsdb_memo_key key = key_of(tenant, raw);
    uint32_t id;
    bool is_new;

    quarry_epoch_enter(rig.epoch);
    assert_int_equal(
        tsdb_registry_get(rig.registry, tenant, rig_labels(&room, text), &key, &id, &is_new),
        QUARRY_OK);
    quarry_epoch_leave(rig.epoch);
    return id;
}

static void name_series(uint32_t number, char text[64])
{
    snprintf(text, 64, "m%u{host=h%u,job=j%u,zone=z}", number % 7, number / 7, number % 31);
}

static void get_many(void)
{
    char text[64];

    for (uint32_t i = 0; i < MANY; i++) {
        name_series(i, text);
        (void)rig_get(0, text);
    }
}

static void expect_labels(uint32_t id, const char *text)
{
    struct rig_labels room;
    struct tsdb_label found[TSDB_LABELS_MAX];
    const struct tsdb_labels *wanted = rig_labels(&room, text);

    quarry_epoch_enter(rig.epoch);
    struct tsdb_labels set = {.labels = found,
                              .count = tsdb_registry_labels(rig.registry, id, found)};
    assert_int_equal(set.count, wanted->count);
    assert_int_equal(tsdb_labels_compare(&set, wanted), 0);
    quarry_epoch_leave(rig.epoch);
}

/* ---- finding -------------------------------------------------------------------------------- */

static void test_equal_labels_are_one_series(void **state)
{
    (void)state;
    uint32_t id = rig_get(0, "up{job=a,zone=b}");
    assert_int_equal(id, 1);
    assert_int_equal(rig_get(0, "up{zone=b,job=a}"), id);
    assert_int_equal(rig_get(0, "up{zone=b,job=a,none=}"), id);
    assert_int_not_equal(rig_get(0, "up{job=a}"), id);
    assert_int_not_equal(rig_get(0, "up{job=b,zone=a}"), id);
    assert_int_not_equal(rig_get(0, "up{zone=a,job=b,x=y}"), id);
    assert_int_equal(tsdb_registry_count(rig.registry), 4);
    expect_labels(id, "up{job=a,zone=b}");
    assert_int_equal(rig_find(0, "up{job=a}"), 2);
    assert_int_equal(rig_find(0, "up{job=unknown}"), TSDB_SERIES_NONE);
    assert_int_equal(rig_find(0, "up{zone=a}"), TSDB_SERIES_NONE);
    rig_validate();
}

static void test_tenants_share_nothing(void **state)
{
    (void)state;
    uint32_t mine = get_by_key(1, "up{job=a}", "raw"), theirs = get_by_key(2, "up{job=a}", "raw");

    assert_int_not_equal(mine, theirs);
    assert_int_equal(find_by_key(1, "raw"), mine);
    assert_int_equal(find_by_key(2, "raw"), theirs);
    assert_int_equal(find_by_key(3, "raw"), TSDB_SERIES_NONE);
    assert_int_equal(tsdb_registry_tenant_count(rig.registry, 1), 1);
    assert_int_equal(tsdb_registry_tenant_count(rig.registry, 3), 0);
    quarry_epoch_enter(rig.epoch);
    assert_int_equal(tsdb_registry_compare(rig.registry, mine, theirs), 0);
    quarry_epoch_leave(rig.epoch);
    rig_validate();
}

static void test_a_series_without_labels_is_one(void **state)
{
    (void)state;
    uint32_t id = rig_get(5, "");
    assert_int_equal(rig_get(5, ""), id);
    expect_labels(id, "");
    rig_validate();
    rig_remove(id);
    rig_validate();
}

static void test_the_memo_keeps_the_last_form_of_a_series(void **state)
{
    (void)state;
    uint32_t id = get_by_key(0, "up{job=a}", "one form");
    assert_int_equal(find_by_key(0, "one form"), id);
    assert_int_equal(get_by_key(0, "up{job=a}", "another form"), id);
    assert_int_equal(find_by_key(0, "another form"), id);
    assert_int_equal(find_by_key(0, "one form"), TSDB_SERIES_NONE);
    assert_int_equal(rig.registry->memo.entry_count, 1);
    rig_remove(id);
    assert_int_equal(find_by_key(0, "another form"), TSDB_SERIES_NONE);
    assert_int_equal(rig.registry->memo.entry_count, 0);
}

static void test_the_memo_grows_and_shrinks_with_the_series(void **state)
{
    char text[64];
    uint32_t lost_count = 0;

    (void)state;
    uint64_t least = tsdb_memo_held_bytes(&rig.registry->memo);
    for (uint32_t i = 0; i < MANY; i++) {
        name_series(i, text);
        (void)get_by_key(0, text, text);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        name_series(i, text);
        uint32_t id = find_by_key(0, text);
        lost_count += id == TSDB_SERIES_NONE;
        if (id != TSDB_SERIES_NONE) {
            expect_labels(id, text);
        }
    }
    /* Where no free slot is near, mostly at a table's end, one entry makes way for another: in one
     * of a hundred seeds, for up to three of these. */
    assert_true(lost_count <= MANY / 100);
    assert_true(tsdb_memo_held_bytes(&rig.registry->memo) <= MANY * 28);
    for (uint32_t id = 1; id <= MANY; id++) {
        rig_remove(id);
    }
    rig_collect();
    assert_int_equal(tsdb_memo_held_bytes(&rig.registry->memo), least);
}

static void test_labels_that_are_no_set_are_refused(void **state)
{
    const struct tsdb_label pair[2] = {{tsdb_slice_of("b"), tsdb_slice_of("1")},
                                       {tsdb_slice_of("a"), tsdb_slice_of("2")}};
    const struct tsdb_labels unsorted = {.labels = pair, .count = 2};
    uint32_t id;
    bool is_new;

    (void)state;
    assert_int_equal(tsdb_registry_get(rig.registry, 0, &unsorted, NULL, &id, &is_new),
                     QUARRY_BAD_INPUT);
    assert_int_equal(tsdb_registry_lookup(rig.registry, 0, &unsorted, NULL, &id), QUARRY_BAD_INPUT);
    assert_int_equal(tsdb_registry_count(rig.registry), 0);
}

/* ---- removing ------------------------------------------------------------------------------- */

static void test_what_was_removed_leaves_no_memory_behind(void **state)
{
    (void)state;
    uint64_t empty = rig_charged_bytes();
    struct tsdb_registry_state held;

    get_many();
    rig_validate();
    for (uint32_t id = 1; id <= MANY; id++) {
        rig_remove(id);
    }
    rig_validate();
    assert_int_equal(tsdb_registry_count(rig.registry), 0);
    rig_collect();
    tsdb_registry_read(rig.registry, &held);
    assert_int_equal(held.symbol_count, 0);
    assert_int_equal(held.postings_bytes, 0);
    /* The first chunks, which hold number 0, directories and pieces of buckets stay. */
    assert_true(rig_charged_bytes() < empty + Q_KIB(128));
}

static void test_an_id_is_used_again_when_its_readers_have_left(void **state)
{
    (void)state;
    uint32_t id = rig_get(0, "up{job=a}");
    quarry_epoch_enter(rig.epoch);
    rig_remove(id);
    rig_collect();
    assert_int_equal(rig_find(0, "up{job=a}"), TSDB_SERIES_NONE);
    expect_labels(id, "up{job=a}"); /* for who is inside, it is what it was */
    assert_int_not_equal(rig_get(0, "up{job=b}"), id);
    quarry_epoch_leave(rig.epoch);
    rig_collect();
    assert_int_equal(rig_get(0, "up{job=c}"), id);
    expect_labels(id, "up{job=c}");
    assert_int_equal(tsdb_registry_remove(rig.registry, 77, NULL, NULL), QUARRY_NOT_FOUND);
    rig_validate();
}

static bool refuse(void *argument, uint32_t id, struct tsdb_series *series)
{
    (void)id;
    (void)series;
    ++*(uint32_t *)argument;
    return false;
}

static bool agree(void *argument, uint32_t id, struct tsdb_series *series)
{
    (void)id;
    ++*(uint32_t *)argument;
    series->flags |= TSDB_SERIES_GONE;
    return true;
}

static void test_a_series_stays_when_its_shard_says_so(void **state)
{
    uint32_t asked = 0;

    (void)state;
    uint32_t id = rig_get(0, "up{job=a}");
    assert_int_equal(tsdb_registry_remove(rig.registry, id, refuse, &asked), QUARRY_BUSY);
    assert_int_equal(rig_find(0, "up{job=a}"), id);
    assert_int_equal(tsdb_registry_remove(rig.registry, id, agree, &asked), QUARRY_OK);
    assert_int_equal(rig_find(0, "up{job=a}"), TSDB_SERIES_NONE);
    assert_int_equal(tsdb_registry_remove(rig.registry, id, agree, &asked), QUARRY_NOT_FOUND);
    assert_int_equal(asked, 2);
}

static void test_all_series_are_listed_in_the_order_of_their_ids(void **state)
{
    uint32_t ids[100], after = 0, seen = 0;

    (void)state;
    get_many();
    for (uint32_t id = 10; id <= MANY; id += 10) {
        rig_remove(id);
    }
    quarry_epoch_enter(rig.epoch);
    for (size_t count = 100; count == 100; seen += (uint32_t)count) {
        count = tsdb_registry_list(rig.registry, after, ids, 100);
        for (size_t i = 0; i < count; i++) {
            assert_true(ids[i] > after && ids[i] % 10 != 0);
            after = ids[i];
        }
    }
    quarry_epoch_leave(rig.epoch);
    assert_int_equal(seen, MANY - MANY / 10);
}

/* ---- no memory ------------------------------------------------------------------------------ */

static void test_no_memory_at_any_place_leaves_the_registry_as_it_was(void **state)
{
    struct rig_labels room;
    uint32_t failure_count = 0, id = 0;
    char text[64];
    bool is_new = false;

    (void)state;
    for (uint32_t i = 0; i < 400; i++) {
        enum quarry_status status = QUARRY_NO_MEMORY;
        name_series(i, text);
        for (uint64_t allowed = 0; status != QUARRY_OK; allowed += 8 + allowed / 4) {
            uint64_t before = rig_charged_bytes();
            uint32_t count = tsdb_registry_count(rig.registry);
            rig_allow(allowed);
            status =
                tsdb_registry_get(rig.registry, 0, rig_labels(&room, text), NULL, &id, &is_new);
            assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
            rig_allow(UINT64_MAX);
            failure_count += status != QUARRY_OK;
            if (status != QUARRY_OK) {
                assert_int_equal(tsdb_registry_count(rig.registry), count);
                assert_int_equal(rig_find(0, text), TSDB_SERIES_NONE);
                rig_collect(); /* symbols that were made */
                assert_true(rig_charged_bytes() <= before + Q_KIB(64));
            }
        }
        assert_true(is_new);
    }
    assert_true(failure_count > 400);
    rig_validate();
}

static void test_no_memory_for_a_registry_is_a_status(void **state)
{
    const struct tsdb_registry_options options = {.memory = rig.objects, .epoch = rig.epoch};
    struct tsdb_registry *registry = NULL;
    uint64_t before = rig_charged_bytes();
    uint32_t failure_count = 0;

    (void)state;
    for (uint64_t allowed = 0; registry == NULL; allowed += Q_KIB(1)) {
        rig_allow(allowed);
        failure_count += tsdb_registry_create(&options, &registry) == QUARRY_NO_MEMORY;
        rig_allow(UINT64_MAX);
        assert_true(registry != NULL || rig_charged_bytes() == before);
    }
    assert_true(failure_count >= 2);
    tsdb_registry_destroy(registry);
}

static void test_ids_end_where_options_say(void **state)
{
    const struct tsdb_registry_options options = {
        .memory = rig.objects, .epoch = rig.epoch, .series_max = 3};
    struct tsdb_registry *registry;
    struct rig_labels room;
    uint32_t id;
    bool is_new;
    const char *const texts[4] = {"a", "b", "c", "d"};

    (void)state;
    assert_int_equal(tsdb_registry_create(&options, &registry), QUARRY_OK);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(
            tsdb_registry_get(registry, 0, rig_labels(&room, texts[i]), NULL, &id, &is_new),
            i < 3 ? QUARRY_OK : QUARRY_TOO_MANY);
    }
    assert_int_equal(tsdb_registry_validate(registry, NULL), QUARRY_OK);
    tsdb_registry_destroy(registry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_labels_are_one_series, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_tenants_share_nothing, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_series_without_labels_is_one, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_the_memo_keeps_the_last_form_of_a_series, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_the_memo_grows_and_shrinks_with_the_series, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_labels_that_are_no_set_are_refused, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_removed_leaves_no_memory_behind, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_an_id_is_used_again_when_its_readers_have_left,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_series_stays_when_its_shard_says_so, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_all_series_are_listed_in_the_order_of_their_ids,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_at_any_place_leaves_the_registry_as_it_was,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_for_a_registry_is_a_status, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_ids_end_where_options_say, rig_set_up, rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
