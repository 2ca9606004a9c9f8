/*
 * Reading logs after the end of a process, or of the machine.
 *
 *     log 12 │ 1 … 40 │ log 15 │ 41 … 90 │ log 19 │ 91 … 97, cut off
 *            memtable, full: a file of level 0 │ memtable │ …        bounded memory
 *
 * Records are batches with their sequences; they go into a memtable as they went when they were
 * written, and a memtable that is full becomes a file. These files are in no manifest before all is
 * read (recover.c), so a machine that fails meanwhile begins again from the logs.
 *
 * A store comes back as it was after one of its writes. So reading stops for good at the first
 * thing that could hide a lost write: damage, a hole, a record that is cut off, with another log
 * behind. The other log goes on only if its first record has the very next sequence: then nothing
 * was lost. That is looked at between all logs, because pages of an older one may be lost, and
 * those of a newer one be kept, with the power; what was synced is not lost, as syncing a log syncs
 * those before it first. Only where a log of RocksDB's or LevelDB's ends cleanly with its file is a
 * gap taken for theirs: they give out sequences that no log has.
 *
 * Rejected: to skip damage, as others can be told to: a batch may rely on one that is lacking.
 */
#include <kv/recover.h>

#include <inttypes.h>

#include <os/os.h>

#include <kv/background.h>
#include <kv/commit.h>
#include <kv/log_read.h>

struct replay {
    struct quarry_kv *kv;
    struct quarry_error *error;
    struct kv_layer *layer; /* that is being filled; NULL: none */
    struct kv_memtable_splice splice;
    uint64_t next_sequence; /* of the next record; 0: none was read */
    bool is_suspect;        /* something may be lacking behind the last record */
    bool is_over;
};

/* ---- layers --------------------------------------------------------------------------------- */

/* To the list, which gets the reference. */
static enum quarry_status push(struct quarry_kv *kv, struct kv_layer *layer,
                               struct quarry_error *error)
{
    os_mutex_lock(&kv->mutex);
    enum quarry_status status =
        kv_memory_grow(&kv->small[KV_PART_META], (void **)&kv->immutable, &kv->immutable_capacity,
                       kv->immutable_count + 1, sizeof(struct kv_layer *));
    if (status == QUARRY_OK) {
        layer->is_flushing = !kv->is_read_only;
        kv->immutable[kv->immutable_count++] = layer;
    }
    os_mutex_unlock(&kv->mutex);
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "store '%s': no memory to recover it", kv->path);
}

/* The manifest may know of a higher one, of what is lost. */
static void note_sequence(struct replay *replay)
{
    struct quarry_kv *kv = replay->kv;

    if (replay->next_sequence != 0) {
        kv->last_sequence = size_max_u64(kv->last_sequence, replay->next_sequence - 1);
        atomic_store_release_u64(&kv->visible_sequence, kv->last_sequence);
    }
}

/* A layer is complete: it becomes a file, or stays, in a store that is only read. `layer`: given.
 */
static enum quarry_status finish_layer(struct replay *replay, struct kv_layer *layer)
{
    struct quarry_kv *kv = replay->kv;

    if (kv_layer_is_empty(layer)) {
        kv_layer_release(layer);
        return QUARRY_OK;
    }
    enum quarry_status status = push(kv, layer, replay->error);
    if (status != QUARRY_OK) {
        kv_layer_release(layer);
        return status;
    }
    note_sequence(replay);
    if (kv->is_read_only) {
        return QUARRY_OK;
    }
    status = kv_flush_layers(kv, &layer, 1, replay->error);
    kv_view_collect(kv);
    return status;
}

static enum quarry_status finish_current(struct replay *replay)
{
    struct kv_layer *layer = replay->layer;

    replay->layer = NULL;
    return layer == NULL ? QUARRY_OK : finish_layer(replay, layer);
}

/* ---- batches -------------------------------------------------------------------------------- */

static enum quarry_status replay_large(struct replay *replay, struct kv_slice data)
{
    struct kv_layer *layer = NULL;
    enum quarry_status status = kv_layer_create_batch(replay->kv, data, &layer, replay->error);

    return status == QUARRY_OK ? finish_layer(replay, layer) : status;
}

/* Into the layer that is there. Errors: those of kv_memtable_prepare. */
static enum quarry_status put(struct replay *replay, struct kv_memtable_plan *plan,
                              uint64_t sequence)
{
    enum quarry_status status = kv_memtable_prepare(replay->layer->memtable, plan, sequence);

    if (status == QUARRY_OK) {
        kv_memtable_apply(replay->layer->memtable, plan, &replay->splice);
    }
    return status;
}

