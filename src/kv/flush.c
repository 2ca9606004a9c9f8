/*
 * Flushing: layers become a table of level 0.
 *
 *     layers, the oldest first   │ l0 │ l1 │ l2 │ (mutable)
 *                                └────┬────┘
 *                    merged, what nobody can see dropped, range deletions kept
 *                                     ↓
 *                         one table of level 0, synced; installed; layers dropped
 *
 * However many layers there are, they make one table: tables of level 0 are ordered by their
 * sequences, and RocksDB takes it for damage if those of one lie within those of another, as they
 * would if a flush were cut by keys. Where several layers wait, they are written together: what was
 * overwritten among them is written once.
 *
 * Deletions stay, whatever is below: to know it one would have to look. Nothing of a layer is above
 * what was visible for long: the last stripe begins there (compact_entries.c), as a reader may
 * still come with that sequence.
 *
 * Where all that layers have is nothing (none had been written to), no table is made, and the
 * change only drops them.
 *
 * Flushing is what gives memory back, so it must get by with little. One that is refused is done
 * again at once, inside the memory's reserve and frugally: with small buffers and without a filter,
 * which is 8 bytes a key until it is made, and without which a table is read all the same.
 * Compactions make it one with a filter. What the layers had pays for the next reserve, before
 * others can have it.
 *
 * Locking: none while it writes. Memory: a cursor for each layer, the writer's.
 */
#include <kv/background_parts.h>

#include <kv/commit.h>
#include <kv/compact_entries.h>
#include <kv/compact_output.h>
#include <kv/merge_iterator.h>

/* What a flush works with. */
struct flush {
    struct quarry_kv *kv;
    struct kv_layer **layers; /* the oldest first */
    size_t layer_count;
    struct quarry_error *error;
    bool is_frugal;
    struct kv_memory *memory;
    struct kv_stripes stripes;
    struct kv_layer_iterator *over; /* of each layer, the newest first */
    struct kv_merge_iterator *merged;
    struct kv_ranges ranges;
    struct kv_fragments *fragments;
    struct kv_output output;
    uint64_t read_bytes;
};

static enum quarry_status no_memory(const struct flush *flush)
{
    return error_set(flush->error, QUARRY_NO_MEMORY, "%s: no memory for a flush of %zu layers",
                     flush->kv->path, flush->layer_count);
}

/* ---- inputs --------------------------------------------------------------------------------- */

static enum quarry_status gather_ranges(struct flush *flush)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < flush->layer_count && status == QUARRY_OK; i++) {
        struct kv_fragments *fragments;
        status = kv_layer_fragments(flush->layers[i], &fragments);
        if (status == QUARRY_OK) {
            status = kv_ranges_add_fragments(&flush->ranges, fragments);
            kv_fragments_release(fragments);
        }
    }
    if (status == QUARRY_OK) {
        status = kv_ranges_finish(&flush->ranges, &flush->fragments);
    }
    return status == QUARRY_OK ? status : no_memory(flush);
}

static enum quarry_status merge_layers(struct flush *flush)
{
    struct kv_iterator *children[KV_FLUSH_LAYERS_MAX];
    size_t count = flush->layer_count;

    flush->over = kv_memory_take(flush->memory, count * sizeof(*flush->over));
    if (flush->over == NULL) {
        return no_memory(flush);
    }
    for (size_t i = 0; i < count; i++) {
        kv_layer_iterator_init(&flush->over[i], flush->layers[count - 1 - i]);
        children[i] = &flush->over[i].over.base;
    }
    if (kv_merge_iterator_create(flush->memory, flush->kv->comparator, children, count,
                                 &flush->merged) != QUARRY_OK) {
        for (size_t i = 0; i < count; i++) {
            children[i]->ops->fini(children[i]);
        }
        return no_memory(flush);
    }
    return QUARRY_OK;
}

static void read_sizes(struct flush *flush)
{
    for (size_t i = 0; i < flush->layer_count; i++) {
        struct kv_memtable_stats stats;
        kv_layer_read_stats(flush->layers[i], &stats);
        flush->read_bytes = sat_add_u64(flush->read_bytes, stats.used_bytes);
    }
}

static enum quarry_status begin(struct flush *flush)
{
    struct quarry_kv *kv = flush->kv;

