/*
 * Prometheus' rules for what a series takes, as one function.
 *
 *     time:        ───────── order_min ──────── time ───────── max ───>
 *     late, W > 1 h: late_min ──┘                     now + 10 min
 *     late, W < 1 h:             └── late_min
 *
 * They are its appender's, in its order: the order of the questions decides which word a sender
 * reads, and senders look at it. Two of them surprise. A sample of the newest moment whose value is
 * another is a duplicate although late ones are taken; but one older than `order_min` is late like
 * any other. And a sample that is newer than the series but older than `order_min` is late, if late
 * ones are taken at all: here it goes on in order, since the windows it can fall in are open as
 * long as late samples may come, and nobody can tell the difference.
 *
 * Sums saturate, for times come from outside.
 *
 * Source: Prometheus' memSeries.appendable, as observed and described.
 */
#include <tsdb/rules.h>

static int64_t minus(int64_t a, int64_t b)
{
    int64_t difference;

    return __builtin_sub_overflow(a, b, &difference) ? INT64_MIN : difference;
}

static int64_t plus(int64_t a, int64_t b)
{
    int64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

struct tsdb_rules tsdb_rules_at(int64_t time_ms, int64_t wall_ms, int64_t in_order_ms,
                                int64_t late_ms, int64_t future_ms)
{
    Q_ASSERT(in_order_ms >= 0 && future_ms >= 0);
    return (struct tsdb_rules){
        .order_min_ms = minus(time_ms, in_order_ms),
        .late_min_ms = late_ms > 0 ? minus(time_ms, late_ms) : INT64_MAX,
        .max_ms = plus(wall_ms, future_ms),
    };
}

enum quarry_tsdb_refusal tsdb_rules_refusal(const struct tsdb_rules *rules, int64_t t_ms)
{
    if (t_ms > rules->max_ms) {
        return QUARRY_TSDB_OUT_OF_BOUNDS;
    }
    if (rules->late_min_ms != INT64_MAX) {
        return QUARRY_TSDB_TOO_OLD;
    }
    return t_ms < rules->order_min_ms ? QUARRY_TSDB_OUT_OF_BOUNDS : QUARRY_TSDB_OUT_OF_ORDER;
}

static struct tsdb_judgement refused(enum quarry_tsdb_refusal refusal)
{
    return (struct tsdb_judgement){TSDB_VERDICT_REFUSED, refusal};
}

static struct tsdb_judgement taken(enum tsdb_verdict verdict)
{
    return (struct tsdb_judgement){verdict, QUARRY_TSDB_TAKEN};
}

struct tsdb_judgement tsdb_rules_judge(const struct tsdb_rules *rules,
                                       const struct tsdb_sample *last, struct tsdb_sample sample)
{
    bool is_newer = last == NULL || sample.t_ms > last->t_ms;

    if (sample.t_ms > rules->max_ms) {
        return refused(QUARRY_TSDB_OUT_OF_BOUNDS);
    }
    if (sample.t_ms >= rules->order_min_ms) {
        if (is_newer) {
            return taken(TSDB_VERDICT_ORDER);
        }
        if (sample.t_ms == last->t_ms) {
            return sample.bits == last->bits ? taken(TSDB_VERDICT_REPEATED)
                                             : refused(QUARRY_TSDB_DUPLICATE);
        }
    }
    if (sample.t_ms >= rules->late_min_ms) {
        return taken(is_newer ? TSDB_VERDICT_ORDER : TSDB_VERDICT_LATE);
    }
    return refused(tsdb_rules_refusal(rules, sample.t_ms));
}
