/*
 * A database: opening, closing, keys, snapshots, what it says of itself.
 *
 *     leveldb_t ── struct quarry_kv
 *               ├─ snapshots, iterators: lists of what is out
 *               └─ LOG, a name, what it borrows of the program's functions
 *
 * LevelDB closes a database whatever is out, and what is done with it afterwards is the program's
 * fault; a store of ours stays open, with its lock. So a database knows its iterators and snapshots
 * and ends what is behind them when it is closed. Their shells stay until they are destroyed, and
 * an iterator that is asked afterwards is at no key.
 *
 * `sync` of a write is durability POWER; without it a write is with the kernel (PROCESS), which is
 * what LevelDB's write() gives.
 *
 * A value is copied once, from where it lies to memory of malloc, as the API wants it.
 *
 * Locking: a database's mutex, a leaf, over its two lists. Cost: put and get are the store's, some
 * instructions of arguments, and malloc.
 */
#include <leveldb_api/shim.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Ranges that are asked for at a time. */
#define RANGES_AT_A_TIME 32

/* ---- opening -------------------------------------------------------------------------------- */

static enum quarry_status choose_cache(struct leveldb_t *db,
                                       const struct leveldb_options_t *options,
                                       struct quarry_kv_options *wanted, struct quarry_error *error)
{
    if (options->cache != NULL && options->cache->cache != NULL) {
        wanted->block_cache = options->cache->cache;
        return QUARRY_OK;
    }
    enum quarry_status status = shim_shared_cache_acquire(&wanted->block_cache, error);
    db->uses_shared_cache = status == QUARRY_OK;
    return status;
}

/* The store itself; the directory has been looked at. */
static enum quarry_status open_store(struct leveldb_t *db, const struct leveldb_options_t *options,
                                     struct quarry_error *error)
{
    struct quarry_memory *memory = shim_memory(error);
    struct quarry_kv_options wanted;
    char room[SHIM_NAME_BYTES];

    shim_options_of(options, &db->functions, &wanted);
    if (memory == NULL) {
        return error->status;
    }
    wanted.name = shim_name_text(db->name, room);
    if (db->log != NULL) {
        wanted.listener =
            (struct quarry_kv_listener){.notice = shim_log_notice, .argument = db->log};
    }
    enum quarry_status status = choose_cache(db, options, &wanted, error);
    return status == QUARRY_OK ? quarry_kv_open(memory, db->path, &wanted, &db->kv, error) : status;
}

/* Whatever of it is there, but the store. */
static void dismantle(struct leveldb_t *db)
{
    if (db->uses_shared_cache) {
        shim_shared_cache_release();
    }
    shim_log_close(db->log);
    shim_functions_fini(&db->functions);
    shim_name_give(db->name);
    free(db->path);
    free(db);
}

struct leveldb_t *leveldb_open(const struct leveldb_options_t *options, const char *name,
                               char **errptr)
{
    struct quarry_error error = {0};
    uint32_t place = 0;

    if (name[0] == '\0') {
        shim_fail(errptr, "NotFound", ": %s", strerror(ENOENT));
        return NULL;
    }
    if (shim_name_take(&place, &error) != QUARRY_OK) {
        shim_fail_store(errptr, name, &error);
        return NULL;
    }
    struct leveldb_t *db = shim_alloc(sizeof(*db));
    os_mutex_init(&db->mutex, OS_RANK_LEAF, 0);
    db->name = place;
    db->path = memcpy(shim_alloc(strlen(name) + 1), name, strlen(name) + 1);
    (void)quarry_vfs_make_directory(quarry_vfs_posix(), name, NULL); /* the lock tells, if not */
    db->log = options->has_logger ? NULL : shim_log_open(name);
    if (!shim_check_directory(options, name, errptr)) {
        dismantle(db);
        return NULL;
    }
    if (open_store(db, options, &error) != QUARRY_OK) {
        shim_log_write(db->log, "not opened: %s", error.text);
        shim_fail_store(errptr, name, &error);
        dismantle(db);
        return NULL;
    }
    shim_log_write(db->log, "opened");
    return db;
}

/* ---- closing -------------------------------------------------------------------------------- */

