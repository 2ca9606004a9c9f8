/*
 * Deadlines without timers.
 *
 *     LINE    oldest ── ... ── newest         each list in order of since_ns
 *     BODY    oldest ── ... ── newest
 *     ...
 *
 * All deadlines of a kind last equally long, so the order in which they began is the order in which
 * they pass, and a list is all it takes: to begin one is to go to the end of the list, and to find
 * one that has passed is to look at the first. A worker looks four times a second while there are
 * any. Most connections have none most of the time: a request that came in one piece and whose
 * answer was taken leaves nothing to wait for.
 *
 * Rejected: a libevent timer for each connection, which costs a heap operation a request, and 40
 * bytes; a wheel, which is for durations that differ.
 */
#include <serve/deadline.h>

/* How often it is looked whether a client is there who is not read from: a system call each time.
 * Who has gone keeps his descriptor, and what works for him, for as long; half of it would be ten
 * calls a second for each of them. */
#define WAIT_LOOK_NS (200 * Q_MS_NS)

void serve_deadlines_init(struct serve_deadlines *deadlines)
{
    for (size_t i = 0; i < SERVE_DEADLINE_KINDS; i++) {
        serve_list_init(&deadlines->lists[i]);
    }
    deadlines->count = 0;
}

uint64_t serve_deadline_duration_ns(const struct serve_limits *limits,
                                    enum serve_deadline_kind kind)
{
    switch (kind) {
    case SERVE_DEADLINE_LINE:
        return limits->line_deadline_ns;
    case SERVE_DEADLINE_BODY:
        return limits->body_grace_ns;
    case SERVE_DEADLINE_OUTPUT:
        return limits->reader_patience_ns;
    case SERVE_DEADLINE_WAIT:
        return WAIT_LOOK_NS;
    case SERVE_DEADLINE_IDLE:
        return limits->idle_timeout_ns;
    case SERVE_DEADLINE_LINGER:
        return limits->linger_ns;
    case SERVE_DEADLINE_NONE:
    case SERVE_DEADLINE_KINDS:
        break;
    }
    return SERVE_NO_LIMIT;
}

void serve_deadline_begin(struct serve_deadlines *deadlines, struct serve_deadline *deadline,
                          enum serve_deadline_kind kind, uint64_t now_ns, uint64_t mark)
{
    if (deadline->kind != SERVE_DEADLINE_NONE) {
        serve_list_remove(&deadlines->lists[deadline->kind], &deadline->link);
        deadlines->count--;
    }
    deadline->kind = kind;
    if (kind != SERVE_DEADLINE_NONE) {
        deadline->since_ns = now_ns;
        deadline->mark = mark;
        serve_list_append(&deadlines->lists[kind], &deadline->link);
        deadlines->count++;
    }
}

struct serve_deadline *serve_deadlines_due(const struct serve_deadlines *deadlines,
                                           const struct serve_limits *limits, uint64_t now_ns)
{
    for (enum serve_deadline_kind kind = SERVE_DEADLINE_LINE; kind < SERVE_DEADLINE_KINDS; kind++) {
        struct serve_link *link = serve_list_first(&deadlines->lists[kind]);
        if (link != NULL) {
            struct serve_deadline *first = serve_list_entry(link, struct serve_deadline, link);
            uint64_t duration_ns = serve_deadline_duration_ns(limits, kind);
            if (sat_sub_u64(now_ns, first->since_ns) >= duration_ns) {
                return first;
            }
        }
    }
    return NULL;
}
