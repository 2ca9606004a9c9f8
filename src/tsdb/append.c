/*
 * Appending a request.
 *
 *     limits ── windows ── ┌ series ── by shard ── prepare each shard ── apply each shard ┐ ── time
 *                          └──────── one attempt: in the epoch, with a view ──────────────┘
 *                                     │ no memory, or a series went
 *                                     └──> relieve, and begin the attempt anew
 *
 * An attempt holds nothing when it has failed: what was promised is released, so it can leave the
 * epoch, ask for memory to be given up, and start over. Series that it made it finds again.
 *
 * Entries are sorted by shard, by counting, so that each of the 64 locks is taken twice in a
 * request and not twice in a sample. All shards are prepared before the first is applied: a request
 * that takes all or nothing decides in between.
 *
 * The rules are those of the moment when the request began, for all of its samples, as in
 * Prometheus; in an empty store the first sample is the moment.
 *
 * Memory of a request, 12 bytes an entry and 256 for each window, is taken from the account for
 * queries, and given back at its end; a request of up to STACK_ENTRIES entries needs none.
 *
 * Cost: see the parts. Locks: shards', one at a time; the views', twice.
 */
#include <tsdb/append.h>

#include <string.h>

#include <tsdb/background.h>
#include <tsdb/durable.h>
#include <tsdb/turn.h>

/* Entries of a request that needs no memory. Twice as many is 384 bytes more of stack. */
#define STACK_ENTRIES 32u
/* Of tables that have been outgrown, before the background is woken for them and not left to look
 * for itself within a second: of 50,000 series that came since. */
#define RETIRED_BYTES_MAX (UINT64_C(1) << 20)
/* Attempts of one request; most of a window's shards can be sealed, and all windows purged. */
#define ATTEMPTS_MAX 256u

/* ---- refusals ------------------------------------------------------------------------------- */

const char *quarry_tsdb_refusal_text(enum quarry_tsdb_refusal refusal)
{
    static const char *const texts[QUARRY_TSDB_REFUSALS] = {
        [QUARRY_TSDB_TAKEN] = "",
        [QUARRY_TSDB_OUT_OF_ORDER] = "out of order sample",
        [QUARRY_TSDB_OUT_OF_BOUNDS] = "out of bounds",
        [QUARRY_TSDB_TOO_OLD] = "too old sample",
        [QUARRY_TSDB_DUPLICATE] = "duplicate sample for timestamp",
        [QUARRY_TSDB_BAD_LABELS] = "invalid labels",
        [QUARRY_TSDB_SERIES_LIMIT] = "limit of series reached",
        [QUARRY_TSDB_RATE_LIMIT] = "limit of samples per second reached",
        [QUARRY_TSDB_NO_MEMORY] = "memory budget exhausted",
        [QUARRY_TSDB_METRIC_SERIES_LIMIT] = "limit of series of the metric reached",
        [QUARRY_TSDB_METRIC_RATE_LIMIT] = "limit of samples per second of the metric reached",
        [QUARRY_TSDB_BAD_HISTOGRAM] = "invalid native histogram",
    };

    return (uint32_t)refusal < QUARRY_TSDB_REFUSALS ? texts[refusal] : "";
}

/* Whether a refusal fails a request: bad labels are left out, as Prometheus does. */
static bool refusal_fails(enum quarry_tsdb_refusal refusal)
{
    return refusal != QUARRY_TSDB_TAKEN && refusal != QUARRY_TSDB_BAD_LABELS;
}

void tsdb_append_refuse(struct tsdb_append *append, uint32_t entry, size_t sample, uint64_t count,
                        enum quarry_tsdb_refusal refusal)
{
    struct quarry_tsdb_result *result = append->result;
    uint8_t *refusals = append->request->ret_refusals;

    result->refused_counts[refusal] += count;
    if (refusals != NULL && refusals[entry] == QUARRY_TSDB_TAKEN) {
        refusals[entry] = (uint8_t)refusal;
    }
    bool is_first = entry < result->first_entry ||
                    (entry == result->first_entry && sample < result->first_sample);
    if (refusal_fails(refusal) && (result->first == QUARRY_TSDB_TAKEN || is_first)) {
        result->first = refusal;
        result->first_entry = entry;
        result->first_sample = sample;
    }
}

