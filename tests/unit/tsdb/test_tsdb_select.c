/*
 * Random histories of series that come and go, and what matchers select of them, beside a list that
 * is looked through from end to end.
 */
#include "unit/tsdb/registry_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/select.h>

#define SERIES_MAX   2000u
#define LABEL_NAMES  5u
#define MATCHERS_MAX 4u

static const char *const names[LABEL_NAMES] = {"__name__", "host", "job", "mode", "zone"};

/* A series of the model: values by name; "" for none. */
struct model_series {
    uint32_t id; /* 0: not there */
    uint16_t tenant;
    char values[LABEL_NAMES][16];
};
static struct model_series model[SERIES_MAX];
static uint32_t model_count;

/* ---- the model ------------------------------------------------------------------------------ */

static void choose_values(uint64_t *seed, struct model_series *series)
{
    static const uint32_t variety[LABEL_NAMES] = {8, 400, 3, 5, 2};

    for (uint32_t i = 0; i < LABEL_NAMES; i++) {
        series->values[i][0] = '\0';
        if (i == 0 || rig_random(seed, 4) != 0) {
            snprintf(series->values[i], sizeof(series->values[i]), "%c%u",
                     names[i][0] == '_' ? 'm' : names[i][0], rig_random(seed, variety[i]));
        }
    }
}

static struct tsdb_labels labels_of(const struct model_series *series,
                                    struct tsdb_label labels[LABEL_NAMES])
{
    size_t count = 0;

    for (uint32_t i = 0; i < LABEL_NAMES; i++) {
        if (series->values[i][0] != '\0') {
            labels[count++] = (struct tsdb_label){.name = tsdb_slice_of(names[i]),
                                                  .value = tsdb_slice_of(series->values[i])};
        }
    }
    return (struct tsdb_labels){.labels = labels, .count = count};
}

static struct model_series *model_find(const struct model_series *wanted)
{
    for (uint32_t i = 0; i < model_count; i++) {
        if (model[i].tenant == wanted->tenant &&
            memcmp(model[i].values, wanted->values, sizeof(wanted->values)) == 0) {
            return &model[i];
        }
    }
    return NULL;
}

static void create(uint64_t *seed)
{
    struct model_series series;
    struct tsdb_label room[LABEL_NAMES];
    uint32_t id;
    bool is_new;

    memset(&series, 0, sizeof(series));
    series.tenant = (uint16_t)(rig_random(seed, 8) == 0);
    choose_values(seed, &series);
    for (uint32_t i = 0; i < LABEL_NAMES; i++) { /* nothing behind the text, to be compared */
        size_t length = strlen(series.values[i]);
        memset(series.values[i] + length, 0, sizeof(series.values[i]) - length);
    }
    struct tsdb_labels labels = labels_of(&series, room);
    const struct model_series *known = model_find(&series);
    if (known == NULL && model_count == SERIES_MAX) {
        return;
    }
    assert_int_equal(tsdb_registry_get(rig.registry, series.tenant, &labels, NULL, &id, &is_new),
                     QUARRY_OK);
    assert_int_equal(is_new, known == NULL);
    if (known != NULL) {
        assert_int_equal(id, known->id);
        return;
    }
    series.id = id;
    model[model_count++] = series;
}

static void drop(uint64_t *seed)
{
    if (model_count != 0) {
        uint32_t at = rig_random(seed, model_count);
        rig_remove(model[at].id);
        model[at] = model[--model_count];
    }
}

/* ---- selecting ------------------------------------------------------------------------------ */

static const char *const values[] = {
    "m1",     "h7",    "j0",     "z1",    "",        "none", "o2", "m3",      "m[0-3]",
    "h.*",    "h1.+",  ".*1",    "m1|m2", "j0|j1|",  ".+",   ".*", "h[0-9]2", "h1|h2|h3|h399",
    "(?i)M.", ".*1.*", "o(1|2)", "z0|z1", "h10.|h2."};

static void random_matcher(uint64_t *seed, struct tsdb_matcher *ret_matcher)
{
    const char *name = rig_random(seed, 12) == 0 ? "absent" : names[rig_random(seed, LABEL_NAMES)];
    const char *value = values[rig_random(seed, sizeof(values) / sizeof(values[0]))];

    assert_int_equal(tsdb_matcher_init(ret_matcher, &rig.objects,
                                       (enum tsdb_matcher_type)rig_random(seed, 4),
                                       tsdb_slice_of(name), tsdb_slice_of(value), NULL),
                     QUARRY_OK);
}

static bool model_passes(const struct model_series *series, const struct tsdb_selector *selector)
{
    if (series->tenant != selector->tenant) {
        return false;
    }
    for (size_t m = 0; m < selector->matcher_count; m++) {
        const char *value = "";
        for (uint32_t i = 0; i < LABEL_NAMES; i++) {
            if (tsdb_slice_equal(selector->matchers[m].name, tsdb_slice_of(names[i]))) {
                value = series->values[i];
            }
        }
        if (!tsdb_matcher_passes(&selector->matchers[m], tsdb_slice_of(value))) {
            return false;
        }
    }
    return true;
}

