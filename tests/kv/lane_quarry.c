/* The lane of this engine: what RocksDB's can do too. See lane.h. */
#include "kv/lane_quarry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/size.h>

#define MEMORY_BYTES Q_MIB(512)

/* ---- opening ---- */

struct quarry_kv *lane_open(struct lane *lane, const char *path, const char *name, bool read_only)
{
    struct quarry_kv_options options = lane->options->kv;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    options.vfs = lane->vfs;
    options.name = name;
    options.read_only = read_only;
    rig_expect(quarry_kv_open(lane->memory, path, &options, &kv, &error), &error, "open");
    return kv;
}

void lane_close(struct quarry_kv *kv)
{
    struct quarry_error error = {0};

    rig_expect(quarry_kv_close(kv, &error), &error, "close");
}

void lane_release_values(struct lane *lane)
{
    quarry_kv_value_release(&lane->read);
    for (uint32_t i = 0; i < LANE_VALUES; i++) {
        quarry_kv_value_release(&lane->held[i].value);
        free(lane->held[i].copy);
        lane->held[i].copy = NULL;
    }
}

void lane_close_store(struct lane *lane)
{
    struct quarry_error error = {0};

    lane_release_values(lane);
    if (lane->options->kv.durability == QUARRY_KV_NONE) {
        rig_expect(quarry_kv_flush(lane->kv, &error), &error, "flush");
    }
    lane_close(lane->kv);
}

static struct lane *create(const struct meta_options *options, const char *directory)
{
    struct lane *lane = calloc(1, sizeof *lane);

    Q_ASSERT(lane != NULL);
    lane->options = options;
    lane->memory = rig_memory_create(MEMORY_BYTES);
    if (options->is_memory) {
        rig_expect(quarry_vfs_memory_create(1, &lane->vfs), NULL, "vfs");
    } else {
        lane->vfs = quarry_vfs_posix();
        (void)snprintf(lane->base, sizeof lane->base, "%s", directory);
    }
    (void)snprintf(lane->path, sizeof lane->path, "%s/kv", lane->base);
    lane->kv = lane_open(lane, lane->path, "kv", false);
    return lane;
}

static void destroy(struct lane *lane)
{
    lane_close_store(lane);
    if (lane->options->is_memory) {
        quarry_vfs_memory_destroy(lane->vfs);
    }
    quarry_memory_destroy(lane->memory);
    free(lane);
}

static void reopen(struct lane *lane)
{
    lane_close_store(lane);
    lane->kv = lane_open(lane, lane->path, "kv", false);
}

/* ---- changes ---- */

enum quarry_status lane_add(struct quarry_kv_batch *batch, const struct change *change)
{
    struct quarry_kv_slice key = change->key, value = change->value;

    switch (change->kind) {
    case CHANGE_PUT:
        return quarry_kv_batch_put(batch, key.bytes, key.byte_count, value.bytes, value.byte_count);
    case CHANGE_DELETE:
        return quarry_kv_batch_delete(batch, key.bytes, key.byte_count);
    case CHANGE_SINGLE:
        return quarry_kv_batch_single_delete(batch, key.bytes, key.byte_count);
    case CHANGE_RANGE:
        return quarry_kv_batch_delete_range(batch, key.bytes, key.byte_count, value.bytes,
                                            value.byte_count);
    case CHANGE_MERGE:
        break;
    }
    return quarry_kv_batch_merge(batch, key.bytes, key.byte_count, value.bytes, value.byte_count);
}

static enum quarry_status write_one(struct quarry_kv *kv,
                                    const struct quarry_kv_write_options *options,
                                    const struct change *change, struct quarry_error *error)
{
    struct quarry_kv_slice key = change->key, value = change->value;

    switch (change->kind) {
    case CHANGE_PUT:
        return quarry_kv_put(kv, options, key.bytes, key.byte_count, value.bytes, value.byte_count,
                             error);
    case CHANGE_DELETE:
        return quarry_kv_delete(kv, options, key.bytes, key.byte_count, error);
    case CHANGE_SINGLE:
        return quarry_kv_single_delete(kv, options, key.bytes, key.byte_count, error);
    case CHANGE_RANGE:
        return quarry_kv_delete_range(kv, options, key.bytes, key.byte_count, value.bytes,
                                      value.byte_count, error);
    case CHANGE_MERGE:
        break;
    }
    return quarry_kv_merge(kv, options, key.bytes, key.byte_count, value.bytes, value.byte_count,
                           error);
}

