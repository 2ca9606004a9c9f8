/*
 * Series in memory, as test scripts load them: a source.
 */
#ifndef QUARRY_PROMQL_SCRIPT_SOURCE_H
#define QUARRY_PROMQL_SCRIPT_SOURCE_H

#include <promql/memory.h>
#include <promql/source.h>

/* Samples of a series, by rising time. */
struct script_series {
    struct script_series *next;
    const struct quarry_tsdb_label *labels; /* sorted by name */
    size_t label_count;
    int64_t *t_ms;
    uint64_t *bits;
    const struct promql_histogram **histograms;
    int64_t *start_ms;
    size_t count;
    bool has_histograms, has_starts;
};

struct script_store {
    struct promql_memory memory;   /* its series' */
    struct script_series **series; /* sorted by labels */
    size_t count, capacity;
};

/* `account`, `pool`: borrowed until script_store_fini. */
void script_store_init(struct script_store *store, struct quarry_account *account,
                       struct quarry_pool *pool, uint64_t grant_bytes);
void script_store_fini(struct script_store *store);

/* Adds samples to the series of these labels, which is made where there is none. All arrays are
 * the store's memory's. Errors: QUARRY_NO_MEMORY; QUARRY_BAD_INPUT: they are not after its own. */
enum quarry_status script_store_add(struct script_store *store, const struct script_series *added);

/* A source over the store, which is borrowed as long as the source is used. Threads: any, while
 * nothing is added. */
struct promql_source script_store_source(struct script_store *store);

/* Label by label, by name and then by value; a set before its extension. */
int script_compare_labels(const struct quarry_tsdb_label *left, size_t left_count,
                          const struct quarry_tsdb_label *right, size_t right_count);

#endif