static void check_select(const struct tsdb_selector *selector)
{
    struct tsdb_ids ids;
    uint32_t wanted = 0;

    assert_int_equal(tsdb_select(rig.registry, selector, &rig.objects, &ids), QUARRY_OK);
    for (uint32_t i = 0; i < model_count; i++) {
        wanted += model_passes(&model[i], selector);
    }
    assert_int_equal(ids.count, wanted);
    for (size_t i = 1; i < ids.count; i++) {
        assert_true(ids.ids[i - 1] < ids.ids[i]);
    }
    for (uint32_t i = 0; i < model_count; i++) {
        size_t low = 0, high = ids.count;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (ids.ids[middle] < model[i].id) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        bool found = low < ids.count && ids.ids[low] == model[i].id;
        assert_int_equal(found, model_passes(&model[i], selector));
    }
    assert_int_equal(tsdb_select_sort(rig.registry, &ids), QUARRY_OK);
    assert_int_equal(ids.count, wanted);
    for (size_t i = 1; i < ids.count; i++) {
        assert_true(tsdb_registry_compare(rig.registry, ids.ids[i - 1], ids.ids[i]) < 0);
    }
    tsdb_ids_fini(&ids);
}

/* Names (name LABEL_NAMES) or the values of one, beside the model's. */
static void check_values(const struct tsdb_selector *selector, uint32_t name)
{
    struct tsdb_values found;
    uint64_t sum = 0, wanted = 0;

    if (name == LABEL_NAMES) {
        assert_int_equal(tsdb_select_names(rig.registry, selector, &rig.objects, &found),
                         QUARRY_OK);
    } else {
        assert_int_equal(tsdb_select_values(rig.registry, selector, tsdb_slice_of(names[name]),
                                            &rig.objects, &found),
                         QUARRY_OK);
    }
    for (size_t v = 0; v < found.count; v++) {
        uint32_t count = 0;
        assert_true(v == 0 ||
                    tsdb_slice_compare(found.values[v - 1].text, found.values[v].text) < 0);
        for (uint32_t i = 0; i < model_count; i++) {
            for (uint32_t n = 0; n < LABEL_NAMES && model_passes(&model[i], selector); n++) {
                const char *text = name == LABEL_NAMES ? names[n] : model[i].values[n];
                count += (name == LABEL_NAMES || n == name) && model[i].values[n][0] != '\0' &&
                         tsdb_slice_equal(found.values[v].text, tsdb_slice_of(text));
            }
        }
        assert_int_equal(found.values[v].series_count, count);
        assert_true(count != 0);
        sum += count;
    }
    for (uint32_t i = 0; i < model_count; i++) {
        for (uint32_t n = 0; n < LABEL_NAMES && model_passes(&model[i], selector); n++) {
            wanted += (name == LABEL_NAMES || n == name) && model[i].values[n][0] != '\0';
        }
    }
    assert_int_equal(sum, wanted);
    tsdb_values_fini(&found);
}

static void select_by_chance(uint64_t *seed)
{
    struct tsdb_matcher matchers[MATCHERS_MAX];
    struct tsdb_selector selector = {.tenant = (uint16_t)(rig_random(seed, 8) == 0),
                                     .matchers = matchers,
                                     .matcher_count = rig_random(seed, MATCHERS_MAX + 1)};

    for (size_t i = 0; i < selector.matcher_count; i++) {
        random_matcher(seed, &matchers[i]);
    }
    quarry_epoch_enter(rig.epoch);
    check_select(&selector);
    quarry_epoch_leave(rig.epoch);
    if (rig_random(seed, 8) == 0) {
        check_values(&selector, rig_random(seed, LABEL_NAMES + 1));
    }
    for (size_t i = 0; i < selector.matcher_count; i++) {
        tsdb_matcher_fini(&matchers[i]);
    }
}

static void run_history(uint64_t seed, uint32_t step_count)
{
    model_count = 0;
    for (uint32_t step = 0; step < step_count; step++) {
        bool is_growing = step / 1500 % 2 == 0;
        if (rig_random(&seed, 10) < (is_growing ? 7u : 3u)) {
            create(&seed);
        } else {
            drop(&seed);
        }
        if (rig_random(&seed, 20) == 0) {
            select_by_chance(&seed);
        }
        if (rig_random(&seed, 50) == 0) {
            tsdb_registry_collect(rig.registry);
        }
    }
    rig_validate();
    while (model_count != 0) {
        drop(&seed);
    }
    rig_validate();
    rig_collect();
}

static void test_what_is_selected_is_what_a_walk_over_all_series_finds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_history(seed, 6000);
    }
}

/* ---- large sets ----------------------------------------------------------------------------- */

#define LARGE 20000u

static void make_large(void)
{
    char text[64];

    for (uint32_t i = 0; i < LARGE; i++) {
        snprintf(text, sizeof(text), "m%u{all=x,host=h%u,third=t%u}", i % 2, i, i % 3);
        (void)rig_get(0, text);
    }
}

