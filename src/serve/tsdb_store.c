/*
 * Opening the time-series store: by which options, and what is logged of it.
 *
 *     tsdb.memory   a ceiling; auto: a third of the limit. The key-value store has a half, so that
 *                   a sixth is left for connections and requests. What neither uses is the cache's,
 *                   which gives way through the budget
 *
 * Beside the store's own accounts there is `prometheus`: bodies of requests, and what is known of
 * metric families. It has no ceiling: as many requests are worked on at a time as the door has
 * threads, and each is bounded. And `queries`, which has one: three quarters of what queries may
 * have; a quarter is the store's, for sets of series.
 *
 * Tenants are numbers to the store; `tenants` keeps which.
 *
 * Locking: none; the main thread's.
 */
#include <serve/tsdb_store.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#include <promql/promql.h>

#include <serve/api/running.h>
#include <serve/log.h>

/* Of the limit, for tsdb.memory = auto. */
#define MEMORY_PART 3u
/* Families of all tenants, the bytes of their texts, and of one: Prometheus has some thousands, and
 * a help of some hundred bytes. Twice as many cost twice as much. */
#define FAMILIES_MAX      65536u
#define FAMILY_BYTES_MAX  Q_MIB(8)
#define FAMILY_TEXT_BYTES Q_KIB(8)

#define ACCOUNT_NAME "prometheus"
#define QUERIES_NAME "queries"
/* Of tsdb.memory, for tsdb.query_memory = auto; and of that, for sets of series, which the store
 * makes: a series costs some 20 bytes there, and its labels and values ten times that here. */
#define QUERY_PART      4u
#define SETS_PART       4u
#define QUERY_BYTES_MIN Q_MIB(1)
/* With less, threads' stacks would take much of it. */
#define CREW_BYTES_MIN Q_MIB(16)

/* ---- files --------------------------------------------------------------------------------- */

static void tell_loss(void *argument, const struct quarry_tsdb_loss *loss)
{
    static const char *const kinds[] = {
        [QUARRY_TSDB_LOSS_LOG] = "log",
        [QUARRY_TSDB_LOSS_WINDOW] = "window",
        [QUARRY_TSDB_LOSS_SNAPSHOT] = "snapshot",
        [QUARRY_TSDB_LOSS_MEMORY] = "memory",
        [QUARRY_TSDB_LOSS_DELETIONS] = "the list of what was deleted, kept under this name",
        [QUARRY_TSDB_LOSS_SET_ASIDE] = "a damaged file, kept under this name",
    };

    (void)argument;
    serve_log(SERVE_LOG_WARNING, "a part of the time-series store was not read",
              serve_log_text("what", kinds[loss->kind]), serve_log_text("file", loss->file),
              serve_log_count("offset", loss->offset), serve_log_count("bytes", loss->byte_count),
              serve_log_count("samples", loss->sample_count),
              serve_log_count("series", loss->series_count));
}

static enum quarry_tsdb_durability durability_of(const struct serve_config *config)
{
    static const enum quarry_tsdb_durability kinds[] = {
        [SERVE_DURABLE_NONE] = QUARRY_TSDB_DURABILITY_NONE,
        [SERVE_DURABLE_PROCESS] = QUARRY_TSDB_DURABILITY_PROCESS,
        [SERVE_DURABLE_POWER] = QUARRY_TSDB_DURABILITY_POWER,
    };
    uint64_t place = serve_config_number(config, SERVE_SERVER_DURABILITY);

    Q_ASSERT(place < sizeof kinds / sizeof kinds[0]);
    return kinds[place];
}

/* ---- options -------------------------------------------------------------------------------- */

static int64_t milliseconds(const struct serve_config *config, enum serve_key key)
{
    return (int64_t)(serve_config_number(config, key) / Q_MS_NS);
}

/* 0 is "off" of a setting, and the default of the store, whose word for "off" is below 0. */
static int64_t milliseconds_or_none(const struct serve_config *config, enum serve_key key)
{
    int64_t ms = milliseconds(config, key);

    return ms == 0 ? -1 : ms;
}

static uint64_t or_unbounded(uint64_t count)
{
    return count == 0 ? UINT64_MAX : count;
}

/* What queries have together. */
static uint64_t query_bytes(const struct serve_config *config, uint64_t budget_bytes)
{
    uint64_t memory_bytes = serve_config_number(config, SERVE_TSDB_MEMORY);
    uint64_t bytes = serve_config_number(config, SERVE_TSDB_QUERY_MEMORY);

    memory_bytes = memory_bytes != 0 ? memory_bytes : budget_bytes / MEMORY_PART;
    return bytes != 0 ? bytes : size_max_u64(memory_bytes / QUERY_PART, QUERY_BYTES_MIN);
}

