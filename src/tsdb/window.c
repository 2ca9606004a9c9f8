/*
 * Windows, and what they are made of.
 *
 *     lane NAME-open-N     chains   | id 0: first late | id 1: first late | …          8 B a series
 *                          shard 0  | chunklet 1 | chunklet 2 | …                    128 B each
 *                          …
 *                          shard 63
 *     lane NAME-sealed-N   | shard 0: columns, times, entries | shard 1: … | …
 *
 * Two lanes, because the two halves die at different moments: the open one when the last shard has
 * been sealed, the sealed one when the window is purged. Within the open lane each shard has a
 * space of its own, so that a shard's chunklets go back the moment it is sealed; the sealed bytes
 * of all shards follow each other in one space, so that a window has one last page that is partly
 * used, and not 64.
 *
 * A window's own structure is an object of the store's, some 10 KiB, and 13 KiB more while it is
 * open. Nothing in a window has a pointer to anything in it: places are offsets and numbers.
 *
 * Invariants
 *   1. A chain begins at `first` for good: it is written once, when its first sample is.
 *   2. What is appended to a shard has been promised room before: used_count + promised_count
 *      chunklets are backed.
 *   3. A shard that is closed is not appended to; one that is sealed is closed.
 *
 * Locking: see window.h; a shard's mutex is the store's, one for all windows, since a request
 * appends to a series in whatever window its samples are.
 */
#include <tsdb/window.h>

#include <stdio.h>

#include <quarry/memory.h>

static enum quarry_status lane_make(struct quarry_memory *memory, const char *name,
                                    const char *part, int32_t number, struct quarry_lane **ret_lane,
                                    struct quarry_error *error)
{
    char lane_name[QUARRY_NAME_BYTES];

    (void)snprintf(lane_name, sizeof lane_name, "%.12s-%s-%d", name, part, number);
    const struct quarry_lane_options options = {.name = lane_name};
    return quarry_lane_create(memory, &options, ret_lane, error);
}

static enum quarry_status open_create(const struct tsdb_window_options *options, int32_t number,
                                      struct tsdb_open **ret_open, struct quarry_error *error)
{
    struct tsdb_open *open = tsdb_memory_take_zero(options->small, sizeof(*open));

    if (open == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a window", options->name);
    }
    enum quarry_status status =
        lane_make(options->memory, options->name, "open", number, &open->lane, error);
    if (status != QUARRY_OK) {
        tsdb_memory_give(options->small, open);
        return status;
    }
    tsdb_space_init(&open->chains, open->lane, options->open_account);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        tsdb_space_init(&open->shard[i].chunklets, open->lane, options->open_account);
    }
    *ret_open = open;
    return QUARRY_OK;
}

enum quarry_status tsdb_window_create(const struct tsdb_window_options *options, int32_t number,
                                      struct tsdb_window **ret_window, struct quarry_error *error)
{
    struct tsdb_window *window = tsdb_memory_take_zero(options->small, sizeof(*window));
    struct tsdb_open *open = NULL;

    if (window == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a window", options->name);
    }
    enum quarry_status status = open_create(options, number, &open, error);
    if (status != QUARRY_OK) {
        tsdb_memory_give(options->small, window);
        return status;
    }
    window->number = number;
    window->start_ms = number * options->window_ms;
    window->end_ms = window->start_ms + options->window_ms;
    window->memory = options->small;
    window->open_account = options->open_account;
    window->sealed_account = options->sealed_account;
    tsdb_space_init(&window->sealed, NULL, window->sealed_account);
    /* Release: pairs with the acquire in tsdb_window_open. */
    atomic_store_release_ptr(&window->open, open);
    *ret_window = window;
    return QUARRY_OK;
}

enum quarry_status tsdb_window_begin_sealed(struct tsdb_window *window, const char *name,
                                            struct quarry_memory *memory)
{
    if (window->sealed_lane != NULL) {
        return QUARRY_OK;
    }
    char part[8] = "sealed";

    if (window->fill_number != 0) { /* its lane lives beside that of what it was before */
        (void)snprintf(part, sizeof part, "s%x", window->fill_number & 0xfff);
    }
    enum quarry_status status =
        lane_make(memory, name, part, window->number, &window->sealed_lane, NULL);
    if (status == QUARRY_OK) {
        /* Whoever reads figures looks at the space's charges meanwhile, and at nothing else. */
        window->sealed.lane = window->sealed_lane;
    }
    return status;
}

/* ---- ends ----------------------------------------------------------------------------------- */

void tsdb_open_destroy(struct tsdb_window *window, struct tsdb_open *open)
{
    Q_ASSERT(open->base.window == NULL);
    quarry_lane_destroy(open->lane);
    tsdb_space_forget(&open->chains);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        Q_ASSERT(open->shard[i].holder_count == 0 && open->shard[i].promised_count == 0);
        tsdb_space_forget(&open->shard[i].chunklets);
    }
    tsdb_memory_give(window->memory, open);
}

void tsdb_window_destroy(struct tsdb_window *window)
{
    struct tsdb_open *open = tsdb_window_open(window);

    Q_ASSERT(window->view_count == 0);
    if (open != NULL) {
        tsdb_open_destroy(window, open);
    }
    if (window->sealed_lane != NULL) {
        quarry_lane_destroy(window->sealed_lane);
        tsdb_space_forget(&window->sealed);
    }
    tsdb_memory_give(window->memory, window);
}