/* All of a request is refused for one reason. */
static void request_refuse(struct tsdb_append *append, enum quarry_tsdb_refusal refusal)
{
    for (uint32_t i = 0; i < append->request->entry_count; i++) {
        tsdb_append_refuse(append, i, 0, tsdb_entry_count(&append->request->entries[i]), refusal);
    }
}

static enum quarry_status refusal_status(enum quarry_tsdb_refusal refusal)
{
    switch (refusal) {
    case QUARRY_TSDB_SERIES_LIMIT:
    case QUARRY_TSDB_RATE_LIMIT:
    case QUARRY_TSDB_METRIC_SERIES_LIMIT:
    case QUARRY_TSDB_METRIC_RATE_LIMIT:
        return QUARRY_TOO_MANY;
    case QUARRY_TSDB_NO_MEMORY:
        return QUARRY_NO_MEMORY;
    case QUARRY_TSDB_OUT_OF_ORDER:
    case QUARRY_TSDB_OUT_OF_BOUNDS:
    case QUARRY_TSDB_TOO_OLD:
    case QUARRY_TSDB_DUPLICATE:
    case QUARRY_TSDB_BAD_HISTOGRAM:
        return QUARRY_BAD_INPUT;
    case QUARRY_TSDB_TAKEN:
    case QUARRY_TSDB_BAD_LABELS:
    case QUARRY_TSDB_REFUSALS:
        break;
    }
    return QUARRY_OK;
}

/* What a request comes to: what cannot be repaired by waiting is told before what can. */
static enum quarry_status result_status(const struct quarry_tsdb_result *result)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < QUARRY_TSDB_REFUSALS; i++) {
        enum quarry_status one = result->refused_counts[i] == 0
                                     ? QUARRY_OK
                                     : refusal_status((enum quarry_tsdb_refusal)i);
        if (one != QUARRY_OK && (status == QUARRY_OK || one == QUARRY_BAD_INPUT)) {
            status = one;
        }
    }
    return status;
}

/* ---- windows -------------------------------------------------------------------------------- */

/* The newest time of a request's samples that may be taken; no lower than one that is given. */
static int64_t newest_ms(const struct tsdb_append *append, int64_t max_ms)
{
    const struct quarry_tsdb_request *request = append->request;

    for (size_t i = 0; i < request->entry_count; i++) {
        struct tsdb_points points = {.entry = &request->entries[i]};
        struct tsdb_point point;
        while (tsdb_points_next(&points, &point)) {
            if (point.t_ms > max_ms && point.t_ms <= append->rules.max_ms) {
                max_ms = point.t_ms;
            }
        }
    }
    return max_ms;
}

/* The newest window that a sample of the request, or of the store, is in. */
static bool newest_window(const struct tsdb_append *append, int32_t *ret_number)
{
    int64_t max_ms = newest_ms(append, tsdb_time_ms(append->tsdb));

    return max_ms != TSDB_TIME_NONE &&
           tsdb_window_number(max_ms, append->tsdb->options.window_ms, ret_number);
}

/* Whether a window is there, and whether it is to be filled before samples can come to it. */
static bool window_exists(struct tsdb_append *append, int32_t number, bool *ret_is_sealed)
{
    struct tsdb_view *view = tsdb_view_acquire(&append->tsdb->views);
    const struct tsdb_window *window = tsdb_view_find(view, number);
    bool exists = window != NULL;

    *ret_is_sealed = exists && atomic_load_acquire_u64(&window->sealed_mask) != 0;
    tsdb_view_release(&append->tsdb->views, view);
    return exists;
}

