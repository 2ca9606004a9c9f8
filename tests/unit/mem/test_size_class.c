/*
 * Size classes: every size, every offset, and addresses of everywhere else.
 */
#include "unit/base/cmocka_all.h"

#include <mem/span.h>
#include <page/page.h>

#include "unit/base/random.h"

/* Where the spans under test are said to be: low, and as high as addresses get. */
static const uint64_t starts[] = {PAGE_BYTES, UINT64_C(0x7f1234560000),
                                  UINT64_C(0xffffffffffe00000)};

static struct {
    struct mem_span_cold cold;
    struct mem_span span;
    uint64_t far[2 * MEM_SPAN_OBJECTS_MAX / 64];
} record;

static struct mem_span *span_at(uint32_t class, uint64_t start)
{
    mem_span_init(&record.span, class, (void *)start, false);
    return &record.span;
}

static uint64_t span_bytes(uint32_t class)
{
    return (uint64_t)mem_size_class[class].page_count << PAGE_SHIFT;
}

static void every_size_gets_the_smallest_class_that_fits(void **state)
{
    (void)state;
    for (uint32_t size = 0; size <= MEM_SMALL_MAX_BYTES; size++) {
        uint32_t class = mem_class_of(size);
        assert_true(class < MEM_CLASSES && mem_size_class[class].size_bytes >= size);
        assert_true(class == 0 || mem_size_class[class - 1].size_bytes < size);
    }
}

static void the_table_is_what_its_sizes_and_pages_make_it(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        const struct mem_size_class *info = &mem_size_class[class];
        assert_int_equal(info->capacity, span_bytes(class) / info->size_bytes);
        assert_true(info->capacity <= MEM_SPAN_OBJECTS_MAX);
        assert_int_equal(info->word_count, (info->capacity + 63) / 64);
        assert_true(info->ready_count >= 1 && info->ready_count <= info->capacity);
        assert_int_equal(info->shift, bits_trailing_zeros_u64(info->size_bytes));
        assert_int_equal(info->inverse * (info->size_bytes >> info->shift), 1);
        assert_true(info->size_bytes % 16 == 0 || info->size_bytes == 8);
        assert_true((span_bytes(class) % info->size_bytes) * 8 <= span_bytes(class));
    }
    assert_int_equal(mem_size_class[MEM_CLASSES - 1].size_bytes, MEM_SMALL_MAX_BYTES);
}

static void every_offset_of_every_class_finds_its_object_or_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
            const struct mem_span *span = span_at(class, starts[i]);
            uint64_t size = mem_size_class[class].size_bytes;
            for (uint64_t offset = 0; offset < span_bytes(class); offset++) {
                uint64_t index = mem_span_index(span, (const void *)(starts[i] + offset));
                bool is_object = offset % size == 0 && offset / size < span->capacity;
                if ((index < span->capacity) != is_object || (is_object && index != offset / size))
                    fail_msg("class %u offset %llu", class, (unsigned long long)offset);
            }
        }
    }
}

/* Whether an address is the beginning of an object of the span, by division. */
static bool is_object_at(uint32_t class, uint64_t start, uint64_t address)
{
    uint64_t offset = address - start, size = mem_size_class[class].size_bytes;

    return offset % size == 0 && offset / size < mem_size_class[class].capacity;
}

static void assert_agrees(uint32_t class, uint64_t start, uint64_t address)
{
    uint64_t index = mem_span_index(&record.span, (const void *)address);

    if ((index < record.span.capacity) != is_object_at(class, start, address))
        fail_msg("class %u address 0x%llx", class, (unsigned long long)address);
}

/* A pointer that differs from an object's in a bit, wraps around, or lies just outside. */
static void addresses_of_elsewhere_find_no_object(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        uint64_t start = starts[class % 3], size = mem_size_class[class].size_bytes;
        (void)span_at(class, start);
        for (uint64_t index = 0; index < mem_size_class[class].capacity; index++) {
            for (uint32_t bit = 0; bit < 64; bit++) {
                assert_agrees(class, start, (start + index * size) ^ (uint64_t)1 << bit);
            }
        }
        for (uint64_t i = 1; i < 2 * PAGE_BYTES; i++) {
            assert_agrees(class, start, start - i);
            assert_agrees(class, start, start + span_bytes(class) + i - 1);
        }
    }
}

static void random_addresses_find_no_object(void **state)
{
    uint64_t random = 1;

    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        uint64_t start = starts[class % 3];
        (void)span_at(class, start);
        for (uint32_t i = 0; i < 100000; i++) {
            assert_agrees(class, start, start + random_width_u64(&random));
            assert_agrees(class, start, random_width_u64(&random));
        }
    }
}

/* The first class that fits and whose size is a multiple: every object is aligned, not just one. */
static uint32_t aligned_class_expected(uint32_t bytes, uint32_t align_bytes)
{
    for (uint32_t class = 0; align_bytes <= PAGE_BYTES && class < MEM_CLASSES; class ++) {
        uint32_t size = mem_size_class[class].size_bytes;
        if (size >= bytes && size % align_bytes == 0) {
            return class;
        }
    }
    return MEM_CLASSES;
}

static void every_aligned_request_gets_the_smallest_class_that_is_aligned(void **state)
{
    (void)state;
    for (uint32_t align_bytes = 1; align_bytes <= 65536; align_bytes *= 2) {
        for (uint32_t bytes = 0; bytes <= MEM_SMALL_MAX_BYTES; bytes += bytes < 1100 ? 1 : 61) {
            assert_int_equal(mem_class_aligned(bytes, align_bytes),
                             aligned_class_expected(bytes, align_bytes));
        }
        assert_int_equal(mem_class_aligned(MEM_SMALL_MAX_BYTES + 1, align_bytes), MEM_CLASSES);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_gets_the_smallest_class_that_fits),
        cmocka_unit_test(the_table_is_what_its_sizes_and_pages_make_it),
        cmocka_unit_test(every_offset_of_every_class_finds_its_object_or_none),
        cmocka_unit_test(addresses_of_elsewhere_find_no_object),
        cmocka_unit_test(random_addresses_find_no_object),
        cmocka_unit_test(every_aligned_request_gets_the_smallest_class_that_is_aligned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
