#include "unit/kv/read_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ref/ref.h>

#define MEMTABLE_BYTES Q_MIB(1)

struct rig rig;

static struct quarry_memory *memory;
static struct kv_memtable_splice splice;
static char key_room[RIG_KEYS][48];
static struct kv_batch_options batch_options;

static void must(enum quarry_status status, const struct quarry_error *error, const char *what)
{
    if (status != QUARRY_OK) {
        fail_msg("%s: %s: %s", what, quarry_status_name(status), error == NULL ? "" : error->text);
    }
}

uint64_t rig_random(void)
{
    uint64_t z = (rig.random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint64_t rig_below(uint64_t bound)
{
    return rig_random() % bound;
}

/* ---- tables --------------------------------------------------------------------------------- */

static const char *path_of(uint64_t number, char *room)
{
    (void)snprintf(room, 64, "%06llu.sst", (unsigned long long)number);
    return room;
}

static enum quarry_status open_table(void *argument, const struct kv_file *file, void **ret_table,
                                     struct quarry_error *error)
{
    struct quarry_kv *kv = argument;
    struct quarry_vfs_file *vfs_file = NULL;
    const struct kv_table_options options = {.file_number = file->number,
                                             .file_bytes = file->byte_count,
                                             .largest_sequence = UINT64_MAX,
                                             .is_pinned = file->number % 2 == 0};
    struct kv_table *table = NULL;
    char path[64];
    enum quarry_status status =
        quarry_vfs_open(kv->vfs, path_of(file->number, path), QUARRY_VFS_READ, &vfs_file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_table_open(&kv->tables, &vfs_file, &options, &table, error);
    if (status != QUARRY_OK) {
        quarry_vfs_close(vfs_file);
        return status;
    }
    (void)__atomic_add_fetch(&rig.opened_count, 1, __ATOMIC_RELAXED);
    *ret_table = table;
    return QUARRY_OK;
}

static void close_table(void *argument, void *table)
{
    (void)argument;
    kv_table_close(table);
}

static const struct kv_table_ops table_ops = {open_table, close_table};

/* ---- beginning ------------------------------------------------------------------------------ */

/* Keys that are prefixes of each other, long ones, and ones that differ late. */
static size_t make_key(uint32_t index, char *room)
{
    static const char *const beginnings[] = {"a", "ab", "abcdefghabcdefgh", "b\xff\xff", "c"};
    const char *beginning = beginnings[index % COUNT_OF(beginnings)];

    if (index == 0) {
        return 1;
    }
    return (size_t)snprintf(room, 48, "%s%0*u", beginning, (int)(index % 3 + 1), index);
}

static int compare_keys(const void *a, const void *b)
{
    const struct kv_slice *one = a, *other = b;

    return kv_compare(rig.kv->comparator, *one, *other);
}

static void make_keys(void)
{
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        rig.keys[i] = kv_slice(key_room[i], make_key(i, key_room[i]));
    }
    qsort(rig.keys, RIG_KEYS, sizeof(rig.keys[0]), compare_keys);
}

static void make_memory(struct quarry_kv *kv)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    const struct quarry_account_options account = {.name = "kv"};
    const struct quarry_lane_options lane = {.name = "memtables", .reserved_bytes = Q_GIB(8)};
    struct quarry_error error = {0};

    must(quarry_memory_create(&options, &memory, &error), &error, "memory");
    kv->memory = memory;
    must(quarry_account_create(memory, &account, &kv->account, &error), &error, "account");
    must(quarry_lifetime_begin(memory, "kv", &kv->lifetime, &error), &error, "lifetime");
    must(quarry_pool_create(kv->lifetime, quarry_account_owner(kv->account), &kv->pool), NULL,
         "pool");
    must(quarry_lane_create(memory, &lane, &kv->lane, &error), &error, "lane");
    const struct quarry_arena_options arena = {.lane = kv->lane, .account = kv->account};
    must(quarry_arena_keeper_create(memory, &arena, &kv->keeper, &error), &error, "keeper");
    must(quarry_epoch_create(memory, &kv->epoch), NULL, "epoch");
    for (uint32_t part = 0; part < KV_PARTS; part++) {
        kv->part[part] = kv->account;
        kv->small[part] = (struct kv_memory){kv->account, kv->pool};
    }
}

static void make_files(struct quarry_kv *kv)
{
    const struct quarry_block_cache_options cache = {
        .name = "block", .capacity_bytes = Q_MIB(4), .parent = kv->account};
    const struct kv_tables_options tables = {.pool = kv->pool,
                                             .account = kv->account,
                                             .cache = NULL,
                                             .comparator = kv->comparator,
                                             .prefix_bytes = kv->options.prefix_bytes};
    struct quarry_error error = {0};
    struct kv_tables_options own = tables;

    must(quarry_block_cache_create(memory, &cache, &kv->cache, &error), &error, "cache");
    must(quarry_vfs_memory_create(1, &kv->vfs), NULL, "vfs");
    own.cache = kv->cache;
    must(kv_tables_init(&kv->tables, &own, &error), &error, "tables");
    const struct kv_table_cache_options open = {.memory = &kv->small[KV_PART_META],
                                                .epoch = kv->epoch,
                                                .ops = &table_ops,
                                                .argument = kv,
                                                .open_max = 6};
    must(kv_table_cache_create(&open, &kv->table_cache), NULL, "table cache");
}

static void publish(struct kv_version *version)
{
    struct quarry_kv *kv = rig.kv;
    struct kv_view *ready = NULL;

    must(kv_view_reserve(kv, kv->immutable_count + 1, &ready), NULL, "view");
    os_mutex_lock(&kv->mutex);
    kv_view_publish(kv, ready, version);
    os_mutex_unlock(&kv->mutex);
    kv_view_collect(kv);
}

static void new_memtable(void)
{
    struct quarry_error error = {0};

    must(kv_layer_create_sized(rig.kv, MEMTABLE_BYTES, &rig.kv->mutable_layer, &error), &error,
         "layer");
}

void rig_begin(const struct rig_options *options)
{
    struct quarry_kv *kv = calloc(1, sizeof(*kv));
    struct kv_version *version = NULL;
    struct quarry_error error = {0};

    rig = (struct rig){.kv = kv, .random = options->seed};
    kv->os = os_real();
    kv->path = (char *)(uintptr_t) "rig";
    kv->comparator = options->comparator == NULL ? &kv_bytewise : options->comparator;
    kv->merge_operator = quarry_kv_merge_append(',');
    kv->options.prefix_bytes = options->prefix_bytes;
    kv->counts = aligned_alloc(64, KV_COUNT_STRIPES * sizeof(*kv->counts));
    memset(kv->counts, 0, KV_COUNT_STRIPES * sizeof(*kv->counts));
    kv_pins_init(&kv->pins, options->pins_bytes == 0 ? Q_MIB(1) : options->pins_bytes);
    make_memory(kv);
    make_files(kv);
    os_mutex_init(&kv->mutex, OS_RANK_KV_STORE, 0);
    kv_versions_init(&kv->versions, kv->epoch);
    must(kv_version_create(&kv->small[KV_PART_META], kv->comparator, &version), NULL, "version");
    must(kv_version_index_level0(version), NULL, "level 0");
    kv_versions_install(&kv->versions, version);
    kv->next_file = 1;
    batch_options = (struct kv_batch_options){.memory = &kv->small[KV_PART_READ],
                                              .comparator = kv->comparator,
                                              .key_bytes_max = 1000,
                                              .value_bytes_max = 1u << 20};
    kv->immutable = calloc(64, sizeof(void *));
    new_memtable();
    publish(version);
    if (!options->has_no_reserve) {
        must(kv_reads_create(kv, &error), &error, "reserve");
    }
    make_keys();
    splice = (struct kv_memtable_splice){0};
}

/* ---- ending --------------------------------------------------------------------------------- */

static void clear_state(struct rig_state *state)
{
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        free(state->values[i]);
    }
    *state = (struct rig_state){0};
}

