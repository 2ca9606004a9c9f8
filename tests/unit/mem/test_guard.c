/*
 * Guarded samples: which objects are, what they catch, and what they cost when there is no room.
 */
#include "misuse_rig.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define OS_PAGE 4096u

/* Every object is a sample, and every sample up to 4 KiB guarded. */
static int all_guarded(void **state)
{
    (void)state;
    objects_begin((struct mem_heap_options){.guard_every = 1}, 1, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    objects_end();
    return 0;
}

static bool is_guarded(const void *object)
{
    return mem_guard_covers(&objects.guard, object);
}

/* A guarded object of so many bytes. */
static char *take_guarded(size_t bytes)
{
    char *object = take(bytes);

    if (!is_guarded(object)) {
        fail_msg("an object of %zu bytes is not guarded", bytes);
    }
    return object;
}

static bool is_at_end(const void *object, size_t bytes)
{
    return ((uint64_t)object + size_align_up(bytes, 16)) % OS_PAGE == 0;
}

/* One that ends where its page does, or begins there. */
static char *take_at(size_t bytes, bool wants_end)
{
    for (int i = 0; i < 1000; i++) {
        char *object = take_guarded(bytes);
        if (is_at_end(object, bytes) == wants_end) {
            return object;
        }
        mem_free(&objects, object);
    }
    fail_msg("a thousand objects of %zu bytes, and none at the %s", bytes,
             wants_end ? "end" : "beginning");
    return NULL;
}

/* ---- where they lie ------------------------------------------------------------------------- */

static void guarded_objects_end_or_begin_with_their_page(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= MEM_GUARD_MAX_BYTES; bytes += bytes / 2 + 1) {
        char *last = take_at(bytes, true), *first = take_at(bytes, bytes > OS_PAGE - 16);
        assert_true(bytes > OS_PAGE - 16 || (uint64_t)first % OS_PAGE == 0);
        assert_int_equal((uint64_t)last % 16, 0);
        assert_int_equal(mem_usable(&objects, last), bytes);
        pattern_fill(last, bytes, 1);
        pattern_fill(first, bytes, 2);
        assert_true(pattern_holds(last, bytes, 1));
        mem_free(&objects, last);
        mem_free(&objects, first);
    }
}

static void no_more_are_guarded_than_there_are_slots(void **state)
{
    void *object[MEM_GUARD_SLOTS + 10];
    uint32_t count = 0;
    (void)state;

    for (uint32_t i = 0; i < MEM_GUARD_SLOTS + 10; i++) {
        object[i] = take(100);
        count += is_guarded(object[i]);
    }
    assert_int_equal(count, MEM_GUARD_SLOTS);
    for (uint32_t i = 0; i < MEM_GUARD_SLOTS + 10; i++) {
        mem_free(&objects, object[i]);
    }
    assert_int_equal(allocated_count, MEM_GUARD_SLOTS + 10);
    assert_int_equal(freed_count, MEM_GUARD_SLOTS + 10);
}

static void larger_objects_are_not_guarded(void **state)
{
    (void)state;
    for (size_t bytes = MEM_GUARD_MAX_BYTES + 1; bytes < Q_MIB(1); bytes *= 2) {
        void *object = take(bytes);
        assert_false(is_guarded(object));
        mem_free(&objects, object);
    }
}

static void objects_of_other_lifetimes_are_not_guarded(void **state)
{
    struct mem_lifetime *lifetime;
    struct mem_pool *other;
    (void)state;

    assert_int_equal(mem_lifetime_begin(&objects, "other", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(mem_pool_create(lifetime, pool->owner, &other), QUARRY_OK);
    for (int i = 0; i < 100; i++) {
        void *object = mem_alloc(other, 100);
        assert_non_null(object);
        assert_false(is_guarded(object));
    }
    allocated_count = 0;
    mem_lifetime_end(lifetime);
}

static void aligned_objects_stay_aligned(void **state)
{
    (void)state;
    for (size_t align_bytes = 16; align_bytes <= OS_PAGE; align_bytes *= 2) {
        for (int i = 0; i < 20; i++) {
            void *object = mem_alloc_aligned(pool, 40, align_bytes);
            assert_true(is_guarded(object));
            assert_int_equal((uint64_t)object % align_bytes, 0);
            mem_free(&objects, object);
        }
    }
}

static void cleared_objects_are_zero(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= MEM_GUARD_MAX_BYTES; bytes += bytes / 2 + 1) {
        char *object = mem_alloc_zero(pool, NULL, bytes);
        assert_true(is_guarded(object));
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(object[i], 0);
        }
        mem_free(&objects, object);
    }
}

static void what_was_freed_first_is_used_first(void **state)
{
    char *object[MEM_GUARD_SLOTS];
    (void)state;

    for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
        object[i] = take_guarded(OS_PAGE);
    }
    for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
        mem_free(&objects, object[(i * 37 + 5) % MEM_GUARD_SLOTS]);
    }
    for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
        assert_ptr_equal(take_guarded(OS_PAGE), object[(i * 37 + 5) % MEM_GUARD_SLOTS]);
    }
    for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
        mem_free(&objects, object[i]);
    }
}

