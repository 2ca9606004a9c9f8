/*
 * Tables without a manifest, into one run.
 *
 *     000004.sst  ──┐
 *     000009.sst  ──┤ merged by (key, sequence falling)
 *     000012.sst  ──┘──> 000020.sst │ 000021.sst │ …      the last level
 *
 * Which level a table was of is not known, and cannot be told from its sequences: a file of a deep
 * level may have newer entries than one above it, of other keys, and looking into one before the
 * other finds the older of two entries of the same key. Merged by sequence they are right, whatever
 * they were. So everything is read and written once. All versions are kept: no deletion is applied.
 *
 * Entries that are in two tables, as where a compaction had been done and its inputs had not been
 * removed yet, are written once.
 *
 * *Ingested files* have their sequence in the manifest. It is taken to be one above all those of
 * tables with lower numbers: what was in the store when they came.
 *
 * *Range deletions* of all tables are cut into fragments, and each output gets what lies between
 * its first key and that of the next one.
 *
 * Cost: reads and writes everything; memory for a block of each table, and the range deletions.
 */
#include <kv/repair_parts.h>

#include <kv/buffer.h>
#include <kv/merge_iterator.h>

/* Of an output where the options do not say. */
#define FILE_BYTES      Q_MIB(32)
#define READAHEAD_BYTES Q_KIB(64)

struct input {
    struct kv_table *table;
    struct kv_table_iterator iterator;
    bool has_iterator;
};

struct merge {
    struct kv_repair *repair;
    struct input *inputs; /* room for all files, and those that logs have made */
    struct kv_iterator **children;
    size_t input_count;
    uint64_t highest_sequence; /* of inputs so far */
    struct kv_range *ranges;
    size_t range_count, range_capacity;
    struct kv_fragments *fragments; /* NULL: none */
    struct kv_repair_output output;
    struct quarry_kv_buffer lower; /* user key from which on the output is */
    struct quarry_kv_buffer last;  /* user key that was written last */
    uint64_t last_trailer;
    bool has_lower, has_last;
};

/* ---- inputs --------------------------------------------------------------------------------- */

static enum quarry_status note_ranges(struct merge *merge, const struct kv_table *table)
{
    size_t count;
    const struct kv_table_range *ranges = kv_table_ranges(table, &count);
    enum quarry_status status =
        kv_memory_grow(&merge->repair->small, (void **)&merge->ranges, &merge->range_capacity,
                       merge->range_count + count + 1, sizeof(*merge->ranges));

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        merge->ranges[merge->range_count++] =
            (struct kv_range){ranges[i].begin, ranges[i].end, ranges[i].sequence};
        merge->highest_sequence = size_max_u64(merge->highest_sequence, ranges[i].sequence);
    }
    return status;
}

/* The highest sequence of a table, which only its entries know. */
static enum quarry_status note_sequences(struct merge *merge, struct kv_iterator *base)
{
    for (base->ops->first(base); base->is_valid; base->ops->next(base)) {
        merge->highest_sequence =
            size_max_u64(merge->highest_sequence, kv_trailer_sequence(base->key.trailer));
    }
    return base->status;
}

static enum quarry_status open_input(struct merge *merge, const struct kv_repair_file *file,
                                     struct kv_table **ret_table)
{
    struct kv_repair *repair = merge->repair;
    struct kv_table *table;
    enum quarry_status status = kv_repair_open(repair, file, UINT64_MAX, &table, repair->error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct kv_table_properties *properties = kv_table_properties(table);
    if (properties->external_version != 0 && properties->global_sequence == 0) {
        kv_table_close(table);
        return kv_repair_open(repair, file, merge->highest_sequence + 1, ret_table, repair->error);
    }
    *ret_table = table;
    return QUARRY_OK;
}

/* Reads all of an input. What is damaged becomes a table of the edit, and so another input. */
static enum quarry_status examine_input(struct merge *merge, struct kv_table *table,
                                        bool *ret_is_whole)
{
    enum quarry_status status = kv_table_verify(table, merge->repair->error);

    *ret_is_whole = status == QUARRY_OK;
    return status == QUARRY_OK || status == QUARRY_NO_MEMORY
               ? status
               : kv_repair_salvage(merge->repair, table, NULL, 0);
}

/* `ret_is_used`: false: it could not be read, or not whole. Errors: those that end the repair. */
static enum quarry_status add_input(struct merge *merge, const struct kv_repair_file *file,
                                    bool *ret_is_used)
{
    const struct kv_table_iterator_options options = {.is_background = true,
                                                      .readahead_bytes = READAHEAD_BYTES};
    struct kv_repair *repair = merge->repair;
    struct input *input = &merge->inputs[merge->input_count];
    enum quarry_status status = open_input(merge, file, &input->table);

    *ret_is_used = false;
    if (status != QUARRY_OK) {
        return status == QUARRY_NO_MEMORY ? status : QUARRY_OK;
    }
    status = examine_input(merge, input->table, ret_is_used);
    if (!*ret_is_used) {
        kv_table_evict(input->table);
        kv_table_close(input->table);
        return status;
    }
    kv_table_iterator_init(&input->iterator, input->table, &options, repair->error);
    merge->children[merge->input_count++] = &input->iterator.base;
    input->has_iterator = true;
    status = note_sequences(merge, &input->iterator.base);
    return status != QUARRY_OK ? status : note_ranges(merge, input->table);
}

static bool is_table(const struct kv_repair_file *file)
{
    return file->name.kind == KV_FILE_TABLE || file->name.kind == KV_FILE_TABLE_LEVELDB;
}

/* Tables that were found, by rising numbers, and those of logs and of what was salvaged. */
static enum quarry_status add_inputs(struct merge *merge)
{
    struct kv_repair *repair = merge->repair;
    enum quarry_status status = QUARRY_OK;
    bool is_used;

