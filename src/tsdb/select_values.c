/*
 * Names and values of series.
 *
 *     tallies     | symbol, series | symbol, series | …     then sorted by text
 *     result      | text, count | text, count | … | bytes of all texts |     one object
 *
 * Without matchers both are read off the tree of symbols, values with their counts, and names with
 * the sum of their values'. What matchers select is counted series by series, in a table by number
 * of symbol.
 *
 * Locking: as select.c; texts are copied inside the epoch.
 */
#include <tsdb/select.h>

/* A symbol and its series. */
struct tally {
    const struct tsdb_symbol *symbol;
    uint32_t count;
};

struct tallies {
    const struct tsdb_memory *memory;
    struct tally *tallies;
    size_t count, capacity;
};

/* ---- tallies -------------------------------------------------------------------------------- */

static enum quarry_status reserve(struct tallies *tallies, size_t count)
{
    void *array = tallies->tallies;
    enum quarry_status status = tsdb_memory_grow(tallies->memory, &array, &tallies->capacity, count,
                                                 sizeof(tallies->tallies[0]));

    tallies->tallies = array;
    return status;
}

/* Every value below a name, with the series that it has. */
static enum quarry_status tally_values(struct tsdb_registry *registry,
                                       const struct tsdb_symbol *name, struct tallies *tallies)
{
    struct tsdb_symbol_walk walk = {.parent = name};
    enum quarry_status status;

    do {
        status = reserve(tallies, tallies->count + TSDB_SELECT_BATCH);
        if (status != QUARRY_OK) {
            return status;
        }
        os_mutex_lock(&registry->mutex);
        tsdb_symbol_walk_next(&walk, registry);
        for (size_t i = 0; i < walk.count; i++) {
            tallies->tallies[tallies->count++] =
                (struct tally){walk.batch[i], tsdb_symbol_count(walk.batch[i])};
        }
        os_mutex_unlock(&registry->mutex);
    } while (walk.count != 0);
    return QUARRY_OK;
}

/* How many series have a name: each of its values' together. */
static enum quarry_status sum_values(struct tsdb_registry *registry, const struct tsdb_symbol *name,
                                     struct tallies *values, uint32_t *ret_count)
{
    values->count = 0;
    *ret_count = 0;
    enum quarry_status status = tally_values(registry, name, values);
    for (size_t i = 0; i < values->count && status == QUARRY_OK; i++) {
        *ret_count += values->tallies[i].count;
    }
    return status;
}

/* Every name of a tenant, with the series that have it. */
static enum quarry_status tally_names(struct tsdb_registry *registry, uint16_t tenant,
                                      struct tallies *names)
{
    struct tallies values = {.memory = names->memory};
    enum quarry_status status = QUARRY_OK;
    size_t kept = 0;

    os_mutex_lock(&registry->mutex);
    const struct tsdb_symbol *all = tsdb_registry_all(registry, tenant);
    os_mutex_unlock(&registry->mutex);
    if (all != NULL) {
        status = tally_values(registry, all->parent->parent, names);
    }
    for (size_t i = 0; i < names->count && status == QUARRY_OK; i++) {
        struct tally name = names->tallies[i];
        if (name.symbol->byte_count != 0) { /* the registry's own, of all series */
            status = sum_values(registry, name.symbol, &values, &name.count);
            names->tallies[kept++] = name;
        }
    }
    names->count = kept;
    tsdb_memory_give(values.memory, values.tallies);
    return status;
}

/* Where a symbol is counted: in a table of twice as many places as there are symbols. */
static struct tally *place_of(struct tally *places, size_t mask, const struct tsdb_symbol *symbol)
{
    size_t at = symbol->number * UINT32_C(0x9e3779b1) & mask;

    while (places[at].symbol != NULL && places[at].symbol != symbol) {
        at = (at + 1) & mask;
    }
    return &places[at];
}

static enum quarry_status grow_places(struct tallies *table)
{
    size_t capacity = table->capacity == 0 ? 64 : 2 * table->capacity;
    struct tally *grown = tsdb_memory_take_zero(table->memory, capacity * sizeof(grown[0]));

    if (grown == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->tallies[i].symbol != NULL) {
            *place_of(grown, capacity - 1, table->tallies[i].symbol) = table->tallies[i];
        }
    }
    tsdb_memory_give(table->memory, table->tallies);
    table->tallies = grown;
    table->capacity = capacity;
    return QUARRY_OK;
}

static enum quarry_status count_one(struct tallies *table, const struct tsdb_symbol *symbol)
{
    if (2 * table->count >= table->capacity) {
        enum quarry_status status = grow_places(table);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    struct tally *tally = place_of(table->tallies, table->capacity - 1, symbol);
    table->count += tally->symbol == NULL;
    tally->symbol = symbol;
    tally->count++;
    return QUARRY_OK;
}

/* The names of a series' labels, or its value of one. */
static enum quarry_status count_labels(const struct tsdb_registry *registry, uint32_t id,
                                       const struct tsdb_symbol *name, struct tallies *table)
{
    const struct tsdb_series *series = tsdb_registry_series(registry, id);
    const uint32_t *numbers = tsdb_registry_symbols(registry, series);
    enum quarry_status status = QUARRY_OK;

    if (name != NULL) {
        const struct tsdb_symbol *symbol = tsdb_select_label(registry, series, name);
        return symbol == NULL ? QUARRY_OK : count_one(table, symbol);
    }
    for (uint32_t i = 0; i < series->label_count && status == QUARRY_OK; i++) {
        status = count_one(table, tsdb_symbol_at(&registry->symbols, numbers[i])->parent);
    }
    return status;
}

/* What the selected series have, with the free places of the table closed up. */
static enum quarry_status tally_selected(struct tsdb_registry *registry,
                                         const struct tsdb_selector *selector,
                                         const struct tsdb_symbol *name, struct tallies *table)
{
    struct tsdb_ids ids;
    size_t kept = 0;
    enum quarry_status status = tsdb_select(registry, selector, table->memory, &ids);

    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; i < ids.count && status == QUARRY_OK; i++) {
        status = count_labels(registry, ids.ids[i], name, table);
    }
    tsdb_ids_fini(&ids);
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->tallies[i].symbol != NULL) {
            table->tallies[kept++] = table->tallies[i];
        }
    }
    return status;
}

