/* Metadata of families: beside a model, at its bounds, without memory, from many threads. */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <quarry/memory.h>

#include <tsdb/metadata.h>

#include "unit/base/random.h"

#define FAMILIES_MAX 32u
#define BYTES_MAX    1000u
#define TEXT_MAX     100u

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;
static struct tsdb_metadata *metadata;

static uint64_t charged(void)
{
    struct quarry_account_state account_state;

    quarry_account_read(account, &account_state);
    return account_state.own_bytes;
}

static enum quarry_status create(void)
{
    const struct tsdb_metadata_options options = {.account = account,
                                                  .pool = pool,
                                                  .family_count_max = FAMILIES_MAX,
                                                  .bytes_max = BYTES_MAX,
                                                  .text_bytes_max = TEXT_MAX,
                                                  .hash_seed = 5};
    return tsdb_metadata_create(&options, &metadata);
}

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = 64u << 20, .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};
    struct quarry_error error = {0};

    (void)state;
    if (quarry_memory_create(&options, &memory, &error) != QUARRY_OK ||
        quarry_account_create(memory, &account_options, &account, &error) != QUARRY_OK ||
        quarry_lifetime_begin(memory, "metadata", &lifetime, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    assert_int_equal(create(), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tsdb_metadata_destroy(metadata);
    assert_int_equal(charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(memory);
    return 0;
}

/* ---- puts and gets -------------------------------------------------------------------------- */

static enum quarry_status put(uint16_t tenant, const char *name, enum tsdb_metric_type type,
                              const char *help, const char *unit, uint32_t parts)
{
    const struct tsdb_family family = {.name = tsdb_slice_of(name),
                                       .type = type,
                                       .help = tsdb_slice_of(help),
                                       .unit = tsdb_slice_of(unit)};
    return tsdb_metadata_put(metadata, tenant, &family, parts);
}

static void text_of(const struct tsdb_family *family, char *text, size_t text_bytes)
{
    snprintf(text, text_bytes, "%.*s %s '%.*s' %.*s", (int)family->name.count, family->name.bytes,
             tsdb_metric_type_name(family->type), (int)family->help.count, family->help.bytes,
             (int)family->unit.count, family->unit.bytes);
}

/* What is known of a family, in one line; empty for nothing. */
static const char *get(uint16_t tenant, const char *name)
{
    static char text[512];
    char room[TEXT_MAX];
    struct tsdb_family family;

    text[0] = '\0';
    if (tsdb_metadata_get(metadata, tenant, tsdb_slice_of(name), room, &family) == QUARRY_OK) {
        text_of(&family, text, sizeof text);
    }
    return text;
}

static void the_newest_wins_part_by_part(void **state)
{
    (void)state;
    assert_string_equal(get(1, "a"), "");
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "help", "b", TSDB_METADATA_ALL), QUARRY_OK);
    assert_string_equal(get(1, "a"), "a gauge 'help' b");
    assert_int_equal(put(1, "a", TSDB_METRIC_COUNTER, "no", "no", TSDB_METADATA_TYPE), QUARRY_OK);
    assert_string_equal(get(1, "a"), "a counter 'help' b");
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "longer help", "", TSDB_METADATA_HELP),
                     QUARRY_OK);
    assert_string_equal(get(1, "a"), "a counter 'longer help' b");
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "", "", TSDB_METADATA_UNIT), QUARRY_OK);
    assert_string_equal(get(1, "a"), "a counter 'longer help' ");
    assert_int_equal(put(2, "b", TSDB_METRIC_GAUGE, "x", "", TSDB_METADATA_HELP), QUARRY_OK);
    assert_string_equal(get(2, "b"), "b unknown 'x' ");
}

static void tenants_know_nothing_of_each_other(void **state)
{
    (void)state;
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "one", "", TSDB_METADATA_ALL), QUARRY_OK);
    assert_int_equal(put(2, "a", TSDB_METRIC_GAUGE, "two", "", TSDB_METADATA_ALL), QUARRY_OK);
    assert_string_equal(get(1, "a"), "a gauge 'one' ");
    assert_string_equal(get(2, "a"), "a gauge 'two' ");
    assert_string_equal(get(3, "a"), "");
}

