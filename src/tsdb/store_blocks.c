/*
 * A store's samples as blocks: of two hours each, aligned as Prometheus and Thanos have them.
 *
 * Each block is a selection of its own, so that memory is that of one: numbers of series, a cursor,
 * and what block_write takes. A store's windows are whole blocks where their length is a multiple
 * of two hours; where it is not, a block has a part of its range, and another one the rest.
 *
 * Locking: none; what the store takes for a selection.
 */
#include <tsdb/store_blocks.h>

/* A series' labels; a store's limit is 1,024 at most where a server set it. */
#define LABELS_MAX 1024u

/* ---- walking -------------------------------------------------------------------------------- */

static enum quarry_status unreadable(enum quarry_status status, struct quarry_error *error)
{
    return error_set(error, status, "a series cannot be read: %s", quarry_status_text(status));
}

/* In the form of block_source: the next series that has a sample. */
static enum quarry_status next_series(void *argument, struct tsdb_labels *ret_labels,
                                      struct quarry_error *error)
{
    struct store_walk *walk = argument;

    while (walk->next_series < quarry_tsdb_set_count(walk->set)) {
        const size_t index = walk->next_series++;
        quarry_tsdb_cursor_series(walk->cursor, index);
        const enum quarry_status status = quarry_tsdb_cursor_next(walk->cursor, &walk->block);
        if (status == QUARRY_NOT_FOUND) {
            continue;
        }
        if (status != QUARRY_OK) {
            return unreadable(status, error);
        }
        const size_t count = quarry_tsdb_set_labels(walk->set, index, walk->labels, LABELS_MAX);
        if (count > LABELS_MAX) {
            return error_set(error, QUARRY_TOO_LARGE, "a series of %zu labels", count);
        }
        walk->at = 0;
        walk->has_block = true;
        *ret_labels = (struct tsdb_labels){walk->labels, count};
        return QUARRY_OK;
    }
    return QUARRY_NOT_FOUND;
}

static enum quarry_status next_sample(void *argument, struct block_sample *ret_sample,
                                      struct quarry_error *error)
{
    struct store_walk *walk = argument;

    if (walk->has_block && walk->at == walk->block.count) {
        const enum quarry_status status = quarry_tsdb_cursor_next(walk->cursor, &walk->block);
        walk->at = 0;
        walk->has_block = status == QUARRY_OK;
        if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            return unreadable(status, error);
        }
    }
    if (!walk->has_block) {
        return QUARRY_NOT_FOUND;
    }
    const uint32_t at = walk->at++;
    *ret_sample = (struct block_sample){.t_ms = walk->block.t_ms[at]};
    if (walk->block.histograms != NULL) {
        ret_sample->histogram = &walk->block.histograms[at];
    } else {
        ret_sample->bits = walk->block.bits[at];
    }
    walk->sample_count++;
    if (walk->progress != NULL) {
        walk->progress(walk->progress_argument, walk->sample_count);
    }
    return QUARRY_OK;
}

enum quarry_status store_walk_begin(struct store_walk *walk, struct quarry_tsdb *tsdb,
                                    const struct quarry_tsdb_query *query,
                                    struct tsdb_memory *memory, struct quarry_error *error)
{
    walk->source = (struct block_source){walk, next_series, next_sample};
    walk->memory = memory;
    walk->set = NULL;
    walk->cursor = NULL;
    walk->next_series = 0;
    walk->has_block = false;
    walk->labels = tsdb_memory_take(memory, LABELS_MAX * sizeof *walk->labels);
    enum quarry_status status = walk->labels == NULL
                                    ? error_set(error, QUARRY_NO_MEMORY, "no memory for labels")
                                    : quarry_tsdb_select(tsdb, query, &walk->set, error);
    if (status == QUARRY_OK) {
        status = quarry_tsdb_cursor_create(walk->set, &walk->cursor);
        if (status != QUARRY_OK) {
            (void)unreadable(status, error);
        }
    }
    if (status != QUARRY_OK) {
        store_walk_end(walk);
    }
    return status;
}

void store_walk_end(struct store_walk *walk)
{
    quarry_tsdb_cursor_destroy(walk->cursor);
    quarry_tsdb_set_close(walk->set);
    tsdb_memory_give(walk->memory, walk->labels);
    walk->cursor = NULL;
    walk->set = NULL;
    walk->labels = NULL;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static int64_t floor_to(int64_t t_ms, int64_t unit_ms)
{
    const int64_t rest = t_ms % unit_ms;

    return t_ms - rest - (rest < 0 ? unit_ms : 0);
}

static enum quarry_status write_block(const struct store_blocks_options *options,
                                      struct store_walk *walk, int64_t range_ms,
                                      struct quarry_error *error)
{
    const int64_t last_ms = range_ms + STORE_BLOCK_MS - 1;
    struct quarry_tsdb_query query = *options->query;
    struct block_write_options block = options->block;
    struct block_meta meta;

    block.min_t_ms = range_ms;
    block.max_t_ms = range_ms + STORE_BLOCK_MS;
    query.min_ms = query.min_ms > range_ms ? query.min_ms : range_ms;
    query.max_ms = query.max_ms < last_ms ? query.max_ms : last_ms;
    enum quarry_status status = store_walk_begin(walk, options->tsdb, &query, block.memory, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_tsdb_set_count(walk->set) == 0
                 ? QUARRY_NOT_FOUND
                 : block_write(&block, &walk->source, &meta, error);
    store_walk_end(walk);
    if (status == QUARRY_OK && options->wrote != NULL) {
        options->wrote(options->argument, &meta);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum quarry_status store_blocks_write(const struct store_blocks_options *options,
                                      struct store_walk *walk, struct quarry_error *error)
{
    const int64_t max_ms = options->query->max_ms;
    enum quarry_status status = QUARRY_OK;

    if (options->query->min_ms > max_ms) {
        return QUARRY_OK;
    }
    for (int64_t range_ms = floor_to(options->query->min_ms, STORE_BLOCK_MS);
         range_ms <= max_ms && status == QUARRY_OK; range_ms += STORE_BLOCK_MS) {
        status = write_block(options, walk, range_ms, error);
    }
    return status;
}