static void one_sample_in_so_many_is_guarded(void **state)
{
    uint32_t count = 0;
    (void)state;

    objects_begin((struct mem_heap_options){.guard_every = 16}, 1, 0);
    for (int i = 0; i < 8000; i++) {
        void *object = take(64);
        count += is_guarded(object);
        mem_free(&objects, object);
    }
    assert_in_range(count, 300, 800); /* 500 in the mean, and 22 one deviation */
    objects_end();
}

static void without_sampling_none_is_guarded(void **state)
{
    (void)state;
    objects_begin((struct mem_heap_options){.guard_every = 1}, 0, 0);
    for (int i = 0; i < 5000; i++) {
        void *object = take(64);
        assert_false(is_guarded(object));
        mem_free(&objects, object);
    }
    assert_null(objects.guard.base);
    objects_end();
}

/* ---- resizing ------------------------------------------------------------------------------- */

static void resizing_moves_the_contents(void **state)
{
    char *object = take_guarded(100);
    (void)state;

    pattern_fill(object, 100, 3);
    for (size_t bytes = 100; bytes < Q_KIB(200); bytes = bytes * 3 / 2) {
        char *moved = mem_realloc(&objects, object, bytes);
        assert_non_null(moved);
        assert_true(pattern_holds(moved, 100, 3));
        object = moved;
    }
    object = mem_realloc(&objects, object, 50);
    assert_true(is_guarded(object));
    assert_true(pattern_holds(object, 50, 3));
    mem_free(&objects, object);
    assert_int_equal(allocated_count, freed_count);
}

static void objects_are_known_while_they_are_in_use(void **state)
{
    char *object = take_at(100, false);
    (void)state;

    assert_true(mem_is_object(&objects, object));
    assert_false(mem_is_object(&objects, object + 16));
    assert_false(mem_is_object(&objects, object - OS_PAGE));
    mem_free(&objects, object);
    assert_false(mem_is_object(&objects, object));
}

/* ---- what they catch ------------------------------------------------------------------------ */

static void read_at(void *address)
{
    signal(SIGSEGV, SIG_DFL);
    (void)*(volatile char *)address;
}

static void reading_past_the_end_faults(void **state)
{
    char *object = take_at(64, true);
    (void)state;

    child_assert_succeeds(read_at, object + 63);
    child_assert_faults(read_at, object + 64);
    mem_free(&objects, object);
}

static void reading_before_the_beginning_faults(void **state)
{
    char *object = take_at(64, false);
    (void)state;

    child_assert_succeeds(read_at, object);
    child_assert_faults(read_at, object - 1);
    mem_free(&objects, object);
}

static void reading_after_the_free_faults(void **state)
{
    char *object = take_guarded(64);
    (void)state;

    child_assert_succeeds(read_at, object);
    mem_free(&objects, object);
    child_assert_faults(read_at, object);
}

static void write_and_free(char *object, ptrdiff_t at)
{
    object[at] ^= 1;
    mem_free(&objects, object);
}

static void overflow_by_one(void *object)
{
    write_and_free(object, 61);
}

static void underflow_by_one(void *object)
{
    write_and_free(object, -1);
}

static void writes_beside_the_object_are_found_at_the_free(void **state)
{
    char *last = take_at(61, true), *first = take_at(61, false);
    (void)state;

    child_assert_aborts(overflow_by_one, last, "heap overflow");
    child_assert_aborts(overflow_by_one, first, "heap overflow");
    child_assert_aborts(underflow_by_one, last, "heap underflow");
    mem_free(&objects, last);
    mem_free(&objects, first);
}

static void free_it(void *object)
{
    mem_free(&objects, object);
}

static void resize_it(void *object)
{
    (void)mem_realloc(&objects, object, 200);
}

static void a_second_free_is_found(void **state)
{
    char *object = take_guarded(64);
    (void)state;

    mem_free(&objects, object);
    child_assert_aborts(free_it, object, "double free");
    child_assert_aborts(resize_it, object, "double free");
}

static void a_pointer_beside_an_object_is_found(void **state)
{
    char *object = take_at(64, false);
    (void)state;

    child_assert_aborts(free_it, object + 16, "no object begins");
    child_assert_aborts(free_it, object - OS_PAGE, "no object begins");
    child_assert_aborts(free_it, object + OS_PAGE, "no object begins");
    child_assert_aborts(resize_it, object + 16, "no object begins");
    mem_free(&objects, object);
}

/* ---- the budget and the kernel -------------------------------------------------------------- */

static void a_page_is_charged_while_its_object_is_in_use(void **state)
{
    (void)state;
    mem_free(&objects, take_guarded(64)); /* the bins have their span from here on */
    uint64_t before = heap_committed();
    char *object = take_guarded(64);
    assert_int_equal(heap_committed(), before + OS_PAGE);
    mem_free(&objects, object);
    assert_int_equal(heap_committed(), before);
}

