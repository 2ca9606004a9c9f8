/*
 * Filling a registry at once.
 *
 *     symbols ──> series: record, list, counts ──> finish ──┬── chains, by hash
 *                                                           └── postings: one array of all members,
 *                                                               by symbol; then a copy each
 *
 * One series after the other, labels as texts, costs 16 lookups of texts and 9 additions to
 * postings. Here labels are numbers, and a list of postings is made once, of its final length: ids
 * rise, so that it is filled by one pass over the records.
 *
 * What is checked, since it comes from a file: a symbol's number is free and its text new below its
 * parent, of at most three levels; a series' numbers are values of its tenant, with rising names,
 * ids rise, and no two series have the same labels. So whatever the bytes were, the registry is one
 * that could have been.
 *
 * Invariants
 *   1. Until finish, records have no chain and symbols no postings; abandon knows that.
 *   2. counts[n] is the number of records with symbol n, the tenants' own among them.
 *
 * Locking: the registry's mutex, for each call; the thread that makes chains works under its
 * creator's hold of it, and touches `chains`, and of records `hash` and `chain`, which postings do
 * not. Cost: see the header.
 *
 * Rejected: images of all structures, pointers and links included. They would be read three times
 * as fast, and every link of them would have to be followed once to be trusted.
 */
#include <tsdb/registry_bulk.h>

/* Chains' heads that are fetched ahead. */
#define AHEAD 16u

void tsdb_registry_bulk_begin(struct tsdb_registry_bulk *bulk, struct tsdb_registry *registry,
                              const struct tsdb_memory *scratch)
{
    Q_ASSERT(tsdb_registry_count(registry) == 0);
    *bulk = (struct tsdb_registry_bulk){.registry = registry, .scratch = scratch};
}

/* ---- symbols -------------------------------------------------------------------------------- */

static struct tsdb_symbol *symbol_of(const struct tsdb_registry *registry, uint32_t number)
{
    return tsdb_table_has(&registry->symbols.table, number)
               ? tsdb_symbol_at(&registry->symbols, number)
               : NULL;
}

static uint32_t level_of(const struct tsdb_symbol *symbol)
{
    uint32_t level = 0;

    for (; symbol->parent != NULL; symbol = symbol->parent) {
        level++;
    }
    return level;
}

/* Whether a text may be a symbol's below a parent. */
static bool text_fits(const struct tsdb_symbol *parent, struct tsdb_slice text)
{
    if (parent == NULL) {
        return text.count == sizeof(uint16_t);
    }
    /* The name of no text, with its value of no text, has all series of the tenant. */
    bool is_all = level_of(parent) == 0 || parent->byte_count == 0;
    return level_of(parent) < 2 && text.count <= TSDB_LABEL_BYTES_MAX &&
           (is_all ? level_of(parent) == 0 || text.count == 0 : text.count != 0);
}

static enum quarry_status symbol_add(struct tsdb_registry_bulk *bulk, uint32_t number,
                                     uint32_t parent, struct tsdb_slice text)
{
    struct tsdb_registry *registry = bulk->registry;
    struct tsdb_symbol *above = parent == 0 ? NULL : symbol_of(registry, parent);

    if (parent != 0 && above == NULL) {
        return QUARRY_OK; /* made while the snapshot was written: no series of it has it */
    }
    if (number == 0 || !text_fits(above, text)) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = tsdb_symbol_restore(&registry->symbols, above, text, number);
    return status == QUARRY_OK || status == QUARRY_NO_MEMORY ? status : QUARRY_CORRUPT;
}

enum quarry_status tsdb_registry_bulk_symbol(struct tsdb_registry_bulk *bulk, uint32_t number,
                                             uint32_t parent, struct tsdb_slice text)
{
    os_mutex_lock(&bulk->registry->mutex);
    enum quarry_status status = symbol_add(bulk, number, parent, text);
    os_mutex_unlock(&bulk->registry->mutex);
    return status;
}

/* ---- series --------------------------------------------------------------------------------- */

