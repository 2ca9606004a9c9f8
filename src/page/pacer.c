/*
 * The scavenger's pacing.
 *
 * Input: the share of one CPU that the last cycle of work and sleep took. Output: the ratio of work
 * time to sleep time for the next. A proportional-integral controller with back-calculation: while
 * the output is clamped, the integral is driven back, so that a long clamp (no work to do, or a
 * clock that jumped) is forgotten within PACER_RESET_NS and does not wind up.
 *
 *   output = kp · e + I        I += (kp · period / ti) · e + (period / tt) · (clamped − output)
 *
 * It begins at the ratio that holds the set point if work costs what it seems to. Go begins at
 * 0.001 and spends the first second asleep, which is all the time we have to begin giving back.
 *
 * A cycle is about 100 ms (1 ms of work at 1 %), and the share answers the ratio at once, so each
 * cycle moves the integral by kp · 100 ms / ti of the error: a third with ti = 100 ms, which
 * settles without overshoot. With Go's 3.2 ms it would be ten times the error, and the ratio would
 * swing from one clamp to the other. A cycle longer than ti, or than the reset time, counts as just
 * that long, or it would swing as well: large pieces on a slow kernel make cycles of seconds.
 *
 * Source: Go's scavenger for the form, kp and the reset time.
 */
#include <page/pacer.h>

#include <math.h>

#define PACER_KP       0.3375
#define PACER_TI_NS    1e8
#define PACER_RESET_NS 1e9
/* Output bounds. At the low one a millisecond of work is followed by a second of sleep. */
#define PACER_RATIO_MIN 0.001
#define PACER_RATIO_MAX 1000.0
/* After an overflow the lowest ratio holds this long: something was badly wrong with the input. */
#define PACER_COOL_DOWN_NS (5 * Q_SECOND_NS)

void page_pacer_init(struct page_pacer *pacer, double set_point)
{
    double ratio = set_point / (1.0 - set_point);

    Q_ASSERT(set_point > 0.0 && set_point < 1.0);
    *pacer = (struct page_pacer){.error_integral = ratio, .ratio = ratio};
}

static double clamp_ratio(double ratio)
{
    if (!(ratio > PACER_RATIO_MIN)) {
        return PACER_RATIO_MIN;
    }
    return ratio < PACER_RATIO_MAX ? ratio : PACER_RATIO_MAX;
}

/* How much of a time constant a cycle is: at most all of it, so that no step overshoots. */
static double step_gain(double period_ns, double constant_ns)
{
    return period_ns < constant_ns ? period_ns / constant_ns : 1.0;
}

/* One step of the controller; false when it overflowed and was reset. */
static bool pacer_step(struct page_pacer *pacer, double share, double set_point, double period_ns)
{
    double error = set_point - share;
    double output = PACER_KP * error + pacer->error_integral;
    double clamped = clamp_ratio(output);

    pacer->error_integral += PACER_KP * step_gain(period_ns, PACER_TI_NS) * error +
                             step_gain(period_ns, PACER_RESET_NS) * (clamped - output);
    pacer->ratio = clamped;
    if (!isfinite(pacer->error_integral) || !isfinite(output)) {
        pacer->error_integral = 0.0;
        pacer->ratio = PACER_RATIO_MIN;
        return false;
    }
    return true;
}

uint64_t page_pacer_next(struct page_pacer *pacer, uint64_t worked_ns, uint64_t slept_ns,
                         double set_point)
{
    double period_ns = (double)worked_ns + (double)slept_ns;

    Q_ASSERT(set_point > 0.0 && set_point < 1.0);
    if (pacer->cool_down_ns > 0) {
        pacer->cool_down_ns = sat_sub_u64(pacer->cool_down_ns, sat_add_u64(worked_ns, slept_ns));
        pacer->ratio = PACER_RATIO_MIN;
    } else if (period_ns > 0.0 &&
               !pacer_step(pacer, (double)worked_ns / period_ns, set_point, period_ns)) {
        pacer->cool_down_ns = PACER_COOL_DOWN_NS;
    }
    double sleep_ns = (double)worked_ns / pacer->ratio;
    return sleep_ns < 0x1p63 ? (uint64_t)sleep_ns : (uint64_t)INT64_MAX;
}