static size_t count_of(const char *const (*wanted)[3], size_t count)
{
    static const char types[] = "=!~^";
    struct tsdb_matcher matchers[MATCHERS_MAX];
    struct tsdb_selector selector = {.matchers = matchers, .matcher_count = count};
    struct tsdb_ids ids;

    for (size_t i = 0; i < count; i++) {
        enum tsdb_matcher_type type =
            (enum tsdb_matcher_type)(strchr(types, wanted[i][1][0]) - types);
        assert_int_equal(tsdb_matcher_init(&matchers[i], &rig.objects, type,
                                           tsdb_slice_of(wanted[i][0]), tsdb_slice_of(wanted[i][2]),
                                           NULL),
                         QUARRY_OK);
    }
    quarry_epoch_enter(rig.epoch);
    assert_int_equal(tsdb_select(rig.registry, &selector, &rig.objects, &ids), QUARRY_OK);
    quarry_epoch_leave(rig.epoch);
    size_t found = ids.count;
    tsdb_ids_fini(&ids);
    for (size_t i = 0; i < count; i++) {
        tsdb_matcher_fini(&matchers[i]);
    }
    return found;
}

static void test_large_sets_are_crossed_and_subtracted(void **state)
{
    const char *const halves[2][3] = {{"all", "=", "x"}, {"__name__", "=", "m0"}};
    const char *const minus[2][3] = {{"all", "=", "x"}, {"third", "!", "t0"}};
    const char *const by_values[2][3] = {{"__name__", "~", "m."}, {"third", "~", "[t]1"}};
    const char *const by_labels[2][3] = {{"host", "~", "h1999[0-9]"}, {"__name__", "^", "(m1)+"}};
    const char *const without[1][3] = {{"third", "=", ""}};
    const char *const hosts[1][3] = {{"host", "~", ".*99.*"}};

    (void)state;
    make_large();
    assert_int_equal(count_of(halves, 2), LARGE / 2);
    assert_int_equal(count_of(minus, 2), LARGE - (LARGE + 2) / 3);
    assert_int_equal(count_of(by_values, 2), (LARGE + 1) / 3);
    assert_int_equal(count_of(by_labels, 2), 5);
    assert_int_equal(count_of(without, 1), 0);
    assert_int_equal(count_of(hosts, 1), 560);
    assert_int_equal(count_of(NULL, 0), LARGE);
    rig_validate();
}

/* ---- no memory ------------------------------------------------------------------------------ */

static uint64_t allowed_bytes;

static enum quarry_status select_all_ways(void)
{
    struct tsdb_matcher matchers[2];
    struct tsdb_selector selector = {.matchers = matchers, .matcher_count = 2};
    struct tsdb_ids ids;
    struct tsdb_values found;
    enum quarry_status status;

    rig_allow(UINT64_MAX);
    assert_int_equal(tsdb_matcher_init(&matchers[0], &rig.objects, TSDB_MATCH_NOT_EQUAL,
                                       tsdb_slice_of("all"), tsdb_slice_of(""), NULL),
                     QUARRY_OK);
    assert_int_equal(tsdb_matcher_init(&matchers[1], &rig.objects, TSDB_MATCH_REGEX,
                                       tsdb_slice_of("third"), tsdb_slice_of("t[01]"), NULL),
                     QUARRY_OK);
    rig_allow(allowed_bytes);
    quarry_epoch_enter(rig.epoch);
    status = tsdb_select(rig.registry, &selector, &rig.objects, &ids);
    if (status == QUARRY_OK) {
        status = tsdb_select_sort(rig.registry, &ids);
        tsdb_ids_fini(&ids);
    }
    if (status == QUARRY_OK) {
        status = tsdb_select_values(rig.registry, &selector, tsdb_slice_of("host"), &rig.objects,
                                    &found);
    }
    if (status == QUARRY_OK) {
        tsdb_values_fini(&found);
        selector.matcher_count = 0;
        status = tsdb_select_names(rig.registry, &selector, &rig.objects, &found);
    }
    if (status == QUARRY_OK) {
        tsdb_values_fini(&found);
    }
    quarry_epoch_leave(rig.epoch);
    rig_allow(UINT64_MAX);
    tsdb_matcher_fini(&matchers[0]);
    tsdb_matcher_fini(&matchers[1]);
    return status;
}

static void test_no_memory_for_a_selection_is_a_status_and_nothing_is_left(void **state)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    uint32_t failure_count = 0;
    char text[64];

    (void)state;
    for (uint32_t i = 0; i < 700; i++) {
        snprintf(text, sizeof(text), "m%u{all=x,host=h%u,third=t%u}", i % 2, i, i % 3);
        (void)rig_get(0, text);
    }
    uint64_t before = rig_charged_bytes();
    for (allowed_bytes = 0; status != QUARRY_OK; allowed_bytes += 64) {
        status = select_all_ways();
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_int_equal(rig_charged_bytes(), before);
        failure_count += status != QUARRY_OK;
    }
    assert_true(failure_count >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_selected_is_what_a_walk_over_all_series_finds,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_large_sets_are_crossed_and_subtracted, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(
            test_no_memory_for_a_selection_is_a_status_and_nothing_is_left, rig_set_up,
            rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
