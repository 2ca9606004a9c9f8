/*
 * Queries: from matchers to a set of series, and to names and values of labels.
 *
 *     compile matchers ── pin a view ── ┌ select ids ── leave out those without a window ┐ ── sort
 *                                       └──────────────── in the epoch ──────────────────┘
 *
 * The view is pinned before series are looked for, so that a series that is found with a window in
 * it stays (view.c, invariant 3). The epoch is left before they are sorted, which may take long.
 */
#include <tsdb/select.h>
#include <tsdb/set.h>

Q_STATIC_ASSERT((int)TSDB_MATCH_EQUAL == (int)QUARRY_TSDB_EQUAL &&
                    (int)TSDB_MATCH_NOT_EQUAL == (int)QUARRY_TSDB_NOT_EQUAL &&
                    (int)TSDB_MATCH_REGEX == (int)QUARRY_TSDB_REGEX &&
                    (int)TSDB_MATCH_NOT_REGEX == (int)QUARRY_TSDB_NOT_REGEX,
                "both are remote read's numbers");

/* ---- matchers ------------------------------------------------------------------------------- */

/* Matchers of one query, compiled. */
struct matchers {
    const struct tsdb_memory *memory;
    struct tsdb_matcher *all;
    size_t count;
};

static void matchers_fini(struct matchers *matchers)
{
    while (matchers->count > 0) {
        tsdb_matcher_fini(&matchers->all[--matchers->count]);
    }
    tsdb_memory_give(matchers->memory, matchers->all);
    matchers->all = NULL;
}

static enum quarry_status matchers_init(struct matchers *matchers, struct quarry_tsdb *tsdb,
                                        const struct quarry_tsdb_query *query,
                                        struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    *matchers = (struct matchers){.memory = &tsdb->small[TSDB_PART_QUERY]};
    if (query->matcher_count == 0) {
        return QUARRY_OK;
    }
    matchers->all =
        tsdb_memory_take_zero(matchers->memory, query->matcher_count * sizeof(*matchers->all));
    if (matchers->all == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for matchers", tsdb->name);
    }
    for (size_t i = 0; i < query->matcher_count && status == QUARRY_OK; i++) {
        const struct quarry_tsdb_matcher *matcher = &query->matchers[i];
        status = tsdb_matcher_init(&matchers->all[i], matchers->memory,
                                   (enum tsdb_matcher_type)matcher->match, matcher->name,
                                   matcher->value, error);
        matchers->count += status == QUARRY_OK;
    }
    if (status != QUARRY_OK) {
        matchers_fini(matchers);
    }
    return status;
}

static struct tsdb_selector selector_of(const struct quarry_tsdb_query *query,
                                        const struct matchers *matchers)
{
    return (struct tsdb_selector){
        .tenant = query->tenant, .matchers = matchers->all, .matcher_count = matchers->count};
}

/* ---- series --------------------------------------------------------------------------------- */

/* Finds the series that match and have a window in the view. */
static enum quarry_status find(struct quarry_tsdb *tsdb, const struct quarry_tsdb_query *query,
                               const struct matchers *matchers, const struct tsdb_view *view,
                               struct tsdb_ids *ret_ids)
{
    const struct tsdb_selector selector = selector_of(query, matchers);

    quarry_epoch_enter(tsdb->epoch);
    enum quarry_status status = tsdb_select(tsdb->registry, &selector, matchers->memory, ret_ids);
    if (status == QUARRY_OK) {
        tsdb_set_keep(tsdb, view, ret_ids);
    }
    quarry_epoch_leave(tsdb->epoch);
    return status;
}

static enum quarry_status select_set(struct quarry_tsdb *tsdb,
                                     const struct quarry_tsdb_query *query,
                                     const struct matchers *matchers,
                                     struct quarry_tsdb_set **ret_set, struct quarry_error *error)
{
    uint64_t series_max = query->has_no_limit ? 0 : tsdb->options.query_series_count;
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    struct tsdb_ids ids = {.memory = matchers->memory};
    enum quarry_status status = find(tsdb, query, matchers, view, &ids);

    if (status == QUARRY_OK && series_max != 0 && ids.count > series_max) {
        status = error_set(error, QUARRY_TOO_LARGE, "%s: %zu series match, the limit is %llu",
                           tsdb->name, ids.count, (unsigned long long)series_max);
    } else if (status == QUARRY_OK) {
        status = tsdb_set_create(tsdb, view, &ids, query, ret_set);
    }
    if (status == QUARRY_NO_MEMORY) {
        (void)error_set(error, status, "%s: no memory for a query's series", tsdb->name);
    }
    if (status != QUARRY_OK) {
        tsdb_ids_fini(&ids);
        tsdb_view_release(&tsdb->views, view);
    }
    return status;
}

enum quarry_status quarry_tsdb_select(struct quarry_tsdb *tsdb,
                                      const struct quarry_tsdb_query *query,
                                      struct quarry_tsdb_set **ret_set, struct quarry_error *error)
{
    struct matchers matchers;
    enum quarry_status status = matchers_init(&matchers, tsdb, query, error);

    if (status == QUARRY_OK) {
        status = select_set(tsdb, query, &matchers, ret_set, error);
        matchers_fini(&matchers);
    }
    return status;
}

/* ---- names and values ----------------------------------------------------------------------- */

/* Tells what was found, and ends it. */
static enum quarry_status values_tell(struct quarry_tsdb *tsdb, enum quarry_status status,
                                      struct tsdb_values *values, quarry_tsdb_name_function *each,
                                      void *argument, struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        return error_set(error, status, "%s: no memory for names and values", tsdb->name);
    }
    for (size_t i = 0; i < values->count && each(argument, values->values[i].text); i++) {
    }
    tsdb_values_fini(values);
    return QUARRY_OK;
}

enum quarry_status quarry_tsdb_label_names(struct quarry_tsdb *tsdb,
                                           const struct quarry_tsdb_query *query,
                                           quarry_tsdb_name_function *each, void *argument,
                                           struct quarry_error *error)
{
    struct matchers matchers;
    struct tsdb_values values;
    enum quarry_status status = matchers_init(&matchers, tsdb, query, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct tsdb_selector selector = selector_of(query, &matchers);
    status = tsdb_select_names(tsdb->registry, &selector, matchers.memory, &values);
    matchers_fini(&matchers);
    return values_tell(tsdb, status, &values, each, argument, error);
}

enum quarry_status quarry_tsdb_label_values(struct quarry_tsdb *tsdb,
                                            const struct quarry_tsdb_query *query,
                                            struct quarry_tsdb_slice name,
                                            quarry_tsdb_name_function *each, void *argument,
                                            struct quarry_error *error)
{
    struct matchers matchers;
    struct tsdb_values values;
    enum quarry_status status = matchers_init(&matchers, tsdb, query, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct tsdb_selector selector = selector_of(query, &matchers);
    status = tsdb_select_values(tsdb->registry, &selector, name, matchers.memory, &values);
    matchers_fini(&matchers);
    return values_tell(tsdb, status, &values, each, argument, error);
}