    for (size_t i = 0; i < repair->file_count && status == QUARRY_OK; i++) {
        if (is_table(&repair->files[i])) {
            status = add_input(merge, &repair->files[i], &is_used);
            repair->files[i].fate = is_used ? KV_REPAIR_USED_UP : KV_REPAIR_LOST;
        }
    }
    for (size_t i = 0; i < repair->edit.added_count && status == QUARRY_OK; i++) {
        const struct kv_repair_file file = {
            .name = {repair->form == KV_EDIT_LEVELDB ? KV_FILE_TABLE_LEVELDB : KV_FILE_TABLE,
                     repair->edit.added[i].number},
            .byte_count = repair->edit.added[i].byte_count,
        };
        status = add_input(merge, &file, &is_used);
    }
    return status;
}

/* ---- outputs -------------------------------------------------------------------------------- */

/* What of a fragment lies in [lower, upper). `upper`: bytes NULL: to the end. */
static enum quarry_status put_fragment(struct merge *merge, uint32_t index, struct kv_slice upper)
{
    const struct quarry_kv_comparator *comparator = merge->repair->comparator;
    const struct kv_fragment *fragment = &merge->fragments->fragments[index];
    struct kv_slice begin = fragment->begin, end = fragment->end;
    enum quarry_status status = QUARRY_OK;

    if (merge->has_lower && kv_compare(comparator, begin, kv_buffer_slice(&merge->lower)) < 0) {
        begin = kv_buffer_slice(&merge->lower);
    }
    if (upper.bytes != NULL && kv_compare(comparator, end, upper) > 0) {
        end = upper;
    }
    if (kv_compare(comparator, begin, end) >= 0) {
        return QUARRY_OK;
    }
    if (merge->output.writer == NULL) {
        status = kv_repair_output_begin(merge->repair, &merge->output);
    }
    for (uint32_t i = 0; i < fragment->count && status == QUARRY_OK; i++) {
        status = kv_table_writer_add_range_delete(merge->output.writer, begin, end,
                                                  merge->fragments->sequences[fragment->first + i],
                                                  merge->repair->error);
    }
    return status;
}

/* Ends the output where the next one begins. */
static enum quarry_status end_output(struct merge *merge, struct kv_slice upper)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t count = merge->fragments == NULL ? 0 : merge->fragments->fragment_count;

    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        status = put_fragment(merge, i, upper);
    }
    if (status == QUARRY_OK && merge->output.writer != NULL) {
        status = kv_repair_output_end(merge->repair, &merge->output, QUARRY_KV_LEVELS - 1);
    }
    if (status == QUARRY_OK && upper.bytes != NULL) {
        merge->has_lower = true;
        kv_buffer_clear(&merge->lower);
        status = quarry_kv_buffer_append(&merge->lower, upper.bytes, upper.count);
    }
    return status;
}

static bool is_full(const struct merge *merge)
{
    uint64_t file_bytes = merge->repair->options->file_bytes;

    return merge->output.writer != NULL && kv_table_writer_bytes(merge->output.writer) >=
                                               (file_bytes == 0 ? FILE_BYTES : file_bytes);
}

static enum quarry_status put_entry(struct merge *merge, const struct kv_iterator *at)
{
    struct kv_repair *repair = merge->repair;
    bool is_same = merge->has_last &&
                   kv_compare(repair->comparator, kv_buffer_slice(&merge->last), at->key.user) == 0;
    enum quarry_status status = QUARRY_OK;

