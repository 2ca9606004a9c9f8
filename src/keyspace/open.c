/*
 * Opening a keyspace: a store whose keys and values are ours, with a filter for what has expired.
 *
 *     store    | tenant │ database │ key  ->  head │ value |  …  | 0xffff │ 0 │ "format" -> line |
 *
 * A store without a key becomes a keyspace by its format line, the first thing that is written. One
 * that has keys and no line is something else's, and is left as it is: every key of it would read
 * as another one's, and the filter could drop what looks expired.
 *
 * So the filter drops nothing until the line was read: recovery, which runs before, may flush.
 *
 * Memory: a lifetime and an account of the keyspace's own, beside those of its store; 72 KiB, of
 * which stripes are 32.
 *
 * Locking: none; nobody else knows the keyspace when it is opened and closed.
 */
#include <keyspace/types.h>

#include <stdio.h>

#define STRIPES_DEFAULT 4096u
#define STRIPES_MAX     65536u
#define CURSORS_DEFAULT 4096u
#define NS_PER_MS       UINT64_C(1000000)

static const struct keyspace_scope format_scope = {KEYSPACE_META_TENANT, KEYSPACE_META_FORMAT};
static const struct quarry_kv_slice format_key = {"format", 6};

/* ---- time, and the filter ------------------------------------------------------------------- */

uint64_t keyspace_now_ms(const struct keyspace *keyspace)
{
    const struct keyspace_options *options = &keyspace->options;

    return options->now_ms != NULL ? options->now_ms(options->argument)
                                   : os_wall_ns(keyspace->os) / NS_PER_MS;
}

/* Drops what has expired. What makes no sense stays, for a reader to find. */
static bool drops(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice stored)
{
    struct keyspace *keyspace = argument;
    struct keyspace_value value;

    if (!atomic_load_acquire_bool(&keyspace->is_ours) || key.byte_count < KEYSPACE_PREFIX_BYTES ||
        endian_load_be_u16(key.bytes) == KEYSPACE_META_TENANT ||
        !keyspace_value_decode(stored, &value) || value.expires_ms == 0 ||
        value.expires_ms > keyspace_now_ms(keyspace)) {
        return false;
    }
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&keyspace->expired_dropped_count, 1);
    return true;
}

/* ---- what the store is ---------------------------------------------------------------------- */

/* Whether the store has a key. */
static enum quarry_status look_for_keys(struct keyspace *keyspace, bool *ret_has,
                                        struct quarry_error *error)
{
    struct quarry_kv_iterator *iterator;
    enum quarry_status status = quarry_kv_iterate(keyspace->kv, NULL, &iterator, error);

    if (status != QUARRY_OK) {
        return status;
    }
    *ret_has = quarry_kv_iterator_first(iterator);
    status = quarry_kv_iterator_status(iterator, error);
    quarry_kv_iterator_destroy(iterator);
    return status;
}

/* The store has no format line: it becomes ours if it is empty. */
static enum quarry_status make_ours(struct keyspace *keyspace, const char *path, bool is_read_only,
                                    struct quarry_error *error)
{
    static const char value[] = "\0" KEYSPACE_FORMAT_LINE;
    struct keyspace_room room;
    bool has = false;
    enum quarry_status status = look_for_keys(keyspace, &has, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (has) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "store '%s' has keys, but they are not a keyspace's: it has no format "
                         "line; 'quarry kv scan' shows what is in it, and another data directory "
                         "gets a keyspace of its own",
                         path);
    }
    if (is_read_only) {
        return QUARRY_OK;
    }
    status = keyspace_room_key(keyspace, &format_scope, format_key, &room, error);
    if (status == QUARRY_OK) {
        status = quarry_kv_put(keyspace->kv, NULL, room.key.bytes, room.key.byte_count, value,
                               sizeof(value) - 1, error);
        keyspace_room_end(keyspace, &room);
    }
    return status;
}

static enum quarry_status check_line(const struct keyspace_value *value, const char *path,
                                     struct quarry_error *error)
{
    static const struct quarry_kv_slice wanted = {KEYSPACE_FORMAT_LINE,
                                                  sizeof(KEYSPACE_FORMAT_LINE) - 1};

