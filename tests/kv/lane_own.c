/*
 * The lane of this engine: what RocksDB's does not do, or has no call for in C. Indexed batches,
 * reads of many keys, values that are held, and everything that makes or takes files.
 */
#include "kv/lane_quarry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>

#define BATCH_STEPS  30u
#define MARKS_MAX    4u
#define MULTI_MAX    24u
#define INGEST_MAX   64u
#define BACKUPS_KEPT 2u

/* ---- indexed batches ---- */

struct indexed {
    struct lane *lane;
    const struct keys *keys;
    struct quarry_kv_batch *batch;
    struct model_state *state;
    struct model_state *marks[MARKS_MAX];
    uint32_t mark_count;
    uint64_t random;
};

static struct quarry_kv_slice some_key(struct indexed *indexed)
{
    return indexed->keys->key[rig_below(&indexed->random, indexed->keys->count)];
}

static void indexed_change(struct indexed *indexed)
{
    static const enum change_kind all[] = {CHANGE_PUT,    CHANGE_PUT,   CHANGE_PUT,
                                           CHANGE_DELETE, CHANGE_MERGE, CHANGE_RANGE};
    struct change change = {.kind = all[rig_below(&indexed->random, 6)], .key = some_key(indexed)};
    bool is_plain = indexed->lane->options->is_leveldb;

    if (change.kind == CHANGE_RANGE) {
        change.value = some_key(indexed);
        if (slice_compare(change.key, change.value, indexed->state->is_reverse) > 0) {
            change.value = change.key;
        }
    }
    if (is_plain && change.kind > CHANGE_DELETE) {
        change.kind = CHANGE_PUT;
    }
    if (change.kind == CHANGE_PUT || change.kind == CHANGE_MERGE) {
        change.value = value_draw(&indexed->random, indexed->lane->room);
        change.value.byte_count %= 300;
    }
    rig_expect(lane_add(indexed->batch, &change), NULL, "indexed batch");
    model_apply(&indexed->state, &change);
}

static void indexed_mark_or_rewind(struct indexed *indexed)
{
    if (rig_once_in(&indexed->random, 2) && indexed->mark_count < MARKS_MAX) {
        rig_expect(quarry_kv_batch_mark(indexed->batch), NULL, "batch_mark");
        indexed->marks[indexed->mark_count++] = model_share(indexed->state);
    } else if (indexed->mark_count > 0) {
        rig_expect(quarry_kv_batch_rewind(indexed->batch), NULL, "batch_rewind");
        model_drop(indexed->state);
        indexed->state = indexed->marks[--indexed->mark_count];
    }
}

static void indexed_get(struct indexed *indexed)
{
    struct quarry_kv_slice key = some_key(indexed);
    struct quarry_kv_value value = {0};
    struct quarry_error error = {0};
    uint32_t index = model_find(indexed->state, key);
    enum quarry_status status = quarry_kv_batch_get(indexed->lane->kv, NULL, indexed->batch,
                                                    key.bytes, key.byte_count, &value, &error);

    if (status != QUARRY_NOT_FOUND) {
        rig_expect(status, &error, "batch_get");
    }
    if ((status == QUARRY_OK) != (index != UINT32_MAX) ||
        (status == QUARRY_OK && !slices_are_same(slice_of(value.bytes, value.byte_count),
                                                 indexed->state->entries[index]->value))) {
        rig_fail("batch_get: %.*s is not what it should be (%s, %zu bytes)", (int)key.byte_count,
                 (const char *)key.bytes, quarry_status_name(status), value.byte_count);
    }
    quarry_kv_value_release(&value);
}