static void drop_file(void *argument, struct kv_file *file)
{
    struct quarry_kv *kv = argument;

    kv_table_cache_forget(kv->table_cache, file);
    kv_file_free(&kv->small[KV_PART_META], file);
}

static void collect(void)
{
    kv_versions_collect(&rig.kv->versions, drop_file, rig.kv);
    kv_table_cache_collect(rig.kv->table_cache);
}

void rig_end(void)
{
    struct quarry_kv *kv = rig.kv;
    struct quarry_account_state state;

    for (uint32_t i = 0; i < RIG_SNAPSHOTS; i++) {
        rig_snapshot_release(i);
    }
    assert_int_equal(kv->iterator_count, 0);
    assert_int_equal(kv->value_count, 0);
    assert_int_equal(kv->snapshot_count, 0);
    assert_int_equal(kv->pins.held_bytes, 0);
    kv_reads_destroy(kv);
    kv_view_end(kv);
    kv_layer_release(kv->mutable_layer);
    for (size_t i = 0; i < kv->immutable_count; i++) {
        kv_layer_release(kv->immutable[i]);
    }
    free(kv->immutable);
    struct kv_version *none = NULL;
    must(kv_version_create(&kv->small[KV_PART_META], kv->comparator, &none), NULL, "version");
    must(kv_version_index_level0(none), NULL, "level 0");
    kv_versions_install(&kv->versions, none);
    for (int i = 0; i < 8; i++) {
        ref_epoch_advance(kv->epoch);
        collect();
    }
    kv_table_cache_destroy(kv->table_cache);
    kv_versions_fini(&kv->versions);
    kv_tables_fini(&kv->tables);
    quarry_arena_keeper_destroy(kv->keeper);
    assert_int_equal(quarry_block_cache_close(kv->cache), QUARRY_OK);
    quarry_account_read(kv->account, &state);
    assert_int_equal(state.charged_bytes, 0);
    quarry_epoch_destroy(kv->epoch);
    quarry_lifetime_end(kv->lifetime);
    quarry_account_destroy(kv->account);
    quarry_lane_destroy(kv->lane);
    quarry_memory_destroy(memory);
    quarry_vfs_memory_destroy(kv->vfs);
    clear_state(&rig.now);
    free(kv->counts);
    free(kv);
    rig.kv = NULL;
}

