/*
 * Sealing, a 64th of a window at a time.
 *
 *     close the shard ──> read each chain, late samples merged ──> times, column ──> sealed space
 *                                                                                       │
 *     give its chunklets to the kernel <── readers have left <── publish the shard <────┘
 *
 * A window is sealed when nobody may append to it any more. Its shards go one by one, each whole:
 * from the moment it is published readers take the columns, and when those that were in its
 * chunklets have left, these go back in one piece. So at any moment the window takes its own memory
 * and one shard's columns, which are smaller than its chunklets: 1/64 more at the most, and 2.7 MiB
 * at the most for taking one series apart.
 *
 * Times are shared. The series of one target are sampled at the same moments, and are neighbours in
 * a shard more often than not; so an entry's times are first compared with those of the entry
 * before. If they differ they are encoded, and looked up by their bytes among all of the shard's.
 *
 * A window that is filled (turn.c) has a base: what of it lay sealed before. A shard of it is the
 * base's shard and what came since, merged as late samples are; when it is published, the base's
 * bytes of that shard go back as its chunklets do, unless an older view still has the base. So
 * filling takes what came, and a shard more than the window, too.
 *
 * Whether it is worth it is not asked: a column is never longer than 9 bytes a value, and a shard
 * that has no samples is sealed as nothing.
 *
 * Invariants
 *   1. A shard is closed while it is read: no chain in it changes.
 *   2. What fails leaves the shard open and the sealed space where it ended before. Pages that were
 *      backed meanwhile serve the next attempt.
 *   3. One shard at a time is pending, so no more than one shard's chunklets outlive their columns.
 *   4. Chunklets go back when no reader that had found the shard open is inside the epoch.
 *
 * Locking: the turn's mutex, throughout; a shard's mutex to close it, for some instructions.
 *
 * Rejected: sealing whole windows (twice the memory at its end; Prometheus' peak at compaction);
 * sealing series by series (chunklets of a shard lie mixed, so nothing would go back earlier).
 */
#include <tsdb/seal.h>

#include <string.h>

#include <ref/ref.h>

#include <tsdb/store.h>

/* What tables begin at multiples of: their entries hold 64-bit numbers. Columns and times are bytes
 * and follow each other: where each begins at 8, a series loses 4 of some 270 a window. */
#define TABLE_ALIGN 8u

/* ---- bytes ---------------------------------------------------------------------------------- */

/* Takes `count` contiguous bytes of the sealed space, from a multiple of `align_bytes` on. */
static enum quarry_status sealed_take(struct tsdb_window *window, uint64_t count,
                                      uint64_t align_bytes, uint64_t *ret_at)
{
    uint64_t at = 0;
    enum quarry_status status = tsdb_space_place(
        &window->sealed, size_align_up_u64(window->sealed_end, align_bytes), count, &at);

    if (status == QUARRY_OK) {
        status = tsdb_space_back(&window->sealed, at + count);
    }
    if (status == QUARRY_OK) {
        window->sealed_end = at + count;
        atomic_bump_relaxed_u64(&window->sealed_used_bytes, count);
        *ret_at = at;
    }
    return status;
}

static enum quarry_status sealed_put(struct tsdb_window *window, const void *bytes, uint64_t count,
                                     uint64_t align_bytes, uint64_t *ret_at)
{
    enum quarry_status status = sealed_take(window, count, align_bytes, ret_at);

    if (status == QUARRY_OK) {
        memcpy(tsdb_space_at(&window->sealed, *ret_at), bytes, count);
    }
    return status;
}

/* ---- times ---------------------------------------------------------------------------------- */

