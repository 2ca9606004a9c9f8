/*
 * Throttling: writers are slowed so smoothly that they need not be stopped.
 *
 *     pressure   0 ────────────── 1/2 ────────────── 1
 *                nothing behind    wanted             a hard limit: writers stop
 *
 *     layers waiting, ¾ to all allowed  ┐
 *     depth of level 0, soft to stop    ├ the worst of them ──> controller ──> rate ──> credit
 *     debt, soft to hard                ┘        each 100 ms         ±10 %
 *
 * Layers count from three quarters of what is allowed on, half of it at seven eighths: where one
 * may wait, the memtable is an eighth from full as the flush ends, and the background is never
 * idle. With all of it counted the memtable was half full by then: p99 of writes was 85 µs in place
 * of 5, with pauses as long (two writers, memtables of 7 MiB).
 *
 * While the pressure is below a half nobody is limited: a writer pays a load and an add. Once it is
 * above, a rate is set, to begin with what is being written just now, so that the beginning is no
 * cliff; from then on each step of 100 ms multiplies it by 1 - (p × change of pressure + i ×
 * distance from a half), by a tenth up or down at most. When the rate has come to four times what
 * is asked for, and the pressure is below a half, the limit goes.
 *
 * A proportional part alone would settle away from a half, an integral part alone swings; both on
 * the logarithm of the rate, as what the background manages differs by orders of magnitude between
 * disks, and has no unit in common with pressure.
 *
 * Writers pay by the clock: each moves the time at which the next may go on by its bytes over the
 * rate. Who comes before that time waits, but not longer than 2 ms or his own bytes' time: what he
 * has not waited for, later ones do, up to a second of it. So a small write is never late by more
 * than 2 ms while the store is not at a hard limit.
 *
 * At a hard limit (layers, depth of level 0) writers wait until it is passed: kv_background_wait.
 *
 * Invariants:
 *   1. A rate changes by a tenth at most in 100 ms.
 *   2. It is between RATE_MIN and RATE_MAX while it is limited.
 *
 * Rejected: RocksDB's delayed write rate, which is halved and doubled at thresholds; LevelDB's
 * sleep of 1 ms for each write from 8 files on: both are cliffs, of which the users complain.
 *
 * Locking: the throttle's mutex for the controller and the clock of credit; the signals are written
 * under the store's mutex too. No sleep under it. Source: textbook PI control in velocity form.
 */
#include <kv/throttle.h>

#include <kv/background_parts.h>

#include <kv/commit.h>

#define STEP_NS      UINT64_C(100000000)
#define SECOND_NS    UINT64_C(1000000000)
#define PAUSE_MAX_NS UINT64_C(2000000)
#define OWN_MAX_NS   UINT64_C(100000000)
#define WANTED       0.5
#define PROPORTIONAL 0.6
#define INTEGRAL     0.2
#define CHANGE_MAX   0.1
#define RATE_MIN     (64.0 * 1024)
#define RATE_MAX     (16.0 * 1024 * 1024 * 1024)
/* The limit goes when it is so many times what is asked for. */
#define RELEASE_FACTOR 4.0
/* Of the newest 100 ms in the smoothed demand. */
#define DEMAND_SHARE 0.3
/* Of the layers that may wait; below it they do not count. Higher, and the limit comes too late. */
#define LAYERS_SOFT 0.75
/* Debt, in levels' first sizes: below the first it does not count, at the second it is at a limit.
 */
#define DEBT_SOFT_FILES 64u
#define DEBT_HARD_FILES 1024u
/* The token bucket of background bytes holds so much at most. */
#define BACKGROUND_BURST_NS UINT64_C(50000000)