static void without_budget_the_bins_serve(void **state)
{
    (void)state;
    mem_free(&objects, take_guarded(64));
    uint64_t limit = page_commit_set_limit(&heap->commit, heap_committed());
    assert_int_equal(limit, heap_committed());
    void *object = take(64);
    assert_false(is_guarded(object));
    mem_free(&objects, object);
    assert_int_equal(allocated_count, freed_count);
}

static void without_addresses_the_bins_serve(void **state)
{
    (void)state;
    os_sim_fail_at(&sim, OS_SIM_RESERVE, 0, OS_SIM_FOR_EVER, QUARRY_NO_ADDRESS);
    void *object = take(64);
    assert_int_equal(os_sim_failed_count(&sim), 1);
    os_sim_fail_clear(&sim);
    assert_false(is_guarded(object));
    mem_free(&objects, object);
    mem_free(&objects, take_guarded(64));
}

static void a_page_that_the_kernel_keeps_is_left_alone(void **state)
{
    char *object = take_guarded(64);
    uint64_t committed = heap_committed();
    (void)state;

    os_sim_fail_at(&sim, OS_SIM_UNCOMMIT, 0, OS_SIM_ONCE, QUARRY_NO_MEMORY);
    mem_free(&objects, object);
    assert_int_equal(heap_committed(), committed);
    child_assert_aborts(free_it, object, "double free");
    for (uint32_t i = 0; i < 3 * MEM_GUARD_SLOTS; i++) {
        char *other = take_guarded(64);
        assert_true((uint64_t)other / OS_PAGE != (uint64_t)object / OS_PAGE);
        mem_free(&objects, other);
    }
}

/* ---- threads and forks ---------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  2000u

static void *pass_objects(void *shared)
{
    _Atomic(void *) *slot = shared;

    for (unsigned i = 0; i < ROUNDS; i++) {
        size_t bytes = 1 + i * 13 % 500;
        size_t *object = mem_alloc(pool, sizeof *object + bytes);
        *object = bytes;
        pattern_fill(object + 1, bytes, (unsigned)bytes);
        size_t *other = atomic_exchange_acq_rel_ptr(&slot[i % 16], object);
        if (other != NULL) {
            if (!pattern_holds(other + 1, *other, (unsigned)*other)) {
                abort();
            }
            mem_free(&objects, other);
        }
    }
    return NULL;
}

static void threads_hand_guarded_objects_over(void **state)
{
    static _Atomic(void *) slot[16];
    pthread_t thread[THREADS];
    (void)state;

    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, pass_objects, slot), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    for (int i = 0; i < 16; i++) {
        mem_free(&objects, atomic_exchange_acquire_ptr(&slot[i], NULL));
    }
    assert_true(atomic_load_relaxed_u64(&objects.guard.free_count) > MEM_GUARD_SLOTS);
    assert_int_equal(allocated_count, THREADS * ROUNDS);
    assert_int_equal(freed_count, THREADS * ROUNDS);
}

static void use_in_child(void *object)
{
    CHILD_CHECK(pattern_holds(object, 100, 9));
    mem_free(&objects, object);
    CHILD_CHECK(!mem_is_object(&objects, object));
    for (int i = 0; i < 200; i++) {
        void *other = mem_alloc(pool, 100);
        CHILD_CHECK(other != NULL && is_guarded(other));
        mem_free(&objects, other);
    }
}

static void a_child_has_the_objects_of_its_parent(void **state)
{
    char *object = take_guarded(100);
    (void)state;

    pattern_fill(object, 100, 9);
    child_assert_succeeds(use_in_child, object);
    assert_true(pattern_holds(object, 100, 9));
    mem_free(&objects, object);
}

int main(void)
{
#define GUARDED(test) cmocka_unit_test_setup_teardown(test, all_guarded, end)
    const struct CMUnitTest tests[] = {
        GUARDED(guarded_objects_end_or_begin_with_their_page),
        GUARDED(no_more_are_guarded_than_there_are_slots),
        GUARDED(larger_objects_are_not_guarded),
        GUARDED(objects_of_other_lifetimes_are_not_guarded),
        GUARDED(aligned_objects_stay_aligned),
        GUARDED(cleared_objects_are_zero),
        GUARDED(what_was_freed_first_is_used_first),
        cmocka_unit_test(one_sample_in_so_many_is_guarded),
        cmocka_unit_test(without_sampling_none_is_guarded),
        GUARDED(resizing_moves_the_contents),
        GUARDED(objects_are_known_while_they_are_in_use),
        GUARDED(reading_past_the_end_faults),
        GUARDED(reading_before_the_beginning_faults),
        GUARDED(reading_after_the_free_faults),
        GUARDED(writes_beside_the_object_are_found_at_the_free),
        GUARDED(a_second_free_is_found),
        GUARDED(a_pointer_beside_an_object_is_found),
        GUARDED(a_page_is_charged_while_its_object_is_in_use),
        GUARDED(without_budget_the_bins_serve),
        GUARDED(without_addresses_the_bins_serve),
        GUARDED(a_page_that_the_kernel_keeps_is_left_alone),
        GUARDED(threads_hand_guarded_objects_over),
        GUARDED(a_child_has_the_objects_of_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
