/*
 * QUARRY_MALLOC=hardened=1: a byte written past an object's end is found when the object is freed,
 * and what was freed is cleared, so that a read after the free learns nothing. The program starts
 * itself anew with that setting; under another allocator all is skipped.
 */
#include "misuse.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#define SETTING "hardened=1"

/* What a list of free objects may keep in them. */
#define LINK_BYTES 16u

static const size_t sizes[] = {1,    8,    15,   16,    24,    100,      500,       1000,
                               1024, 4000, 8192, 20000, 32700, 64 * KIB, 300 * KIB, 8 * MIB};

static void dies_with_every_size(child_body *body, const char *words)
{
    QUARRY_ONLY();
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        misuse_dies(body, sizes[i], words);
}

/* Writes `count` bytes just past the end. */
static void *overflowed(void *object, size_t count)
{
    char *end = (char *)object + malloc_usable_size(object);

    for (size_t i = 0; i < count; i++)
        ((char *)opaque(end))[i] ^= 0x20;
    (void)misuse_name(object);
    return opaque(object);
}

/* ---- past the end --------------------------------------------------------------------------- */

static void overflow_by_one(void *bytes)
{
    free(overflowed(malloc((size_t)bytes), 1));
}

static void a_byte_past_the_end_is_found_at_the_free(void **state)
{
    (void)state;
    dies_with_every_size(overflow_by_one, OVERFLOW);
}

static void overflow_by_eight(void *bytes)
{
    free(overflowed(malloc((size_t)bytes), 8));
}

static void eight_bytes_past_the_end_are_found_at_the_free(void **state)
{
    (void)state;
    dies_with_every_size(overflow_by_eight, OVERFLOW);
}

static void overflow_with_zero(void *bytes)
{
    char *object = malloc((size_t)bytes);

    (void)misuse_name(object);
    ((char *)opaque(object))[malloc_usable_size(object)] = '\0';
    free(opaque(object));
}

/* The commonest: the end of a string. A canary that begins with zero would miss it. */
static void a_zero_past_the_end_is_found_at_the_free(void **state)
{
    (void)state;
    dies_with_every_size(overflow_with_zero, OVERFLOW);
}

static void overflow_then_grow(void *bytes)
{
    free(opaque(realloc(overflowed(malloc((size_t)bytes), 1), (size_t)bytes * 4 + 1000)));
}

static void a_byte_past_the_end_is_found_by_realloc(void **state)
{
    (void)state;
    dies_with_every_size(overflow_then_grow, OVERFLOW);
}

static void overflow_cleared(void *bytes)
{
    free(overflowed(calloc(1, (size_t)bytes), 1));
}

static void a_byte_past_a_cleared_object_is_found(void **state)
{
    (void)state;
    dies_with_every_size(overflow_cleared, OVERFLOW);
}

static void overflow_reallocated(void *bytes)
{
    void *object = opaque(realloc(malloc((size_t)bytes), (size_t)bytes * 3));

    free(overflowed(opaque(realloc(object, (size_t)bytes * 2)), 1));
}

static void a_byte_past_a_reallocated_object_is_found(void **state)
{
    (void)state;
    dies_with_every_size(overflow_reallocated, OVERFLOW);
}

static void overflow_aligned(void *alignment)
{
    free(overflowed(aligned_alloc((size_t)alignment, 100), 1));
}

static void a_byte_past_an_aligned_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t alignment = 16; alignment <= MIB; alignment *= 4)
        misuse_dies(overflow_aligned, alignment, OVERFLOW);
}

static void overflow_and_free_elsewhere(void *bytes)
{
    misuse_in_thread(misuse_free, overflowed(malloc((size_t)bytes), 1));
    misuse_need_more((size_t)bytes);
}

static void a_byte_past_the_end_is_found_when_another_thread_frees(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(overflow_and_free_elsewhere, 100, OVERFLOW);
    misuse_dies(overflow_and_free_elsewhere, 3000, OVERFLOW);
}

/* ---- after the free ------------------------------------------------------------------------- */

static void read_freed(void *bytes)
{
    const size_t count = (size_t)bytes;
    unsigned char *object = malloc(count);

    memset(object, 0x5a, count);
    free(object);
    object = opaque(object);
    for (size_t i = 0; i < count; i++)
        MUST(i < LINK_BYTES ? object[i] != 0x5a || count < LINK_BYTES : object[i] == 0);
}

static void freed_memory_reads_as_zero(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 32; bytes <= 32 * KIB; bytes = bytes * 3 / 2)
        child_must_succeed(read_freed, (void *)bytes);
}