    os_mutex_lock(&kv->mutex);
    enum quarry_status status = kv_stripes_init(&flush->stripes, kv, flush->memory);
    bool is_small = flush->is_frugal || kv_background_is_short(kv);
    os_mutex_unlock(&kv->mutex);
    if (status != QUARRY_OK) {
        return no_memory(flush);
    }
    read_sizes(flush);
    status = gather_ranges(flush);
    if (status != QUARRY_OK) {
        return status;
    }
    struct kv_output_options options = {
        .kv = kv,
        .stripes = &flush->stripes,
        .fragments = flush->fragments,
        .is_small = is_small,
        .has_no_filter = flush->is_frugal,
    };
    kv_output_init(&flush->output, &options);
    return merge_layers(flush);
}

static void end(struct flush *flush)
{
    if (flush->output.options.kv != NULL) {
        kv_output_fini(&flush->output);
    }
    kv_merge_iterator_destroy(flush->merged);
    kv_memory_give(flush->memory, flush->over);
    kv_fragments_release(flush->fragments);
    kv_ranges_fini(&flush->ranges);
    kv_stripes_fini(&flush->stripes, flush->memory);
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum quarry_status write_table(struct flush *flush)
{
    struct quarry_kv *kv = flush->kv;
    struct kv_iterator *input = kv_merge_iterator_base(flush->merged);
    struct kv_survivors survivors;
    struct kv_survivors_options options = {
        .memory = flush->memory,
        .comparator = kv->comparator,
        .merge_operator = kv->merge_operator,
        .filter = kv->options.compaction_filter,
        .snapshots = flush->stripes.sequences,
        .snapshot_count = flush->stripes.count,
        .fragments = flush->fragments,
        .has_single_deletes = kv->form == KV_EDIT_ROCKSDB,
        .value_bytes_max = kv->options.value_bytes_max,
    };
    enum quarry_status status;

    input->ops->first(input);
    kv_survivors_init(&survivors, &options, input, flush->error);
    while ((status = kv_survivors_next(&survivors)) == QUARRY_OK) {
        status = kv_output_add(&flush->output, survivors.key, survivors.value, flush->error);
        if (status != QUARRY_OK) {
            break;
        }
    }
    kv_survivors_fini(&survivors);
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    return kv_output_cut(&flush->output, kv_slice(NULL, 0), flush->error);
}

static enum quarry_status install(struct flush *flush)
{
    struct kv_edit edit;

    kv_edit_init(&edit, flush->memory);
    enum quarry_status status = kv_output_list(&flush->output, &edit, flush->error);
    if (status == QUARRY_OK) {
        status = kv_install(flush->kv, &edit, flush->layer_count, flush->error);
    }
    kv_edit_fini(&edit);
    return status;
}

/* ---- hints ---------------------------------------------------------------------------------- */

static void forget_hint(struct kv_background *background, uint32_t index)
{
    kv_memory_give(&background->kv->small[KV_PART_META], background->hints[index].bytes);
    background->hint_count--;
    memmove(&background->hints[index], &background->hints[index + 1],
            (background->hint_count - index) * sizeof(background->hints[0]));
}

/* Remembers a range deletion, in place of the oldest; without memory it is not. */
static void add_hint(struct kv_background *background, struct kv_slice begin, struct kv_slice end,
                     uint64_t sequence, uint64_t file_number)
{
    char *bytes = kv_memory_take(&background->kv->small[KV_PART_META], begin.count + end.count + 1);

    if (bytes == NULL) {
        return;
    }
    if (begin.count != 0) {
        memcpy(bytes, begin.bytes, begin.count);
    }
    memcpy(bytes + begin.count, end.bytes, end.count);
    if (background->hint_count == KV_HINTS_MAX) {
        forget_hint(background, 0);
    }
    background->hints[background->hint_count++] =
        (struct kv_hint){bytes,
                         {kv_slice(bytes, begin.count), kv_slice(bytes + begin.count, end.count),
                          sequence, file_number}};
}

/* Neighbouring fragments of a sequence were one range: hints cover files only if they are whole. */
static void add_hints(struct flush *flush)
{
    const struct kv_fragments *fragments = flush->fragments;
    struct kv_background *background = flush->kv->background;

    if (fragments == NULL || background == NULL) {
        return;
    }
    os_mutex_lock(&flush->kv->mutex);
    for (uint32_t i = 0; i < fragments->fragment_count;) {
        const struct kv_fragment *first = &fragments->fragments[i];
        uint64_t sequence = fragments->sequences[first->first];
        uint32_t last = i;
        while (last + 1 < fragments->fragment_count &&
               fragments->sequences[fragments->fragments[last + 1].first] == sequence &&
               kv_compare(flush->kv->comparator, fragments->fragments[last].end,
                          fragments->fragments[last + 1].begin) == 0) {
            last++;
        }
        add_hint(background, first->begin, fragments->fragments[last].end, sequence,
                 flush->output.number);
        i = last + 1;
    }
    os_mutex_unlock(&flush->kv->mutex);
}

/* ---- the door ------------------------------------------------------------------------------- */

static void tell(struct flush *flush, uint64_t written_bytes, size_t written_files,
                 uint64_t begin_ns)
{
    struct quarry_kv *kv = flush->kv;
    struct quarry_kv_event_data data = {
        .event = QUARRY_KV_EVENT_FLUSHED,
        .read_bytes = flush->read_bytes,
        .written_bytes = written_bytes,
        .written_files = (uint32_t)written_files,
        .duration_ns = sat_sub_u64(kv_now_ns(kv), begin_ns),
    };

    kv_count(kv, KV_COUNT_FLUSHES, 1);
    kv_count(kv, KV_COUNT_FLUSH_BYTES, written_bytes);
    kv_notify(kv, &data);
}

static void unmark(struct flush *flush)
{
    os_mutex_lock(&flush->kv->mutex);
    for (size_t i = 0; i < flush->layer_count; i++) {
        flush->layers[i]->is_flushing = false;
    }
    os_mutex_unlock(&flush->kv->mutex);
}

static enum quarry_status flush_layers(struct quarry_kv *kv, struct kv_layer **layers, size_t count,
                                       bool is_frugal, struct quarry_error *error)
{
    struct flush flush = {.kv = kv,
                          .layers = layers,
                          .layer_count = count,
                          .error = error,
                          .is_frugal = is_frugal,
                          .memory = &kv->small[KV_PART_COMPACTION]};
    uint64_t begin_ns = kv_now_ns(kv);

    Q_ASSERT(count >= 1 && count <= KV_FLUSH_LAYERS_MAX);
    kv_ranges_init(&flush.ranges, flush.memory, kv->comparator);
    enum quarry_status status = begin(&flush);
    if (status == QUARRY_OK) {
        status = write_table(&flush);
    }
    uint64_t written_bytes = flush.output.written_bytes;
    size_t written_files = flush.output.file_count;
    if (status == QUARRY_OK) {
        status = install(&flush);
    }
    if (status == QUARRY_OK) {
        kv_output_keep(&flush.output);
        add_hints(&flush);
    } else {
        unmark(&flush);
    }
    end(&flush);
    if (status == QUARRY_OK) {
        tell(&flush, written_bytes, written_files, begin_ns);
    }
    return status;
}

static enum quarry_status flush_frugally(struct quarry_kv *kv, struct kv_layer **layers,
                                         size_t count, struct quarry_error *error)
{
    kv_background_note_refusal(kv);
    (void)kv_commit_release_reserve(kv, KV_RESERVE_FLUSH);
    os_mutex_lock(&kv->mutex);
    for (size_t i = 0; i < count; i++) {
        layers[i]->is_flushing = true;
    }
    os_mutex_unlock(&kv->mutex);
    quarry_reserve_begin(kv->memory);
    enum quarry_status status = flush_layers(kv, layers, count, true, error);
    quarry_reserve_end(kv->memory);
    return status;
}

enum quarry_status kv_flush_layers(struct quarry_kv *kv, struct kv_layer **layers, size_t count,
                                   struct quarry_error *error)
{
    enum quarry_status status = flush_layers(kv, layers, count, false, error);

    if (status == QUARRY_NO_MEMORY) {
        status = flush_frugally(kv, layers, count, error);
    }
    if (status == QUARRY_OK) {
        kv_view_collect(kv);
        kv_commit_restore_reserves(kv);
    }
    return status;
}
