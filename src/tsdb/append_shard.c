/*
 * A request in one shard: judged first, appended afterwards.
 *
 *     prepare   lock ── judge each sample against its series' last one ── promise chunklets ──
 * unlock back what was promised, with no lock held apply     lock ── judge again, one after another
 * ── append ── unlock
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
 * sample only rises, and windows that took no promise take no sample (`usable`).
 *   2. A shard with a promise is not closed (seal.c), so its windows are open in apply.
 *
 * Locking: the shard's mutex, twice for each shard that a request touches.
 */
#include <tsdb/append.h>

#include <tsdb/shard.h>

static struct tsdb_judgement judge(const struct tsdb_append *append,
                                   const struct tsdb_series *series, struct tsdb_sample sample)
{
    const struct tsdb_sample last = {series->head.t_ms, series->head.bits};

    return tsdb_rules_judge(&append->rules, series->head.age != 0 ? &last : NULL, sample);
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

/* What a shard's series will need, by window of the view. */
struct needs {
    uint32_t chunklets[TSDB_VIEW_WINDOWS_MAX];
    uint32_t closed; /* bits of windows that take nothing in this shard */
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

static void needs_add(struct needs *needs, uint32_t index, uint32_t id, size_t count)
{
    if (count != 0) {
        needs->chunklets[index] += tsdb_shard_need(count);
        needs->id_max[index] = id > needs->id_max[index] ? id : needs->id_max[index];
    }
}

/* Why a sample is refused whose window is not there, or not open. */
static enum quarry_tsdb_refusal refusal_closed(const struct tsdb_append *append, uint32_t index,
                                               int64_t t_ms)
{
    return index == TSDB_VIEW_WINDOWS_MAX && append->lacks_window
               ? QUARRY_TSDB_NO_MEMORY
               : tsdb_rules_refusal(&append->rules, t_ms);
}

/* Judges the samples of one entry. */
static void item_prepare(struct tsdb_append *append, const struct tsdb_append_item *item,
                         const struct tsdb_series *series, struct needs *needs)
{
    const struct quarry_tsdb_entry *entry = entry_of(append, item);
    uint32_t run_index = TSDB_VIEW_WINDOWS_MAX;
    size_t run_count = 0;

    for (size_t i = 0; i < entry->sample_count; i++) {
        struct tsdb_judgement judgement = judge(append, series, entry->samples[i]);
        uint32_t index = window_index(append, entry->samples[i].t_ms);
        bool is_open = index < TSDB_VIEW_WINDOWS_MAX && (needs->closed >> index & 1) == 0;
        if (judgement.verdict == TSDB_VERDICT_REPEATED) {
            continue;
        }
        if (judgement.verdict != TSDB_VERDICT_REFUSED && !is_open) {
            judgement.refusal = refusal_closed(append, index, entry->samples[i].t_ms);
        }
        if (judgement.refusal != QUARRY_TSDB_TAKEN) {
            append->refused_before[tsdb_shard_of(item->id)]++;
            tsdb_append_refuse(append, item->entry, i, 1, judgement.refusal);
            continue;
        }
        if (index != run_index) {
            needs_add(needs, run_index, item->id, run_count);
            run_index = index;
            run_count = 0;
        }
        run_count++;
    }
    needs_add(needs, run_index, item->id, run_count);
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
        if (needs->chunklets[i] == 0) {
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
        if (needs->chunklets[i] != 0) {
            ret_ends[i] = tsdb_shard_promise(open_shard(append, i, shard), needs->chunklets[i]);
            promised[i] = needs->chunklets[i];
            append->usable[shard] |= UINT32_C(1) << i;
        }
    }
}

static bool shard_judge_locked(struct tsdb_append *append, uint32_t shard, struct needs *needs)
{
    needs->closed = closed_windows(append, shard);
    for (uint32_t i = append->start[shard]; i < append->start[shard + 1]; i++) {
        const struct tsdb_append_item *item = &append->items[append->order[i]];
        const struct tsdb_series *series = tsdb_registry_series(append->tsdb->registry, item->id);
        if ((series->flags & TSDB_SERIES_GONE) != 0) {
            return false;
        }
        item_prepare(append, item, series, needs);
    }
    return true;
}

/* All of a shard's entries are refused for want of room. */
static void shard_refuse(struct tsdb_append *append, uint32_t shard)
{
    for (uint32_t i = append->start[shard]; i < append->start[shard + 1]; i++) {
        const struct tsdb_append_item *item = &append->items[append->order[i]];
        tsdb_append_refuse(append, item->entry, 0, entry_of(append, item)->sample_count,
                           QUARRY_TSDB_NO_MEMORY);
    }
}

enum tsdb_append_step tsdb_append_prepare(struct tsdb_append *append, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, shard);
    struct needs needs = {.closed = 0};
    uint64_t ends[TSDB_VIEW_WINDOWS_MAX];

    os_mutex_lock(mutex);
    bool is_whole = shard_judge_locked(append, shard, &needs);
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
    shard_refuse(append, shard);
    append->refused_shards |= UINT64_C(1) << shard;
    return TSDB_APPEND_GO_ON;
}

/* ---- applying ------------------------------------------------------------------------------- */

static void promises_release_locked(struct tsdb_append *append, uint32_t shard)
{
    uint32_t *promised = promised_of(append, shard);

    for (uint32_t i = 0; i < append->view->window_count; i++) {
        if (promised[i] != 0) {
            tsdb_shard_release(open_shard(append, i, shard), promised[i]);
            promised[i] = 0;
        }
    }
    append->usable[shard] = 0;
}

void tsdb_append_abandon(struct tsdb_append *append, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, shard);

    if (append->usable[shard] != 0) {
        os_mutex_lock(mutex);
        promises_release_locked(append, shard);
        os_mutex_unlock(mutex);
    }
}

