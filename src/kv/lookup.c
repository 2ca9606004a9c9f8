/*
 * Looking a key up.
 *
 *     batch → layers, the newest first → sublevels of level 0 → level 1 → … → level 6
 *
 * Of one key, whatever is in a source is newer than all that is in the sources behind it. So the
 * search ends with the first entry that decides: a put, a delete, or one that a range deletion
 * covers; and behind a source with a range deletion over the key nothing is left to be seen. Merge
 * operands are collected until then.
 *
 *     file of a level    one binary search over numbers (kv_run_find); a key whose versions fill
 *                        the end of a file may go on at the beginning of the next
 *     table              two loads (kv_open_table_peek), then filter, index, block
 *
 * All levels' files are found first, and their filters' lines fetched; then the filters are asked,
 * by one hash. Nothing else of a table is touched where its filter says no.
 *
 * Invariants:
 *   1. A lookup that is decided has a place, or its key is not there.
 *   2. In the epoch no file is opened, for that may wait for other threads: the whole read is done
 *      again with a counted view. Its sequence is read again, too, after the view.
 *
 * Locking: none. Cost: a hash, a cache miss or two for each layer and for each level's filter; 770
 * instructions for a key that is not there, by callgrind, with an empty memtable and one level.
 */
#include <kv/lookup.h>

#include <inttypes.h>

void kv_lookup_init(struct kv_lookup *lookup, const struct quarry_kv *kv, struct kv_slice key)
{
    struct kv_memory *memory = (struct kv_memory *)(uintptr_t)&kv->small[KV_PART_READ];

    lookup->key = key;
    lookup->prefix8 = kv_prefix8(key);
    lookup->hash = 0;
    lookup->only_exists = false;
    lookup->is_decided = false;
    lookup->cover = 0;
    lookup->place = KV_PLACE_NONE;
    lookup->entry.block = (struct quarry_block){0};
    kv_operands_init(&lookup->operands, memory);
    kv_buffer_init(&lookup->merged, memory, QUARRY_KV_VALUE_BYTES_MAX);
}

void kv_lookup_fini(struct kv_lookup *lookup, struct quarry_kv *kv)
{
    if (lookup->entry.block.data != NULL) {
        kv_table_entry_release(&kv->tables, &lookup->entry);
    }
    if (Q_UNLIKELY(lookup->operands.capacity != 0)) {
        kv_operands_fini(&lookup->operands);
    }
    if (Q_UNLIKELY(lookup->merged.capacity != 0)) {
        kv_buffer_fini(&lookup->merged);
    }
    lookup->is_decided = false;
    lookup->cover = 0;
    lookup->place = KV_PLACE_NONE;
}

/* ---- entries -------------------------------------------------------------------------------- */

/*
 * Takes an entry, of which older ones may be wanted. `place`: where it lies.
 * Returns: QUARRY_OK; is_decided says whether to go on.
 */
static enum quarry_status take(struct kv_lookup *lookup, uint64_t trailer, struct kv_slice value,
                               enum kv_place place)
{
    lookup->is_decided = true;
    if (kv_trailer_sequence(trailer) < lookup->cover) {
        return QUARRY_OK;
    }
    switch (kv_trailer_type(trailer)) {
    case KV_TYPE_PUT:
        lookup->place = place;
        lookup->value = value;
        return QUARRY_OK;
    case KV_TYPE_MERGE:
        if (lookup->only_exists) {
            lookup->place = place;
            return QUARRY_OK;
        }
        lookup->is_decided = false;
        return kv_operands_add(&lookup->operands, value);
    case KV_TYPE_DELETE:
    case KV_TYPE_SINGLE_DELETE:
    case KV_TYPE_RANGE_DELETE:
    case KV_TYPE_BLOB_INDEX:
    case KV_TYPE_DELETE_WITH_TIMESTAMP:
    case KV_TYPE_WIDE_COLUMNS:
    case KV_TYPE_SEEK:
        break;
    }
    return QUARRY_OK;
}

/* Behind a source. */
static inline void pass_source(struct kv_lookup *lookup)
{
    lookup->is_decided |= lookup->cover != 0;
}

static enum quarry_status look_in_batch(struct kv_lookup *lookup, struct kv_reading *reading)
{
    struct kv_batch_index *index = reading->batch->index;
    struct kv_fragments *fragments = NULL;
    struct kv_batch_found found;
    enum quarry_status status = kv_batch_index_fragments(index, KV_BATCH_BASE_SEQUENCE, &fragments);

