/*
 * The hard limit: QUARRY_MALLOC=limit=64M. Memory then ends as it does on a machine of that size,
 * except that malloc says so: NULL and ENOMEM, no abort, and room again as soon as something is
 * freed.
 *
 * The program starts itself anew with that setting. On other allocators it limits the address space
 * instead, which has the same meaning to a program: so the tests were tested. Only glibc takes its
 * memory in pieces small enough for that.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#define LIMIT_BYTES (64 * MIB)
#define LIMIT_NAME  "limit=64M"

/* What the heap keeps of the limit for itself and for its free pages at the worst. */
#define OVERHEAD_BYTES (24 * MIB)

/* Of one size: all that fit. A list through the objects needs no memory of its own. */
struct list {
    struct list *next;
    size_t number;
};

static size_t fill_with(size_t bytes, struct list **ret_list)
{
    struct list *list = NULL;
    size_t count = 0;

    for (;; count++) {
        struct list *object = opaque(malloc(bytes));
        if (object == NULL)
            break;
        memset(object, 0x11, bytes);
        *object = (struct list){.next = list, .number = count};
        list = object;
        MUST(count * bytes <= LIMIT_BYTES + 32 * MIB);
    }
    MUST(errno == ENOMEM);
    *ret_list = list;
    return count;
}

static void end_list(struct list *list, size_t count)
{
    while (list != NULL) {
        struct list *next = list->next;
        MUST(list->number == --count);
        free(list);
        list = next;
    }
    MUST(count == 0);
}

/* What the C library had mapped before its addresses were limited comes on top. */
static void check_filled(size_t count, size_t bytes)
{
    const size_t spare = allocator_here() == ALLOCATOR_QUARRY ? 0 : MIB;

    assert_true(count * bytes <= LIMIT_BYTES + spare);
    assert_true(count * bytes + OVERHEAD_BYTES >= LIMIT_BYTES);
}

static void fill_and_check(size_t bytes)
{
    struct list *list;

    errno = 0;
    size_t count = fill_with(bytes, &list);
    check_filled(count, bytes);
    end_list(list, count);
}

static void small_objects_end_with_enomem_at_the_limit(void **state)
{
    (void)state;
    fill_and_check(64);
    fill_and_check(1024);
}

static void medium_objects_end_with_enomem_at_the_limit(void **state)
{
    (void)state;
    fill_and_check(8 * KIB);
    fill_and_check(32 * KIB);
}

static void large_objects_end_with_enomem_at_the_limit(void **state)
{
    (void)state;
    fill_and_check(100 * KIB);
    fill_and_check(MIB);
}

static void one_object_over_the_limit_is_refused(void **state)
{
    (void)state;
    errno = 0;
    assert_null(opaque(malloc(LIMIT_BYTES + 1)));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(opaque(memalign(4096, LIMIT_BYTES * 4)));
    assert_int_equal(errno, ENOMEM);
    void *object = opaque(malloc(LIMIT_BYTES / 2));
    assert_non_null(object);
    memset(object, 1, LIMIT_BYTES / 2);
    free(object);
}

/* Each size after another: what one left must serve the next. */
static void frees_make_room_again_for_every_size(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 3; round++) {
        for (size_t bytes = 48; bytes <= 2 * MIB; bytes *= 3)
            fill_and_check(bytes);
    }
}

static void a_part_that_is_freed_may_be_used_again(void **state)
{
    static void *objects[LIMIT_BYTES / (16 * KIB)];
    size_t count = 0;
    (void)state;

    while (count < COUNT_OF(objects) && (objects[count] = opaque(malloc(16 * KIB))) != NULL)
        pattern_fill(objects[count], 16 * KIB, count), count++;
    for (unsigned round = 0; round < 200; round++) {
        size_t freed = 0;
        for (size_t i = round % 7; i < count; i += 7, freed++)
            check_and_free(objects[i], 16 * KIB, i);
        for (size_t i = round % 7; i < count; i += 7) {
            objects[i] = opaque(malloc(16 * KIB));
            MUST(objects[i] != NULL);
            pattern_fill(objects[i], 16 * KIB, i);
        }
        MUST(freed > 100);
    }
    for (size_t i = 0; i < count; i++)
        check_and_free(objects[i], 16 * KIB, i);
}