/* The key that a walk should be at after a seek, and its value; then a few steps. */
static void indexed_walk(struct indexed *indexed)
{
    struct quarry_kv_iterator *iterator = NULL;
    struct quarry_error error = {0};
    struct quarry_kv_slice key = some_key(indexed);
    uint32_t index = model_lower_bound(indexed->state, key);
    bool is_back = rig_once_in(&indexed->random, 2);

    rig_expect(quarry_kv_batch_iterate(indexed->lane->kv, NULL, indexed->batch, &iterator, &error),
               &error, "batch_iterate");
    bool is_at = quarry_kv_iterator_seek(iterator, key.bytes, key.byte_count);
    for (uint32_t step = 0; step < 6; step++) {
        rig_expect(quarry_kv_iterator_status(iterator, &error), &error, "batch_iterate");
        if (is_at != (index < indexed->state->count)) {
            rig_fail("batch_iterate: a walk %s", is_at ? "goes on past its end" : "ends early");
        }
        if (!is_at) {
            break;
        }
        const struct model_entry *entry = indexed->state->entries[index];
        struct quarry_kv_slice at = quarry_kv_iterator_key(iterator);
        if (!slices_are_same(at, entry->key) ||
            !slices_are_same(quarry_kv_iterator_value(iterator), entry->value)) {
            rig_fail("batch_iterate: at %.*s, should be at %.*s, or another value",
                     (int)at.byte_count, (const char *)at.bytes, (int)entry->key.byte_count,
                     (const char *)entry->key.bytes);
        }
        index += is_back ? UINT32_MAX : 1;
        is_at = is_back ? quarry_kv_iterator_previous(iterator) : quarry_kv_iterator_next(iterator);
    }
    quarry_kv_iterator_destroy(iterator);
}

static void do_indexed(struct lane *lane, uint64_t seed, const struct keys *keys,
                       struct model_state **state)
{
    struct indexed indexed = {
        .lane = lane, .keys = keys, .state = model_share(*state), .random = seed};
    struct quarry_error error = {0};
    uint32_t step_count = 1 + rig_below(&indexed.random, BATCH_STEPS);

    rig_expect(quarry_kv_batch_create(lane->kv, true, &indexed.batch), NULL, "batch_create");
    for (uint32_t i = 0; i < step_count; i++) {
        switch (rig_below(&indexed.random, 8)) {
        case 0:
            indexed_mark_or_rewind(&indexed);
            break;
        case 1:
            indexed_get(&indexed);
            break;
        case 2:
            indexed_walk(&indexed);
            break;
        default:
            indexed_change(&indexed);
            break;
        }
    }
    if (rig_once_in(&indexed.random, 4)) { /* given up */
        model_drop(indexed.state);
    } else {
        rig_expect(quarry_kv_write(lane->kv, NULL, indexed.batch, &error), &error, "write");
        model_drop(*state);
        *state = indexed.state;
    }
    while (indexed.mark_count > 0) {
        model_drop(indexed.marks[--indexed.mark_count]);
    }
    quarry_kv_batch_destroy(indexed.batch);
}

/* ---- reads ---- */

static void do_multi_get(struct lane *lane, uint64_t random, const struct keys *keys,
                         const struct model_state *state, struct model_state *const *snapshots)
{
    struct quarry_kv_slice wanted[MULTI_MAX] = {{0}};
    struct quarry_kv_value values[MULTI_MAX] = {0};
    enum quarry_status statuses[MULTI_MAX];
    struct quarry_error error = {0};
    uint32_t count = rig_below(&random, MULTI_MAX), slot = rig_below(&random, LANE_SNAPSHOTS);
    struct quarry_kv_read_options options = {.snapshot = lane->snapshots[slot]};

    state = options.snapshot == NULL ? state : snapshots[slot];
    for (uint32_t i = 0; i < count; i++) {
        wanted[i] = keys->key[rig_below(&random, keys->count)];
    }
    rig_expect(quarry_kv_multi_get(lane->kv, &options, wanted, count, statuses, values, &error),
               &error, "multi_get");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = model_find(state, wanted[i]);
        if (statuses[i] != (index == UINT32_MAX ? QUARRY_NOT_FOUND : QUARRY_OK) ||
            (index != UINT32_MAX &&
             !slices_are_same(state->entries[index]->value,
                              slice_of(values[i].bytes, values[i].byte_count)))) {
            rig_fail("multi_get: %.*s, the %u-th of %u, is not what it should be (%s)",
                     (int)wanted[i].byte_count, (const char *)wanted[i].bytes, i, count,
                     quarry_status_name(statuses[i]));
        }
        quarry_kv_value_release(&values[i]);
    }
}

static void let_go(struct held *held)
{
    if (held->copy == NULL) {
        return;
    }
    if (memcmp(held->copy, held->value.bytes, held->value.byte_count) != 0) {
        rig_fail("let_go_value: %zu bytes have changed while they were held",
                 held->value.byte_count);
    }
    quarry_kv_value_release(&held->value);
    free(held->copy);
    held->copy = NULL;
}