struct kv_throttle {
    struct quarry_kv *kv;
    struct kv_space space;
    _Atomic bool is_limited; /* of the controller: what writers look at */
    _Atomic bool is_watched; /* layers wait: a look is due from time to time */
    _Atomic bool is_told;    /* of is_limited: what the listener knows */
    _Atomic bool must_stop;
    _Atomic uint64_t admitted_bytes; /* ever */
    _Atomic uint64_t due_ns;         /* when the next step of the controller is */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct kv_throttle_controller controller;
    struct kv_throttle_signals signals;
    uint64_t stepped_bytes; /* of admitted_bytes, at the last step */
    uint64_t credit_ns;     /* when the next byte may be written */
    uint64_t background_ns; /* when the next byte of the background may be */
    uint64_t throttled_ns, stopped_ns, stopped_worst_ns;
};

/* ---- the controller ------------------------------------------------------------------------- */

static double between(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

/* Where a value is between two others: 0 at the first, 1 at the second. */
static double part_of(double value, double from, double to)
{
    return to <= from ? (value >= to ? 1.0 : 0.0) : between((value - from) / (to - from), 0, 4);
}

double kv_throttle_pressure(const struct kv_throttle_signals *signals)
{
    /* At the limit when all layers that may wait do, and the one that is written to is full. */
    double waiting = (double)signals->layer_count - 1 + signals->layer_fill;
    double layers = signals->layer_count == 0
                        ? 0
                        : part_of(waiting, LAYERS_SOFT * signals->layer_max, signals->layer_max);
    double level0 = part_of(signals->level0_depth, signals->level0_soft, signals->level0_stop);
    double debt = part_of((double)signals->debt_bytes, (double)signals->debt_soft,
                          (double)signals->debt_hard);

    layers = signals->layer_count > signals->layer_max ? 1.0 : layers;
    double worst = layers > level0 ? layers : level0;
    return worst > debt ? worst : debt;
}

bool kv_throttle_must_stop(const struct kv_throttle_signals *signals)
{
    return signals->layer_count > signals->layer_max ||
           signals->level0_depth >= signals->level0_stop;
}

static void begin_limit(struct kv_throttle_controller *controller, double pressure)
{
    controller->is_limited = true;
    controller->rate = between(controller->demand, RATE_MIN, RATE_MAX);
    controller->pressure = pressure;
}

static void adjust(struct kv_throttle_controller *controller, double pressure)
{
    double change =
        PROPORTIONAL * (pressure - controller->pressure) + INTEGRAL * (pressure - WANTED);
    double factor = 1 - between(change, -CHANGE_MAX, CHANGE_MAX);

    controller->rate = between(controller->rate * factor, RATE_MIN, RATE_MAX);
    controller->pressure = pressure;
    if (pressure < WANTED &&
        (controller->rate >= RELEASE_FACTOR * controller->demand || controller->rate >= RATE_MAX)) {
        controller->is_limited = false;
    }
}

bool kv_throttle_control(struct kv_throttle_controller *controller,
                         const struct kv_throttle_signals *signals, uint64_t now_ns)
{
    bool was_limited = controller->is_limited;
    uint64_t passed_ns = sat_sub_u64(now_ns, controller->step_ns);

    if (passed_ns < STEP_NS) {
        return false;
    }
    double pressure = kv_throttle_pressure(signals);
    double seconds = (double)passed_ns / (double)SECOND_NS;
    double newest = (double)controller->admitted_bytes / seconds;
    controller->demand = (1 - DEMAND_SHARE) * controller->demand + DEMAND_SHARE * newest;
    if (newest > controller->demand) {
        controller->demand = newest; /* it begins at once, and is forgotten slowly */
    }
    controller->admitted_bytes = 0;
    controller->step_ns = now_ns;
    if (!controller->is_limited && pressure > WANTED) {
        begin_limit(controller, pressure);
    } else if (controller->is_limited) {
        adjust(controller, pressure);
    } else {
        controller->pressure = pressure;
    }
    return controller->is_limited != was_limited;
}

/* ---- of a store ----------------------------------------------------------------------------- */

enum quarry_status kv_throttle_create(struct quarry_kv *kv, struct kv_throttle **ret_throttle)
{
    struct kv_throttle *throttle = kv_memory_take(&kv->small[KV_PART_META], sizeof(*throttle));

    if (throttle == NULL) {
        return QUARRY_NO_MEMORY;
    }
    throttle->kv = kv;
    throttle->controller.step_ns = kv_now_ns(kv);
    throttle->due_ns = throttle->controller.step_ns + STEP_NS;
    os_mutex_init(&throttle->mutex, OS_RANK_KV_THROTTLE, 0);
    *ret_throttle = throttle;
    return QUARRY_OK;
}

void kv_throttle_destroy(struct kv_throttle *throttle)
{
    if (throttle != NULL) {
        kv_memory_give(&throttle->kv->small[KV_PART_META], throttle);
    }
}

uint64_t kv_throttle_admitted_bytes(const struct quarry_kv *kv)
{
    return kv->throttle == NULL ? 0 : atomic_load_relaxed_u64(&kv->throttle->admitted_bytes);
}

struct kv_space *kv_space_of(const struct quarry_kv *kv)
{
    return kv->throttle == NULL ? NULL : &kv->throttle->space;
}

/* A step of the controller, if one is due. */
static void step(struct kv_throttle *throttle, uint64_t now_ns)
{
    struct kv_throttle_controller *controller = &throttle->controller;

    if (sat_sub_u64(now_ns, controller->step_ns) < STEP_NS) {
        return;
    }
    uint64_t admitted_bytes = atomic_load_relaxed_u64(&throttle->admitted_bytes);
    controller->admitted_bytes = admitted_bytes - throttle->stepped_bytes;
    throttle->stepped_bytes = admitted_bytes;
    (void)kv_throttle_control(controller, &throttle->signals, now_ns);
    atomic_store_relaxed_u64(&throttle->due_ns, now_ns + STEP_NS);
    atomic_store_relaxed_bool(&throttle->is_limited, controller->is_limited);
}

void kv_throttle_tell(struct quarry_kv *kv)
{
    struct kv_throttle *throttle = kv->throttle;
    const struct quarry_kv_event_data data = {.event = QUARRY_KV_EVENT_THROTTLED};
    bool is_limited = atomic_load_relaxed_bool(&throttle->is_limited);

    if (atomic_load_relaxed_bool(&throttle->is_told) != is_limited &&
        atomic_exchange_relaxed_bool(&throttle->is_told, is_limited) != is_limited) {
        kv_notify(kv, &data);
    }
}

/* How full the memtable is that is written to. Under the store's mutex. */
static double fill_of(struct quarry_kv *kv)
{
    struct kv_memtable_stats stats;

    if (kv->mutable_layer == NULL) {
        return 0;
    }
    kv_layer_read_stats(kv->mutable_layer, &stats);
    return stats.capacity_bytes == 0 ? 0 : (double)stats.used_bytes / (double)stats.capacity_bytes;
}

static struct kv_throttle_signals signals_of(struct quarry_kv *kv)
{
    const struct kv_version *version = kv_versions_current(&kv->versions);
    const struct kv_pick_options options = {
        .level0_compact = kv->options.level0_compact,
        .level_ratio = kv->options.level_ratio,
        .level1_bytes = kv->options.level1_bytes,
        .file_bytes = kv->options.file_bytes,
    };
    struct kv_shape shape;

    kv_shape_of(version, &options, &shape);
    return (struct kv_throttle_signals){
        .layer_count = (uint32_t)kv->immutable_count,
        .layer_max = kv->options.write_buffer_count - 1,
        .layer_fill = kv->immutable_count == 0 ? 0 : fill_of(kv),
        .level0_depth = version->sublevel_count,
        .level0_soft = kv->options.level0_compact,
        .level0_stop = kv->options.level0_stop,
        .debt_bytes = shape.debt_bytes,
        .debt_soft = sat_mul_u64(kv->options.file_bytes, DEBT_SOFT_FILES),
        .debt_hard = sat_mul_u64(kv->options.file_bytes, DEBT_HARD_FILES),
    };
}

void kv_throttle_look(struct quarry_kv *kv)
{
    struct kv_throttle *throttle = kv->throttle;

    os_mutex_assert_held(&kv->mutex);
    struct kv_throttle_signals signals = signals_of(kv);
    os_mutex_lock(&throttle->mutex);
    throttle->signals = signals;
    step(throttle, kv_now_ns(kv));
    os_mutex_unlock(&throttle->mutex);
    atomic_store_relaxed_bool(&throttle->is_watched, signals.layer_count != 0);
    /* Relaxed: who stops looks again at each change of lists, which are told after this. */
    atomic_store_relaxed_bool(&throttle->must_stop, kv_throttle_must_stop(&signals));
}

/* ---- writers -------------------------------------------------------------------------------- */

/* Why what waits is not flushed or compacted. */
static enum quarry_status why_stuck(struct quarry_kv *kv, struct quarry_error *error)
{
    os_mutex_lock(&kv->mutex);
    enum quarry_status status = kv_background_trouble(kv, error);
    os_mutex_unlock(&kv->mutex);
    return status != QUARRY_OK
               ? status
               : error_set(error, QUARRY_BUSY, "%s: what waits cannot be flushed or compacted",
                           kv->path);
}

/* Waits for a hard limit to be passed. */
static enum quarry_status stop(struct kv_throttle *throttle, bool never_waits,
                               struct quarry_error *error)
{
    struct quarry_kv *kv = throttle->kv;
    uint64_t begin_ns = kv_now_ns(kv);
    enum quarry_status status = QUARRY_OK;

    if (never_waits) {
        return error_set(error, QUARRY_BUSY, "%s: too much waits to be flushed or compacted",
                         kv->path);
    }
    for (;;) {
        uint64_t seen = kv_background_changes(kv);
        if (!atomic_load_relaxed_bool(&throttle->must_stop)) {
            break;
        }
        status = kv_may_write(kv, error);
        if (status != QUARRY_OK) {
            break;
        }
        if (!kv_background_wait(kv, seen) && atomic_load_relaxed_bool(&throttle->must_stop)) {
            status = why_stuck(kv, error);
            break;
        }
    }
    uint64_t stopped_ns = sat_sub_u64(kv_now_ns(kv), begin_ns);
    os_mutex_lock(&throttle->mutex);
    throttle->stopped_ns += stopped_ns;
    if (stopped_ns > throttle->stopped_worst_ns) {
        throttle->stopped_worst_ns = stopped_ns;
    }
    os_mutex_unlock(&throttle->mutex);
    return status;
}

/* How long a writer has to wait, whose bytes are counted from now on. */
static uint64_t charge(struct kv_throttle *throttle, uint64_t byte_count, uint64_t now_ns)
{
    double rate = throttle->controller.rate;
    uint64_t own_ns = (uint64_t)between((double)byte_count / rate * (double)SECOND_NS, 0, 1e9);
    uint64_t at_ns = throttle->credit_ns > now_ns ? throttle->credit_ns : now_ns;
    uint64_t pause_ns = at_ns - now_ns;
    uint64_t pause_max_ns = own_ns > OWN_MAX_NS ? OWN_MAX_NS : own_ns;

    at_ns += own_ns;
    throttle->credit_ns = at_ns > now_ns + SECOND_NS ? now_ns + SECOND_NS : at_ns;
    pause_max_ns = pause_max_ns < PAUSE_MAX_NS ? PAUSE_MAX_NS : pause_max_ns;
    pause_ns = pause_ns < pause_max_ns ? pause_ns : pause_max_ns;
    throttle->throttled_ns += pause_ns;
    return pause_ns;
}

/* A limit is in force, or layers wait. */
static void pay(struct kv_throttle *throttle, uint64_t byte_count, bool *ret_would_wait,
                bool never_waits)
{
    struct quarry_kv *kv = throttle->kv;
    uint64_t now_ns = kv_now_ns(kv), pause_ns = 0;

    /* Relaxed, both: who is late by a step takes the next one. */
    if (now_ns >= atomic_load_relaxed_u64(&throttle->due_ns)) {
        os_mutex_lock(&kv->mutex);
        kv_throttle_look(kv);
        os_mutex_unlock(&kv->mutex);
        kv_throttle_tell(kv);
    }
    if (!atomic_load_relaxed_bool(&throttle->is_limited)) {
        return;
    }
    os_mutex_lock(&throttle->mutex);
    if (throttle->controller.is_limited) {
        *ret_would_wait = throttle->credit_ns > now_ns;
        if (!never_waits || !*ret_would_wait) {
            pause_ns = charge(throttle, byte_count, now_ns);
        }
    }
    os_mutex_unlock(&throttle->mutex);
    if (pause_ns == 0) {
        return;
    }
    if (kv->options.is_stepped) {
        (void)kv_background_step(kv);
    } else {
        os_sleep_ns(pause_ns);
    }
}

enum quarry_status kv_throttle_admit(struct quarry_kv *kv, uint64_t byte_count, bool never_waits,
                                     struct quarry_error *error)
{
    struct kv_throttle *throttle = kv->throttle;
    enum quarry_status status = QUARRY_OK;
    bool would_wait = false;

    if (Q_LIKELY(byte_count != 0)) {
        uint64_t before = atomic_add_relaxed_u64(&throttle->admitted_bytes, byte_count);
        status = kv_space_admit(kv, before + byte_count, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (Q_UNLIKELY(atomic_load_relaxed_bool(&throttle->must_stop))) {
        status = stop(throttle, never_waits, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (Q_LIKELY(!atomic_load_relaxed_bool(&throttle->is_limited) &&
                 !atomic_load_relaxed_bool(&throttle->is_watched))) {
        return QUARRY_OK;
    }
    pay(throttle, byte_count, &would_wait, never_waits);
    if (never_waits && would_wait) {
        return error_set(error, QUARRY_BUSY, "%s: writers are being slowed", kv->path);
    }
    return QUARRY_OK;
}

/* ---- the background ------------------------------------------------------------------------- */

void kv_throttle_background(struct quarry_kv *kv, uint64_t byte_count)
{
    struct kv_throttle *throttle = kv->throttle;
    uint64_t rate = kv->options.background_bytes_per_second;

    if (rate == 0 || throttle == NULL || kv->options.is_stepped) {
        return;
    }
    uint64_t now_ns = kv_now_ns(kv);
    uint64_t own_ns = (uint64_t)((double)byte_count / (double)rate * (double)SECOND_NS);
    os_mutex_lock(&throttle->mutex);
    uint64_t earliest_ns = sat_sub_u64(now_ns, BACKGROUND_BURST_NS);
    uint64_t at_ns = throttle->background_ns > earliest_ns ? throttle->background_ns : earliest_ns;
    throttle->background_ns = sat_add_u64(at_ns, own_ns);
    os_mutex_unlock(&throttle->mutex);
    while (at_ns > now_ns && !atomic_load_relaxed_bool(&kv->is_closing)) {
        uint64_t pause_ns = at_ns - now_ns;
        os_sleep_ns(pause_ns < STEP_NS ? pause_ns : STEP_NS);
        now_ns = kv_now_ns(kv);
    }
}

void kv_throttle_read_stats(struct quarry_kv *kv, struct kv_throttle_stats *ret_stats)
{
    struct kv_throttle *throttle = kv->throttle;

    os_mutex_lock(&throttle->mutex);
    *ret_stats = (struct kv_throttle_stats){
        .is_limited = throttle->controller.is_limited,
        .rate = throttle->controller.rate,
        .pressure = throttle->controller.pressure,
        .throttled_ns = throttle->throttled_ns,
        .stopped_ns = throttle->stopped_ns,
        .stopped_worst_ns = throttle->stopped_worst_ns,
    };
    os_mutex_unlock(&throttle->mutex);
}
