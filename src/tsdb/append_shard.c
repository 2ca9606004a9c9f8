/*
 * A request in one shard: judged first, appended afterwards.
 *
 *     prepare   lock ── judge each against its series' last one ── promise chunklets ── unlock
 *               back what was promised, with no lock held
 *     apply     lock ── judge again, one after another ── append ── unlock
 *
 * Judging comes first for all shards, so that a request of which nothing may be taken when
 * something is refused has changed nothing by then. In between another request may have appended to
 * the same series, and what was in order is so no more: it is left out and counted, and the request
 * succeeds. Prometheus does the same, for the same reason: its appender looks at series as they
 * were committed when it is given samples, and again when it commits. So samples of one series that
 * are out of order among themselves are not refused either, here as there.
 *
 * Invariants
 *   1. What apply takes, prepare has promised: rules do not change in between, a series' last
 *      sample only rises, and windows that took no promise take no sample (`usable`). A frugal
 *      sample, whose chain had room (shard.c), takes nothing but what others have left behind.
 *   2. A shard with a promise is not closed (seal.c), so its windows are open in apply.
 *
 * Locking: the shard's mutex, twice for each shard that a request touches.
 */
#include <tsdb/append.h>

#include <tsdb/shard.h>

/* What a point is compared with the series' last by, if they are of one moment: its bits; of a
 * histogram a hash. Those of another kind than the last never equal it. */
static uint64_t point_bits(const struct tsdb_append *append, const struct tsdb_head *head,
                           const struct tsdb_point *point)
{
    bool is_histogram = point->histogram != NULL;

    if (Q_UNLIKELY(is_histogram != tsdb_head_is_histogram(head))) {
        return ~head->bits;
    }
    return is_histogram ? tsdb_shard_histogram_hash(point->histogram, &append->scratch)
                        : point->bits;
}

static struct tsdb_judgement judge(const struct tsdb_append *append,
                                   const struct tsdb_series *series, const struct tsdb_point *point)
{
    const struct tsdb_head *head = &series->head;
    const struct tsdb_sample last = {head->t_ms, head->bits};
    struct tsdb_sample sample = {point->t_ms, point->bits};

    if (Q_UNLIKELY(head->tail != TSDB_CHUNKLET_NONE && point->t_ms == head->t_ms)) {
        sample.bits = point_bits(append, head, point);
    }
    return tsdb_rules_judge(&append->rules, head->tail != TSDB_CHUNKLET_NONE ? &last : NULL,
                            sample);
}

/* The index in the view of the window that a time is in; TSDB_VIEW_WINDOWS_MAX: none. */
static uint32_t window_index(const struct tsdb_append *append, int64_t t_ms)
{
    const struct tsdb_view *view = append->view;

    for (uint32_t i = view->window_count; i > 0; i--) {
        const struct tsdb_window *window = view->windows[i - 1];
        if (t_ms >= window->start_ms) {
            return t_ms < window->end_ms ? i - 1 : TSDB_VIEW_WINDOWS_MAX;
        }
    }
    return TSDB_VIEW_WINDOWS_MAX;
}

static struct tsdb_open_shard *open_shard(const struct tsdb_append *append, uint32_t index,
                                          uint32_t shard)
{
    struct tsdb_open *open = tsdb_window_open(append->view->windows[index]);

    return open == NULL ? NULL : &open->shard[shard];
}

static uint32_t *promised_of(struct tsdb_append *append, uint32_t shard)
{
    return append->promised + (size_t)shard * append->view->window_count;
}

static const struct quarry_tsdb_entry *entry_of(const struct tsdb_append *append,
                                                const struct tsdb_append_item *item)
{
    return &append->request->entries[item->entry];
}

/* ---- preparing ------------------------------------------------------------------------------ */

/* Bits for 2,048 series of a shard: of 150 in a request, 5 are taken for one that came before, and
 * get a chunklet promised that they do not need. */
#define SEEN_WORDS 32u

/* What a shard's series will need, by window of the view. */
struct needs {
    uint32_t chunklets[TSDB_VIEW_WINDOWS_MAX];
    uint32_t closed; /* bits of windows that take nothing in this shard */
    uint32_t used;   /* bits of those that get something */
    /* bits of those in which chains' room is counted on, as it may be, and as it is */
    uint32_t may_be_frugal, frugal;
    uint64_t seen[SEEN_WORDS]; /* bits of series that came before, by their local numbers' ends */
    uint32_t id_max[TSDB_VIEW_WINDOWS_MAX];
};