static void calloc_fails_and_goes_on_at_the_limit(void **state)
{
    struct list *list;
    (void)state;

    size_t count = fill_with(16 * KIB, &list);
    errno = 0;
    assert_null(opaque(calloc(64, KIB)));
    assert_int_equal(errno, ENOMEM);
    end_list(list, count);
    void *object = opaque(calloc(32, MIB));
    assert_non_null(object);
    must_be_zero(object, 32 * MIB);
    free(object);
}

static void realloc_keeps_the_old_object_at_the_limit(void **state)
{
    struct list *list;
    void *object = filled(100 * KIB, 1), *small = filled(100, 2);
    (void)state;

    size_t count = fill_with(16 * KIB, &list);
    errno = 0;
    assert_null(opaque(realloc(object, 40 * MIB)));
    assert_int_equal(errno, ENOMEM);
    assert_null(opaque(realloc(small, 40 * MIB)));
    end_list(list, count);
    pattern_check(object, 100 * KIB, 1);
    object = opaque(realloc(object, 10 * MIB));
    assert_non_null(object);
    pattern_check_prefix(object, 100 * KIB, 1);
    free(object);
    check_and_free(small, 100, 2);
}

static void realloc_may_shrink_at_the_limit(void **state)
{
    struct list *list;
    void *object = filled(10 * MIB, 1);
    (void)state;

    size_t count = fill_with(16 * KIB, &list);
    void *shrunk = opaque(realloc(object, 5 * MIB));
    /* Where it must move, there is no room; in place there is. */
    object = shrunk != NULL ? shrunk : object;
    pattern_check_prefix(object, 5 * MIB, 1);
    free(object);
    void *other = opaque(malloc(4 * MIB));
    assert_non_null(other);
    free(other);
    end_list(list, count);
}

static void aligned_doors_fail_with_enomem_at_the_limit(void **state)
{
    struct list *list;
    void *object = &list;
    (void)state;

    size_t count = fill_with(16 * KIB, &list);
    errno = 0;
    assert_null(opaque(aligned_alloc(MIB, 8 * MIB)));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(posix_memalign(&object, MIB, 8 * MIB), ENOMEM);
    assert_ptr_equal(object, &list);
    end_list(list, count);
    assert_int_equal(posix_memalign(&object, MIB, 8 * MIB), 0);
    free(object);
}

/* ---- threads at the limit ------------------------------------------------------------------- */

#define CROWD 32u

struct crowd {
    atomic_ulong refused, served;
};

static void live_at_the_limit(void *argument, unsigned index)
{
    struct crowd *crowd = argument;
    void *objects[64] = {NULL};
    size_t sizes[64];
    uint64_t random = index;

    for (unsigned step = 0; step < 6000; step++) {
        size_t i = random_next(&random) % COUNT_OF(objects);
        if (objects[i] != NULL)
            check_and_free(objects[i], sizes[i], i);
        sizes[i] = 1 + random_next(&random) % (128 * KIB);
        objects[i] = opaque(malloc(sizes[i]));
        if (objects[i] != NULL)
            pattern_fill(objects[i], sizes[i], i);
        else
            MUST(errno == ENOMEM);
        atomic_fetch_add(objects[i] != NULL ? &crowd->served : &crowd->refused, 1);
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        if (objects[i] != NULL)
            check_and_free(objects[i], sizes[i], i);
    }
}

/* They want 128 MiB together. */
static void thirty_two_threads_live_at_the_limit(void **state)
{
    static struct crowd crowd;
    (void)state;

    threads_run(CROWD, live_at_the_limit, &crowd);
    assert_true(atomic_load(&crowd.refused) > 0);
    print_message("%lu served, %lu refused\n", atomic_load(&crowd.served),
                  atomic_load(&crowd.refused));
    assert_true(atomic_load(&crowd.served) > atomic_load(&crowd.refused) / 8);
    if (allocator_here() == ALLOCATOR_QUARRY) /* ended threads hold nothing back */
        fill_and_check(16 * KIB);
}

