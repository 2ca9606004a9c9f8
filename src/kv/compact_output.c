/*
 * Tables that are being written by a flush or a compaction.
 *
 *     entries          a b b c │ d e … │ …          cut between user keys
 *     range deletions  [a ──────────── f)
 *     tables           a b b c [a d)   │ d e [d f)
 *
 * A table has a stretch of user keys, from where the one before was cut to where it is cut, and of
 * each range deletion what lies within. So the bounds of tables do not overlap, and every deletion
 * is wholly within the bounds of its table: nobody has to cut it who reads it.
 *
 * Of the sequences of a fragment one is written for each stripe, that is between two living
 * snapshots: an older one of the same stripe deletes nothing that the newer does not. Of the oldest
 * stripe none is written where nothing lies below.
 *
 * Tables are synced when they are whole, and the directory once, before they are installed. What is
 * not installed is removed at the end, or when it is known that no manifest has it
 * (kv_files_discard).
 *
 * Invariants:
 *   1. Entries are added in the order of internal keys; a cut is at or before the next user key,
 * and behind the last one.
 *   2. Fragments below `fragment` end at or before `lower`.
 *
 * Locking: none. Memory: the writer's; the bounds of each table.
 */
#include <kv/compact_output.h>

#include <inttypes.h>

/* The throttle of background bytes is asked for so many at a time. */
#define TELL_BYTES Q_KIB(256)
/* What a writer writes at a time when memory is short. */
#define SMALL_BUFFER_BYTES Q_KIB(16)

void kv_output_init(struct kv_output *output, const struct kv_output_options *options)
{
    *output =
        (struct kv_output){.options = *options, .memory = &options->kv->small[KV_PART_COMPACTION]};
}

/* ---- a table -------------------------------------------------------------------------------- */

static enum quarry_status no_memory(const struct kv_output *output, struct quarry_error *error)
{
    return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for table %06" PRIu64,
                     output->options.kv->path, output->number);
}

/* Closes and removes the one that is being written. */
static void abandon(struct kv_output *output)
{
    kv_table_writer_destroy(output->writer);
    output->writer = NULL;
    if (output->file != NULL) {
        quarry_vfs_close(output->file);
        output->file = NULL;
        kv_files_discard(output->options.kv, output->number);
    }
}

static enum quarry_status begin_table(struct kv_output *output, struct quarry_error *error)
{
    struct quarry_kv *kv = output->options.kv;
    struct kv_table_write_options options;
    struct kv_path path;

    Q_ASSERT(output->file == NULL && output->writer == NULL);
    output->number = kv_new_file_number(kv);
    output->told_bytes = 0;
    kv_table_write_options_of(kv, output->options.level, output->number, &options);
    options.buffer_bytes = output->options.is_small ? SMALL_BUFFER_BYTES : 0;
    options.bloom_millibits = output->options.has_no_filter ? 0 : options.bloom_millibits;
    enum quarry_status status =
        kv_file_path(kv->path, kv_files_table_kind(kv), output->number, &path, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(kv->vfs, path.text,
                                 QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                 &output->file, error);
    }
    if (status == QUARRY_OK) {
        status =
            kv_table_writer_create(&kv->tables, output->file, &options, &output->writer, error);
    }
    if (status != QUARRY_OK) {
        abandon(output);
    }
    return status;
}

enum quarry_status kv_output_add(struct kv_output *output, struct kv_key key, struct kv_slice value,
                                 struct quarry_error *error)
{
    if (output->writer == NULL) {
        enum quarry_status status = begin_table(output, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    enum quarry_status status = kv_table_writer_add(output->writer, key, value, error);
    uint64_t byte_count = kv_table_writer_bytes(output->writer);
    output->written_entries++;
    if (byte_count >= output->told_bytes + TELL_BYTES) {
        kv_throttle_background(output->options.kv, byte_count - output->told_bytes);
        output->told_bytes = byte_count;
    }
    return status;
}

uint64_t kv_output_bytes(const struct kv_output *output)
{
    return output->writer == NULL ? 0 : kv_table_writer_bytes(output->writer);
}

/* ---- range deletions of a table ------------------------------------------------------------- */

static uint32_t stripe_of(const struct kv_stripes *stripes, uint64_t sequence)
{
    uint32_t stripe = 0;

    while (stripe < stripes->count && stripes->sequences[stripe] < sequence) {
        stripe++;
    }
    return stripe;
}

/* Writes a fragment's piece: one sequence for each stripe. */
static enum quarry_status put_piece(struct kv_output *output, const struct kv_fragment *fragment,
                                    struct kv_slice begin, struct kv_slice end,
                                    struct quarry_error *error)
{
    const struct kv_output_options *options = &output->options;
    const struct kv_key_range range = {begin, end, true};
    uint32_t last_stripe = UINT32_MAX;
    bool is_bare = options->is_bare != NULL && options->is_bare(options->argument, &range);
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < fragment->count && status == QUARRY_OK; i++) {
        uint64_t sequence = options->fragments->sequences[fragment->first + i];
        uint32_t stripe = stripe_of(options->stripes, sequence);
        bool is_seen = stripe < options->stripes->count;
        if (is_seen && (stripe == last_stripe || (stripe == 0 && is_bare))) {
            continue;
        }
        last_stripe = stripe;
        if (output->writer == NULL) {
            status = begin_table(output, error);
        }
        if (status == QUARRY_OK) {
            status = kv_table_writer_add_range_delete(output->writer, begin, end, sequence, error);
        }
    }
    return status;
}

/* Writes what of the deletions lies between `lower` and `upper`. */
static enum quarry_status put_ranges(struct kv_output *output, struct kv_slice upper,
                                     struct quarry_error *error)
{
    const struct kv_fragments *fragments = output->options.fragments;
    const struct quarry_kv_comparator *comparator = output->options.kv->comparator;
    enum quarry_status status = QUARRY_OK;

