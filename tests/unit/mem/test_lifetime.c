/*
 * The public door: what include/quarry/lifetime.h says, from outside; on the real os.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <quarry/lifetime.h>

#define MIB            ((uint64_t)1 << 20)
#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

static struct quarry_memory *memory;

static void memory_make(uint64_t limit_bytes)
{
    struct quarry_memory_options options = {.limit_bytes = limit_bytes, .has_no_thread = true};
    struct quarry_error error = {0};

    assert_int_equal(quarry_memory_create(&options, &memory, &error), QUARRY_OK);
}

static void memory_check(void)
{
    struct quarry_error error = {0};

    if (quarry_memory_validate(memory, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static int set_up(void **state)
{
    (void)state;
    memory_make(256 * MIB);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    memory_check();
    quarry_memory_destroy(memory);
    return 0;
}

static struct quarry_lifetime *begin(const char *name)
{
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_error error = {0};

    if (quarry_lifetime_begin(memory, name, &lifetime, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return lifetime;
}

static uint32_t owner_of(const char *name)
{
    uint32_t owner = 0;

    assert_int_equal(quarry_memory_owner(memory, name, &owner), QUARRY_OK);
    return owner;
}

static struct quarry_pool *pool_in(struct quarry_lifetime *lifetime, const char *owner)
{
    struct quarry_pool *pool = NULL;

    assert_int_equal(quarry_pool_create(lifetime, owner_of(owner), &pool), QUARRY_OK);
    return pool;
}

static struct quarry_ledger ledger(void)
{
    struct quarry_ledger totals;

    (void)quarry_memory_ledger(memory, &totals, NULL, 0);
    return totals;
}

/* What the ledger says that an owner holds in a lifetime. */
static uint64_t held_bytes(const char *lifetime, const char *owner)
{
    struct quarry_ledger_row rows[32];
    struct quarry_ledger totals;
    size_t count = quarry_memory_ledger(memory, &totals, rows, COUNT_OF(rows));

    assert_true(count <= COUNT_OF(rows));
    for (size_t i = 0; i < count; i++) {
        if (rows[i].owner == owner_of(owner) && strcmp(rows[i].lane_name, lifetime) == 0) {
            return rows[i].in_use_bytes;
        }
    }
    return 0;
}

static void fill(struct quarry_pool *pool, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = i % 50 == 49 ? 100000 : i * 37 % 3000;
        void *object = quarry_alloc(pool, bytes);
        assert_non_null(object);
        memset(object, (int)i, bytes);
    }
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void the_end_of_a_lifetime_gives_every_page_of_it_back(void **state)
{
    (void)state;
    quarry_lifetime_end(begin("first")); /* what all lifetimes need is made */
    struct quarry_ledger before = ledger();
    struct quarry_lifetime *lifetime = begin("window");
    fill(pool_in(lifetime, "series"), 5000);
    fill(pool_in(lifetime, "samples"), 5000);
    assert_true(ledger().in_use_bytes > 10 * MIB);
    quarry_lifetime_end(lifetime);
    struct quarry_ledger after = ledger();
    assert_int_equal(after.in_use_bytes, before.in_use_bytes);
    assert_int_equal(after.cached_bytes + after.free_backed_bytes,
                     before.cached_bytes + before.free_backed_bytes);
    memory_check();
}

/* Records and structs are used again, so the second time costs nothing that the first did not. */
static void lifetimes_that_come_and_go_take_no_more_than_one(void **state)
{
    uint64_t committed_bytes = 0;

    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "window %u", round);
        struct quarry_lifetime *lifetime = begin(name);
        fill(pool_in(lifetime, "series"), 2000);
        quarry_lifetime_end(lifetime);
        if (round == 1) {
            committed_bytes = ledger().committed_bytes;
        }
    }
    assert_int_equal(ledger().committed_bytes, committed_bytes);
}

