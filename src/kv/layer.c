/*
 * Layers: a memtable, or a batch with an index, looked at in one way.
 *
 * A batch that is half as large as a memtable, or larger, would fill one up that is hardly written
 * to, or not fit it at all. It becomes a layer of its own: its bytes as they are, copied once, and
 * a sorted index over them, both made before the commit lock. Its changes have rising sequences
 * from `base_sequence` on, which is known late; only fragments of range deletions depend on it.
 *
 * A layer is counted: the store's lists have a count, each view, and whoever holds a value in it.
 *
 * Readers hold memtables that have been flushed long ago. Where all of them together are above
 * three eighths of the budget, the next one is smaller, so that the rest of it stays for what
 * flushes and compacts them.
 *
 * Cost: a branch more than the memtable's own functions.
 */
#include <kv/view.h>

#include <os/os.h>
#include <ref/ref.h>

/* Of the budget, for all memtables that are there; and the least that one has of its own accord. */
#define MEMTABLES_SHARE 3u
#define MEMTABLES_PARTS 8u
#define CAPACITY_LEAST  Q_KIB(256)

/* ---- beginning and ending ------------------------------------------------------------------- */

static struct kv_layer *take_layer(struct quarry_kv *kv)
{
    struct kv_layer *layer = kv_memory_take(&kv->small[KV_PART_META], sizeof(*layer));

    if (layer != NULL) {
        ref_count_init(&layer->reference_count);
        layer->kv = kv;
    }
    return layer;
}

static uint64_t memtable_bytes(struct quarry_kv *kv)
{
    struct quarry_account_state own;

    quarry_account_read(kv->small[KV_PART_MEMTABLE].account, &own);
    return own.charged_bytes;
}

/* The usual, or a part of it: see above. */
static uint64_t next_capacity(struct quarry_kv *kv)
{
    const struct quarry_kv_options *options = &kv->options;
    uint64_t capacity_bytes = options->write_buffer_bytes;
    uint64_t most_bytes =
        size_max_u64(kv->budget_bytes / MEMTABLES_PARTS * MEMTABLES_SHARE,
                     sat_mul_u64(capacity_bytes, (uint64_t)options->write_buffer_count + 1));

    if (kv->budget_bytes == 0 || sat_add_u64(memtable_bytes(kv), capacity_bytes) <= most_bytes) {
        return capacity_bytes;
    }
    (void)quarry_arena_keeper_reclaim(kv->keeper, capacity_bytes); /* it is charged, too */
    uint64_t held_bytes = memtable_bytes(kv);
    while (capacity_bytes / 2 >= CAPACITY_LEAST &&
           sat_add_u64(held_bytes, capacity_bytes) > most_bytes) {
        capacity_bytes /= 2;
    }
    return capacity_bytes;
}

enum quarry_status kv_layer_create_memtable(struct quarry_kv *kv, struct kv_layer **ret_layer,
                                            struct quarry_error *error)
{
    return kv_layer_create_sized(kv, next_capacity(kv), ret_layer, error);
}

enum quarry_status kv_layer_create_sized(struct quarry_kv *kv, uint64_t capacity_bytes,
                                         struct kv_layer **ret_layer, struct quarry_error *error)
{
    const struct kv_memtable_options options = {.keeper = kv->keeper,
                                                .memory = &kv->small[KV_PART_MEMTABLE],
                                                .comparator = kv->comparator,
                                                .capacity_bytes = capacity_bytes};
    struct kv_layer *layer = take_layer(kv);

    if (layer == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "store '%s': no memory for a memtable", kv->path);
    }
    enum quarry_status status = kv_memtable_create(&options, &layer->memtable, error);
    if (status != QUARRY_OK) {
        kv_memory_give(&kv->small[KV_PART_META], layer);
        return status;
    }
    *ret_layer = layer;
    return QUARRY_OK;
}

