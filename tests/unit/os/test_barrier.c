/* The process barrier: Dekker's handshake with plain accesses on one side. */
#include "cmocka_all.h"

#include <errno.h>
#include <pthread.h>

#include <sys/syscall.h>

#include <os/os.h>
#include <os/sanitizer.h>

#include "child.h"

#define ROUNDS 30000

/* One handshake in each round; the round numbers keep the two sides together. */
struct dekker {
    Q_ALIGNED(64) _Atomic uint32_t frequent_flag;
    Q_ALIGNED(64) _Atomic uint32_t rare_flag;
    Q_ALIGNED(64) _Atomic uint32_t round;      /* set by the rare side */
    Q_ALIGNED(64) _Atomic uint32_t round_done; /* set by the frequent side */
    uint32_t frequent_saw;                     /* handed over with round_done */
};

/* Whoever waits longer than it takes the other side has no processor beside it. */
static void wait_for_round(_Atomic uint32_t *word, uint32_t round)
{
    /* Acquire: pairs with the other side's release of the round. */
    for (uint32_t spins = 0; atomic_load_acquire_u32(word) != round; spins++) {
        if (spins > 2000) {
            os_yield();
        }
    }
}

static void *frequent_side(void *argument)
{
    struct dekker *dekker = argument;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        wait_for_round(&dekker->round, round);
        atomic_store_relaxed_u32(&dekker->frequent_flag, round); /* ordered by the rare side */
        atomic_compiler_barrier();
        dekker->frequent_saw = atomic_load_relaxed_u32(&dekker->rare_flag); /* as above */
        atomic_store_release_u32(&dekker->round_done, round); /* pairs with the rare acquire */
    }
    return NULL;
}

/* Returns: how often neither side saw the other, which must be never. */
static uint32_t rare_side(struct dekker *dekker)
{
    uint32_t missed = 0;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        atomic_store_release_u32(&dekker->round, round); /* pairs with the frequent acquire */
        for (volatile uint32_t delay = round % 64; delay > 0; delay--)
            ; /* so that the two sides meet at every distance */
        atomic_store_relaxed_u32(&dekker->rare_flag, round); /* ordered by the barrier */
        Q_ASSERT(os_process_barrier());
        uint32_t rare_saw = atomic_load_relaxed_u32(&dekker->frequent_flag); /* as above */
        wait_for_round(&dekker->round_done, round);
        missed += rare_saw != round && dekker->frequent_saw != round;
    }
    return missed;
}

static void one_side_always_sees_the_other(void **state)
{
    (void)state;
    if (!os_has_process_barrier()) {
        assert_false(os_process_barrier());
        assert_true(OS_UNDER_TSAN); /* every kernel that Quarry supports has it */
        return;
    }
    struct dekker dekker = {0};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, frequent_side, &dekker), 0);
    uint32_t missed = rare_side(&dekker);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(missed, 0);
}

static void a_child_has_what_its_parent_has(void *has)
{
    CHILD_CHECK(os_has_process_barrier() == *(bool *)has);
    CHILD_CHECK(os_process_barrier() == *(bool *)has);
}

static void the_barrier_works_after_fork(void **state)
{
    (void)state;
    bool has = os_process_barrier();
    assert_int_equal(has, os_has_process_barrier());
    assert_int_equal(has, !OS_UNDER_TSAN);
    child_assert_succeeds(a_child_has_what_its_parent_has, &has);
}

static void ask_where_it_is_forbidden(void *unused)
{
    (void)unused;
    child_deny(SYS_membarrier, EPERM);
    CHILD_CHECK(!os_has_process_barrier());
    CHILD_CHECK(!os_process_barrier());
}

static void a_forbidden_barrier_is_reported_as_absent(void **state)
{
    (void)state;
    child_assert_succeeds(ask_where_it_is_forbidden, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: afterwards the answer is known. */
        cmocka_unit_test(a_forbidden_barrier_is_reported_as_absent),
        cmocka_unit_test(one_side_always_sees_the_other),
        cmocka_unit_test(the_barrier_works_after_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
