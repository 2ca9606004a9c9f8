/*
 * ref/epoch.c: what a reader inside may see is not reused, though entering is a plain store.
 */
#include "unit/page/simulated_heap.h"

#include <ref/epoch.h>

#include "interleave/interleave.h"

static struct quarry_epoch *epoch;
/* What readers find, and what they read there. */
static _Atomic(void *) root;
static uint32_t object;
static _Atomic uint64_t retired_stamp;

static void make(void)
{
    enum quarry_status status = quarry_epoch_create((struct quarry_memory *)(void *)heap, &epoch);

    Q_ASSERT(status == QUARRY_OK);
    object = 1;
    atomic_store_relaxed_ptr(&root, &object);
    atomic_store_relaxed_u64(&retired_stamp, 0);
}

static void unmake(void)
{
    quarry_epoch_destroy(epoch);
}

static void look(void)
{
    quarry_epoch_enter(epoch);
    /* Acquire: pairs with whoever made the object. */
    const uint32_t *found = atomic_load_acquire_ptr(&root);
    if (found != NULL) {
        Q_ASSERT(interleave_read(found) == 1);
    }
    quarry_epoch_leave(epoch);
}

static void look_twice(void)
{
    look();
    look();
}

static void look_nested(void)
{
    quarry_epoch_enter(epoch);
    look();
    quarry_epoch_leave(epoch);
}

static void reuse_if_past(uint64_t stamp)
{
    if (ref_epoch_is_past(epoch, stamp)) {
        interleave_write(&object, 2);
    }
}

static void retire_and_reuse(void)
{
    atomic_store_relaxed_ptr(&root, NULL);
    uint64_t stamp = ref_epoch_now(epoch);
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(epoch);
    }
    reuse_if_past(stamp);
}

/* The one who retires, and another who advances and reuses. */
static void retire(void)
{
    atomic_store_relaxed_ptr(&root, NULL);
    uint64_t stamp = ref_epoch_now(epoch);
    /* Release: pairs with the load in reuse_when_past. */
    atomic_store_release_u64(&retired_stamp, stamp);
    ref_epoch_advance(epoch);
}

static void reuse_when_past(void)
{
    ref_epoch_advance(epoch);
    uint64_t stamp = atomic_load_acquire_u64(&retired_stamp);
    ref_epoch_advance(epoch);
    if (stamp != 0) {
        reuse_if_past(stamp);
    }
}

/* Reuses by what others have found out, without an advance of its own. */
static void reuse_by_others(void)
{
    uint64_t stamp = atomic_load_acquire_u64(&retired_stamp);

    if (stamp != 0) {
        reuse_if_past(stamp);
    }
}

/* Takes no notice of what is retired before it has advanced. */
static void advance_then_reuse(void)
{
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(epoch);
    }
    reuse_by_others();
}

static void retire_alone(void)
{
    atomic_store_relaxed_ptr(&root, NULL);
    atomic_store_release_u64(&retired_stamp, ref_epoch_now(epoch));
}

static void retire_and_advance(void)
{
    retire();
    ref_epoch_advance(epoch);
}

static const struct interleave_scenario retired = {
    .name = "epoch, look twice and retire",
    .set_up = make,
    .threads = {look_twice, retire_and_reuse},
    .check = unmake,
};

static const struct interleave_scenario retired_from_two = {
    .name = "epoch, two readers and retire",
    .set_up = make,
    .threads = {look, look_nested, retire_and_reuse},
    .check = unmake,
    .preemptions = 2,
};

static const struct interleave_scenario advanced_by_two = {
    .name = "epoch, retire here and reuse there",
    .set_up = make,
    .threads = {look, retire, reuse_when_past},
    .check = unmake,
    .oddities = 1,
};

static const struct interleave_scenario reused_by_another = {
    .name = "epoch, advance here and reuse there",
    .set_up = make,
    .threads = {look, retire_and_advance, reuse_by_others},
    .check = unmake,
    .oddities = 1,
};

static const struct interleave_scenario advanced_blindly = {
    .name = "epoch, retire during advances",
    .set_up = make,
    .threads = {look, retire_alone, advance_then_reuse},
    .check = unmake,
};

static const struct interleave_scenario advanced_blindly_fenced = {
    .name = "epoch, retire during advances, without a process barrier",
    .set_up = make,
    .threads = {look, retire_alone, advance_then_reuse},
    .check = unmake,
    .has_no_barrier = true,
};