/* ---- the model ------------------------------------------------------------------------------ */

static void model_set(struct rig_state *state, uint32_t key, const char *bytes, size_t count)
{
    char *copy = malloc(count + 1);

    memcpy(copy, bytes, count);
    free(state->values[key]);
    state->values[key] = copy;
    state->counts[key] = count;
}

static void model_remove(struct rig_state *state, uint32_t key)
{
    free(state->values[key]);
    state->values[key] = NULL;
    state->counts[key] = 0;
}

static void model_append(struct rig_state *state, uint32_t key, const char *operand)
{
    size_t before = state->counts[key], count = strlen(operand);

    if (state->values[key] == NULL) {
        model_set(state, key, operand, count);
        return;
    }
    char *joined = malloc(before + 1 + count);
    memcpy(joined, state->values[key], before);
    joined[before] = ',';
    memcpy(joined + before + 1, operand, count);
    model_set(state, key, joined, before + 1 + count);
    free(joined);
}

struct kv_slice rig_expected(const struct rig_state *state, uint32_t key)
{
    state = state == NULL ? &rig.now : state;
    return kv_slice(state->values[key], state->counts[key]);
}

/* ---- changes -------------------------------------------------------------------------------- */

static struct quarry_kv_batch *batch_begin(void)
{
    struct quarry_kv_batch *batch = NULL;

    must(kv_batch_create(&batch_options, false, &batch), NULL, "batch");
    return batch;
}

/* To the memtable. `batch`: given. */
static void batch_write(struct quarry_kv_batch *batch)
{
    struct kv_memtable *memtable = rig.kv->mutable_layer->memtable;
    uint64_t sequence = rig.kv->visible_sequence + 1;
    struct kv_memtable_plan plan;
    struct quarry_error error = {0};

    must(kv_memtable_plan(kv_batch_slice(batch), &plan, &error), &error, "plan");
    must(kv_memtable_prepare(memtable, &plan, sequence), NULL, "prepare");
    kv_memtable_apply(memtable, &plan, &splice);
    atomic_store_release_u64(&rig.kv->visible_sequence, sequence + batch->change_count - 1);
    quarry_kv_batch_destroy(batch);
}

static void add_put(struct quarry_kv_batch *batch, uint32_t key, const char *bytes, size_t count)
{
    must(quarry_kv_batch_put(batch, rig.keys[key].bytes, rig.keys[key].count, bytes, count), NULL,
         "put");
    model_set(&rig.now, key, bytes, count);
}