    if (status != QUARRY_OK) {
        return status;
    }
    lookup->cover = kv_fragments_cover(fragments, lookup->key, KV_SEQUENCE_MAX);
    kv_fragments_release(fragments);
    bool is_found = kv_batch_index_get(index, lookup->key, KV_BATCH_BASE_SEQUENCE, &found);
    while (is_found && status == QUARRY_OK && !lookup->is_decided) {
        status = take(lookup, found.trailer, found.value, KV_PLACE_BATCH);
        is_found =
            !lookup->is_decided && kv_batch_index_older(index, KV_BATCH_BASE_SEQUENCE, &found);
    }
    pass_source(lookup);
    return status;
}

static inline enum quarry_status
look_in_layer(struct kv_lookup *lookup, const struct kv_reading *reading, struct kv_layer *layer)
{
    enum quarry_status status = QUARRY_OK;
    struct kv_layer_found found;

    lookup->cover = kv_layer_cover(layer, lookup->key, reading->sequence);
    bool is_found = kv_layer_get(layer, lookup->key, reading->sequence, &found);
    while (is_found && status == QUARRY_OK && !lookup->is_decided) {
        lookup->layer = layer;
        status = take(lookup, found.trailer, found.value, KV_PLACE_LAYER);
        is_found = !lookup->is_decided && kv_layer_older(layer, lookup->key, &found);
    }
    pass_source(lookup);
    return status;
}

/* ---- files ---------------------------------------------------------------------------------- */

static void count_filter(struct kv_reading *reading, enum kv_table_filtered filtered, bool is_found)
{
    if (filtered == KV_TABLE_REJECTED) {
        reading->filter_useful++;
    } else if (filtered == KV_TABLE_PASSED) {
        reading->filter_passed++;
        reading->filter_false += is_found ? 0 : 1;
    }
}

/* `lookup->filtered`: what the table's filter has said. */
static enum quarry_status look_in_table(struct kv_lookup *lookup, struct kv_reading *reading,
                                        struct kv_table *table)
{
    struct kv_tables *tables = &reading->kv->tables;
    struct kv_table_lookup in_table = {
        .key = {lookup->key, kv_trailer_seek(reading->sequence)},
        .hash = lookup->hash,
        .only_cached = reading->only_cached,
        .is_background = reading->is_background,
        .filtered = lookup->filtered,
    };
    struct kv_table_entry entry;

    lookup->cover = kv_table_cover(table, lookup->key, reading->sequence);
    for (bool is_first = true; !lookup->is_decided; is_first = false) {
        enum quarry_status status = kv_table_get(table, &in_table, &entry, reading->error);
        if (is_first) {
            count_filter(reading, in_table.filtered, status == QUARRY_OK);
        }
        if (status != QUARRY_OK) {
            return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
        }
        in_table.key.trailer = entry.trailer - 1;
        status = take(lookup, entry.trailer, entry.value, KV_PLACE_BLOCK);
        if (lookup->place == KV_PLACE_BLOCK && lookup->is_decided) {
            lookup->entry = entry;
        } else {
            kv_table_entry_release(tables, &entry);
        }
        if (status != QUARRY_OK || entry.trailer == 0) {
            return status;
        }
    }
    return QUARRY_OK;
}

/* Of the tables that are open, with a counted view. */
static enum quarry_status look_in_cached(struct kv_lookup *lookup, struct kv_reading *reading,
                                         struct kv_file *file)
{
    quarry_epoch_enter(reading->kv->epoch);
    struct kv_table *table = kv_open_table_peek(file);
    enum quarry_status status =
        table == NULL
            ? error_set(reading->error, QUARRY_BUSY, "table %" PRIu64 " is not open", file->number)
            : look_in_table(lookup, reading, table);
    quarry_epoch_leave(reading->kv->epoch);
    return status;
}

/* With a counted view, or where the table is not open. */
Q_COLD static enum quarry_status look_in_file_slow(struct kv_lookup *lookup,
                                                   struct kv_reading *reading, struct kv_file *file)
{
    struct kv_open_table *open;

