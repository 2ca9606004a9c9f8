/*
 * Every size: that it is served, aligned, as large as was asked for, apart from every other object,
 * zero when calloc gives it, and used again when it was freed.
 */
#include "common.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define EVERY_SIZE_MAX 70000u

/* Sizes about which allocators change their minds: classes, pages, spans, large objects. */
static const size_t sizes[] = {
    1,      7,      8,      9,       15,    16,      17,      24,      32,          48,     63,
    64,     65,     100,    127,     128,   129,     255,     256,     257,         500,    512,
    1000,   1023,   1024,   1025,    2048,  3000,    4095,    4096,    4097,        8191,   8192,
    8193,   12289,  16384,  32767,   32768, 32769,   65536,   65537,   100000,      131072, 262144,
    491520, 491521, 524288, MIB - 1, MIB,   MIB + 1, 2 * MIB, 4 * MIB, 4 * MIB + 1,
};

static void every_size_to_70000_is_served(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= EVERY_SIZE_MAX; bytes++) {
        void *object = filled(bytes, bytes);
        MUST(malloc_usable_size(object) >= bytes);
        check_and_free(object, bytes, bytes);
    }
}

static void every_size_to_70000_is_served_beside_all_others(void **state)
{
    static void *objects[EVERY_SIZE_MAX / 7 + 1];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = filled(i * 7, i);
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        check_and_free(objects[i], i * 7, i);
}

static void powers_of_two_and_their_neighbours_are_served_to_a_gib(void **state)
{
    (void)state;
    for (size_t power = 1; power <= GIB; power *= 2) {
        for (size_t bytes = power - 1; bytes <= power + 1; bytes++) {
            char *object = opaque(malloc(bytes));
            assert_non_null(object);
            assert_true(malloc_usable_size(object) >= bytes);
            if (bytes > 0) {
                object[0] = 1;
                object[bytes / 2] = 2;
                object[bytes - 1] = 3;
            }
            free(object);
        }
    }
}

static void every_size_from_16_is_aligned_to_16(void **state)
{
    (void)state;
    for (size_t bytes = 16; bytes <= EVERY_SIZE_MAX; bytes++) {
        void *object = opaque(malloc(bytes)), *zeroed = opaque(calloc(1, bytes));
        must_be_aligned(object, 16);
        must_be_aligned(zeroed, 16);
        object = opaque(realloc(object, bytes + 16));
        must_be_aligned(object, 16);
        free(object);
        free(zeroed);
    }
}

static void sizes_under_16_are_aligned_for_what_fits(void **state)
{
    void *objects[16][64];
    (void)state;

    for (size_t bytes = 1; bytes < 16; bytes++) {
        size_t alignment = bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
        for (size_t i = 0; i < 64; i++) {
            objects[bytes][i] = opaque(malloc(bytes));
            must_be_aligned(objects[bytes][i], alignment);
        }
    }
    for (size_t bytes = 1; bytes < 16; bytes++) {
        for (size_t i = 0; i < 64; i++)
            free(objects[bytes][i]);
    }
}

static void multiples_of_the_largest_alignment_are_aligned_to_it(void **state)
{
    void *objects[2000];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = opaque(malloc(sizeof(max_align_t) * (i + 1)));
        must_be_aligned(objects[i], _Alignof(max_align_t));
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}

/* ---- usable sizes --------------------------------------------------------------------------- */

static void the_usable_size_of_null_is_zero(void **state)
{
    (void)state;
    assert_int_equal(malloc_usable_size(NULL), 0);
}

static void all_of_the_usable_size_may_be_written(void **state)
{
    void *objects[COUNT_OF(sizes)][8];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < 8; j++) {
            objects[i][j] = opaque(malloc(sizes[i]));
            pattern_fill(objects[i][j], malloc_usable_size(objects[i][j]), i * 8 + j);
        }
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t j = 0; j < 8; j++)
            check_and_free(objects[i][j], malloc_usable_size(objects[i][j]), i * 8 + j);
    }
}

static void malloc_of_a_usable_size_gives_that_usable_size(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 16 * MIB; bytes += 1 + bytes / 50) {
        void *object = opaque(malloc(bytes));
        size_t usable = malloc_usable_size(object);
        void *other = opaque(malloc(usable));
        MUST(malloc_usable_size(other) >= usable);
        /* A size of its own for each object would break nothing, but would be no size class. */
        if (allocator_here() == ALLOCATOR_QUARRY)
            MUST(malloc_usable_size(other) == usable);
        free(object);
        free(other);
    }
}

static void the_usable_size_stays_while_other_objects_come_and_go(void **state)
{
    void *objects[COUNT_OF(sizes)];
    size_t usable[COUNT_OF(sizes)];
    uint64_t random = 3;
    (void)state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        objects[i] = opaque(malloc(sizes[i]));
        usable[i] = malloc_usable_size(objects[i]);
    }
    for (unsigned round = 0; round < 10000; round++)
        free(opaque(malloc(random_size(&random, MIB))));
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(malloc_usable_size(objects[i]), usable[i]);
        free(objects[i]);
    }
}

