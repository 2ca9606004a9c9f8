/*
 * The memory behind malloc, from a program that is not linked with it: its ledger, its lifetimes,
 * and scopes that say whose the objects of other people's code are.
 */
#include "process_memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct quarry_memory *memory;

static int set_up(void **state)
{
    (void)state;
    if (allocator_here() == ALLOCATOR_QUARRY) {
        memory = QUARRY(process_memory)();
        MUST(memory != NULL);
    }
    return 0;
}

static struct quarry_lifetime *begin(const char *name)
{
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_error error = {0};

    MUST(QUARRY(lifetime_begin)(memory, name, &lifetime, &error) == QUARRY_OK);
    return lifetime;
}

static struct quarry_pool *pool_in(struct quarry_lifetime *lifetime, const char *name)
{
    struct quarry_pool *pool = NULL;
    uint32_t owner;

    MUST(QUARRY(memory_owner)(memory, name, &owner) == QUARRY_OK);
    MUST(QUARRY(pool_create)(lifetime, owner, &pool) == QUARRY_OK);
    return pool;
}

/* What all owners together hold in a lifetime. */
static uint64_t held_bytes(const char *lifetime)
{
    struct quarry_ledger_row rows[32];
    struct quarry_ledger totals;
    size_t count = QUARRY(memory_ledger)(memory, &totals, rows, COUNT_OF(rows));
    uint64_t bytes = 0;

    MUST(count <= COUNT_OF(rows));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(rows[i].lane_name, lifetime) == 0)
            bytes += rows[i].in_use_bytes;
    }
    return bytes;
}

static struct quarry_pool *open_scope(struct quarry_pool *pool)
{
    struct quarry_pool *previous;