/* Takes what is out from the lists and ends it; the shells are the program's. */
static void end_what_is_out(struct leveldb_t *db)
{
    os_mutex_lock(&db->mutex);
    struct leveldb_iterator_t *iterators = db->iterators;
    struct leveldb_snapshot_t *snapshots = db->snapshots;
    db->iterators = NULL;
    db->snapshots = NULL;
    os_mutex_unlock(&db->mutex);
    for (; iterators != NULL; iterators = iterators->next) {
        quarry_kv_iterator_destroy(iterators->iterator);
        iterators->iterator = NULL;
        iterators->db = NULL;
    }
    while (snapshots != NULL) {
        struct leveldb_snapshot_t *next = snapshots->next;
        quarry_kv_snapshot_release(db->kv, snapshots->snapshot);
        free(snapshots); /* nothing can be done with it any more, not even releasing it */
        snapshots = next;
    }
}

void leveldb_close(struct leveldb_t *db)
{
    struct quarry_error error = {0};

    end_what_is_out(db);
    enum quarry_status status = quarry_kv_close(db->kv, &error);
    shim_log_write(db->log, "closed%s%s", status == QUARRY_OK ? "" : ": ", error.text);
    dismantle(db);
}

/* ---- writing -------------------------------------------------------------------------------- */

void leveldb_put(struct leveldb_t *db, const struct leveldb_writeoptions_t *options,
                 const char *key, size_t keylen, const char *val, size_t vallen, char **errptr)
{
    struct quarry_error error;

    if (Q_UNLIKELY(quarry_kv_put(db->kv, &options->write, key, keylen, val, vallen, &error) !=
                   QUARRY_OK)) {
        shim_fail_store(errptr, db->path, &error);
    }
}

void leveldb_delete(struct leveldb_t *db, const struct leveldb_writeoptions_t *options,
                    const char *key, size_t keylen, char **errptr)
{
    struct quarry_error error;

    if (Q_UNLIKELY(quarry_kv_delete(db->kv, &options->write, key, keylen, &error) != QUARRY_OK)) {
        shim_fail_store(errptr, db->path, &error);
    }
}

void leveldb_write(struct leveldb_t *db, const struct leveldb_writeoptions_t *options,
                   struct leveldb_writebatch_t *batch, char **errptr)
{
    const struct quarry_kv_slice data = {batch->bytes, batch->byte_count};
    struct quarry_error error;

    if (Q_UNLIKELY(batch->is_too_large)) {
        shim_fail(errptr, "Invalid argument", "a batch, a key or a value in it is too large");
    } else if (Q_UNLIKELY(quarry_kv_write_data(db->kv, &options->write, data, &error) !=
                          QUARRY_OK)) {
        shim_fail_store(errptr, db->path, &error);
    }
}

/* ---- reading -------------------------------------------------------------------------------- */

static Q_COLD void fail_snapshot(char **errptr)
{
    shim_fail(errptr, "IO error", "there was no memory for the snapshot");
}

char *leveldb_get(struct leveldb_t *db, const struct leveldb_readoptions_t *options,
                  const char *key, size_t keylen, size_t *vallen, char **errptr)
{
    struct quarry_kv_value value;
    struct quarry_error error;
    char *copy;

    *vallen = 0;
    if (Q_UNLIKELY(options->snapshot != NULL && options->read.snapshot == NULL)) {
        fail_snapshot(errptr);
        return NULL;
    }
    enum quarry_status status = quarry_kv_get(db->kv, &options->read, key, keylen, &value, &error);
    if (status != QUARRY_OK) {
        if (Q_UNLIKELY(status != QUARRY_NOT_FOUND)) {
            shim_fail_store(errptr, db->path, &error);
        }
        return NULL;
    }
    copy = malloc(value.byte_count == 0 ? 1 : value.byte_count);
    if (Q_UNLIKELY(copy == NULL)) {
        shim_fail(errptr, "IO error", "no memory for a value of %zu bytes", value.byte_count);
    } else {
        memcpy(copy, value.bytes, value.byte_count);
        *vallen = value.byte_count;
    }
    quarry_kv_value_release(&value);
    return copy;
}

/* ---- snapshots ------------------------------------------------------------------------------ */

const struct leveldb_snapshot_t *leveldb_create_snapshot(struct leveldb_t *db)
{
    struct leveldb_snapshot_t *snapshot = shim_alloc(sizeof(*snapshot));

    if (quarry_kv_snapshot_take(db->kv, &snapshot->snapshot) != QUARRY_OK) {
        snapshot->snapshot = NULL;
    }
    os_mutex_lock(&db->mutex);
    snapshot->next = db->snapshots;
    snapshot->link = &db->snapshots;
    if (snapshot->next != NULL) {
        snapshot->next->link = &snapshot->next;
    }
    db->snapshots = snapshot;
    os_mutex_unlock(&db->mutex);
    return snapshot;
}

