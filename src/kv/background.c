/*
 * Background work: who does what next.
 *
 *     flush       the oldest layers, if nobody flushes
 *     settle      an empty change of files, where the manifest is not decided or the store is
 *                 read-only by an error: to see whether it can be written to again
 *     compaction  what kv_pick_next says
 *
 * `background_count` threads compact, and one more is there so that a flush never waits for a
 * compaction: writers wait for flushes. Each takes a piece of work under the store's mutex, does it
 * without, and looks again (background_threads.c). A stepped store has no threads: whoever would
 * wait does a piece, and where both kinds are there dice of `step_seed` say which is first.
 *
 * Failures. A piece of work that fails leaves all as it was. What may be better later (no memory,
 * no space, I/O) is tried again after a pause that doubles, up to 5 s. A flush that cannot write
 * turns the store read-only, as does a compaction that has failed three times: writes would pile up
 * behind it. What succeeds again turns it back, once neither kind of work fails any more. Damage is
 * for good: what is damaged is not compacted again until the store is opened anew.
 *
 * Little memory. What is refused memory is done again at once with less, and inside the reserve
 * that the store has taken when it was opened (flush.c, compact.c). From then on compactions are
 * narrow for a while, one at a time and one that is asked for by hand beside it: trying the usual
 * way first would throw half of the work away. The quota of pinned bytes is halved, and while it is
 * less than whole iterators hold keys alone between moves.
 *
 * Invariants:
 *   1. At most one flush is under way; compactions under way have disjoint inputs (pick.c).
 *   2. running_count is what is under way; no worker waits while holding a piece of work.
 *
 * Locking: the store's mutex for choosing and ending. Nothing is held while work is done.
 */
#include <kv/background_parts.h>

#include <kv/commit.h>
#include <kv/read.h>
#include <kv/throttle.h>

#define BACKOFF_FIRST_NS UINT64_C(20000000)
#define BACKOFF_MAX_NS   UINT64_C(5000000000)
/* At most for want of memory: whoever gives some back tells nobody. */
#define BACKOFF_MEMORY_NS UINT64_C(100000000)
/* Compactions that are narrow after one that was refused memory. Doubling it makes a store slower
 * that has memory again, and halves how often one that has none does work twice. */
#define NARROW_COUNT 16u
/* Layers whose writers are not done yet: soon they are. */
#define WRITERS_NS UINT64_C(1000000)
/* Compactions that fail one after the other before writes are refused. */
#define COMPACTION_FAILURES_MAX 3u

enum work_kind { WORK_NONE, WORK_FLUSH, WORK_SETTLE, WORK_COMPACT };

struct work {
    enum work_kind kind;
    struct kv_layer *layers[KV_FLUSH_LAYERS_MAX]; /* counted */
    size_t layer_count;
    struct kv_pick *pick;
    bool is_small;
    bool is_manual;
    uint64_t wait_ns; /* of NONE: when to look again */
};

uint64_t kv_now_ns(struct quarry_kv *kv)
{
    return kv->options.is_stepped ? quarry_vfs_monotonic_ns(kv->vfs) : os_monotonic_ns(kv->os);
}

void kv_notify(struct quarry_kv *kv, const struct quarry_kv_event_data *data)
{
    const struct quarry_kv_listener *listener = &kv->options.listener;

    if (listener->notice != NULL) {
        listener->notice(listener->argument, data);
    }
}

void kv_background_read_levels(struct quarry_kv *kv, uint64_t ret_read_bytes[QUARRY_KV_LEVELS],
                               uint64_t ret_written_bytes[QUARRY_KV_LEVELS])
{
    const struct kv_background *background = kv->background;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        ret_read_bytes[level] =
            background == NULL ? 0 : atomic_load_relaxed_u64(&background->level_read_bytes[level]);
        ret_written_bytes[level] =
            background == NULL ? 0
                               : atomic_load_relaxed_u64(&background->level_written_bytes[level]);
    }
}

/* ---- choosing ------------------------------------------------------------------------------- */

static bool is_ready(const struct kv_layer *layer)
{
    return layer->memtable == NULL || !kv_memtable_has_writers(layer->memtable);
}

