/*
 * Spans: their bitmaps, without a heap around them.
 */
#include "unit/os/child.h"
#include "unit/base/cmocka_all.h"

#include <mem/span.h>
#include <page/page.h>

#define START ((void *)UINT64_C(0x100000000))

static Q_ALIGNED(Q_CACHE_LINE_BYTES) char room[1024];

/* A new span of a class in a record of exactly the length that such spans get. */
static struct mem_span *span_make(uint32_t class, bool is_zero)
{
    struct mem_span *span = (struct mem_span *)(void *)(room + sizeof(struct mem_span_cold));
    size_t bytes = mem_span_record_bytes(mem_size_class[class].word_count);

    for (size_t i = 0; i < sizeof(room); i++) {
        room[i] = i < bytes ? 0 : 'x';
    }
    mem_span_init(span, class, START, is_zero);
    return span;
}

/* Apart, or the compiler takes the words of short spans for the end of the record. */
Q_NOINLINE static void set_remote(struct mem_span *span, uint32_t word, uint64_t bits)
{
    atomic_store_relaxed_u64(mem_span_remote(span, word), bits);
}

static void a_new_span_has_every_object_free_and_nothing_else(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_span *span = span_make(class, false);
        assert_int_equal(span->capacity, mem_size_class[class].capacity);
        assert_int_equal(mem_span_count_free(span), span->capacity);
        assert_int_equal(mem_span_count_all_free(span), span->capacity);
        assert_true(mem_span_is_all_free(span));
        assert_int_equal(mem_span_cold(span)->fresh, 0);
        assert_int_equal(mem_span_find_word(span), 0);
    }
}

static void a_record_ends_where_its_length_says(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_span *span = span_make(class, true);
        uint32_t word_count = mem_span_words(span);
        for (uint32_t word = 0; word < word_count; word++) {
            atomic_store_relaxed_u64(mem_span_free(span, word), 0);
            set_remote(span, word, UINT64_MAX);
        }
        for (size_t i = mem_span_record_bytes(word_count); i < sizeof(room); i++) {
            assert_int_equal(room[i], 'x');
        }
        assert_int_equal(atomic_load_relaxed_u64(mem_span_free(span, word_count - 1)), 0);
        assert_ptr_equal(mem_span_cold(span)->start, START);
        assert_int_equal(span->capacity, mem_size_class[class].capacity);
    }
}

static void a_span_of_zeros_is_fresh_in_every_word(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_span *span = span_make(class, true);
        assert_int_equal(bits_count_u64(mem_span_cold(span)->fresh), mem_span_words(span));
    }
}

static void objects_lie_behind_one_another(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_span *span = span_make(class, false);
        char *end = mem_span_object(span, span->capacity);
        assert_true(end <=
                    (char *)START + ((size_t)mem_size_class[class].page_count << PAGE_SHIFT));
        for (uint64_t index = 0; index < span->capacity; index++) {
            assert_int_equal(mem_span_index(span, mem_span_object(span, index)), index);
        }
    }
}

static void what_others_freed_is_merged_once(void **state)
{
    struct mem_span *span = span_make(0, false); /* 1024 objects, 16 words */

    (void)state;
    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        atomic_store_relaxed_u64(mem_span_free(span, word), 0);
    }
    assert_int_equal(mem_span_find_word(span), 16);
    set_remote(span, 3, UINT64_C(0x8000000000000001));
    set_remote(span, 15, 1);
    assert_int_equal(mem_span_count_free(span), 0);
    assert_int_equal(mem_span_count_all_free(span), 3);
    assert_false(mem_span_is_all_free(span));
    assert_int_equal(mem_span_merge_remote(span), 3);
    assert_int_equal(mem_span_merge_remote(span), 0);
    assert_int_equal(mem_span_count_free(span), 3);
    assert_int_equal(mem_span_find_word(span), 3);
}

static void a_span_is_all_free_when_owner_and_others_together_freed_all(void **state)
{
    struct mem_span *span = span_make(3, false); /* 170 objects: the third word has 42 */

    (void)state;
    uint64_t last = mem_span_mask(span, 2);
    assert_int_equal(bits_count_u64(last), 42);
    atomic_store_relaxed_u64(mem_span_free(span, 2), last & 0xff);
    assert_false(mem_span_is_all_free(span));
    set_remote(span, 2, last & ~(uint64_t)0xff);
    assert_true(mem_span_is_all_free(span));
}

static void merge_twice_freed(void *argument)
{
    struct mem_span *span = span_make(5, false);

    (void)argument;
    set_remote(span, 1, 2);
    (void)mem_span_merge_remote(span);
}

static void an_object_that_owner_and_others_freed_ends_the_program_at_the_merge(void **state)
{
    (void)state;
    child_assert_aborts(merge_twice_freed, NULL, "double free of 0x100001450");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_span_has_every_object_free_and_nothing_else),
        cmocka_unit_test(a_record_ends_where_its_length_says),
        cmocka_unit_test(a_span_of_zeros_is_fresh_in_every_word),
        cmocka_unit_test(objects_lie_behind_one_another),
        cmocka_unit_test(what_others_freed_is_merged_once),
        cmocka_unit_test(a_span_is_all_free_when_owner_and_others_together_freed_all),
        cmocka_unit_test(an_object_that_owner_and_others_freed_ends_the_program_at_the_merge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
