/*
 * Opening and closing a store: what it is made of, in the order in which it is made.
 *
 *     account ── meta, registry, open, sealed, query      who holds what
 *     lifetime ── a pool for each of meta, registry, query     small objects
 *     the store itself, its limits, its first view
 *     epoch, registry
 *     directory (durable.c), thread
 *
 * A store that could not be opened is taken apart as one that is closed: by what is there.
 */
#include <tsdb/store.h>

#include <stdio.h>
#include <string.h>

#include <tsdb/background.h>
#include <tsdb/durable.h>
#include <tsdb/exemplars.h>
#include <tsdb/offer.h>
#include <tsdb/turn.h>

#define NAME_DEFAULT   "tsdb"
#define NAME_BYTES_MAX 12u

#define WINDOW_MS_DEFAULT     INT64_C(14400000)
#define WINDOW_MS_MIN         INT64_C(1000)
#define WINDOW_MS_MAX         INT64_C(2678400000)
#define WINDOW_COUNT_DEFAULT  8u
#define LATE_MS_DEFAULT       INT64_C(600000)
#define IN_ORDER_MS_DEFAULT   INT64_C(3600000)
#define FUTURE_MS_DEFAULT     INT64_C(600000)
#define SNAPSHOT_MS_DEFAULT   INT64_C(300000)
#define FILL_QUIET_MS_DEFAULT INT64_C(5000)
/* What a client waits for an answer without giving up, and a disk needs for a window of ten million
 * samples. */
#define PURGE_WAIT_MS_DEFAULT INT64_C(10000)
/* Of the store's memory, for queries. */
#define QUERY_PART 4u

static const char *const part_names[TSDB_PARTS] = {
    [TSDB_PART_META] = "meta",     [TSDB_PART_REGISTRY] = "registry", [TSDB_PART_OPEN] = "open",
    [TSDB_PART_SEALED] = "sealed", [TSDB_PART_QUERY] = "query",
};

/* ---- options -------------------------------------------------------------------------------- */

static int64_t real_wall_ms(void *argument)
{
    (void)argument;
    return (int64_t)(os_wall_ns(os_real()) / 1000000);
}

int64_t tsdb_wall_ms(struct quarry_tsdb *tsdb)
{
    return tsdb->options.wall_ms(tsdb->options.wall_argument);
}

static int64_t or_default(int64_t value, int64_t standard)
{
    return value != 0 ? value : standard;
}

/* Puts defaults in. */
static struct quarry_tsdb_options options_whole(const struct quarry_tsdb_options *options)
{
    struct quarry_tsdb_options whole = *options;

    whole.name = options->name == NULL ? NAME_DEFAULT : options->name;
    whole.window_ms = or_default(options->window_ms, WINDOW_MS_DEFAULT);
    whole.window_count = options->window_count == 0 ? WINDOW_COUNT_DEFAULT : options->window_count;
    whole.out_of_order_ms = or_default(options->out_of_order_ms, LATE_MS_DEFAULT);
    whole.in_order_ms =
        or_default(options->in_order_ms,
                   whole.window_ms < IN_ORDER_MS_DEFAULT ? whole.window_ms : IN_ORDER_MS_DEFAULT);
    whole.future_ms = or_default(options->future_ms, FUTURE_MS_DEFAULT);
    if (options->query_bytes == 0) {
        whole.query_bytes = options->memory_bytes / QUERY_PART;
    }
    whole.fill_quiet_ms =
        options->fill_quiet_ms < 0 ? 0 : or_default(options->fill_quiet_ms, FILL_QUIET_MS_DEFAULT);
    whole.snapshot_ms = or_default(options->snapshot_ms, SNAPSHOT_MS_DEFAULT);
    whole.purge_wait_ms =
        options->purge_wait_ms < 0 ? 0 : or_default(options->purge_wait_ms, PURGE_WAIT_MS_DEFAULT);
    if (options->vfs == NULL) {
        whole.vfs = quarry_vfs_posix();
    }
    if (options->durability == QUARRY_TSDB_DURABILITY_DEFAULT) {
        whole.durability = QUARRY_TSDB_DURABILITY_PROCESS;
    }
    if (options->wall_ms == NULL) {
        whole.wall_ms = real_wall_ms;
        whole.wall_argument = NULL;
    }
    return whole;
}

static enum quarry_status options_check(const struct quarry_tsdb_options *options,
                                        struct quarry_error *error)
{
    size_t name_bytes = strlen(options->name);

