/*
 * Which samples are taken: Prometheus' rules, as <quarry/tsdb.h> has them in a table.
 */
#ifndef QUARRY_TSDB_RULES_H
#define QUARRY_TSDB_RULES_H

#include <base/base.h>

#include <tsdb/types.h>

/* What holds for all samples of one request: of the moment when it began. */
struct tsdb_rules {
    int64_t order_min_ms; /* in order from here on: the store's time - in_order_ms */
    int64_t late_min_ms;  /* late from here on; INT64_MAX: nothing late is taken */
    int64_t max_ms;       /* the wall's clock + future_ms */
};

enum tsdb_verdict {
    TSDB_VERDICT_ORDER,    /* to be appended in order */
    TSDB_VERDICT_LATE,     /* to be appended out of order */
    TSDB_VERDICT_REPEATED, /* is there already */
    TSDB_VERDICT_REFUSED,
};

struct tsdb_judgement {
    enum tsdb_verdict verdict;
    enum quarry_tsdb_refusal refusal; /* TAKEN unless refused */
};

/*
 * The rules when the store's time is `time_ms` and the wall's clock `wall_ms`.
 *
 * `late_ms`: the span for late samples; not above 0: none.
 */
struct tsdb_rules tsdb_rules_at(int64_t time_ms, int64_t wall_ms, int64_t in_order_ms,
                                int64_t late_ms, int64_t future_ms);

/* The lowest time that any series may have a sample of. */
static inline int64_t tsdb_rules_min_ms(const struct tsdb_rules *rules)
{
    return rules->order_min_ms < rules->late_min_ms ? rules->order_min_ms : rules->late_min_ms;
}

/* Whether no sample of a time can be taken, and why: what is too late for a window that is closed
 * is told so as well. */
enum quarry_tsdb_refusal tsdb_rules_refusal(const struct tsdb_rules *rules, int64_t t_ms);

/*
 * Judges one sample.
 *
 * `last`: borrowed, the series' newest sample in order; NULL: it has none.
 */
struct tsdb_judgement tsdb_rules_judge(const struct tsdb_rules *rules,
                                       const struct tsdb_sample *last, struct tsdb_sample sample);

#endif
