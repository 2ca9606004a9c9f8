/*
 * `kv_pingpong [--stores N] [--first SEED] [--seed SEED]`: stores that this engine and RocksDB's
 * library write to in turn.
 *
 * Each store is handed over some times, closed, or, when it is this engine's turn to hand it over,
 * as the files are that a killed process would leave. Whoever gets it walks over all of it and
 * compares, by key too, then changes some of it, flushes, compacts. RocksDB writes with options of
 * all kinds; its tools check the consistency of what this engine has left, and every block of it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/memory.h>

#include <base/assert.h>
#include <base/size.h>

#include "kv/options.h"
#include "kv/peer.h"
#include "kv/workload.h"

#define STORES_DEFAULT 20u
#define TURNS          6u
#define STEPS_MAX      120u

struct pingpong {
    uint64_t seed, random;
    uint32_t turn, step;
    char directory[64], path[96];
    uint32_t path_count;
    struct quarry_memory *memory;
    struct model_state *state;
    uint64_t tool_count;
};

static _Noreturn void fail(const struct pingpong *pingpong, const char *what, const char *text)
{
    rig_fail("kv_pingpong --seed %" PRIu64 ", turn %" PRIu32 ": %s: %s", pingpong->seed,
             pingpong->turn, what, text);
}

/* The next write of a store. Returns: whether the step is one. */
static bool next_write(struct pingpong *pingpong, struct step *step)
{
    workload_step(pingpong->seed, pingpong->step++, step);
    if (step->kind != STEP_WRITE) {
        return false;
    }
    for (uint32_t i = 0; i < step->change_count; i++) {
        model_apply(&pingpong->state, &step->changes[i]);
    }
    return true;
}

/* ---- this engine's turn ---- */

static void draw_options(struct pingpong *pingpong, struct quarry_kv_options *ret_options)
{
    struct meta_options options = {.is_memory = true};

    meta_options_vary(&options, random_u64(&pingpong->random));
    *ret_options = options.kv;
    ret_options->is_stepped = rig_once_in(&pingpong->random, 2);
    ret_options->format = QUARRY_KV_FORMAT_AUTO;
    ret_options->durability = QUARRY_KV_DEFAULT;
}

static void expect(const struct pingpong *pingpong, enum quarry_status status,
                   const struct quarry_error *error, const char *what)
{
    if (status != QUARRY_OK) {
        fail(pingpong, what, error->text);
    }
}

static void ours_writes(struct pingpong *pingpong, struct quarry_kv *kv)
{
    static struct step step;
    struct quarry_error error = {0};
    const struct quarry_kv_slice none = {.bytes = NULL};
    uint32_t count = rig_below(&pingpong->random, STEPS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if (next_write(pingpong, &step)) {
            expect(pingpong, workload_write(kv, &step, &error), &error, "ours, write");
        } else if (step.kind == STEP_FLUSH) {
            expect(pingpong, quarry_kv_flush(kv, &error), &error, "ours, flush");
        }
    }
    if (rig_once_in(&pingpong->random, 3)) {
        expect(pingpong, quarry_kv_compact_range(kv, none, none, &error), &error, "ours, compact");
    }
}

/* Goes on with the files as they are now, in another directory. */
static void leave_as_killed(struct pingpong *pingpong, struct quarry_kv *kv)
{
    char path[96];
    struct quarry_error error = {0};

    (void)snprintf(path, sizeof path, "%s/db-%" PRIu32, pingpong->directory,
                   pingpong->path_count++);
    expect(pingpong, quarry_kv_wait_idle(kv, &error), &error, "ours, wait"); /* at one moment */
    rig_copy_directory(quarry_vfs_posix(), pingpong->path, quarry_vfs_posix(), path);
    expect(pingpong, quarry_kv_close(kv, &error), &error, "ours, close");
    rig_directory_remove(pingpong->path);
    memcpy(pingpong->path, path, sizeof path);
}

static void run_tool(struct pingpong *pingpong, const char *before, const char *after)
{
    char command[256];

    (void)snprintf(command, sizeof command, "%s%s%s", before, pingpong->path, after);
    if (system(command) != 0) {
        fail(pingpong, "a tool of RocksDB does not like it", command);
    }
    pingpong->tool_count++;
}

