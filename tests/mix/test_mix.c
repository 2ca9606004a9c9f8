/*
 * The hostile mix: every owner at once, on a budget that is halved under them again and again.
 *
 *     test_mix [SECONDS]     default QUARRY_SOAK_SECONDS, else 3
 */
#include "unit/base/cmocka_all.h"

#include "mix.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <os/os.h>

#define LIMIT_BYTES Q_MIB(192)
/* What the promise allows resident bytes to be above the limit: 2 %, or this. */
#define RESIDENT_SLACK_BYTES Q_MIB(32)
#define HALVING_NS_MAX       (30 * Q_SECOND_NS)

struct role {
    const char *name;
    mix_actor_function *run;
    struct mix_actor actor;
    pthread_t thread;
};

static struct mix mix;
static uint64_t seconds = 3;
static struct role role[] = {
    {.name = "blocks", .run = mix_blocks_run},     {.name = "cells", .run = mix_cells_run},
    {.name = "arenas", .run = mix_arenas_run},     {.name = "windows", .run = mix_windows_run},
    {.name = "requests", .run = mix_requests_run}, {.name = "pages", .run = mix_pages_run},
};

#define ROLES (sizeof(role) / sizeof(role[0]))

static void *role_main(void *argument)
{
    struct role *own = argument;

    own->run(&own->actor);
    return NULL;
}

static void roles_begin(void)
{
    for (size_t i = 0; i < ROLES; i++) {
        role[i].actor = (struct mix_actor){.mix = &mix, .random = i + 1};
        assert_int_equal(pthread_create(&role[i].thread, NULL, role_main, &role[i]), 0);
    }
}

static void roles_end(void)
{
    atomic_store_relaxed_u32(&mix.is_over, 1);
    for (size_t i = 0; i < ROLES; i++) {
        assert_int_equal(pthread_join(role[i].thread, NULL), 0);
        printf("  %-9s %12" PRIu64 " operations, %10" PRIu64 " refused, %12" PRIu64 " checked\n",
               role[i].name, role[i].actor.done_count, role[i].actor.refused_count,
               role[i].actor.checked_count);
    }
}

static void watch_print(const struct mix_watch *watch)
{
    printf("  %" PRIu64 " samples; committed - limit at most %" PRId64
           " KiB; resident - limit at most %" PRId64 " KiB\n",
           watch->sample_count, watch->committed_over / 1024, watch->resident_over / 1024);
    printf("  limit set %" PRIu64 " times, %" PRIu64 " refused, a halving took %" PRIu64
           " ms at most; %" PRIu64 " heaps sound\n",
           watch->change_count, watch->refused_count, watch->slowest_ns / 1000000,
           watch->validation_count);
    (void)fflush(stdout); /* before what may fail */
}

static void the_budget_holds_under_all_owners_at_once(void **state)
{
    (void)state;
    struct mix_watch watch;
    struct quarry_ledger ledger;
    struct quarry_error error = {0};
    uint64_t other_bytes = os_resident_bytes();

    mix.full_limit_bytes = LIMIT_BYTES;
    atomic_store_relaxed_u64(&mix.limit_bytes, LIMIT_BYTES);
    assert_int_equal(
        quarry_memory_create(&(struct quarry_memory_options){.limit_bytes = LIMIT_BYTES},
                             &mix.memory, &error),
        QUARRY_OK);
    roles_begin();
    mix_watch_run(&mix, seconds, other_bytes, &watch);
    roles_end();
    watch_print(&watch);
    (void)quarry_memory_trim(mix.memory);
    (void)quarry_memory_ledger(mix.memory, &ledger, NULL, 0);
    assert_int_equal(quarry_memory_validate(mix.memory, &error), QUARRY_OK);
    assert_int_equal(ledger.in_use_bytes, 0);
    quarry_memory_destroy(mix.memory);
    for (size_t i = 0; i < ROLES; i++) {
        assert_true(role[i].actor.done_count > role[i].actor.refused_count);
    }
    assert_true(watch.committed_over <= 0);
    if (!OS_UNDER_ASAN && !OS_UNDER_TSAN) { /* their shadow is resident too, and they are slow */
        assert_true(watch.resident_over <=
                    (int64_t)size_max_u64(RESIDENT_SLACK_BYTES, LIMIT_BYTES / 50));
        assert_true(watch.slowest_ns <= HALVING_NS_MAX);
    }
}

int main(int argc, char **argv)
{
    const char *given = argc > 1 ? argv[1] : getenv("QUARRY_SOAK_SECONDS");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_budget_holds_under_all_owners_at_once),
    };

    if (given != NULL) {
        seconds = strtoull(given, NULL, 10);
    }
    return cmocka_run_group_tests_name("mix", tests, NULL, NULL);
}
