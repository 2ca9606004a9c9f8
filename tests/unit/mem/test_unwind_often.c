/* Call stacks that are taken often: the same as those that are taken now and then, if not longer.
 */
#include "unit/base/cmocka_all.h"

#include <mem/unwind.h>

#define PCS 12

struct traces {
    uint64_t often[PCS], whole[PCS];
    uint32_t often_count, whole_count;
    uint32_t pc_max;
};

static Q_NOINLINE void take(struct traces *traces)
{
    traces->often_count = mem_unwind_often(traces->often, traces->pc_max);
    traces->whole_count = mem_unwind((struct mem_code_range){0, 0}, traces->whole, traces->pc_max);
    __asm__ volatile("" ::: "memory"); /* no tail call */
}

static Q_NOINLINE void recurse(uint32_t levels, struct traces *traces)
{
    if (levels == 0) {
        take(traces);
    } else {
        recurse(levels - 1, traces);
    }
    __asm__ volatile("" ::: "memory");
}

static void the_callers_are_the_same(void **state)
{
    (void)state;
    for (uint32_t levels = 0; levels < 20; levels++) {
        struct traces traces = {.pc_max = PCS};

        recurse(levels, &traces);
        /* recurse at each level, this function, and the first of the library that calls it. */
        uint32_t wanted = levels + 4 < PCS ? levels + 4 : PCS;
        assert_in_range(traces.often_count, wanted, traces.whole_count);
        for (uint32_t i = 1; i < traces.often_count;
             i++) { /* take calls each in a line of its own */
            assert_int_equal(traces.often[i], traces.whole[i]);
        }
    }
}

static void no_more_are_written_than_there_is_room_for(void **state)
{
    (void)state;
    for (uint32_t room = 1; room < PCS; room++) {
        struct traces traces = {.pc_max = room};

        recurse(20, &traces);
        assert_int_equal(traces.often_count, room);
        assert_int_equal(traces.often[room], 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_callers_are_the_same),
        cmocka_unit_test(no_more_are_written_than_there_is_room_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