void leveldb_release_snapshot(struct leveldb_t *db, const struct leveldb_snapshot_t *snapshot)
{
    struct leveldb_snapshot_t *given = (struct leveldb_snapshot_t *)(uintptr_t)snapshot;

    os_mutex_lock(&db->mutex);
    *given->link = given->next;
    if (given->next != NULL) {
        given->next->link = given->link;
    }
    os_mutex_unlock(&db->mutex);
    quarry_kv_snapshot_release(db->kv, given->snapshot);
    free(given);
}

/* ---- what it says of itself ----------------------------------------------------------------- */

/* "leveldb.num-files-at-level007" is level 7 in LevelDB, of which there is none. */
static bool name_level(const char *name, char room[48])
{
    static const char begin[] = "leveldb.num-files-at-level";
    const char *digits = name + sizeof(begin) - 1;
    size_t count = strspn(digits, "0123456789");

    if (count == 0 || digits[count] != '\0') {
        return false;
    }
    while (count > 1 && digits[0] == '0') {
        digits++;
        count--;
    }
    memcpy(room, begin, sizeof(begin));
    room[sizeof(begin) - 1] = digits[0];
    room[sizeof(begin)] = '\0';
    return count == 1;
}

/* What a property that LevelDB has is called by the store. Returns: NULL: it has not. */
static const char *property_name(const char *name, char room[48])
{
    static const char *const same[] = {"leveldb.stats", "leveldb.sstables",
                                       "leveldb.approximate-memory-usage"};

    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        if (strcmp(name, same[i]) == 0) {
            return same[i];
        }
    }
    bool is_level = strncmp(name, "leveldb.num-files-at-level", 26) == 0 && name_level(name, room);
    return is_level ? room : NULL;
}

char *leveldb_property_value(struct leveldb_t *db, const char *propname)
{
    char room[48];
    const char *name = property_name(propname, room);
    size_t wanted = 256, room_bytes = 0;
    char *text = NULL;

    /* It may be longer each time: files come and go. */
    while (name != NULL && wanted > room_bytes) {
        free(text);
        room_bytes = wanted;
        text = shim_alloc(room_bytes);
        if (quarry_kv_property(db->kv, name, text, room_bytes, &wanted) != QUARRY_OK) {
            free(text);
            return NULL;
        }
        wanted++; /* the NUL */
    }
    return text;
}

/* A key of no bytes is one; the store takes no address for no bound. */
static struct quarry_kv_slice key_of(const char *key, size_t byte_count)
{
    return (struct quarry_kv_slice){key == NULL ? "" : key, byte_count};
}

void leveldb_approximate_sizes(struct leveldb_t *db, int num_ranges,
                               const char *const *range_start_key,
                               const size_t *range_start_key_len,
                               const char *const *range_limit_key,
                               const size_t *range_limit_key_len, uint64_t *sizes)
{
    struct quarry_kv_slice begins[RANGES_AT_A_TIME], ends[RANGES_AT_A_TIME];

    for (int from = 0; from < num_ranges; from += RANGES_AT_A_TIME) {
        int count = num_ranges - from < RANGES_AT_A_TIME ? num_ranges - from : RANGES_AT_A_TIME;
        for (int i = 0; i < count; i++) {
            begins[i] = key_of(range_start_key[from + i], range_start_key_len[from + i]);
            ends[i] = key_of(range_limit_key[from + i], range_limit_key_len[from + i]);
        }
        quarry_kv_approximate_bytes(db->kv, begins, ends, (size_t)count, sizes + from);
    }
}

void leveldb_compact_range(struct leveldb_t *db, const char *start_key, size_t start_key_len,
                           const char *limit_key, size_t limit_key_len)
{
    const struct quarry_kv_slice begin = {start_key, start_key_len};
    const struct quarry_kv_slice end = {limit_key, limit_key_len};
    struct quarry_error error = {0};
    enum quarry_status status = quarry_kv_flush(db->kv, &error);

    if (status == QUARRY_OK) {
        status = quarry_kv_compact_range(db->kv, begin, end, &error);
    }
    if (status != QUARRY_OK) { /* there is no way to fail */
        shim_log_write(db->log, "compacting a range: %s", error.text);
    }
}