/* Has a window for a time, if one is to be had. Failing is no error: its samples are refused. */
static enum quarry_status window_have(struct tsdb_append *append, int64_t t_ms, int32_t newest,
                                      int32_t *last)
{
    const struct quarry_tsdb_options *options = &append->tsdb->options;
    int32_t number;
    bool is_sealed;

    if (t_ms > append->rules.max_ms || t_ms < tsdb_rules_min_ms(&append->rules) ||
        !tsdb_window_number(t_ms, options->window_ms, &number) || number == *last) {
        return QUARRY_OK;
    }
    *last = number;
    if ((int64_t)number < (int64_t)newest - options->window_count) {
        return QUARRY_OK;
    }
    if (!window_exists(append, number, &is_sealed)) {
        return tsdb_turn_make_window(append->tsdb, number);
    }
    return append->fills && is_sealed ? tsdb_turn_fill_window(append->tsdb, number) : QUARRY_OK;
}

/* Makes the windows that the samples fall in, and are not there. */
static enum quarry_status windows_have(struct tsdb_append *append)
{
    const struct quarry_tsdb_request *request = append->request;
    enum quarry_status status = QUARRY_OK;
    int32_t newest, last = INT32_MIN;

    if (!newest_window(append, &newest)) {
        return QUARRY_OK;
    }
    for (size_t i = 0; i < request->entry_count && status == QUARRY_OK; i++) {
        struct tsdb_points points = {.entry = &request->entries[i]};
        struct tsdb_point point;
        while (status == QUARRY_OK && tsdb_points_next(&points, &point)) {
            status = window_have(append, point.t_ms, newest, &last);
        }
    }
    return status;
}

/* ---- one attempt ---------------------------------------------------------------------------- */

/* Sorts entries by shard, by counting; those without a series are left out. */
static void items_sort(struct tsdb_append *append)
{
    uint32_t count = (uint32_t)append->request->entry_count, at[TSDB_SHARD_COUNT];

    memset(append->start, 0, sizeof append->start);
    for (uint32_t i = 0; i < count; i++) {
        if (append->items[i].id != TSDB_SERIES_NONE) {
            append->start[tsdb_shard_of(append->items[i].id) + 1]++;
        }
    }
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        append->start[i + 1] += append->start[i];
        at[i] = append->start[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        if (append->items[i].id != TSDB_SERIES_NONE) {
            append->order[at[tsdb_shard_of(append->items[i].id)]++] = i;
        }
    }
}

static bool shard_is_empty(const struct tsdb_append *append, uint32_t shard)
{
    return append->start[shard] == append->start[shard + 1];
}

static enum tsdb_append_step shards_prepare(struct tsdb_append *append)
{
    enum tsdb_append_step step = TSDB_APPEND_GO_ON;
    uint32_t shard = 0;

    for (; shard < TSDB_SHARD_COUNT && step == TSDB_APPEND_GO_ON; shard++) {
        if (!shard_is_empty(append, shard)) {
            step = tsdb_append_prepare(append, shard);
        }
    }
    return step;
}

/* Whether what was refused so far leaves the rest of the request to be appended. */
static bool request_goes_on(const struct tsdb_append *append)
{
    return append->request->is_partial || append->result->first == QUARRY_TSDB_TAKEN;
}

static enum tsdb_append_step shards_append(struct tsdb_append *append)
{
    enum tsdb_append_step step = shards_prepare(append);
    bool goes_on = step == TSDB_APPEND_GO_ON && request_goes_on(append);

    if (goes_on && append->logged != NULL) {
        append->log_status = tsdb_durable_log(append);
        goes_on = append->log_status == QUARRY_OK;
    }
    for (uint32_t shard = 0; shard < TSDB_SHARD_COUNT; shard++) {
        if (shard_is_empty(append, shard)) {
            continue;
        }
        if (goes_on) {
            tsdb_append_apply(append, shard);
        } else {
            tsdb_append_abandon(append, shard);
        }
    }
    return step;
}

/* Forgets what an attempt before this one has found. */
static void attempt_begin(struct tsdb_append *append)
{
    struct quarry_tsdb_result *result = append->result;

    *result = (struct quarry_tsdb_result){.new_series_count = result->new_series_count};
    if (append->request->ret_refusals != NULL) {
        memset(append->request->ret_refusals, 0, append->request->entry_count);
    }
    append->taken_max_ms = INT64_MIN;
    append->late_count = append->repeated_count = append->raced_count = 0;
    append->refused_shards = 0;
    append->is_outrun = false;
    append->logged_count = append->logged_histogram_count = append->ticket_count = 0;
    memset(append->usable, 0, sizeof append->usable);
    memset(append->frugal, 0, sizeof append->frugal);
    memset(append->refused_before, 0, sizeof append->refused_before);
    memset(append->promised, 0,
           (size_t)TSDB_SHARD_COUNT * append->view->window_count * sizeof(*append->promised));
}

