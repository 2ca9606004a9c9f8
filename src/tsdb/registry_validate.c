/*
 * The registry against itself: every index says what the records say, and no more.
 *
 * Records are the truth. Each is looked up in chains and postings; since counts agree besides,
 * there is nothing in an index that no record accounts for.
 *
 * Locking: the registry's mutex throughout: for tests and for `check` of a stopped store.
 */
#include <tsdb/registry.h>

static enum quarry_status check_label(const struct tsdb_registry *registry, uint32_t id,
                                      const struct tsdb_symbol *symbol,
                                      const struct tsdb_symbol *before, struct quarry_error *error)
{
    uint16_t tenant = tsdb_registry_series(registry, id)->tenant;

    if (symbol->parent == NULL || symbol->parent->parent == NULL ||
        memcmp(symbol->parent->parent->bytes, &tenant, sizeof(tenant)) != 0) {
        return error_set(error, QUARRY_CORRUPT, "series %u: a label of another tenant", id);
    }
    if (before != NULL && tsdb_slice_compare(tsdb_symbol_text(before->parent),
                                             tsdb_symbol_text(symbol->parent)) >= 0) {
        return error_set(error, QUARRY_CORRUPT, "series %u: names do not rise", id);
    }
    if (!tsdb_postings_has(&symbol->postings, id)) {
        return error_set(error, QUARRY_CORRUPT, "series %u: not in the postings of '%.*s'", id,
                         (int)size_min_u64(symbol->byte_count, 64), symbol->bytes);
    }
    return QUARRY_OK;
}

static bool is_in_chain(const struct tsdb_registry *registry, uint32_t id)
{
    uint32_t at = tsdb_chains_first(&registry->chains, tsdb_registry_series(registry, id)->hash);

    while (at != id && at != TSDB_SERIES_NONE) {
        at = tsdb_registry_series(registry, at)->chain;
    }
    return at == id;
}

static enum quarry_status check_series(struct tsdb_registry *registry, uint32_t id,
                                       struct quarry_error *error) Q_REQUIRES(&registry->mutex)
{
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);
    const struct tsdb_symbol *all = tsdb_registry_all(registry, series->tenant), *before = NULL;

    if (!is_in_chain(registry, id)) {
        return error_set(error, QUARRY_CORRUPT, "series %u: not in its chain", id);
    }
    if (all == NULL || !tsdb_postings_has(&all->postings, id)) {
        return error_set(error, QUARRY_CORRUPT, "series %u: not among its tenant's", id);
    }
    for (uint32_t i = 0; i < series->label_count; i++) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        enum quarry_status status = check_label(registry, id, symbol, before, error);
        if (status != QUARRY_OK) {
            return status;
        }
        before = symbol;
    }
    return QUARRY_OK;
}

/* Ids in the postings of all values that are in use, and bytes of the postings. */
static void sum_postings(const struct tsdb_registry *registry, uint64_t *ret_ids,
                         uint64_t *ret_bytes)
{
    const struct tsdb_symbols *symbols = &registry->symbols;

    *ret_ids = *ret_bytes = 0;
    for (uint32_t number = 0; (number = tsdb_table_next(&symbols->table, number)) != 0;) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(symbols, number);
        if (symbol->parent != NULL && symbol->parent->parent != NULL) {
            *ret_ids += symbol->postings.count;
            *ret_bytes += tsdb_postings_held_bytes(&symbol->postings, &registry->memory);
        }
    }
}

static enum quarry_status check_counts(const struct tsdb_registry *registry, uint64_t series_count,
                                       uint64_t label_count, struct quarry_error *error)
{
    uint64_t ids, bytes;

    sum_postings(registry, &ids, &bytes);
    if (ids != label_count + series_count) {
        return error_set(error, QUARRY_CORRUPT, "%llu ids in postings, of %llu labels",
                         (unsigned long long)ids, (unsigned long long)(label_count + series_count));
    }
    if (bytes != registry->symbols.postings_bytes) {
        return error_set(error, QUARRY_CORRUPT, "postings of %llu bytes are counted as %llu",
                         (unsigned long long)bytes,
                         (unsigned long long)registry->symbols.postings_bytes);
    }
    if (series_count != tsdb_registry_count(registry) ||
        series_count != registry->chains.entry_count || registry->memo.entry_count > series_count) {
        return error_set(error, QUARRY_CORRUPT, "%llu series: counted %u, in chains %u, memo %u",
                         (unsigned long long)series_count, tsdb_registry_count(registry),
                         registry->chains.entry_count, registry->memo.entry_count);
    }
    return QUARRY_OK;
}

/* Whether a slot of the memo is its series' only one, and where it looks for it. */
static bool is_entry_of_its_series(const struct tsdb_registry *registry,
                                   const struct tsdb_memo_table *table, size_t at, uint32_t id)
{
    const struct tsdb_memo_slot *slot = &table->slots[at];
    uint32_t place = atomic_load_relaxed_u32(&slot->place);
    const size_t window = (size_t)TSDB_MEMO_WINDOW * TSDB_MEMO_BUCKET_SLOTS;
    uint32_t entries = 0;

    if (!tsdb_table_has(&registry->series, id)) {
        return false;
    }
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    const struct tsdb_memo_slot *home = tsdb_memo_home(table, place);
    for (size_t i = 0; i < window; i++) {
        entries += atomic_load_relaxed_u32(&home[i].id) == id;
    }
    return (series->flags & TSDB_SERIES_GONE) == 0 && series->place == place && entries == 1 &&
           slot >= home && slot < home + window;
}

static enum quarry_status check_memo(const struct tsdb_registry *registry,
                                     struct quarry_error *error)
{
    const struct tsdb_memo_table *table = atomic_load_relaxed_ptr(&registry->memo.table);
    size_t slot_count =
        ((size_t)table->bucket_count + TSDB_MEMO_WINDOW - 1) * TSDB_MEMO_BUCKET_SLOTS;
    uint32_t entry_count = 0;

    for (size_t at = 0; at < slot_count; at++) {
        uint32_t id = atomic_load_relaxed_u32(&table->slots[at].id);
        if (id != TSDB_SERIES_NONE && !is_entry_of_its_series(registry, table, at, id)) {
            return error_set(error, QUARRY_CORRUPT, "memo: slot %zu is not series %u's", at, id);
        }
        entry_count += id != TSDB_SERIES_NONE;
    }
    if (entry_count != registry->memo.entry_count) {
        return error_set(error, QUARRY_CORRUPT, "memo: %u entries are counted as %u", entry_count,
                         registry->memo.entry_count);
    }
    return QUARRY_OK;
}

static enum quarry_status validate(struct tsdb_registry *registry, struct quarry_error *error)
    Q_REQUIRES(&registry->mutex)
{
    uint64_t series_count = 0, label_count = 0;

    for (uint32_t id = 0; (id = tsdb_table_next(&registry->series, id)) != 0;) {
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        if ((series->flags & TSDB_SERIES_GONE) != 0) {
            continue;
        }
        enum quarry_status status = check_series(registry, id, error);
        if (status != QUARRY_OK) {
            return status;
        }
        series_count++;
        label_count += series->label_count;
    }
    enum quarry_status status = check_counts(registry, series_count, label_count, error);
    return status == QUARRY_OK ? check_memo(registry, error) : status;
}

enum quarry_status tsdb_registry_validate(struct tsdb_registry *registry,
                                          struct quarry_error *error)
{
    os_mutex_lock(&registry->mutex);
    enum quarry_status status = validate(registry, error);
    os_mutex_unlock(&registry->mutex);
    return status;
}
