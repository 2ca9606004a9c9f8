/* Option sets: see options.h. */
#include "kv/options.h"

#include <stdio.h>

#include <base/size.h>

static int compare_reverse(void *argument, const void *a, size_t a_bytes, const void *b,
                           size_t b_bytes)
{
    (void)argument;
    return slice_compare(slice_of(a, a_bytes), slice_of(b, b_bytes), true);
}

const struct quarry_kv_comparator meta_reverse = {.name = "quarry.tests.reverse",
                                                  .compare = compare_reverse};

/* Sizes at which things happen often: small memtables, files and blocks. */
static void set_small(struct quarry_kv_options *kv)
{
    kv->write_buffer_bytes = Q_KIB(64);
    kv->log_segment_bytes = Q_KIB(64);
    kv->block_bytes = 512;
    kv->file_bytes = Q_KIB(32);
    kv->level1_bytes = Q_KIB(64);
    kv->level_ratio = 3;
    kv->level0_compact = 2;
    kv->block_cache_bytes = Q_KIB(512);
}

static uint64_t pick_bytes(uint64_t *random, uint64_t low, uint32_t doublings)
{
    return low << rig_below(random, doublings + 1);
}

static enum quarry_kv_compression pick_compression(uint64_t *random, bool is_leveldb)
{
    static const enum quarry_kv_compression all[] = {
        QUARRY_KV_COMPRESSION_NONE, QUARRY_KV_COMPRESSION_SNAPPY, QUARRY_KV_COMPRESSION_DEFAULT,
        QUARRY_KV_COMPRESSION_LZ4, QUARRY_KV_COMPRESSION_ZSTD};

    return all[rig_below(random, is_leveldb ? 3 : 5)];
}

/* What may differ from one opening to the next. */
static void draw(struct meta_options *options, uint64_t *random)
{
    struct quarry_kv_options *kv = &options->kv;
    static const uint32_t blooms[] = {0, 1, 2000, 10000, 20500, 55000};

    kv->write_buffer_bytes = pick_bytes(random, Q_KIB(64), 5);
    kv->write_buffer_count = 2 + rig_below(random, 3);
    kv->block_cache_bytes = rig_once_in(random, 4) ? 1 : pick_bytes(random, Q_KIB(64), 7);
    kv->pinned_bytes = rig_once_in(random, 4) ? 1 : 0;
    kv->log_segment_bytes = pick_bytes(random, Q_KIB(32), 5);
    kv->log_bytes_max = rig_once_in(random, 3) ? Q_KIB(256) : 0;
    kv->block_bytes = (uint32_t)pick_bytes(random, 64, 8);
    kv->block_restart_interval = 1 + rig_below(random, 20);
    kv->compression = pick_compression(random, options->is_leveldb);
    kv->compression_top = pick_compression(random, options->is_leveldb);
    kv->compression_bottom = pick_compression(random, options->is_leveldb);
    kv->bloom_millibits = blooms[rig_below(random, sizeof blooms / sizeof blooms[0])];
    if (!options->is_leveldb) {
        kv->checksum = (enum quarry_kv_checksum)rig_below(random, 5);
        kv->has_partitioned_filters = rig_once_in(random, 3);
        kv->prefix_bytes = options->is_reverse || rig_once_in(random, 2) ? 0 : 4;
    }
    kv->file_bytes = pick_bytes(random, Q_KIB(8), 6);
    kv->level1_bytes = pick_bytes(random, Q_KIB(32), 5);
    kv->level_ratio = 2 + rig_below(random, 9);
    kv->level0_compact = 1 + rig_below(random, 6);
    kv->level0_stop = 8 + rig_below(random, 30);
    kv->background_count = 1 + rig_below(random, 3);
    kv->open_files_max = rig_once_in(random, 3) ? 16 : 0;
    kv->durability = (enum quarry_kv_durability)rig_below(random, 4);
    kv->step_seed = random_u64(random);
}