/* The slot of times with these bytes, or the free one where they belong. */
static uint32_t *times_slot(const struct tsdb_sealing *sealing, const struct tsdb_window *window,
                            const struct tsdb_sealed_times *wanted, const uint8_t *bytes)
{
    const struct tsdb_sealing_times *times = &sealing->times;
    size_t mask = times->slot_capacity - 1;
    size_t at = (size_t)hash_xxh3_u64(bytes, wanted->byte_count, wanted->count) & mask;

    for (;; at = (at + 1) & mask) {
        uint32_t *slot = &times->slots[at];
        if (*slot == 0) {
            return slot;
        }
        const struct tsdb_sealed_times *found = &times->table[*slot - 1];
        if (found->count == wanted->count && found->byte_count == wanted->byte_count &&
            memcmp(tsdb_space_at(&window->sealed, found->at), bytes, wanted->byte_count) == 0) {
            return slot;
        }
    }
}

/* Twice the slots, when half of them are used. */
static enum quarry_status times_grow(struct tsdb_sealing *sealing, const struct tsdb_window *window)
{
    struct tsdb_sealing_times *times = &sealing->times;

    if (2 * (size_t)(times->count + 1) <= times->slot_capacity) {
        return QUARRY_OK;
    }
    size_t capacity = 2 * times->slot_capacity;
    uint32_t *slots = tsdb_memory_take_zero(sealing->memory, capacity * sizeof(*slots));
    if (slots == NULL) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_memory_give(sealing->memory, times->slots);
    times->slots = slots;
    times->slot_capacity = capacity;
    for (uint32_t i = 0; i < times->count; i++) {
        const struct tsdb_sealed_times *entry = &times->table[i];
        *times_slot(sealing, window, entry, tsdb_space_at(&window->sealed, entry->at)) = i + 1;
    }
    return QUARRY_OK;
}

static enum quarry_status times_add(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                    struct tsdb_sealed_times times, uint32_t *ret_index)
{
    struct tsdb_sealing_times *all = &sealing->times;
    void *table = all->table;
    uint32_t *slot = times_slot(sealing, window, &times, sealing->bytes);

    if (*slot != 0) {
        *ret_index = *slot - 1;
        return QUARRY_OK;
    }
    enum quarry_status status =
        tsdb_memory_grow(sealing->memory, &table, &all->capacity, all->count + 1, sizeof(times));
    all->table = table;
    if (status == QUARRY_OK) {
        status = sealed_put(window, sealing->bytes, times.byte_count, 1, &times.at);
    }
    if (status == QUARRY_OK) {
        all->table[all->count++] = times;
        *slot = all->count;
        *ret_index = all->count - 1;
    }
    return status;
}

/* Which of the shard's times the next entry has. */
static enum quarry_status times_find(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                     uint32_t count, uint32_t *ret_index)
{
    if (count == sealing->last_count &&
        memcmp(sealing->t_ms, sealing->last_t_ms, count * sizeof(*sealing->t_ms)) == 0) {
        *ret_index = sealing->last_times;
        return QUARRY_OK;
    }
    enum quarry_status status = times_grow(sealing, window);
    if (status == QUARRY_OK) {
        struct tsdb_sealed_times times = {
            .byte_count = (uint32_t)tsdb_times_encode(sealing->t_ms, count, sealing->bytes),
            .count = count,
            .first_ms = sealing->t_ms[0],
            .last_ms = sealing->t_ms[count - 1],
        };
        status = times_add(sealing, window, times, ret_index);
    }
    if (status == QUARRY_OK) {
        memcpy(sealing->last_t_ms, sealing->t_ms, count * sizeof(*sealing->t_ms));
        sealing->last_count = count;
        sealing->last_times = *ret_index;
    }
    return status;
}

/* ---- series --------------------------------------------------------------------------------- */

/* Encodes what the entry's samples are. */
static enum quarry_status values_put(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                     uint32_t count, bool has_histograms,
                                     struct tsdb_sealed_entry *entry)
{
    const uint8_t *bytes = has_histograms ? sealing->histograms->bytes : sealing->bytes;
    size_t byte_count =
        has_histograms ? sealing->histograms->byte_count
                       : tsdb_column_encode(sealing->bits, count, sealing->scratch, sealing->bytes);

    if (byte_count > UINT32_MAX) {
        return QUARRY_NO_ADDRESS;
    }
    entry->value_bytes = (uint32_t)byte_count;
    entry->count = count | (has_histograms ? TSDB_SEALED_HISTOGRAMS : 0);
    return sealed_put(window, bytes, byte_count, 1, &entry->values_at);
}