static bool choose_flush(struct quarry_kv *kv, struct work *work)
{
    struct kv_background *background = kv->background;
    size_t count = 0;

    os_mutex_assert_held(&kv->mutex);
    if (background->is_flushing) {
        return false;
    }
    while (count < kv->immutable_count && count < KV_FLUSH_LAYERS_MAX &&
           is_ready(kv->immutable[count])) {
        count++;
    }
    if (count == 0) {
        work->wait_ns = kv->immutable_count == 0 ? work->wait_ns : WRITERS_NS;
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        kv->immutable[i]->is_flushing = true;
        kv_layer_acquire(kv->immutable[i]);
        work->layers[i] = kv->immutable[i];
    }
    background->is_flushing = true;
    work->kind = WORK_FLUSH;
    work->layer_count = count;
    return true;
}

/* Whether there is what a settling would not heal: damage, or compactions that fail. */
static bool has_lasting_trouble(const struct quarry_kv *kv)
{
    const struct kv_background *background = kv->background;

    return background->is_corrupt ||
           background->trouble[KV_TROUBLE_COMPACT].run >= COMPACTION_FAILURES_MAX;
}

/* Whether it is to be seen if the store can be written to. */
static bool choose_settle(struct quarry_kv *kv, struct work *work)
{
    struct kv_background *background = kv->background;
    bool is_wanted = background->is_broken ||
                     (atomic_load_relaxed_bool(&kv->is_failed) && !has_lasting_trouble(kv));

    if (!is_wanted || background->is_settling || background->is_flushing) {
        return false;
    }
    background->is_settling = true;
    work->kind = WORK_SETTLE;
    return true;
}

/* `is_begun`: it is under way from here on. */
static enum quarry_status pick_next(struct quarry_kv *kv, bool is_begun, struct kv_pick **ret_pick)
{
    struct kv_pick_wishes wishes;

    os_mutex_assert_held(&kv->mutex);
    quarry_reserve_begin(kv->memory);
    enum quarry_status status = kv_pick_wishes_init(&wishes, kv);
    if (status == QUARRY_OK) {
        struct kv_version *version = kv_versions_acquire(&kv->versions);
        status = kv_pick_next(version, &kv->picks, &wishes.options, ret_pick);
        if (status == QUARRY_OK && is_begun) {
            kv_picks_begin(&kv->picks, *ret_pick);
        }
        kv_version_release(version);
        kv_pick_wishes_fini(&wishes, kv);
    }
    quarry_reserve_end(kv->memory);
    return status;
}

static bool choose_compaction(struct quarry_kv *kv, struct work *work)
{
    struct kv_background *background = kv->background;

    uint32_t count_max =
        work->is_small ? background->manual_count + 1 : kv->options.background_count;

    if (background->is_corrupt || background->compaction_count >= count_max) {
        return false;
    }
    enum quarry_status status = pick_next(kv, true, &work->pick);
    if (status == QUARRY_NO_MEMORY) {
        work->wait_ns = BACKOFF_FIRST_NS;
    }
    if (status != QUARRY_OK) {
        return false;
    }
    background->compaction_count++;
    work->kind = WORK_COMPACT;
    return true;
}

static bool is_compaction_first(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;

    if (!kv->options.is_stepped) {
        return false;
    }
    /* xorshift64: what follows from the seed, and nothing else. */
    background->dice ^= background->dice << 13;
    background->dice ^= background->dice >> 7;
    background->dice ^= background->dice << 17;
    return (background->dice & 3) == 0;
}

/* Whether a kind of work may be tried; a stepped store tries whenever it is asked. */
static bool is_due(struct quarry_kv *kv, enum kv_trouble_kind kind, struct work *work)
{
    uint64_t retry_ns = kv->background->trouble[kind].retry_ns, now_ns;

    if (kv->options.is_stepped || retry_ns == 0 || retry_ns <= (now_ns = kv_now_ns(kv))) {
        return true;
    }
    if (retry_ns - now_ns < work->wait_ns) {
        work->wait_ns = retry_ns - now_ns;
    }
    return false;
}