/* The series are known: of a log that is replayed. */
static enum tsdb_append_step items_known(struct tsdb_append *append)
{
    for (uint32_t i = 0; i < append->request->entry_count; i++) {
        append->items[i] = tsdb_append_item_of(append->known_ids[i], i);
    }
    return TSDB_APPEND_GO_ON;
}

static enum tsdb_append_step attempt(struct tsdb_append *append)
{
    struct quarry_tsdb *tsdb = append->tsdb;

    quarry_epoch_enter(tsdb->epoch);
    append->view = tsdb_view_acquire(&tsdb->views);
    attempt_begin(append);
    enum tsdb_append_step step =
        append->known_ids != NULL ? items_known(append) : tsdb_append_find_series(append);
    if (step == TSDB_APPEND_GO_ON) {
        tsdb_append_refuse_bad(append);
    }
    if (step == TSDB_APPEND_GO_ON && request_goes_on(append)) {
        tsdb_append_take_metrics(append);
        items_sort(append);
        step = shards_append(append);
        if (step != TSDB_APPEND_GO_ON || !request_goes_on(append)) {
            tsdb_append_give_metrics(append);
        }
    }
    tsdb_view_release(&tsdb->views, append->view);
    quarry_epoch_leave(tsdb->epoch);
    return step;
}

/* What an attempt, or a window that could not be made, comes to. */
static enum tsdb_append_step attempt_or_not(struct tsdb_append *append)
{
    enum quarry_status status = windows_have(append);

    append->lacks_window = status != QUARRY_OK;
    if (status == QUARRY_NO_MEMORY && !append->is_last) {
        return TSDB_APPEND_NO_MEMORY;
    }
    append->is_last = append->is_last || append->lacks_window; /* no memory would help */
    return attempt(append);
}

void tsdb_append_attempts(struct tsdb_append *append)
{
    append->is_last = false;
    for (uint32_t i = 1;; i++) {
        enum tsdb_append_step step = attempt_or_not(append);
        if (step == TSDB_APPEND_GO_ON) {
            return;
        }
        if (step == TSDB_APPEND_AGAIN) {
            append->is_last = append->is_last || (append->is_outrun && i >= ATTEMPTS_MAX);
            os_yield(); /* who removes it, or seals it, is about to be done */
            continue;
        }
        if (append->is_last) { /* all or nothing, and there is no room for all */
            append->result->taken_count = append->result->taken_histogram_count = 0;
            request_refuse(append, QUARRY_TSDB_NO_MEMORY);
            return;
        }
        enum tsdb_relief relief =
            step == TSDB_APPEND_NO_SERIES || append->is_past ? TSDB_RELIEF_SEAL : TSDB_RELIEF_PURGE;
        append->is_last = i >= ATTEMPTS_MAX || !tsdb_turn_relieve(append->tsdb, relief);
    }
}

/* ---- the request ---------------------------------------------------------------------------- */

static void counters_add(struct quarry_tsdb *tsdb, const struct tsdb_append *append)
{
    struct tsdb_counters *counters = &tsdb->counters;

    (void)atomic_add_relaxed_u64(&counters->taken_count, append->result->taken_count);
    (void)atomic_add_relaxed_u64(&counters->taken_exemplar_count,
                                 append->result->taken_exemplar_count);
    (void)atomic_add_relaxed_u64(&counters->refused_exemplar_count,
                                 append->result->refused_exemplar_count);
    (void)atomic_add_relaxed_u64(&counters->histogram_count, append->result->taken_histogram_count);
    (void)atomic_add_relaxed_u64(&counters->late_count, append->late_count);
    (void)atomic_add_relaxed_u64(&counters->repeated_count, append->repeated_count);
    (void)atomic_add_relaxed_u64(&counters->raced_count, append->raced_count);
    for (uint32_t i = 0; i < QUARRY_TSDB_REFUSALS; i++) {
        if (append->result->refused_counts[i] != 0) {
            (void)atomic_add_relaxed_u64(&counters->refused_counts[i],
                                         append->result->refused_counts[i]);
        }
    }
}

