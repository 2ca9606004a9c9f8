/*
 * Storms of every kind, one after the other, for QUARRY_SOAK_SECONDS (default 2): each on a heap
 * that has lived through those before it, with a fork now and then, and exact books in between.
 */
#include "../os/cmocka_all.h"

#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>

#include "../base/random.h"
#include "heap_storm.h"

static uint64_t soak_ns(void)
{
    const char *seconds = getenv("QUARRY_SOAK_SECONDS");

    return (seconds != NULL ? strtoull(seconds, NULL, 10) : 2) * Q_SECOND_NS;
}

/* A storm of some roles, with at least one that allocates. */
static void one_storm(struct storm *storm, uint64_t *random)
{
    storm_role *const roles[] = {storm_allocate,     storm_trim,
                                 storm_change_limit, storm_begin_and_end_lanes,
                                 storm_read_ledger,  storm_validate};
    uint64_t chosen = random_u64(random);

    storm_start(storm, storm_allocate);
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        if (chosen >> i & 1) {
            storm_start(storm, roles[i]);
        }
    }
    os_sleep_ns((50 + random_u64(random) % 200) * Q_MS_NS);
}

static void fork_once(struct storm *storm)
{
    pid_t child = fork();
    int how = 0;

    if (child == 0) {
        (void)alarm(240);
        storm->thread_count = 0;
        storm_free_slots(storm);
        /* What a thread of the parent held in its hands at the fork stays in use. */
        (void)page_heap_trim(storm->heap);
        (void)storm_check(storm);
        page_heap_destroy(storm->heap);
        _exit(0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_int_equal(how, 0);
}

static void a_heap_lives_through_every_storm(void **state)
{
    uint64_t random = os_wall_ns(os_real()), end_ns = os_monotonic_ns(os_real()) + soak_ns();
    struct storm storm;
    uint64_t storm_count = 0, metadata_bytes = 0;
    (void)state;

    print_message("seed %llu\n", (unsigned long long)random);
    storm_open(&storm, Q_MIB(256));
    while (os_monotonic_ns(os_real()) < end_ns) {
        one_storm(&storm, &random);
        if (storm_count % 4 == 0) {
            fork_once(&storm);
        }
        storm_stop(&storm);
        struct quarry_ledger totals = storm_check(&storm);
        if (storm_count % 8 == 7) { /* with nothing in use, nothing but metadata is left */
            storm_free_slots(&storm);
            (void)page_heap_trim(storm.heap);
            totals = storm_check(&storm);
            assert_int_equal(totals.committed_bytes, totals.metadata_bytes);
        }
        /* Metadata is for the most there ever was at once: it does not grow with time. */
        metadata_bytes = storm_count < 8 ? totals.metadata_bytes : metadata_bytes;
        assert_true(totals.metadata_bytes <= metadata_bytes + Q_MIB(2));
        storm_count++;
    }
    print_message("%llu storms, %llu steps\n", (unsigned long long)storm_count,
                  (unsigned long long)atomic_load_relaxed_u64(&storm.step_count));
    storm_close(&storm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_lives_through_every_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