/* With room made by what is there becoming a file. */
static enum quarry_status put_slow(struct replay *replay, struct kv_memtable_plan *plan,
                                   uint64_t sequence)
{
    enum quarry_status status = finish_current(replay);

    if (status == QUARRY_OK) {
        status = kv_layer_create_memtable(replay->kv, &replay->layer, replay->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = put(replay, plan, sequence);
    if (status == QUARRY_NO_ADDRESS || status == QUARRY_TOO_LARGE) {
        return QUARRY_TOO_LARGE;
    }
    return status == QUARRY_OK
               ? status
               : error_set(replay->error, status, "store '%s': no memory to recover a batch",
                           replay->kv->path);
}

static enum quarry_status replay_changes(struct replay *replay, struct kv_memtable_plan *plan,
                                         uint64_t sequence)
{
    enum quarry_status status =
        replay->layer == NULL ? QUARRY_NO_ADDRESS : put(replay, plan, sequence);

    if (status != QUARRY_OK) {
        status = put_slow(replay, plan, sequence);
    }
    /* The layer that was begun for it is empty, and goes on. */
    bool is_large = status == QUARRY_TOO_LARGE;
    replay->next_sequence = sequence + plan->counts.change_count;
    return is_large ? replay_large(replay, plan->data) : status;
}

static enum quarry_status replay_batch(struct replay *replay, struct kv_slice data)
{
    struct kv_memtable_plan plan;
    enum quarry_status status = kv_memtable_plan(data, &plan, replay->error);

    if (status != QUARRY_OK) {
        return status;
    }
    uint64_t sequence = kv_batch_sequence(data);
    if (plan.counts.change_count != 0) {
        return replay_changes(replay, &plan, sequence);
    }
    replay->next_sequence = size_max_u64(replay->next_sequence, sequence);
    return QUARRY_OK;
}

/* ---- logs ----------------------------------------------------------------------------------- */

/* Whether the record of a batch may come now. Returns: false: the log is as good as ended. */
static bool is_in_order(struct replay *replay, struct kv_slice data)
{
    if (data.count < KV_BATCH_HEADER_BYTES) {
        return false;
    }
    uint64_t sequence = kv_batch_sequence(data);
    bool is_in_order = replay->next_sequence == 0 || sequence == replay->next_sequence ||
                       (sequence > replay->next_sequence && !replay->is_suspect);
    replay->is_suspect = false; /* the others of a log lie one behind the other */
    return is_in_order;
}

static enum quarry_status replay_records(struct replay *replay, struct kv_log_reader *reader)
{
    struct kv_slice data;
    enum quarry_status status;

    while ((status = kv_log_read(reader, &data, replay->error)) == QUARRY_OK) {
        if (!is_in_order(replay, data)) {
            replay->is_over = true;
            return QUARRY_OK;
        }
        status = replay_batch(replay, data);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Damage is told; what a lost process or machine leaves is not. */
static void tell_damage(struct replay *replay, const char *name, const struct kv_log_end *end)
{
    struct quarry_error error;

    if (end->ending < KV_LOG_ENDS_CHECKSUM) {
        return;
    }
    (void)error_set(&error, QUARRY_CORRUPT,
                    "log '%s', offset %" PRIu64 ": %s; %" PRIu64 " bytes are not recovered", name,
                    end->offset, kv_log_ending_text(end->ending), end->dropped_bytes);
    kv_notify(replay->kv,
              &(struct quarry_kv_event_data){.event = QUARRY_KV_EVENT_CORRUPTION, .error = &error});
}

/* Whether something may be lacking before the next log. */
static bool is_suspect_end(struct replay *replay, struct quarry_vfs_file *file,
                           const struct kv_log_end *end)
{
    uint64_t file_bytes = 0;

    if (end->ending != KV_LOG_ENDS_CLEAN || !replay->kv->has_foreign_files) {
        return true;
    }
    return quarry_vfs_size(file, &file_bytes, NULL) != QUARRY_OK || file_bytes != end->offset;
}

static enum quarry_status replay_file(struct replay *replay, struct quarry_vfs_file *file,
                                      const char *name, uint64_t number)
{
    const struct kv_log_reader_options options = {.file = file,
                                                  .name = name,
                                                  .memory = &replay->kv->small[KV_PART_READ],
                                                  .number = number,
                                                  .record_bytes_max = KV_BATCH_BYTES_MAX};
    struct kv_log_reader *reader = NULL;
    struct kv_log_end end;
    enum quarry_status status = kv_log_reader_create(&options, &reader, replay->error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = replay_records(replay, reader);
    if (status == QUARRY_OK && !replay->is_over) {
        kv_log_reader_end(reader, &end);
        tell_damage(replay, name, &end);
        replay->is_suspect = is_suspect_end(replay, file, &end);
    }
    kv_log_reader_destroy(reader);
    return status;
}

static enum quarry_status replay_log(struct replay *replay, uint64_t number)
{
    struct quarry_kv *kv = replay->kv;
    struct quarry_vfs_file *file = NULL;
    struct kv_path path;
    enum quarry_status status = kv_file_path(kv->path, KV_FILE_LOG, number, &path, replay->error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(kv->vfs, path.text, QUARRY_VFS_READ, &file, replay->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = replay_file(replay, file, path.text, number);
    quarry_vfs_close(file);
    return status;
}

enum quarry_status kv_replay(struct quarry_kv *kv, const uint64_t *numbers, size_t count,
                             struct quarry_error *error)
{
    struct replay replay = {.kv = kv, .error = error};
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < count && status == QUARRY_OK && !replay.is_over; i++) {
        status = replay_log(&replay, numbers[i]);
    }
    if (status == QUARRY_OK) {
        status = finish_current(&replay);
    }
    kv_layer_release(replay.layer);
    note_sequence(&replay);
    return status;
}
