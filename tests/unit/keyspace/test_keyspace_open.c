/*
 * Opening: which stores are keyspaces, and what tenants are called.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

static struct quarry_kv *open_store(void)
{
    struct quarry_kv *kv = NULL;

    assert_int_equal(quarry_kv_open(rig.memory, "/db", &rig.options, &kv, NULL), QUARRY_OK);
    return kv;
}

static void close_store(struct quarry_kv *kv)
{
    assert_int_equal(quarry_kv_close(kv, NULL), QUARRY_OK);
}

static void put_raw(const char *key, size_t key_bytes, const char *value, size_t value_bytes)
{
    struct quarry_kv *kv = open_store();

    assert_int_equal(quarry_kv_put(kv, NULL, key, key_bytes, value, value_bytes, NULL), QUARRY_OK);
    close_store(kv);
}

static void test_bytes_lie_as_the_page_of_the_format_says(void **state)
{
    static const struct {
        const char *key, *value;
        size_t key_bytes, value_bytes;
    } wanted[] = {
        {"\x00\x00\x00"
         "greeting",
         "\x00"
         "hello",
         11, 6},
        {"\x00\x01\x02"
         "session",
         "\x01\x00\x68\xe5\xcf\x8b\x01\x00\x00"
         "x",
         10, 10},
        {"\xff\xff\x00"
         "format",
         "\x00"
         "quarry keyspace 1\n",
         9, 19},
        {"\xff\xff\x01"
         "acme",
         "\x00\x01\x00", 7, 3},
    };
    struct keyspace_scope scope;
    struct quarry_kv_slice key = rig_text("session");
    struct keyspace_change change;

    (void)state;
    atomic_store_relaxed_u64(&rig.now_ms, 1000);
    rig_put("greeting", "hello", 0);
    assert_int_equal(keyspace_scope_of(rig.keyspace, "acme", 2, true, &scope, NULL), QUARRY_OK);
    const struct keyspace_keys keys = {scope, &key, 1};
    assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, 0, &change), QUARRY_OK);
    assert_int_equal(keyspace_put(&change, &scope, key, rig_text("x"), UINT64_C(1700000000000)),
                     QUARRY_OK);
    rig_commit(&change);
    rig_close();
    struct quarry_kv *kv = open_store();
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        struct quarry_kv_value value;
        assert_int_equal(quarry_kv_get(kv, NULL, wanted[i].key, wanted[i].key_bytes, &value, NULL),
                         QUARRY_OK);
        assert_int_equal(value.byte_count, wanted[i].value_bytes);
        assert_memory_equal(value.bytes, wanted[i].value, value.byte_count);
        quarry_kv_value_release(&value);
    }
    close_store(kv);
}

static void test_a_store_of_something_else_is_refused_and_left_alone(void **state)
{
    struct quarry_error error = {0};
    struct quarry_kv_value value;

    (void)state;
    rig_close();
    assert_int_equal(quarry_kv_destroy(rig.vfs, "/db", NULL), QUARRY_OK);
    /* Looks as if it had expired long ago. */
    put_raw("\0\0\0k", 4, "\x01\x01\0\0\0\0\0\0\0", 9);
    assert_int_equal(rig_try_open(&error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "quarry kv scan"));
    assert_non_null(strstr(error.text, "/db"));
    struct quarry_kv *kv = open_store();
    assert_int_equal(quarry_kv_get(kv, NULL, "\0\0\0k", 4, &value, NULL), QUARRY_OK);
    quarry_kv_value_release(&value);
    assert_int_equal(quarry_kv_get(kv, NULL, "\xff\xff\0format", 9, &value, NULL),
                     QUARRY_NOT_FOUND);
    close_store(kv);
}

static void test_another_format_is_refused(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    rig_close();
    put_raw("\xff\xff\0format", 9, "\0quarry keyspace 2\n", 19);
    assert_int_equal(rig_try_open(&error), QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "quarry keyspace 2"));
    put_raw("\xff\xff\0format", 9, "\7quarry keyspace 1\n", 19);
    assert_int_equal(rig_try_open(&error), QUARRY_CORRUPT);
}

static void test_a_table_of_tenants_that_makes_no_sense_is_corrupt(void **state)
{
    static const struct {
        const char *value;
        size_t value_bytes;
    } bad[] = {{"\0\1", 2},     {"\0\0\0", 3}, {"\0\xff\xff", 3},
               {"\0\1\0\0", 4}, {"", 0},       {"\3\1\0", 3}};
    struct quarry_error error = {0};

    (void)state;
    rig_close();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        put_raw("\xff\xff\1acme", 7, bad[i].value, bad[i].value_bytes);
        assert_int_equal(rig_try_open(&error), QUARRY_CORRUPT);
    }
    put_raw("\xff\xff\1acme", 7, "\0\1\0", 3);
    assert_int_equal(rig_try_open(&error), QUARRY_OK);
}

static void test_options_that_make_no_sense_are_refused(void **state)
{
    static const struct quarry_kv_comparator comparator = {.name = "leveldb.BytewiseComparator"};
    static const uint32_t stripes[] = {1, 32, 100, 1u << 20};

    (void)state;
    rig_close();
    rig.options.comparator = &comparator;
    assert_int_equal(rig_try_open(NULL), QUARRY_BAD_INPUT);
    rig.options.comparator = NULL;
    for (size_t i = 0; i < sizeof(stripes) / sizeof(stripes[0]); i++) {
        rig.keyspace_options.stripe_count = stripes[i];
        assert_int_equal(rig_try_open(NULL), QUARRY_BAD_INPUT);
    }
    rig.keyspace_options.stripe_count = 64;
    rig.options.name = "a name of a store that is much longer";
    assert_int_equal(rig_try_open(NULL), QUARRY_BAD_INPUT);
}

