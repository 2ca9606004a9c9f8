/*
 * Windows as Prometheus' blocks, before they are purged.
 *
 *     DIR/<ULID>/                the default tenant's
 *     DIR/tenant-NAME/<ULID>/    another one's
 *
 * Blocks are named by what is in them (block_write), so that a window that is offered again, since
 * the server was restarted or half of it failed, adds nothing. A tenant that the configuration has
 * no more still has series: it is told of once, and stays until the server ends. Tenants that no
 * configuration since the start has named are not known by name, and none of theirs is written.
 *
 * The store opens before its tenants are known and may purge while it reads its folder: until they
 * are told, the call waits. It runs in a thread of the store's own, one call at a time.
 *
 * Locking: a mutex over the list of tenants, held for copies of one entry; `state` is what who
 * waits sleeps on.
 */
#include <serve/tsdb_export.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>
#include <quarry/vfs.h>

#include <serve/data_dir.h>
#include <serve/log.h>
#include <tsdb/blocks.h>

/* What sorting of labels takes, in memory: a quarter of what the tool has. Half of it makes twice
 * the runs. */
#define SORT_BYTES Q_MIB(8)

/* A tenant's name, each byte of which may be three. */
#define FOLDER_BYTES (3 * SERVE_TENANT_NAME_BYTES_MAX + 1)

enum state {
    TENANTS_UNKNOWN,
    TENANTS_KNOWN,
    STOPPED,
};

struct tenant {
    uint16_t number;
    char name[SERVE_TENANT_NAME_BYTES_MAX + 1]; /* "": the default one */
};

struct serve_tsdb_export {
    /* const */
    struct tsdb_memory *memory;
    char *path; /* own */

    _Atomic uint32_t state; /* enum state */

    struct os_mutex mutex;
    /* Read with the mutex, changed with it by the thread that reads configurations. */
    struct tenant *tenants; /* own */
    size_t tenant_count;
};

/* What one call has done. */
struct report {
    uint64_t block_count, sample_count;
};

/* ---- folders -------------------------------------------------------------------------------- */

/* Has a folder. Errors: those of the vfs. */
static enum quarry_status have_directory(const char *path, struct quarry_error *error)
{
    struct quarry_vfs *vfs = quarry_vfs_posix();
    bool is_directory = false;
    uint64_t byte_count = 0;

    if (quarry_vfs_stat(vfs, path, &byte_count, &is_directory, NULL) == QUARRY_OK && is_directory) {
        return QUARRY_OK;
    }
    return quarry_vfs_make_directory(vfs, path, error);
}

/* A tenant's name as that of a folder: a slash and a percent sign are told by their numbers. */
static void name_of(const char *name, char folder[FOLDER_BYTES])
{
    size_t at = 0;

    for (; *name != '\0'; name++) {
        if (*name == '/' || *name == '%') {
            at += (size_t)snprintf(folder + at, FOLDER_BYTES - at, "%%%02X", (unsigned)*name);
        } else {
            folder[at++] = *name;
        }
    }
    folder[at] = '\0';
}

/* Where the blocks of a tenant are. */
static enum quarry_status path_of(const struct serve_tsdb_export *export,
                                  const struct tenant *tenant, char path[SERVE_PATH_BYTES],
                                  struct quarry_error *error)
{
    char folder[FOLDER_BYTES];

    name_of(tenant->name, folder);
    const int length = snprintf(path, SERVE_PATH_BYTES, "%s%s%s", export->path,
                                folder[0] == '\0' ? "" : "/tenant-", folder);

    return length > 0 && length < SERVE_PATH_BYTES
               ? QUARRY_OK
               : error_set(error, QUARRY_TOO_LARGE, "tsdb.export_on_purge: the path is too long");
}

enum quarry_status serve_tsdb_export_create(struct tsdb_memory *memory, const char *path,
                                            struct serve_tsdb_export **ret_export,
                                            struct quarry_error *error)
{
    struct serve_tsdb_export *export = calloc(1, sizeof *export);

    if (export != NULL) {
        export->path = strdup(path);
        export->tenants = calloc(1, sizeof *export->tenants); /* the default one */
    }
    if (export == NULL || export->path == NULL || export->tenants == NULL) {
        serve_tsdb_export_destroy(export);
        return error_set(error, QUARRY_NO_MEMORY, "no memory for tsdb.export_on_purge");
    }
    export->memory = memory;
    export->tenant_count = 1;
    os_mutex_init(&export->mutex, OS_RANK_LEAF, 0);
    *ret_export = export;
    return QUARRY_OK;
}

void serve_tsdb_export_destroy(struct serve_tsdb_export *export)
{
    if (export != NULL) {
        free(export->tenants);
        free(export->path);
        free(export);
    }
}

/* ---- tenants -------------------------------------------------------------------------------- */

static void state_set(struct serve_tsdb_export *export, enum state state)
{
    /* Sequentially consistent: pairs with the load of who waits. */
    atomic_store_seq_cst_u32(&export->state, state);
    os_futex_wake(&export->state, UINT32_MAX);
}

/* By the thread that reads configurations: nobody else changes them. */
static bool tenant_is_known(const struct serve_tsdb_export *export, uint16_t number)
{
    for (size_t i = 0; i < export->tenant_count; i++) {
        if (export->tenants[i].number == number) {
            return true;
        }
    }
    return false;
}

