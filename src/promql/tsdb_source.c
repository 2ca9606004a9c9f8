/*
 * The source over a store: its sets and cursors are the store's own.
 */
#include <promql/tsdb_source.h>

static struct quarry_tsdb_set *set_of(struct promql_set *set)
{
    return (struct quarry_tsdb_set *)(void *)set;
}

static struct quarry_tsdb_cursor *cursor_of(struct promql_cursor *cursor)
{
    return (struct quarry_tsdb_cursor *)(void *)cursor;
}

static enum quarry_status select_series(void *argument, const struct promql_selection *selection,
                                        struct promql_set **ret_set, struct quarry_error *error)
{
    const struct promql_tsdb_source *store = argument;
    const struct quarry_tsdb_query query = {.tenant = store->tenant,
                                            .matchers = selection->matchers,
                                            .matcher_count = selection->matcher_count,
                                            .min_ms = selection->min_ms,
                                            .max_ms = selection->max_ms};
    struct quarry_tsdb_set *set;
    enum quarry_status status = quarry_tsdb_select(store->tsdb, &query, &set, error);

    if (status == QUARRY_OK) {
        *ret_set = (struct promql_set *)(void *)set;
    }
    return status;
}

static void set_close(struct promql_set *set)
{
    quarry_tsdb_set_close(set_of(set));
}

static size_t set_count(const struct promql_set *set)
{
    return quarry_tsdb_set_count((const struct quarry_tsdb_set *)(const void *)set);
}

static size_t set_labels(const struct promql_set *set, size_t index,
                         struct quarry_tsdb_label *labels, size_t capacity)
{
    return quarry_tsdb_set_labels((const struct quarry_tsdb_set *)(const void *)set, index, labels,
                                  capacity);
}

static enum quarry_status cursor_create(struct promql_set *set, struct promql_cursor **ret_cursor)
{
    struct quarry_tsdb_cursor *cursor;
    enum quarry_status status = quarry_tsdb_cursor_create(set_of(set), &cursor);

    if (status == QUARRY_OK) {
        *ret_cursor = (struct promql_cursor *)(void *)cursor;
    }
    return status;
}

static void cursor_destroy(struct promql_cursor *cursor)
{
    quarry_tsdb_cursor_destroy(cursor_of(cursor));
}

static void cursor_series(struct promql_cursor *cursor, size_t index)
{
    quarry_tsdb_cursor_series(cursor_of(cursor), index);
}

static enum quarry_status cursor_next(struct promql_cursor *cursor, struct promql_block *ret_block)
{
    struct quarry_tsdb_block block;
    enum quarry_status status = quarry_tsdb_cursor_next(cursor_of(cursor), &block);

    if (status == QUARRY_OK) {
        *ret_block =
            (struct promql_block){.t_ms = block.t_ms, .bits = block.bits, .count = block.count};
    }
    return status;
}

struct promql_source promql_tsdb_source(struct promql_tsdb_source *store)
{
    static const struct promql_source_functions functions = {
        .select = select_series,
        .set_close = set_close,
        .set_count = set_count,
        .set_labels = set_labels,
        .cursor_create = cursor_create,
        .cursor_destroy = cursor_destroy,
        .cursor_series = cursor_series,
        .cursor_next = cursor_next,
    };
    return (struct promql_source){.functions = &functions, .argument = store};
}