static void add_delete(struct quarry_kv_batch *batch, uint32_t key)
{
    must(quarry_kv_batch_delete(batch, rig.keys[key].bytes, rig.keys[key].count), NULL, "delete");
    model_remove(&rig.now, key);
}

static void add_merge(struct quarry_kv_batch *batch, uint32_t key, const char *operand)
{
    must(quarry_kv_batch_merge(batch, rig.keys[key].bytes, rig.keys[key].count, operand,
                               strlen(operand)),
         NULL, "merge");
    model_append(&rig.now, key, operand);
}

static void add_delete_range(struct quarry_kv_batch *batch, uint32_t from, uint32_t to)
{
    must(quarry_kv_batch_delete_range(batch, rig.keys[from].bytes, rig.keys[from].count,
                                      rig.keys[to].bytes, rig.keys[to].count),
         NULL, "delete range");
    for (uint32_t key = from; key < to; key++) {
        model_remove(&rig.now, key);
    }
}

void rig_put(uint32_t key, const char *bytes, size_t count)
{
    struct quarry_kv_batch *batch = batch_begin();

    add_put(batch, key, bytes, count);
    batch_write(batch);
}

void rig_delete(uint32_t key)
{
    struct quarry_kv_batch *batch = batch_begin();

    add_delete(batch, key);
    batch_write(batch);
}

void rig_single_delete(uint32_t key)
{
    struct quarry_kv_batch *batch = batch_begin();

    must(quarry_kv_batch_single_delete(batch, rig.keys[key].bytes, rig.keys[key].count), NULL,
         "single delete");
    model_remove(&rig.now, key);
    batch_write(batch);
}

void rig_merge(uint32_t key, const char *operand)
{
    struct quarry_kv_batch *batch = batch_begin();

    add_merge(batch, key, operand);
    batch_write(batch);
}

void rig_delete_range(uint32_t from, uint32_t to)
{
    struct quarry_kv_batch *batch = batch_begin();

    add_delete_range(batch, from, to);
    batch_write(batch);
}

/* A value that tells which change it is of; now and then a long one. */
static size_t make_value(char *room, size_t room_bytes)
{
    static uint64_t number;
    size_t count = (size_t)snprintf(room, room_bytes, "v%llu", (unsigned long long)number++);

    if (rig_below(16) == 0) {
        size_t longer = rig_below(2) == 0 ? 300 : 20000;
        memset(room + count, 'x', longer - count);
        count = longer;
    }
    return rig_below(40) == 0 ? 0 : count;
}

static void add_any(struct quarry_kv_batch *batch)
{
    static char room[20480];
    uint32_t key = (uint32_t)rig_below(RIG_KEYS);
    uint32_t which = (uint32_t)rig_below(100);

    if (which < 55) {
        size_t count = make_value(room, sizeof(room));
        add_put(batch, key, room, count);
    } else if (which < 75) {
        add_delete(batch, key);
    } else if (which < 92) {
        (void)snprintf(room, sizeof(room), "m%u", (unsigned)rig_below(1000));
        add_merge(batch, key, room);
    } else {
        uint32_t to = key + 1 + (uint32_t)rig_below(RIG_KEYS / 3);
        if (to < RIG_KEYS) {
            add_delete_range(batch, key, to);
        } else {
            add_delete(batch, key);
        }
    }
}

/* A large batch: a layer of its own. */
static void change_at_once(void)
{
    struct quarry_kv_batch *batch = batch_begin();
    struct kv_layer *layer = NULL;
    struct quarry_error error = {0};
    uint64_t sequence = rig.kv->visible_sequence + 1;

    for (uint64_t i = 1 + rig_below(20); i > 0; i--) {
        add_any(batch);
    }
    endian_store_le_u64(batch->bytes.bytes, sequence);
    must(kv_layer_create_batch(rig.kv, kv_batch_slice(batch), &layer, &error), &error, "layer");
    rig_rotate();
    os_mutex_lock(&rig.kv->mutex);
    rig.kv->immutable[rig.kv->immutable_count++] = layer;
    os_mutex_unlock(&rig.kv->mutex);
    publish(NULL);
    atomic_store_release_u64(&rig.kv->visible_sequence, sequence + batch->change_count - 1);
    quarry_kv_batch_destroy(batch);
}

