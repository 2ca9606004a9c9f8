/* Keys: order, shortening, and internal keys taken apart. */
#include "unit/kv/mem_rig.h"

#include "unit/base/random.h"

static size_t separate(const char *a, const char *b, char *room)
{
    return kv_key_separate(&kv_bytewise, text_slice(a), text_slice(b), room);
}

static void separators_are_those_of_leveldb(void **state)
{
    static const char *const rows[][3] = {
        {"the quick fox", "the slow dog", "the r"},
        {"foo", "foobar", "foo"},
        {"foo", "hello", "g"},
        {"foo", "g", "foo"},
        {"abc1xyz", "abc3", "abc2"},
        {"", "a", ""},
    };
    char room[32];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t byte_count = separate(rows[i][0], rows[i][1], room);
        assert_slice(kv_slice(room, byte_count), rows[i][2]);
    }
}

static void successors_are_those_of_leveldb(void **state)
{
    static const char *const rows[][2] = {{"foo", "g"},
                                          {"\xff\xff", "\xff\xff"},
                                          {"\xff"
                                           "a",
                                           "\xff"
                                           "b"},
                                          {"", ""}};
    char room[32];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t byte_count = kv_key_succeed(&kv_bytewise, text_slice(rows[i][0]), room);
        assert_slice(kv_slice(room, byte_count), rows[i][1]);
    }
}

static struct kv_slice random_key(uint64_t *random, char room[12])
{
    size_t byte_count = random_u64(random) % 12;

    for (size_t i = 0; i < byte_count; i++) {
        static const char bytes[] = {0, 1, 'a', 'b', (char)0xfe, (char)0xff};
        room[i] = bytes[random_u64(random) % sizeof bytes];
    }
    return kv_slice(room, byte_count);
}

static void a_separator_lies_between_and_is_no_longer(void **state)
{
    char a_room[12], b_room[12], room[12];
    uint64_t random = 1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct kv_slice a = random_key(&random, a_room), b = random_key(&random, b_room);
        struct kv_slice above = kv_slice(room, kv_key_succeed(&kv_bytewise, a, room));
        assert_true(above.count <= a.count && kv_compare_bytes(a, above) <= 0);
        if (kv_compare_bytes(a, b) >= 0) {
            continue;
        }
        struct kv_slice k = kv_slice(room, kv_key_separate(&kv_bytewise, a, b, room));
        assert_true(k.count <= a.count);
        assert_true(kv_compare_bytes(a, k) <= 0 && kv_compare_bytes(k, b) < 0);
    }
}

static void prefixes_order_as_keys_do(void **state)
{
    char a_room[12], b_room[12];
    uint64_t random = 2;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct kv_slice a = random_key(&random, a_room), b = random_key(&random, b_room);
        uint64_t x = kv_prefix8(a), y = kv_prefix8(b);
        assert_true(x == y || (x < y) == (kv_compare_bytes(a, b) < 0));
    }
    assert_int_equal(kv_prefix8(kv_slice(NULL, 0)), 0);
}

static void internal_keys_are_taken_apart(void **state)
{
    char bytes[] = "user\x01\x07\0\0\0\0\0\0";
    struct kv_key key = {.trailer = 0};

    (void)state;
    assert_true(kv_key_parse(kv_slice(bytes, 12), &key));
    assert_slice(key.user, "user");
    assert_int_equal(kv_trailer_sequence(key.trailer), 7);
    assert_int_equal(kv_trailer_type(key.trailer), KV_TYPE_PUT);
    assert_true(kv_key_parse(kv_slice(bytes + 4, 8), &key));
    assert_int_equal(key.user.count, 0);
    assert_false(kv_key_parse(kv_slice(bytes + 5, 7), &key));
    for (unsigned type = 0; type < 256; type++) {
        bytes[4] = (char)type;
        bool may_be =
            type <= 2 || type == 7 || type == 0xf || type == 0x11 || type == 0x14 || type == 0x16;
        assert_int_equal(kv_key_parse(kv_slice(bytes, 12), &key), may_be);
    }
}

/* Longer ones first, then as memcmp; shortens by nothing. */
static int compare_lengths(void *argument, const void *a, size_t a_bytes, const void *b,
                           size_t b_bytes)
{
    (void)argument;
    return a_bytes != b_bytes ? (a_bytes < b_bytes) - (a_bytes > b_bytes) : memcmp(a, b, a_bytes);
}

static size_t separate_too_long(void *argument, const void *a, size_t a_bytes, const void *b,
                                size_t b_bytes, void *room)
{
    (void)argument;
    (void)a;
    (void)b;
    (void)b_bytes;
    (void)room;
    return a_bytes + 1;
}

static void a_comparator_may_not_shorten_or_do_it_wrong(void **state)
{
    struct quarry_kv_comparator own = {.name = "own", .compare = compare_lengths};
    char room[8];

    (void)state;
    assert_true(kv_compare(&own, text_slice("bbb"), text_slice("aa")) < 0);
    assert_int_equal(kv_key_separate(&own, text_slice("bbb"), text_slice("aa"), room), 3);
    assert_memory_equal(room, "bbb", 3);
    own.separate = separate_too_long;
    assert_int_equal(kv_key_separate(&own, text_slice("ccc"), text_slice("aa"), room), 3);
    assert_memory_equal(room, "ccc", 3);
    assert_int_equal(kv_key_succeed(&own, text_slice("dd"), room), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(separators_are_those_of_leveldb),
        cmocka_unit_test(successors_are_those_of_leveldb),
        cmocka_unit_test(a_separator_lies_between_and_is_no_longer),
        cmocka_unit_test(prefixes_order_as_keys_do),
        cmocka_unit_test(internal_keys_are_taken_apart),
        cmocka_unit_test(a_comparator_may_not_shorten_or_do_it_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