/* Classes an eighth to a sixth apart waste that much of the block at most; see the size classes. */
static void no_size_from_129_bytes_to_32_kib_wastes_a_fifth(void **state)
{
    (void)state;
    for (size_t bytes = 129; bytes <= 32 * KIB; bytes++) {
        void *object = opaque(malloc(bytes));
        size_t usable = malloc_usable_size(object);
        MUST((usable - bytes) * 5 < usable);
        free(object);
    }
}

/* ---- apart from each other ------------------------------------------------------------------ */

static void objects_of_one_size_never_overlap(void **state)
{
    static void *objects[1000];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        size_t count = sizes[i] > 64 * KIB ? 16 : COUNT_OF(objects);
        for (size_t j = 0; j < count; j++)
            objects[j] = filled(sizes[i], j);
        for (size_t j = 0; j < count; j++)
            check_and_free(objects[j], sizes[i], j);
    }
}

static void objects_of_all_sizes_never_overlap(void **state)
{
    static struct {
        void *object;
        size_t bytes;
    } slots[4096];
    uint64_t random = 5;
    (void)state;

    for (unsigned step = 0; step < 300000; step++) {
        size_t slot = random_next(&random) % COUNT_OF(slots);
        if (slots[slot].object != NULL)
            check_and_free(slots[slot].object, slots[slot].bytes, slot);
        slots[slot].bytes = random_size(&random, MIB);
        slots[slot].object = filled(slots[slot].bytes, slot);
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        if (slots[i].object != NULL)
            check_and_free(slots[i].object, slots[i].bytes, i);
    }
}

/* Frees `count` objects in three orders, and allocates again among the rest. */
static void free_in_order(void **objects, size_t count, size_t bytes, size_t step)
{
    for (size_t i = 0; i < count; i++)
        objects[i] = filled(bytes, i);
    for (size_t i = 0, at = 0; i < count; i++, at = (at + step) % count) {
        check_and_free(objects[at], bytes, at);
        objects[at] = NULL;
        if (i % 2 == 0)
            check_and_free(filled(bytes, i), bytes, i);
    }
}

static void objects_may_be_freed_in_any_order(void **state)
{
    static void *objects[1009]; /* a prime: every step visits all */
    static const size_t steps[] = {1, COUNT_OF(objects) - 1, 2, 503, 97};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(sizes) && sizes[i] <= 32 * KIB; i += 2) {
        for (size_t j = 0; j < COUNT_OF(steps); j++)
            free_in_order(objects, COUNT_OF(objects), sizes[i], steps[j]);
    }
}

static void holes_of_one_size_are_filled_by_another(void **state)
{
    static void *objects[100000];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = filled(64, i);
    for (size_t i = 0; i < COUNT_OF(objects); i += 2) {
        check_and_free(objects[i], 64, i);
        objects[i] = filled(48, i);
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        check_and_free(objects[i], i % 2 == 0 ? 48 : 64, i);
}

struct node {
    struct node *next;
    uint64_t number;
};

static void two_million_small_objects_are_all_different(void **state)
{
    struct node *head = NULL;
    (void)state;

    for (uint64_t i = 0; i < 2000000; i++) {
        struct node *node = opaque(malloc(sizeof *node));
        MUST(node != NULL);
        *node = (struct node){.next = head, .number = i};
        head = node;
    }
    for (uint64_t i = 2000000; i-- > 0;) {
        struct node *node = head;
        MUST(node->number == i);
        head = node->next;
        free(node);
    }
    assert_null(head);
}

/* ---- zeroes --------------------------------------------------------------------------------- */

/* An object of that size full of ones, given back for calloc to find. */
static void leave_dirt(size_t bytes)
{
    void *objects[4];

    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = opaque(malloc(bytes));
        memset(objects[i], 0xff, malloc_usable_size(objects[i]));
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}

static void calloc_and_check(size_t bytes)
{
    void *object = opaque(calloc(1, bytes));

    MUST(object != NULL);
    must_be_zero(object, bytes);
    memset(object, 0xff, bytes);
    free(object);
}

static void calloc_is_zero_after_dirt_of_every_size_to_5000(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= 5000; bytes++) {
        leave_dirt(bytes);
        calloc_and_check(bytes);
    }
}

static void calloc_is_zero_after_dirt_of_sizes_to_70000(void **state)
{
    (void)state;
    for (size_t bytes = 5000; bytes <= EVERY_SIZE_MAX; bytes += 61) {
        leave_dirt(bytes);
        calloc_and_check(bytes);
    }
}

static void calloc_is_zero_after_dirt_of_large_sizes(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t bytes = 64 * KIB; bytes <= 16 * MIB; bytes += bytes / 3) {
            leave_dirt(bytes);
            calloc_and_check(bytes);
        }
    }
}

