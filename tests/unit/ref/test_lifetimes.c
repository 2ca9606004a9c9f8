/*
 * Lifetimes that are open when their memory is destroyed.
 */
#include "unit/base/cmocka_all.h"

#include <string.h>

#include <quarry/lifetime.h>

#include <os/os.h>
#include <ref/ref.h>

#include "unit/os/child.h"

static struct quarry_memory *memory;

static void open_memory(void)
{
    struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    struct ref_leaks *leaks;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    /* Whoever uses any part of `ref` is told. */
    Q_ASSERT(ref_leaks_create((struct page_heap *)(void *)memory, "any", &leaks) == QUARRY_OK);
    ref_leaks_destroy(leaks);
}

/* For the stack: not inlined, and no tail call. */
Q_NOINLINE static struct quarry_lifetime *begin_here(const char *name)
{
    struct quarry_lifetime *lifetime = NULL;

    Q_ASSERT(quarry_lifetime_begin(memory, name, &lifetime, NULL) == QUARRY_OK);
    return lifetime;
}

/* ---- what a handler was told ---------------------------------------------------------------- */

struct told {
    char owner[32];
    uint64_t age_ns;
    uint32_t thread_id;
    bool has_begin_here;
};

static struct told told[8];
static uint32_t told_count;

static void remember(void *argument, const struct ref_leak *leak)
{
    uint64_t start = (uint64_t)(uintptr_t)begin_here;
    struct told *one = &told[told_count++];

    (void)argument;
    *one = (struct told){.age_ns = leak->age_ns, .thread_id = leak->thread_id};
    strncpy(one->owner, leak->owner, sizeof(one->owner) - 1);
    assert_string_equal(leak->kind, "lifetime");
    for (uint32_t i = 0; i < leak->pc_count; i++) {
        one->has_begin_here |= leak->pcs[i] > start && leak->pcs[i] < start + 512;
    }
}

static const struct told *find_told(const char *owner)
{
    for (uint32_t i = 0; i < told_count; i++) {
        if (strcmp(told[i].owner, owner) == 0) {
            return &told[i];
        }
    }
    return NULL;
}

static void those_left_open_are_told_with_who_began_them(void **state)
{
    (void)state;
    struct quarry_pool *pool;
    uint32_t owner;

    open_memory();
    (void)begin_here("window");
    os_sleep_ns(2 * Q_MS_NS);
    struct quarry_lifetime *ended = begin_here("request");
    struct quarry_lifetime *in_use = begin_here("session");
    assert_int_equal(quarry_memory_owner(memory, "net", &owner), QUARRY_OK);
    assert_int_equal(quarry_pool_create(in_use, owner, &pool), QUARRY_OK);
    assert_non_null(quarry_alloc(pool, 100));
    quarry_lifetime_end(ended);
    ref_leak_set_handler(remember, NULL);
    told_count = 0;
    quarry_memory_destroy(memory);
    ref_leak_set_handler(NULL, NULL);

    assert_int_equal(told_count, 2);
    assert_non_null(find_told("window"));
    assert_non_null(find_told("session"));
    assert_true(find_told("window")->has_begin_here);
    assert_true(find_told("session")->has_begin_here);
    assert_true(find_told("window")->age_ns >= 2 * Q_MS_NS);
    assert_int_equal(find_told("window")->thread_id, os_thread_id());
}

static void a_memory_whose_lifetimes_have_ended_has_nothing_to_tell(void **state)
{
    (void)state;
    open_memory();
    struct quarry_lifetime *first = begin_here("first"), *second = begin_here("second");
    struct quarry_lifetime *third = begin_here("third");
    quarry_lifetime_end(second); /* in between, then both ends */
    quarry_lifetime_end(third);
    quarry_lifetime_end(first);
    ref_leak_set_handler(remember, NULL);
    told_count = 0;
    quarry_memory_destroy(memory);
    ref_leak_set_handler(NULL, NULL);
    assert_int_equal(told_count, 0);
}

/* It is allowed, in debug builds too: they print, and go on. */
static void destroy_with_one_open(void *argument)
{
    (void)argument;
    open_memory();
    (void)begin_here("window");
    quarry_memory_destroy(memory);
}

static void leaving_them_open_ends_no_program(void **state)
{
    (void)state;
    child_assert_succeeds(destroy_with_one_open, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(those_left_open_are_told_with_who_began_them),
        cmocka_unit_test(a_memory_whose_lifetimes_have_ended_has_nothing_to_tell),
        cmocka_unit_test(leaving_them_open_ends_no_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