/* How many samples there are, and the first of them; false: there is nothing, no exemplar either.
 */
static bool request_begin(const struct quarry_tsdb_request *request, uint64_t *ret_count,
                          int64_t *ret_first_ms)
{
    uint64_t count = 0;

    bool has_exemplars = false;

    for (size_t i = 0; i < request->entry_count; i++) {
        struct tsdb_points points = {.entry = &request->entries[i]};
        struct tsdb_point point;
        if (count == 0 && tsdb_points_next(&points, &point)) {
            *ret_first_ms = point.t_ms;
        }
        count += tsdb_entry_count(&request->entries[i]);
        has_exemplars = has_exemplars || request->entries[i].exemplar_count != 0;
    }
    *ret_count = count;
    return count != 0 || has_exemplars;
}

/* Takes whatever is in a window that is kept. For what is of the past no window is purged. */
static void rules_widen(struct tsdb_append *append)
{
    const struct quarry_tsdb_options *options = &append->tsdb->options;
    int64_t time_ms = tsdb_time_ms(append->tsdb), kept_ms;
    int32_t newest, now;

    if (newest_window(append, &newest) &&
        !__builtin_mul_overflow((int64_t)newest - options->window_count, options->window_ms,
                                &kept_ms)) {
        append->rules.late_min_ms =
            kept_ms < append->rules.late_min_ms ? kept_ms : append->rules.late_min_ms;
    }
    append->is_past = time_ms != TSDB_TIME_NONE &&
                      tsdb_window_number(time_ms, options->window_ms, &now) &&
                      newest_ms(append, INT64_MIN) < now * options->window_ms;
}

static void rules_make(struct tsdb_append *append)
{
    struct quarry_tsdb *tsdb = append->tsdb;
    const struct quarry_tsdb_options *options = &tsdb->options;
    int64_t time_ms = tsdb_time_ms(tsdb);

    append->rules =
        tsdb_rules_at(time_ms == TSDB_TIME_NONE ? append->first_ms : time_ms, append->wall_ms,
                      options->in_order_ms, options->out_of_order_ms, options->future_ms);
    append->fills = append->request->fills_past || options->out_of_order_ms > tsdb->grace_ms;
    if (append->fills) {
        append->now_ns = os_monotonic_ns(os_real());
    }
    if (append->request->fills_past) {
        rules_widen(append);
    }
}

/* Whether there is something to seal, or tables that new series have outgrown. */
static bool turn_is_wanted(struct quarry_tsdb *tsdb)
{
    return tsdb_turn_is_due(tsdb) ||
           tsdb_registry_retired_bytes(tsdb->registry) >= RETIRED_BYTES_MAX;
}

static void append_run(struct tsdb_append *append, uint64_t count)
{
    struct quarry_tsdb *tsdb = append->tsdb;
    const struct quarry_tsdb_limits *limits = tsdb_limits_of(&tsdb->limits, append->tenant);

    if (!tsdb_limits_take_samples(limits, append->tenant, append->wall_ms, count)) {
        request_refuse(append, QUARRY_TSDB_RATE_LIMIT);
        return;
    }
    tsdb_append_attempts(append);
    tsdb_time_raise(tsdb, append->taken_max_ms);
    if (tsdb->background != NULL && turn_is_wanted(tsdb)) {
        tsdb_background_wake(tsdb->background);
    }
}

/* Where a small request has its arrays. */
struct stack_room {
    struct tsdb_append_item items[STACK_ENTRIES];
    uint32_t order[STACK_ENTRIES];
    uint32_t promised[TSDB_SHARD_COUNT * TSDB_VIEW_WINDOWS_MAX];
    struct tsdb_log_sample logged[STACK_ENTRIES];
    uint8_t logged_windows[STACK_ENTRIES];
};