static void what_is_too_long_or_nameless_is_refused(void **state)
{
    char help[TEXT_MAX + 1];

    (void)state;
    memset(help, 'x', TEXT_MAX);
    help[TEXT_MAX] = '\0';
    assert_int_equal(put(1, "", TSDB_METRIC_GAUGE, "", "", TSDB_METADATA_ALL), QUARRY_BAD_INPUT);
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "known", "", TSDB_METADATA_ALL), QUARRY_OK);
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, help, "", TSDB_METADATA_ALL), QUARRY_TOO_LARGE);
    assert_string_equal(get(1, "a"), "a gauge 'known' ");
    help[TEXT_MAX - 1] = '\0';
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, help, "", TSDB_METADATA_ALL), QUARRY_OK);
}

static void the_one_that_was_not_told_for_longest_goes_first(void **state)
{
    struct tsdb_metadata_counts counts;
    char name[8];

    (void)state;
    for (uint32_t i = 0; i < FAMILIES_MAX; i++) {
        snprintf(name, sizeof name, "n%u", i);
        assert_int_equal(put(1, name, TSDB_METRIC_GAUGE, "", "", TSDB_METADATA_ALL), QUARRY_OK);
    }
    assert_int_equal(put(1, "n0", TSDB_METRIC_GAUGE, "", "", TSDB_METADATA_ALL), QUARRY_OK);
    assert_int_equal(put(1, "n1", TSDB_METRIC_GAUGE, "new", "", TSDB_METADATA_ALL), QUARRY_OK);
    tsdb_metadata_count(metadata, &counts);
    assert_int_equal(counts.family_count, FAMILIES_MAX);
    assert_int_equal(counts.evicted_count, 0);
    assert_int_equal(put(1, "m", TSDB_METRIC_GAUGE, "", "", TSDB_METADATA_ALL), QUARRY_OK);
    assert_string_equal(get(1, "n2"), "");
    assert_string_equal(get(1, "n0"), "n0 gauge '' ");
    tsdb_metadata_count(metadata, &counts);
    assert_int_equal(counts.family_count, FAMILIES_MAX);
    assert_int_equal(counts.evicted_count, 1);
}

/* ---- a model -------------------------------------------------------------------------------- */

struct known {
    char text[128];
    uint64_t told_at;
    size_t bytes;
    bool is_known;
};

#define NAMES   50u
#define TENANTS 2u

static struct known known[TENANTS][NAMES];

/* Forgets the oldest until something fits. */
static void model_make_room(size_t byte_count)
{
    for (;;) {
        size_t families = 0, bytes = 0;
        struct known *oldest = NULL;
        for (size_t i = 0; i < TENANTS * NAMES; i++) {
            struct known *one = &known[i / NAMES][i % NAMES];
            if (one->is_known) {
                families++;
                bytes += one->bytes;
                oldest = oldest == NULL || one->told_at < oldest->told_at ? one : oldest;
            }
        }
        if (families < FAMILIES_MAX && bytes + byte_count <= BYTES_MAX) {
            return;
        }
        oldest->is_known = false;
    }
}

static void check_model(void)
{
    for (uint16_t tenant = 0; tenant < TENANTS; tenant++) {
        struct tsdb_metadata_cursor cursor = {0};
        struct tsdb_family family;
        char room[TEXT_MAX], text[512], name[8];
        size_t met = 0, wanted = 0;
        while (tsdb_metadata_next(metadata, tenant, &cursor, room, &family) == QUARRY_OK) {
            snprintf(name, sizeof name, "%.*s", (int)family.name.count, family.name.bytes);
            text_of(&family, text, sizeof text);
            assert_string_equal(text, known[tenant][atoi(name + 1)].text);
            met++;
        }
        for (uint32_t i = 0; i < NAMES; i++) {
            snprintf(name, sizeof name, "n%u", i);
            wanted += known[tenant][i].is_known;
            assert_string_equal(get(tenant, name),
                                known[tenant][i].is_known ? known[tenant][i].text : "");
        }
        assert_int_equal(met, wanted);
    }
}

