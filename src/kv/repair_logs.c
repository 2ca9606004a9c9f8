/*
 * Logs into tables.
 *
 *     000004.log  │ batch │ batch │ batch │░░░         000007.log │ batch │ …
 *                    └──────┴── memtable ──┘ ends at damage          │
 *                                 └── 000012.sst, level 0 ───────────┘
 *
 * Of each log the records up to the first that cannot be read, and then the next log: opening a
 * store stops for good at a hole, for what follows it may contradict what is lacking, and repairing
 * does not, for it is done to save what there is. A batch that makes no sense is passed over.
 *
 * Sequences must rise from batch to batch. What does not is of an earlier life of the log's file.
 *
 * Memory: a memtable and the longest record. Tables are written as it fills.
 */
#include <kv/repair_parts.h>

#include <kv/log_read.h>
#include <kv/memtable.h>

/* Of a memtable, at most; a larger batch has one of its own size. */
#define MEMTABLE_BYTES Q_MIB(8)
/* What a memtable has besides its entries. */
#define MEMTABLE_EXTRA Q_KIB(64)
/* Longer records are not believed. */
#define RECORD_BYTES_MAX Q_GIB(1)

/* ---- a memtable into a table ---------------------------------------------------------------- */

static enum quarry_status put_entries(struct kv_repair *repair, struct kv_memtable *memtable,
                                      struct kv_table_writer *writer)
{
    struct kv_memtable_iterator iterator;
    struct kv_iterator *base = &iterator.base;
    enum quarry_status status = QUARRY_OK;

    kv_memtable_iterator_init(&iterator, memtable);
    for (base->ops->first(base); base->is_valid && status == QUARRY_OK; base->ops->next(base)) {
        status = kv_table_writer_add(writer, base->key, base->value, repair->error);
    }
    base->ops->fini(base);
    return status;
}

static enum quarry_status put_ranges(struct kv_repair *repair, struct kv_memtable *memtable,
                                     struct kv_table_writer *writer)
{
    struct kv_fragments_iterator iterator;
    struct kv_iterator *base = &iterator.base;
    struct kv_fragments *fragments = NULL;
    enum quarry_status status = kv_memtable_fragments(memtable, &fragments);

    if (status != QUARRY_OK || fragments == NULL) {
        return status;
    }
    kv_fragments_iterator_init(&iterator, fragments);
    for (base->ops->first(base); base->is_valid && status == QUARRY_OK; base->ops->next(base)) {
        status =
            kv_table_writer_add_range_delete(writer, base->key.user, base->value,
                                             kv_trailer_sequence(base->key.trailer), repair->error);
    }
    base->ops->fini(base);
    kv_fragments_release(fragments);
    return status;
}

/* `memtable`: given, and made none. None does nothing. */
static enum quarry_status write_table(struct kv_repair *repair, struct kv_memtable **memtable)
{
    struct kv_repair_output output;
    enum quarry_status status;

    if (*memtable == NULL) {
        return QUARRY_OK;
    }
    status = kv_repair_output_begin(repair, &output);
    if (status == QUARRY_OK) {
        status = put_entries(repair, *memtable, output.writer);
        if (status == QUARRY_OK) {
            status = put_ranges(repair, *memtable, output.writer);
        }
        if (status == QUARRY_OK) {
            status = kv_repair_output_end(repair, &output, 0);
        } else {
            kv_repair_output_abort(repair, &output);
        }
    }
    kv_memtable_release(*memtable);
    *memtable = NULL;
    return status;
}

/* ---- batches -------------------------------------------------------------------------------- */

static enum quarry_status begin_memtable(struct kv_repair *repair,
                                         const struct kv_memtable_plan *plan,
                                         struct kv_memtable **ret_memtable)
{
    const struct kv_memtable_options options = {
        .keeper = repair->keeper,
        .memory = &repair->small,
        .comparator = repair->comparator,
        .capacity_bytes = size_max_u64(MEMTABLE_BYTES, plan->byte_count + MEMTABLE_EXTRA),
        .has_no_hash = true,
    };

