/*
 * Throttling: writers are slowed so smoothly that they need not be stopped.
 *
 *     pressure   0 ────────────── 1/2 ────────────── 1
 *                nothing behind    wanted             a hard limit: writers stop
 *
 *     depth of level 0, soft to stop    ┐
 *     debt, soft to hard                ├ the worst of them ──> controller ──> rate ──> credit
 *     more layers than may wait         ┘        each 100 ms         ±10 %
 *
 * Layers that wait are filled and flushed within few of such steps: while as many wait as may,
 * writers are paced by how full the memtable is, each millisecond (pace.c).
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
 *   3. It does not fall below a sixteenth of what flushes and compactions write of late: each byte
 *      is written about so many times before it is at rest. What is behind for another reason than
 *      writers, as where memory is short for a while, is not caught up with by slowing them more.
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
#include <kv/pace.h>

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
/* Of what the background writes, that writers may write at least. Doubling it halves what a store
 * that is far behind takes, and nothing else: hard limits stop writers anyway. */
#define PROGRESS_PARTS 16.0
/* Of the newest 100 ms in the smoothed progress: a compaction's inputs are found between outputs.
 */
#define PROGRESS_SHARE 0.03
/* The limit goes when it is so many times what is asked for. */
#define RELEASE_FACTOR 4.0
/* Of the newest 100 ms in the smoothed demand. */
#define DEMAND_SHARE 0.3
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
    _Atomic bool is_paced;   /* as many wait as may */
    _Atomic bool is_told;    /* of is_limited: what the listener knows */
    _Atomic bool must_stop;
    _Atomic uint64_t admitted_bytes; /* ever */
    _Atomic uint64_t done_bytes;     /* ever, by the background */
    _Atomic uint64_t due_ns;         /* when the next step of the controller is */
    _Atomic uint64_t unpaced_bytes;  /* since the last charge of the pace */
    _Atomic uint64_t quantum_bytes;  /* of the pace */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct kv_pace pace;
    struct kv_throttle_controller controller;
    struct kv_throttle_signals signals;
    uint64_t stepped_bytes;      /* of admitted_bytes, at the last step */
    uint64_t stepped_done_bytes; /* of done_bytes */
    uint64_t credit_ns;          /* when the next byte may be written */
    uint64_t background_ns;      /* when the next byte of the background may be */
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
    double level0 = part_of(signals->level0_depth, signals->level0_soft, signals->level0_stop);
    double debt = part_of((double)signals->debt_bytes, (double)signals->debt_soft,
                          (double)signals->debt_hard);
    double layers = signals->layer_count > signals->layer_max ? 1.0 : 0;
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
    double wanted = controller->rate * factor, least = controller->progress / PROGRESS_PARTS;

    if (wanted < least) { /* invariant 3, by way of invariant 1 */
        wanted = between(least, wanted, controller->rate * (1 + CHANGE_MAX));
    }
    controller->rate = between(wanted, RATE_MIN, RATE_MAX);
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
    double done = (double)controller->done_bytes / seconds;
    controller->progress = (1 - PROGRESS_SHARE) * controller->progress + PROGRESS_SHARE * done;
    controller->admitted_bytes = controller->done_bytes = 0;
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
    uint64_t done_bytes = atomic_load_relaxed_u64(&throttle->done_bytes);
    controller->done_bytes = done_bytes - throttle->stepped_done_bytes;
    throttle->stepped_done_bytes = done_bytes;
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

/* Of the layers that wait. Under the store's mutex. */
static uint64_t waiting_bytes(struct quarry_kv *kv)
{
    struct kv_memtable_stats stats;
    uint64_t byte_count = 0;

    for (size_t i = 0; i < kv->immutable_count; i++) {
        kv_layer_read_stats(kv->immutable[i], &stats);
        byte_count = sat_add_u64(byte_count, stats.used_bytes);
    }
    return byte_count;
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
        .level0_depth = version->sublevel_count,
        .level0_soft = kv->options.level0_compact,
        .level0_stop = kv->options.level0_stop,
        .debt_bytes = shape.debt_bytes,
        .debt_soft = sat_mul_u64(kv->options.file_bytes, DEBT_SOFT_FILES),
        .debt_hard = sat_mul_u64(kv->options.file_bytes, DEBT_HARD_FILES),
    };
}