    if (reading->only_cached) {
        return look_in_cached(lookup, reading, file);
    }
    if (!reading->may_open) {
        reading->needs_open = true;
        return QUARRY_BUSY;
    }
    enum quarry_status status =
        kv_open_table_acquire(reading->kv->table_cache, file, &open, reading->error);
    if (status == QUARRY_OK) {
        status = look_in_table(lookup, reading, open->table);
        kv_open_table_release(open);
    }
    return status;
}

static inline enum quarry_status look_in_file(struct kv_lookup *lookup, struct kv_reading *reading,
                                              struct kv_file *file)
{
    struct kv_table *table = reading->may_open ? NULL : kv_open_table_peek(file);

    return Q_LIKELY(table != NULL) ? look_in_table(lookup, reading, table)
                                   : look_in_file_slow(lookup, reading, file);
}

/* In a run, from the file on that kv_run_find has found, and of whose filter `filtered` is. */
static enum quarry_status look_in_run(struct kv_lookup *lookup, struct kv_reading *reading,
                                      const struct kv_run *run, uint32_t at)
{
    const struct quarry_kv_comparator *comparator = reading->kv->comparator;
    enum quarry_status status = QUARRY_OK;

    for (; at < run->file_count && status == QUARRY_OK && !lookup->is_decided; at++) {
        struct kv_file *file = run->files[at];
        if (!kv_file_may_have(file, comparator, lookup->key)) {
            break;
        }
        status = look_in_file(lookup, reading, file);
        lookup->filtered = KV_TABLE_NOT_FILTERED; /* the next file's has not been asked */
        pass_source(lookup);
    }
    return status;
}

static inline uint32_t find_in_run(const struct kv_lookup *lookup, const struct kv_reading *reading,
                                   const struct kv_run *run)
{
    return kv_run_find(run, reading->kv->comparator, lookup->key, lookup->prefix8);
}

/* Where in a run a key may be, and what is fetched of it. */
struct candidate {
    const struct kv_run *run;
    uint32_t at;
    const struct kv_table *table; /* of the file at it; NULL: it is not open, or not looked at */
};

/*
 * Finds the file of a run, and fetches the line of its filter that will be asked. Returns: whether
 * there is one.
 */
static inline bool find_candidate(const struct kv_lookup *lookup, const struct kv_reading *reading,
                                  const struct kv_run *run, struct candidate *ret_candidate)
{
    uint32_t at = find_in_run(lookup, reading, run);

    if (at == run->file_count) {
        return false;
    }
    struct kv_table *table = reading->may_open ? NULL : kv_open_table_peek(run->files[at]);
    if (Q_LIKELY(table != NULL)) {
        kv_table_prefetch(table, lookup->hash);
    }
    *ret_candidate = (struct candidate){run, at, table};
    return true;
}

/*
 * What a filter in memory rejects is in no other file of the run either: a key that goes on in the
 * next file is the last of this one, and its filter has it.
 */
static inline enum quarry_status look_in_candidate(struct kv_lookup *lookup,
                                                   struct kv_reading *reading,
                                                   const struct candidate *candidate)
{
    lookup->filtered = candidate->table == NULL ? KV_TABLE_NOT_FILTERED
                                                : kv_table_ask(candidate->table, lookup->hash);
    if (lookup->filtered == KV_TABLE_REJECTED) {
        reading->filter_useful++;
        return QUARRY_OK;
    }
    return look_in_run(lookup, reading, candidate->run, candidate->at);
}

static enum quarry_status look_in_level0(struct kv_lookup *lookup, struct kv_reading *reading)
{
    const struct kv_version *version = reading->view->version;
    enum quarry_status status = QUARRY_OK;
    struct candidate candidate;

    for (uint32_t i = 0; i < version->sublevel_count && status == QUARRY_OK && !lookup->is_decided;
         i++) {
        if (find_candidate(lookup, reading, &version->sublevels[i], &candidate)) {
            status = look_in_candidate(lookup, reading, &candidate);
        }
    }
    return status;
}

/* The misses of the CPU's cache that the levels' filters cost overlap, and those of level 0. */
static enum quarry_status look_in_files(struct kv_lookup *lookup, struct kv_reading *reading)
{
    const struct kv_version *version = reading->view->version;
    struct candidate candidates[QUARRY_KV_LEVELS];
    uint32_t count = 0;