static void the_ledger_has_owners_by_lifetimes(void **state)
{
    struct quarry_lifetime *morning = begin("morning"), *evening = begin("evening");
    struct quarry_pool *pool[] = {pool_in(morning, "red"), pool_in(morning, "blue"),
                                  pool_in(evening, "red"), pool_in(evening, "blue")};
    void *object[COUNT_OF(pool)];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(pool); i++) {
        assert_int_equal(quarry_pool_alloc(pool[i], (i + 1) * 80000, &object[i]), QUARRY_OK);
    }
    assert_int_equal(held_bytes("morning", "red"), 81920);
    assert_int_equal(held_bytes("morning", "blue"), 163840);
    assert_int_equal(held_bytes("evening", "red"), 245760);
    assert_int_equal(held_bytes("evening", "blue"), 327680);
    quarry_free(pool[0], object[2]); /* any pool of the memory will do */
    assert_int_equal(held_bytes("evening", "red"), 0);
    quarry_lifetime_end(morning);
    assert_int_equal(held_bytes("morning", "blue"), 0);
    assert_int_equal(held_bytes("evening", "blue"), 327680);
    quarry_lifetime_end(evening);
}

static void an_owner_may_have_several_pools_in_a_lifetime(void **state)
{
    struct quarry_lifetime *lifetime = begin("window");
    struct quarry_pool *first = pool_in(lifetime, "red"), *second = pool_in(lifetime, "red");

    (void)state;
    assert_ptr_not_equal(first, second);
    assert_non_null(quarry_alloc(first, 50000));
    assert_non_null(quarry_alloc(second, 50000));
    assert_int_equal(held_bytes("window", "red"), 2 * 57344);
    quarry_lifetime_end(lifetime);
}

static void objects_are_zero_aligned_and_as_long_as_was_asked(void **state)
{
    struct quarry_pool *pool = pool_in(begin("window"), "red");

    (void)state;
    for (size_t bytes = 0; bytes < 300000; bytes += bytes / 2 + 1) {
        char *zeros = NULL, *aligned = NULL;
        assert_int_equal(quarry_pool_alloc_zero(pool, bytes, (void **)&zeros), QUARRY_OK);
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(zeros[i], 0);
        }
        assert_true(quarry_usable_size(pool, zeros) >= bytes);
        assert_int_equal(quarry_pool_alloc_aligned(pool, bytes, 4096, (void **)&aligned),
                         QUARRY_OK);
        assert_int_equal((uintptr_t)aligned % 4096, 0);
        memset(zeros, 1, quarry_usable_size(pool, zeros));
        memset(aligned, 1, quarry_usable_size(pool, aligned));
        quarry_free(pool, zeros);
        quarry_free(pool, aligned);
    }
    quarry_free(pool, NULL);
}

static void an_object_is_resized_with_its_contents_in_its_pool(void **state)
{
    struct quarry_lifetime *lifetime = begin("window");
    struct quarry_pool *red = pool_in(lifetime, "red"), *blue = pool_in(lifetime, "blue");

    (void)state;
    char *object = quarry_realloc(red, NULL, 10);
    assert_non_null(object);
    memcpy(object, "quarry", 7);
    for (size_t bytes = 10; bytes < 2 * MIB; bytes *= 5) {
        object = quarry_realloc(blue, object, bytes);
        assert_non_null(object);
        assert_string_equal(object, "quarry");
    }
    assert_int_equal(held_bytes("window", "blue"), 0);
    assert_true(held_bytes("window", "red") > 0);
    quarry_free(blue, object);
    quarry_lifetime_end(lifetime);
}

