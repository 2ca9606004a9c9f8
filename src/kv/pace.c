/*
 * Pacing writers by the flush that they would have to wait for.
 *
 *     waiting  │████████ being flushed ████░░░░░│     elapsed ──────────┬─ left ─>
 *     mutable  │██████████ used ██████│── room ─│     rate = room / left
 *
 * When as many layers wait as may, the memtable must not be full before the flush ends: who fills
 * it waits for all that is left of the flush, tens or hundreds of milliseconds in one write. So
 * what is left of its room is spread over what is left of the time, in pauses of about 1 ms.
 *
 * What is left of the time is what flushes took of late for each byte, a quarter more, less what
 * has passed; and never less than a quarter of what has passed. So before any flush has ended, and
 * once one takes longer than was expected, the rate falls as time goes on, the room becomes smaller
 * by the fourth power of the time, and does not come to its end. A flush includes its syncs and the
 * manifest, and whatever it waited for: the time is from one change of the store's lists to
 * another, and no progress has to be told.
 *
 * Pauses are not for each write, which would sleep for longer than it owes: bytes are counted, and
 * charged when they would take a millisecond. A sleep that was too long is credited.
 *
 * Invariants:
 *   1. No pause of a short write is above PAUSE_MAX_NS.
 *   2. quantum_bytes is not 0: a charge is always made of something.
 *
 * Rejected: the controller of throttle.c on how full the memtable is: it looks each 100 ms, in
 * which a memtable of 28 MiB is filled by a third, and the longest writes were 55 ms. Progress
 * told by the flush: its syncs and the manifest have none.
 *
 * Locking: the caller's. Cost: some 60 instructions a charge.
 */
#include <kv/pace.h>

/* A charge is due when what was written takes so long. Sleeps of less end late by a large part. */
#define QUANTUM_NS UINT64_C(1000000)
/* However fast it may go, of a memtable: the rate is another after each. */
#define QUANTA_MIN   256
#define PAUSE_MIN_NS UINT64_C(100000)
#define PAUSE_MAX_NS UINT64_C(1500000)
/* From here on a write pauses for its own bytes, and so long at most. */
#define SHORT_BYTES Q_KIB(64)
#define OWED_MAX_NS UINT64_C(100000000)
/* What a late sleep may be credited with, and what is owed at most. */
#define CREDIT_MAX_NS UINT64_C(2000000)
#define DEBT_MAX_NS   UINT64_C(8000000)
/* Of the learned time, for flushes that take longer; of what has passed, that is left at least. */
#define MARGIN       1.25
#define PASSED_SHARE 0.25
/* Of the memtable, that is not counted on: a table of keys that grows takes some at once. */
#define SPARE_SHARE 0.03
/* Smaller flushes are syncs and little else: nothing is learned of them. */
#define LEARN_BYTES Q_MIB(1)
/* Of a new figure: one that is slower counts at once. */
#define SLOWER_SHARE 0.5
#define FASTER_SHARE 0.125
/* Bytes a nanosecond: a quantum is a byte at least, and fits a number. */
#define RATE_MIN 1e-6
#define RATE_MAX 1e3

static double between(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static void learn(struct kv_pace *pace, uint64_t now_ns)
{
    if (pace->waiting_bytes < LEARN_BYTES) {
        return;
    }
    double newest = (double)sat_sub_u64(now_ns, pace->begin_ns) / (double)pace->waiting_bytes;
    double share = newest > pace->ns_per_byte ? SLOWER_SHARE : FASTER_SHARE;

    pace->ns_per_byte =
        pace->ns_per_byte == 0 ? newest : pace->ns_per_byte + share * (newest - pace->ns_per_byte);
}

void kv_pace_change(struct kv_pace *pace, bool is_last, uint64_t waiting_bytes, uint64_t now_ns)
{
    if (pace->is_on == is_last) {
        return;
    }
    if (pace->is_on) {
        learn(pace, now_ns);
    }
    pace->is_on = is_last;
    pace->begin_ns = now_ns;
    pace->waiting_bytes = waiting_bytes;
    pace->credit_ns = now_ns; /* what was owed for another flush is not paid */
    pace->quantum_bytes = 1;  /* the first write says how fast */
}

/* Bytes a nanosecond. */
static double rate_of(const struct kv_pace *pace, const struct kv_pace_room *room, uint64_t now_ns)
{
    double passed_ns = (double)sat_sub_u64(now_ns, pace->begin_ns);
    double left_ns = MARGIN * pace->ns_per_byte * (double)pace->waiting_bytes - passed_ns;
    double left_bytes = (1 - SPARE_SHARE) * (double)room->capacity_bytes - (double)room->used_bytes;

    if (left_ns < PASSED_SHARE * passed_ns) {
        left_ns = PASSED_SHARE * passed_ns;
    }
    return between(left_bytes / (left_ns + 1), RATE_MIN, RATE_MAX);
}

/* Until what is owed is paid, each write is charged. */
static uint64_t quantum_of(double rate, const struct kv_pace_room *room, bool is_behind)
{
    double bytes_max = (double)room->capacity_bytes / QUANTA_MIN + 1;

    return is_behind ? 1 : (uint64_t)between(rate * (double)QUANTUM_NS, 1, bytes_max);
}

uint64_t kv_pace_charge(struct kv_pace *pace, const struct kv_pace_room *room, uint64_t byte_count,
                        uint64_t own_bytes, uint64_t now_ns)
{
    double rate = rate_of(pace, room, now_ns);
    double owed_ns = between((double)byte_count / rate, 0, (double)OWED_MAX_NS);
    double own_ns = own_bytes < SHORT_BYTES ? 0 : (double)own_bytes / rate;
    double pause_max_ns = between(own_ns, (double)PAUSE_MAX_NS, (double)OWED_MAX_NS);
    uint64_t credit_ns =
        size_max_u64(pace->credit_ns, sat_sub_u64(now_ns, CREDIT_MAX_NS)) + (uint64_t)owed_ns;

    credit_ns = size_min_u64(credit_ns, now_ns + (uint64_t)pause_max_ns + DEBT_MAX_NS);
    uint64_t pause_ns = size_min_u64(sat_sub_u64(credit_ns, now_ns), (uint64_t)pause_max_ns);
    pace->credit_ns = credit_ns;
    pace->quantum_bytes = quantum_of(rate, room, credit_ns > now_ns + pause_ns);
    if (pause_ns < PAUSE_MIN_NS) {
        return 0;
    }
    pace->throttled_ns += pause_ns;
    return pause_ns;
}