static void do_hold(struct lane *lane, const struct op *op, const struct keys *keys)
{
    uint64_t random = op->seed;
    struct held *held = &lane->held[rig_below(&random, LANE_VALUES)];
    struct quarry_kv_slice key = keys->key[rig_below(&random, keys->count)];
    struct quarry_error error = {0};

    let_go(held);
    if (op->kind == OP_LET_GO_VALUE) {
        return;
    }
    enum quarry_status status =
        quarry_kv_get(lane->kv, NULL, key.bytes, key.byte_count, &held->value, &error);
    if (status == QUARRY_OK) {
        held->copy = malloc(held->value.byte_count + 1);
        Q_ASSERT(held->copy != NULL);
        memcpy(held->copy, held->value.bytes, held->value.byte_count);
    } else if (status != QUARRY_NOT_FOUND) {
        rig_expect(status, &error, "get");
    }
}

/* ---- opening ---- */

static void do_read_only(struct lane *lane, const struct model_state *state)
{
    struct quarry_error error = {0};

    lane_close_store(lane);
    struct quarry_kv *kv = lane_open(lane, lane->path, "kv", true);
    rig_compare(kv, NULL, state, true, "read only");
    if (quarry_kv_put(kv, NULL, "x", 1, "y", 1, &error) != QUARRY_PERMISSION) {
        rig_fail("a store that is read only was written to");
    }
    lane_close(kv);
    lane->kv = lane_open(lane, lane->path, "kv", false);
}

/* The machine stops. What is there was synced, or is synced now. */
static void do_crash(struct lane *lane, uint64_t random)
{
    static const uint32_t percents[] = {0, 50, 100};
    struct quarry_error error = {0};
    struct quarry_vfs *left = NULL;

    if (lane->options->kv.durability != QUARRY_KV_POWER || lane->is_unsynced ||
        rig_once_in(&random, 2)) {
        rig_expect(quarry_kv_sync(lane->kv, &error), &error, "sync");
    }
    if (lane->options->is_memory) {
        rig_expect(quarry_vfs_memory_crash(lane->vfs, percents[rig_below(&random, 3)],
                                           random_u64(&random), &left),
                   NULL, "crash");
    }
    lane_close_store(lane);
    if (left != NULL) {
        quarry_vfs_memory_destroy(lane->vfs);
        lane->vfs = left;
    }
    lane->kv = lane_open(lane, lane->path, "kv", false);
}

/* ---- files ---- */

/* `path`: room of 128 bytes. */
static void new_path(struct lane *lane, const char *name, char *path)
{
    (void)snprintf(path, 128, "%s/%s-%u", lane->base, name, lane->path_count++);
}

static void compare_copy(struct lane *lane, const char *path, const struct model_state *state,
                         const char *what)
{
    struct quarry_error error = {0};
    struct quarry_kv *copy = lane_open(lane, path, "copy", false);

    rig_compare(copy, NULL, state, true, what);
    rig_expect(quarry_kv_put(copy, NULL, "of the copy", 11, "1", 1, &error), &error, what);
    lane_close(copy);
    rig_expect(quarry_kv_destroy(lane->vfs, path, &error), &error, "destroy");
}

static void do_checkpoint(struct lane *lane, const struct model_state *state)
{
    char path[128];
    struct quarry_error error = {0};

    new_path(lane, "checkpoint", path);
    rig_expect(quarry_kv_checkpoint(lane->kv, path, &error), &error, "checkpoint");
    compare_copy(lane, path, state, "checkpoint");
}

static void do_backup(struct lane *lane, const struct model_state *state)
{
    char path[128], backups[128];
    uint32_t id = 0;
    struct quarry_error error = {0};

    (void)snprintf(backups, sizeof backups, "%s/backups", lane->base);
    new_path(lane, "restored", path);
    rig_expect(quarry_kv_backup(lane->kv, backups, &id, &error), &error, "backup");
    rig_expect(quarry_kv_backup_prune(lane->vfs, backups, BACKUPS_KEPT, &error), &error, "prune");
    rig_expect(quarry_kv_restore(lane->vfs, backups, id, path, &error), &error, "restore");
    compare_copy(lane, path, state, "restore");
}

/* Writes a file with puts and deletes of rising keys, which are made in the model too. */
static void do_ingest(struct lane *lane, uint64_t random, const struct keys *keys,
                      struct model_state **state)
{
    char path[128];
    const char *paths[] = {path};
    struct quarry_error error = {0};
    struct quarry_kv_file_writer *writer = NULL;
    struct model_state *wanted = model_create((*state)->is_reverse);
    uint32_t count = 1 + rig_below(&random, INGEST_MAX);

