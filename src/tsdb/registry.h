/*
 * The registry: which series there are.
 *
 * A series is a tenant and a set of labels. It has an id and a record of one cache line, which the
 * rest of the store appends by. The registry finds the id by the labels' bytes as they came over a
 * wire (the memo), by the labels, or by matchers (select.h); it makes series, and forgets them with
 * all of their memory.
 *
 *     quarry_epoch_enter(epoch);
 *     key = tsdb_registry_key(registry, tenant, raw_labels);
 *     id = tsdb_registry_find(registry, key);
 *     if (id == TSDB_SERIES_NONE)           // take the labels apart, tsdb_labels_make, then
 *         status = tsdb_registry_get(registry, tenant, &labels, &key, &id, &is_new);
 *     // lock the shard; is the series not marked as gone? append; unlock
 *     quarry_epoch_leave(epoch);
 *
 * Threads: any, unless a call says otherwise. Finding a known series, its record and its labels
 * take no lock, but are done inside the epoch: what was found stays until the thread leaves.
 * Making, removing and selecting take one mutex, for some microseconds at a time.
 */
#ifndef QUARRY_TSDB_REGISTRY_H
#define QUARRY_TSDB_REGISTRY_H

#include <os/os.h>

#include <tsdb/head.h>
#include <tsdb/labels.h>
#include <tsdb/memo.h>
#include <tsdb/symbol.h>
#include <tsdb/types.h>

/* Flags of a series. */
enum {
    /* The series has been removed: who still has its id finds or makes it anew. */
    TSDB_SERIES_GONE = 1u << 0,
};

/* A series' record: one cache line, and no pointer in it. */
struct tsdb_series {
    /* guarded by the store's lock of the series' shard; zeros at first */
    struct tsdb_head head; /* of the chain that it appends to; age 0: it has no sample */
    int32_t last_window;   /* the last window that has samples of it */
    /* const while the series lives */
    uint32_t labels; /* in the registry's lists of label_count */
    uint16_t tenant;
    uint8_t label_count;
    /* by both, the registry's mutex and the shard's lock; read under either */
    uint8_t flags;
    /* guarded by the registry's mutex */
    uint32_t hash;  /* of tenant and labels; const */
    uint32_t chain; /* the next series of equal hash; once gone, limbo's */
    uint32_t place; /* of its entry in the memo, if it has one */
};
Q_STATIC_ASSERT(sizeof(struct tsdb_series) == Q_CACHE_LINE_BYTES, "a record is a cache line");

struct tsdb_registry_options {
    struct tsdb_memory memory;  /* its parts are borrowed until the registry is destroyed */
    struct quarry_epoch *epoch; /* borrowed until then: readers' */
    uint32_t series_max;        /* ids that there can be; 0: 2^28 */
};

struct tsdb_registry {
    struct tsdb_memory memory; /* const */
    struct tsdb_limbo limbo;
    uint64_t seed; /* const; nobody outside can know it */
    /* read without a lock, written under mutex: see each */
    struct tsdb_memo memo;
    struct tsdb_table series;                     /* of struct tsdb_series, by id */
    struct tsdb_table lists[TSDB_LABELS_MAX + 1]; /* of label_count symbol numbers */
    struct tsdb_symbols symbols;
    struct os_mutex mutex;
    /* guarded by mutex */
    struct tsdb_chains chains;     /* series by hash */
    uint32_t fresh, waiting;       /* series that are gone, by `chain`: as limbo's lists */
    _Atomic uint32_t series_count; /* read without it */
};

/*
 * Creates a registry without series.
 *
 * `options`: borrowed for the call. `ret_registry`: own. Errors: QUARRY_NO_MEMORY.
 * Cost: some 20 KiB.
 */
enum quarry_status tsdb_registry_create(const struct tsdb_registry_options *options,
                                        struct tsdb_registry **ret_registry);

/* Ends a registry with all that is in it. `registry`: given; NULL does nothing. Threads: nobody
 * else uses it any more. */
void tsdb_registry_destroy(struct tsdb_registry *registry);

/* ---- known series: no lock, inside the epoch ------------------------------------------------ */

/*
 * The key of a series' labels as they came.
 *
 * `raw`: borrowed for the call; the same bytes always mean the same labels, in every protocol: who
 * reads several puts something of the protocol in front where they could be taken for another's.
 * Cost: a hash of 128 bits: 300 instructions for 200 bytes. Outside of the epoch too.
 */