static void choose_locked(struct quarry_kv *kv, struct work *work)
{
    bool may_flush = is_due(kv, KV_TROUBLE_FLUSH, work);
    bool may_compact = is_due(kv, KV_TROUBLE_COMPACT, work);

    os_mutex_assert_held(&kv->mutex);
    work->is_small = kv_background_is_short(kv);
    bool is_chosen = may_compact && is_compaction_first(kv) && choose_compaction(kv, work);
    is_chosen = is_chosen || (may_flush && (choose_flush(kv, work) || choose_settle(kv, work)));
    is_chosen = is_chosen || (may_compact && choose_compaction(kv, work));
    kv->background->running_count += is_chosen;
}

static void choose(struct quarry_kv *kv, struct work *work)
{
    *work = (struct work){.kind = WORK_NONE, .wait_ns = KV_TICK_NS};
    os_mutex_lock(&kv->mutex);
    choose_locked(kv, work);
    os_mutex_unlock(&kv->mutex);
}

/* ---- failures ------------------------------------------------------------------------------- */

static uint64_t backoff_of(const struct kv_trouble *trouble)
{
    uint64_t most_ns = trouble->status == QUARRY_NO_MEMORY ? BACKOFF_MEMORY_NS : BACKOFF_MAX_NS;
    uint64_t backoff_ns = BACKOFF_FIRST_NS;

    for (uint32_t i = 1; i < trouble->run && backoff_ns < most_ns; i++) {
        backoff_ns *= 2;
    }
    return size_min_u64(backoff_ns, most_ns);
}

static struct kv_trouble *trouble_of(struct quarry_kv *kv, const struct work *work)
{
    return &kv->background
                ->trouble[work->kind == WORK_COMPACT ? KV_TROUBLE_COMPACT : KV_TROUBLE_FLUSH];
}

static void note_refusal_locked(struct quarry_kv *kv)
{
    os_mutex_assert_held(&kv->mutex);
    kv_pins_shrink(&kv->pins);
    if (kv->background != NULL) {
        kv->background->narrow_count = NARROW_COUNT;
    }
}

void kv_background_note_refusal(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    note_refusal_locked(kv);
    os_mutex_unlock(&kv->mutex);
}

static void note_failure_locked(struct quarry_kv *kv, const struct work *work,
                                enum quarry_status status, const struct quarry_error *error)
{
    struct kv_background *background = kv->background;
    struct kv_trouble *trouble = trouble_of(kv, work);

    trouble->status = status;
    trouble->error = *error;
    if (trouble->run++ == 0) {
        trouble->since_ns = kv_now_ns(kv);
    }
    trouble->retry_ns = kv_now_ns(kv) + backoff_of(trouble);
    background->flush_failure_count += work->kind == WORK_FLUSH;
    if (status == QUARRY_NO_MEMORY) {
        note_refusal_locked(kv);
    }
    background->is_corrupt |= status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED;
}

/* Whether writes are to be refused for it. */
static bool is_fatal(const struct work *work, enum quarry_status status, uint32_t failure_run)
{
    if (status == QUARRY_NO_MEMORY || status == QUARRY_NO_SPACE) {
        return false;
    }
    return status == QUARRY_CORRUPT || work->kind != WORK_COMPACT ||
           failure_run >= COMPACTION_FAILURES_MAX;
}

/* What else a failure means, without locks. */
static void report_failure(struct quarry_kv *kv, const struct work *work, enum quarry_status status,
                           const struct quarry_error *error, uint32_t failure_run)
{
    if (status == QUARRY_NO_SPACE) {
        kv_space_note_full(kv);
    }
    if (status == QUARRY_CORRUPT) {
        const struct quarry_kv_event_data data = {.event = QUARRY_KV_EVENT_CORRUPTION,
                                                  .error = error};
        kv_notify(kv, &data);
    }
    if (is_fatal(work, status, failure_run)) {
        kv_fail(kv, status, error);
    }
}

static void note_success_locked(struct quarry_kv *kv, const struct work *work)
{
    struct kv_trouble *trouble = trouble_of(kv, work);

    if (work->kind == WORK_FLUSH) {
        kv_pins_grow(&kv->pins);
    } else if (work->kind == WORK_COMPACT && work->is_small && kv->background->narrow_count != 0) {
        kv->background->narrow_count--;
        if (kv->background->narrow_count == 0) {
            kv->background->narrow_files = KV_NARROW_FILES;
        }
    }
    if (!kv->background->is_corrupt) {
        *trouble = (struct kv_trouble){.status = QUARRY_OK};
    }
}