static struct quarry_tsdb_options
make_options(struct quarry_memory *memory, const struct serve_config *config, uint64_t budget_bytes)
{
    uint64_t memory_bytes = serve_config_number(config, SERVE_TSDB_MEMORY);

    return (struct quarry_tsdb_options){
        .memory = memory,
        .memory_bytes = memory_bytes != 0 ? memory_bytes : budget_bytes / MEMORY_PART,
        .floor_bytes = serve_config_number(config, SERVE_TSDB_FLOOR),
        .window_ms = milliseconds(config, SERVE_TSDB_WINDOW),
        .window_count = (uint32_t)serve_config_number(config, SERVE_TSDB_WINDOWS),
        .out_of_order_ms = milliseconds_or_none(config, SERVE_TSDB_OUT_OF_ORDER),
        .future_ms = milliseconds(config, SERVE_TSDB_FUTURE),
        .limits =
            {
                .series_count = or_unbounded(serve_config_number(config, SERVE_TSDB_SERIES_MAX)),
                .samples_per_second =
                    or_unbounded(serve_config_number(config, SERVE_TSDB_SAMPLES_PER_SECOND)),
                .label_count = (uint32_t)serve_config_number(config, SERVE_TSDB_LABELS_MAX),
                .label_name_bytes =
                    (uint32_t)serve_config_number(config, SERVE_TSDB_LABEL_NAME_MAX),
                .label_value_bytes =
                    (uint32_t)serve_config_number(config, SERVE_TSDB_LABEL_VALUE_MAX),
            },
        .query_series_count = serve_config_number(config, SERVE_TSDB_QUERY_SERIES_MAX),
        .query_bytes = query_bytes(config, budget_bytes) / SETS_PART,
        .keeps_oldest = serve_config_number(config, SERVE_TSDB_KEEPS_OLDEST) != 0,
        .durability = durability_of(config),
        .purge_wait_ms = milliseconds_or_none(config, SERVE_TSDB_EXPORT_WAIT),
        .lost = tell_loss,
    };
}

static struct serve_tsdb_limits make_limits(const struct serve_config *config)
{
    return (struct serve_tsdb_limits){
        .labels =
            {
                .label_count_max = (uint32_t)serve_config_number(config, SERVE_TSDB_LABELS_MAX),
                .name_bytes_max = (uint32_t)serve_config_number(config, SERVE_TSDB_LABEL_NAME_MAX),
                .value_bytes_max =
                    (uint32_t)serve_config_number(config, SERVE_TSDB_LABEL_VALUE_MAX),
            },
        .write_bytes_max = serve_config_number(config, SERVE_TSDB_WRITE_MAX),
        .read_samples_max = serve_config_number(config, SERVE_TSDB_READ_SAMPLES_MAX),
        .lookback_ms = milliseconds(config, SERVE_TSDB_LOOKBACK),
        .query_timeout_ms = milliseconds(config, SERVE_TSDB_QUERY_TIMEOUT),
        .query_samples_max = serve_config_number(config, SERVE_TSDB_QUERY_SAMPLES_MAX),
        .query_bytes_max = serve_config_number(config, SERVE_TSDB_QUERY_MEMORY_MAX),
    };
}

/* How many threads help queries. */
static uint32_t crew_count(const struct serve_config *config, uint64_t query_bytes)
{
    uint32_t count = (uint32_t)serve_config_number(config, SERVE_TSDB_QUERY_THREADS);
    struct os_machine machine;

    if (count != 0) {
        return count;
    }
    os_machine_read("", &machine);
    count = machine.cpu_count == 0 ? 0 : machine.cpu_count - 1;
    return query_bytes < CREW_BYTES_MIN ? 0 : count > PROMQL_CREW_MAX ? PROMQL_CREW_MAX : count;
}

/* ---- queries -------------------------------------------------------------------------------- */

/* An account with a ceiling, and threads. Without threads queries are slower, and that is all. */
static enum quarry_status make_queries(struct serve_tsdb *tsdb, struct quarry_memory *memory,
                                       const struct serve_config *config, uint64_t bytes,
                                       struct quarry_error *error)
{
    const uint64_t own_bytes = bytes - bytes / SETS_PART;
    const struct quarry_account_options options = {.name = QUERIES_NAME,
                                                   .ceiling_bytes = own_bytes};
    const uint32_t thread_count = crew_count(config, bytes);
    enum quarry_status status =
        quarry_account_create(memory, &options, &tsdb->queries.account, error);