    if (options->memory == NULL || name_bytes == 0 || name_bytes > NAME_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "tsdb: a memory is wanted, and a name of 1 to %u bytes", NAME_BYTES_MAX);
    }
    if (options->window_ms < WINDOW_MS_MIN || options->window_ms > WINDOW_MS_MAX ||
        options->window_count > QUARRY_TSDB_WINDOWS_MAX) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "%s: windows of 1 s to 31 days are possible, and up to %u of them",
                         options->name, QUARRY_TSDB_WINDOWS_MAX);
    }
    if (options->durability < QUARRY_TSDB_DURABILITY_DEFAULT ||
        options->durability > QUARRY_TSDB_DURABILITY_POWER) {
        return error_set(error, QUARRY_BAD_INPUT, "%s: there is no durability %d", options->name,
                         (int)options->durability);
    }
    /* At most 24 windows of 31 days: no overflow. */
    int64_t kept_ms = options->window_ms * (int64_t)options->window_count;
    if (options->in_order_ms < 0 || options->in_order_ms > options->window_ms ||
        options->out_of_order_ms > kept_ms || options->future_ms < 0) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "%s: samples can be late by what is kept, %lld ms, at the most",
                         options->name, (long long)kept_ms);
    }
    return QUARRY_OK;
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Where the store itself is put, and then in it. */
struct ground {
    struct quarry_account *account, *part[TSDB_PARTS];
    struct quarry_lifetime *lifetime;
    struct tsdb_memory small[TSDB_PARTS];
};

static void ground_fini(struct ground *ground)
{
    quarry_lifetime_end(ground->lifetime);
    for (size_t i = 0; i < TSDB_PARTS; i++) {
        quarry_account_destroy(ground->part[i]);
    }
    quarry_account_destroy(ground->account);
}

static enum quarry_status accounts_make(struct ground *ground,
                                        const struct quarry_tsdb_options *options,
                                        struct quarry_error *error)
{
    struct quarry_account_options account = {.name = options->name,
                                             .parent = options->parent,
                                             .floor_bytes = options->floor_bytes,
                                             .ceiling_bytes = options->memory_bytes};
    enum quarry_status status =
        quarry_account_create(options->memory, &account, &ground->account, error);

    for (size_t i = 0; i < TSDB_PARTS && status == QUARRY_OK; i++) {
        account = (struct quarry_account_options){
            .name = part_names[i],
            .parent = ground->account,
            .ceiling_bytes = i == TSDB_PART_QUERY ? options->query_bytes : 0,
        };
        status = quarry_account_create(options->memory, &account, &ground->part[i], error);
    }
    return status;
}

static bool part_has_objects(size_t part)
{
    return part != TSDB_PART_OPEN && part != TSDB_PART_SEALED;
}

static enum quarry_status pools_make(struct ground *ground,
                                     const struct quarry_tsdb_options *options,
                                     struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];

    (void)snprintf(name, sizeof name, "%.*s-objects", (int)NAME_BYTES_MAX, options->name);
    enum quarry_status status =
        quarry_lifetime_begin(options->memory, name, &ground->lifetime, error);
    for (size_t i = 0; i < TSDB_PARTS && status == QUARRY_OK; i++) {
        ground->small[i].account = ground->part[i];
        if (part_has_objects(i)) {
            status = quarry_pool_create(ground->lifetime, quarry_account_owner(ground->part[i]),
                                        &ground->small[i].pool);
        }
        if (status != QUARRY_OK) {
            (void)error_set(error, status, "%s: no pool of memory", options->name);
        }
    }
    return status;
}

static enum quarry_status ground_make(struct ground *ground,
                                      const struct quarry_tsdb_options *options,
                                      struct quarry_error *error)
{
    *ground = (struct ground){.account = NULL};
    enum quarry_status status = accounts_make(ground, options, error);
    if (status == QUARRY_OK) {
        status = pools_make(ground, options, error);
    }
    if (status != QUARRY_OK) {
        ground_fini(ground);
    }
    return status;
}

/* ---- the store ------------------------------------------------------------------------------ */

static void locks_init(struct quarry_tsdb *tsdb)
{
    os_mutex_init(&tsdb->turn_mutex, OS_RANK_TSDB_TURN, 2);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        os_mutex_init(&tsdb->shard_lock[i].mutex, OS_RANK_TSDB_SHARD, i + 1);
    }
}

static void fill_in(struct quarry_tsdb *tsdb, const struct ground *ground,
                    const struct quarry_tsdb_options *options)
{
    int64_t late_ms = options->out_of_order_ms;

    tsdb->options = *options;
    (void)snprintf(tsdb->name, sizeof tsdb->name, "%s", options->name);
    tsdb->options.name = tsdb->name;
    tsdb->memory = options->memory;
    tsdb->account = ground->account;
    memcpy(tsdb->part, ground->part, sizeof tsdb->part);
    memcpy(tsdb->small, ground->small, sizeof tsdb->small);
    tsdb->lifetime = ground->lifetime;
    tsdb->grace_ms = late_ms > options->in_order_ms ? late_ms : options->in_order_ms;
    /* What is later fills windows that are sealed by then. */
    tsdb->grace_ms = tsdb->grace_ms > options->window_ms ? options->window_ms : tsdb->grace_ms;
    tsdb->window_options = (struct tsdb_window_options){
        .memory = options->memory,
        .small = &tsdb->small[TSDB_PART_META],
        .open_account = tsdb->part[TSDB_PART_OPEN],
        .sealed_account = tsdb->part[TSDB_PART_SEALED],
        .name = tsdb->name,
        .window_ms = options->window_ms,
    };
    atomic_store_relaxed_i64(&tsdb->time_ms, TSDB_TIME_NONE);
    atomic_store_relaxed_i64(&tsdb->due_ms, INT64_MAX);
    tsdb_limits_init(&tsdb->limits, &tsdb->small[TSDB_PART_META], &options->limits);
    tsdb_metrics_init(tsdb);
    tsdb_tombstones_init(tsdb);
    tsdb_sealing_init(&tsdb->sealing, &tsdb->small[TSDB_PART_QUERY]);
    locks_init(tsdb);
}