static inline struct tsdb_memo_key tsdb_registry_key(const struct tsdb_registry *registry,
                                                     uint16_t tenant, struct tsdb_slice raw)
{
    struct hash_u128 hash = hash_xxh3_u128(raw.bytes, raw.count, registry->seed);

    /* Keys of two tenants for the same bytes always differ. */
    return (struct tsdb_memo_key){.tag = hash.low ^ tenant, .place = (uint32_t)(hash.high >> 32)};
}

/* Fetches what tsdb_registry_find will look at, for who has many keys to find. */
static inline void tsdb_registry_prefetch(const struct tsdb_registry *registry,
                                          struct tsdb_memo_key key)
{
    tsdb_memo_prefetch(&registry->memo, key);
}

/* The series that came with this key before. Returns: TSDB_SERIES_NONE: not known by it. */
static inline uint32_t tsdb_registry_find(const struct tsdb_registry *registry,
                                          struct tsdb_memo_key key)
{
    return tsdb_memo_find(&registry->memo, key);
}

/*
 * The record of a series. `id`: from the registry, in this stay in the epoch; or of a series that
 * the caller keeps from being removed. Returns: borrowed as long.
 */
static inline struct tsdb_series *tsdb_registry_series(const struct tsdb_registry *registry,
                                                       uint32_t id)
{
    return tsdb_table_at(&registry->series, id);
}

/* The symbols of a series' labels, by number, in the order of their names; label_count of them. */
static inline const uint32_t *tsdb_registry_symbols(const struct tsdb_registry *registry,
                                                    const struct tsdb_series *series)
{
    return series->label_count == 0
               ? NULL
               : tsdb_table_at(&registry->lists[series->label_count], series->labels);
}

/*
 * The labels of a series, sorted by name.
 *
 * `id`: as for tsdb_registry_series. `ret_labels`: room for TSDB_LABELS_MAX; its slices are
 * borrowed until the thread leaves the epoch, or the series is removed.
 * Returns: how many. Cost: five loads a label.
 */
size_t tsdb_registry_labels(const struct tsdb_registry *registry, uint32_t id,
                            struct tsdb_label *ret_labels);

/* Orders two series by their labels, as tsdb_labels_compare does. Threads: inside the epoch. */
int tsdb_registry_compare(const struct tsdb_registry *registry, uint32_t a, uint32_t b);

/* ---- making and removing -------------------------------------------------------------------- */

/*
 * The series of a tenant with these labels, if there is one; made if there is none.
 *
 * `labels`: borrowed for the call; as struct tsdb_labels says, within the limits of labels.h: or
 * QUARRY_BAD_INPUT. `key`: what to find it by from now on, in place of what was before; NULL:
 * nothing changes. `ret_is_new`: whether it was made; its head is zeros then.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (ids, symbols): nothing has changed.
 * Threads: inside the epoch, until the series is used. No lock of a shard is held.
 * Cost: for one that is there, two hashes and two cache lines a label; 9,000 instructions for a new
 * one of eight labels.
 */
enum quarry_status tsdb_registry_get(struct tsdb_registry *registry, uint16_t tenant,
                                     const struct tsdb_labels *labels,
                                     const struct tsdb_memo_key *key, uint32_t *ret_id,
                                     bool *ret_is_new);

/* As tsdb_registry_get, but makes none. Errors: QUARRY_NOT_FOUND, QUARRY_BAD_INPUT. */
enum quarry_status tsdb_registry_lookup(struct tsdb_registry *registry, uint16_t tenant,
                                        const struct tsdb_labels *labels,
                                        const struct tsdb_memo_key *key, uint32_t *ret_id);

/* Whether an id is that of a tenant's series with these labels, as it was before perhaps. `labels`:
 * borrowed for the call. Cost: of eight labels ten cache lines, and no hash. */
bool tsdb_registry_is(struct tsdb_registry *registry, uint32_t id, uint16_t tenant,
                      const struct tsdb_labels *labels);

/*
 * Makes a series with an id that it had before, or finds that it is there.
 *
 * `ret_is_new`: whether it was made.
 * Errors: QUARRY_EXISTS: the id is another series', or the series has another id; QUARRY_BAD_INPUT,
 * QUARRY_NO_MEMORY, QUARRY_TOO_MANY: nothing has changed. Threads, Cost: as tsdb_registry_get.
 */
enum quarry_status tsdb_registry_restore(struct tsdb_registry *registry, uint32_t id,
                                         uint16_t tenant, const struct tsdb_labels *labels,
                                         bool *ret_is_new);

/* Has an id, and those below it, not be given to a series that had none: it means another. */
void tsdb_registry_keep_id(struct tsdb_registry *registry, uint32_t id);

