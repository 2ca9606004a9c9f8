/*
 * How long the scavenger sleeps after having worked: a proportional-integral controller that holds
 * its share of CPU time at a set point.
 */
#ifndef QUARRY_PAGE_PACER_H
#define QUARRY_PAGE_PACER_H

#include <base/base.h>

struct page_pacer {
    double error_integral;
    double ratio;          /* of work time to sleep time */
    uint64_t cool_down_ns; /* time left to run at the lowest ratio after an overflow */
};

/* `set_point`: share of one CPU, as 0.01. Begins at the ratio that would hold it exactly. */
void page_pacer_init(struct page_pacer *pacer, double set_point);

/*
 * Tells what one cycle of work and sleep was, and asks how long to sleep after the work just done.
 *
 * `worked_ns`, `slept_ns`: CPU time worked in the cycle that ended, and time slept after the one
 * before. `set_point`: share of one CPU to hold. Returns: nanoseconds to sleep. Never NaN, never
 * above worked_ns × 1000.
 */
uint64_t page_pacer_next(struct page_pacer *pacer, uint64_t worked_ns, uint64_t slept_ns,
                         double set_point);

#endif
