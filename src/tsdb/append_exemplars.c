/*
 * The exemplars of a request, once its samples are in.
 *
 *     judge each ── promise ──> log, by window ──> put in, count ── release
 *
 * One is logged with the window that its series' newest sample is in: there its series is defined,
 * and that window is the one that will be kept longest. Where it is sealed already the exemplar is
 * kept in memory alone. What would be taken is logged before it is put in, as samples are; of two
 * of a request that go to one series the second is judged again when it is put in, and when
 * replayed.
 *
 * They fail nothing, as in Prometheus: what is refused is counted. A request that was refused as a
 * whole has none. An exemplar makes no series: one whose series is not there is refused, so that a
 * sender that has samples and exemplars in different requests sends the samples first.
 *
 * Locking: a shard's mutex, for each, twice; the log's. Memory: 88 bytes each, for the time of it.
 */
#include <tsdb/append.h>

#include <tsdb/durable.h>
#include <tsdb/exemplars.h>

/* The series of an entry; TSDB_SERIES_NONE: there is none. */
static uint32_t entry_series(struct tsdb_append *append, uint32_t index)
{
    const struct quarry_tsdb_request *request = append->request;
    const struct quarry_tsdb_entry *entry = &request->entries[index];
    struct tsdb_registry *registry = append->tsdb->registry;
    struct tsdb_labels labels = entry->labels;
    uint32_t id = TSDB_SERIES_NONE;

    if (entry->key.count != 0) {
        id = tsdb_registry_find(registry, tsdb_registry_key(registry, request->tenant, entry->key));
    }
    if (id != TSDB_SERIES_NONE) {
        return id;
    }
    if (labels.count == 0 && (request->resolve == NULL ||
                              !request->resolve(request->resolve_argument, index, &labels))) {
        return TSDB_SERIES_NONE;
    }
    return tsdb_registry_lookup(registry, request->tenant, &labels, NULL, &id) == QUARRY_OK
               ? id
               : TSDB_SERIES_NONE;
}

/* An exemplar on its way. */
struct candidate {
    const struct quarry_tsdb_exemplar *exemplar;
    uint32_t series;
    int32_t window;
    uint32_t index; /* of the window in the view, where its shard promised; else VIEW_WINDOWS_MAX */
    bool is_dropped;
};

/* All of a request's. */
struct candidates {
    struct candidate *members;
    struct tsdb_log_exemplar *logged; /* room for those of one window */
    size_t count;
};

static void verdict_count(struct tsdb_append *append, enum tsdb_exemplar_verdict verdict)
{
    append->result->taken_exemplar_count += verdict != TSDB_EXEMPLAR_REFUSED;
    append->result->refused_exemplar_count += verdict == TSDB_EXEMPLAR_REFUSED;
}

/* ---- judging -------------------------------------------------------------------------------- */

static uint32_t view_index(const struct tsdb_view *view, int32_t number)
{
    for (uint32_t i = 0; i < view->window_count; i++) {
        if (view->windows[i]->number == number) {
            return i;
        }
    }
    return TSDB_VIEW_WINDOWS_MAX;
}

/* The shard of a candidate's series, in its window; NULL: it is sealed, or being so. */
static struct tsdb_open_shard *shard_of(const struct tsdb_append *append,
                                        const struct candidate *candidate)
{
    struct tsdb_open *open = candidate->index == TSDB_VIEW_WINDOWS_MAX
                                 ? NULL
                                 : tsdb_window_open(append->view->windows[candidate->index]);

    return open == NULL ? NULL : &open->shard[tsdb_shard_of(candidate->series)];
}

/*
 * Judges one. What will be logged has its shard promise nothing but to stay, so that the window is
 * not sealed, nor its log dropped, before it was.
 */
static enum tsdb_exemplar_verdict candidate_judge(struct tsdb_append *append,
                                                  struct candidate *candidate)
{
    struct tsdb_series *series = tsdb_registry_series(append->tsdb->registry, candidate->series);
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, tsdb_shard_of(candidate->series));
    enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;

    os_mutex_lock(mutex);
    candidate->window = series->last_window;
    candidate->index = view_index(append->view, series->last_window);
    if ((series->flags & TSDB_SERIES_GONE) == 0) {
        verdict = tsdb_exemplars_judge(append->tenant, candidate->series, candidate->exemplar);
    }
    struct tsdb_open_shard *shard = shard_of(append, candidate);
    if (append->logged == NULL || shard == NULL || shard->is_closed) {
        candidate->index = TSDB_VIEW_WINDOWS_MAX;
    } else if (verdict == TSDB_EXEMPLAR_TAKEN) {
        (void)tsdb_shard_promise(shard, 0, false);
    }
    os_mutex_unlock(mutex);
    return verdict;
}