    lookup->hash = kv_table_hash(lookup->key);
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        if (run->file_count != 0 && find_candidate(lookup, reading, run, &candidates[count])) {
            count++;
        }
    }
    enum quarry_status status = look_in_level0(lookup, reading);
    for (uint32_t i = 0; i < count && status == QUARRY_OK && !lookup->is_decided; i++) {
        status = look_in_candidate(lookup, reading, &candidates[i]);
    }
    return status;
}

/* ---- a key ---------------------------------------------------------------------------------- */

/* Operands and what is below them become a value. */
Q_COLD static enum quarry_status resolve(struct kv_lookup *lookup, struct kv_reading *reading)
{
    const struct kv_resolution resolution = {
        .merge_operator = reading->kv->merge_operator,
        .key = lookup->key,
        .base = lookup->place == KV_PLACE_NONE ? NULL : &lookup->value,
        .is_newest_first = true,
    };
    enum quarry_status status =
        kv_operands_resolve(&lookup->operands, &resolution, &lookup->merged, reading->error);

    if (status == QUARRY_OK) {
        lookup->place = KV_PLACE_MERGED;
        lookup->value = kv_buffer_slice(&lookup->merged);
    }
    return status;
}

static enum quarry_status run_all(struct kv_lookup *lookup, struct kv_reading *reading)
{
    const struct kv_view *view = reading->view;
    enum quarry_status status = QUARRY_OK;

    if (Q_UNLIKELY(reading->batch != NULL)) {
        status = look_in_batch(lookup, reading);
    }
    for (uint32_t i = 0; i < view->layer_count && status == QUARRY_OK && !lookup->is_decided; i++) {
        status = look_in_layer(lookup, reading, view->layers[i]);
    }
    if (status == QUARRY_OK && !lookup->is_decided) {
        status = look_in_files(lookup, reading);
    }
    if (Q_UNLIKELY(lookup->operands.count != 0) && status == QUARRY_OK) {
        status = resolve(lookup, reading);
    }
    return status;
}

enum quarry_status kv_lookup_run(struct kv_lookup *lookup, struct kv_reading *reading)
{
    enum quarry_status status = run_all(lookup, reading);

    if (Q_LIKELY(status == QUARRY_OK)) {
        return lookup->place == KV_PLACE_NONE ? QUARRY_NOT_FOUND : QUARRY_OK;
    }
    kv_lookup_fini(lookup, reading->kv);
    return status;
}

/* ---- views ---------------------------------------------------------------------------------- */

static uint64_t sequence_of(const struct quarry_kv *kv,
                            const struct quarry_kv_read_options *options)
{
    return options->snapshot != NULL ? options->snapshot->sequence : kv_visible_sequence(kv);
}

/* With a counted view: files may be opened. */
Q_COLD static enum quarry_status read_counted(struct kv_reading *reading,
                                              const struct quarry_kv_read_options *options,
                                              kv_read_function *read, void *argument)
{
    struct kv_view *view = kv_view_acquire(reading->kv);

    reading->view = view;
    reading->sequence = sequence_of(reading->kv, options);
    reading->may_open = true;
    reading->needs_open = false;
    reading->filter_useful = reading->filter_passed = reading->filter_false = 0;
    enum quarry_status status = read(argument, reading);
    kv_view_release(reading->kv, view);
    return status;
}

enum quarry_status kv_read(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                           struct quarry_kv_batch *batch, kv_read_function *read, void *argument,
                           struct quarry_error *error)
{
    static const struct quarry_kv_read_options defaults = {0};

    options = options == NULL ? &defaults : options;
    struct kv_reading reading = {
        .kv = kv,
        .batch = batch,
        .only_cached = options->only_cached,
        .is_background = options->leaves_no_trace,
        .error = error,
    };
    reading.view = kv_view_enter(kv);
    reading.sequence = sequence_of(kv, options);
    enum quarry_status status = read(argument, &reading);
    kv_view_leave(kv);
    if (Q_UNLIKELY(reading.needs_open)) {
        status = read_counted(&reading, options, read, argument);
    }
    if (Q_UNLIKELY(status == QUARRY_NO_MEMORY) && kv_reserve_enter(kv)) {
        uint32_t try_count = 0;
        do {
            status = read_counted(&reading, options, read, argument);
        } while (status == QUARRY_NO_MEMORY && kv_reserve_wait(kv, 0, &try_count));
        kv_reserve_leave(kv);
    }
    return status;
}