static uint32_t closed_windows(const struct tsdb_append *append, uint32_t shard)
{
    uint32_t closed = 0;

    for (uint32_t i = 0; i < append->view->window_count; i++) {
        const struct tsdb_open_shard *open = open_shard(append, i, shard);
        closed |= (open == NULL || open->is_closed ? UINT32_C(1) : 0) << i;
    }
    return closed;
}

/* Windows in which a request may be frugal: it is alone there, its samples are not all late, and a
 * chunklet for each would need another page. */
static uint32_t frugal_windows(const struct tsdb_append *append, uint32_t shard, uint32_t closed)
{
    uint32_t frugal = 0, count = append->start[shard + 1] - append->start[shard];

    for (uint32_t i = 0; i < append->view->window_count; i++) {
        const struct tsdb_open *open = tsdb_window_open(append->view->windows[i]);
        bool may = (closed >> i & 1) == 0 && tsdb_open_base(open) == NULL &&
                   tsdb_shard_may_be_frugal(&open->shard[shard]) &&
                   tsdb_shard_lacks(&open->shard[shard], count);
        frugal |= (may ? UINT32_C(1) : 0) << i;
    }
    return frugal;
}

/* Whether this series did not come before in this request; it has now. */
static bool needs_see(struct needs *needs, uint32_t id)
{
    uint32_t bit = tsdb_local_of(id) % (64 * SEEN_WORDS);
    uint64_t *word = &needs->seen[bit / 64], mask = UINT64_C(1) << bit % 64;
    bool is_first = (*word & mask) == 0;

    *word |= mask;
    return is_first;
}

/* Has a sample logged before it is appended. */
static void log_add(struct tsdb_append *append, uint32_t id, uint32_t index,
                    const struct tsdb_point *point)
{
    if (Q_UNLIKELY(point->histogram != NULL)) {
        append->logged_histograms[append->logged_histogram_count++] =
            (struct tsdb_append_logged){point->histogram, id, (uint8_t)index};
        return;
    }
    append->logged[append->logged_count] = (struct tsdb_log_sample){id, point->t_ms, point->bits};
    append->logged_windows[append->logged_count++] = (uint8_t)index;
}

/* Floats of one series and window, one after another, whose chunklets are not counted yet. */
struct run {
    uint32_t index;
    size_t count;
};

static void needs_add_run(struct needs *needs, uint32_t id, struct run *run)
{
    if (run->count != 0) {
        needs->used |= UINT32_C(1) << run->index;
        needs->chunklets[run->index] += tsdb_shard_need(run->count);
        needs->id_max[run->index] = id > needs->id_max[run->index] ? id : needs->id_max[run->index];
    }
    run->count = 0;
}

/* A point that will be taken, in a window, and is promised for. */
static void needs_add(struct needs *needs, uint32_t id, uint32_t index,
                      const struct tsdb_point *point, struct run *run)
{
    if (index != run->index || point->histogram != NULL) {
        needs_add_run(needs, id, run);
        run->index = index;
    }
    if (Q_LIKELY(point->histogram == NULL)) {
        run->count++;
        return;
    }
    needs->used |= UINT32_C(1) << index;
    needs->chunklets[index] +=
        tsdb_shard_need_histogram(tsdb_histogram_bytes_need(point->histogram));
    needs->id_max[index] = id > needs->id_max[index] ? id : needs->id_max[index];
}

/* Why a sample is refused whose window is not there, or not open. */
static enum quarry_tsdb_refusal refusal_closed(const struct tsdb_append *append, uint32_t index,
                                               int64_t t_ms)
{
    return (index == TSDB_VIEW_WINDOWS_MAX && append->lacks_window) ||
                   (index != TSDB_VIEW_WINDOWS_MAX && append->fills)
               ? QUARRY_TSDB_NO_MEMORY
               : tsdb_rules_refusal(&append->rules, t_ms);
}

/* Windows in which the sample of an entry may be frugal: its only one, and nothing of this request
 * comes before it. */
static uint32_t item_frugal_windows(const struct tsdb_append *append,
                                    const struct tsdb_append_item *item, struct needs *needs)
{
    const struct quarry_tsdb_entry *entry = entry_of(append, item);
    bool may = needs->may_be_frugal != 0 && needs_see(needs, item->id) &&
               entry->sample_count == 1 && entry->histogram_count == 0;

    return may ? needs->may_be_frugal : 0;
}