    MUST(QUARRY(scope_begin)(pool, &previous) == QUARRY_OK);
    return previous;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void the_ledger_shows_what_malloc_holds(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    QUARRY_ONLY();
    free(opaque(malloc(5 * MIB)));
    uint64_t before = held_bytes("malloc");
    void *object = opaque(malloc(5 * MIB));
    assert_int_equal(held_bytes("malloc"), before + 5 * MIB);
    free(object);
    assert_int_equal(held_bytes("malloc"), before);
    assert_int_equal(QUARRY(memory_validate)(memory, &error), QUARRY_OK);
}

static void every_door_takes_from_the_scope(void **state)
{
    struct quarry_lifetime *lifetime;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("doors");
    struct quarry_pool *previous = open_scope(pool_in(lifetime, "guest"));
    uint64_t outside = held_bytes("malloc"), inside = held_bytes("doors");
    void *objects[] = {opaque(malloc(100000)),          opaque(calloc(5, 20000)),
                       opaque(memalign(65536, 100000)), opaque(realloc(NULL, 100000)),
                       opaque(aligned_alloc(64, 4096)), opaque(strdup("a small one"))};
    QUARRY(scope_end)(previous);
    assert_int_equal(held_bytes("malloc"), outside);
    assert_true(held_bytes("doors") >= inside + 4 * (size_t)100000 + 2 * (size_t)8192);
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
    assert_true(held_bytes("doors") <= 4 * (size_t)8192);
    QUARRY(lifetime_end)(lifetime);
}

static void without_a_scope_malloc_is_as_before(void **state)
{
    struct quarry_lifetime *lifetime;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("before");
    struct quarry_pool *pool = pool_in(lifetime, "guest");
    QUARRY(scope_end)(open_scope(pool));
    uint64_t inside = held_bytes("before");
    for (size_t bytes = 1; bytes < MIB; bytes *= 3)
        free(opaque(malloc(bytes)));
    assert_int_equal(held_bytes("before"), inside);
    QUARRY(lifetime_end)(lifetime);
}

static void scopes_nest(void **state)
{
    struct quarry_lifetime *outer, *inner;

    (void)state;
    QUARRY_ONLY();
    outer = begin("outer");
    inner = begin("inner");
    struct quarry_pool *first = open_scope(pool_in(outer, "guest"));
    void *one = opaque(malloc(100000));
    struct quarry_pool *second = open_scope(pool_in(inner, "guest"));
    void *two = opaque(malloc(200000));
    QUARRY(scope_end)(second);
    void *three = opaque(malloc(300000));
    QUARRY(scope_end)(first);
    void *four = opaque(malloc(400000));
    assert_int_equal(held_bytes("outer"), 106496 + 303104);
    assert_int_equal(held_bytes("inner"), 204800);
    free(one);
    free(two);
    free(three);
    free(four);
    QUARRY(lifetime_end)(inner);
    QUARRY(lifetime_end)(outer);
}

static void an_object_that_grows_outside_stays_with_its_owner(void **state)
{
    struct quarry_lifetime *lifetime;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("grown");
    struct quarry_pool *previous = open_scope(pool_in(lifetime, "guest"));
    char *object = opaque(malloc(10));
    QUARRY(scope_end)(previous);
    strcpy(object, "quarry"); // NOLINT(*insecureAPI.strcpy): it has ten bytes
    object = opaque(realloc(object, 300000));
    assert_string_equal(object, "quarry");
    assert_true(held_bytes("grown") >= 300000);
    free(object);
    QUARRY(lifetime_end)(lifetime);
}

/* Thousands of objects that nobody frees. */
static void the_end_of_a_lifetime_ends_what_its_scopes_allocated(void **state)
{
    struct quarry_ledger totals;

    (void)state;
    QUARRY_ONLY();
    QUARRY(lifetime_end)(begin("warm"));
    (void)malloc_trim(0);
    (void)QUARRY(memory_ledger)(memory, &totals, NULL, 0);
    uint64_t before = totals.in_use_bytes;
    for (unsigned round = 0; round < 10; round++) {
        struct quarry_lifetime *lifetime = begin("request");
        struct quarry_pool *previous = open_scope(pool_in(lifetime, "guest"));
        for (unsigned i = 0; i < 20000; i++)
            MUST(opaque(malloc(i % 900)) != NULL);
        QUARRY(scope_end)(previous);
        assert_true(held_bytes("request") > 8 * MIB);
        QUARRY(lifetime_end)(lifetime);
    }
    (void)QUARRY(memory_ledger)(memory, &totals, NULL, 0);
    assert_true(totals.in_use_bytes <= before + 65536);
}

/* ---- threads and children ------------------------------------------------------------------- */

static void *malloc_in_another_thread(void *argument)
{
    (void)argument;
    return opaque(malloc(500000));
}

static void a_scope_is_its_threads_alone(void **state)
{
    struct quarry_lifetime *lifetime;
    pthread_t thread;
    void *object;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("mine");
    struct quarry_pool *pool = pool_in(lifetime, "guest");
    /* Its stack and the like are the C library's, allocated by this thread: before the scope. */
    MUST(pthread_create(&thread, NULL, malloc_in_another_thread, NULL) == 0);
    struct quarry_pool *previous = open_scope(pool);
    MUST(pthread_join(thread, &object) == 0);
    QUARRY(scope_end)(previous);
    assert_true(held_bytes("mine") < 500000);
    free(object);
    QUARRY(lifetime_end)(lifetime);
}

static void *leave_a_scope_open(void *pool)
{
    (void)open_scope(pool);
    return opaque(malloc(100));
}

static void a_thread_may_end_with_a_scope_open(void **state)
{
    struct quarry_lifetime *lifetime;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("left open");
    struct quarry_pool *pool = pool_in(lifetime, "guest");
    for (unsigned i = 0; i < 100; i++) {
        pthread_t thread;
        void *object;
        MUST(pthread_create(&thread, NULL, leave_a_scope_open, pool) == 0);
        MUST(pthread_join(thread, &object) == 0);
        free(object);
    }
    QUARRY(lifetime_end)(lifetime);
}

static void allocate_in_child(void *pool)
{
    uint64_t before = held_bytes("forked");

    /* The lookups allocate a little as well. */
    MUST(opaque(malloc(MIB)) != NULL);
    MUST(held_bytes("forked") >= before + MIB);
    QUARRY(scope_end)(NULL);
    MUST(opaque(malloc(MIB)) != NULL);
    MUST(held_bytes("forked") < before + MIB + MIB / 2);
    (void)open_scope(pool);
    MUST(opaque(malloc(MIB)) != NULL);
    MUST(held_bytes("forked") >= before + 2 * MIB);
}

static void a_child_has_the_scope_of_the_thread_that_forked(void **state)
{
    struct quarry_lifetime *lifetime;

    (void)state;
    QUARRY_ONLY();
    lifetime = begin("forked");
    struct quarry_pool *pool = pool_in(lifetime, "guest"), *previous = open_scope(pool);
    child_must_succeed(allocate_in_child, pool);
    QUARRY(scope_end)(previous);
    QUARRY(lifetime_end)(lifetime);
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void pools_of_other_memories_have_no_scopes(void **state)
{
    struct quarry_memory_options options = {.limit_bytes = 64 * MIB, .has_no_thread = true};
    struct quarry_pool *pool, *previous = NULL;
    struct quarry_memory *other, *own = memory;

    (void)state;
    QUARRY_ONLY();
    assert_int_equal(QUARRY(memory_create)(&options, &other, NULL), QUARRY_OK);
    memory = other;
    pool = pool_in(begin("other"), "guest");
    memory = own;
    assert_int_equal(QUARRY(scope_begin)(pool, &previous), QUARRY_BAD_INPUT);
    assert_null(previous);
    QUARRY(memory_destroy)(other);
}

static void destroy_it(void *argument)
{
    (void)argument;
    QUARRY(memory_destroy)(memory);
}

static void the_memory_behind_malloc_cannot_be_destroyed(void **state)
{
    struct child child;

    (void)state;
    QUARRY_ONLY();
    child_run(destroy_it, NULL, &child);
    child_aborted(&child, (const char *const[]){"cannot be destroyed", NULL});
}

static void end_it_in_a_scope(void *argument)
{
    struct quarry_lifetime *lifetime = begin("sawn off");

    (void)argument;
    (void)open_scope(pool_in(lifetime, "guest"));
    QUARRY(lifetime_end)(lifetime);
}

static void a_lifetime_cannot_end_in_its_own_scope(void **state)
{
    struct child child;

    (void)state;
    QUARRY_ONLY();
    child_run(end_it_in_a_scope, NULL, &child);
    child_aborted(&child, (const char *const[]){"a scope is open", NULL});
}

/* Every object has its checks there, those of scopes too. */
static int live_hardened(void)
{
    static void *objects[5000];

    memory = QUARRY(process_memory)();
    struct quarry_lifetime *lifetime = begin("hard");
    struct quarry_pool *previous = open_scope(pool_in(lifetime, "guest"));
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = filled(i, i);
    QUARRY(scope_end)(previous);
    MUST(held_bytes("hard") > COUNT_OF(objects) * COUNT_OF(objects) / 2);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        if (i % 3 != 0)
            check_and_free(objects[i], i, i);
        free(opaque(malloc(i)));
    }
    QUARRY(lifetime_end)(lifetime);
    return 0;
}

static void a_hardened_process_has_scopes_and_checks_their_objects(void **state)
{
    struct child child;

    (void)state;
    QUARRY_ONLY();
    child_run_anew("hardened", (const char *const[]){"QUARRY_MALLOC=hardened=1", NULL}, &child);
    child_succeeded(&child);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ledger_shows_what_malloc_holds),
        cmocka_unit_test(every_door_takes_from_the_scope),
        cmocka_unit_test(without_a_scope_malloc_is_as_before),
        cmocka_unit_test(scopes_nest),
        cmocka_unit_test(an_object_that_grows_outside_stays_with_its_owner),
        cmocka_unit_test(the_end_of_a_lifetime_ends_what_its_scopes_allocated),
        cmocka_unit_test(a_scope_is_its_threads_alone),
        cmocka_unit_test(a_thread_may_end_with_a_scope_open),
        cmocka_unit_test(a_child_has_the_scope_of_the_thread_that_forked),
        cmocka_unit_test(pools_of_other_memories_have_no_scopes),
        cmocka_unit_test(the_memory_behind_malloc_cannot_be_destroyed),
        cmocka_unit_test(a_lifetime_cannot_end_in_its_own_scope),
        cmocka_unit_test(a_hardened_process_has_scopes_and_checks_their_objects),
    };

    if (argc > 1 && strcmp(argv[1], "hardened") == 0)
        return live_hardened();
    return cmocka_run_group_tests(tests, set_up, NULL);
}
