/*
 * The store's series as evaluation reads them: promql's source over the store, passed through.
 *
 * Evaluation is told by a flag that nobody waits for its result; the door tells by another. Between
 * them stands this: each time when samples are read, the one is looked at and the other set. So
 * each set and cursor of the source below has one in front of it that knows the request.
 */
#include <serve/api/source.h>

#include <stdlib.h>

/* Some words each, and a query has as many as selectors: they are malloc's. */
struct promql_set {
    struct api_source *source;
    struct promql_set *inner; /* own; the other source's */
};

struct promql_cursor {
    struct api_source *source;
    struct promql_cursor *inner; /* likewise */
};

static const struct promql_source_functions *below(const struct api_source *source)
{
    return source->inner.functions;
}

static enum quarry_status source_select(void *argument, const struct promql_selection *selection,
                                        struct promql_set **ret_set, struct quarry_error *error)
{
    struct api_source *source = argument;
    struct promql_set *set = malloc(sizeof *set);

    if (set == NULL) {
        return QUARRY_NO_MEMORY;
    }
    set->source = source;
    const enum quarry_status status =
        below(source)->select(source->inner.argument, selection, &set->inner, error);
    if (status != QUARRY_OK) {
        free(set);
        return status;
    }
    *ret_set = set;
    return QUARRY_OK;
}

static void source_close(struct promql_set *set)
{
    below(set->source)->set_close(set->inner);
    free(set);
}

static size_t source_count(const struct promql_set *set)
{
    return below(set->source)->set_count(set->inner);
}

static size_t source_labels(const struct promql_set *set, size_t index,
                            struct quarry_tsdb_label *labels, size_t capacity)
{
    return below(set->source)->set_labels(set->inner, index, labels, capacity);
}

static enum quarry_status source_cursor(struct promql_set *set, struct promql_cursor **ret_cursor)
{
    struct promql_cursor *cursor = malloc(sizeof *cursor);

    if (cursor == NULL) {
        return QUARRY_NO_MEMORY;
    }
    cursor->source = set->source;
    const enum quarry_status status = below(set->source)->cursor_create(set->inner, &cursor->inner);
    if (status != QUARRY_OK) {
        free(cursor);
        return status;
    }
    *ret_cursor = cursor;
    return QUARRY_OK;
}

static void source_destroy(struct promql_cursor *cursor)
{
    below(cursor->source)->cursor_destroy(cursor->inner);
    free(cursor);
}

static void source_series(struct promql_cursor *cursor, size_t index)
{
    below(cursor->source)->cursor_series(cursor->inner, index);
}

static enum quarry_status source_next(struct promql_cursor *cursor, struct promql_block *ret_block)
{
    struct api_source *source = cursor->source;

    if (atomic_load_relaxed_bool(source->call->is_cancelled)) { /* a hint */
        atomic_store_relaxed_u32(&source->cancel, 1);           /* likewise */
    }
    return below(source)->cursor_next(cursor->inner, ret_block);
}

struct promql_source api_source_of(struct api_source *source)
{
    static const struct promql_source_functions functions = {
        .select = source_select,
        .set_close = source_close,
        .set_count = source_count,
        .set_labels = source_labels,
        .cursor_create = source_cursor,
        .cursor_destroy = source_destroy,
        .cursor_series = source_series,
        .cursor_next = source_next,
    };

    source->inner = promql_tsdb_source(&source->store);
    return (struct promql_source){.functions = &functions, .argument = source};
}