    for (uint32_t i = 0; i < count; i++) {
        const struct change put = {.kind = CHANGE_PUT,
                                   .key = keys->key[rig_below(&random, keys->count)],
                                   .value = value_draw(&random, lane->room)};
        model_apply(&wanted, &put);
    }
    new_path(lane, "ingest", path);
    rig_expect(quarry_kv_file_writer_create(lane->kv, path, &writer, &error), &error, "writer");
    for (uint32_t i = 0; i < wanted->count; i++) {
        const struct model_entry *entry = wanted->entries[i];
        struct change change = {.kind = rig_once_in(&random, 4) ? CHANGE_DELETE : CHANGE_PUT,
                                .key = entry->key,
                                .value = entry->value};
        rig_expect(change.kind == CHANGE_DELETE
                       ? quarry_kv_file_writer_delete(writer, change.key.bytes,
                                                      change.key.byte_count, &error)
                       : quarry_kv_file_writer_put(writer, change.key.bytes, change.key.byte_count,
                                                   change.value.bytes, change.value.byte_count,
                                                   &error),
                   &error, "writer");
        model_apply(state, &change);
    }
    rig_expect(quarry_kv_file_writer_finish(writer, &error), &error, "writer_finish");
    rig_expect(quarry_kv_ingest(lane->kv, paths, 1, rig_once_in(&random, 2), &error), &error,
               "ingest");
    (void)quarry_vfs_remove(lane->vfs, path, NULL);
    model_drop(wanted);
}

/* A range of a snapshot comes back. */
static void do_export(struct lane *lane, uint64_t random, const struct keys *keys,
                      struct model_state **state, struct model_state *const *snapshots)
{
    char path[128];
    const char *paths[] = {path};
    struct quarry_error error = {0};
    uint32_t slot = rig_below(&random, LANE_SNAPSHOTS);
    struct quarry_kv_slice a = keys->key[rig_below(&random, keys->count)];
    struct quarry_kv_slice b = keys->key[rig_below(&random, keys->count)];
    bool is_ordered = slice_compare(a, b, (*state)->is_reverse) <= 0;
    const struct quarry_kv_read_options options = {.snapshot = lane->snapshots[slot],
                                                   .lower = is_ordered ? a : b,
                                                   .upper = is_ordered ? b : a};
    struct model_state *from = model_share(options.snapshot == NULL ? *state : snapshots[slot]);
    uint64_t key_count = 0, expected = 0;

    new_path(lane, "export", path);
    enum quarry_status status = quarry_kv_export(lane->kv, &options, path, &key_count, &error);
    if (status != QUARRY_NOT_FOUND) { /* of an empty range there is no file */
        rig_expect(status, &error, "export");
    }
    for (uint32_t i = model_lower_bound(from, options.lower);
         i < model_lower_bound(from, options.upper); i++, expected++) {
        const struct change put = {
            .kind = CHANGE_PUT, .key = from->entries[i]->key, .value = from->entries[i]->value};
        model_apply(state, &put);
    }
    if (key_count != expected) {
        rig_fail("export: %llu keys of %llu", (unsigned long long)key_count,
                 (unsigned long long)expected);
    }
    if (expected > 0) {
        rig_expect(quarry_kv_ingest(lane->kv, paths, 1, false, &error), &error, "ingest");
    }
    (void)quarry_vfs_remove(lane->vfs, path, NULL);
    model_drop(from);
}

/* ---- what it is like ---- */

static void do_property(struct lane *lane, uint64_t seed)
{
    static const char *const names[] = {"rocksdb.stats",
                                        "rocksdb.num-files-at-level2",
                                        "rocksdb.estimate-num-keys",
                                        "leveldb.sstables",
                                        "leveldb.stats",
                                        "quarry.lsm",
                                        "quarry.memory",
                                        "quarry.pins"};
    const char *name = names[seed % (sizeof names / sizeof names[0])];
    char text[64];
    size_t byte_count = 0;

    rig_expect(quarry_kv_property(lane->kv, name, text, sizeof text, &byte_count), NULL, name);
    if (strnlen(text, sizeof text) >= sizeof text) {
        rig_fail("property %s: no NUL", name);
    }
    if (quarry_kv_property(lane->kv, "no such", text, sizeof text, &byte_count) !=
        QUARRY_NOT_FOUND) {
        rig_fail("property: found what there is not");
    }
}

