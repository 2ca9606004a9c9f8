/*
 * Two looks are kept, a third is taken when somebody asks.
 *
 *     start       5 min       10 min      asked
 *       │           │           │           │
 *    earlier ──▸ later
 *                earlier ──▸ later          now      now is judged from `earlier`
 *
 * So what is told of counters is of the last five to ten minutes, or since the start, and is gone
 * when it has been well for so long. One look alone would forget everything at the moment when it
 * is replaced.
 *
 * Locking: none.
 */
#include <serve/checkup/history.h>

void checkup_history_begin(struct checkup_history *history, const struct checkup_look *look,
                           uint64_t now_ns)
{
    *history = (struct checkup_history){
        .earlier = *look, .later = *look, .earlier_ns = now_ns, .later_ns = now_ns};
}

bool checkup_history_is_due(const struct checkup_history *history, uint64_t now_ns)
{
    return sat_sub_u64(now_ns, history->later_ns) >= CHECKUP_INTERVAL_NS;
}

void checkup_history_add(struct checkup_history *history, const struct checkup_look *look,
                         uint64_t now_ns)
{
    history->earlier = history->later;
    history->earlier_ns = history->later_ns;
    history->later = *look;
    history->later_ns = now_ns;
}
