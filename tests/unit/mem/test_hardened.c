/*
 * Hardened heaps: what is checked and cleared when, and what waits how long.
 */
#include "misuse_rig.h"

#include <pthread.h>
#include <stdlib.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const size_t sizes[] = {
    0,    1,     8,     9,     24,        100,       500,       1000,       4000,       4096,
    8192, 20000, 32760, 32761, Q_KIB(48), Q_KIB(57), Q_KIB(64), Q_KIB(256), Q_KIB(300), Q_MIB(3)};

static int hardened(void **state)
{
    (void)state;
    objects_begin((struct mem_heap_options){.is_hardened = true}, 0, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    objects_end();
    return 0;
}

static void free_it(void *object)
{
    mem_free(&objects, object);
}

static void resize_it(void *object)
{
    (void)mem_realloc(&objects, object, mem_usable(&objects, object) * 2);
}

/* Frees objects until everything freed before has left the quarantine. */
static void push_out(void)
{
    void *object[MEM_QUARANTINE_OBJECTS + 1];

    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = take(40);
    }
    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        mem_free(&objects, object[i]);
    }
}

static bool is_all_zero(const char *base, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (base[i] != 0) {
            return false;
        }
    }
    return true;
}

/* ---- objects -------------------------------------------------------------------------------- */

static void every_usable_byte_is_the_programs(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        char *object = take(sizes[i]);
        size_t usable = mem_usable(&objects, object);
        assert_true(usable >= sizes[i]);
        pattern_fill(object, usable, i);
        object = mem_realloc(&objects, object, usable + 1);
        assert_non_null(object);
        assert_true(pattern_holds(object, usable, i));
        mem_free(&objects, object);
    }
}

static void objects_are_handed_out_zero(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
            char *object = round % 2 == 0 ? mem_alloc_zero(pool, NULL, sizes[i]) : take(sizes[i]);
            assert_true(is_all_zero(object, mem_usable(&objects, object)));
            memset(object, 0x77, mem_usable(&objects, object));
            mem_free(&objects, object);
        }
    }
}

static void aligned_objects_are_aligned(void **state)
{
    (void)state;
    for (size_t align_bytes = 1; align_bytes <= Q_MIB(1); align_bytes *= 2) {
        for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
            char *object = mem_alloc_aligned(pool, sizes[i], align_bytes);
            assert_non_null(object);
            assert_int_equal((uint64_t)object % align_bytes, 0);
            memset(object, 0x77, mem_usable(&objects, object));
            mem_free(&objects, object);
        }
    }
}

static void neighbours_are_handed_out_in_no_order(void **state)
{
    char *object[64];
    uint32_t rising_count = 0;
    (void)state;

    for (uint32_t i = 0; i < 64; i++) {
        object[i] = take(100);
        rising_count += i > 0 && object[i] > object[i - 1];
    }
    assert_in_range(rising_count, 10, 53);
    for (uint32_t i = 0; i < 64; i++) {
        mem_free(&objects, object[i]);
    }
}

/* ---- past the end --------------------------------------------------------------------------- */

static void overflow(void *object, unsigned char flip)
{
    ((unsigned char *)object)[mem_usable(&objects, object)] ^= flip;
}

static void overflow_and_free(void *object)
{
    overflow(object, 0x20);
    mem_free(&objects, object);
}

static void overflow_and_resize(void *object)
{
    overflow(object, 0x80);
    resize_it(object);
}

static void end_string_too_late(void *object)
{
    ((char *)object)[mem_usable(&objects, object)] = '\0';
    mem_free(&objects, object);
}

static void a_byte_past_the_end_is_found(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        void *object = take(sizes[i]);
        child_assert_aborts(overflow_and_free, object, "heap overflow");
        child_assert_aborts(overflow_and_resize, object, "heap overflow");
        child_assert_aborts(end_string_too_late, object, "heap overflow");
        mem_free(&objects, object);
    }
}

/* ---- after the free ------------------------------------------------------------------------- */