    while (fragments != NULL && status == QUARRY_OK &&
           output->fragment < fragments->fragment_count) {
        const struct kv_fragment *fragment = &fragments->fragments[output->fragment];
        struct kv_slice begin = fragment->begin, end = fragment->end;
        if (output->lower.bytes != NULL && kv_compare(comparator, begin, output->lower) < 0) {
            begin = output->lower;
        }
        if (upper.bytes != NULL && kv_compare(comparator, begin, upper) >= 0) {
            break;
        }
        bool goes_on = upper.bytes != NULL && kv_compare(comparator, end, upper) > 0;
        if (kv_compare(comparator, begin, end) < 0) {
            status = put_piece(output, fragment, begin, goes_on ? upper : end, error);
        }
        if (goes_on) {
            break;
        }
        output->fragment++;
    }
    return status;
}

/* ---- the end of a table --------------------------------------------------------------------- */

/* Copies what the manifest is to say: the writer's keys go with it. */
static enum quarry_status note_file(struct kv_output *output, const struct kv_table_result *result,
                                    struct quarry_error *error)
{
    size_t small = result->smallest.user.count, large = result->largest.user.count;
    uint64_t now_s = quarry_vfs_wall_ns(output->options.kv->vfs) / UINT64_C(1000000000);
    uint64_t ancestor_s = output->options.oldest_ancestor_s;

    if (kv_memory_grow(output->memory, (void **)&output->files, &output->file_capacity,
                       output->file_count + 1, sizeof(*output->files)) != QUARRY_OK) {
        return no_memory(output, error);
    }
    char *keys = kv_memory_take(output->memory, small + large + 1);
    if (keys == NULL) {
        return no_memory(output, error);
    }
    if (small != 0) {
        memcpy(keys, result->smallest.user.bytes, small);
    }
    if (large != 0) {
        memcpy(keys + small, result->largest.user.bytes, large);
    }
    output->files[output->file_count++] = (struct kv_output_file){
        .keys = keys,
        .line = {.level = output->options.level,
                 .number = output->number,
                 .byte_count = result->file_bytes,
                 .smallest = {kv_slice(keys, small), result->smallest.trailer},
                 .largest = {kv_slice(keys + small, large), result->largest.trailer},
                 .smallest_sequence = result->smallest_sequence,
                 .largest_sequence = result->largest_sequence,
                 .oldest_ancestor_s = ancestor_s == 0 ? now_s : ancestor_s,
                 .created_s = now_s,
                 .entry_count = result->entry_count,
                 .deletion_count = result->delete_count,
                 .range_deletion_count = result->range_delete_count,
                 .has_counts = true,
                 .has_sequences = true}};
    output->written_bytes += result->file_bytes;
    return QUARRY_OK;
}

static enum quarry_status end_table(struct kv_output *output, struct quarry_error *error)
{
    struct kv_table_result result;

    if (output->writer == NULL) {
        return QUARRY_OK;
    }
    enum quarry_status status = kv_table_writer_finish(output->writer, &result, error);
    if (status == QUARRY_OK) {
        status = note_file(output, &result, error);
    }
    if (status != QUARRY_OK) {
        abandon(output);
        return status;
    }
    kv_throttle_background(output->options.kv, sat_sub_u64(result.file_bytes, output->told_bytes));
    kv_table_writer_destroy(output->writer);
    output->writer = NULL;
    quarry_vfs_close(output->file);
    output->file = NULL;
    return QUARRY_OK;
}

static enum quarry_status set_lower(struct kv_output *output, struct kv_slice lower,
                                    struct quarry_error *error)
{
    if (kv_memory_grow(output->memory, (void **)&output->lower_bytes, &output->lower_capacity,
                       lower.count + 1, 1) != QUARRY_OK) {
        return no_memory(output, error);
    }
    if (lower.count != 0) {
        memcpy(output->lower_bytes, lower.bytes, lower.count);
    }
    output->lower = kv_slice(output->lower_bytes, lower.count);
    return QUARRY_OK;
}

enum quarry_status kv_output_cut(struct kv_output *output, struct kv_slice upper,
                                 struct quarry_error *error)
{
    enum quarry_status status = put_ranges(output, upper, error);

    if (status == QUARRY_OK) {
        status = end_table(output, error);
    }
    if (status == QUARRY_OK && upper.bytes != NULL) {
        status = set_lower(output, upper, error);
    }
    return status;
}

/* ---- all of them ---------------------------------------------------------------------------- */

enum quarry_status kv_output_list(struct kv_output *output, struct kv_edit *edit,
                                  struct quarry_error *error)
{
    struct quarry_kv *kv = output->options.kv;

    Q_ASSERT(output->writer == NULL);
    for (size_t i = 0; i < output->file_count; i++) {
        if (kv_edit_add(edit, &output->files[i].line) != QUARRY_OK) {
            return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a change of files",
                             kv->path);
        }
    }
    return output->file_count == 0 ? QUARRY_OK
                                   : quarry_vfs_sync_directory(kv->vfs, kv->path, error);
}

static void free_files(struct kv_output *output)
{
    for (size_t i = 0; i < output->file_count; i++) {
        kv_memory_give(output->memory, output->files[i].keys);
    }
    output->file_count = 0;
}

void kv_output_keep(struct kv_output *output)
{
    free_files(output);
}

void kv_output_fini(struct kv_output *output)
{
    abandon(output);
    for (size_t i = 0; i < output->file_count; i++) {
        kv_files_discard(output->options.kv, output->files[i].line.number);
    }
    free_files(output);
    kv_memory_give(output->memory, output->files);
    kv_memory_give(output->memory, output->lower_bytes);
}