static enum quarry_status counts_have(struct tsdb_registry_bulk *bulk, uint32_t number)
{
    size_t before = bulk->capacity;
    void *array = bulk->counts;

    if (Q_LIKELY(number < before)) {
        return QUARRY_OK;
    }
    enum quarry_status status = tsdb_memory_grow(bulk->scratch, &array, &bulk->capacity,
                                                 (size_t)number + 1, sizeof(bulk->counts[0]));
    if (status == QUARRY_OK) {
        bulk->counts = array;
        memset(bulk->counts + before, 0, (bulk->capacity - before) * sizeof(bulk->counts[0]));
    }
    return status;
}

static enum quarry_status count_one(struct tsdb_registry_bulk *bulk, uint32_t number)
{
    enum quarry_status status = counts_have(bulk, number);

    if (status == QUARRY_OK) {
        bulk->counts[number]++;
        bulk->label_count++;
    }
    return status;
}

/* The tenant's symbol, and its count. */
static enum quarry_status tenant_count(struct tsdb_registry_bulk *bulk, uint16_t tenant)
    Q_REQUIRES(&bulk->registry->mutex)
{
    const struct tsdb_symbol *all = tsdb_registry_all(bulk->registry, tenant);

    if (all == NULL) {
        return QUARRY_CORRUPT;
    }
    if (bulk->tenant != all->parent->parent) {
        bulk->tenant = all->parent->parent;
        bulk->name_count = 0;
    }
    return count_one(bulk, all->number);
}

/* One label: a value of the tenant, whose name is above that of the one before. */
static enum quarry_status label_take(struct tsdb_registry_bulk *bulk, uint32_t index,
                                     uint32_t number)
{
    const struct tsdb_symbol *symbol = symbol_of(bulk->registry, number);

    if (symbol == NULL || symbol->parent == NULL || symbol->parent->parent != bulk->tenant ||
        symbol->byte_count == 0) {
        return QUARRY_CORRUPT;
    }
    const struct tsdb_symbol *name = symbol->parent;
    if (index >= bulk->name_count || bulk->names[index] != name) {
        if (index > 0 && tsdb_slice_compare(tsdb_symbol_text(bulk->names[index - 1]),
                                            tsdb_symbol_text(name)) >= 0) {
            return QUARRY_CORRUPT;
        }
        bulk->names[index] = name;
        bulk->name_count = index + 1; /* what follows is compared anew */
    }
    return count_one(bulk, number);
}

static enum quarry_status record_make(struct tsdb_registry_bulk *bulk,
                                      const struct tsdb_registry_bulk_series *from,
                                      uint32_t **ret_list)
{
    struct tsdb_registry *registry = bulk->registry;
    uint32_t list = 0;
    enum quarry_status status = tsdb_table_take_at(&registry->series, from->id);

    if (status == QUARRY_OK && from->label_count != 0) {
        status = tsdb_table_take(&registry->lists[from->label_count], &list);
    }
    if (status != QUARRY_OK) {
        return status == QUARRY_NO_MEMORY ? status : QUARRY_CORRUPT;
    }
    struct tsdb_series *series = tsdb_registry_series(registry, from->id);
    series->last_window = from->last_window;
    series->tenant = from->tenant;
    series->labels = list;
    series->label_count = from->label_count;
    *ret_list =
        from->label_count == 0 ? NULL : tsdb_table_at(&registry->lists[from->label_count], list);
    return QUARRY_OK;
}