/* ---- doing ---------------------------------------------------------------------------------- */

static enum quarry_status settle(struct quarry_kv *kv, struct quarry_error *error)
{
    struct kv_edit edit;

    kv_edit_init(&edit, &kv->small[KV_PART_META]);
    enum quarry_status status = kv_install(kv, &edit, 0, error);
    kv_edit_fini(&edit);
    return status;
}

static enum quarry_status run(struct quarry_kv *kv, struct work *work, struct quarry_error *error)
{
    switch (work->kind) {
    case WORK_FLUSH:
        return kv_flush_layers(kv, work->layers, work->layer_count, error);
    case WORK_SETTLE:
        return settle(kv, error);
    case WORK_COMPACT:
        return kv_compact(kv, work->pick, work->is_small, work->is_manual, error);
    case WORK_NONE:
    default:
        return QUARRY_OK;
    }
}

/* Takes back the marks of what has ended. */
static void end_locked(struct quarry_kv *kv, const struct work *work)
{
    struct kv_background *background = kv->background;

    os_mutex_assert_held(&kv->mutex);
    background->running_count--;
    if (work->kind == WORK_FLUSH) {
        background->is_flushing = false;
    } else if (work->kind == WORK_SETTLE) {
        background->is_settling = false;
    } else {
        background->compaction_count--;
        background->manual_count -= work->is_manual;
        kv_picks_end(&kv->picks, work->pick);
    }
    kv_throttle_look(kv);
}

static void release_work(struct work *work)
{
    for (size_t i = 0; i < work->layer_count; i++) {
        kv_layer_release(work->layers[i]);
    }
    kv_pick_destroy(work->pick);
}

/* Does it and ends it. Returns: its status; QUARRY_CANCELLED where the store closes. */
static enum quarry_status do_work(struct quarry_kv *kv, struct work *work,
                                  struct quarry_error *error)
{
    enum quarry_status status = run(kv, work, error);
    bool has_failed = status != QUARRY_OK && status != QUARRY_CANCELLED;
    uint32_t failure_run;

    os_mutex_lock(&kv->mutex);
    end_locked(kv, work);
    if (has_failed) {
        note_failure_locked(kv, work, status, error);
    } else if (status == QUARRY_OK) {
        note_success_locked(kv, work);
    }
    failure_run = trouble_of(kv, work)->run;
    bool may_resume = status == QUARRY_OK && !kv->background->is_broken &&
                      !has_lasting_trouble(kv) &&
                      kv->background->trouble[KV_TROUBLE_FLUSH].status == QUARRY_OK;
    os_mutex_unlock(&kv->mutex);
    release_work(work);
    quarry_reserve_restore(kv->memory);
    kv_reserve_refill(kv);
    if (has_failed) {
        report_failure(kv, work, status, error, failure_run);
    } else if (may_resume) {
        kv_resume(kv);
    }
    kv_background_changed(kv);
    kv_throttle_tell(kv);
    if (status == QUARRY_OK) {
        kv_files_collect(kv);
        kv_space_look(kv);
    }
    return status;
}

bool kv_background_try(struct quarry_kv *kv, bool *ret_is_done, uint64_t *ret_wait_ns)
{
    struct quarry_error error = {0};
    struct work work;

    choose(kv, &work);
    *ret_wait_ns = work.wait_ns;
    if (work.kind == WORK_NONE) {
        return false;
    }
    *ret_is_done = do_work(kv, &work, &error) == QUARRY_OK;
    return true;
}

bool kv_background_step(struct quarry_kv *kv)
{
    bool is_done = false;
    uint64_t wait_ns;

    if (kv->background == NULL) {
        return false;
    }
    if (kv_space_is_low(kv)) {
        kv_space_look(kv);
    }
    return kv_background_try(kv, &is_done, &wait_ns) && is_done;
}