static void what_was_freed_reads_as_zero(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes) && sizes[i] <= 32760; i++) {
        char *object = take(sizes[i]);
        size_t usable = mem_usable(&objects, object);
        memset(object, 0x77, usable);
        mem_free(&objects, object);
        assert_true(is_all_zero(opaque(object), usable));
    }
}

/* Writes into a freed object of so many bytes, and takes others of its size until it comes up. */
static void write_freed(void *bytes)
{
    char *object = take((size_t)bytes);

    mem_free(&objects, object);
    ((volatile char *)object)[(size_t)bytes / 2] = 1;
    push_out();
    for (int i = 0; i < 20000; i++) {
        (void)take((size_t)bytes);
    }
}

static void a_write_after_the_free_is_found_when_the_cell_is_used_again(void **state)
{
    static const size_t of[] = {1, 24, 100, 1000, 4000};
    (void)state;

    for (uint32_t i = 0; i < COUNT_OF(of); i++) {
        child_assert_aborts(write_freed, (void *)of[i], "use after free");
    }
}

static void spoil_mark(void *object)
{
    size_t usable = mem_usable(&objects, object);

    mem_free(&objects, object);
    ((volatile char *)object)[usable] ^= 1;
    push_out();
}

static void a_spoiled_mark_is_found_when_its_time_in_quarantine_is_over(void **state)
{
    void *object = take(100);
    (void)state;

    child_assert_aborts(spoil_mark, object, "use after free");
    mem_free(&objects, object);
}

/* ---- second frees --------------------------------------------------------------------------- */

static void a_second_free_is_found_while_the_first_waits(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        void *object = take(sizes[i]);
        mem_free(&objects, object);
        child_assert_aborts(free_it, object, "double free");
        child_assert_aborts(resize_it, object, "double free");
    }
}

static void a_second_free_is_found_when_the_first_has_waited(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        void *object = take(sizes[i]), *neighbour = take(sizes[i]);
        mem_free(&objects, object);
        push_out();
        child_assert_aborts(free_it, object, "double free");
        mem_free(&objects, neighbour);
    }
}

/* Two of a class of one word: freed, and taken out of the span by the bin, the second waits there.
 */
static void a_second_free_is_found_of_what_a_bin_has_at_hand(void **state)
{
    void *object[300];
    (void)state;

    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = take(200);
    }
    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        mem_free(&objects, object[i]);
    }
    push_out();
    void *taken = take(200);
    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        if (object[i] != taken) {
            child_assert_aborts(free_it, object[i], "double free");
        }
    }
    mem_free(&objects, taken);
}

static void a_pointer_into_an_object_is_found(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        if (sizes[i] >= 24) {
            char *object = take(sizes[i]);
            child_assert_aborts(free_it, object + 8, "no object begins");
            mem_free(&objects, object);
        }
    }
}

static void objects_are_known_while_they_are_in_use(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(sizes); i++) {
        char *object = take(sizes[i]);
        assert_true(mem_is_object(&objects, object));
        assert_false(mem_is_object(&objects, object + 8) && sizes[i] > 8);
        mem_free(&objects, object);
        assert_false(mem_is_object(&objects, object));
    }
}

/* ---- the quarantine ------------------------------------------------------------------------- */

static void a_freed_object_is_not_used_before_a_thousand_more_are_freed(void **state)
{
    char *object = take(100);
    bool is_used_again = false;
    (void)state;

    mem_free(&objects, object);
    for (uint32_t i = 0; i < MEM_QUARANTINE_OBJECTS - 1; i++) {
        char *other = take(100);
        assert_ptr_not_equal(other, object);
        mem_free(&objects, other);
    }
    for (uint32_t i = 0; i < 100000 && !is_used_again; i++) {
        char *other = take(100);
        is_used_again = other == object;
        mem_free(&objects, other);
    }
    assert_true(is_used_again);
}