/* Appends one sample that was judged. */
static void sample_apply(struct tsdb_append *append, uint32_t index, uint32_t id,
                         struct tsdb_series *series, enum tsdb_verdict verdict,
                         struct tsdb_sample sample)
{
    const struct tsdb_window *window = append->view->windows[index];
    struct tsdb_open *open = tsdb_window_open(window);
    uint32_t shard = tsdb_shard_of(id);
    uint32_t *promise = &promised_of(append, shard)[index];
    struct tsdb_chain *chain = tsdb_open_chain(open, id);

    if (verdict == TSDB_VERDICT_LATE) {
        tsdb_shard_append_late(&open->shard[shard], chain, sample, promise);
        append->late_count++;
        return;
    }
    tsdb_shard_append(&open->shard[shard], chain, &series->head, sample, promise);
    series->last_window = window->number; /* in order: no lower than before */
    if (sample.t_ms > append->taken_max_ms) {
        append->taken_max_ms = sample.t_ms;
    }
}

static void item_apply(struct tsdb_append *append, const struct tsdb_append_item *item,
                       uint64_t *refused_count)
{
    const struct quarry_tsdb_entry *entry = entry_of(append, item);
    struct tsdb_series *series = tsdb_registry_series(append->tsdb->registry, item->id);
    uint32_t usable = append->usable[tsdb_shard_of(item->id)];

    for (size_t i = 0; i < entry->sample_count; i++) {
        struct tsdb_judgement judgement = judge(append, series, entry->samples[i]);
        uint32_t index = window_index(append, entry->samples[i].t_ms);
        if (judgement.verdict == TSDB_VERDICT_REPEATED) {
            append->repeated_count++;
            append->result->taken_count++;
        } else if (judgement.verdict == TSDB_VERDICT_REFUSED || index >= TSDB_VIEW_WINDOWS_MAX ||
                   (usable >> index & 1) == 0) {
            *refused_count += 1;
        } else {
            sample_apply(append, index, item->id, series, judgement.verdict, entry->samples[i]);
            append->result->taken_count++;
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
    promises_release_locked(append, shard);
    os_mutex_unlock(mutex);
    Q_ASSERT(refused_count >= append->refused_before[shard]);
    append->raced_count += refused_count - append->refused_before[shard];
}
