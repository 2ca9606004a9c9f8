/*
 * Refs that have ended are looked up while their cells and pages have other lives: none is read.
 * Two million probes, or as many as the first argument says; beside a thread that takes, gives,
 * retires, moves and trims all the while.
 */
#include "unit/slab/slab_rig.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "unit/base/random.h"

#define ENDED 65536u
#define LIVE  4096u
#define BATCH 1024u

static uint64_t wanted_probes = 2000000;
static _Atomic uint64_t ended[ENDED];
static _Atomic uint64_t ended_count;
static atomic_bool is_over;

static bool decline(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                    void *new_data, size_t bytes)
{
    (void)argument;
    (void)old_ref;
    (void)old_data;
    (void)new_ref;
    (void)new_data;
    (void)bytes;
    return false;
}

/* Ends a ref; who sees it in the table sees that it has. */
static void end(uint64_t *random, quarry_ref ref)
{
    if (ref == QUARRY_REF_NIL) {
        return;
    }
    if (random_u64(random) % 2 == 0) {
        quarry_slab_give(slab, ref);
    } else {
        quarry_slab_retire(slab, ref);
    }
    atomic_store_explicit(&ended[random_u64(random) % ENDED], ref, memory_order_release);
    atomic_fetch_add_explicit(&ended_count, 1, memory_order_relaxed);
}

static void *churn(void *argument)
{
    static quarry_ref live[LIVE];
    uint64_t random = 5;
    struct quarry_cell cell;
    struct quarry_slab_page page;

    (void)argument;
    for (uint64_t i = 0; !atomic_load(&is_over); i++) {
        quarry_ref *ref = &live[random_u64(&random) % LIVE];
        end(&random, *ref);
        *ref = QUARRY_REF_NIL;
        if (random_u64(&random) % 8 != 0 &&
            quarry_slab_take(slab, 16 + random_u64(&random) % 500, &cell) == QUARRY_OK) {
            *ref = cell.ref;
        }
        if (i % 20000 == 0) { /* all at once, so that pages go */
            for (uint32_t k = 0; k < LIVE; k++) {
                end(&random, live[k]);
                live[k] = QUARRY_REF_NIL;
            }
            (void)quarry_slab_trim(slab);
        }
        uint64_t cursor = 0;
        if (i % 5000 == 0 && quarry_slab_next_page(slab, &cursor, &page)) {
            (void)quarry_slab_move_page(slab, page.class_id, page.page, decline, NULL);
        }
    }
    for (uint32_t k = 0; k < LIVE; k++) {
        end(&random, live[k]);
        live[k] = QUARRY_REF_NIL;
    }
    return NULL;
}

static void no_stale_ref_is_read(void **state)
{
    pthread_t thread;
    uint64_t random = 1, probe_count = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, churn, NULL), 0);
    while (probe_count < wanted_probes) {
        quarry_epoch_enter(epoch);
        for (uint32_t i = 0; i < BATCH; i++) {
            quarry_ref ref =
                atomic_load_explicit(&ended[random_u64(&random) % ENDED], memory_order_acquire);
            Q_ASSERT(quarry_slab_data(slab, ref) == NULL);
            probe_count += ref != QUARRY_REF_NIL;
        }
        quarry_epoch_leave(epoch);
    }
    atomic_store(&is_over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    struct quarry_slab_stats stats = slab_stats();
    print_message("%llu probes of %llu stale refs, none read; %llu pages given back meanwhile\n",
                  (unsigned long long)probe_count, (unsigned long long)ended_count,
                  (unsigned long long)stats.page_given_count);
    assert_true(stats.page_given_count > 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_stale_ref_is_read, slab_set_up, slab_tear_down),
    };

    if (argc > 1) {
        wanted_probes = strtoull(argv[1], NULL, 10);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