/* Has the arrays of a request. `ret_taken`: what is to be given back. False: no memory. */
static bool arrays_take(struct tsdb_append *append, struct stack_room *room, void **ret_taken)
{
    size_t count = append->request->entry_count;

    append->promised = room->promised;
    append->items = room->items;
    append->order = room->order;
    if (count <= STACK_ENTRIES) {
        return true;
    }
    *ret_taken = tsdb_memory_take(&append->tsdb->small[TSDB_PART_QUERY],
                                  count * (sizeof(*append->items) + sizeof(*append->order)));
    append->items = *ret_taken;
    append->order = (uint32_t *)(void *)(append->items + count);
    return *ret_taken != NULL;
}

/* Has room for what is logged of a request, where it is. As arrays_take. */
static bool logged_take(struct tsdb_append *append, uint64_t count, struct stack_room *room,
                        void **ret_taken)
{
    const size_t bytes = sizeof(*append->logged) + sizeof(*append->logged_windows);

    if (!tsdb_durable_logs(append->tsdb->durable)) {
        return true;
    }
    append->logged = room->logged;
    append->logged_windows = room->logged_windows;
    if (count <= STACK_ENTRIES) {
        return true;
    }
    *ret_taken = count > UINT32_MAX
                     ? NULL
                     : tsdb_memory_take(&append->tsdb->small[TSDB_PART_QUERY], count * bytes);
    append->logged = *ret_taken;
    append->logged_windows = (uint8_t *)(append->logged + count);
    return *ret_taken != NULL;
}

/* Why a store with a directory takes nothing now. */
static enum quarry_status durable_refusal(const struct tsdb_durable *durable)
{
    if (durable == NULL) {
        return QUARRY_OK;
    }
    return tsdb_durable_is_ready(durable) ? tsdb_durable_status(durable) : QUARRY_BUSY;
}

static void request_run(struct tsdb_append *append, uint64_t count)
{
    if (count != 0) {
        rules_make(append);
        append_run(append, count);
    }
    if (request_goes_on(append) && append->log_status == QUARRY_OK) {
        tsdb_append_exemplars(append);
    }
    if (append->logged != NULL && append->log_status == QUARRY_OK) {
        append->log_status = tsdb_durable_wait(append);
    }
}

enum quarry_status quarry_tsdb_append(struct quarry_tsdb *tsdb,
                                      const struct quarry_tsdb_request *request,
                                      struct quarry_tsdb_result *ret_result)
{
    struct tsdb_append append = {.tsdb = tsdb, .request = request, .result = ret_result};
    struct stack_room room;
    uint64_t count;
    void *taken = NULL, *scratch = NULL, *logged_taken = NULL, *histograms_taken = NULL;

    *ret_result = (struct quarry_tsdb_result){.taken_count = 0};
    if (request->ret_refusals != NULL) {
        memset(request->ret_refusals, 0, request->entry_count);
    }
    if (request->entry_count > UINT32_MAX / 2) {
        return QUARRY_TOO_LARGE;
    }
    if (!request_begin(request, &count, &append.first_ms)) {
        return QUARRY_OK;
    }
    enum quarry_status status = durable_refusal(tsdb->durable);
    if (status != QUARRY_OK) {
        return status;
    }
    append.wall_ms = tsdb_wall_ms(tsdb);
    append.taken_max_ms = TSDB_TIME_NONE;
    append.tenant = tsdb_limits_tenant(&tsdb->limits, request->tenant);
    if (append.tenant == NULL || !arrays_take(&append, &room, &taken) ||
        !tsdb_append_scratch(&append, &scratch) ||
        !logged_take(&append, count, &room, &logged_taken) ||
        !tsdb_append_logged_take(&append, &histograms_taken)) {
        request_refuse(&append, QUARRY_TSDB_NO_MEMORY);
    } else {
        request_run(&append, count);
    }
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], scratch);
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], taken);
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], logged_taken);
    tsdb_memory_give(&tsdb->small[TSDB_PART_QUERY], histograms_taken);
    counters_add(tsdb, &append);
    return append.log_status != QUARRY_OK ? append.log_status : result_status(ret_result);
}