static enum quarry_status series_add(struct tsdb_registry_bulk *bulk,
                                     const struct tsdb_registry_bulk_series *series)
    Q_REQUIRES(&bulk->registry->mutex)
{
    uint32_t *list = NULL;

    if (series->id <= bulk->last_id) {
        return QUARRY_CORRUPT;
    }
    bulk->last_id = series->id;
    enum quarry_status status = tenant_count(bulk, series->tenant);
    if (status == QUARRY_OK) {
        status = record_make(bulk, series, &list);
    }
    for (uint32_t i = 0; i < series->label_count && status == QUARRY_OK; i++) {
        list[i] = endian_load_le_u32(series->numbers + i * sizeof(uint32_t));
        status = label_take(bulk, i, list[i]);
    }
    if (status == QUARRY_OK) {
        tsdb_registry_series(bulk->registry, series->id)->hash =
            tsdb_registry_hash(bulk->registry, series->tenant, list, series->label_count);
        atomic_bump_relaxed_u32(&bulk->registry->series_count, 1);
    }
    return status;
}

enum quarry_status tsdb_registry_bulk_series(struct tsdb_registry_bulk *bulk,
                                             const struct tsdb_registry_bulk_series *series)
{
    os_mutex_lock(&bulk->registry->mutex);
    enum quarry_status status = series_add(bulk, series);
    os_mutex_unlock(&bulk->registry->mutex);
    return status;
}

uint64_t tsdb_registry_bulk_need(const struct tsdb_registry_bulk *bulk)
{
    /* Postings of 4 bytes, rounded by an eighth, and as much beside them for a moment; chains. */
    return bulk->label_count * 9 + tsdb_registry_count(bulk->registry) * sizeof(uint32_t) * 2;
}

/* ---- chains --------------------------------------------------------------------------------- */

/* Whether another series with these labels is in its chain. */
static bool is_twice(const struct tsdb_registry *registry, const struct tsdb_series *series)
{
    const uint32_t *own = tsdb_registry_symbols(registry, series);
    uint32_t at = tsdb_chains_first(&registry->chains, series->hash);

    for (; at != TSDB_SERIES_NONE; at = tsdb_registry_series(registry, at)->chain) {
        const struct tsdb_series *other = tsdb_registry_series(registry, at);
        if (other->hash == series->hash && other->tenant == series->tenant &&
            other->label_count == series->label_count &&
            (own == NULL || memcmp(own, tsdb_registry_symbols(registry, other),
                                   series->label_count * sizeof(uint32_t)) == 0)) {
            return true;
        }
    }
    return false;
}

static enum quarry_status chains_make(struct tsdb_registry *registry)
{
    uint32_t ahead[AHEAD], count = AHEAD, id = TSDB_SERIES_NONE;

