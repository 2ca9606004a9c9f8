/*
 * A request on its way into the log.
 *
 *     judge, promise ──> log ──> append ──> sync, if asked for ──> acknowledged
 *                         │ fails
 *                         └──> promises are given back: nothing has been appended
 *
 * What is judged to be taken is put together while it is (append_shard.c), in the order of shards,
 * in which ids rise by the same step: the shortest for the log. It is logged before anything is
 * appended, so that a log that fails leaves memory as it was, and what is in memory is in the log:
 * whoever brings a sample that is there already is told so without it being logged again. With
 * durability POWER he waits for a sync of all that was logged before, for it may be another's that
 * is under way.
 *
 * The shard's promises keep its window from being sealed between the two, and so the window's log
 * from being dropped.
 *
 * Two requests that bring different values for one series and moment at the same time are logged in
 * one order and appended in another now and then: after a crash the moment may have the other one.
 * Both were acknowledged; Prometheus does the same.
 *
 * Locking: the log's own; in the epoch, for the series' labels are asked for. It is left before a
 * sync is waited for.
 * Cost: 170 instructions a sample, and a call of write.
 *
 * Histograms go the same way, beside the samples. While they are judged their places are noted
 * alone; they are encoded here, whole, with no lock held: what the one before was is the open
 * window's to know, and the log has records that stand alone.
 */
#include <tsdb/append.h>
#include <tsdb/durable.h>

#include <tsdb/open_read.h>

/* Of a batch: says what an id means. */
struct describing {
    const struct tsdb_registry *registry;
    struct tsdb_label labels[TSDB_LABELS_MAX];
};

/* With the log's lock held, inside the epoch. */
static void describe(void *argument, uint32_t id, struct tsdb_log_series *ret_series)
{
    struct describing *describing = argument;
    const struct tsdb_registry *registry = describing->registry;

    *ret_series = (struct tsdb_log_series){
        .id = id,
        .tenant = tsdb_registry_series(registry, id)->tenant,
        .labels = {describing->labels, tsdb_registry_labels(registry, id, describing->labels)}};
}

/* A histogram as the log has it, whose entry says the time. Returns: behind its bytes. */
static uint8_t *histogram_encode(const struct tsdb_histogram *histogram, uint32_t id, uint8_t *to,
                                 struct tsdb_log_histogram *ret_encoded)
{
    struct tsdb_histogram timeless = *histogram;

    timeless.t_ms = 0;
    size_t byte_count = tsdb_histogram_encode(NULL, &timeless, to);
    *ret_encoded = (struct tsdb_log_histogram){
        .series = id, .t_ms = histogram->t_ms, .bytes = {(const char *)to, byte_count}};
    return to + byte_count;
}

/* Encodes those of one window. Returns: how many. */
static uint32_t histograms_encode(const struct tsdb_append *append, uint32_t index)
{
    uint8_t *at = append->encoded_bytes;
    uint32_t count = 0;

    for (uint32_t i = 0; i < append->logged_histogram_count; i++) {
        const struct tsdb_append_logged *logged = &append->logged_histograms[i];
        if (logged->window == index) {
            at = histogram_encode(logged->histogram, logged->series, at, &append->encoded[count++]);
        }
    }
    Q_ASSERT(count == 0 || (size_t)(at - append->encoded_bytes) <= append->histogram_bytes);
    return count;
}

static enum quarry_status batch_log(struct tsdb_append *append, uint32_t index,
                                    const struct tsdb_log_sample *samples, uint32_t count)
{
    struct describing describing = {.registry = append->tsdb->registry};
    const struct tsdb_log_batch batch = {.window = append->view->windows[index]->number,
                                         .samples = samples,
                                         .sample_count = count,
                                         .histograms = append->encoded,
                                         .histogram_count = histograms_encode(append, index),
                                         .describe = describe,
                                         .argument = &describing};

    if (batch.sample_count + batch.histogram_count == 0) {
        return QUARRY_OK;
    }

    return tsdb_log_append(append->tsdb->durable->log, &batch,
                           &append->tickets[append->ticket_count++], NULL);
}

/* Those of one window, of several. */
static enum quarry_status window_log(struct tsdb_append *append, uint32_t index,
                                     struct tsdb_log_sample *room)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < append->logged_count; i++) {
        if (append->logged_windows[i] == index) {
            room[count++] = append->logged[i];
        }
    }
    return batch_log(append, index, room, count);
}

