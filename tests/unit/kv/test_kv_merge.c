/* Merge operators, and the buffer that they write to. */
#include "unit/kv/mem_rig.h"

#define KEY ((struct quarry_kv_slice){"k", 1})

static struct quarry_kv_slice of_text(const char *text)
{
    return (struct quarry_kv_slice){text, strlen(text)};
}

/* Merges texts; an operand NULL ends them. */
static void assert_merged(const struct quarry_kv_merge_operator *merge, const char *base,
                          const char *const *operands, const char *expected)
{
    struct quarry_kv_slice slices[4], base_slice;
    struct quarry_kv_buffer buffer;
    size_t count = 0;

    for (; operands[count] != NULL; count++) {
        slices[count] = of_text(operands[count]);
    }
    if (base != NULL) {
        base_slice = of_text(base);
    }
    kv_buffer_init(&buffer, &rig_kv_memory, 1000);
    assert_int_equal(merge->merge(merge->argument, KEY, base != NULL ? &base_slice : NULL, slices,
                                  count, &buffer),
                     QUARRY_OK);
    assert_slice(kv_buffer_slice(&buffer), expected);
    kv_buffer_fini(&buffer);
}

static void appending_puts_the_delimiter_between(void **state)
{
    static const char *const two[] = {"b", "c", NULL}, *const none[] = {NULL};
    const struct quarry_kv_merge_operator *merge = quarry_kv_merge_append(',');

    (void)state;
    assert_string_equal(merge->name, "StringAppendOperator");
    assert_merged(merge, "a", two, "a,b,c");
    assert_merged(merge, NULL, two, "b,c");
    assert_merged(merge, "", two, ",b,c");
    assert_merged(merge, "a", none, "a");
    assert_merged(quarry_kv_merge_append('\xfe'), "a", two,
                  "a\xfe"
                  "b\xfe"
                  "c");
    assert_ptr_equal(quarry_kv_merge_append(','), merge);
}

static void numbers_are_added_and_nothing_else_is(void **state)
{
    const struct quarry_kv_merge_operator *merge = quarry_kv_merge_uint64_add();
    const struct quarry_kv_slice operands[] = {
        {"\x01\0\0\0\0\0\0\0", 8}, {"\xff\xff\xff\xff\xff\xff\xff\xff", 8}, {"\x05", 1}};
    struct quarry_kv_buffer buffer;

    (void)state;
    kv_buffer_init(&buffer, &rig_kv_memory, 1000);
    assert_int_equal(merge->merge(NULL, KEY, NULL, operands, 2, &buffer), QUARRY_OK);
    assert_int_equal(buffer.byte_count, 8);
    assert_int_equal(endian_load_le_u64(buffer.bytes), 0);
    kv_buffer_clear(&buffer);
    assert_true(merge->merge_two(NULL, KEY, operands[0], operands[0], &buffer));
    assert_int_equal(endian_load_le_u64(buffer.bytes), 2);
    assert_false(merge->merge_two(NULL, KEY, operands[0], operands[2], &buffer));
    assert_int_equal(merge->merge(NULL, KEY, &operands[2], operands, 1, &buffer), QUARRY_CORRUPT);
    kv_buffer_fini(&buffer);
}

static void the_larger_is_kept(void **state)
{
    static const char *const two[] = {"b", "ab", NULL}, *const longer[] = {"ba", "b", NULL};
    const struct quarry_kv_merge_operator *merge = quarry_kv_merge_max();

    (void)state;
    assert_merged(merge, "a", two, "b");
    assert_merged(merge, "c", two, "c");
    assert_merged(merge, NULL, longer, "ba");
}

static void joining_two_operands_changes_nothing(void **state)
{
    const struct quarry_kv_merge_operator *const merges[] = {quarry_kv_merge_append('-'),
                                                             quarry_kv_merge_max()};
    static const char *const whole[] = {"x", "z", "y", NULL};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(merges); i++) {
        struct quarry_kv_buffer joined, expected;
        struct quarry_kv_slice slices[3];
        kv_buffer_init(&joined, &rig_kv_memory, 100);
        kv_buffer_init(&expected, &rig_kv_memory, 100);
        for (size_t j = 0; j < 3; j++) {
            slices[j] = of_text(whole[j]);
        }
        assert_true(merges[i]->merge_two(merges[i]->argument, KEY, slices[1], slices[2], &joined));
        (void)merges[i]->merge(merges[i]->argument, KEY, NULL, slices, 3, &expected);
        slices[1] = (struct quarry_kv_slice){joined.bytes, joined.byte_count};
        struct quarry_kv_buffer result;
        kv_buffer_init(&result, &rig_kv_memory, 100);
        (void)merges[i]->merge(merges[i]->argument, KEY, NULL, slices, 2, &result);
        assert_true(slices_are_equal(kv_buffer_slice(&result), kv_buffer_slice(&expected)));
        kv_buffer_fini(&result);
        kv_buffer_fini(&expected);
        kv_buffer_fini(&joined);
    }
}

static void a_buffer_grows_up_to_its_bound(void **state)
{
    struct quarry_kv_buffer buffer;

    (void)state;
    kv_buffer_init(&buffer, &rig_kv_memory, 1000);
    for (int i = 0; i < 1000; i++) {
        char byte = (char)i;
        assert_int_equal(quarry_kv_buffer_append(&buffer, &byte, 1), QUARRY_OK);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buffer.bytes[i], (char)i);
    }
    assert_int_equal(quarry_kv_buffer_append(&buffer, "x", 1), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_kv_buffer_append(&buffer, "x", SIZE_MAX), QUARRY_TOO_LARGE);
    assert_int_equal(buffer.byte_count, 1000);
    kv_buffer_fini(&buffer);
}

static void a_buffer_without_memory_stays_as_it_was(void **state)
{
    static const char many[5000];
    struct quarry_kv_buffer buffer;

    (void)state;
    kv_buffer_init(&buffer, &rig_kv_memory, 100000);
    assert_int_equal(quarry_kv_buffer_append(&buffer, "abc", 3), QUARRY_OK);
    mem_rig_leave(0);
    assert_int_equal(quarry_kv_buffer_append(&buffer, many, sizeof many), QUARRY_NO_MEMORY);
    assert_slice(kv_buffer_slice(&buffer), "abc");
    mem_rig_leave(UINT64_MAX);
    kv_buffer_fini(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(appending_puts_the_delimiter_between, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(numbers_are_added_and_nothing_else_is, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(the_larger_is_kept, mem_rig_set_up, mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(joining_two_operands_changes_nothing, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(a_buffer_grows_up_to_its_bound, mem_rig_set_up,
                                        mem_rig_tear_down),
        cmocka_unit_test_setup_teardown(a_buffer_without_memory_stays_as_it_was, mem_rig_set_up,
                                        mem_rig_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