static enum quarry_status index_batch(struct quarry_kv *kv, struct kv_layer *layer,
                                      struct quarry_error *error)
{
    struct kv_memory *memory = &kv->small[KV_PART_MEMTABLE];
    struct kv_slice data = kv_buffer_slice(&layer->bytes);
    enum quarry_status status = kv_batch_check(data, &layer->counts, error);

    if (status != QUARRY_OK) {
        return status;
    }
    layer->bytes_at = layer->bytes.bytes;
    status = kv_batch_index_create(memory, kv->comparator, &layer->bytes_at, &layer->index);
    if (status == QUARRY_OK) {
        status = kv_batch_index_build(layer->index, data, error);
    }
    if (status == QUARRY_OK) {
        status = kv_layer_set_sequence(layer, kv_batch_sequence(data));
    }
    return status;
}

enum quarry_status kv_layer_create_batch(struct quarry_kv *kv, struct kv_slice data,
                                         struct kv_layer **ret_layer, struct quarry_error *error)
{
    struct kv_layer *layer = take_layer(kv);
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (layer != NULL) {
        kv_buffer_init(&layer->bytes, &kv->small[KV_PART_MEMTABLE], KV_BATCH_BYTES_MAX);
        status = quarry_kv_buffer_append(&layer->bytes, data.bytes, data.count);
    }
    if (status == QUARRY_OK) {
        status = index_batch(kv, layer, error);
    }
    if (status == QUARRY_OK) {
        *ret_layer = layer;
        return QUARRY_OK;
    }
    kv_layer_release(layer);
    return status != QUARRY_NO_MEMORY
               ? status
               : error_set(error, status, "store '%s': no memory for a batch of %zu bytes",
                           kv->path, data.count);
}

enum quarry_status kv_layer_set_sequence(struct kv_layer *layer, uint64_t sequence)
{
    struct kv_fragments *fragments = NULL;