static void read_freed_large(void *bytes)
{
    const size_t count = (size_t)bytes;
    volatile unsigned char *object = malloc(count);

    memset(opaque((void *)(uintptr_t)object), 0x5a, count);
    free(opaque((void *)(uintptr_t)object));
    for (size_t i = LINK_BYTES; i < count; i += 61)
        MUST(object[i] == 0);
}

/* Large memory may be gone altogether: then the read is a fault. */
static void freed_large_memory_reads_as_zero_or_faults(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 64 * KIB; bytes <= 64 * MIB; bytes *= 8) {
        struct child child;
        child_run(read_freed_large, (void *)bytes, &child);
        if (!WIFSIGNALED(child.status) || WTERMSIG(child.status) != SIGSEGV)
            child_succeeded(&child);
    }
}

/* Frees an object, writes into it, and goes on as if nothing were. */
static void write_freed(void *bytes)
{
    const size_t count = (size_t)bytes;
    static void *objects[2000];
    void *object = malloc(count);

    (void)misuse_name(object);
    free(object);
    memset(opaque(object), 0x41, count);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = opaque(calloc(1, count));
        must_be_zero(objects[i], count);
        pattern_fill(objects[i], count, i);
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        check_and_free(objects[i], count, i);
}

static void a_write_after_the_free_is_found_or_does_no_harm(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t i = 0; i < COUNT_OF(sizes) && sizes[i] <= 64 * KIB; i++) {
        struct child child;
        char address[32];
        child_run(write_freed, (void *)sizes[i], &child);
        misuse_named(address);
        if (WIFEXITED(child.status) && WEXITSTATUS(child.status) == 0)
            continue;
        child_aborted(&child, (const char *const[]){USE_AFTER_FREE, address, NULL});
    }
}

/* ---- the rest stays ------------------------------------------------------------------------- */

static void free_twice(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    free(opaque(object));
}

static void double_frees_are_found_as_ever(void **state)
{
    (void)state;
    dies_with_every_size(free_twice, FREED_ALREADY);
}

static void all_of_the_usable_size_is_the_programs(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 0; bytes <= 70000; bytes += 1 + bytes / 100) {
        void *object = opaque(malloc(bytes));
        const size_t usable = malloc_usable_size(object);
        assert_true(usable >= bytes);
        pattern_fill(object, usable, bytes);
        object = opaque(realloc(object, usable + 1));
        pattern_check_prefix(object, usable, bytes);
        free(object);
    }
}

static void churn(void *unused, unsigned index)
{
    static void *shared[256];
    uint64_t random = index;

    for (unsigned i = 0; i < 30000; i++) {
        size_t bytes = random_size(&random, 128 * KIB);
        void *object = opaque(random_next(&random) % 4 == 0 ? calloc(1, bytes) : malloc(bytes));
        pattern_fill(object, bytes, i);
        pattern_check(object, bytes, i);
        free(__atomic_exchange_n(&shared[random_next(&random) % 256], object, __ATOMIC_ACQ_REL));
    }
    (void)unused;
}

static void threads_live_as_ever(void **state)
{
    (void)state;
    QUARRY_ONLY();
    threads_run(6, churn, NULL);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_byte_past_the_end_is_found_at_the_free),
        cmocka_unit_test(eight_bytes_past_the_end_are_found_at_the_free),
        cmocka_unit_test(a_zero_past_the_end_is_found_at_the_free),
        cmocka_unit_test(a_byte_past_the_end_is_found_by_realloc),
        cmocka_unit_test(a_byte_past_a_cleared_object_is_found),
        cmocka_unit_test(a_byte_past_a_reallocated_object_is_found),
        cmocka_unit_test(a_byte_past_an_aligned_object_is_found),
        cmocka_unit_test(a_byte_past_the_end_is_found_when_another_thread_frees),
        cmocka_unit_test(freed_memory_reads_as_zero),
        cmocka_unit_test(freed_large_memory_reads_as_zero_or_faults),
        cmocka_unit_test(a_write_after_the_free_is_found_or_does_no_harm),
        cmocka_unit_test(double_frees_are_found_as_ever),
        cmocka_unit_test(all_of_the_usable_size_is_the_programs),
        cmocka_unit_test(threads_live_as_ever),
    };
    const char *setting = getenv("QUARRY_MALLOC");

    (void)argc;
    if (allocator_here() == ALLOCATOR_QUARRY &&
        (setting == NULL || strcmp(setting, SETTING) != 0)) {
        MUST(setenv("QUARRY_MALLOC", SETTING, 1) == 0);
        (void)execv("/proc/self/exe", argv);
        MUST_NOT_COME_HERE("started anew");
    }
    misuse_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