/* Whether an id is a series'. Threads: any. Cost: a lock. */
bool tsdb_registry_has(struct tsdb_registry *registry, uint32_t id);

/*
 * Decides whether a series goes: under its shard's lock, if nothing is kept of it, sets
 * TSDB_SERIES_GONE in its flags and returns true. Appenders look at the flag under the same lock.
 * Called with the registry's mutex held: it takes the shard's lock and no other, and calls nothing
 * of the registry.
 */
typedef bool tsdb_registry_may_remove(void *argument, uint32_t id, struct tsdb_series *series);

/*
 * Removes a series, if it is there and `may_remove` lets it go. Its id names another series when
 * all who are inside the epoch have left, and its memory is free by then.
 *
 * `may_remove`: NULL: it goes; nobody appends to it.
 * Errors: QUARRY_NOT_FOUND: there is no such series; QUARRY_BUSY: it may not go; QUARRY_NO_MEMORY:
 * there are not the 8 KiB that taking it out of a bitmap needs for a moment; it stays.
 * Cost: that of making one.
 */
enum quarry_status tsdb_registry_remove(struct tsdb_registry *registry, uint32_t id,
                                        tsdb_registry_may_remove *may_remove, void *argument);

/*
 * Gives the memory of what was removed back, and of tables that have been replaced by longer ones,
 * as far as readers have left. To be called where there is some, twice for all of it.
 *
 * Returns: false: a reader is in the epoch who may look at it; nothing has changed.
 * Cost: advances the epoch (some microseconds); O(what is given back).
 */
bool tsdb_registry_collect(struct tsdb_registry *registry);

/* Bytes of tables that have been replaced and not been given back. Threads: any. Cost: a load. */
static inline uint64_t tsdb_registry_retired_bytes(const struct tsdb_registry *registry)
{
    return tsdb_limbo_retired_bytes(&registry->limbo);
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* How many series there are. Cost: one load. */
static inline uint32_t tsdb_registry_count(const struct tsdb_registry *registry)
{
    return atomic_load_relaxed_u32(&registry->series_count);
}

/* How many series a tenant has. */
uint32_t tsdb_registry_tenant_count(struct tsdb_registry *registry, uint16_t tenant);

/* How many series of a tenant have a metric name. Cost: the mutex, and two searches. */
uint32_t tsdb_registry_metric_count(struct tsdb_registry *registry, uint16_t tenant,
                                    struct tsdb_slice name);

/*
 * Walks over the series in the order of their ids, some at a time: those with ids above `after`.
 *
 * `ret_ids`: room for `room`. Returns: how many; less than `room`: there are no more.
 * Threads: inside the epoch, while the ids are used.
 */
size_t tsdb_registry_list(struct tsdb_registry *registry, uint32_t after, uint32_t *ret_ids,
                          size_t room);

/* What a registry holds, in bytes; and of how much. */
struct tsdb_registry_state {
    uint32_t series_count;
    uint32_t symbol_count; /* values, names and tenants */
    uint64_t series_bytes; /* records, lists of labels, and what finds them by labels */
    uint64_t symbol_bytes; /* symbols, their texts, and what finds them */
    uint64_t postings_bytes;
    uint64_t memo_bytes;
};

/* Reads it. `ret_state`: written always. Threads: any. */
void tsdb_registry_read(struct tsdb_registry *registry, struct tsdb_registry_state *ret_state);

/*
 * Checks every structure against every other. `error`: names the first difference; may be NULL.
 * Errors: QUARRY_CORRUPT. Cost: O(series × labels), the mutex held throughout.
 */
enum quarry_status tsdb_registry_validate(struct tsdb_registry *registry,
                                          struct quarry_error *error);

/* Empties it. Threads: nobody else uses it. Cost: as tsdb_registry_destroy. */
void tsdb_registry_clear(struct tsdb_registry *registry);

/* What a series of a tenant is found by: of the numbers of its labels' symbols. */
uint32_t tsdb_registry_hash(const struct tsdb_registry *registry, uint16_t tenant,
                            const uint32_t *numbers, size_t count);

/* ---- for the other files of this folder that read the index --------------------------------- */

/* The symbol under which all series of a tenant are; NULL: it has none. */
struct tsdb_symbol *tsdb_registry_all(struct tsdb_registry *registry, uint16_t tenant)
    Q_REQUIRES(&registry->mutex);
/* The symbol of a name of a tenant's labels; NULL: there is none. */
struct tsdb_symbol *tsdb_registry_name(struct tsdb_registry *registry, uint16_t tenant,
                                       struct tsdb_slice name) Q_REQUIRES(&registry->mutex);

#endif