/* Whether the one sample of an entry has room in its series' chain. */
static bool item_has_room(const struct tsdb_append *append, const struct tsdb_append_item *item,
                          const struct tsdb_series *series, uint32_t index,
                          const struct tsdb_point *point)
{
    const struct tsdb_open *open = tsdb_window_open(append->view->windows[index]);
    const struct tsdb_chain *chain = tsdb_open_chain(open, item->id);

    return chain != NULL &&
           tsdb_shard_has_room(&open->shard[tsdb_shard_of(item->id)], chain, &series->head,
                               (struct tsdb_sample){point->t_ms, point->bits});
}

/* Judges the samples of one entry. */
static void item_prepare(struct tsdb_append *append, struct tsdb_append_item *item,
                         const struct tsdb_series *series, struct needs *needs)
{
    struct tsdb_points points = {.entry = entry_of(append, item)};
    struct tsdb_point point;
    struct run run = {.index = TSDB_VIEW_WINDOWS_MAX};
    uint32_t frugal = item_frugal_windows(append, item, needs);

    while (tsdb_points_next(&points, &point)) {
        if (tsdb_append_is_bad(append, &point)) {
            continue;
        }
        struct tsdb_judgement judgement = judge(append, series, &point);
        uint32_t index = window_index(append, point.t_ms);
        bool is_open = index < TSDB_VIEW_WINDOWS_MAX && (needs->closed >> index & 1) == 0;
        if (judgement.verdict == TSDB_VERDICT_REPEATED) {
            continue;
        }
        if (judgement.verdict != TSDB_VERDICT_REFUSED && !is_open) {
            append->is_outrun |= append->fills && index < TSDB_VIEW_WINDOWS_MAX;
            judgement.refusal = refusal_closed(append, index, point.t_ms);
        }
        if (judgement.refusal != QUARRY_TSDB_TAKEN) {
            append->refused_before[tsdb_shard_of(item->id)]++;
            tsdb_append_refuse(append, item->entry, point.index, 1, judgement.refusal);
            continue;
        }
        item->is_frugal = (frugal >> index & 1) != 0 && judgement.verdict == TSDB_VERDICT_ORDER &&
                          item_has_room(append, item, series, index, &point);
        if (item->is_frugal) {
            needs->used |= UINT32_C(1) << index;
            needs->frugal |= UINT32_C(1) << index;
        } else {
            needs_add(needs, item->id, index, &point, &run);
        }
        if (append->logged != NULL) {
            log_add(append, item->id, index, &point);
        }
    }
    needs_add_run(needs, item->id, &run);
}

/* Whether samples may have more, and leave what sealing and queries are kept. */
static bool room_is_there(struct quarry_tsdb *tsdb)
{
    uint64_t limit_bytes = tsdb->options.memory_bytes;

    return limit_bytes == 0 ||
           tsdb_charged_bytes(tsdb) + limit_bytes / TSDB_RESERVE_PART <= limit_bytes;
}

static enum quarry_status space_back(struct tsdb_append *append, struct tsdb_space *space,
                                     uint64_t end_bytes)
{
    /* Relaxed: only to save the question; tsdb_space_back looks again. */
    if (end_bytes > atomic_load_relaxed_u64(&space->backed_bytes) && !room_is_there(append->tsdb)) {
        return QUARRY_NO_MEMORY;
    }
    return tsdb_space_back(space, end_bytes);
}

/* Has what was promised, and chains' beginnings, backed. */
static enum quarry_status needs_back(struct tsdb_append *append, uint32_t shard,
                                     const struct needs *needs, const uint64_t *ends)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < append->view->window_count && status == QUARRY_OK; i++) {
        if ((needs->used >> i & 1) == 0) {
            continue;
        }
        struct tsdb_open *open = tsdb_window_open(append->view->windows[i]);
        uint64_t chains_end = ((uint64_t)needs->id_max[i] + 1) * sizeof(struct tsdb_chain);
        status = space_back(append, &open->shard[shard].chunklets, ends[i]);
        if (status == QUARRY_OK) {
            status = space_back(append, &open->chains, chains_end);
        }
    }
    return status;
}