static void promise_release(const struct tsdb_append *append, const struct candidate *candidate)
{
    struct os_mutex *mutex = tsdb_shard_mutex(append->tsdb, tsdb_shard_of(candidate->series));

    if (candidate->index != TSDB_VIEW_WINDOWS_MAX) {
        os_mutex_lock(mutex);
        tsdb_shard_release(shard_of(append, candidate), 0, false, false);
        os_mutex_unlock(mutex);
    }
}

static void entry_judge(struct tsdb_append *append, uint32_t index, struct candidates *candidates)
{
    const struct quarry_tsdb_entry *entry = &append->request->entries[index];
    uint32_t id = entry_series(append, index);

    for (size_t i = 0; i < entry->exemplar_count; i++) {
        struct candidate *candidate = &candidates->members[candidates->count];
        enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;
        *candidate = (struct candidate){.exemplar = &entry->exemplars[i], .series = id};
        if (id != TSDB_SERIES_NONE) {
            verdict = candidate_judge(append, candidate);
        }
        if (verdict == TSDB_EXEMPLAR_TAKEN) {
            candidates->count++;
        } else {
            verdict_count(append, verdict);
        }
    }
}

/* ---- logging, and putting in ----------------------------------------------------------------- */

/* Logs those of one window; when that fails they are left out. */
static void window_log(struct tsdb_append *append, uint32_t index,
                       const struct candidates *candidates)
{
    size_t count = 0;

    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->members[i];
        if (candidate->index == index) {
            candidates->logged[count++] =
                (struct tsdb_log_exemplar){.series = candidate->series,
                                           .t_ms = candidate->exemplar->t_ms,
                                           .bits = candidate->exemplar->bits,
                                           .labels = candidate->exemplar->labels};
        }
    }
    bool is_logged = count == 0 || tsdb_durable_log_exemplars(append, index, candidates->logged,
                                                              count) == QUARRY_OK;
    for (size_t i = 0; i < candidates->count && !is_logged; i++) {
        candidates->members[i].is_dropped |= candidates->members[i].index == index;
    }
}

static void candidates_put(struct tsdb_append *append, const struct candidates *candidates)
{
    for (uint32_t i = 0; i < append->view->window_count && append->logged != NULL; i++) {
        window_log(append, i, candidates);
    }
    for (size_t i = 0; i < candidates->count; i++) {
        const struct candidate *candidate = &candidates->members[i];
        enum tsdb_exemplar_verdict verdict = TSDB_EXEMPLAR_REFUSED;
        if (!candidate->is_dropped) {
            verdict = tsdb_exemplars_add(append->tsdb, append->tenant, candidate->series,
                                         candidate->window, candidate->exemplar);
        }
        verdict_count(append, verdict);
        promise_release(append, candidate);
    }
}

static size_t exemplar_count(const struct quarry_tsdb_request *request)
{
    size_t count = 0;

    for (size_t i = 0; i < request->entry_count; i++) {
        count += request->entries[i].exemplar_count;
    }
    return count;
}

void tsdb_append_exemplars(struct tsdb_append *append)
{
    const struct tsdb_memory *memory = &append->tsdb->small[TSDB_PART_QUERY];
    const size_t each = sizeof(struct candidate) + sizeof(struct tsdb_log_exemplar);
    size_t count = exemplar_count(append->request), bytes;
    struct candidates candidates = {.count = 0};

    if (count == 0) {
        return;
    }
    candidates.members =
        checked_mul_size(count, each, &bytes) ? tsdb_memory_take(memory, bytes) : NULL;
    if (candidates.members == NULL) {
        append->result->refused_exemplar_count += count;
        return;
    }
    candidates.logged = (struct tsdb_log_exemplar *)(void *)(candidates.members + count);
    quarry_epoch_enter(append->tsdb->epoch);
    append->view = tsdb_view_acquire(&append->tsdb->views);
    for (uint32_t i = 0; i < append->request->entry_count; i++) {
        if (append->request->entries[i].exemplar_count != 0) {
            entry_judge(append, i, &candidates);
        }
    }
    candidates_put(append, &candidates);
    tsdb_view_release(&append->tsdb->views, append->view);
    quarry_epoch_leave(append->tsdb->epoch);
    tsdb_memory_give(memory, candidates.members);
}