/* Where writers do the work themselves, there is nobody to wait for. */
static void change_pace(struct kv_throttle *throttle, uint64_t layer_bytes, uint64_t now_ns)
{
    const struct kv_throttle_signals *signals = &throttle->signals;
    bool is_last = signals->layer_count >= signals->layer_max && !throttle->kv->options.is_stepped;

    if (is_last == throttle->pace.is_on) {
        return;
    }
    kv_pace_change(&throttle->pace, is_last, layer_bytes, now_ns);
    /* Relaxed, all: a writer who is late by one is charged with the next. */
    atomic_store_relaxed_u64(&throttle->unpaced_bytes, 0);
    atomic_store_relaxed_u64(&throttle->quantum_bytes, throttle->pace.quantum_bytes);
    atomic_store_relaxed_bool(&throttle->is_paced, is_last);
}

void kv_throttle_look(struct quarry_kv *kv)
{
    struct kv_throttle *throttle = kv->throttle;

    os_mutex_assert_held(&kv->mutex);
    struct kv_throttle_signals signals = signals_of(kv);
    uint64_t layer_bytes = waiting_bytes(kv), now_ns = kv_now_ns(kv);
    os_mutex_lock(&throttle->mutex);
    throttle->signals = signals;
    step(throttle, now_ns);
    change_pace(throttle, layer_bytes, now_ns);
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

/* How full the memtable is that is written to. */
static struct kv_pace_room room_of(struct quarry_kv *kv)
{
    struct kv_memtable_stats stats;

    os_mutex_lock(&kv->mutex);
    kv_layer_read_stats(kv->mutable_layer, &stats);
    os_mutex_unlock(&kv->mutex);
    return (struct kv_pace_room){stats.used_bytes, stats.capacity_bytes};
}

/* Charges what all have written since the last charge; sleeps with no lock. */
static Q_COLD void pace_slow(struct kv_throttle *throttle, uint64_t own_bytes)
{
    struct kv_pace_room room = room_of(throttle->kv);
    uint64_t now_ns = kv_now_ns(throttle->kv), pause_ns = 0;

    os_mutex_lock(&throttle->mutex);
    /* Of several who have found it to be due, one has taken all. */
    uint64_t byte_count = atomic_exchange_relaxed_u64(&throttle->unpaced_bytes, 0);
    if (throttle->pace.is_on && byte_count != 0) {
        pause_ns = kv_pace_charge(&throttle->pace, &room, byte_count, own_bytes, now_ns);
        atomic_store_relaxed_u64(&throttle->quantum_bytes, throttle->pace.quantum_bytes);
    }
    os_mutex_unlock(&throttle->mutex);
    if (pause_ns != 0) {
        os_sleep_ns(pause_ns);
    }
}

/* As many layers wait as may. */
static void pace(struct kv_throttle *throttle, uint64_t byte_count)
{
    uint64_t before = atomic_add_relaxed_u64(&throttle->unpaced_bytes, byte_count);

    if (before + byte_count >= atomic_load_relaxed_u64(&throttle->quantum_bytes)) {
        pace_slow(throttle, byte_count);
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
    /* Relaxed: see change_pace. Who does not wait is refused where it is full, and not before. */
    if (atomic_load_relaxed_bool(&throttle->is_paced) && !never_waits) {
        pace(throttle, byte_count);
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

    if (throttle == NULL) {
        return;
    }
    (void)atomic_add_relaxed_u64(&throttle->done_bytes, byte_count);
    if (rate == 0 || kv->options.is_stepped) {
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
        .throttled_ns = throttle->throttled_ns + throttle->pace.throttled_ns,
        .stopped_ns = throttle->stopped_ns,
        .stopped_worst_ns = throttle->stopped_worst_ns,
    };
    os_mutex_unlock(&throttle->mutex);
}
