/*
 * ref/count.h: who drops the last reference has the object alone; nobody finds it afterwards; a
 * count that saturates stays so.
 */
#include "unit/base/cmocka_all.h"

#include <ref/count.h>

#include "interleave/interleave.h"

static _Atomic uint32_t count;
static uint32_t object;
static uint32_t freed_count;
static uint64_t saturated_before;

static void make(void)
{
    ref_count_init(&count);
    ref_count_acquire(&count);
    object = freed_count = 0;
}

static void release(void)
{
    if (ref_count_release(&count)) {
        interleave_write(&object, UINT32_MAX);
        freed_count++;
    }
}

static void read_then_release(void)
{
    Q_ASSERT(interleave_read(&object) != UINT32_MAX);
    release();
}

static void share_then_release(void)
{
    ref_count_acquire(&count);
    read_then_release();
    read_then_release();
}

static void find_then_release(void)
{
    if (ref_count_try_acquire(&count)) {
        read_then_release();
    }
}

static void it_was_freed_once(void)
{
    Q_ASSERT(count == 0 && freed_count == 1);
}

static const struct interleave_scenario counted = {
    .name = "count, two holders and a finder",
    .set_up = make,
    .threads = {share_then_release, read_then_release, find_then_release},
    .check = it_was_freed_once,
};

static void make_nearly_saturated(void)
{
    atomic_store_relaxed_u32(&count, REF_COUNT_CEILING - 1);
    saturated_before = ref_count_saturated();
}

static void acquire_and_release(void)
{
    ref_count_acquire(&count);
    Q_ASSERT(!ref_count_release(&count));
}

static void find_and_release(void)
{
    Q_ASSERT(ref_count_try_acquire(&count));
    Q_ASSERT(!ref_count_release(&count));
}

static void it_is_saturated_and_counted_once(void)
{
    Q_ASSERT(count >= REF_COUNT_CEILING);
    Q_ASSERT(count > REF_COUNT_SATURATED - 8 && count < REF_COUNT_SATURATED + 8);
    Q_ASSERT(ref_count_saturated() == saturated_before + 1);
}

static const struct interleave_scenario saturating = {
    .name = "count, three reach the ceiling",
    .set_up = make_nearly_saturated,
    .threads = {acquire_and_release, acquire_and_release, find_and_release},
    .check = it_is_saturated_and_counted_once,
};

static void the_last_reference_has_the_object_alone(void **state)
{
    (void)state;
    interleave_expect_clean(&counted);
}

static void a_saturated_count_is_counted_once(void **state)
{
    (void)state;
    interleave_expect_clean(&saturating);
}

static void bugs_in_counting_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"ref_count_release", INTERLEAVE_SUB, NULL, INTERLEAVE_WEAKEN, 0},
        {"ref_count_release", INTERLEAVE_SUB, NULL, INTERLEAVE_TEAR, 0},
        {"ref_count_acquire", INTERLEAVE_ADD, NULL, INTERLEAVE_TEAR, 0},
        {"ref_count_acquire", INTERLEAVE_ADD, NULL, INTERLEAVE_SWAP, 0},
        {"ref_count_try_acquire", INTERLEAVE_CAS_WEAK, NULL, INTERLEAVE_TEAR, 0},
        {"ref_count_try_acquire", INTERLEAVE_CAS_WEAK, NULL, INTERLEAVE_SKIP, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&counted, &plants[i]);
    }
}

static void bugs_in_saturating_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"saturate", INTERLEAVE_EXCHANGE, NULL, INTERLEAVE_SKIP, REF_COUNT_CEILING},
        {"saturate", INTERLEAVE_EXCHANGE, NULL, INTERLEAVE_TEAR, 0},
        {"saturate", INTERLEAVE_ADD, "saturated_count", INTERLEAVE_REPLACE, 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&saturating, &plants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_reference_has_the_object_alone),
        cmocka_unit_test(a_saturated_count_is_counted_once),
        cmocka_unit_test(bugs_in_counting_are_found),
        cmocka_unit_test(bugs_in_saturating_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