    if (status == QUARRY_OK) {
        status = quarry_pool_create(tsdb->lifetime, quarry_account_owner(tsdb->queries.account),
                                    &tsdb->queries.pool);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, QUERIES_NAME ": %s", quarry_status_text(status));
    }
    tsdb->limits.query_bytes_max =
        tsdb->limits.query_bytes_max == 0 ? own_bytes / 2 : tsdb->limits.query_bytes_max;
    if (thread_count > 0 && promql_crew_create(tsdb->memory.account, tsdb->memory.pool,
                                               thread_count, &tsdb->crew, error) != QUARRY_OK) {
        serve_log(SERVE_LOG_WARNING, "queries have no threads of their own",
                  serve_log_text("why", error != NULL ? error->text : ""));
    }
    return QUARRY_OK;
}

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status make_memory(struct serve_tsdb *tsdb, struct quarry_memory *memory,
                                      struct quarry_error *error)
{
    const struct quarry_account_options options = {.name = ACCOUNT_NAME};
    enum quarry_status status =
        quarry_account_create(memory, &options, &tsdb->memory.account, error);

    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory, ACCOUNT_NAME, &tsdb->lifetime, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(tsdb->lifetime, quarry_account_owner(tsdb->memory.account),
                                    &tsdb->memory.pool);
        if (status != QUARRY_OK) {
            (void)error_set(error, status, ACCOUNT_NAME ": %s", quarry_status_text(status));
        }
    }
    return status;
}

static enum quarry_status make_metadata(struct serve_tsdb *tsdb, struct quarry_error *error)
{
    struct tsdb_metadata_options options = {
        .account = tsdb->memory.account,
        .pool = tsdb->memory.pool,
        .family_count_max = FAMILIES_MAX,
        .bytes_max = FAMILY_BYTES_MAX,
        .text_bytes_max = FAMILY_TEXT_BYTES,
    };

    if (!os_random(&options.hash_seed, sizeof options.hash_seed)) {
        return error_set(error, QUARRY_IO, "metric families: the machine has no random numbers");
    }
    enum quarry_status status = tsdb_metadata_create(&options, &tsdb->metadata);
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "metric families: %s", quarry_status_text(status));
}

static enum quarry_status make_export(struct serve_tsdb *tsdb, const struct serve_config *config,
                                      struct quarry_tsdb_options *options,
                                      struct quarry_error *error)
{
    const char *path = serve_config_text(config, SERVE_TSDB_EXPORT_ON_PURGE);

    if (path[0] == '\0') {
        return QUARRY_OK;
    }
    enum quarry_status status = serve_tsdb_export_create(&tsdb->memory, path, &tsdb->export, error);
    if (status == QUARRY_OK) {
        options->before_purge = serve_tsdb_export_window;
        options->purge_argument = tsdb->export;
    }
    return status;
}

static enum quarry_status make_running(struct serve_tsdb *tsdb, struct quarry_error *error)
{
    tsdb->running = api_running_create(&tsdb->memory);
    return tsdb->running != NULL
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "no memory for the list of queries");
}

static enum quarry_status open_parts(struct serve_tsdb *tsdb, struct quarry_tsdb_options *options,
                                     const struct serve_config *config, uint64_t budget_bytes,
                                     struct quarry_error *error)
{
    enum quarry_status status = make_memory(tsdb, options->memory, error);

    if (status == QUARRY_OK) {
        status =
            make_queries(tsdb, options->memory, config, query_bytes(config, budget_bytes), error);
    }
    if (status == QUARRY_OK) {
        status = make_metadata(tsdb, error);
    }
    if (status == QUARRY_OK) {
        status = make_export(tsdb, config, options, error);
    }
    if (status == QUARRY_OK) {
        status = make_running(tsdb, error);
    }
    return status == QUARRY_OK ? quarry_tsdb_open(options, &tsdb->tsdb, error) : status;
}

/* Takes apart what there is. */
static void close_parts(struct serve_tsdb *tsdb)
{
    serve_tsdb_export_stop(tsdb->export);
    if (quarry_tsdb_close(tsdb->tsdb) != QUARRY_OK) {
        serve_log(SERVE_LOG_WARNING, "the time-series store could not write all of its files");
    }
    serve_tsdb_export_destroy(tsdb->export);
    api_running_destroy(&tsdb->memory, tsdb->running);
    tsdb_metadata_destroy(tsdb->metadata);
    promql_crew_destroy(tsdb->crew);
    quarry_lifetime_end(tsdb->lifetime);
    quarry_account_destroy(tsdb->queries.account);
    quarry_account_destroy(tsdb->memory.account);
    free(tsdb);
}

static bool is_asked_for(const struct serve_config *config)
{
    return strcmp(serve_config_origin(config, SERVE_TSDB_ENABLED), "default") != 0 ||
           strcmp(serve_config_origin(config, SERVE_TSDB_MEMORY), "default") != 0;
}

/* Without an HTTP door nobody could write to it, or read what the server says of itself. */
static bool is_wanted(const struct serve_config *config)
{
    bool is_said = strcmp(serve_config_origin(config, SERVE_TSDB_ENABLED), "default") != 0;

    return serve_config_number(config, SERVE_TSDB_ENABLED) != 0 &&
           (is_said || serve_config_wants_http(config));
}