/* Promises what is needed; `ret_ends`: how far chunklets have to be backed. */
static void needs_promise_locked(struct tsdb_append *append, uint32_t shard,
                                 const struct needs *needs, uint64_t *ret_ends)
{
    uint32_t *promised = promised_of(append, shard);

    for (uint32_t i = 0; i < append->view->window_count; i++) {
        if ((needs->used >> i & 1) != 0) {
            ret_ends[i] = tsdb_shard_promise(open_shard(append, i, shard), needs->chunklets[i],
                                             (needs->frugal >> i & 1) != 0);
            promised[i] = needs->chunklets[i];
        }
    }
    append->usable[shard] = needs->used;
    append->frugal[shard] = needs->frugal;
}

static bool shard_judge_locked(struct tsdb_append *append, uint32_t shard, struct needs *needs)
{
    needs->closed = closed_windows(append, shard);
    needs->may_be_frugal = frugal_windows(append, shard, needs->closed);
    for (uint32_t i = append->start[shard]; i < append->start[shard + 1]; i++) {
        struct tsdb_append_item *item = &append->items[append->order[i]];
        const struct tsdb_series *series = tsdb_registry_series(append->tsdb->registry, item->id);
        if ((series->flags & TSDB_SERIES_GONE) != 0) {
            return false;
        }
        item_prepare(append, item, series, needs);
    }
    return true;
}

/* Samples of an entry, but for histograms that are refused already. */
static uint64_t good_count(const struct tsdb_append *append, const struct tsdb_append_item *item)
{
    struct tsdb_points points = {.entry = entry_of(append, item)};
    struct tsdb_point point;
    uint64_t count = 0;

    while (tsdb_points_next(&points, &point)) {
        count += !tsdb_append_is_bad(append, &point);
    }
    return count;
}

/* All of a shard's entries are refused for want of room. */
static void shard_refuse(struct tsdb_append *append, uint32_t shard)
{
    for (uint32_t i = append->start[shard]; i < append->start[shard + 1]; i++) {
        const struct tsdb_append_item *item = &append->items[append->order[i]];
        tsdb_append_refuse(append, item->entry, 0, good_count(append, item), QUARRY_TSDB_NO_MEMORY);
    }
}

enum tsdb_append_step tsdb_append_prepare(struct tsdb_append *append, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, shard);
    struct needs needs = {.closed = 0};
    uint64_t ends[TSDB_VIEW_WINDOWS_MAX];
    uint32_t logged_before = append->logged_count;
    uint32_t histograms_before = append->logged_histogram_count;

    os_mutex_lock(mutex);
    bool is_whole = shard_judge_locked(append, shard, &needs);
    is_whole = is_whole && (append->is_last || !append->is_outrun);
    if (is_whole) {
        needs_promise_locked(append, shard, &needs, ends);
    }
    os_mutex_unlock(mutex);
    if (!is_whole) {
        return TSDB_APPEND_AGAIN;
    }
    if (Q_LIKELY(needs_back(append, shard, &needs, ends) == QUARRY_OK)) {
        return TSDB_APPEND_GO_ON;
    }
    tsdb_append_abandon(append, shard);
    if (!append->is_last || !append->request->is_partial) {
        return TSDB_APPEND_NO_MEMORY;
    }
    append->logged_count = logged_before;
    append->logged_histogram_count = histograms_before;
    shard_refuse(append, shard);
    append->refused_shards |= UINT64_C(1) << shard;
    return TSDB_APPEND_GO_ON;
}

/* ---- applying ------------------------------------------------------------------------------- */

static void promises_release_locked(struct tsdb_append *append, uint32_t shard, bool has_appended)
{
    uint32_t *promised = promised_of(append, shard);

    for (uint32_t i = 0; i < append->view->window_count; i++) {
        if ((append->usable[shard] >> i & 1) != 0) {
            tsdb_shard_release(open_shard(append, i, shard), promised[i],
                               (append->frugal[shard] >> i & 1) != 0, has_appended);
            promised[i] = 0;
        }
    }
    append->usable[shard] = append->frugal[shard] = 0;
}

void tsdb_append_abandon(struct tsdb_append *append, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, shard);

    if (append->usable[shard] != 0) {
        os_mutex_lock(mutex);
        promises_release_locked(append, shard, false);
        os_mutex_unlock(mutex);
    }
}

/* Appends a late sample. */
static void late_apply(struct tsdb_append *append, struct tsdb_open_shard *shard,
                       struct tsdb_chain *chain, const struct tsdb_point *point, uint32_t *promise)
{
    if (point->histogram != NULL) {
        tsdb_shard_append_late_histogram(shard, chain, point->histogram, &append->scratch, promise);
    } else {
        tsdb_shard_append_late(shard, chain, (struct tsdb_sample){point->t_ms, point->bits},
                               promise);
    }
    append->late_count++;
}