static const struct interleave_scenario fenced = {
    .name = "epoch without a process barrier",
    .set_up = make,
    .threads = {look_twice, retire_and_reuse},
    .check = unmake,
    .has_no_barrier = true,
};

static void what_a_reader_may_see_is_not_reused(void **state)
{
    (void)state;
    interleave_expect_clean(&retired);
    interleave_expect_clean(&retired_from_two);
}

static void it_is_not_when_others_advance_and_reuse(void **state)
{
    (void)state;
    interleave_expect_clean(&advanced_by_two);
    interleave_expect_clean(&reused_by_another);
    interleave_expect_clean(&advanced_blindly);
}

static void it_is_not_without_a_process_barrier(void **state)
{
    (void)state;
    interleave_expect_clean(&fenced);
    interleave_expect_clean(&advanced_blindly_fenced);
}

static void bugs_in_entering_and_leaving_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"quarry_epoch_enter", INTERLEAVE_COMPILER_BARRIER, NULL, INTERLEAVE_SKIP, 0},
        {"quarry_epoch_enter", INTERLEAVE_STORE, "state", INTERLEAVE_SWAP, 0},
        {"quarry_epoch_enter", INTERLEAVE_STORE, "state", INTERLEAVE_SKIP, 0},
        {"quarry_epoch_leave", INTERLEAVE_STORE, "state", INTERLEAVE_WEAKEN, 0},
        {"look_at_reader", INTERLEAVE_LOAD, "state", INTERLEAVE_WEAKEN, 0},
        {"look_at_reader", INTERLEAVE_LOAD, "state", INTERLEAVE_SKIP, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&retired, &plants[i]);
    }
}

static void bugs_in_advancing_are_found(void **state)
{
    static const struct interleave_plant here[] = {
        {"advance_locked", INTERLEAVE_PROCESS_BARRIER, NULL, INTERLEAVE_SKIP, 0},
    };
    static const struct interleave_plant blindly[] = {
        /* Two epochs in one advance: a stamp is past one advance too early. */
        {"advance_locked", INTERLEAVE_ADD, "now", INTERLEAVE_REPLACE,
         UINT64_C(2) << REF_EPOCH_DEPTH_BITS},
        {"ref_epoch_now", INTERLEAVE_COMPILER_BARRIER, NULL, INTERLEAVE_SKIP, 0},
        {"advance_locked", INTERLEAVE_ADD, "now", INTERLEAVE_WEAKEN, 0},
        {"enter_slow", INTERLEAVE_LOAD, "now", INTERLEAVE_WEAKEN, 0},
    };
    static const struct interleave_plant there[] = {
        {"ref_epoch_is_past", INTERLEAVE_LOAD, "safe", INTERLEAVE_WEAKEN, 0},
        {"advance_locked", INTERLEAVE_STORE, "safe", INTERLEAVE_WEAKEN, 0},
        {"ref_epoch_is_past", INTERLEAVE_LOAD, "safe", INTERLEAVE_SKIP, 9},
    };

    (void)state;
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        interleave_expect_found(&retired, &here[i]);
    }
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++) {
        interleave_expect_found(&reused_by_another, &there[i]);
    }
    for (size_t i = 0; i < sizeof blindly / sizeof blindly[0]; i++) {
        interleave_expect_found(&advanced_blindly, &blindly[i]);
    }
}

static void bugs_without_a_process_barrier_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"enter_slow", INTERLEAVE_EXCHANGE, "state", INTERLEAVE_WEAKEN, 0},
        {"look_at_reader", INTERLEAVE_ADD, "state", INTERLEAVE_WEAKEN, 0},
        {"enter_slow", INTERLEAVE_EXCHANGE, "state", INTERLEAVE_SWAP, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&fenced, &plants[i]);
    }
    interleave_expect_found(
        &advanced_blindly_fenced,
        &(struct interleave_plant){"ref_epoch_now", INTERLEAVE_ADD, "now", INTERLEAVE_WEAKEN, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_reader_may_see_is_not_reused),
        cmocka_unit_test(it_is_not_when_others_advance_and_reuse),
        cmocka_unit_test(it_is_not_without_a_process_barrier),
        cmocka_unit_test(bugs_in_entering_and_leaving_are_found),
        cmocka_unit_test(bugs_in_advancing_are_found),
        cmocka_unit_test(bugs_without_a_process_barrier_are_found),
    };

    return cmocka_run_group_tests(tests, heap_set_up, heap_tear_down);
}