/* The named ones: a corner each. Returns: what it is. */
static const char *set_corner(uint32_t index, struct meta_options *options)
{
    struct quarry_kv_options *kv = &options->kv;

    set_small(kv);
    switch (index) {
    case 0:
        return "small";
    case 1:
        *kv = (struct quarry_kv_options){.log_segment_bytes = Q_MIB(1),
                                         .write_buffer_bytes = Q_MIB(8)};
        return "defaults";
    case 2:
        kv->block_cache_bytes = 1;
        return "cache of a byte";
    case 3:
        kv->block_bytes = 64;
        kv->block_restart_interval = 1;
        return "a key a block";
    case 4:
        kv->compression = kv->compression_top = kv->compression_bottom = QUARRY_KV_COMPRESSION_ZSTD;
        kv->checksum = QUARRY_KV_CHECKSUM_XXH3;
        return "zstd, xxh3";
    case 5:
        kv->bloom_millibits = 1;
        return "no filters";
    case 6:
        kv->prefix_bytes = 4;
        kv->has_partitioned_filters = true;
        return "prefixes, partitioned";
    case 7:
        options->is_reverse = true;
        return "reverse order";
    case 8:
        options->is_leveldb = true;
        return "leveldb";
    case 9:
        kv->durability = QUARRY_KV_NONE;
        return "no log";
    case 10:
        kv->durability = QUARRY_KV_POWER;
        return "power";
    case 11:
        options->is_memory = false;
        return "threads";
    case 12:
        options->is_memory = false;
        *kv = (struct quarry_kv_options){.log_segment_bytes = Q_MIB(1)};
        return "defaults, threads";
    case 13:
        kv->open_files_max = 1;
        kv->pinned_bytes = 1;
        return "one open file, no pins";
    case 14:
        kv->level0_compact = 1;
        kv->level_ratio = 2;
        kv->level1_bytes = Q_KIB(8);
        kv->file_bytes = Q_KIB(4);
        return "deep";
    default:
        options->is_leveldb = true;
        options->is_reverse = true;
        return "leveldb, reverse order";
    }
}

static void finish(struct meta_options *options)
{
    struct quarry_kv_options *kv = &options->kv;

    kv->create_if_missing = true;
    kv->comparator = options->is_reverse ? &meta_reverse : NULL;
    kv->merge_operator = options->is_leveldb ? NULL : quarry_kv_merge_append(',');
    kv->format = options->is_leveldb ? QUARRY_KV_FORMAT_LEVELDB : QUARRY_KV_FORMAT_ROCKSDB;
    kv->is_stepped = options->is_memory;
    kv->reserved_disk_bytes = Q_MIB(1);
    if (options->is_leveldb) {
        kv->prefix_bytes = 0;
    }
}

void meta_options_make(uint32_t index, struct meta_options *ret_options)
{
    uint64_t random = UINT64_C(0x6f7074696f6e73) + index;

    *ret_options = (struct meta_options){.is_memory = true};
    if (index < META_OPTIONS_NAMED) {
        (void)snprintf(ret_options->text, sizeof ret_options->text, "%s",
                       set_corner(index, ret_options));
    } else {
        ret_options->is_memory = !rig_once_in(&random, 5);
        ret_options->is_leveldb = rig_once_in(&random, 8);
        ret_options->is_reverse = rig_once_in(&random, 8);
        draw(ret_options, &random);
        (void)snprintf(ret_options->text, sizeof ret_options->text, "random%s%s%s",
                       ret_options->is_memory ? "" : ", threads",
                       ret_options->is_leveldb ? ", leveldb" : "",
                       ret_options->is_reverse ? ", reverse order" : "");
    }
    finish(ret_options);
}

void meta_options_vary(struct meta_options *options, uint64_t seed)
{
    enum quarry_kv_durability durability = options->kv.durability;

    draw(options, &seed);
    options->kv.durability = durability;
    finish(options);
}