/* The one that offers windows first: the other one finds it, or not, once and for all. */
static enum quarry_status threads_start(struct quarry_tsdb *tsdb, struct quarry_error *error)
{
    static const struct tsdb_background_work turns = {"quarry-tsdb", quarry_tsdb_turn,
                                                      tsdb_turn_wait_ns};
    static const struct tsdb_background_work offers = {"quarry-purge", tsdb_offer_turn,
                                                       tsdb_offer_wait_ns};
    enum quarry_status status = QUARRY_OK;

    if (tsdb->options.before_purge != NULL) {
        status = tsdb_background_start(tsdb, &offers, &tsdb->offering);
    }
    if (status == QUARRY_OK) {
        status = tsdb_background_start(tsdb, &turns, &tsdb->background);
    }
    return status == QUARRY_OK ? status : error_set(error, status, "%s: no thread", tsdb->name);
}

static enum quarry_status parts_make(struct quarry_tsdb *tsdb,
                                     const struct quarry_tsdb_options *options,
                                     struct quarry_error *error)
{
    enum quarry_status status = tsdb_views_init(&tsdb->views, &tsdb->small[TSDB_PART_META]);

    if (status == QUARRY_OK) {
        status = quarry_epoch_create(tsdb->memory, &tsdb->epoch);
    }
    if (status == QUARRY_OK) {
        const struct tsdb_registry_options registry = {.memory = tsdb->small[TSDB_PART_REGISTRY],
                                                       .epoch = tsdb->epoch};
        status = tsdb_registry_create(&registry, &tsdb->registry);
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "%s: %s", tsdb->name, quarry_status_text(status));
    }
    if (options->directory != NULL) {
        status = tsdb_durable_open(tsdb, &tsdb->durable, error);
    }
    if (status == QUARRY_OK && !tsdb->options.has_no_thread) {
        status = threads_start(tsdb, error);
    }
    return status;
}

/* Takes it apart, as far as it was made. */
static void store_end(struct quarry_tsdb *tsdb)
{
    tsdb_background_stop(tsdb->offering);
    tsdb_background_stop(tsdb->background);
    tsdb_durable_close(tsdb->durable);
    tsdb_sealing_fini(&tsdb->sealing, &tsdb->views);
    tsdb_views_fini(&tsdb->views);
    tsdb_registry_destroy(tsdb->registry);
    quarry_epoch_destroy(tsdb->epoch);
    tsdb_exemplars_fini(tsdb);
    tsdb_metrics_fini(tsdb);
    tsdb_tombstones_fini(tsdb);
    tsdb_limits_fini(&tsdb->limits);
    struct ground ground = {.account = tsdb->account, .lifetime = tsdb->lifetime};
    memcpy(ground.part, tsdb->part, sizeof ground.part);
    memcpy(ground.small, tsdb->small, sizeof ground.small);
    tsdb_memory_give(&ground.small[TSDB_PART_META], tsdb);
    ground_fini(&ground);
}

enum quarry_status quarry_tsdb_open(const struct quarry_tsdb_options *options,
                                    struct quarry_tsdb **ret_tsdb, struct quarry_error *error)
{
    struct quarry_tsdb_options whole = options_whole(options);
    struct ground ground;
    enum quarry_status status = options_check(&whole, error);

    if (status == QUARRY_OK) {
        status = ground_make(&ground, &whole, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    struct quarry_tsdb *tsdb =
        tsdb_memory_take_aligned(&ground.small[TSDB_PART_META], sizeof(*tsdb), Q_CACHE_LINE_BYTES);
    if (tsdb == NULL) {
        ground_fini(&ground);
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for the store", whole.name);
    }
    fill_in(tsdb, &ground, &whole);
    status = parts_make(tsdb, &whole, error);
    tsdb->options.directory = NULL; /* it was borrowed */
    if (status != QUARRY_OK) {
        store_end(tsdb);
        return status;
    }
    *ret_tsdb = tsdb;
    return QUARRY_OK;
}

enum quarry_status quarry_tsdb_close(struct quarry_tsdb *tsdb)
{
    enum quarry_status status = QUARRY_OK;

    if (tsdb == NULL) {
        return QUARRY_OK;
    }
    tsdb_background_stop(tsdb->offering);
    tsdb_background_stop(tsdb->background);
    tsdb->offering = tsdb->background = NULL; /* nobody looks any more */
    if (tsdb->durable != NULL) {
        status = tsdb_durable_finish(tsdb->durable);
    }
    store_end(tsdb);
    return status;
}

enum quarry_status quarry_tsdb_set_limits(struct quarry_tsdb *tsdb, uint16_t tenant,
                                          const struct quarry_tsdb_limits *limits)
{
    return tsdb_limits_set(&tsdb->limits, tenant, limits);
}
