/*
 * Changes: what is read and written at one moment, and who is in whose way.
 */
#include "unit/keyspace/keyspace_rig.h"

#include <stdio.h>
#include <string.h>

static void test_a_key_reads_as_it_was_put(void **state)
{
    (void)state;
    rig_expect("a", NULL);
    rig_put("a", "1", 0);
    rig_put("b", "", 0);
    rig_put("", "of nothing", 0);
    rig_expect("a", "1");
    rig_expect("b", "");
    rig_expect("", "of nothing");
    assert_int_equal(rig_expiry("a"), 0);
    rig_delete("a");
    rig_expect("a", NULL);
    rig_reopen();
    rig_expect("a", NULL);
    rig_expect("b", "");
}

static void test_databases_and_tenants_do_not_see_each_other(void **state)
{
    const struct keyspace_scope other = {0, 1}, tenant = {1, 0};

    (void)state;
    rig_put("a", "1", 0);
    rig_expect_in(&other, "a", NULL);
    rig_expect_in(&tenant, "a", NULL);
    rig_expect("a", "1");
}

static void test_a_change_sees_what_it_has_written(void **state)
{
    struct keyspace_change change;

    (void)state;
    rig_put("a", "old", 0);
    rig_begin(&change, "a");
    rig_expect_get(&change, "a", "old");
    assert_false(keyspace_change_writes(&change));
    assert_int_equal(keyspace_put(&change, &rig_scope, rig_text("a"), rig_text("new"), 0),
                     QUARRY_OK);
    assert_true(keyspace_change_writes(&change));
    rig_expect_get(&change, "a", "new");
    rig_expect("a", "old"); /* nobody else does */
    assert_int_equal(keyspace_delete(&change, &rig_scope, rig_text("a")), QUARRY_OK);
    rig_expect_get(&change, "a", NULL);
    rig_commit(&change);
    rig_expect("a", NULL);
}

static void test_pieces_are_one_value(void **state)
{
    const struct quarry_kv_slice pieces[] = {{"ab", 2}, {NULL, 0}, {"cd", 2}, {"e", 1}, {"fgh", 3}};
    struct keyspace_change change;

    (void)state;
    for (size_t count = 0; count <= 5; count++) {
        static const char *const values[] = {"", "ab", "ab", "abcd", "abcde", "abcdefgh"};
        rig_begin(&change, "a");
        assert_int_equal(keyspace_put_pieces(&change, &rig_scope, rig_text("a"), pieces, count, 0),
                         QUARRY_OK);
        rig_expect_get(&change, "a", values[count]);
        rig_commit(&change);
        rig_expect("a", values[count]);
    }
}

/* As the commands of EXEC, whose values are gone before it commits. */
static void test_a_change_that_copies_borrows_for_the_call(void **state)
{
    struct quarry_kv_slice key = rig_text("a");
    const struct keyspace_keys keys = {rig_scope, &key, 1};
    const struct quarry_kv_slice pieces[2] = {{"pie", 3}, {"ces", 3}};
    char bytes[8] = "gone";
    struct keyspace_change change;

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        struct keyspace_value found = {0};
        char name[2] = "a";
        struct quarry_kv_slice borrowed = {name, 1};
        rig_put("a", "old", 0);
        assert_int_equal(keyspace_begin(rig.keyspace, &keys, 1, KEYSPACE_COPIES, &change),
                         QUARRY_OK);
        memcpy(bytes, "kept", 5);
        if (round == 0) {
            assert_int_equal(keyspace_put(&change, &rig_scope, borrowed, rig_text(bytes), 0),
                             QUARRY_OK);
        } else if (round == 1) {
            assert_int_equal(keyspace_put_pieces(&change, &rig_scope, borrowed, pieces, 2, 0),
                             QUARRY_OK);
        } else {
            assert_int_equal(keyspace_delete(&change, &rig_scope, borrowed), QUARRY_OK);
        }
        memcpy(bytes, "gone", 5);
        name[0] = 'b';
        rig_expect_get(&change, "a", round == 0 ? "kept" : round == 1 ? "pieces" : NULL);
        if (round < 2) { /* what was read is put again, and given back before the commit */
            assert_int_equal(keyspace_get(&change, &rig_scope, key, &found, NULL), QUARRY_OK);
            assert_int_equal(keyspace_put(&change, &rig_scope, key,
                                          (struct quarry_kv_slice){found.bytes, found.byte_count},
                                          0),
                             QUARRY_OK);
            keyspace_value_release(&found);
        }
        rig_commit(&change);
        rig_expect("a", round == 0 ? "kept" : round == 1 ? "pieces" : NULL);
        rig_expect("b", NULL);
    }
}

static void test_what_was_aborted_has_not_happened(void **state)
{
    struct keyspace_change change;

    (void)state;
    rig_put("a", "1", 0);
    rig_begin(&change, "a");
    assert_int_equal(keyspace_delete(&change, &rig_scope, rig_text("a")), QUARRY_OK);
    keyspace_abort(&change);
    rig_expect("a", "1");
    rig_delete("a"); /* and it is unlocked */
    rig_expect("a", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_key_reads_as_it_was_put, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_databases_and_tenants_do_not_see_each_other,
                                        rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_sees_what_it_has_written, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_pieces_are_one_value, rig_set_up, rig_tear_down),
        cmocka_unit_test_setup_teardown(test_a_change_that_copies_borrows_for_the_call, rig_set_up,
                                        rig_tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_aborted_has_not_happened, rig_set_up,
                                        rig_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