static void the_quarantine_holds_no_more_than_its_bytes(void **state)
{
    void *object[100];
    (void)state;

    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = take(30000);
    }
    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        mem_free(&objects, object[i]);
        assert_true(mem_thread_own(&objects)->quarantine_bytes <= MEM_QUARANTINE_BYTES);
    }
    assert_true(mem_thread_own(&objects)->quarantine_bytes > MEM_QUARANTINE_BYTES - Q_KIB(32));
}

static void objects_of_other_lifetimes_do_not_wait(void **state)
{
    struct mem_lifetime *lifetime;
    struct mem_pool *other;
    (void)state;

    assert_int_equal(mem_lifetime_begin(&objects, "other", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(mem_pool_create(lifetime, pool->owner, &other), QUARRY_OK);
    for (int i = 0; i < 3000; i++) {
        void *object = mem_alloc(other, (size_t)i * 37 % Q_KIB(100));
        assert_non_null(object);
        if (i % 2 == 0) {
            mem_free(&objects, object);
        }
    }
    assert_null(mem_thread_own(&objects)->quarantine);
    objects_check();
    mem_lifetime_end(lifetime);
    mem_free(&objects, take(100));
}

static void *free_in_thread(void *object)
{
    mem_free(&objects, object);
    mem_free(&objects, take(64));
    return NULL;
}

static void run_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

static void a_thread_that_ends_lets_go_of_everything(void **state)
{
    (void)state;
    mem_free(&objects, take(64));
    for (int i = 0; i < 50; i++) {
        run_thread(free_in_thread, take(1000));
    }
    push_out();
    objects_check();
}

static void another_thread_finds_an_overflow_and_a_second_free(void **state)
{
    char *object = take(1000);
    (void)state;

    run_thread(free_in_thread, object);
    child_assert_aborts(free_it, object, "double free");
    object = take(1000);
    child_assert_aborts(overflow_and_free, object, "heap overflow");
    mem_free(&objects, object);
}

#define THREADS 4
#define ROUNDS  4000u

static void *pass_objects(void *shared)
{
    _Atomic(void *) *slot = shared;

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t bytes = 1 + i * 131 % 3000 * (i % 50 == 0 ? 50 : 1);
        size_t *object = mem_alloc(pool, sizeof *object + bytes);
        *object = bytes;
        pattern_fill(object + 1, bytes, (unsigned)bytes);
        size_t *other = atomic_exchange_acq_rel_ptr(&slot[i % 64], object);
        if (other != NULL) {
            if (!pattern_holds(other + 1, *other, (unsigned)*other)) {
                abort();
            }
            mem_free(&objects, other);
        }
    }
    return NULL;
}

static void threads_hand_objects_over(void **state)
{
    static _Atomic(void *) slot[64];
    pthread_t thread[THREADS];
    (void)state;

    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, pass_objects, slot), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    for (int i = 0; i < 64; i++) {
        mem_free(&objects, atomic_exchange_acquire_ptr(&slot[i], NULL));
    }
}

static void use_in_child(void *object)
{
    mem_free(&objects, object);
    for (unsigned i = 0; i < 5000; i++) {
        void *other = mem_alloc(pool, i * 11 % 2000);
        CHILD_CHECK(other != NULL);
        mem_free(&objects, other);
    }
    CHILD_CHECK(mem_heap_validate_child(&objects, NULL) == QUARRY_OK);
}

static void a_child_goes_on_with_the_quarantine_of_its_parent(void **state)
{
    void *object = take(100);
    (void)state;

    push_out();
    child_assert_succeeds(use_in_child, object);
    mem_free(&objects, object);
}

/* ---- samples and scopes --------------------------------------------------------------------- */

static void every_sample_begins_and_ends_once(void **state)
{
    (void)state;
    objects_begin((struct mem_heap_options){.is_hardened = true, .guard_every = 1}, 1000, 0);
    for (unsigned i = 0; i < 5000; i++) {
        void *object = take(i * 7 % 3000);
        if (i % 100 == 0) {
            run_thread(free_in_thread, object);
        } else {
            mem_free(&objects, object);
        }
    }
    assert_true(allocated_count > 1000);
    assert_int_equal(allocated_count, freed_count);
    assert_null(objects.guard.base);
    objects_end();
}

