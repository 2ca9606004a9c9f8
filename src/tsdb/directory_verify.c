/*
 * Reading all of a directory without a store: each part of each file by its checksum, series by
 * their decoder, the log by its reader.
 *
 * What is found is told as it is when a store is opened, by the same kinds. Nothing is written, not
 * even a lock: nobody else has the directory open.
 *
 * Memory: an account of its own for the time of the call: a section's bytes at a time, which for a
 * window's are read part by part.
 */
#include <tsdb/durable.h>
#include <tsdb/exemplars_save.h>

#include <inttypes.h>
#include <stdio.h>

#include <tsdb/snapshot.h>
#include <tsdb/window_file.h>

/* What is looked at, and with what. */
struct verifying {
    struct quarry_vfs *vfs;
    const char *directory;
    struct tsdb_memory small;
    quarry_tsdb_lost_function *lost;
    void *lost_argument;
    uint64_t loss_count;
    struct quarry_tsdb_loss loss; /* of the file under way */
};

static void tell(struct verifying *verifying, uint64_t offset, uint64_t byte_count)
{
    verifying->loss.offset = offset;
    verifying->loss.byte_count = byte_count;
    verifying->loss_count++;
    if (verifying->lost != NULL) {
        verifying->lost(verifying->lost_argument, &verifying->loss);
    }
}

static void part_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                      uint64_t byte_count)
{
    (void)info;
    tell(argument, offset, byte_count);
}

/* tsdb_series_function */
static enum quarry_status series_pass(void *argument, const struct tsdb_series_known *series)
{
    (void)argument;
    return tsdb_labels_are_valid(&series->labels) ? QUARRY_OK : QUARRY_CORRUPT;
}

/* tsdb_exemplar_entry_function */
static void exemplar_pass(void *argument, uint32_t id, const struct quarry_tsdb_exemplar *exemplar)
{
    (void)argument;
    (void)id;
    (void)exemplar;
}

static enum quarry_status section_verify(struct verifying *verifying,
                                         struct tsdb_section_file *sections, size_t number,
                                         struct quarry_error *error)
{
    const struct tsdb_section_info info = tsdb_section_file_info(sections, number);
    char *bytes =
        info.byte_count == 0 ? NULL : tsdb_memory_take(&verifying->small, (size_t)info.byte_count);

    if (bytes == NULL) {
        return info.byte_count == 0
                   ? QUARRY_OK
                   : error_set(error, QUARRY_NO_MEMORY, "no memory for a section of %" PRIu64,
                               info.byte_count);
    }
    enum quarry_status status =
        tsdb_section_file_read(sections, number, bytes, part_lost, verifying, NULL);
    if (status == QUARRY_OK && info.kind == TSDB_SECTION_SERIES) {
        status = tsdb_series_chunk_read(&verifying->small,
                                        (struct tsdb_slice){bytes, (size_t)info.byte_count},
                                        series_pass, verifying);
        if (status == QUARRY_CORRUPT) {
            tell(verifying, 0, info.byte_count);
        }
    }
    if (status == QUARRY_OK && info.kind == TSDB_SECTION_EXEMPLARS) {
        status = tsdb_exemplar_chunk_read(&verifying->small,
                                          (struct tsdb_slice){bytes, (size_t)info.byte_count},
                                          exemplar_pass, verifying);
        if (status == QUARRY_CORRUPT) {
            tell(verifying, 0, info.byte_count);
        }
    }
    tsdb_memory_give(&verifying->small, bytes);
    return status == QUARRY_CORRUPT ? QUARRY_OK : status;
}

static enum quarry_status sections_verify(struct verifying *verifying,
                                          struct tsdb_section_file *sections,
                                          struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < tsdb_section_file_count(sections) && status == QUARRY_OK; i++) {
        status = section_verify(verifying, sections, i, error);
    }
    tsdb_section_file_close(sections);
    return status;
}

static enum quarry_status windows_verify(struct verifying *verifying, struct quarry_error *error)
{
    int64_t window = INT64_MAX;
    enum quarry_status status;