/* Makes an entry of the first `count` samples. */
static enum quarry_status entry_seal(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                     uint32_t local, uint32_t count, bool has_histograms)
{
    struct tsdb_sealed_entry entry = {.local = local};
    void *entries = sealing->entries;
    enum quarry_status status =
        tsdb_memory_grow(sealing->memory, &entries, &sealing->entry_capacity,
                         sealing->entry_count + 1, sizeof(entry));

    sealing->entries = entries;
    if (status == QUARRY_OK) {
        status = times_find(sealing, window, count, &entry.times);
    }
    if (status == QUARRY_OK) {
        status = values_put(sealing, window, count, has_histograms, &entry);
    }
    if (status == QUARRY_OK) {
        sealing->entries[sealing->entry_count++] = entry;
    }
    return status;
}

/* One series on its way: `count` samples that have no entry yet, of one kind. */
struct piece {
    uint32_t count;
    bool has_histograms;
};

/* Makes an entry of the samples so far; those behind them, `taken` of them, are the next one's. */
static enum quarry_status piece_end(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                    uint32_t local, uint32_t taken, struct piece *piece)
{
    enum quarry_status status = QUARRY_OK;

    if (piece->count != 0) {
        status = entry_seal(sealing, window, local, piece->count, piece->has_histograms);
        memmove(sealing->t_ms, sealing->t_ms + piece->count, taken * sizeof(*sealing->t_ms));
        memmove(sealing->bits, sealing->bits + piece->count, taken * sizeof(*sealing->bits));
    }
    tsdb_sealing_histograms_begin(sealing->histograms);
    *piece = (struct piece){.count = 0};
    return status;
}

/* Leaves out those of the samples taken that were deleted. Returns: how many stay. */
static uint32_t deleted_drop(struct tsdb_sealing *sealing, uint32_t at, uint32_t count)
{
    struct tsdb_histogram_batch *batch = &sealing->histograms->batch;
    uint32_t kept = 0;

    if (Q_LIKELY(sealing->deleted.count == 0)) {
        return count;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (tsdb_deleted_has(&sealing->deleted, sealing->t_ms[at + i])) {
            continue;
        }
        sealing->t_ms[at + kept] = sealing->t_ms[at + i];
        sealing->bits[at + kept] = sealing->bits[at + i];
        if (batch->count != 0) {
            batch->items[kept] = batch->items[i];
        }
        kept++;
    }
    batch->count = batch->count == 0 ? 0 : kept;
    return kept;
}

