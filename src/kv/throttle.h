/*
 * How fast writers may go: a controller, and what they wait on.
 *
 * The controller knows nothing of a store: it is told how far behind the background is and what
 * time it is, and says a rate. throttle.c has the essay.
 */
#ifndef QUARRY_KV_THROTTLE_H
#define QUARRY_KV_THROTTLE_H

#include <kv/background.h>

/* ---- the controller ------------------------------------------------------------------------- */

/* How far behind the background is. */
struct kv_throttle_signals {
    uint32_t layer_count, layer_max; /* waiting to be flushed; with more of them writers stop */
    uint32_t level0_depth, level0_soft, level0_stop; /* soft: from which on it is compacted */
    uint64_t debt_bytes, debt_soft, debt_hard;
};

struct kv_throttle_controller {
    bool is_limited;
    double rate;      /* bytes a second, while it is limited */
    double pressure;  /* when it was last looked at: 0 nothing is behind, 1: at a hard limit */
    uint64_t step_ns; /* when that was */
    uint64_t admitted_bytes; /* since then */
    uint64_t done_bytes;     /* since then: what flushes and compactions have written */
    double demand;           /* bytes a second that were admitted: smoothed */
    double progress;         /* bytes a second that were done: smoothed over some seconds */
};

/* 0: nothing is behind; 1: at a limit at which writers stop; more than 1: beyond it. */
double kv_throttle_pressure(const struct kv_throttle_signals *signals);
/* Whether writers must stop. */
bool kv_throttle_must_stop(const struct kv_throttle_signals *signals);
/*
 * Looks at the signals, if a step (100 ms) has passed. `now_ns`: rising.
 * Returns: whether is_limited has changed.
 */
bool kv_throttle_control(struct kv_throttle_controller *controller,
                         const struct kv_throttle_signals *signals, uint64_t now_ns);

/* ---- of a store ----------------------------------------------------------------------------- */

/* Tells the listener where the limit has come or gone. Without locks. */
void kv_throttle_tell(struct quarry_kv *kv);

enum quarry_status kv_throttle_create(struct quarry_kv *kv, struct kv_throttle **ret_throttle);
/* Nobody is in it. NULL does nothing. */
void kv_throttle_destroy(struct kv_throttle *throttle);

struct kv_throttle_stats {
    bool is_limited;
    double rate, pressure;
    uint64_t throttled_ns, stopped_ns, stopped_worst_ns;
};
void kv_throttle_read_stats(struct quarry_kv *kv, struct kv_throttle_stats *ret_stats);

/* Space on the disk (space.c): whether writers are refused. Cost: a load. */
bool kv_space_is_low(const struct quarry_kv *kv);
/* What space.c keeps in the throttle. */
struct kv_space {
    _Atomic bool is_low;
    _Atomic uint64_t look_bytes; /* of admitted_bytes, at which it is looked at */
};
struct kv_space *kv_space_of(const struct quarry_kv *kv);
/*
 * Looks at the disk now and then. `admitted_bytes`: of all writers, ever. Errors: QUARRY_NO_SPACE.
 * Cost: two loads.
 */
enum quarry_status kv_space_admit(struct quarry_kv *kv, uint64_t admitted_bytes,
                                  struct quarry_error *error);
/* Bytes that writers have been admitted with, ever. */
uint64_t kv_throttle_admitted_bytes(const struct quarry_kv *kv);

#endif