enum quarry_status serve_tsdb_open(struct quarry_memory *memory, const struct serve_config *config,
                                   const struct serve_data_dir *data_dir, uint64_t budget_bytes,
                                   struct serve_tsdb **ret_tsdb, struct quarry_error *error)
{
    struct quarry_tsdb_options options = make_options(memory, config, budget_bytes);
    char path[SERVE_PATH_BYTES];

    *ret_tsdb = NULL;
    if (!is_wanted(config)) {
        return QUARRY_OK;
    }
    int length = snprintf(path, sizeof path, "%s/tsdb", data_dir->path);
    if (length < 0 || (size_t)length >= sizeof path) {
        return error_set(error, QUARRY_TOO_LARGE, "server.data: the path has more than %d bytes",
                         SERVE_PATH_BYTES - 1);
    }
    options.directory = data_dir->path[0] == '\0' ? NULL : path; /* a server may have no folder */
    struct serve_tsdb *tsdb = calloc(1, sizeof *tsdb);
    if (tsdb == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the time-series store");
    }
    tsdb->limits = make_limits(config);
    enum quarry_status status = open_parts(tsdb, &options, config, budget_bytes, error);
    if (status == QUARRY_OK) {
        *ret_tsdb = tsdb;
        serve_log(SERVE_LOG_INFO, "the time-series store is open",
                  serve_log_text("path", options.directory == NULL ? "" : path),
                  serve_log_bytes("memory_bytes", options.memory_bytes),
                  serve_log_count("windows", options.window_count),
                  serve_log_seconds("window_seconds", (uint64_t)options.window_ms * Q_MS_NS));
        return QUARRY_OK;
    }
    close_parts(tsdb);
    if (status == QUARRY_NO_MEMORY && !is_asked_for(config)) {
        serve_log(SERVE_LOG_WARNING, "there is no time-series store: the limit is too small for it",
                  serve_log_bytes("limit_bytes", budget_bytes),
                  serve_log_text("why", error != NULL ? error->text : ""));
        return QUARRY_OK;
    }
    return status;
}

/* ---- tenants -------------------------------------------------------------------------------- */

static struct quarry_tsdb_limits tenant_limits(const struct serve_config *config, const char *name)
{
    struct quarry_tsdb_limits limits = {0};
    uint32_t index = 0;

    if (config != NULL && serve_config_group_find(config, SERVE_TENANTS, name, &index)) {
        limits.series_count =
            serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_SERIES);
        limits.samples_per_second =
            serve_config_group_number(config, SERVE_TENANTS, index, SERVE_TENANT_SAMPLES);
    }
    return limits;
}

static void apply_to(struct serve_tsdb *tsdb, struct serve_tenants *tenants, const char *name,
                     const struct quarry_tsdb_limits *limits)
{
    const struct quarry_cache_tenant *tenant = serve_tenants_find(tenants, name);

    if (tenant == NULL) {
        return;
    }
    enum quarry_status status =
        quarry_tsdb_set_limits(tsdb->tsdb, serve_tenants_number(tenants, tenant), limits);
    if (status != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "a tenant's limits of series stay as they were",
                  serve_log_text("tenant", name),
                  serve_log_text("why", quarry_status_text(status)));
    }
}

/* What the store was told is kept by it until it is closed: only changes are told. */
void serve_tsdb_apply(struct serve_tsdb *tsdb, struct serve_tenants *tenants,
                      const struct serve_config *before, const struct serve_config *config)
{
    uint32_t count = serve_config_group_count(config, SERVE_TENANTS);

    for (uint32_t i = 0; tsdb != NULL && i < count; i++) {
        const char *name = serve_config_group_name(config, SERVE_TENANTS, i);
        struct quarry_tsdb_limits old = tenant_limits(before, name);
        struct quarry_tsdb_limits new = tenant_limits(config, name);
        if (memcmp(&old, &new, sizeof old) != 0) {
            apply_to(tsdb, tenants, name, &new);
        }
    }
    if (tsdb != NULL) {
        serve_tsdb_export_tenants(tsdb->export, tenants, config);
    }
}

/* ---- closing -------------------------------------------------------------------------------- */

void serve_tsdb_close(struct serve_tsdb *tsdb)
{
    struct quarry_tsdb_stats stats;

    if (tsdb == NULL) {
        return;
    }
    quarry_tsdb_read_stats(tsdb->tsdb, &stats);
    close_parts(tsdb);
    serve_log(SERVE_LOG_INFO, "the time-series store is closed",
              serve_log_count("series", stats.series_count),
              serve_log_count("samples_taken", stats.taken_count));
}