static void turn_of_ours(struct pingpong *pingpong)
{
    struct quarry_kv_options options;
    struct quarry_kv *kv = NULL;
    struct quarry_error error = {0};

    draw_options(pingpong, &options);
    expect(pingpong, quarry_kv_open(pingpong->memory, pingpong->path, &options, &kv, &error),
           &error, "ours, open");
    rig_compare(kv, NULL, pingpong->state, true, "ours");
    expect(pingpong, quarry_kv_verify(kv, &error), &error, "ours, verify");
    for (uint32_t i = 0; i < pingpong->state->count; i++) {
        struct quarry_kv_slice key = pingpong->state->entries[i]->key;
        expect(pingpong, quarry_kv_exists(kv, NULL, key.bytes, key.byte_count, &error), &error,
               "ours, get");
    }
    ours_writes(pingpong, kv);
    if (rig_once_in(&pingpong->random, 3)) {
        leave_as_killed(pingpong, kv);
    } else {
        expect(pingpong, quarry_kv_close(kv, &error), &error, "ours, close");
    }
    if (rig_once_in(&pingpong->random, 4)) {
        run_tool(pingpong, "ldb --db=", " checkconsistency > /dev/null 2>&1");
        run_tool(pingpong, "! sst_dump --command=verify --file=", " 2>&1 | grep -i corrupt");
    }
}

/* ---- RocksDB's turn ---- */

static void draw_table_options(uint64_t *random, rocksdb_block_based_table_options_t *table)
{
    bool is_partitioned = rig_once_in(random, 3);

    rocksdb_block_based_options_set_block_size(table, (size_t)128 << rig_below(random, 7));
    rocksdb_block_based_options_set_format_version(table, (int)rig_below(random, 6));
    rocksdb_block_based_options_set_checksum(table, (char)(1 + rig_below(random, 4)));
    rocksdb_block_based_options_set_block_restart_interval(table, (int)(1 + rig_below(random, 20)));
    rocksdb_block_based_options_set_data_block_index_type(table, (int)rig_below(random, 2));
    rocksdb_block_based_options_set_index_type(
        table, is_partitioned ? rocksdb_block_based_table_index_type_two_level_index_search
                              : rocksdb_block_based_table_index_type_binary_search);
    switch (rig_below(random, 3)) {
    case 0:
        rocksdb_block_based_options_set_filter_policy(table,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_block_based_options_set_partition_filters(table, is_partitioned);
        break;
    case 1:
        rocksdb_block_based_options_set_filter_policy(table,
                                                      rocksdb_filterpolicy_create_ribbon(10));
        break;
    default:
        break;
    }
}

static rocksdb_options_t *theirs_options(uint64_t *random)
{
    static const int compressions[] = {rocksdb_no_compression,   rocksdb_snappy_compression,
                                       rocksdb_zlib_compression, rocksdb_bz2_compression,
                                       rocksdb_lz4_compression,  rocksdb_lz4hc_compression,
                                       rocksdb_zstd_compression};
    rocksdb_options_t *options = peer_options(false);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    draw_table_options(random, table);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
    rocksdb_options_set_compression(options, compressions[rig_below(random, 7)]);
    rocksdb_options_set_write_buffer_size(options, Q_KIB(64) << rig_below(random, 4));
    rocksdb_options_set_target_file_size_base(options, Q_KIB(16) << rig_below(random, 4));
    rocksdb_options_set_max_bytes_for_level_base(options, Q_KIB(64));
    rocksdb_options_set_recycle_log_file_num(options, rig_once_in(random, 3) ? 2 : 0);
    if (rig_once_in(random, 3)) {
        rocksdb_options_set_prefix_extractor(options,
                                             rocksdb_slicetransform_create_fixed_prefix(4));
    }
    return options;
}

static void expect_none(const struct pingpong *pingpong, char *error, const char *what)
{
    if (error != NULL) {
        fail(pingpong, what, error);
    }
}

static void theirs_compare(const struct pingpong *pingpong, rocksdb_t *db)
{
    rocksdb_readoptions_t *options = rocksdb_readoptions_create();
    char *error = NULL;
    uint32_t index = 0;

    rocksdb_readoptions_set_total_order_seek(options, 1);
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(db, options);
    for (rocksdb_iter_seek_to_first(iterator); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator), index++) {
        size_t key_bytes = 0, value_bytes = 0;
        const char *key = rocksdb_iter_key(iterator, &key_bytes);
        const char *value = rocksdb_iter_value(iterator, &value_bytes);
        if (index >= pingpong->state->count ||
            !slices_are_same(slice_of(key, key_bytes), pingpong->state->entries[index]->key) ||
            !slices_are_same(slice_of(value, value_bytes),
                             pingpong->state->entries[index]->value)) {
            char text[64];
            (void)snprintf(text, sizeof text, "at %.*s", (int)(key_bytes < 40 ? key_bytes : 40),
                           key);
            fail(pingpong, "RocksDB reads something else", text);
        }
    }
    rocksdb_iter_get_error(iterator, &error);
    expect_none(pingpong, error, "RocksDB, walk");
    if (index != pingpong->state->count) {
        fail(pingpong, "RocksDB's walk ends early", "");
    }
    rocksdb_iter_destroy(iterator);
    for (uint32_t i = 0; i < pingpong->state->count; i++) {
        struct quarry_kv_slice key = pingpong->state->entries[i]->key;
        size_t value_bytes = 0;
        char *value = rocksdb_get(db, options, key.bytes, key.byte_count, &value_bytes, &error);
        expect_none(pingpong, error, "RocksDB, get");
        if (value == NULL) {
            fail(pingpong, "RocksDB does not find a key", "");
        }
        free(value);
    }
    rocksdb_readoptions_destroy(options);
}