static void test_a_keyspace_that_is_only_read(void **state)
{
    struct keyspace_scope scope;

    (void)state;
    rig_put("a", "1", 0);
    rig_close();
    rig.options.read_only = true;
    rig_open();
    rig_expect("a", "1");
    assert_int_equal(keyspace_scope_of(rig.keyspace, "new", 0, true, &scope, NULL),
                     QUARRY_PERMISSION);
    struct keyspace_change change;
    rig_begin(&change, "a");
    assert_int_equal(keyspace_delete(&change, &rig_scope, rig_text("a")), QUARRY_OK);
    assert_int_equal(keyspace_commit(&change, NULL), QUARRY_PERMISSION);
    rig_expect("a", "1");
}

static void test_a_value_that_makes_no_sense_is_corrupt_and_no_other(void **state)
{
    struct keyspace_value value;
    struct keyspace_walk *walk;
    struct quarry_kv_slice key;
    enum quarry_status status;

    (void)state;
    rig_put("a", "1", 0);
    rig_put("c", "1", 0);
    rig_close();
    put_raw("\0\0\0b", 4, "\2x", 2);
    rig_open();
    rig_expect("a", "1");
    rig_expect("c", "1");
    assert_int_equal(keyspace_read(rig.keyspace, &rig_scope, rig_text("b"), false, &value, NULL),
                     QUARRY_CORRUPT);
    const struct quarry_kv_slice keys[] = {rig_text("a"), rig_text("b")};
    enum quarry_status statuses[2];
    struct keyspace_value values[2];
    assert_int_equal(
        keyspace_read_many(rig.keyspace, &rig_scope, keys, 2, false, statuses, values, NULL),
        QUARRY_CORRUPT);
    assert_int_equal(keyspace_walk_begin(rig.keyspace, &rig_scope, NULL, &walk, NULL), QUARRY_OK);
    assert_int_equal(keyspace_walk_next(walk, &key, &value, NULL), QUARRY_OK);
    assert_int_equal(keyspace_walk_next(walk, &key, &value, NULL), QUARRY_CORRUPT);
    status = keyspace_walk_next(walk, &key, &value, NULL);
    assert_int_equal(status, QUARRY_OK); /* goes on behind it */
    keyspace_walk_end(walk);
    rig_delete("b");
    rig_expect("b", NULL);
}

/* ---- tenants -------------------------------------------------------------------------------- */

static uint16_t number_of(const char *tenant, bool creates)
{
    struct keyspace_scope scope = {0xffff, 0};
    enum quarry_status status = keyspace_scope_of(rig.keyspace, tenant, 9, creates, &scope, NULL);

    assert_true(status == QUARRY_OK || (status == QUARRY_NOT_FOUND && !creates));
    assert_true(status != QUARRY_OK || scope.database == 9);
    return scope.tenant;
}

static void test_a_tenant_has_its_number_for_ever(void **state)
{
    (void)state;
    assert_int_equal(number_of("", false), 0);
    assert_int_equal(number_of("acme", false), 0xffff);
    assert_int_equal(number_of("acme", true), 1);
    assert_int_equal(number_of("other", true), 2);
    assert_int_equal(number_of("acme", true), 1);
    rig_reopen();
    assert_int_equal(number_of("other", false), 2);
    assert_int_equal(number_of("acme", false), 1);
    assert_int_equal(number_of("third", true), 3);
    rig_close();
    /* The newest one is gone; others keep theirs. */
    struct quarry_kv *kv = open_store();
    assert_int_equal(quarry_kv_delete(kv, NULL, "\xff\xff\1other", 8, NULL), QUARRY_OK);
    close_store(kv);
    rig_open();
    assert_int_equal(number_of("other", true), 4);
}

static void test_there_are_so_many_tenants_and_no_more(void **state)
{
    struct keyspace_scope scope;
    char name[300],
        value[3] = {0, (char)(KEYSPACE_TENANTS_MAX & 0xff), (char)(KEYSPACE_TENANTS_MAX >> 8)};

    (void)state;
    rig_close();
    put_raw("\xff\xff\1last", 7, value, 3);
    rig_open();
    assert_int_equal(number_of("last", false), KEYSPACE_TENANTS_MAX);
    assert_int_equal(keyspace_scope_of(rig.keyspace, "more", 0, true, &scope, NULL),
                     QUARRY_TOO_MANY);
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    assert_int_equal(keyspace_scope_of(rig.keyspace, name, 0, true, &scope, NULL),
                     QUARRY_BAD_INPUT);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_lie_as_the_page_of_the_format_says),
        TEST(test_a_store_of_something_else_is_refused_and_left_alone),
        TEST(test_another_format_is_refused),
        TEST(test_a_table_of_tenants_that_makes_no_sense_is_corrupt),
        TEST(test_options_that_make_no_sense_are_refused),
        TEST(test_a_keyspace_that_is_only_read),
        TEST(test_a_value_that_makes_no_sense_is_corrupt_and_no_other),
        TEST(test_a_tenant_has_its_number_for_ever),
        TEST(test_there_are_so_many_tenants_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
