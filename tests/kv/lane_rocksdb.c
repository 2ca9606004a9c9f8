/*
 * The lane of RocksDB, through its library's C interface: that what run.c holds this engine to is
 * what the other one does too.
 */
#include "kv/lane.h"
#include "kv/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/assert.h>
#include <base/size.h>

struct lane {
    rocksdb_options_t *options;
    rocksdb_t *db;
    rocksdb_writeoptions_t *write_options;
    char path[80];
    const rocksdb_snapshot_t *snapshots[LANE_SNAPSHOTS];
    struct walk {
        rocksdb_readoptions_t *options;
        rocksdb_iterator_t *iterator;
    } walks[LANE_ITERATORS];
    char *value; /* of the last read */
};

static void expect(char *error, const char *what)
{
    if (error != NULL) {
        rig_fail("rocksdb: %s: %s", what, error);
    }
}

/* ---- its life ---- */

static void set_small(rocksdb_options_t *options)
{
    rocksdb_options_set_write_buffer_size(options, Q_KIB(128));
    rocksdb_options_set_target_file_size_base(options, Q_KIB(64));
    rocksdb_options_set_max_bytes_for_level_base(options, Q_KIB(128));
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
}

static void open_db(struct lane *lane)
{
    char *error = NULL;

    lane->db = rocksdb_open(lane->options, lane->path, &error);
    expect(error, "open");
}

static struct lane *create(const struct meta_options *options, const char *directory)
{
    struct lane *lane = calloc(1, sizeof *lane);

    Q_ASSERT(lane != NULL);
    (void)snprintf(lane->path, sizeof lane->path, "%s/rocksdb", directory);
    lane->options = peer_options(options->is_reverse);
    set_small(lane->options);
    lane->write_options = rocksdb_writeoptions_create();
    open_db(lane);
    return lane;
}

static void destroy(struct lane *lane)
{
    char *error = NULL;

    free(lane->value);
    rocksdb_close(lane->db);
    rocksdb_destroy_db(lane->options, lane->path, &error);
    expect(error, "destroy");
    rocksdb_writeoptions_destroy(lane->write_options);
    free(lane);
}

static void reopen(struct lane *lane)
{
    rocksdb_close(lane->db);
    open_db(lane);
}

/* ---- changes and reads ---- */

static void write(struct lane *lane, const struct change *changes, size_t count, bool is_batch,
                  uint64_t seed)
{
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *error = NULL;

    (void)is_batch;
    (void)seed;
    for (size_t i = 0; i < count; i++) {
        peer_add(batch, &changes[i]);
    }
    rocksdb_write(lane->db, lane->write_options, batch, &error);
    expect(error, "write");
    rocksdb_writebatch_destroy(batch);
}

static struct lane_read get(struct lane *lane, uint32_t snapshot, struct quarry_kv_slice key,
                            enum op_kind how)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    char *error = NULL;
    size_t byte_count = 0;

    (void)how;
    if (snapshot != LANE_NOW) {
        rocksdb_readoptions_set_snapshot(options, lane->snapshots[snapshot]);
    }
    free(lane->value);
    lane->value = rocksdb_get(lane->db, options, key.bytes, key.byte_count, &byte_count, &error);
    expect(error, "get");
    rocksdb_readoptions_destroy(options);
    return (struct lane_read){.is_found = lane->value != NULL,
                              .value = slice_of(lane->value, byte_count)};
}

static void snapshot_take(struct lane *lane, uint32_t slot)
{
    lane->snapshots[slot] = rocksdb_create_snapshot(lane->db);
}

static void snapshot_release(struct lane *lane, uint32_t slot)
{
    rocksdb_release_snapshot(lane->db, lane->snapshots[slot]);
    lane->snapshots[slot] = NULL;
}

/* ---- iterators ---- */

static void iterate(struct lane *lane, uint32_t slot, const struct lane_range *range)
{
    struct walk *walk = &lane->walks[slot];

    walk->options = rocksdb_readoptions_create();
    if (range->snapshot != LANE_NOW) {
        rocksdb_readoptions_set_snapshot(walk->options, lane->snapshots[range->snapshot]);
    }
    if (range->lower.bytes != NULL) {
        rocksdb_readoptions_set_iterate_lower_bound(walk->options, range->lower.bytes,
                                                    range->lower.byte_count);
    }
    if (range->upper.bytes != NULL) {
        rocksdb_readoptions_set_iterate_upper_bound(walk->options, range->upper.bytes,
                                                    range->upper.byte_count);
    }
    walk->iterator = rocksdb_create_iterator(lane->db, walk->options);
}

static void iterator_end(struct lane *lane, uint32_t slot)
{
    rocksdb_iter_destroy(lane->walks[slot].iterator);
    rocksdb_readoptions_destroy(lane->walks[slot].options);
}

static void iterate_again(struct lane *lane, uint32_t slot, const struct lane_range *range)
{
    iterator_end(lane, slot);
    iterate(lane, slot, range);
}

static void move_iterator(rocksdb_iterator_t *iterator, enum lane_move move,
                          struct quarry_kv_slice key)
{
    switch (move) {
    case LANE_FIRST:
        rocksdb_iter_seek_to_first(iterator);
        break;
    case LANE_LAST:
        rocksdb_iter_seek_to_last(iterator);
        break;
    case LANE_SEEK:
        rocksdb_iter_seek(iterator, key.bytes, key.byte_count);
        break;
    case LANE_SEEK_FOR_PREV:
        rocksdb_iter_seek_for_prev(iterator, key.bytes, key.byte_count);
        break;
    case LANE_NEXT:
        rocksdb_iter_next(iterator);
        break;
    case LANE_PREVIOUS:
        rocksdb_iter_prev(iterator);
        break;
    }
}

static struct lane_read move(struct lane *lane, uint32_t slot, enum lane_move move,
                             struct quarry_kv_slice key)
{
    rocksdb_iterator_t *iterator = lane->walks[slot].iterator;
    struct lane_read read = {.is_found = false};
    char *error = NULL;

    move_iterator(iterator, move, key);
    rocksdb_iter_get_error(iterator, &error);
    expect(error, "iterator");
    read.is_found = rocksdb_iter_valid(iterator) != 0;
    if (read.is_found) {
        size_t byte_count = 0;
        const char *bytes = rocksdb_iter_key(iterator, &byte_count);
        read.key = slice_of(bytes, byte_count);
        bytes = rocksdb_iter_value(iterator, &byte_count);
        read.value = slice_of(bytes, byte_count);
    }
    return read;
}

/* ---- files ---- */

static void flush(struct lane *lane)
{
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_flush(lane->db, options, &error);
    expect(error, "flush");
    rocksdb_flushoptions_destroy(options);
}

static void compact(struct lane *lane, struct quarry_kv_slice begin, struct quarry_kv_slice end)
{
    rocksdb_compact_range(lane->db, begin.bytes, begin.byte_count, end.bytes, end.byte_count);
}

const struct lane_ops lane_rocksdb = {.name = "rocksdb",
                                      .create = create,
                                      .destroy = destroy,
                                      .write = write,
                                      .get = get,
                                      .snapshot_take = snapshot_take,
                                      .snapshot_release = snapshot_release,
                                      .iterate = iterate,
                                      .iterator_end = iterator_end,
                                      .move = move,
                                      .refresh = iterate_again,
                                      .flush = flush,
                                      .compact = compact,
                                      .reopen = reopen,
                                      .has_merges = true,
                                      .has_ranges = true,
                                      .single_is_single = true,
                                      .snapshots_stay = true};