static void histories_agree_with_a_model(void **state)
{
    uint64_t random = 9;

    (void)state;
    memset(known, 0, sizeof known);
    for (uint64_t step = 1; step < 20000; step++) {
        const uint16_t tenant = (uint16_t)(random_u64(&random) % TENANTS);
        const uint32_t which = (uint32_t)(random_u64(&random) % NAMES);
        struct known *one = &known[tenant][which];
        char name[8], help[80], text[128];
        snprintf(name, sizeof name, "n%u", which);
        snprintf(help, sizeof help, "%.*s", (int)(random_u64(&random) % 4 * 20),
                 "0123456789012345678901234567890123456789012345678901234567890123456789");
        const enum tsdb_metric_type type = (enum tsdb_metric_type)(random_u64(&random) % 8);
        assert_int_equal(put(tenant, name, type, help, "u", TSDB_METADATA_ALL), QUARRY_OK);
        snprintf(text, sizeof text, "%s %s '%s' u", name, tsdb_metric_type_name(type), help);
        const size_t bytes = strlen(name) + strlen(help) + 1;
        if (one->is_known && one->bytes == bytes) {
            /* Helps of one length are the same. */
        } else {
            one->is_known = false;
            model_make_room(bytes);
        }
        *one = (struct known){.told_at = step, .bytes = bytes, .is_known = true};
        memcpy(one->text, text, sizeof one->text);
        if (step % 64 == 0) {
            check_model();
        }
    }
}

/* ---- no memory, many threads ----------------------------------------------------------------- */

static void without_memory_what_was_known_stays(void **state)
{
    uint64_t left = 0;
    enum quarry_status status;

    (void)state;
    assert_int_equal(put(1, "a", TSDB_METRIC_GAUGE, "old", "", TSDB_METADATA_ALL), QUARRY_OK);
    do {
        assert_int_equal(quarry_account_set_bounds(account, 0, charged() + left), QUARRY_OK);
        const uint64_t before = charged();
        status = put(1, "a", TSDB_METRIC_GAUGE, "a new help, longer", "", TSDB_METADATA_ALL);
        if (status != QUARRY_OK) {
            assert_int_equal(status, QUARRY_NO_MEMORY);
            assert_int_equal(charged(), before);
            assert_string_equal(get(1, "a"), "a gauge 'old' ");
        }
        left += 8;
    } while (status != QUARRY_OK);
    assert_true(left > 8);
    assert_string_equal(get(1, "a"), "a gauge 'a new help, longer' ");
    tsdb_metadata_destroy(metadata);
    metadata = NULL;
    assert_int_equal(quarry_account_set_bounds(account, 0, 64), QUARRY_OK);
    assert_int_equal(create(), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_set_bounds(account, 0, 0), QUARRY_OK);
}

static void *storm(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    for (int i = 0; i < 5000; i++) {
        char name[8], room[TEXT_MAX];
        struct tsdb_metadata_cursor cursor = {0};
        struct tsdb_family family;
        snprintf(name, sizeof name, "n%u", (unsigned)(random_u64(&random) % 40));
        const char *help = random_u64(&random) % 2 == 0 ? "short" : "a help that is much longer";
        /* A name says what its help is made of: no text is ever torn. */
        assert_int_equal(put(1, name, TSDB_METRIC_GAUGE, help, name, TSDB_METADATA_ALL), QUARRY_OK);
        while (i % 50 == 0 &&
               tsdb_metadata_next(metadata, 1, &cursor, room, &family) == QUARRY_OK) {
            assert_true(tsdb_slice_equal(family.name, family.unit));
            assert_true(family.help.count == 5 || family.help.count == 26);
        }
    }
    return NULL;
}

static void threads_put_and_walk_at_once(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (uintptr_t i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm, (void *)(i + 1)), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_newest_wins_part_by_part),
        TEST(tenants_know_nothing_of_each_other),
        TEST(what_is_too_long_or_nameless_is_refused),
        TEST(the_one_that_was_not_told_for_longest_goes_first),
        TEST(histories_agree_with_a_model),
        TEST(without_memory_what_was_known_stays),
        TEST(threads_put_and_walk_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