/* Takes samples behind those that are there. `*ret_count`: 0 at the end. */
static enum quarry_status piece_take(struct tsdb_sealing *sealing, const struct piece *piece,
                                     uint32_t *ret_count)
{
    enum quarry_status status = QUARRY_OK;

    if (piece->count == sealing->capacity) {
        status = tsdb_sealing_samples_grow(sealing, piece->count);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    uint32_t taken;
    do {
        taken = tsdb_open_read_take(sealing->read, sealing->capacity - piece->count,
                                    sealing->t_ms + piece->count, sealing->bits + piece->count,
                                    &sealing->histograms->batch);
        *ret_count = deleted_drop(sealing, piece->count, taken);
    } while (taken != 0 && *ret_count == 0);
    return taken != 0 ? QUARRY_OK : tsdb_open_read_status(sealing->read);
}

/* Whether samples that were taken cannot be in the entry of those before them. */
static bool piece_is_whole(const struct tsdb_sealing *sealing, const struct piece *piece)
{
    return piece->count == TSDB_SEALED_SAMPLES_MAX ||
           (piece->count != 0 &&
            piece->has_histograms != (sealing->histograms->batch.count != 0)) ||
           sealing->histograms->byte_count > TSDB_SEALED_HISTOGRAM_BYTES;
}

/* Begins with a series: its chains, and what of it lay sealed before. */
static enum quarry_status series_read(struct tsdb_sealing *sealing, const struct tsdb_open *open,
                                      uint32_t id)
{
    return tsdb_open_base(open) != NULL
               ? tsdb_open_read_begin_filling(sealing->read, sealing->memory, open, id, INT64_MIN)
               : tsdb_open_read_begin(sealing->read, sealing->memory,
                                      &open->shard[tsdb_shard_of(id)], tsdb_open_chain(open, id));
}

static enum quarry_status series_seal(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                      const struct tsdb_open *open, uint32_t id)
{
    uint32_t local = tsdb_local_of(id);
    struct piece piece = {.count = 0};
    uint32_t taken = 0;
    enum quarry_status status = series_read(sealing, open, id);

    tsdb_sealing_histograms_begin(sealing->histograms);
    while (status == QUARRY_OK) {
        if (piece.count == TSDB_SEALED_SAMPLES_MAX) {
            status = piece_end(sealing, window, local, 0, &piece);
        }
        if (status == QUARRY_OK) {
            status = piece_take(sealing, &piece, &taken);
        }
        if (status != QUARRY_OK || taken == 0) {
            break;
        }
        if (piece_is_whole(sealing, &piece)) {
            status = piece_end(sealing, window, local, taken, &piece);
        }
        piece.has_histograms = sealing->histograms->batch.count != 0;
        piece.count += taken;
        if (status == QUARRY_OK && piece.has_histograms) {
            status = tsdb_sealing_histograms_put(sealing->histograms);
        }
    }
    return status != QUARRY_OK ? status : piece_end(sealing, window, local, 0, &piece);
}

static bool chain_is_empty(const struct tsdb_chain *chain)
{
    /* Relaxed: the shard is closed. */
    return chain == NULL || (atomic_load_relaxed_u32(&chain->first) == TSDB_CHUNKLET_NONE &&
                             atomic_load_relaxed_u32(&chain->late) == TSDB_CHUNKLET_NONE);
}

/* A walk over the series that a shard of a base has. */
struct base_walk {
    const struct tsdb_window *base; /* NULL: none */
    const struct tsdb_sealed_shard *sealed;
    uint32_t next;
};

static bool base_is_at_end(const struct base_walk *walk)
{
    return walk->base == NULL || walk->next == walk->sealed->entry_count;
}

/* Whether it has a series; passes it. Locals are asked for one after another. */
static bool base_take(struct base_walk *walk, uint32_t local)
{
    bool has = false;

    while (!base_is_at_end(walk) &&
           tsdb_sealed_entry_at(walk->base, walk->sealed, walk->next)->local == local) {
        walk->next++;
        has = true;
    }
    return has;
}

/* All of a shard's series, by rising local number. */
static enum quarry_status chains_seal(struct quarry_tsdb *tsdb, struct tsdb_window *window,
                                      const struct tsdb_open *open, uint32_t shard)
{
    struct base_walk walk = {.base = tsdb_open_base(open)};
    enum quarry_status status = QUARRY_OK;

    walk.sealed = walk.base == NULL ? NULL : &walk.base->sealed_shard[shard];
    for (uint32_t local = 0; status == QUARRY_OK; local++) {
        uint32_t id = local * TSDB_SHARD_COUNT + shard;
        const struct tsdb_chain *chain = tsdb_open_chain(open, id);
        if (chain == NULL && base_is_at_end(&walk)) {
            break;
        }
        bool has_base = base_take(&walk, local);
        /* What its metric does not keep any longer is left out. */
        if ((has_base || !chain_is_empty(chain)) && tsdb_metric_min_ms(tsdb, id) < window->end_ms) {
            tsdb_tombstones_of(tsdb, id, &tsdb->sealing.deleted);
            status = series_seal(&tsdb->sealing, window, open, id);
        }
    }
    return status;
}

/* ---- shards --------------------------------------------------------------------------------- */

/* What the entries come to. */
static struct tsdb_sealed_shard entries_sum(const struct tsdb_sealing *sealing)
{
    struct tsdb_sealed_shard sum = {.entry_count = sealing->entry_count,
                                    .times_count = sealing->times.count};

    for (uint32_t i = 0; i < sealing->entry_count; i++) {
        bool is_first = i == 0 || sealing->entries[i - 1].local != sealing->entries[i].local;
        sum.series_count += is_first;
        sum.sample_count += tsdb_sealed_count(&sealing->entries[i]);
    }
    return sum;
}

/* What of a shard is found by its place in the window. */
static enum quarry_status tables_put(struct tsdb_sealing *sealing, struct tsdb_window *window,
                                     uint32_t shard)
{
    struct tsdb_sealed_shard sealed = entries_sum(sealing);
    enum quarry_status status = QUARRY_OK;

    sealed.counted_samples = tsdb_open_count(tsdb_window_open(window), shard);
    if (sealed.entry_count != 0) {
        status =
            sealed_put(window, sealing->entries, sealed.entry_count * sizeof(*sealing->entries),
                       TABLE_ALIGN, &sealed.entries_at);
    }
    if (status == QUARRY_OK && sealed.times_count != 0) {
        status = sealed_put(window, sealing->times.table,
                            sealed.times_count * sizeof(*sealing->times.table), TABLE_ALIGN,
                            &sealed.times_at);
    }
    if (status == QUARRY_OK) {
        window->sealed_shard[shard] = sealed;
    }
    return status;
}

static enum quarry_status shard_seal(struct quarry_tsdb *tsdb, struct tsdb_window *window,
                                     uint32_t shard)
{
    struct tsdb_sealing *sealing = &tsdb->sealing;
    struct tsdb_open *open = tsdb_window_open(window);
    enum quarry_status status = tsdb_sealing_room_make(sealing);

    if (status == QUARRY_OK) {
        status = tsdb_window_begin_sealed(window, tsdb->name, tsdb->memory);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    uint64_t end = window->sealed_end, used = atomic_load_relaxed_u64(&window->sealed_used_bytes);
    status = chains_seal(tsdb, window, open, shard);
    if (status == QUARRY_OK) {
        status = tables_put(sealing, window, shard);
    }
    if (status != QUARRY_OK) { /* invariant 2 */
        window->sealed_end = end;
        atomic_store_relaxed_u64(&window->sealed_used_bytes, used);
    }
    return status;
}

/* Has nobody append to a shard. Returns: false: a request is about to. */
static bool shard_close(struct quarry_tsdb *tsdb, struct tsdb_open_shard *open, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, shard);

    os_mutex_lock(mutex);
    Q_ASSERT(!open->is_closed);
    open->is_closed = open->holder_count == 0;
    bool is_closed = open->is_closed;
    os_mutex_unlock(mutex);
    return is_closed;
}

static void shard_reopen(struct quarry_tsdb *tsdb, struct tsdb_open_shard *open, uint32_t shard)
{
    struct os_mutex *mutex = tsdb_shard_mutex(tsdb, shard);

    os_mutex_lock(mutex);
    open->is_closed = false;
    os_mutex_unlock(mutex);
}

/* Takes the open half out of reach, when the last of its shards has gone. */
static void open_end(struct quarry_tsdb *tsdb, struct tsdb_window *window)
{
    struct tsdb_sealing *sealing = &tsdb->sealing;

    Q_ASSERT(sealing->ended == NULL);
    /* Release: nobody finds it from here on; those who have are in the epoch. */
    sealing->ended = atomic_exchange_acq_rel_ptr(&window->open, NULL);
    sealing->ended_window = window;
    sealing->ended_stamp = ref_epoch_now(tsdb->epoch);
    tsdb_sealing_room_fini(sealing);
}

enum tsdb_sealed tsdb_seal_shard(struct quarry_tsdb *tsdb, struct tsdb_view *view,
                                 struct tsdb_window *window, uint32_t shard,
                                 enum quarry_status *ret_status)
{
    struct tsdb_sealing *sealing = &tsdb->sealing;
    struct tsdb_open *open = tsdb_window_open(window);

    Q_ASSERT(sealing->pending == NULL && sealing->ended == NULL);
    Q_ASSERT(!tsdb_window_is_sealed(window, shard));
    if (!shard_close(tsdb, &open->shard[shard], shard)) {
        return TSDB_SEAL_BUSY;
    }
    *ret_status = shard_seal(tsdb, window, shard);
    if (*ret_status != QUARRY_OK) {
        shard_reopen(tsdb, &open->shard[shard], shard);
        tsdb_sealing_room_fini(sealing);
        return TSDB_SEAL_FAILED;
    }
    /* Release: pairs with the acquire in tsdb_window_is_sealed. */
    uint64_t mask = atomic_or_release_u64(&window->sealed_mask, UINT64_C(1) << shard);
    Q_ASSERT((mask >> shard & 1) == 0);
    sealing->view = view;
    sealing->pending = window;
    sealing->pending_shard = shard;
    sealing->pending_stamp = ref_epoch_now(tsdb->epoch);
    (void)atomic_add_relaxed_u64(&tsdb->counters.sealed_shard_count, 1);
    return TSDB_SEALED;
}

/* ---- afterwards ----------------------------------------------------------------------------- */

static bool stamp_passes(struct quarry_tsdb *tsdb, uint64_t stamp)
{
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES && !ref_epoch_is_past(tsdb->epoch, stamp); i++) {
        ref_epoch_advance(tsdb->epoch);
    }
    return ref_epoch_is_past(tsdb->epoch, stamp);
}