/* Samples of several windows: as many batches. */
static enum quarry_status windows_log(struct tsdb_append *append)
{
    const struct tsdb_memory *memory = &append->tsdb->small[TSDB_PART_QUERY];
    struct tsdb_log_sample *room =
        tsdb_memory_take(memory, (append->logged_count + (size_t)1) * sizeof(*append->logged));
    enum quarry_status status = room == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    for (uint32_t i = 0; i < append->view->window_count && status == QUARRY_OK; i++) {
        status = window_log(append, i, room);
    }
    tsdb_memory_give(memory, room);
    return status;
}

/* Whether all that is logged is of one window: of index `ret_index`. */
static bool is_of_one_window(const struct tsdb_append *append, uint32_t *ret_index)
{
    uint32_t index =
        append->logged_count != 0 ? append->logged_windows[0] : append->logged_histograms[0].window;

    for (uint32_t i = 1; i < append->logged_count; i++) {
        if (append->logged_windows[i] != index) {
            return false;
        }
    }
    for (uint32_t i = 0; i < append->logged_histogram_count; i++) {
        if (append->logged_histograms[i].window != index) {
            return false;
        }
    }
    *ret_index = index;
    return true;
}

enum quarry_status tsdb_durable_log(struct tsdb_append *append)
{
    struct tsdb_durable *durable = append->tsdb->durable;
    enum quarry_status status = tsdb_durable_status(durable);
    uint32_t index;

    if (status == QUARRY_OK && append->logged_count + append->logged_histogram_count != 0) {
        status = is_of_one_window(append, &index)
                     ? batch_log(append, index, append->logged, append->logged_count)
                     : windows_log(append);
    }
    if (status != QUARRY_OK) {
        (void)atomic_add_relaxed_u64(&durable->counters.log_failed_count, 1);
    }
    return status;
}

enum quarry_status tsdb_durable_log_exemplars(struct tsdb_append *append, uint32_t index,
                                              const struct tsdb_log_exemplar *exemplars,
                                              size_t count)
{
    struct describing describing = {.registry = append->tsdb->registry};
    const struct tsdb_log_batch batch = {.window = append->view->windows[index]->number,
                                         .exemplars = exemplars,
                                         .exemplar_count = count,
                                         .describe = describe,
                                         .argument = &describing};

    enum quarry_status status = tsdb_log_append(append->tsdb->durable->log, &batch,
                                                &append->tickets[append->ticket_count], NULL);
    /* Samples are taken without them: only what is there is waited for. */
    append->ticket_count += status == QUARRY_OK;
    return status;
}

enum quarry_status tsdb_durable_wait(struct tsdb_append *append)
{
    struct tsdb_durable *durable = append->tsdb->durable;
    enum quarry_status status = QUARRY_OK;

    if (durable->level != QUARRY_TSDB_DURABILITY_POWER) {
        return QUARRY_OK;
    }
    for (uint32_t i = 0; i < append->ticket_count && status == QUARRY_OK; i++) {
        status = tsdb_log_sync(durable->log, &append->tickets[i], NULL);
    }
    if (status == QUARRY_OK && append->repeated_count != 0) {
        status = tsdb_log_sync_all(durable->log, NULL);
    }
    if (status != QUARRY_OK) {
        tsdb_durable_poison(durable, status);
    }
    return tsdb_durable_status(durable);
}

/* ---- all of it, at the end ------------------------------------------------------------------ */

/* What is dumped: a shard of a window at a time. */
struct dumping {
    struct tsdb_durable *durable;
    const struct tsdb_window *window;
    struct quarry_error *error;
    struct describing describing;
    struct tsdb_open_read read;
    struct tsdb_histogram_batch histograms;
    struct tsdb_buffer encoded; /* of the histograms of a block */
    int64_t t_ms[TSDB_BLOCK_SAMPLES];
    uint64_t bits[TSDB_BLOCK_SAMPLES];
    struct tsdb_log_sample samples[TSDB_BLOCK_SAMPLES];
    struct tsdb_log_histogram logged[TSDB_BLOCK_SAMPLES];
};