void rig_change(void)
{
    if (rig_below(60) == 0) {
        change_at_once();
        return;
    }
    struct quarry_kv_batch *batch = batch_begin();
    for (uint64_t i = rig_below(4) == 0 ? 1 + rig_below(4) : 1; i > 0; i--) {
        add_any(batch);
    }
    batch_write(batch);
}

/* ---- files ---------------------------------------------------------------------------------- */

void rig_rotate(void)
{
    struct quarry_kv *kv = rig.kv;

    assert_true(kv->immutable_count < 60);
    os_mutex_lock(&kv->mutex);
    kv->immutable[kv->immutable_count++] = kv->mutable_layer;
    os_mutex_unlock(&kv->mutex);
    new_memtable();
    publish(NULL);
}

/* A file that is being written, and the edit that will add it. */
struct writing {
    struct kv_table_writer *writer;
    struct quarry_vfs_file *file;
    uint64_t number;
};

static void writing_begin(struct writing *writing)
{
    struct quarry_kv *kv = rig.kv;
    struct quarry_error error = {0};
    char path[64];

    writing->number = kv_new_file_number(kv);
    const struct kv_table_write_options options = {
        .block_bytes = rig_below(2) == 0 ? 128 : 4096,
        .restart_interval = rig_below(2) == 0 ? 2 : 16,
        .bloom_millibits = rig_below(3) == 0 ? 0 : 10000,
        .prefix_bytes = kv->options.prefix_bytes,
        .is_partitioned = rig_below(4) == 0,
        .compression = rig_below(2) == 0 ? QUARRY_KV_COMPRESSION_NONE : QUARRY_KV_COMPRESSION_LZ4,
        .file_number = writing->number,
        .merge_operator = kv->merge_operator->name,
    };
    must(quarry_vfs_open(kv->vfs, path_of(writing->number, path),
                         QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &writing->file, &error),
         &error, "file");
    must(kv_table_writer_create(&kv->tables, writing->file, &options, &writing->writer, &error),
         &error, "writer");
}

static char *copy_bytes(struct kv_slice slice)
{
    char *copy = malloc(slice.count + 1);

    memcpy(copy, slice.bytes, slice.count);
    return copy;
}

/* Adds the file to an edit; its keys are copied, to be freed with edit_end. */
static void writing_end(struct writing *writing, uint32_t level, struct kv_edit *edit)
{
    struct kv_table_result result;
    struct quarry_error error = {0};

    must(kv_table_writer_finish(writing->writer, &result, &error), &error, "finish");
    struct kv_edit_file file = {
        .level = level,
        .number = writing->number,
        .byte_count = result.file_bytes,
        .smallest = result.smallest,
        .largest = result.largest,
        .smallest_sequence = result.smallest_sequence,
        .largest_sequence = result.largest_sequence,
        .entry_count = result.entry_count,
        .deletion_count = result.delete_count,
        .range_deletion_count = result.range_delete_count,
        .has_counts = rig_below(4) != 0,
        .has_sequences = true,
    };
    file.smallest.user.bytes = copy_bytes(result.smallest.user);
    file.largest.user.bytes = copy_bytes(result.largest.user);
    must(kv_edit_add(edit, &file), NULL, "edit");
    kv_table_writer_destroy(writing->writer);
    quarry_vfs_close(writing->file);
}

static void edit_end(struct kv_edit *edit)
{
    struct quarry_kv *kv = rig.kv;
    struct kv_version *current = kv_versions_acquire(&kv->versions), *version = NULL;
    struct kv_builder *builder = NULL;
    struct quarry_error error = {0};

    must(kv_builder_create(&kv->small[KV_PART_META], kv->comparator, current, &builder), NULL,
         "builder");
    must(kv_builder_apply(builder, edit, &error), &error, "apply");
    must(kv_builder_finish(builder, &version, &error), &error, "version");
    kv_builder_destroy(builder);
    must(kv_version_validate(version, &error), &error, "validate");
    for (size_t i = 0; i < edit->added_count; i++) {
        free((void *)(uintptr_t)edit->added[i].smallest.user.bytes);
        free((void *)(uintptr_t)edit->added[i].largest.user.bytes);
    }
    kv_edit_fini(edit);
    kv_versions_install(&kv->versions, version);
    publish(version);
    kv_version_release(current);
    collect();
}