/* A batch of changes; `by_append`: made from the data of another one. */
static struct quarry_kv_batch *batch_of(struct lane *lane, const struct change *changes,
                                        size_t count, bool by_append)
{
    struct quarry_kv_batch *batch = NULL, *second = NULL;
    struct quarry_error error = {0};

    rig_expect(quarry_kv_batch_create(lane->kv, false, &batch), NULL, "batch_create");
    for (size_t i = 0; i < count; i++) {
        rig_expect(lane_add(batch, &changes[i]), NULL, "batch");
    }
    if (!by_append) {
        return batch;
    }
    rig_expect(quarry_kv_batch_create(lane->kv, false, &second), NULL, "batch_create");
    if (!lane->options->is_leveldb) {
        rig_expect(quarry_kv_batch_log_data(second, "note", 4), NULL, "batch_log_data");
    }
    rig_expect(quarry_kv_batch_append(second, quarry_kv_batch_data(batch), &error), &error,
               "batch_append");
    if (quarry_kv_batch_count(second) != quarry_kv_batch_count(batch)) {
        rig_fail("batch_append: %u changes of %u", quarry_kv_batch_count(second),
                 quarry_kv_batch_count(batch));
    }
    quarry_kv_batch_destroy(batch);
    return second;
}

static void write(struct lane *lane, const struct change *changes, size_t count, bool is_batch,
                  uint64_t seed)
{
    struct quarry_kv_write_options options = {.never_waits = rig_once_in(&seed, 4)};
    struct quarry_error error = {0};
    struct quarry_kv_batch *batch = NULL;

    if (rig_once_in(&seed, 3)) {
        options.durability = (enum quarry_kv_durability)rig_below(&seed, 4);
    }
    if (is_batch) {
        batch = batch_of(lane, changes, count, rig_once_in(&seed, 4));
    }
    for (;;) {
        enum quarry_status status = batch != NULL
                                        ? quarry_kv_write(lane->kv, &options, batch, &error)
                                        : write_one(lane->kv, &options, changes, &error);
        if (status != QUARRY_BUSY || !options.never_waits) {
            rig_expect(status, &error, "write");
            break;
        }
        options.never_waits = false;
    }
    lane->is_unsynced =
        options.durability != QUARRY_KV_DEFAULT && options.durability != QUARRY_KV_POWER;
    quarry_kv_batch_destroy(batch);
}

/* ---- reads ---- */

static enum quarry_status read_into_room(struct lane *lane,
                                         const struct quarry_kv_read_options *options,
                                         struct quarry_kv_slice key, struct lane_read *read,
                                         struct quarry_error *error)
{
    size_t value_bytes = 0;
    /* Room for a part of it first, now and then. */
    size_t room_bytes = key.byte_count % 2 == 0 ? sizeof lane->room : 3;
    enum quarry_status status = quarry_kv_read(lane->kv, options, key.bytes, key.byte_count,
                                               lane->room, room_bytes, &value_bytes, error);

    if (status == QUARRY_OK && value_bytes > room_bytes) {
        status = quarry_kv_read(lane->kv, options, key.bytes, key.byte_count, lane->room,
                                sizeof lane->room, &value_bytes, error);
    }
    read->value = slice_of(lane->room, status == QUARRY_OK ? value_bytes : 0);
    return status;
}

static struct lane_read get(struct lane *lane, uint32_t snapshot, struct quarry_kv_slice key,
                            enum op_kind how)
{
    const struct quarry_kv_read_options options = {
        .snapshot = snapshot == LANE_NOW ? NULL : lane->snapshots[snapshot],
        .leaves_no_trace = key.byte_count % 5 == 0};
    struct quarry_error error = {0};
    struct lane_read read = {.is_found = false};
    enum quarry_status status;

    quarry_kv_value_release(&lane->read);
    if (how == OP_EXISTS) {
        status = quarry_kv_exists(lane->kv, &options, key.bytes, key.byte_count, &error);
    } else if (how == OP_READ) {
        status = read_into_room(lane, &options, key, &read, &error);
    } else {
        status = quarry_kv_get(lane->kv, &options, key.bytes, key.byte_count, &lane->read, &error);
        read.value = slice_of(lane->read.bytes, lane->read.byte_count);
    }
    if (status != QUARRY_NOT_FOUND) {
        rig_expect(status, &error, op_name(how));
    }
    read.is_found = status == QUARRY_OK;
    return read;
}