    while ((status = tsdb_window_file_find(verifying->vfs, verifying->directory, window, &window,
                                           error)) == QUARRY_OK) {
        const struct tsdb_section_place place =
            tsdb_window_file_place(verifying->vfs, verifying->directory, &verifying->small, window);
        struct tsdb_section_file *sections = NULL;
        verifying->loss = (struct quarry_tsdb_loss){
            .kind = QUARRY_TSDB_LOSS_WINDOW, .from_ms = INT64_MIN, .to_ms = INT64_MAX};
        (void)snprintf(verifying->loss.file, sizeof verifying->loss.file, "window-%" PRId64 ".qtw",
                       window);
        status = tsdb_section_file_open(&place, &sections, error);
        if (status == QUARRY_OK) {
            status = sections_verify(verifying, sections, error);
        } else if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED) {
            tell(verifying, 0, 0);
            status = QUARRY_OK;
        }
        if (status != QUARRY_OK || window == INT64_MIN) {
            return status;
        }
        window--;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status snapshot_verify(struct verifying *verifying, struct quarry_error *error)
{
    const struct tsdb_snapshot_options options = {
        .vfs = verifying->vfs, .directory = verifying->directory, .memory = &verifying->small};
    struct tsdb_section_file *sections = NULL;
    uint64_t generation = 0;
    enum quarry_status status =
        tsdb_snapshot_open(&options, UINT64_MAX, &sections, &generation, error);

    verifying->loss = (struct quarry_tsdb_loss){
        .kind = QUARRY_TSDB_LOSS_SNAPSHOT, .from_ms = INT64_MAX, .to_ms = INT64_MIN};
    (void)snprintf(verifying->loss.file, sizeof verifying->loss.file, "snapshot-%06" PRIu64 ".qts",
                   generation);
    if (status == QUARRY_OK) {
        return sections_verify(verifying, sections, error);
    }
    if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED) {
        tell(verifying, 0, 0);
        return QUARRY_OK;
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* ---- the log -------------------------------------------------------------------------------- */

static enum quarry_status log_series(void *argument, const struct tsdb_log_series *series,
                                     uint32_t *ret_handle)
{
    (void)argument;
    *ret_handle = series->id;
    return QUARRY_OK;
}

static enum quarry_status log_samples(void *argument, const struct tsdb_log_sample *samples,
                                      size_t count)
{
    (void)argument;
    (void)samples;
    (void)count;
    return QUARRY_OK;
}

static enum quarry_status log_histogram(void *argument, const struct tsdb_log_histogram *histogram)
{
    (void)argument;
    (void)histogram;
    return QUARRY_OK;
}

static enum quarry_status log_exemplar(void *argument, const struct tsdb_log_exemplar *exemplar)
{
    (void)argument;
    (void)exemplar;
    return QUARRY_OK;
}

static void log_lost(void *argument, const struct tsdb_log_loss *lost)
{
    struct verifying *verifying = argument;

    verifying->loss = (struct quarry_tsdb_loss){.kind = QUARRY_TSDB_LOSS_LOG,
                                                .from_ms = lost->t_from_ms,
                                                .to_ms = lost->t_to_ms,
                                                .sample_count = lost->sample_count};
    (void)snprintf(verifying->loss.file, sizeof verifying->loss.file,
                   "window-%" PRId64 "-%06" PRIu64 ".log", lost->window, lost->sequence);
    tell(verifying, lost->offset, lost->byte_count);
}

static enum quarry_status log_verify(struct verifying *verifying, struct quarry_error *error)
{
    const struct tsdb_log_options options = {
        .vfs = verifying->vfs, .directory = verifying->directory, .memory = &verifying->small};
    const struct tsdb_log_visitor visitor = {.argument = verifying,
                                             .series = log_series,
                                             .samples = log_samples,
                                             .histogram = log_histogram,
                                             .exemplar = log_exemplar,
                                             .lost = log_lost};
    struct tsdb_log_replayed replayed;
    struct tsdb_log *log = NULL;
    int64_t window = INT64_MIN;
    enum quarry_status status = tsdb_log_open(&options, &log, error);

    while (status == QUARRY_OK && tsdb_log_next_window(log, window, &window)) {
        status = tsdb_log_replay(log, window, &visitor, &replayed, error);
        if (window == INT64_MAX) {
            break;
        }
        window++;
    }
    tsdb_log_close(log);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum quarry_status verify(struct verifying *verifying, struct quarry_error *error)
{
    enum quarry_status status = windows_verify(verifying, error);

    if (status == QUARRY_OK) {
        status = snapshot_verify(verifying, error);
    }
    if (status == QUARRY_OK) {
        status = log_verify(verifying, error);
    }
    if (status == QUARRY_OK && verifying->loss_count != 0) {
        status = error_set(error, QUARRY_CORRUPT, "'%.150s': %" PRIu64 " stretches are damaged",
                           verifying->directory, verifying->loss_count);
    }
    return status;
}

enum quarry_status quarry_tsdb_verify_directory(const struct quarry_tsdb_options *options,
                                                struct quarry_error *error)
{
    struct verifying verifying = {
        .vfs = options->vfs == NULL ? quarry_vfs_posix() : options->vfs,
        .directory = options->directory,
        .lost = options->lost,
        .lost_argument = options->lost_argument,
    };
    const struct quarry_account_options account = {.name = "tsdb-verify",
                                                   .parent = options->parent};
    struct quarry_lifetime *lifetime = NULL;

    if (options->memory == NULL || options->directory == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "a memory is wanted, and a directory");
    }
    enum quarry_status status =
        quarry_account_create(options->memory, &account, &verifying.small.account, error);
    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(options->memory, "tsdb-verify", &lifetime, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(lifetime, quarry_account_owner(verifying.small.account),
                                    &verifying.small.pool);
        status = status == QUARRY_OK ? verify(&verifying, error)
                                     : error_set(error, status, "no pool of memory");
    }
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(verifying.small.account);
    return status;
}