    return kv_memtable_create(&options, ret_memtable, repair->error);
}

static enum quarry_status insert(struct kv_repair *repair, struct kv_memtable **memtable,
                                 struct kv_memtable_plan *plan, uint64_t sequence)
{
    enum quarry_status status = QUARRY_NO_ADDRESS;

    if (*memtable != NULL) {
        status = kv_memtable_prepare(*memtable, plan, sequence);
    }
    if (status != QUARRY_OK) {
        status = write_table(repair, memtable);
        if (status == QUARRY_OK) {
            status = begin_memtable(repair, plan, memtable);
        }
        if (status == QUARRY_OK) {
            status = kv_memtable_prepare(*memtable, plan, sequence);
        }
    }
    if (status != QUARRY_OK) {
        return error_set(repair->error, status, "%s: no memory for a batch of %zu bytes",
                         repair->path, plan->data.count);
    }
    kv_memtable_apply(*memtable, plan, NULL);
    return QUARRY_OK;
}

/* Of a record of a log. One that makes no sense is passed over. */
static enum quarry_status take_batch(struct kv_repair *repair, struct kv_memtable **memtable,
                                     struct kv_slice record)
{
    struct kv_memtable_plan plan;

    if (kv_memtable_plan(record, &plan, NULL) != QUARRY_OK || plan.counts.change_count == 0) {
        return QUARRY_OK;
    }
    uint64_t sequence = endian_load_le_u64(record.bytes);
    uint64_t last = sequence + plan.counts.change_count - 1;
    if (sequence <= repair->log_sequence || last < sequence || last > KV_SEQUENCE_MAX) {
        return QUARRY_OK;
    }
    enum quarry_status status = insert(repair, memtable, &plan, sequence);
    if (status == QUARRY_OK) {
        repair->log_sequence = last;
    }
    return status;
}

/* ---- logs ----------------------------------------------------------------------------------- */

static enum quarry_status take_records(struct kv_repair *repair, struct kv_log_reader *reader,
                                       struct kv_memtable **memtable)
{
    struct kv_slice record;
    enum quarry_status status;

    while ((status = kv_log_read(reader, &record, repair->error)) == QUARRY_OK) {
        status = take_batch(repair, memtable, record);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    /* The end, or what cannot be read; but what may succeed later is an error. */
    return status == QUARRY_NO_MEMORY ? status : QUARRY_OK;
}

static enum quarry_status take_log(struct kv_repair *repair, const struct kv_repair_file *log,
                                   struct kv_memtable **memtable)
{
    struct quarry_vfs_file *file = NULL;
    struct kv_log_reader *reader = NULL;
    struct kv_path path;
    enum quarry_status status =
        kv_file_path(repair->path, KV_FILE_LOG, log->name.number, &path, repair->error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (quarry_vfs_open(repair->vfs, path.text, QUARRY_VFS_READ, &file, NULL) != QUARRY_OK) {
        return QUARRY_OK; /* it is moved to lost/, as all are */
    }
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = path.text,
                                                  .memory = &repair->small,
                                                  .number = log->name.number,
                                                  .record_bytes_max = RECORD_BYTES_MAX};
    status = kv_log_reader_create(&options, &reader, repair->error);
    if (status == QUARRY_OK) {
        status = take_records(repair, reader, memtable);
    }
    kv_log_reader_destroy(reader);
    quarry_vfs_close(file);
    return status;
}

enum quarry_status kv_repair_logs(struct kv_repair *repair, uint64_t log_number,
                                  uint64_t previous_log)
{
    struct kv_memtable *memtable = NULL;
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < repair->file_count && status == QUARRY_OK; i++) {
        const struct kv_repair_file *file = &repair->files[i];
        bool is_wanted = file->name.number >= log_number ||
                         (previous_log != 0 && file->name.number == previous_log);
        if (file->name.kind == KV_FILE_LOG && is_wanted) {
            status = take_log(repair, file, &memtable);
        }
    }
    if (status == QUARRY_OK) {
        status = write_table(repair, &memtable);
    }
    kv_memtable_release(memtable);
    return status;
}