    if (tsdb_chains_begin(&registry->chains) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_chains_reserve(&registry->chains, tsdb_registry_count(registry));
    while (count == AHEAD) {
        for (count = 0; count < AHEAD && (id = tsdb_table_next(&registry->series, id)) != 0;) {
            ahead[count++] = id;
            tsdb_chains_prefetch(&registry->chains, tsdb_registry_series(registry, id)->hash);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (is_twice(registry, tsdb_registry_series(registry, ahead[i]))) {
                return QUARRY_CORRUPT;
            }
            tsdb_chains_insert(&registry->chains, ahead[i]);
        }
    }
    return QUARRY_OK;
}

struct chaining {
    struct tsdb_registry *registry;
    struct os_thread thread;
    void *stack; /* own; NULL: there is no thread */
    enum quarry_status status;
};

static void chain_all(void *argument)
{
    struct chaining *chaining = argument;

    chaining->status = chains_make(chaining->registry);
}

/* A store without the memory for a second thread does with one. */
static void chaining_begin(struct chaining *chaining, const struct tsdb_memory *scratch)
{
    chaining->stack = tsdb_memory_take(scratch, OS_THREAD_STACK_BYTES);
    if (chaining->stack != NULL &&
        os_thread_start(&chaining->thread, "quarry-tsdb", chaining->stack, OS_THREAD_STACK_BYTES,
                        chain_all, chaining) != QUARRY_OK) {
        tsdb_memory_give(scratch, chaining->stack);
        chaining->stack = NULL;
    }
}

static enum quarry_status chaining_end(struct chaining *chaining, const struct tsdb_memory *scratch)
{
    if (chaining->stack == NULL) {
        chain_all(chaining);
        return chaining->status;
    }
    os_thread_join(&chaining->thread);
    tsdb_memory_give(scratch, chaining->stack);
    return chaining->status;
}

/* ---- postings ------------------------------------------------------------------------------- */

/* Members of all postings, by symbol: those of number n end at ends[n]. */
struct members {
    uint32_t *ids;
    uint64_t *ends;
};

static void members_put(struct members *members, uint32_t number, uint32_t id)
{
    members->ids[members->ends[number]++] = id;
}

/* `ends` are beginnings at first, and rise with what is put. */
static void members_collect(const struct tsdb_registry_bulk *bulk, struct members *members)
    Q_REQUIRES(&bulk->registry->mutex)
{
    const struct tsdb_registry *registry = bulk->registry;
    const struct tsdb_symbol *all = NULL;
    uint64_t at = 0;
    uint32_t id = TSDB_SERIES_NONE;

    for (size_t i = 0; i < bulk->capacity; i++) {
        members->ends[i] = at;
        at += bulk->counts[i];
    }
    while ((id = tsdb_table_next(&registry->series, id)) != TSDB_SERIES_NONE) {
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        const uint32_t *numbers = tsdb_registry_symbols(registry, series);
        if (all == NULL ||
            memcmp(all->parent->parent->bytes, &series->tenant, sizeof(series->tenant)) != 0) {
            all = tsdb_registry_all(bulk->registry, series->tenant);
        }
        members_put(members, all->number, id);
        for (uint32_t i = 0; i < series->label_count; i++) {
            members_put(members, numbers[i], id);
        }
    }
}

static enum quarry_status members_give(const struct tsdb_registry_bulk *bulk,
                                       const struct members *members)
{
    struct tsdb_symbols *symbols = &bulk->registry->symbols;
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < bulk->capacity && status == QUARRY_OK; i++) {
        uint32_t count = bulk->counts[i];
        if (count != 0) {
            status = tsdb_symbol_fill(symbols, tsdb_symbol_at(symbols, (uint32_t)i),
                                      members->ids + members->ends[i] - count, count);
        }
    }
    return status;
}

static enum quarry_status postings_make(const struct tsdb_registry_bulk *bulk)
    Q_REQUIRES(&bulk->registry->mutex)
{
    struct members members = {.ids = NULL};
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (bulk->label_count == 0) {
        return QUARRY_OK;
    }
    members.ids = tsdb_memory_take(bulk->scratch, bulk->label_count * sizeof(uint32_t));
    members.ends = tsdb_memory_take(bulk->scratch, bulk->capacity * sizeof(uint64_t));
    if (members.ids != NULL && members.ends != NULL) {
        members_collect(bulk, &members);
        status = members_give(bulk, &members);
    }
    tsdb_memory_give(bulk->scratch, members.ids);
    tsdb_memory_give(bulk->scratch, members.ends);
    return status;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void forget(struct tsdb_registry_bulk *bulk)
{
    tsdb_memory_give(bulk->scratch, bulk->counts);
    bulk->counts = NULL;
    bulk->capacity = 0;
}

enum quarry_status tsdb_registry_bulk_finish(struct tsdb_registry_bulk *bulk)
{
    struct chaining chaining = {.registry = bulk->registry};

    os_mutex_lock(&bulk->registry->mutex);
    if (!bulk->has_no_thread) {
        chaining_begin(&chaining, bulk->scratch);
    }
    enum quarry_status status = postings_make(bulk);
    enum quarry_status chained = chaining_end(&chaining, bulk->scratch);
    status = status == QUARRY_OK ? chained : status;
    if (status == QUARRY_OK) {
        tsdb_symbols_release_unused(&bulk->registry->symbols);
    }
    os_mutex_unlock(&bulk->registry->mutex);
    if (status == QUARRY_OK) {
        forget(bulk);
    }
    return status;
}

void tsdb_registry_bulk_abandon(struct tsdb_registry_bulk *bulk)
{
    forget(bulk);
    tsdb_registry_clear(bulk->registry);
}
