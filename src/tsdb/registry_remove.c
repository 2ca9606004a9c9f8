/*
 * Series that go, and what the registry says of itself.
 *
 *     tsdb_registry_remove ──> fresh ──(turn)──> waiting ──(past)──> list and id are free
 *
 * The limbo of the tables' and the memo's memory, of symbols and of series is one: its turn
 * (limbo.c) moves all of them on. Series wait by their `chain`, which nobody needs any more, so
 * that removing takes no memory, but for what CRoaring wants: that is asked for before anything is
 * changed.
 *
 * Invariants: those of registry.c. Locking: `mutex` throughout.
 */
#include <tsdb/registry.h>

/* Whether all postings that it is in will find the memory to let it go. */
static bool can_remove(struct tsdb_registry *registry, uint32_t id,
                       const struct tsdb_series *series) Q_REQUIRES(&registry->mutex)
{
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);

    if (!tsdb_postings_can_remove(&tsdb_registry_all(registry, series->tenant)->postings, id)) {
        return false;
    }
    for (uint32_t i = 0; i < series->label_count; i++) {
        const struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        if (!tsdb_postings_can_remove(&symbol->postings, id)) {
            return false;
        }
    }
    return true;
}

/* Out of all indexes, and into limbo. */
static void take_out(struct tsdb_registry *registry, uint32_t id, struct tsdb_series *series)
    Q_REQUIRES(&registry->mutex)
{
    struct tsdb_symbol *all = tsdb_registry_all(registry, series->tenant);
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);

    tsdb_memo_remove(&registry->memo, series->place, id);
    tsdb_chains_remove(&registry->chains, id);
    for (uint32_t i = 0; i < series->label_count; i++) {
        struct tsdb_symbol *symbol = tsdb_symbol_at(&registry->symbols, numbers[i]);
        tsdb_symbol_remove(&registry->symbols, symbol, id);
        tsdb_symbol_release(&registry->symbols, symbol);
    }
    tsdb_symbol_remove(&registry->symbols, all, id);
    tsdb_symbol_release(&registry->symbols, all);
    series->chain = registry->fresh;
    registry->fresh = id;
    atomic_bump_relaxed_u32(&registry->series_count, UINT32_MAX); /* one less */
}

/* A number is taken by what lives and by what waits. */
static bool is_alive(const struct tsdb_registry *registry, uint32_t id)
{
    return tsdb_table_has(&registry->series, id) &&
           (tsdb_registry_series(registry, id)->flags & TSDB_SERIES_GONE) == 0;
}

static enum quarry_status remove_one(struct tsdb_registry *registry, uint32_t id,
                                     tsdb_registry_may_remove *may_remove, void *argument)
    Q_REQUIRES(&registry->mutex)
{
    if (!is_alive(registry, id)) {
        return QUARRY_NOT_FOUND;
    }
    struct tsdb_series *series = tsdb_registry_series(registry, id);
    if (!can_remove(registry, id, series)) {
        return QUARRY_NO_MEMORY;
    }
    if (may_remove != NULL && !may_remove(argument, id, series)) {
        return QUARRY_BUSY;
    }
    Q_ASSERT(may_remove == NULL || (series->flags & TSDB_SERIES_GONE) != 0);
    if (may_remove == NULL) { /* else it is set, under the lock that appenders look at it under */
        series->flags |= TSDB_SERIES_GONE;
    }
    take_out(registry, id, series);
    return QUARRY_OK;
}

enum quarry_status tsdb_registry_remove(struct tsdb_registry *registry, uint32_t id,
                                        tsdb_registry_may_remove *may_remove, void *argument)
{
    os_mutex_lock(&registry->mutex);
    enum quarry_status status = remove_one(registry, id, may_remove, argument);
    os_mutex_unlock(&registry->mutex);
    return status;
}

/* ---- limbo ---------------------------------------------------------------------------------- */

static void free_waiting(struct tsdb_registry *registry)
{
    while (registry->waiting != TSDB_SERIES_NONE) {
        uint32_t id = registry->waiting;
        const struct tsdb_series *series = tsdb_registry_series(registry, id);
        registry->waiting = series->chain;
        if (series->label_count != 0) {
            tsdb_table_give(&registry->lists[series->label_count], series->labels);
        }
        tsdb_table_give(&registry->series, id);
    }
}

bool tsdb_registry_collect(struct tsdb_registry *registry)
{
    for (uint32_t i = 0; i < REF_EPOCH_ADVANCES; i++) {
        ref_epoch_advance(registry->limbo.epoch);
    }
    os_mutex_lock(&registry->mutex);
    bool has_turned = tsdb_limbo_turn(&registry->limbo);
    if (has_turned) {
        free_waiting(registry);
        registry->waiting = registry->fresh;
        registry->fresh = TSDB_SERIES_NONE;
        tsdb_symbols_turn(&registry->symbols);
        tsdb_memo_shrink(&registry->memo);
    }
    os_mutex_unlock(&registry->mutex);
    return has_turned;
}

/* ---- all of them ---------------------------------------------------------------------------- */

uint32_t tsdb_registry_tenant_count(struct tsdb_registry *registry, uint16_t tenant)
{
    os_mutex_lock(&registry->mutex);
    const struct tsdb_symbol *all = tsdb_registry_all(registry, tenant);
    uint32_t count = all == NULL ? 0 : tsdb_symbol_count(all);
    os_mutex_unlock(&registry->mutex);
    return count;
}

uint32_t tsdb_registry_metric_count(struct tsdb_registry *registry, uint16_t tenant,
                                    struct tsdb_slice name)
{
    os_mutex_lock(&registry->mutex);
    const struct tsdb_symbol *label =
        tsdb_registry_name(registry, tenant, tsdb_slice_of(TSDB_METRIC_NAME));
    const struct tsdb_symbol *value =
        label == NULL ? NULL : tsdb_symbol_find(&registry->symbols, label, name);
    uint32_t count = value == NULL ? 0 : tsdb_symbol_count(value);
    os_mutex_unlock(&registry->mutex);
    return count;
}

size_t tsdb_registry_list(struct tsdb_registry *registry, uint32_t after, uint32_t *ret_ids,
                          size_t room)
{
    size_t count = 0;
    uint32_t id = after;

    os_mutex_lock(&registry->mutex);
    while (count < room && (id = tsdb_table_next(&registry->series, id)) != TSDB_SERIES_NONE) {
        ret_ids[count] = id;
        count += is_alive(registry, id);
    }
    os_mutex_unlock(&registry->mutex);
    return count;
}

void tsdb_registry_read(struct tsdb_registry *registry, struct tsdb_registry_state *ret_state)
{
    const struct tsdb_symbols *symbols = &registry->symbols;

    os_mutex_lock(&registry->mutex);
    *ret_state = (struct tsdb_registry_state){
        .series_count = tsdb_registry_count(registry),
        .symbol_count = symbols->table.taken_count,
        .series_bytes = sizeof(*registry) + registry->series.held_bytes +
                        tsdb_chains_held_bytes(&registry->chains),
        .symbol_bytes = symbols->object_bytes + symbols->table.held_bytes +
                        tsdb_chains_held_bytes(&symbols->chains),
        .postings_bytes = symbols->postings_bytes,
        .memo_bytes = tsdb_memo_held_bytes(&registry->memo),
    };
    for (uint32_t count = 1; count <= TSDB_LABELS_MAX; count++) {
        ret_state->series_bytes += registry->lists[count].held_bytes;
    }
    os_mutex_unlock(&registry->mutex);
}
