/*
 * The memory of all databases of a process, the names of their accounts, and the block cache that
 * they share.
 *
 *     memory ── "leveldb 0", "leveldb 1", …   a database each
 *            ── "leveldb blocks"              while a database uses it
 *
 * LevelDB's API has no budget, so the whole process has one, from QUARRY_MEMORY_LIMIT; without that
 * it is most of the machine's memory. It is made by the first database or cache, and never ended: a
 * program may hold what is in it until it exits.
 *
 * LevelDB gives each database that names no cache 8 MiB for blocks, and keeps indexes and filters
 * beside, without a bound. Ours are in the cache. So databases share one, of 64 MiB or an eighth of
 * the budget: a figure for a program, not for each database, and one domain of epochs fewer for
 * each, of which a process has 16.
 *
 * Names are places in a table, for an account keeps its name in the memory for ever: databases that
 * come and go take the same few.
 *
 * Locking: one mutex, over making the memory and the shared cache too: whoever needs them waits
 * anyway. Cost: nothing but when a database is opened or closed.
 */
#include <leveldb_api/shim.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Blocks of databases that bring no cache. */
#define SHARED_CACHE_BYTES Q_MIB(64)
#define SHARED_CACHE_SHARE 8u
/* Databases at a time: more than a process has domains of epochs for. */
#define NAMES_MAX 64u

static struct os_mutex mutex = {.rank = OS_RANK_LEVELDB};
/* guarded by mutex */
static struct quarry_memory *memory;
static uint64_t names; /* a bit each: taken */
static struct quarry_block_cache *shared_cache;
static uint32_t shared_cache_users;

/* ---- of malloc ------------------------------------------------------------------------------ */

void *shim_alloc(size_t byte_count)
{
    void *object = calloc(1, byte_count);

    if (object == NULL) {
        static const char line[] = "libquarry-leveldb: out of memory\n";
        os_tell(line, sizeof(line) - 1);
        abort();
    }
    return object;
}

char *shim_format(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int count = vasprintf(&text, format, arguments);
    va_end(arguments);
    return count < 0 ? NULL : text;
}

/* ---- the memory ----------------------------------------------------------------------------- */

/* A wrong limit must not keep a program from its data: it is told, and passed over. */
static uint64_t limit_bytes(void)
{
    const char *text = getenv("QUARRY_MEMORY_LIMIT");
    uint64_t byte_count = 0;

    if (text != NULL && text[0] != '\0' && size_parse(text, &byte_count) != QUARRY_OK) {
        static const char line[] =
            "libquarry-leveldb: QUARRY_MEMORY_LIMIT is no size, as 512m is\n";
        os_tell(line, sizeof(line) - 1);
        return 0;
    }
    return byte_count;
}

static struct quarry_memory *memory_locked(struct quarry_error *error)
{
    const struct quarry_memory_options options = {.limit_bytes = limit_bytes()};
    struct quarry_memory *made = NULL;

    os_mutex_assert_held(&mutex);
    if (memory == NULL && quarry_memory_create(&options, &made, error) == QUARRY_OK) {
        memory = made;
    }
    return memory;
}

struct quarry_memory *shim_memory(struct quarry_error *error)
{
    os_mutex_lock(&mutex);
    struct quarry_memory *found = memory_locked(error);
    os_mutex_unlock(&mutex);
    return found;
}

/* ---- names ---------------------------------------------------------------------------------- */

enum quarry_status shim_name_take(uint32_t *ret_name, struct quarry_error *error)
{
    uint32_t name = NAMES_MAX;

    os_mutex_lock(&mutex);
    if (names != UINT64_MAX) {
        name = (uint32_t)__builtin_ctzll(~names);
        names |= UINT64_C(1) << name;
    }
    os_mutex_unlock(&mutex);
    if (name == NAMES_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "%u databases are open", NAMES_MAX);
    }
    *ret_name = name;
    return QUARRY_OK;
}

void shim_name_give(uint32_t name)
{
    os_mutex_lock(&mutex);
    Q_ASSERT(name < NAMES_MAX && (names >> name & 1) != 0);
    names &= ~(UINT64_C(1) << name);
    os_mutex_unlock(&mutex);
}

const char *shim_name_text(uint32_t name, char room[SHIM_NAME_BYTES])
{
    (void)snprintf(room, SHIM_NAME_BYTES, "leveldb %u", name);
    return room;
}

/* ---- the shared cache ----------------------------------------------------------------------- */

static enum quarry_status make_shared_cache(struct quarry_error *error)
{
    struct quarry_ledger ledger;
    struct quarry_memory *of = memory_locked(error);

    if (of == NULL) {
        return QUARRY_NO_MEMORY;
    }
    (void)quarry_memory_ledger(of, &ledger, NULL, 0);
    const struct quarry_block_cache_options options = {
        .name = "leveldb blocks",
        .capacity_bytes =
            size_min_u64(SHARED_CACHE_BYTES, ledger.limit_bytes / SHARED_CACHE_SHARE)};
    return quarry_block_cache_create(of, &options, &shared_cache, error);
}

enum quarry_status shim_shared_cache_acquire(struct quarry_block_cache **ret_cache,
                                             struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&mutex);
    if (shared_cache == NULL) {
        status = make_shared_cache(error);
    }
    if (status == QUARRY_OK) {
        shared_cache_users++;
        *ret_cache = shared_cache;
    }
    os_mutex_unlock(&mutex);
    return status;
}

void shim_shared_cache_release(void)
{
    os_mutex_lock(&mutex);
    Q_ASSERT(shared_cache_users != 0);
    /* Blocks may be out still, of a database that could not be closed: then it stays. */
    if (--shared_cache_users == 0 && quarry_block_cache_close(shared_cache) == QUARRY_OK) {
        shared_cache = NULL;
    }
    os_mutex_unlock(&mutex);
}