static void theirs_writes(struct pingpong *pingpong, rocksdb_t *db)
{
    static struct step step;
    rocksdb_writeoptions_t *options = rocksdb_writeoptions_create();
    char *error = NULL;
    uint32_t count = rig_below(&pingpong->random, STEPS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        if (!next_write(pingpong, &step)) {
            continue;
        }
        rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
        for (uint32_t j = 0; j < step.change_count; j++) {
            peer_add(batch, &step.changes[j]);
        }
        rocksdb_write(db, options, batch, &error);
        expect_none(pingpong, error, "RocksDB, write");
        rocksdb_writebatch_destroy(batch);
    }
    rocksdb_writeoptions_destroy(options);
    if (rig_once_in(&pingpong->random, 3)) {
        rocksdb_compact_range(db, NULL, 0, NULL, 0);
    } else if (rig_once_in(&pingpong->random, 2)) {
        rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
        rocksdb_flush(db, flush, &error);
        expect_none(pingpong, error, "RocksDB, flush");
        rocksdb_flushoptions_destroy(flush);
    }
}

static void turn_of_theirs(struct pingpong *pingpong)
{
    rocksdb_options_t *options = theirs_options(&pingpong->random);
    char *error = NULL;

    rocksdb_t *db = rocksdb_open(options, pingpong->path, &error);
    expect_none(pingpong, error, "RocksDB, open");
    theirs_compare(pingpong, db);
    theirs_writes(pingpong, db);
    rocksdb_close(db);
}

/* ---- stores ---- */

static void run(struct pingpong *pingpong, uint64_t seed)
{
    pingpong->seed = pingpong->random = seed;
    pingpong->step = 0;
    pingpong->state = model_create(false);
    rig_directory_make(pingpong->directory, "kv-pingpong");
    (void)snprintf(pingpong->path, sizeof pingpong->path, "%s/db", pingpong->directory);
    for (pingpong->turn = 0; pingpong->turn < TURNS; pingpong->turn++) {
        if ((pingpong->turn + seed) % 2 == 0) {
            turn_of_ours(pingpong);
        } else {
            turn_of_theirs(pingpong);
        }
    }
    rig_directory_remove(pingpong->directory);
    model_drop(pingpong->state);
}

int main(int argc, char **argv)
{
    struct pingpong pingpong = {.memory = rig_memory_create(Q_MIB(256))};
    uint64_t store_count = rig_argument(argc, argv, "--stores", STORES_DEFAULT);
    uint64_t seed = rig_argument(argc, argv, "--first", 1);

    if (rig_argument_text(argc, argv, "--seed") != NULL) {
        seed = rig_argument(argc, argv, "--seed", 1);
        store_count = 1;
    }
    for (uint64_t i = 0; i < store_count; i++) {
        run(&pingpong, seed + i);
    }
    (void)printf("%" PRIu64 " stores, handed over %u times each, %" PRIu64 " looked at by tools\n",
                 store_count, TURNS, pingpong.tool_count);
    quarry_memory_destroy(pingpong.memory);
    return 0;
}