static void add_fragments(struct writing *writing, struct kv_fragments *fragments)
{
    struct kv_fragments_iterator iterator;
    struct quarry_error error = {0};

    kv_fragments_iterator_init(&iterator, fragments);
    for (iterator.base.ops->first(&iterator.base); iterator.base.is_valid;
         iterator.base.ops->next(&iterator.base)) {
        must(kv_table_writer_add_range_delete(
                 writing->writer, iterator.base.key.user, iterator.base.value,
                 kv_trailer_sequence(iterator.base.key.trailer), &error),
             &error, "range");
    }
    iterator.base.ops->fini(&iterator.base);
}

void rig_flush(void)
{
    struct quarry_kv *kv = rig.kv;
    struct kv_memtable_stats stats;
    struct kv_layer_iterator over;
    struct kv_fragments *fragments = NULL;
    struct quarry_error error = {0};
    struct writing writing;
    struct kv_edit edit;

    if (kv->immutable_count == 0) {
        return;
    }
    struct kv_layer *layer = kv->immutable[0];
    kv_edit_init(&edit, &kv->small[KV_PART_META]);
    kv_layer_read_stats(layer, &stats);
    if (stats.entry_count + stats.range_count != 0) {
        writing_begin(&writing);
        kv_layer_iterator_init(&over, layer);
        struct kv_iterator *base = &over.over.base;
        for (base->ops->first(base); base->is_valid; base->ops->next(base)) {
            must(kv_table_writer_add(writing.writer, base->key, base->value, &error), &error,
                 "add");
        }
        base->ops->fini(base);
        must(kv_layer_fragments(layer, &fragments), NULL, "fragments");
        if (fragments != NULL) {
            add_fragments(&writing, fragments);
        }
        kv_fragments_release(fragments);
        writing_end(&writing, 0, &edit);
    }
    os_mutex_lock(&kv->mutex);
    kv->immutable_count--;
    memmove(kv->immutable, kv->immutable + 1, kv->immutable_count * sizeof(void *));
    os_mutex_unlock(&kv->mutex);
    edit_end(&edit);
    kv_layer_release(layer);
}

/* Everything of some files: iterators over them, and their range deletions. */
struct inputs {
    struct kv_iterator *children[256];
    struct kv_run_iterator *runs[256];
    size_t count;
    struct kv_open_table *open[256];
    size_t open_count;
    struct kv_range ranges[20000];
    size_t range_count;
};
static struct inputs inputs;

static void add_input(struct kv_version *version, const struct kv_run *run, struct kv_edit *edit,
                      uint32_t level)
{
    const struct kv_run_iterator_options options = {.memory = &rig.kv->small[KV_PART_COMPACTION],
                                                    .kv = rig.kv,
                                                    .version = version,
                                                    .run = run,
                                                    .level = level};
    struct quarry_error error = {0};

    must(kv_run_iterator_create(&rig.kv->small[KV_PART_COMPACTION], &options, &error,
                                &inputs.runs[inputs.count]),
         &error, "run");
    inputs.children[inputs.count] = kv_run_iterator_base(inputs.runs[inputs.count]);
    inputs.count++;
    for (uint32_t i = 0; i < run->file_count; i++) {
        struct kv_open_table *open = NULL;
        size_t range_count;
        must(kv_open_table_acquire(rig.kv->table_cache, run->files[i], &open, &error), &error,
             "open");
        inputs.open[inputs.open_count++] = open;
        const struct kv_table_range *ranges = kv_table_ranges(open->table, &range_count);
        for (size_t j = 0; j < range_count; j++) {
            inputs.ranges[inputs.range_count++] =
                (struct kv_range){ranges[j].begin, ranges[j].end, ranges[j].sequence};
        }
        must(kv_edit_remove(edit, level, run->files[i]->number), NULL, "edit");
    }
}

