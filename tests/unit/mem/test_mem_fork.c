/*
 * Forking while threads do everything to an object heap: the child finds all of it whole, and can
 * go on alone. A child reports by its exit code: cmocka belongs to the parent.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include <mem/mem.h>
#include <mem/remote.h>

#include "unit/base/random.h"

#define THREADS       3u
#define SLOTS         256u
#define OWN_OBJECTS   200u
#define CHILD_SECONDS 240u

static struct page_heap *pages;
static struct mem_heap objects = {.map = MEM_MAP_NONE};
static struct mem_pool *pools[3];
static _Atomic(void *) slot[SLOTS];
static atomic_bool is_over;

static void must(enum quarry_status status, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        (void)fprintf(stderr, "%s\n", error->text);
    }
    Q_ASSERT(status == QUARRY_OK);
}

static void storm_open(void)
{
    struct page_heap_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    struct quarry_error error = {0};
    struct mem_lifetime *lifetime;
    uint32_t owner;

    must(page_heap_create(&options, &pages, &error), &error);
    struct mem_heap_options heap_options = {.pages = pages};
    objects = (struct mem_heap){.map = MEM_MAP_NONE};
    must(mem_heap_init(&objects, &heap_options, &error), &error);
    must(mem_lifetime_begin(&objects, "window", &lifetime, &error), &error);
    must(page_ledger_register(&pages->ledger, "red", &owner), &error);
    pools[0] = objects.general_pool;
    must(mem_pool_create(objects.general, owner, &pools[1]), &error);
    must(mem_pool_create(lifetime, owner, &pools[2]), &error);
}

static void storm_close(void)
{
    struct quarry_error error = {0};

    must(mem_heap_validate(&objects, &error), &error);
    must(page_heap_validate(pages, &error), &error);
    mem_heap_fini(&objects);
    page_heap_destroy(pages);
}

/* An object names itself; whoever takes it out of its slot frees it. */
static void step(uint64_t *random)
{
    uint64_t choice = random_u64(random);
    size_t bytes = 16 + choice % (choice % 61 == 0 ? 100000 : 1500);
    uintptr_t *object = mem_alloc(pools[choice >> 20 & 1 ? 0 : 1 + (choice >> 21 & 1)], bytes);

    Q_ASSERT(object != NULL);
    object[0] = (uintptr_t)object;
    object[1] = ~(uintptr_t)object;
    if ((choice >> 32) % 8 == 0) {
        object = mem_realloc(&objects, object, bytes * 2);
        Q_ASSERT(object != NULL);
        object[0] = (uintptr_t)object;
        object[1] = ~(uintptr_t)object;
    }
    uintptr_t *other = atomic_exchange(&slot[choice >> 40 & (SLOTS - 1)], object);
    if (other != NULL) {
        Q_ASSERT(other[0] == (uintptr_t)other && other[1] == ~(uintptr_t)other);
        mem_free(&objects, other);
    }
}

static void *allocate(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    while (!atomic_load(&is_over)) {
        step(&random);
    }
    return NULL;
}

static void *collect(void *argument)
{
    (void)argument;
    while (!atomic_load(&is_over)) {
        (void)mem_heap_collect(&objects);
    }
    return NULL;
}

/* Threads that end, perhaps at the moment of a fork. */
static void *allocate_a_little(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    for (uint32_t i = 0; i < 100; i++) {
        step(&random);
    }
    return NULL;
}

static void *spawn_short(void *argument)
{
    for (uintptr_t i = (uintptr_t)argument; !atomic_load(&is_over); i++) {
        pthread_t thread;
        Q_ASSERT(pthread_create(&thread, NULL, allocate_a_little, (void *)i) == 0);
        Q_ASSERT(pthread_join(thread, NULL) == 0);
    }
    return NULL;
}

/* ---- the child ------------------------------------------------------------------------------ */

static void free_slots(void)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        mem_free(&objects, atomic_exchange(&slot[i], NULL));
    }
    mem_remote_flush(mem_thread_find(&objects));
}

static void check_child(void *own[OWN_OBJECTS])
{
    struct quarry_error error = {0};
    uint64_t random = (uint64_t)getpid();

    must(mem_heap_validate_child(&objects, &error), &error);
    must(page_heap_validate(pages, &error), &error);
    for (uint32_t i = 0; i < OWN_OBJECTS; i++) {
        Q_ASSERT(*(uint64_t *)own[i] == i);
        mem_free(&objects, own[i]);
    }
    for (uint32_t i = 0; i < 2000; i++) {
        step(&random);
    }
    (void)mem_heap_collect(&objects);
    must(mem_heap_validate_child(&objects, &error), &error);
    free_slots();
    (void)mem_heap_collect(&objects);
    must(mem_heap_validate_child(&objects, &error), &error);
    must(page_heap_validate(pages, &error), &error);
}

static void fork_once(void)
{
    void *own[OWN_OBJECTS];
    int how = 0;

    for (uint32_t i = 0; i < OWN_OBJECTS; i++) {
        own[i] = mem_alloc(pools[i % 3], 8 + i * 17);
        Q_ASSERT(own[i] != NULL);
        *(uint64_t *)own[i] = i;
    }
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(CHILD_SECONDS); /* a child that hangs fails the test */
        check_child(own);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
    for (uint32_t i = 0; i < OWN_OBJECTS; i++) {
        mem_free(&objects, own[i]);
    }
}

static void fork_in_a_storm(void *(*const roles[THREADS])(void *), uint32_t fork_count)
{
    pthread_t thread[THREADS];

    storm_open();
    atomic_store(&is_over, false);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, roles[i], (void *)i), 0);
    }
    for (uint32_t i = 0; i < fork_count; i++) {
        fork_once();
    }
    atomic_store(&is_over, true);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
    free_slots();
    storm_close();
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_child_of_one_thread_finds_the_heap_whole(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    storm_open();
    for (uint32_t i = 0; i < 10; i++) {
        fork_once();
    }
    must(mem_heap_validate(&objects, &error), &error);
    free_slots();
    storm_close();
}

static void children_of_threads_that_allocate_find_the_heap_whole(void **state)
{
    void *(*const roles[THREADS])(void *) = {allocate, allocate, allocate};

    (void)state;
    fork_in_a_storm(roles, 100);
}

static void children_of_threads_that_collect_find_the_heap_whole(void **state)
{
    void *(*const roles[THREADS])(void *) = {allocate, allocate, collect};

    (void)state;
    fork_in_a_storm(roles, 60);
}

static void children_of_threads_that_end_find_the_heap_whole(void **state)
{
    void *(*const roles[THREADS])(void *) = {spawn_short, spawn_short, allocate};

    (void)state;
    fork_in_a_storm(roles, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_of_one_thread_finds_the_heap_whole),
        cmocka_unit_test(children_of_threads_that_allocate_find_the_heap_whole),
        cmocka_unit_test(children_of_threads_that_collect_find_the_heap_whole),
        cmocka_unit_test(children_of_threads_that_end_find_the_heap_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
