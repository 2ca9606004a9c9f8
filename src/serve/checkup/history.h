/*
 * Looks that are kept, so that what is counted can be judged by what came of late.
 *
 *     checkup_history_begin(&history, &look, now_ns);
 *     if (checkup_history_is_due(&history, now_ns)) { …; checkup_history_add(&history, &look,
 * now_ns); } facts.before = &history.earlier;
 *
 * Threads: the owner's. Cost: a copy of a look, some 2 KiB.
 */
#ifndef QUARRY_SERVE_CHECKUP_HISTORY_H
#define QUARRY_SERVE_CHECKUP_HISTORY_H

#include <serve/checkup/checkup.h>

/* How long looks are apart: findings are about as long at least, and twice as long at most. */
#define CHECKUP_INTERVAL_NS (300 * Q_SECOND_NS)

struct checkup_history {
    struct checkup_look earlier, later;
    uint64_t earlier_ns, later_ns; /* monotonic, when they were taken */
};

/* What was before `look` is no news. */
void checkup_history_begin(struct checkup_history *history, const struct checkup_look *look,
                           uint64_t now_ns);
bool checkup_history_is_due(const struct checkup_history *history, uint64_t now_ns);
void checkup_history_add(struct checkup_history *history, const struct checkup_look *look,
                         uint64_t now_ns);

#endif