static void the_door_stays_closed_and_scopes_work(void **state)
{
    struct mem_lifetime *lifetime;
    struct mem_pool *other;
    (void)state;

    objects_begin((struct mem_heap_options){.is_hardened = true, .is_door = true}, 0, 0);
    assert_int_equal(mem_lifetime_begin(&objects, "other", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(mem_pool_create(lifetime, pool->owner, &other), QUARRY_OK);
    mem_free(&objects, mem_alloc_slow(pool, mem_door, 100));
    struct mem_thread *thread = mem_thread_own(&objects);
    mem_door_set(thread, mem_thread_bins(thread, other));
    assert_ptr_equal(mem_door, &mem_bins_none);
    assert_ptr_equal(mem_door_pool(&objects), other);
    void *object = mem_alloc_slow(pool, mem_door, 100);
    assert_ptr_equal(mem_span_pool(mem_map_find(&objects.map, object)), other);
    mem_door_set(thread, NULL);
    assert_ptr_equal(mem_door_pool(&objects), pool);
    mem_free(&objects, object);
    mem_lifetime_end(lifetime);
    objects_end();
}

/* ---- the budget ------------------------------------------------------------------------------ */

/* Objects until the budget is full; all freed again. */
static uint32_t fill_budget(size_t bytes)
{
    static void *object[20000];
    uint32_t count = 0;

    while (count < COUNT_OF(object) && (object[count] = mem_alloc(pool, bytes)) != NULL) {
        count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        mem_free(&objects, object[i]);
    }
    return count;
}

static void what_a_full_budget_held_can_be_had_again(void **state)
{
    static const size_t of[] = {1000, 5000, 30000, Q_KIB(100)};
    (void)state;

    for (uint32_t i = 0; i < COUNT_OF(of); i++) {
        objects_begin((struct mem_heap_options){.is_hardened = true}, 0, Q_MIB(16));
        uint32_t first = fill_budget(of[i]), second = fill_budget(of[i]);
        assert_true(first * of[i] > Q_MIB(8));
        assert_true(second + 64 > first - first / 8);
        objects_end();
    }
}

int main(void)
{
#define HARDENED(test) cmocka_unit_test_setup_teardown(test, hardened, end)
    const struct CMUnitTest tests[] = {
        HARDENED(every_usable_byte_is_the_programs),
        HARDENED(objects_are_handed_out_zero),
        HARDENED(aligned_objects_are_aligned),
        HARDENED(neighbours_are_handed_out_in_no_order),
        HARDENED(a_byte_past_the_end_is_found),
        HARDENED(what_was_freed_reads_as_zero),
        HARDENED(a_write_after_the_free_is_found_when_the_cell_is_used_again),
        HARDENED(a_spoiled_mark_is_found_when_its_time_in_quarantine_is_over),
        HARDENED(a_second_free_is_found_while_the_first_waits),
        HARDENED(a_second_free_is_found_when_the_first_has_waited),
        HARDENED(a_second_free_is_found_of_what_a_bin_has_at_hand),
        HARDENED(a_pointer_into_an_object_is_found),
        HARDENED(objects_are_known_while_they_are_in_use),
        HARDENED(a_freed_object_is_not_used_before_a_thousand_more_are_freed),
        HARDENED(the_quarantine_holds_no_more_than_its_bytes),
        HARDENED(objects_of_other_lifetimes_do_not_wait),
        HARDENED(a_thread_that_ends_lets_go_of_everything),
        HARDENED(another_thread_finds_an_overflow_and_a_second_free),
        HARDENED(threads_hand_objects_over),
        HARDENED(a_child_goes_on_with_the_quarantine_of_its_parent),
        cmocka_unit_test(every_sample_begins_and_ends_once),
        cmocka_unit_test(the_door_stays_closed_and_scopes_work),
        cmocka_unit_test(what_a_full_budget_held_can_be_had_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