/* Encodes a block's histograms. Errors: QUARRY_NO_MEMORY. */
static enum quarry_status histograms_gather(struct dumping *dumping, uint32_t id)
{
    const struct tsdb_histogram_batch *batch = &dumping->histograms;
    size_t byte_count = 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        byte_count += tsdb_histogram_bytes_max(&batch->items[i]);
    }
    enum quarry_status status = tsdb_buffer_reserve(&dumping->encoded, byte_count);
    uint8_t *at = dumping->encoded.bytes;
    for (uint32_t i = 0; i < batch->count && status == QUARRY_OK; i++) {
        at = histogram_encode(&batch->items[i], id, at, &dumping->logged[i]);
    }
    return status;
}

static enum quarry_status block_dump(struct dumping *dumping, uint32_t id, uint32_t count)
{
    const bool has_histograms = dumping->histograms.count != 0;
    const struct tsdb_log_batch batch = {.window = dumping->window->number,
                                         .samples = dumping->samples,
                                         .sample_count = has_histograms ? 0 : count,
                                         .histograms = dumping->logged,
                                         .histogram_count = dumping->histograms.count,
                                         .describe = describe,
                                         .argument = &dumping->describing};
    struct tsdb_log_ticket ticket;
    enum quarry_status status = histograms_gather(dumping, id);

    for (uint32_t i = 0; i < batch.sample_count; i++) {
        dumping->samples[i] = (struct tsdb_log_sample){id, dumping->t_ms[i], dumping->bits[i]};
    }
    return status == QUARRY_OK
               ? tsdb_log_append(dumping->durable->log, &batch, &ticket, dumping->error)
               : error_set(dumping->error, status, "no memory to log histograms");
}

static enum quarry_status chain_dump(struct dumping *dumping, uint32_t id,
                                     const struct tsdb_open_shard *shard,
                                     const struct tsdb_chain *chain)
{
    const struct tsdb_memory *memory = &dumping->durable->tsdb->small[TSDB_PART_QUERY];
    enum quarry_status status = tsdb_open_read_begin(&dumping->read, memory, shard, chain);
    uint32_t count = 1;

    while (status == QUARRY_OK && count != 0) {
        count = tsdb_open_read_take(&dumping->read, TSDB_BLOCK_SAMPLES, dumping->t_ms,
                                    dumping->bits, &dumping->histograms);
        Q_ASSERT(dumping->histograms.count == 0 || dumping->histograms.count == count);
        if (count != 0) {
            status = block_dump(dumping, id, count);
        }
    }
    return status != QUARRY_OK ? status : tsdb_open_read_status(&dumping->read);
}

static enum quarry_status window_dump(struct dumping *dumping)
{
    const struct tsdb_open *open = tsdb_window_open(dumping->window);
    enum quarry_status status = QUARRY_OK;
    const struct tsdb_chain *chain;

    for (uint32_t id = 1; open != NULL && status == QUARRY_OK; id++) {
        chain = tsdb_open_chain(open, id);
        if (chain == NULL) {
            break;
        }
        /* Relaxed: nobody appends any more. */
        if (atomic_load_relaxed_u32(&chain->first) != TSDB_CHUNKLET_NONE ||
            atomic_load_relaxed_u32(&chain->late) != TSDB_CHUNKLET_NONE) {
            status = chain_dump(dumping, id, &open->shard[tsdb_shard_of(id)], chain);
        }
    }
    return status;
}

enum quarry_status tsdb_durable_dump(struct tsdb_durable *durable, struct quarry_error *error)
{
    struct quarry_tsdb *tsdb = durable->tsdb;
    const struct tsdb_memory *memory = &tsdb->small[TSDB_PART_QUERY];
    struct dumping *dumping = tsdb_memory_take_zero(memory, sizeof(*dumping));
    enum quarry_status status = QUARRY_OK;

    if (dumping == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to log what is open");
    }
    dumping->durable = durable;
    dumping->histograms.memory = dumping->encoded.memory = memory;
    dumping->error = error;
    dumping->describing.registry = tsdb->registry;
    quarry_epoch_enter(tsdb->epoch);
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    for (uint32_t i = 0; i < view->window_count && status == QUARRY_OK; i++) {
        dumping->window = view->windows[i];
        /* One that is partly sealed is told of by its shards that are open alone: see sealing. */
        status = window_dump(dumping);
    }
    tsdb_view_release(&tsdb->views, view);
    quarry_epoch_leave(tsdb->epoch);
    tsdb_open_read_fini(&dumping->read, memory);
    tsdb_histogram_batch_fini(&dumping->histograms);
    tsdb_buffer_fini(&dumping->encoded);
    tsdb_memory_give(memory, dumping);
    return status;
}