    if (keyspace_is_same((struct quarry_kv_slice){value->bytes, value->byte_count}, wanted)) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_UNSUPPORTED,
                     "store '%s': a keyspace of another format: '%.*s', and this is for '%.*s'",
                     path, (int)size_min(value->byte_count, 40), (const char *)value->bytes,
                     (int)wanted.byte_count - 1, (const char *)wanted.bytes);
}

static enum quarry_status check_format(struct keyspace *keyspace, const char *path,
                                       bool is_read_only, struct quarry_error *error)
{
    struct keyspace_value value;
    enum quarry_status status =
        keyspace_read(keyspace, &format_scope, format_key, false, &value, error);

    if (status == QUARRY_NOT_FOUND) {
        status = make_ours(keyspace, path, is_read_only, error);
    } else if (status == QUARRY_OK) {
        status = check_line(&value, path, error);
        keyspace_value_release(&value);
    }
    if (status == QUARRY_OK) {
        atomic_store_release_bool(&keyspace->is_ours, true); /* pairs with the acquire in drops */
        status = keyspace_tenants_load(keyspace, error);
    }
    return status;
}

/* ---- making one ----------------------------------------------------------------------------- */

static enum quarry_status check_options(const struct quarry_kv_options *kv_options,
                                        const struct keyspace_options *options,
                                        struct quarry_error *error)
{
    if (kv_options->comparator != NULL || kv_options->compaction_filter != NULL) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "a keyspace's store has the order of memcmp, and the keyspace's filter");
    }
    if (!bits_is_power_of_two_u32(options->stripe_count) || options->stripe_count < 64 ||
        options->stripe_count > STRIPES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "%u stripes: a power of two, 64 to %u",
                         options->stripe_count, STRIPES_MAX);
    }
    return QUARRY_OK;
}

/* What all of it is taken from; ended in any case. `options`: of the store. */
static enum quarry_status begin_memory(struct quarry_memory *memory,
                                       const struct quarry_kv_options *options,
                                       struct keyspace_memory *small, struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];
    int bytes =
        snprintf(name, sizeof(name), "%s-keys", options->name == NULL ? "kv" : options->name);
    const struct quarry_account_options account = {.name = name, .parent = options->parent};

    if (bytes < 0 || (size_t)bytes >= sizeof(name)) {
        return error_set(error, QUARRY_BAD_INPUT, "the store's name is too long");
    }
    enum quarry_status status = quarry_account_create(memory, &account, &small->account, error);
    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory, name, &small->lifetime, error);
    }
    if (status == QUARRY_OK) {
        status =
            quarry_pool_create(small->lifetime, quarry_account_owner(small->account), &small->pool);
    }
    return status;
}

static void end_memory(const struct keyspace_memory *small)
{
    quarry_lifetime_end(small->lifetime);
    quarry_account_destroy(small->account);
}

static void init(struct keyspace *keyspace, struct quarry_memory *memory,
                 const struct keyspace_memory *small, const struct keyspace_options *options)
{
    keyspace->memory = memory;
    keyspace->small = *small;
    keyspace->os = os_real();
    keyspace->options = *options;
    keyspace->stripe_mask = options->stripe_count - 1;
    keyspace->filter = (struct quarry_kv_compaction_filter){
        .name = "quarry.keyspace.expired", .argument = keyspace, .drops = drops};
    os_mutex_init(&keyspace->watch_mutex, OS_RANK_LEAF, 1);
    os_mutex_init(&keyspace->names_mutex, OS_RANK_LEAF, 2);
    os_mutex_init(&keyspace->cursors_mutex, OS_RANK_LEAF, 3);
    os_mutex_init(&keyspace->counted_mutex, OS_RANK_LEAF, 4);
    keyspace_cursors_begin(keyspace);
}