static void snapshot_take(struct lane *lane, uint32_t slot)
{
    rig_expect(quarry_kv_snapshot_take(lane->kv, &lane->snapshots[slot]), NULL, "snapshot_take");
    uint64_t sequence = quarry_kv_snapshot_sequence(lane->snapshots[slot]);
    if (sequence < lane->sequence) {
        rig_fail("snapshot_take: sequence %llu after %llu", (unsigned long long)sequence,
                 (unsigned long long)lane->sequence);
    }
    lane->sequence = sequence;
}

static void snapshot_release(struct lane *lane, uint32_t slot)
{
    quarry_kv_snapshot_release(lane->kv, lane->snapshots[slot]);
    lane->snapshots[slot] = NULL;
}

/* ---- iterators ---- */

static void iterate(struct lane *lane, uint32_t slot, const struct lane_range *range)
{
    const struct quarry_kv_read_options options = {
        .snapshot = range->snapshot == LANE_NOW ? NULL : lane->snapshots[range->snapshot],
        .lower = range->lower,
        .upper = range->upper,
        .is_prefix_only = range->prefix_bytes > 0};
    struct quarry_error error = {0};

    rig_expect(quarry_kv_iterate(lane->kv, &options, &lane->iterators[slot], &error), &error,
               "iterate");
}

static void iterator_end(struct lane *lane, uint32_t slot)
{
    quarry_kv_iterator_destroy(lane->iterators[slot]);
    lane->iterators[slot] = NULL;
}

static bool move_iterator(struct quarry_kv_iterator *iterator, enum lane_move move,
                          struct quarry_kv_slice key)
{
    switch (move) {
    case LANE_FIRST:
        return quarry_kv_iterator_first(iterator);
    case LANE_LAST:
        return quarry_kv_iterator_last(iterator);
    case LANE_SEEK:
        return quarry_kv_iterator_seek(iterator, key.bytes, key.byte_count);
    case LANE_SEEK_FOR_PREV:
        return quarry_kv_iterator_seek_for_prev(iterator, key.bytes, key.byte_count);
    case LANE_NEXT:
        return quarry_kv_iterator_next(iterator);
    case LANE_PREVIOUS:
        break;
    }
    return quarry_kv_iterator_previous(iterator);
}

static struct lane_read move(struct lane *lane, uint32_t slot, enum lane_move move,
                             struct quarry_kv_slice key)
{
    struct quarry_kv_iterator *iterator = lane->iterators[slot];
    struct quarry_error error = {0};
    struct lane_read read = {.is_found = move_iterator(iterator, move, key)};

    rig_expect(quarry_kv_iterator_status(iterator, &error), &error, "iterator_status");
    if (read.is_found != quarry_kv_iterator_is_valid(iterator)) {
        rig_fail("iterator_is_valid is not what the move returned");
    }
    if (read.is_found) {
        read.key = quarry_kv_iterator_key(iterator);
        read.value = quarry_kv_iterator_value(iterator);
    }
    return read;
}

static void set_bounds(struct lane *lane, uint32_t slot, const struct lane_range *range)
{
    rig_expect(quarry_kv_iterator_set_bounds(lane->iterators[slot], range->lower, range->upper),
               NULL, "set_bounds");
}

static void refresh(struct lane *lane, uint32_t slot, const struct lane_range *range)
{
    struct quarry_error error = {0};

    (void)range;
    rig_expect(quarry_kv_iterator_refresh(lane->iterators[slot], &error), &error, "refresh");
}

/* ---- files ---- */

static void flush(struct lane *lane)
{
    struct quarry_error error = {0};

    rig_expect(quarry_kv_flush(lane->kv, &error), &error, "flush");
}

static void compact(struct lane *lane, struct quarry_kv_slice begin, struct quarry_kv_slice end)
{
    struct quarry_error error = {0};

    rig_expect(quarry_kv_compact_range(lane->kv, begin, end, &error), &error, "compact_range");
}

const struct lane_ops lane_quarry = {.name = "quarry",
                                     .create = create,
                                     .destroy = destroy,
                                     .write = write,
                                     .get = get,
                                     .snapshot_take = snapshot_take,
                                     .snapshot_release = snapshot_release,
                                     .iterate = iterate,
                                     .iterator_end = iterator_end,
                                     .move = move,
                                     .set_bounds = set_bounds,
                                     .refresh = refresh,
                                     .flush = flush,
                                     .compact = compact,
                                     .reopen = reopen,
                                     .own = lane_own,
                                     .has_merges = true,
                                     .has_ranges = true,
                                     .has_prefixes = true};