/* Cuts only where nothing is deleted by ranges, and between user keys. */
static void write_inputs(struct kv_iterator *merged, uint32_t level, struct kv_edit *edit)
{
    struct kv_fragments *fragments = NULL;
    struct quarry_error error = {0};
    struct writing writing;
    char last[48];
    size_t last_count = 0, entry_count = 0;

    writing_begin(&writing);
    for (merged->ops->first(merged); merged->is_valid; merged->ops->next(merged)) {
        bool is_new =
            kv_compare_bytes(kv_slice(last, last_count), merged->key.user) != 0 && entry_count != 0;
        if (is_new && inputs.range_count == 0 && rig_below(8) == 0) {
            writing_end(&writing, level, edit);
            writing_begin(&writing);
        }
        last_count = merged->key.user.count;
        memcpy(last, merged->key.user.bytes, last_count);
        must(kv_table_writer_add(writing.writer, merged->key, merged->value, &error), &error,
             "add");
        entry_count++;
    }
    assert_int_equal(merged->status, QUARRY_OK);
    must(kv_fragments_create(&rig.kv->small[KV_PART_COMPACTION], rig.kv->comparator, inputs.ranges,
                             inputs.range_count, &fragments),
         NULL, "fragments");
    add_fragments(&writing, fragments);
    kv_fragments_release(fragments);
    writing_end(&writing, level, edit);
}

void rig_compact(uint32_t level)
{
    struct quarry_kv *kv = rig.kv;
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    struct kv_merge_iterator *merge = NULL;
    struct kv_edit edit;

    if (version->levels[level].file_count == 0 || level + 1 >= QUARRY_KV_LEVELS) {
        kv_version_release(version);
        return;
    }
    inputs.count = inputs.open_count = inputs.range_count = 0;
    kv_edit_init(&edit, &kv->small[KV_PART_META]);
    for (uint32_t i = 0; level == 0 && i < version->sublevel_count; i++) {
        add_input(version, &version->sublevels[i], &edit, 0);
    }
    if (level != 0) {
        add_input(version, &version->levels[level], &edit, level);
    }
    add_input(version, &version->levels[level + 1], &edit, level + 1);
    must(kv_merge_iterator_create(&kv->small[KV_PART_COMPACTION], kv->comparator, inputs.children,
                                  inputs.count, &merge),
         NULL, "merge");
    write_inputs(kv_merge_iterator_base(merge), level + 1, &edit);
    kv_merge_iterator_destroy(merge);
    for (size_t i = 0; i < inputs.count; i++) {
        kv_run_iterator_destroy(inputs.runs[i]);
    }
    for (size_t i = 0; i < inputs.open_count; i++) {
        kv_open_table_release(inputs.open[i]);
    }
    kv_version_release(version);
    edit_end(&edit);
}

void rig_live(uint32_t step_count)
{
    for (uint32_t i = 0; i < step_count; i++) {
        uint64_t which = rig_below(200);
        if (which < 185) {
            rig_change();
        } else if (which < 191) {
            rig_rotate();
        } else if (which < 197) {
            rig_flush();
        } else {
            rig_compact((uint32_t)rig_below(4));
        }
        while (rig.kv->immutable_count > 4) {
            rig_flush();
        }
    }
}

/* ---- snapshots ------------------------------------------------------------------------------ */

void rig_snapshot_take(uint32_t slot)
{
    struct rig_snapshot *own = &rig.snapshots[slot];

    rig_snapshot_release(slot);
    must(quarry_kv_snapshot_take(rig.kv, &own->snapshot), NULL, "snapshot");
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        if (rig.now.values[i] != NULL) {
            model_set(&own->state, i, rig.now.values[i], rig.now.counts[i]);
        }
    }
}

void rig_snapshot_release(uint32_t slot)
{
    quarry_kv_snapshot_release(rig.kv, rig.snapshots[slot].snapshot);
    clear_state(&rig.snapshots[slot].state);
    rig.snapshots[slot].snapshot = NULL;
}

void rig_cool(void)
{
    (void)kv_table_cache_shrink(rig.kv->table_cache, UINT32_MAX);
    for (int i = 0; i < 8; i++) {
        ref_epoch_advance(rig.kv->epoch);
        collect();
    }
    (void)quarry_block_cache_shrink(rig.kv->cache, UINT64_MAX);
}

void rig_allow(uint64_t bytes)
{
    struct quarry_account_state state;

    quarry_account_read(rig.kv->account, &state);
    /* 0 would be no bound. */
    uint64_t ceiling = bytes == UINT64_MAX ? 0 : state.charged_bytes + bytes;
    assert_int_equal(quarry_account_set_bounds(rig.kv->account, 0, ceiling), QUARRY_OK);
}