/* ---- the result ----------------------------------------------------------------------------- */

static int compare_tallies(void *argument, uint32_t a, uint32_t b)
{
    const struct tally *tallies = argument;

    return tsdb_slice_compare(tsdb_symbol_text(tallies[a].symbol),
                              tsdb_symbol_text(tallies[b].symbol));
}

/* The tallies' places in the order of their texts. */
static enum quarry_status order_tallies(const struct tallies *tallies, struct tsdb_ids *ret_order)
{
    struct tsdb_ids order = {.memory = tallies->memory};
    enum quarry_status status = tsdb_ids_reserve(&order, tallies->count);

    for (size_t i = 0; i < tallies->count && status == QUARRY_OK; i++) {
        order.ids[order.count++] = (uint32_t)i;
    }
    if (status == QUARRY_OK) {
        status = tsdb_ids_sort_by(&order, compare_tallies, tallies->tallies);
    }
    if (status != QUARRY_OK) {
        tsdb_ids_fini(&order);
        return status;
    }
    *ret_order = order;
    return QUARRY_OK;
}

/* Adds one behind the others. A text that went and came again is two symbols: they are one value.
 */
static void add_value(struct tsdb_values *values, const struct tally *tally, char **texts)
{
    struct tsdb_slice text = tsdb_symbol_text(tally->symbol);
    struct tsdb_value *last = &values->values[values->count];

    if (values->count != 0 && tsdb_slice_equal(last[-1].text, text)) {
        last[-1].series_count += tally->count;
        return;
    }
    memcpy(*texts, text.bytes, text.count);
    *last = (struct tsdb_value){.text = {.bytes = *texts, .count = text.count},
                                .series_count = tally->count};
    *texts += text.count;
    values->count++;
}

static enum quarry_status make_values(const struct tallies *tallies, struct tsdb_values *ret_values)
{
    struct tsdb_values values = {.memory = tallies->memory};
    size_t bytes = tallies->count * sizeof(values.values[0]);
    struct tsdb_ids order;
    enum quarry_status status = order_tallies(tallies, &order);

    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; i < tallies->count; i++) {
        bytes += tallies->tallies[i].symbol->byte_count;
    }
    values.values = tsdb_memory_take(values.memory, bytes + 1);
    char *texts = (char *)(values.values + tallies->count);
    for (size_t i = 0; i < order.count && values.values != NULL; i++) {
        add_value(&values, &tallies->tallies[order.ids[i]], &texts);
    }
    tsdb_ids_fini(&order);
    if (values.values == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *ret_values = values;
    return QUARRY_OK;
}

void tsdb_values_fini(struct tsdb_values *values)
{
    tsdb_memory_give(values->memory, values->values);
    values->values = NULL;
    values->count = 0;
}

/* ---- asking --------------------------------------------------------------------------------- */

static enum quarry_status tally(struct tsdb_registry *registry,
                                const struct tsdb_selector *selector, const struct tsdb_slice *name,
                                struct tallies *tallies)
{
    const struct tsdb_symbol *symbol = NULL;

    if (name == NULL) {
        return selector->matcher_count == 0 ? tally_names(registry, selector->tenant, tallies)
                                            : tally_selected(registry, selector, NULL, tallies);
    }
    os_mutex_lock(&registry->mutex);
    symbol = name->count == 0 ? NULL : tsdb_registry_name(registry, selector->tenant, *name);
    os_mutex_unlock(&registry->mutex);
    if (symbol == NULL) {
        return QUARRY_OK;
    }
    return selector->matcher_count == 0 ? tally_values(registry, symbol, tallies)
                                        : tally_selected(registry, selector, symbol, tallies);
}

static enum quarry_status list(struct tsdb_registry *registry, const struct tsdb_selector *selector,
                               const struct tsdb_slice *name, const struct tsdb_memory *memory,
                               struct tsdb_values *ret_values)
{
    struct tallies tallies = {.memory = memory};

    quarry_epoch_enter(registry->limbo.epoch);
    enum quarry_status status = tally(registry, selector, name, &tallies);
    if (status == QUARRY_OK) {
        status = make_values(&tallies, ret_values);
    }
    quarry_epoch_leave(registry->limbo.epoch);
    tsdb_memory_give(memory, tallies.tallies);
    return status;
}

enum quarry_status tsdb_select_names(struct tsdb_registry *registry,
                                     const struct tsdb_selector *selector,
                                     const struct tsdb_memory *memory,
                                     struct tsdb_values *ret_values)
{
    return list(registry, selector, NULL, memory, ret_values);
}

enum quarry_status tsdb_select_values(struct tsdb_registry *registry,
                                      const struct tsdb_selector *selector, struct tsdb_slice name,
                                      const struct tsdb_memory *memory,
                                      struct tsdb_values *ret_values)
{
    return list(registry, selector, &name, memory, ret_values);
}