static void calloc_is_zero_after_dirt_of_other_sizes(void **state)
{
    uint64_t random = 9;
    (void)state;

    for (unsigned round = 0; round < 20000; round++) {
        size_t bytes = random_size(&random, 256 * KIB);
        void *dirt = opaque(malloc(random_size(&random, 256 * KIB)));
        memset(dirt, 0xff, malloc_usable_size(dirt));
        free(dirt);
        calloc_and_check(bytes);
    }
}

static void calloc_of_256_mib_is_zero(void **state)
{
    (void)state;
    leave_dirt(64 * MIB);
    char *object = opaque(calloc(256, MIB));
    assert_non_null(object);
    for (size_t at = 0; at < 256 * MIB; at += 509)
        MUST(object[at] == 0);
    free(object);
}

/* ---- used again ----------------------------------------------------------------------------- */

/* A gigabyte through a mebibyte of live objects. */
static void memory_of_every_class_is_used_again(void **state)
{
    static void *objects[MIB / 512];
    const size_t before = resident_bytes();
    (void)state;

    for (size_t bytes = 512; bytes <= 512 * KIB; bytes *= 2) {
        const size_t count = MIB / bytes;
        for (unsigned round = 0; round < 100; round++) {
            for (size_t i = 0; i < count; i++)
                objects[i] = filled(bytes, i);
            for (size_t i = 0; i < count; i++)
                check_and_free(objects[i], bytes, i);
        }
    }
    assert_true(resident_bytes() < before + 128 * MIB);
}

static void large_objects_that_come_and_go_stay_bounded(void **state)
{
    void *objects[8] = {NULL};
    const size_t before = resident_bytes();
    uint64_t random = 7;
    (void)state;

    for (unsigned step = 0; step < 400; step++) {
        size_t slot = random_next(&random) % COUNT_OF(objects);
        size_t bytes = 5 * MIB + random_next(&random) % (20 * MIB);
        free(objects[slot]);
        objects[slot] = opaque(malloc(bytes));
        assert_non_null(objects[slot]);
        pattern_fill(objects[slot], bytes, step);
        pattern_check(objects[slot], bytes, step);
    }
    /* At most 200 MiB live; allocators may keep as much again. */
    assert_true(resident_bytes() < before + 600 * MIB);
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}

static void memory_that_is_not_touched_is_not_resident(void **state)
{
    const size_t before = resident_bytes();
    char *object = opaque(malloc(GIB));
    (void)state;

    assert_non_null(object);
    object[0] = object[GIB - 1] = 1;
    assert_true(resident_bytes() < before + 64 * MIB);
    free(object);
}

static void a_spike_is_served_by_what_an_earlier_spike_left(void **state)
{
    static void *objects[64 * KIB];
    const size_t before = resident_bytes();
    (void)state;

    for (unsigned round = 0; round < 8; round++) {
        size_t bytes = 256 + round * 128;
        for (size_t i = 0; i < COUNT_OF(objects); i++)
            objects[i] = filled(bytes, i);
        for (size_t i = 0; i < COUNT_OF(objects); i++)
            check_and_free(objects[i], bytes, i);
    }
    /* 72 MiB live at most, and other classes each time; no more than twice that and some. */
    assert_true(resident_bytes() < before + 256 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size_to_70000_is_served),
        cmocka_unit_test(every_size_to_70000_is_served_beside_all_others),
        cmocka_unit_test(powers_of_two_and_their_neighbours_are_served_to_a_gib),
        cmocka_unit_test(every_size_from_16_is_aligned_to_16),
        cmocka_unit_test(sizes_under_16_are_aligned_for_what_fits),
        cmocka_unit_test(multiples_of_the_largest_alignment_are_aligned_to_it),
        cmocka_unit_test(the_usable_size_of_null_is_zero),
        cmocka_unit_test(all_of_the_usable_size_may_be_written),
        cmocka_unit_test(malloc_of_a_usable_size_gives_that_usable_size),
        cmocka_unit_test(the_usable_size_stays_while_other_objects_come_and_go),
        cmocka_unit_test(no_size_from_129_bytes_to_32_kib_wastes_a_fifth),
        cmocka_unit_test(objects_of_one_size_never_overlap),
        cmocka_unit_test(objects_of_all_sizes_never_overlap),
        cmocka_unit_test(objects_may_be_freed_in_any_order),
        cmocka_unit_test(holes_of_one_size_are_filled_by_another),
        cmocka_unit_test(two_million_small_objects_are_all_different),
        cmocka_unit_test(calloc_is_zero_after_dirt_of_every_size_to_5000),
        cmocka_unit_test(calloc_is_zero_after_dirt_of_sizes_to_70000),
        cmocka_unit_test(calloc_is_zero_after_dirt_of_large_sizes),
        cmocka_unit_test(calloc_is_zero_after_dirt_of_other_sizes),
        cmocka_unit_test(calloc_of_256_mib_is_zero),
        cmocka_unit_test(memory_of_every_class_is_used_again),
        cmocka_unit_test(large_objects_that_come_and_go_stay_bounded),
        cmocka_unit_test(memory_that_is_not_touched_is_not_resident),
        cmocka_unit_test(a_spike_is_served_by_what_an_earlier_spike_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