/* Adds one that is new, by the same thread. Returns: false: there is no memory. */
static bool tenant_add(struct serve_tsdb_export *export, uint16_t number, const char *name)
{
    const size_t count = export->tenant_count;

    if (tenant_is_known(export, number)) {
        return true;
    }
    struct tenant *more = malloc((count + 1) * sizeof *more), *before = export->tenants;
    if (more == NULL) {
        return false;
    }
    if (count != 0) {
        memcpy(more, before, count * sizeof *more);
    }
    more[count] = (struct tenant){.number = number};
    (void)snprintf(more[count].name, sizeof more->name, "%s", name);
    os_mutex_lock(&export->mutex);
    export->tenants = more;
    export->tenant_count = count + 1;
    os_mutex_unlock(&export->mutex);
    free(before);
    return true;
}

void serve_tsdb_export_tenants(struct serve_tsdb_export *export, struct serve_tenants *tenants,
                               const struct serve_config *config)
{
    const uint32_t count = serve_config_group_count(config, SERVE_TENANTS);

    if (export == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        const char *name = serve_config_group_name(config, SERVE_TENANTS, i);
        const struct quarry_cache_tenant *tenant = serve_tenants_find(tenants, name);
        const uint16_t number = serve_tenants_number(tenants, tenant);
        if (number != 0 && !tenant_add(export, number, name)) {
            serve_log(SERVE_LOG_ERROR, "a tenant's windows will not be exported: no memory",
                      serve_log_text("tenant", name));
        }
    }
    state_set(export, TENANTS_KNOWN);
}

void serve_tsdb_export_stop(struct serve_tsdb_export *export)
{
    if (export != NULL) {
        state_set(export, STOPPED);
    }
}

/* The tenant of an index. Returns: false: there are no more. */
static bool tenant_at(struct serve_tsdb_export *export, size_t index, struct tenant *ret_tenant)
{
    os_mutex_lock(&export->mutex);
    const bool is_there = index < export->tenant_count;
    if (is_there) {
        *ret_tenant = export->tenants[index];
    }
    os_mutex_unlock(&export->mutex);
    return is_there;
}

/* ---- a window ------------------------------------------------------------------------------- */

/* In the form of store_blocks' wrote. */
static void count_block(void *argument, const struct block_meta *meta)
{
    struct report *report = argument;

    report->block_count++;
    report->sample_count += meta->sample_count;
}

static enum quarry_status write_tenant(struct serve_tsdb_export *export,
                                       const struct tenant *tenant,
                                       const struct quarry_tsdb_leaving *leaving,
                                       struct report *report, struct quarry_error *error)
{
    const struct quarry_tsdb_query query = {.tenant = tenant->number,
                                            .min_ms = leaving->start_ms,
                                            .max_ms = leaving->end_ms - 1,
                                            .has_no_limit = true};
    char path[SERVE_PATH_BYTES];
    const struct store_blocks_options options = {
        .tsdb = leaving->tsdb,
        .query = &query,
        .block = {.vfs = quarry_vfs_posix(),
                  .memory = export->memory,
                  .directory = path,
                  .sort_bytes = SORT_BYTES,
                  .is_named_by_content = true},
        .wrote = count_block,
        .argument = report,
    };
    struct store_walk walk = {.progress = NULL};
    enum quarry_status status = path_of(export, tenant, path, error);

    if (status == QUARRY_OK) {
        status = have_directory(path, error);
    }
    return status == QUARRY_OK ? store_blocks_write(&options, &walk, error) : status;
}

/* Returns: false: it is over. */
static bool wait_for_tenants(struct serve_tsdb_export *export)
{
    uint32_t state;

    while ((state = atomic_load_seq_cst_u32(&export->state)) == TENANTS_UNKNOWN) {
        os_futex_wait(&export->state, TENANTS_UNKNOWN, UINT64_C(1000) * Q_MS_NS);
    }
    return state == TENANTS_KNOWN;
}

/* All tenants are tried; the first failure is told. */
enum quarry_status serve_tsdb_export_window(void *argument,
                                            const struct quarry_tsdb_leaving *leaving)
{
    struct serve_tsdb_export *export = argument;
    enum quarry_status status = QUARRY_OK;
    struct quarry_error error = {0};
    struct report report = {0};
    struct tenant tenant;

    if (!wait_for_tenants(export)) {
        return QUARRY_BUSY;
    }
    for (size_t i = 0; tenant_at(export, i, &tenant); i++) {
        const enum quarry_status written =
            write_tenant(export, &tenant, leaving, &report, status == QUARRY_OK ? &error : NULL);
        status = status == QUARRY_OK ? written : status;
    }
    if (status == QUARRY_OK) {
        serve_log(SERVE_LOG_INFO, "a window was exported before it is purged",
                  serve_log_count("start_seconds", (uint64_t)(leaving->start_ms / 1000)),
                  serve_log_count("blocks", report.block_count),
                  serve_log_count("samples", report.sample_count));
    } else {
        serve_log(SERVE_LOG_ERROR, "a window could not be exported",
                  serve_log_count("start_seconds", (uint64_t)(leaving->start_ms / 1000)),
                  serve_log_text("why", error.text));
    }
    return status;
}