static void what_cannot_be_had_says_why(void **state)
{
    struct quarry_pool *pool = pool_in(begin("window"), "red");
    void *object = &memory;

    (void)state;
    assert_int_equal(quarry_pool_alloc(pool, 300 * MIB, &object), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_pool_alloc_zero(pool, SIZE_MAX, &object), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_pool_alloc_aligned(pool, 1, (size_t)1 << 40, &object),
                     QUARRY_TOO_LARGE);
    assert_ptr_equal(object, &memory);
    assert_null(quarry_alloc(pool, SIZE_MAX));
    object = quarry_alloc(pool, 100);
    assert_null(quarry_realloc(pool, object, 400 * MIB));
    quarry_free(pool, object);
}

static void lifetimes_have_names_of_their_own(void **state)
{
    struct quarry_lifetime *lifetime = begin("window"), *other = NULL;
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(quarry_lifetime_begin(memory, "window", &other, &error), QUARRY_EXISTS);
    assert_non_null(strstr(error.text, "window"));
    assert_int_equal(quarry_lifetime_begin(memory, "", &other, NULL), QUARRY_BAD_INPUT);
    assert_null(other);
    quarry_lifetime_end(lifetime);
    quarry_lifetime_end(NULL);
    quarry_lifetime_end(begin("window"));
}

static void lifetimes_and_pools_are_counted(void **state)
{
    struct quarry_lifetime *lifetime[64] = {NULL};
    struct quarry_pool *pool;
    size_t lifetime_count = 0, pool_count = 0;
    char name[16];

    (void)state;
    for (; lifetime_count < COUNT_OF(lifetime); lifetime_count++) {
        (void)snprintf(name, sizeof(name), "%zu", lifetime_count);
        if (quarry_lifetime_begin(memory, name, &lifetime[lifetime_count], NULL) != QUARRY_OK) {
            break;
        }
    }
    assert_int_equal(lifetime_count, 63);
    uint32_t owner = owner_of("red");
    while (quarry_pool_create(lifetime[0], owner, &pool) == QUARRY_OK) {
        pool_count++;
    }
    assert_int_equal(pool_count, 255);
    quarry_lifetime_end(lifetime[0]);
    assert_int_equal(quarry_pool_create(lifetime[1], owner, &pool), QUARRY_OK);
}

static void a_memory_ends_with_all_of_its_lifetimes(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 20; i++) {
        memory_make(64 * MIB);
        fill(pool_in(begin("window"), "red"), 500);
        (void)begin("without a pool");
        memory_check();
        quarry_memory_destroy(memory);
    }
}

static void a_memory_too_small_for_lifetimes_refuses_them_until_it_is_larger(void **state)
{
    (void)state;
    for (uint64_t limit_bytes = 160 << 10; limit_bytes < MIB; limit_bytes += 4096) {
        struct quarry_lifetime *lifetime = NULL;
        memory_make(limit_bytes);
        enum quarry_status status = quarry_lifetime_begin(memory, "window", &lifetime, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        assert_int_equal(status == QUARRY_OK, lifetime != NULL);
        memory_check();
        assert_int_equal(quarry_memory_set_limit(memory, 8 * MIB), QUARRY_OK);
        if (lifetime == NULL) {
            lifetime = begin("window");
        }
        fill(pool_in(lifetime, "red"), 10);
        quarry_memory_destroy(memory);
    }
}

static void turns_collect_what_a_memory_without_a_thread_keeps(void **state)
{
    struct quarry_pool *pool = pool_in(begin("window"), "red");
    void *object[64];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = quarry_alloc(pool, 8192);
    }
    for (size_t i = 0; i < COUNT_OF(object); i++) {
        quarry_free(pool, object[i]);
    }
    assert_true(held_bytes("window", "red") > 0);
    (void)quarry_memory_turn(memory);
    assert_true(held_bytes("window", "red") <= QUARRY_PAGE_BYTES);
}

/* ---- threads -------------------------------------------------------------------------------- */

struct shared {
    struct quarry_pool *pool;
    void *object[1000];
};

static void *fill_shared(void *argument)
{
    struct shared *shared = argument;

    for (size_t i = 0; i < COUNT_OF(shared->object); i++) {
        shared->object[i] = quarry_alloc(shared->pool, 1 + i * 7 % 900);
    }
    return NULL;
}