/* Gives back what of a base was a shard's, which readers have left: but bytes that a shard that is
 * still read lies among, in a file that was written so. */
static void base_trim(struct quarry_tsdb *tsdb, const struct tsdb_window *window, uint32_t shard)
{
    struct tsdb_open *open = tsdb_window_open(window);
    const struct tsdb_base *base = &open->base;

    if (base->window == NULL || !tsdb_views_is_base_alone(&tsdb->views, base->window)) {
        return;
    }
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        if (!tsdb_window_is_sealed(window, i) && base->from[i] < base->to[shard] &&
            base->from[shard] < base->to[i]) {
            return;
        }
    }
    tsdb_space_trim(&base->window->sealed, base->from[shard], base->to[shard]);
}

bool tsdb_seal_settle(struct quarry_tsdb *tsdb)
{
    struct tsdb_sealing *sealing = &tsdb->sealing;
    struct tsdb_window *window = sealing->pending;

    if (window != NULL) {
        if (!stamp_passes(tsdb, sealing->pending_stamp)) {
            return false;
        }
        struct tsdb_open *open = tsdb_window_open(window);
        tsdb_space_give(&open->shard[sealing->pending_shard].chunklets); /* invariant 4 */
        base_trim(tsdb, window, sealing->pending_shard);
        sealing->pending = NULL;
        if (atomic_load_relaxed_u64(&window->sealed_mask) == UINT64_MAX) {
            open_end(tsdb, window);
        }
    }
    if (sealing->ended != NULL) {
        if (!stamp_passes(tsdb, sealing->ended_stamp)) {
            return false;
        }
        tsdb_views_end_base(&tsdb->views, sealing->ended);
        tsdb_open_destroy(sealing->ended_window, sealing->ended);
        sealing->ended = NULL;
    }
    if (sealing->view != NULL) {
        tsdb_view_release(&tsdb->views, sealing->view);
        sealing->view = NULL;
    }
    return true;
}

void tsdb_sealing_fini(struct tsdb_sealing *sealing, struct tsdb_views *views)
{
    if (sealing->ended != NULL) {
        tsdb_views_end_base(views, sealing->ended);
        tsdb_open_destroy(sealing->ended_window, sealing->ended);
        sealing->ended = NULL;
    }
    sealing->pending = NULL; /* its chunklets end with its window */
    if (sealing->view != NULL) {
        tsdb_view_release(views, sealing->view);
        sealing->view = NULL;
    }
    tsdb_sealing_room_fini(sealing);
}