static void do_stats(struct lane *lane)
{
    struct quarry_kv_stats stats;
    uint64_t snapshot_count = 0, iterator_count = 0;

    quarry_kv_read_stats(lane->kv, &stats);
    for (uint32_t i = 0; i < LANE_SNAPSHOTS; i++) {
        snapshot_count += lane->snapshots[i] != NULL;
    }
    for (uint32_t i = 0; i < LANE_ITERATORS; i++) {
        iterator_count += lane->iterators[i] != NULL;
    }
    if (stats.snapshot_count != snapshot_count || stats.iterator_count != iterator_count) {
        rig_fail("stats: %llu snapshots of %llu, %llu iterators of %llu",
                 (unsigned long long)stats.snapshot_count, (unsigned long long)snapshot_count,
                 (unsigned long long)stats.iterator_count, (unsigned long long)iterator_count);
    }
    if (stats.sequence < lane->sequence) {
        rig_fail("stats: sequence %llu after %llu", (unsigned long long)stats.sequence,
                 (unsigned long long)lane->sequence);
    }
    lane->sequence = stats.sequence;
}

static void do_approximate(struct lane *lane, uint64_t random, const struct keys *keys)
{
    struct quarry_kv_slice a = keys->key[rig_below(&random, keys->count)];
    struct quarry_kv_slice b = keys->key[rig_below(&random, keys->count)];
    uint64_t byte_count = UINT64_MAX;
    bool is_ordered = slice_compare(a, b, lane->options->is_reverse) <= 0;

    quarry_kv_approximate_bytes(lane->kv, is_ordered ? &a : &b, is_ordered ? &b : &a, 1,
                                &byte_count);
    if (byte_count > (uint64_t)1 << 32) {
        rig_fail("approximate_bytes: %llu", (unsigned long long)byte_count);
    }
}

static void do_small(struct lane *lane, const struct op *op)
{
    struct quarry_error error = {0};

    switch ((int)op->kind) {
    case OP_SYNC:
        rig_expect(quarry_kv_sync(lane->kv, &error), &error, "sync");
        break;
    case OP_STEP:
        for (uint64_t i = 0; i < 1 + op->seed % 4 && lane->options->kv.is_stepped; i++) {
            (void)quarry_kv_step(lane->kv);
        }
        break;
    case OP_WAIT_IDLE:
        rig_expect(quarry_kv_wait_idle(lane->kv, &error), &error, "wait_idle");
        break;
    case OP_VERIFY:
        rig_expect(quarry_kv_verify(lane->kv, &error), &error, "verify");
        break;
    default:
        rig_expect(quarry_kv_validate(lane->kv, &error), &error, "validate");
        break;
    }
}

bool lane_own(struct lane *lane, const struct op *op, const struct keys *keys,
              struct model_state **state, struct model_state *const *snapshots)
{
    switch ((int)op->kind) {
    case OP_INDEXED_BATCH:
        do_indexed(lane, op->seed, keys, state);
        return true;
    case OP_MULTI_GET:
        do_multi_get(lane, op->seed, keys, *state, snapshots);
        return true;
    case OP_HOLD_VALUE:
    case OP_LET_GO_VALUE:
        do_hold(lane, op, keys);
        return true;
    case OP_REOPEN_OTHER:
        lane_close_store(lane);
        lane->kv = lane_open(lane, lane->path, "kv", false);
        return true;
    case OP_REOPEN_READ_ONLY:
        do_read_only(lane, *state);
        return true;
    case OP_CRASH:
        do_crash(lane, op->seed);
        return true;
    case OP_CHECKPOINT:
        do_checkpoint(lane, *state);
        return true;
    case OP_INGEST:
    case OP_EXPORT_INGEST:
        if (lane->options->is_leveldb) { /* there is no such file */
            return false;
        }
        if (op->kind == OP_INGEST) {
            do_ingest(lane, op->seed, keys, state);
        } else {
            do_export(lane, op->seed, keys, state, snapshots);
        }
        return true;
    case OP_BACKUP:
        do_backup(lane, *state);
        return true;
    case OP_PROPERTY:
        do_property(lane, op->seed);
        return true;
    case OP_STATS:
        do_stats(lane);
        return true;
    case OP_APPROXIMATE:
        do_approximate(lane, op->seed, keys);
        return true;
    default:
        do_small(lane, op);
        return true;
    }
}