    Q_ASSERT(layer->index != NULL);
    endian_store_le_u64(layer->bytes.bytes, sequence);
    if (layer->counts.range_count != 0) {
        enum quarry_status status = kv_batch_index_fragments(layer->index, sequence, &fragments);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    kv_fragments_release(layer->fragments);
    layer->fragments = fragments;
    layer->base_sequence = sequence;
    return QUARRY_OK;
}

bool kv_layer_is_empty(const struct kv_layer *layer)
{
    struct kv_memtable_stats stats;

    if (layer->memtable == NULL) {
        return layer->counts.change_count == 0;
    }
    kv_memtable_read_stats(layer->memtable, &stats);
    return stats.entry_count + stats.range_count == 0;
}

void kv_layer_acquire(struct kv_layer *layer)
{
    ref_count_acquire(&layer->reference_count);
}

void kv_layer_release(struct kv_layer *layer)
{
    if (layer == NULL || !ref_count_release(&layer->reference_count)) {
        return;
    }
    kv_memtable_release(layer->memtable);
    kv_fragments_release(layer->fragments);
    kv_batch_index_destroy(layer->index);
    if (layer->memtable == NULL) {
        kv_buffer_fini(&layer->bytes);
    }
    kv_memory_give(&layer->kv->small[KV_PART_META], layer);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* From the newest change of a key on: the first that is not above a sequence. */
static bool get_in_batch(const struct kv_layer *layer, struct kv_slice key, uint64_t sequence,
                         struct kv_layer_found *ret_found)
{
    struct kv_batch_found found;
    bool is_found = kv_batch_index_get(layer->index, key, layer->base_sequence, &found);

    while (is_found && kv_trailer_sequence(found.trailer) > sequence) {
        is_found = kv_batch_index_older(layer->index, layer->base_sequence, &found);
    }
    if (is_found) {
        ret_found->trailer = found.trailer;
        ret_found->value = found.value;
        ret_found->place.position = found.position;
    }
    return is_found;
}

static void show_memtable(struct kv_layer_found *ret_found)
{
    ret_found->trailer = ret_found->place.memtable.trailer;
    ret_found->value = ret_found->place.memtable.value;
}

bool kv_layer_get(const struct kv_layer *layer, struct kv_slice key, uint64_t sequence,
                  struct kv_layer_found *ret_found)
{
    if (Q_UNLIKELY(layer->memtable == NULL)) {
        return get_in_batch(layer, key, sequence, ret_found);
    }
    if (!kv_memtable_get(layer->memtable, key, sequence, &ret_found->place.memtable)) {
        return false;
    }
    show_memtable(ret_found);
    return true;
}

bool kv_layer_older(const struct kv_layer *layer, struct kv_slice key, struct kv_layer_found *found)
{
    (void)key;
    if (layer->memtable != NULL) {
        if (!kv_memtable_older(layer->memtable, &found->place.memtable)) {
            return false;
        }
        show_memtable(found);
        return true;
    }
    struct kv_batch_found older = {
        .trailer = found->trailer, .value = found->value, .position = found->place.position};
    if (!kv_batch_index_older(layer->index, layer->base_sequence, &older)) {
        return false;
    }
    found->trailer = older.trailer;
    found->value = older.value;
    found->place.position = older.position;
    return true;
}

uint64_t kv_layer_cover(const struct kv_layer *layer, struct kv_slice key, uint64_t sequence)
{
    return layer->memtable != NULL ? kv_memtable_cover(layer->memtable, key, sequence)
                                   : kv_fragments_cover(layer->fragments, key, sequence);
}

enum quarry_status kv_layer_fragments(const struct kv_layer *layer,
                                      struct kv_fragments **ret_fragments)
{
    if (layer->memtable != NULL) {
        return kv_memtable_fragments(layer->memtable, ret_fragments);
    }
    if (layer->fragments != NULL) {
        kv_fragments_acquire(layer->fragments);
    }
    *ret_fragments = layer->fragments;
    return QUARRY_OK;
}

void kv_layer_read_stats(const struct kv_layer *layer, struct kv_memtable_stats *ret_stats)
{
    const struct kv_batch_counts *counts = &layer->counts;

    if (layer->memtable != NULL) {
        kv_memtable_read_stats(layer->memtable, ret_stats);
        return;
    }
    *ret_stats = (struct kv_memtable_stats){
        .entry_count = counts->change_count - counts->range_count,
        .delete_count = counts->delete_count,
        .merge_count = counts->merge_count,
        .range_count = counts->range_count,
        .key_bytes = counts->key_bytes,
        .value_bytes = counts->value_bytes,
        .smallest_sequence = layer->base_sequence,
        .largest_sequence = layer->base_sequence + counts->change_count - 1,
        .used_bytes = layer->bytes.byte_count,
        .backed_bytes =
            layer->bytes.capacity + (uint64_t)counts->change_count * sizeof(struct kv_batch_entry),
        .capacity_bytes = layer->bytes.capacity,
    };
}

/* ---- walking -------------------------------------------------------------------------------- */

/* What is below ends first, and then its layer's count. */
static void iterator_fini(struct kv_iterator *iterator)
{
    struct kv_layer_iterator *own = (struct kv_layer_iterator *)(void *)iterator;
    struct kv_layer *layer = own->layer;

    own->below->fini(iterator);
    own->layer = NULL;
    kv_layer_release(layer);
}

void kv_layer_iterator_init(struct kv_layer_iterator *iterator, struct kv_layer *layer)
{
    kv_layer_acquire(layer);
    if (layer->memtable != NULL) {
        kv_memtable_iterator_init(&iterator->over.memtable, layer->memtable);
    } else {
        kv_batch_iterator_init(&iterator->over.batch, layer->index, layer->base_sequence);
    }
    iterator->layer = layer;
    iterator->below = iterator->over.base.ops;
    iterator->ops = *iterator->below;
    iterator->ops.fini = iterator_fini;
    iterator->over.base.ops = &iterator->ops;
}