enum quarry_status kv_background_compact(struct quarry_kv *kv, uint32_t level,
                                         const struct kv_key_range *range,
                                         struct quarry_error *error)
{
    struct quarry_error text = {0};
    struct work work = {.kind = WORK_COMPACT, .is_manual = true};
    struct kv_pick_wishes wishes;

    os_mutex_lock(&kv->mutex);
    quarry_reserve_begin(kv->memory);
    enum quarry_status status = kv_pick_wishes_init(&wishes, kv);
    if (status == QUARRY_OK) {
        struct kv_version *version = kv_versions_acquire(&kv->versions);
        status = kv_pick_manual(version, &kv->picks, &wishes.options, level, range, &work.pick);
        kv_version_release(version);
        kv_pick_wishes_fini(&wishes, kv);
    }
    quarry_reserve_end(kv->memory);
    if (status == QUARRY_OK) {
        kv_picks_begin(&kv->picks, work.pick);
        kv->background->compaction_count++;
        kv->background->manual_count++;
        kv->background->running_count++;
        work.is_small = kv_background_is_short(kv);
    }
    os_mutex_unlock(&kv->mutex);
    if (status == QUARRY_NO_MEMORY) {
        return error_set(error, status, "%s: no memory to choose a compaction", kv->path);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = do_work(kv, &work, &text);
    if (status != QUARRY_OK && error != NULL) {
        *error = text;
    }
    return status;
}

/* ---- what it is at ----------------------------------------------------------------------------
 */

bool kv_background_is_short(const struct quarry_kv *kv)
{
    const struct kv_background *background = kv->background;

    return background != NULL &&
           (background->narrow_count != 0 ||
            background->trouble[KV_TROUBLE_FLUSH].status == QUARRY_NO_MEMORY ||
            background->trouble[KV_TROUBLE_COMPACT].status == QUARRY_NO_MEMORY);
}

bool kv_background_try_narrow(struct quarry_kv *kv, bool is_manual)
{
    struct kv_background *background = kv->background;

    if (background == NULL) {
        return true;
    }
    os_mutex_lock(&kv->mutex);
    bool is_mine = !background->is_narrow[is_manual];
    background->is_narrow[is_manual] = true;
    os_mutex_unlock(&kv->mutex);
    return is_mine;
}

bool kv_background_try_fewer(struct quarry_kv *kv, uint32_t file_count)
{
    struct kv_background *background = kv->background;

    if (background == NULL || file_count <= KV_NARROW_FILES_MIN) {
        return false;
    }
    os_mutex_lock(&kv->mutex);
    uint32_t wanted = background->narrow_files / 2;
    bool is_fewer = wanted >= KV_NARROW_FILES_MIN;
    if (is_fewer) {
        background->narrow_files = wanted;
    }
    os_mutex_unlock(&kv->mutex);
    return is_fewer;
}

void kv_background_end_narrow(struct quarry_kv *kv, bool is_manual)
{
    if (kv->background != NULL) {
        os_mutex_lock(&kv->mutex);
        kv->background->is_narrow[is_manual] = false;
        os_mutex_unlock(&kv->mutex);
    }
}

enum quarry_status kv_background_trouble(struct quarry_kv *kv, struct quarry_error *error)
{
    os_mutex_assert_held(&kv->mutex);
    for (uint32_t kind = 0; kind < KV_TROUBLES; kind++) {
        const struct kv_trouble *trouble = &kv->background->trouble[kind];
        if (trouble->status != QUARRY_OK) {
            if (error != NULL) {
                *error = trouble->error;
            }
            return trouble->status;
        }
    }
    return QUARRY_OK;
}

bool kv_background_is_at_work(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    bool is =
        kv->background != NULL && (kv->immutable_count != 0 || kv->background->running_count != 0);
    os_mutex_unlock(&kv->mutex);
    return is;
}

bool kv_background_is_idle(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;
    struct kv_pick *pick = NULL;

    os_mutex_lock(&kv->mutex);
    bool is_idle =
        background->running_count == 0 && kv->immutable_count == 0 && !background->is_broken;
    if (is_idle && !background->is_corrupt && pick_next(kv, false, &pick) != QUARRY_NOT_FOUND) {
        is_idle = false;
    }
    os_mutex_unlock(&kv->mutex);
    kv_pick_destroy(pick);
    return is_idle;
}