static void resident_memory_stays_under_the_limit(void **state)
{
    struct list *list;
    const size_t before = resident_bytes();
    (void)state;

    for (size_t bytes = 64; bytes <= MIB; bytes *= 8) {
        size_t count = fill_with(bytes, &list);
        assert_true(resident_bytes() <= before + LIMIT_BYTES + MIB);
        end_list(list, count);
    }
}

static void fill_in_child(void *argument)
{
    struct list *list;

    (void)argument;
    size_t count = fill_with(16 * KIB, &list);
    MUST(count * 16 * KIB <= LIMIT_BYTES);
    end_list(list, count);
}

static void a_child_has_the_limit_of_its_parent(void **state)
{
    (void)state;
    child_must_succeed(fill_in_child, NULL);
}

/* ---- the limit itself ----------------------------------------------------------------------- */

static void limit_addresses(void)
{
    char line[64] = "";
    pthread_attr_t attributes;

    MUST(pthread_attr_init(&attributes) == 0);
    MUST(pthread_attr_setstacksize(&attributes, 128 * KIB) == 0); /* addresses too */
    MUST(pthread_setattr_default_np(&attributes) == 0);
    (void)mallopt(M_ARENA_MAX, 1); /* others reserve 64 MiB each */
    FILE *file = fopen("/proc/self/statm", "re");
    MUST(file != NULL && fgets(line, sizeof line, file) != NULL);
    fclose(file);
    size_t bytes = strtoul(line, NULL, 10) * 4096 + LIMIT_BYTES;
    MUST(setrlimit(RLIMIT_AS, &(struct rlimit){bytes, bytes}) == 0);
}

/* Each test in a process of its own: addresses that were freed count on. */
static int run_each_anew(const struct CMUnitTest *tests, size_t count)
{
    int failed = 0;

    for (size_t i = 0; i < count; i++) {
        struct child child;
        child_run_anew(tests[i].name, NULL, &child);
        if (child.status != 0)
            fprintf(stderr, "%s: status 0x%x: %s\n", tests[i].name, (unsigned)child.status,
                    child.errors);
        failed += child.status != 0;
    }
    return failed;
}

static void start_with_limit(char **argv)
{
    const char *setting = getenv("QUARRY_MALLOC");

    if (setting != NULL && strcmp(setting, LIMIT_NAME) == 0)
        return;
    MUST(setenv("QUARRY_MALLOC", LIMIT_NAME, 1) == 0);
    (void)execv("/proc/self/exe", argv);
    MUST_NOT_COME_HERE("started anew");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_objects_end_with_enomem_at_the_limit),
        cmocka_unit_test(medium_objects_end_with_enomem_at_the_limit),
        cmocka_unit_test(large_objects_end_with_enomem_at_the_limit),
        cmocka_unit_test(one_object_over_the_limit_is_refused),
        cmocka_unit_test(frees_make_room_again_for_every_size),
        cmocka_unit_test(a_part_that_is_freed_may_be_used_again),
        cmocka_unit_test(calloc_fails_and_goes_on_at_the_limit),
        cmocka_unit_test(realloc_keeps_the_old_object_at_the_limit),
        cmocka_unit_test(realloc_may_shrink_at_the_limit),
        cmocka_unit_test(aligned_doors_fail_with_enomem_at_the_limit),
        cmocka_unit_test(resident_memory_stays_under_the_limit),
        cmocka_unit_test(a_child_has_the_limit_of_its_parent),
        cmocka_unit_test(thirty_two_threads_live_at_the_limit),
    };
    if (allocator_here() == ALLOCATOR_QUARRY) {
        start_with_limit(argv);
    } else if (allocator_here() != ALLOCATOR_GLIBC) {
        print_message("no limit that this allocator keeps\n");
        return 0;
    } else if (argc == 1) {
        return run_each_anew(tests, COUNT_OF(tests));
    } else {
        cmocka_set_test_filter(argv[1]);
        limit_addresses();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