    if (is_same && merge->last_trailer == at->key.trailer) {
        return QUARRY_OK;
    }
    if (!is_same && is_full(merge)) {
        status = end_output(merge, at->key.user);
    }
    if (status == QUARRY_OK && merge->output.writer == NULL) {
        status = kv_repair_output_begin(repair, &merge->output);
    }
    if (status == QUARRY_OK) {
        status = kv_table_writer_add(merge->output.writer, at->key, at->value, repair->error);
    }
    merge->last_trailer = at->key.trailer;
    if (status == QUARRY_OK && !is_same) {
        merge->has_last = true;
        kv_buffer_clear(&merge->last);
        status = quarry_kv_buffer_append(&merge->last, at->key.user.bytes, at->key.user.count);
    }
    return status;
}

/* ---- the merge ------------------------------------------------------------------------------ */

static enum quarry_status run_merge(struct merge *merge)
{
    struct kv_merge_iterator *iterator;
    enum quarry_status status =
        kv_merge_iterator_create(&merge->repair->small, merge->repair->comparator, merge->children,
                                 merge->input_count, &iterator);

    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; i < merge->input_count; i++) {
        merge->inputs[i].has_iterator = false; /* ended with the merge */
    }
    struct kv_iterator *base = kv_merge_iterator_base(iterator);
    for (base->ops->first(base); base->is_valid && status == QUARRY_OK; base->ops->next(base)) {
        status = put_entry(merge, base);
    }
    status = status != QUARRY_OK ? status : base->status;
    if (status == QUARRY_OK) {
        status = end_output(merge, kv_slice(NULL, 0));
    }
    kv_merge_iterator_destroy(iterator);
    return status;
}

/* Tables that were made on the way are merged: they leave the edit. */
static void forget_merged(struct kv_repair *repair, size_t count)
{
    enum kv_file_kind kind =
        repair->form == KV_EDIT_LEVELDB ? KV_FILE_TABLE_LEVELDB : KV_FILE_TABLE;
    struct kv_edit *edit = &repair->edit;
    struct kv_path path;

    for (size_t i = 0; i < count; i++) {
        if (kv_file_path(repair->path, kind, edit->added[i].number, &path, NULL) == QUARRY_OK) {
            (void)quarry_vfs_remove(repair->vfs, path.text, NULL);
        }
    }
    edit->added_count -= count;
    memmove(edit->added, edit->added + count, edit->added_count * sizeof(edit->added[0]));
}

static enum quarry_status make_run(struct merge *merge)
{
    struct kv_repair *repair = merge->repair;
    enum quarry_status status = add_inputs(merge);
    size_t merged_count = repair->edit.added_count; /* of logs, and salvaged */

    if (status == QUARRY_OK && merge->range_count != 0) {
        status = kv_fragments_create(&repair->small, repair->comparator, merge->ranges,
                                     merge->range_count, &merge->fragments);
    }
    if (status == QUARRY_OK && merge->input_count != 0) {
        status = run_merge(merge);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    forget_merged(repair, merged_count);
    return QUARRY_OK;
}

static void close_inputs(struct merge *merge)
{
    for (size_t i = 0; i < merge->input_count; i++) {
        struct input *input = &merge->inputs[i];
        if (input->has_iterator) {
            input->iterator.base.ops->fini(&input->iterator.base);
        }
        kv_table_evict(input->table);
        kv_table_close(input->table);
    }
}

enum quarry_status kv_repair_merge(struct kv_repair *repair)
{
    struct kv_memory *memory = &repair->small;
    size_t input_max = repair->file_count + repair->edit.added_count + 1;
    struct merge merge = {.repair = repair};
    enum quarry_status status = QUARRY_NO_MEMORY;

    kv_buffer_init(&merge.lower, memory, QUARRY_KV_KEY_BYTES_MAX);
    kv_buffer_init(&merge.last, memory, QUARRY_KV_KEY_BYTES_MAX);
    merge.inputs = kv_memory_take(memory, input_max * sizeof(*merge.inputs));
    merge.children = kv_memory_take(memory, input_max * sizeof(struct kv_iterator *));
    if (merge.inputs != NULL && merge.children != NULL) {
        status = make_run(&merge);
    }
    kv_repair_output_abort(repair, &merge.output);
    kv_fragments_release(merge.fragments);
    close_inputs(&merge);
    kv_buffer_fini(&merge.lower);
    kv_buffer_fini(&merge.last);
    kv_memory_give(memory, merge.ranges);
    kv_memory_give(memory, merge.children);
    kv_memory_give(memory, merge.inputs);
    if (status == QUARRY_NO_MEMORY) {
        return error_set(repair->error, status, "%s: no memory to merge %zu files", repair->path,
                         input_max - 1);
    }
    return status;
}
