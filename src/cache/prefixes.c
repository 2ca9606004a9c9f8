/*
 * What is done with keys, by what stands before their first colon.
 *
 *     slots (2,048 of u16) ── hash of the prefix, open addressing ──▶ rows (1,024): text, counts
 *
 * Memory for it is taken when the first key is counted, and stays until the tenant goes: counting
 * is switched on by somebody who looks, and costs nothing before.
 *
 * Invariants:
 *  1. A row, once named by a slot, keeps its text. Rows are filled in order, so that reading them
 * by number misses none.
 *  2. Half of the slots are free at least, so that a search ends.
 *
 * Locking: a mutex around adding a prefix; finding and counting take none: a slot is stored, by
 * release, when its row is written. Resetting stores zeros and keeps the texts.
 *
 * Rejected: a table that grows. Whoever has more than 1,024 prefixes has put something into them
 * that is no kind of key, and cannot read the list anyway.
 *
 * Source: `stats detail` of memcached, whose table has no bound.
 */
#include <cache/prefixes.h>

#include <string.h>

#define SLOTS 2048u
Q_STATIC_ASSERT(SLOTS >= 2 * QUARRY_CACHE_PREFIXES_MAX, "half of the slots are free");
#define DELIMITER ':'

struct row {
    char text[QUARRY_CACHE_PREFIX_BYTES_MAX + 1]; /* const once its slot is stored */
    _Atomic uint64_t counts[QUARRY_CACHE_USE_COUNT];
};

struct prefixes {
    struct os_mutex mutex;
    _Atomic uint32_t row_count;    /* written under mutex */
    _Atomic uint16_t slots[SLOTS]; /* a row's number and one; 0: free. Written under mutex */
    struct row rows[QUARRY_CACHE_PREFIXES_MAX];
};

static struct prefixes *prefixes_of(const struct quarry_cache_tenant *tenant)
{
    return atomic_load_acquire_ptr(&tenant->prefixes); /* pairs with make's exchange */
}

/* The tenant's counts, made when there are none. NULL: no memory. */
static struct prefixes *make(struct quarry_cache_tenant *tenant)
{
    struct prefixes *made = cache_memory_take(tenant->cache, sizeof *made);
    void *expected = NULL;

    if (made == NULL) {
        return prefixes_of(tenant);
    }
    os_mutex_init(&made->mutex, OS_RANK_LEAF, 0);
    /* Release: pairs with the load above. */
    if (atomic_cas_acq_rel_ptr(&tenant->prefixes, &expected, made)) {
        return made;
    }
    cache_memory_give(tenant->cache, made, sizeof *made);
    return expected;
}

void cache_prefixes_fini(struct quarry_cache_tenant *tenant)
{
    cache_memory_give(tenant->cache, prefixes_of(tenant), sizeof(struct prefixes));
}

/* Looks a prefix up. Returns: its row, or NULL with *ret_slot the free one it would have. */
static struct row *find(struct prefixes *prefixes, const char *text, size_t length, uint64_t hash,
                        uint32_t *ret_slot)
{
    for (uint32_t i = 0; i < SLOTS; i++) {
        uint32_t slot = (uint32_t)(hash + i) & (SLOTS - 1);
        /* Acquire: pairs with the release in add: the row has its text. */
        uint32_t number = atomic_load_acquire_u16(&prefixes->slots[slot]);

        if (number == 0) {
            *ret_slot = slot;
            return NULL;
        }
        struct row *row = &prefixes->rows[number - 1];

        if (memcmp(row->text, text, length) == 0 && row->text[length] == '\0') {
            return row;
        }
    }
    Q_UNREACHABLE();
}

static struct row *add_locked(struct prefixes *prefixes, const char *text, size_t length,
                              uint64_t hash)
{
    uint32_t row_count = atomic_load_relaxed_u32(&prefixes->row_count); /* own: under the mutex */
    uint32_t slot;
    struct row *row = find(prefixes, text, length, hash, &slot);

    if (row != NULL || row_count == QUARRY_CACHE_PREFIXES_MAX) {
        return row;
    }
    row = &prefixes->rows[row_count];
    memcpy(row->text, text, length);
    /* Release: pairs with find, and with the reader's count. */
    atomic_store_release_u16(&prefixes->slots[slot], (uint16_t)(row_count + 1));
    atomic_store_release_u32(&prefixes->row_count, row_count + 1);
    return row;
}

static struct row *find_or_add(struct prefixes *prefixes, const char *text, size_t length,
                               uint64_t hash)
{
    uint32_t slot;
    struct row *row = find(prefixes, text, length, hash, &slot);

    if (Q_UNLIKELY(row == NULL)) {
        os_mutex_lock(&prefixes->mutex);
        row = add_locked(prefixes, text, length, hash);
        os_mutex_unlock(&prefixes->mutex);
    }
    return row;
}

void quarry_cache_count_prefix(struct quarry_cache_tenant *tenant,
                               const struct quarry_cache_key *key, enum quarry_cache_use use)
{
    const char *colon = memchr(key->bytes, DELIMITER, key->byte_count);
    struct prefixes *prefixes = prefixes_of(tenant);

    Q_ASSERT(use < QUARRY_CACHE_USE_COUNT);
    if (colon == NULL) {
        return;
    }
    size_t length = (size_t)(colon - (const char *)key->bytes);

    if (length > QUARRY_CACHE_PREFIX_BYTES_MAX || memchr(key->bytes, '\0', length) != NULL) {
        return;
    }
    prefixes = prefixes == NULL ? make(tenant) : prefixes;
    if (prefixes == NULL) {
        return;
    }
    uint64_t hash = cache_hash(tenant, key->bytes, length);
    struct row *row = find_or_add(prefixes, key->bytes, length, hash);

    if (row != NULL) {
        (void)atomic_add_relaxed_u64(&row->counts[use], 1); /* relaxed: a figure */
    }
}

size_t quarry_cache_read_prefixes(const struct quarry_cache_tenant *tenant, size_t first,
                                  struct quarry_cache_prefix *prefixes, size_t capacity)
{
    const struct prefixes *from = prefixes_of(tenant);
    /* Acquire: pairs with the release in add: so many rows have their texts. */
    size_t row_count = from == NULL ? 0 : atomic_load_acquire_u32(&from->row_count);
    size_t count = 0;

    for (; count < capacity && first + count < row_count; count++) {
        const struct row *row = &from->rows[first + count];

        memcpy(prefixes[count].text, row->text, sizeof row->text);
        for (size_t use = 0; use < QUARRY_CACHE_USE_COUNT; use++) {
            /* Relaxed: figures of different moments. */
            prefixes[count].counts[use] = atomic_load_relaxed_u64(&row->counts[use]);
        }
    }
    return count;
}

void quarry_cache_reset_prefixes(struct quarry_cache_tenant *tenant)
{
    struct prefixes *prefixes = prefixes_of(tenant);
    size_t row_count = prefixes == NULL ? 0 : atomic_load_acquire_u32(&prefixes->row_count);

    for (size_t i = 0; i < row_count; i++) {
        for (size_t use = 0; use < QUARRY_CACHE_USE_COUNT; use++) {
            atomic_store_relaxed_u64(&prefixes->rows[i].counts[use], 0); /* relaxed: a figure */
        }
    }
}