/* What follows from a sample that was appended. */
static void series_raise(struct tsdb_append *append, struct tsdb_series *series,
                         const struct tsdb_window *window, int64_t t_ms)
{
    /* Not always higher than before: windows of long ago may be filled. */
    if (series->last_window < window->number) {
        series->last_window = window->number;
    }
    if (t_ms > append->taken_max_ms) {
        append->taken_max_ms = t_ms;
    }
}

/* Appends one sample that was judged. Returns: false: another request has left it no room, and it
 * was not. */
static bool sample_apply(struct tsdb_append *append, uint32_t index,
                         const struct tsdb_append_item *item, struct tsdb_series *series,
                         enum tsdb_verdict verdict, const struct tsdb_point *point)
{
    const struct tsdb_window *window = append->view->windows[index];
    struct tsdb_open *open = tsdb_window_open(window);
    struct tsdb_open_shard *shard = &open->shard[tsdb_shard_of(item->id)];
    uint32_t none = 0; /* of a frugal one: what was promised is others' */
    uint32_t *promise =
        item->is_frugal ? &none : &promised_of(append, tsdb_shard_of(item->id))[index];
    struct tsdb_chain *chain = tsdb_open_chain(open, item->id);

    if (Q_UNLIKELY(tsdb_open_base(open) != NULL)) {
        atomic_store_relaxed_u64(&open->filled_ns, append->now_ns); /* only a number */
        verdict = TSDB_VERDICT_LATE;
    }
    if (item->is_frugal && Q_UNLIKELY(shard->is_disturbed) &&
        !tsdb_shard_can_append(shard, chain, &series->head,
                               (struct tsdb_sample){point->t_ms, point->bits},
                               verdict == TSDB_VERDICT_LATE)) {
        return false;
    }
    series_raise(append, series, window, point->t_ms);
    if (verdict == TSDB_VERDICT_LATE) {
        late_apply(append, shard, chain, point, promise);
        return true;
    }
    if (Q_UNLIKELY(point->histogram != NULL)) {
        tsdb_shard_append_histogram(shard, chain, &series->head, point->histogram, &append->scratch,
                                    promise);
    } else {
        tsdb_shard_append(shard, chain, &series->head,
                          (struct tsdb_sample){point->t_ms, point->bits}, promise);
    }
    return true;
}

static void taken_add(struct tsdb_append *append, const struct tsdb_point *point)
{
    append->result->taken_count++;
    append->result->taken_histogram_count += point->histogram != NULL;
}

static void item_apply(struct tsdb_append *append, const struct tsdb_append_item *item,
                       uint64_t *refused_count)
{
    struct tsdb_points points = {.entry = entry_of(append, item)};
    struct tsdb_point point;
    struct tsdb_series *series = tsdb_registry_series(append->tsdb->registry, item->id);
    uint32_t usable = append->usable[tsdb_shard_of(item->id)];

    while (tsdb_points_next(&points, &point)) {
        if (tsdb_append_is_bad(append, &point)) {
            continue;
        }
        struct tsdb_judgement judgement = judge(append, series, &point);
        uint32_t index = window_index(append, point.t_ms);
        if (judgement.verdict == TSDB_VERDICT_REPEATED) {
            append->repeated_count++;
            taken_add(append, &point);
        } else if (judgement.verdict == TSDB_VERDICT_REFUSED || index >= TSDB_VIEW_WINDOWS_MAX ||
                   (usable >> index & 1) == 0 ||
                   !sample_apply(append, index, item, series, judgement.verdict, &point)) {
            *refused_count += 1;
        } else {
            taken_add(append, &point);
        }
    }
}

void tsdb_append_apply(struct tsdb_append *append, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, shard);
    uint64_t refused_count = 0;

    if ((append->refused_shards >> shard & 1) != 0) {
        return;
    }
    os_mutex_lock(mutex);
    for (uint32_t i = append->start[shard]; i < append->start[shard + 1]; i++) {
        item_apply(append, &append->items[append->order[i]], &refused_count);
    }
    promises_release_locked(append, shard, true);
    os_mutex_unlock(mutex);
    Q_ASSERT(refused_count >= append->refused_before[shard]);
    append->raced_count += refused_count - append->refused_before[shard];
}