/* Returns: own; NULL: there is no memory. */
static struct keyspace *create(struct quarry_memory *memory, const struct keyspace_memory *small,
                               const struct keyspace_options *options)
{
    struct keyspace *keyspace = keyspace_memory_take(small, sizeof(*keyspace));
    size_t stripes_bytes = options->stripe_count * sizeof(struct keyspace_stripe);
    struct keyspace_stripe *stripes =
        keyspace == NULL ? NULL : keyspace_memory_take(small, stripes_bytes);

    if (stripes == NULL) {
        keyspace_memory_give(small, keyspace);
        return NULL;
    }
    memset(keyspace, 0, sizeof(*keyspace));
    memset(stripes, 0, stripes_bytes);
    keyspace->stripes = stripes;
    init(keyspace, memory, small, options);
    return keyspace;
}

static void destroy(struct keyspace *keyspace)
{
    const struct keyspace_memory small = keyspace->small;

    keyspace_cursors_end(keyspace);
    keyspace_tenants_end(keyspace);
    keyspace_give(keyspace, keyspace->stripes);
    keyspace_give(keyspace, keyspace);
    end_memory(&small);
}

/* Opens the store, and sees what it is. */
static enum quarry_status open_store(struct keyspace *keyspace, const char *path,
                                     const struct quarry_kv_options *kv_options,
                                     struct quarry_error *error)
{
    struct quarry_kv_options own = *kv_options;

    own.compaction_filter = &keyspace->filter;
    enum quarry_status status = quarry_kv_open(keyspace->memory, path, &own, &keyspace->kv, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = check_format(keyspace, path, own.read_only, error);
    if (status != QUARRY_OK) {
        (void)quarry_kv_close(keyspace->kv, NULL);
    }
    return status;
}

enum quarry_status keyspace_open(struct quarry_memory *memory, const char *path,
                                 const struct quarry_kv_options *kv_options,
                                 const struct keyspace_options *options,
                                 struct keyspace **ret_keyspace, struct quarry_error *error)
{
    struct keyspace_options own = {0};
    struct keyspace_memory small = {0};
    struct keyspace *keyspace = NULL;

    if (options != NULL) {
        own = *options;
    }
    own.stripe_count = own.stripe_count == 0 ? STRIPES_DEFAULT : own.stripe_count;
    own.cursors_max = own.cursors_max == 0 ? CURSORS_DEFAULT : own.cursors_max;
    enum quarry_status status = check_options(kv_options, &own, error);
    if (status == QUARRY_OK) {
        status = begin_memory(memory, kv_options, &small, error);
    }
    if (status == QUARRY_OK) {
        keyspace = create(memory, &small, &own);
        status = keyspace != NULL ? QUARRY_OK
                                  : error_set(error, QUARRY_NO_MEMORY, "no memory for a keyspace");
    }
    if (status != QUARRY_OK) {
        end_memory(&small);
        return status;
    }
    status = open_store(keyspace, path, kv_options, error);
    if (status != QUARRY_OK) {
        destroy(keyspace);
        return status;
    }
    *ret_keyspace = keyspace;
    return QUARRY_OK;
}

enum quarry_status keyspace_close(struct keyspace *keyspace, struct quarry_error *error)
{
    /* Relaxed: nobody else is in it. */
    Q_ASSERT(atomic_load_relaxed_u32(&keyspace->watch_count) == 0);
    keyspace_batches_end(keyspace);
    enum quarry_status status = quarry_kv_close(keyspace->kv, error);
    if (status != QUARRY_BUSY) {
        destroy(keyspace);
    }
    return status;
}

/* ---- what it is like ------------------------------------------------------------------------ */

struct quarry_kv *keyspace_kv(struct keyspace *keyspace)
{
    return keyspace->kv;
}

void keyspace_read_figures(struct keyspace *keyspace, struct keyspace_figures *ret_figures)
{
    /* Relaxed, all of them: figures. */
    ret_figures->expired_seen_count = atomic_load_relaxed_u64(&keyspace->expired_seen_count);
    ret_figures->expired_dropped_count = atomic_load_relaxed_u64(&keyspace->expired_dropped_count);
    ret_figures->busy_count = atomic_load_relaxed_u64(&keyspace->busy_count);
    ret_figures->watch_count = atomic_load_relaxed_u32(&keyspace->watch_count);
    os_mutex_lock(&keyspace->cursors_mutex);
    ret_figures->cursor_count = keyspace->cursor_count;
    os_mutex_unlock(&keyspace->cursors_mutex);
}