static void objects_may_be_freed_by_other_threads_than_allocated_them(void **state)
{
    static struct shared shared;
    struct quarry_lifetime *lifetime = begin("window");
    pthread_t thread;

    (void)state;
    shared.pool = pool_in(lifetime, "red");
    assert_int_equal(pthread_create(&thread, NULL, fill_shared, &shared), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (size_t i = 0; i < COUNT_OF(shared.object); i++) {
        assert_non_null(shared.object[i]);
        quarry_free(shared.pool, shared.object[i]);
    }
    (void)quarry_memory_turn(memory); /* what the ended thread had is found by a turn */
    assert_int_equal(held_bytes("window", "red"), 0);
    quarry_lifetime_end(lifetime);
}

struct ending {
    struct quarry_pool *pool;
    pthread_barrier_t barrier;
};

static void *use_and_end(void *argument)
{
    struct ending *ending = argument;

    for (uint32_t i = 0; i < 300; i++) {
        if (quarry_alloc(ending->pool, i * 11) == NULL) {
            return ending;
        }
    }
    (void)pthread_barrier_wait(&ending->barrier);
    return NULL; /* and its exit gives back what it has */
}

static void a_thread_may_end_while_a_lifetime_does_that_it_used(void **state)
{
    (void)state;
    for (uint32_t round = 0; round < 300; round++) {
        struct quarry_lifetime *lifetime = begin("window");
        struct ending ending = {.pool = pool_in(lifetime, "red")};
        pthread_t thread;
        void *failure;
        assert_int_equal(pthread_barrier_init(&ending.barrier, NULL, 2), 0);
        assert_int_equal(pthread_create(&thread, NULL, use_and_end, &ending), 0);
        (void)pthread_barrier_wait(&ending.barrier);
        quarry_lifetime_end(lifetime);
        assert_int_equal(pthread_join(thread, &failure), 0);
        assert_null(failure);
        (void)pthread_barrier_destroy(&ending.barrier);
    }
    assert_int_equal(ledger().in_use_bytes, 0);
}

/* ---- the process' malloc, which is not Quarry's here ---------------------------------------- */

static void a_process_with_another_malloc_has_no_memory_and_no_scopes(void **state)
{
    struct quarry_pool *previous = NULL;

    (void)state;
    assert_null(quarry_process_memory());
    assert_int_equal(quarry_scope_begin(pool_in(begin("window"), "red"), &previous),
                     QUARRY_BAD_INPUT);
    quarry_scope_end(previous);
}

int main(void)
{
#define in_a_memory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_a_memory(the_end_of_a_lifetime_gives_every_page_of_it_back),
        in_a_memory(lifetimes_that_come_and_go_take_no_more_than_one),
        in_a_memory(the_ledger_has_owners_by_lifetimes),
        in_a_memory(an_owner_may_have_several_pools_in_a_lifetime),
        in_a_memory(objects_are_zero_aligned_and_as_long_as_was_asked),
        in_a_memory(an_object_is_resized_with_its_contents_in_its_pool),
        in_a_memory(what_cannot_be_had_says_why),
        in_a_memory(lifetimes_have_names_of_their_own),
        in_a_memory(lifetimes_and_pools_are_counted),
        cmocka_unit_test(a_memory_ends_with_all_of_its_lifetimes),
        cmocka_unit_test(a_memory_too_small_for_lifetimes_refuses_them_until_it_is_larger),
        in_a_memory(turns_collect_what_a_memory_without_a_thread_keeps),
        in_a_memory(objects_may_be_freed_by_other_threads_than_allocated_them),
        in_a_memory(a_thread_may_end_while_a_lifetime_does_that_it_used),
        in_a_memory(a_process_with_another_malloc_has_no_memory_and_no_scopes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
