/*
 * Selecting series by matchers, and the names and values that they have.
 */
#ifndef QUARRY_TSDB_SELECT_H
#define QUARRY_TSDB_SELECT_H

#include <tsdb/ids.h>
#include <tsdb/matcher.h>
#include <tsdb/registry.h>

/* What is asked for: the series of a tenant that pass all matchers; of none, all of them. */
struct tsdb_selector {
    uint16_t tenant;
    const struct tsdb_matcher *matchers; /* borrowed */
    size_t matcher_count;
};

/*
 * Selects series.
 *
 * `selector`: borrowed for the call. `memory`: what the result is taken from; borrowed as long as
 * it is there. `ret_ids`: own, in rising order; end it with tsdb_ids_fini. Every series that is
 * there during the whole call and passes is among them; one that is made or removed meanwhile may
 * be.
 * Errors: QUARRY_NO_MEMORY.
 * Threads: any; inside the epoch, while the ids are used. Locks: the registry's mutex, again and
 * again for some microseconds.
 * Cost: that of the smallest of the sets asked for by their texts, and a look at each of its series
 * for each other matcher. Where all ask by expressions: matching each value of one name.
 */
enum quarry_status tsdb_select(struct tsdb_registry *registry, const struct tsdb_selector *selector,
                               const struct tsdb_memory *memory, struct tsdb_ids *ret_ids);

/*
 * Sorts ids of series by their labels (tsdb_labels_compare).
 * Errors: QUARRY_NO_MEMORY: as they were. Threads: as tsdb_select. Cost: some 100 ns a comparison.
 */
enum quarry_status tsdb_select_sort(const struct tsdb_registry *registry, struct tsdb_ids *ids);

/* ---- names and values: select_values.c ------------------------------------------------------ */

/* A name or a value, and how many series of those selected have it. */
struct tsdb_value {
    struct tsdb_slice text;
    uint32_t series_count;
};

/* A list of them, sorted by text, each once. */
struct tsdb_values {
    const struct tsdb_memory *memory; /* borrowed */
    struct tsdb_value *values;        /* with their texts behind them; NULL for none */
    size_t count;
};
void tsdb_values_fini(struct tsdb_values *values);

/*
 * The names of the labels of the series that a selector selects; and the values that one of these
 * names has.
 *
 * `name`: borrowed for the call. `memory`: as for tsdb_select. `ret_values`: own; end it with
 * tsdb_values_fini; it needs no epoch.
 * Errors: QUARRY_NO_MEMORY. Threads: any; inside the epoch or not.
 * Cost: without matchers O(values), of the name or of all names; else that of tsdb_select and
 * O(series × labels).
 */
enum quarry_status tsdb_select_names(struct tsdb_registry *registry,
                                     const struct tsdb_selector *selector,
                                     const struct tsdb_memory *memory,
                                     struct tsdb_values *ret_values);
enum quarry_status tsdb_select_values(struct tsdb_registry *registry,
                                      const struct tsdb_selector *selector, struct tsdb_slice name,
                                      const struct tsdb_memory *memory,
                                      struct tsdb_values *ret_values);

/* ---- for select_values.c -------------------------------------------------------------------- */

/* The symbol of a series' label by its name's symbol; NULL: it has none. Threads: inside the epoch.
 */
const struct tsdb_symbol *tsdb_select_label(const struct tsdb_registry *registry,
                                            const struct tsdb_series *series,
                                            const struct tsdb_symbol *name);

/* Symbols that a walk over a parent's children looks at in one hold of the mutex. */
#define TSDB_SELECT_BATCH 128u

/* A walk over the children of a symbol, beside who makes and drops some. */
struct tsdb_symbol_walk {
    const struct tsdb_symbol *parent;
    const struct tsdb_symbol *last; /* NULL: not begun */
    const struct tsdb_symbol *batch[TSDB_SELECT_BATCH];
    size_t count; /* in the batch; 0 ends the walk */
};
/* The next batch, of symbols that have something below them. Threads: inside the epoch since before
 * the parent was found. */
void tsdb_symbol_walk_next(struct tsdb_symbol_walk *walk, struct tsdb_registry *registry)
    Q_REQUIRES(&registry->mutex);

#endif
