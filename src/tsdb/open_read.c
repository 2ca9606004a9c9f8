/*
 * An open window as a reader sees it: two sorted streams become one.
 *
 *     chain of chunklets ──decode──> 256 floats, or a histogram ──┐
 *                                                                 ├──merge──> what is given, in
 *     late chunklets ──collect, sort─────────────────────────────┘            rising time
 *
 * A chunklet is copied when it is loaded, so that what is decoded does not change, and the chain
 * may grow: its last chunklet is read as it was at that moment. Where kinds of chunklets change,
 * decoding begins anew, as encoding did; a writer's state between them is passed over.
 *
 * Of a window that is filled (turn.c) the first stream is what lay sealed before, and there is no
 * chain; all that came since is late.
 *
 * At the same moment the sample that came in order is given, and the late one is left out. Sealing
 * reads through here as well, so that a window says the same before and after.
 *
 * What is given at once is of one kind: floats, or histograms. Whoever merges looks at what comes
 * next of both streams before it takes it, so that nothing is taken that cannot be given.
 */
#include <tsdb/open_read.h>

enum quarry_status tsdb_open_read_begin(struct tsdb_open_read *read,
                                        const struct tsdb_memory *memory,
                                        const struct tsdb_open_shard *shard,
                                        const struct tsdb_chain *chain)
{
    read->memory = memory;
    read->shard = shard;
    read->status = QUARRY_OK;
    read->at = 0;
    read->count = 0;
    read->late_at = 0;
    read->has_histogram = false;
    read->has_base = false;
    /* Acquire: pairs with the release in shard.c. */
    read->next = chain == NULL ? TSDB_CHUNKLET_NONE : atomic_load_acquire_u32(&chain->first);
    tsdb_reader_init(&read->reader);
    tsdb_histogram_chain_begin(&read->histograms);
    return tsdb_late_collect(&read->late, memory, shard, chain);
}

enum quarry_status tsdb_open_read_begin_filling(struct tsdb_open_read *read,
                                                const struct tsdb_memory *memory,
                                                const struct tsdb_open *open, uint32_t id,
                                                int64_t min_ms)
{
    uint32_t shard = tsdb_shard_of(id);
    enum quarry_status status =
        tsdb_open_read_begin(read, memory, &open->shard[shard], tsdb_open_chain(open, id));

    Q_DCHECK(read->next == TSDB_CHUNKLET_NONE);
    read->has_base = true;
    read->base_batch.memory = memory;
    tsdb_histogram_batch_begin(&read->base_batch);
    read->base_at = 0;
    tsdb_sealed_read_begin(&read->base, tsdb_open_base(open), shard, tsdb_local_of(id), min_ms);
    return status;
}

void tsdb_open_read_fini(struct tsdb_open_read *read, const struct tsdb_memory *memory)
{
    if (read->base_batch.memory != NULL) {
        tsdb_histogram_batch_fini(&read->base_batch);
    }
    tsdb_late_fini(&read->late, memory);
    tsdb_histogram_chain_fini(&read->histograms, memory);
    tsdb_histogram_chain_fini(&read->late_histograms, memory);
}

/* ---- in order ------------------------------------------------------------------------------- */

static const struct tsdb_chunklet *next_chunklet(const struct tsdb_open_read *read)
{
    return tsdb_open_chunklet(read->shard, read->next);
}

static bool next_is_floats(const struct tsdb_open_read *read)
{
    return read->next != TSDB_CHUNKLET_NONE &&
           tsdb_chunklet_look(next_chunklet(read)).kind == TSDB_CHUNKLET_FLOATS;
}

/* Decodes floats until the block is full, or the chain ends, or goes on in another kind. */
static enum quarry_status floats_fill(struct tsdb_open_read *read)
{
    read->at = 0;
    read->count = 0;
    for (;;) {
        read->count += tsdb_reader_take(&read->reader, TSDB_BLOCK_SAMPLES - read->count,
                                        read->t_ms + read->count, read->bits + read->count);
        if (read->count == TSDB_BLOCK_SAMPLES || !next_is_floats(read) ||
            tsdb_reader_status(&read->reader) != QUARRY_OK) {
            return read->count != 0 ? QUARRY_OK : tsdb_reader_status(&read->reader);
        }
        read->next = tsdb_reader_load(&read->reader, next_chunklet(read), read->next);
    }
}

/* Goes on into a chunklet that is no floats'. */
static enum quarry_status histograms_load(struct tsdb_open_read *read)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(next_chunklet(read));

    if (tsdb_reader_status(&read->reader) != QUARRY_OK) {
        return QUARRY_CORRUPT;
    }
    tsdb_reader_init(&read->reader); /* floats that follow begin anew */
    if (view.kind == TSDB_CHUNKLET_STATE) {
        read->next = view.next;
        return QUARRY_OK;
    }
    return tsdb_histogram_chain_load(&read->histograms, read->memory, next_chunklet(read),
                                     &read->next);
}

static enum quarry_status histogram_take(struct tsdb_open_read *read)
{
    enum quarry_status status = tsdb_histogram_chain_take(&read->histograms, read->memory);

    read->has_histogram = status == QUARRY_OK;
    return status;
}

/* Has the next sample of the base, if there is one. A histogram lies in the batch meanwhile. */
static enum quarry_status base_have(struct tsdb_open_read *read)
{
    struct tsdb_histogram_batch *batch = &read->base_batch;
    uint32_t count = 0;

    if (read->base_at == batch->count) {
        read->at = read->count = read->base_at = 0;
        enum quarry_status status =
            tsdb_sealed_read_take(&read->base, read->t_ms, read->bits, batch, &count);
        if (status != QUARRY_OK) {
            tsdb_histogram_batch_begin(batch);
            return status;
        }
        read->count = batch->count == 0 ? count : 0;
    }
    if (read->base_at < batch->count) {
        read->histograms.last = batch->items[read->base_at++];
        read->has_histogram = true;
    }
    return QUARRY_OK;
}

/* Has the next sample in order, if there is one: a float, or a histogram. */
static enum quarry_status order_have(struct tsdb_open_read *read)
{
    enum quarry_status status = QUARRY_OK;

    if (read->has_base) {
        return read->at < read->count || read->has_histogram ? QUARRY_OK : base_have(read);
    }
    while (status == QUARRY_OK && read->at == read->count && !read->has_histogram) {
        if (read->histograms.left > 0) {
            status = histogram_take(read);
        } else if (read->reader.left > 0 || next_is_floats(read)) {
            tsdb_histogram_chain_begin(&read->histograms);
            status = floats_fill(read);
        } else if (read->next == TSDB_CHUNKLET_NONE) {
            return tsdb_reader_status(&read->reader);
        } else {
            status = histograms_load(read);
        }
    }
    return status;
}

/* ---- merging -------------------------------------------------------------------------------- */

/* What comes next. */
struct next {
    bool is_there, is_late, is_histogram, is_both; /* both: of one moment; the late one goes too */
};

static struct next next_of(const struct tsdb_open_read *read)
{
    bool has_order = read->at < read->count || read->has_histogram;
    bool has_late = read->late_at < read->late.count;
    int64_t order_ms = read->has_histogram ? read->histograms.last.t_ms
                                           : (has_order ? read->t_ms[read->at] : INT64_MAX);
    int64_t late_ms = has_late ? read->late.samples[read->late_at].t_ms : INT64_MAX;
    bool is_late = has_late && (!has_order || late_ms < order_ms);

    return (struct next){
        .is_there = has_order || has_late,
        .is_late = is_late,
        .is_histogram = is_late ? read->late.samples[read->late_at].number != TSDB_CHUNKLET_NONE
                                : read->has_histogram,
        .is_both = has_order && has_late && late_ms == order_ms,
    };
}

static void advance(struct tsdb_open_read *read, struct next next)
{
    read->late_at += next.is_late || next.is_both;
    if (!next.is_late && read->has_histogram) {
        read->has_histogram = false;
    } else if (!next.is_late) {
        read->at++;
    }
}

/* Puts a histogram in the batch. QUARRY_BUSY: there is no more room in it. */
static enum quarry_status histogram_give(struct tsdb_open_read *read, struct next next,
                                         struct tsdb_histogram_batch *batch, int64_t *ret_t_ms,
                                         uint64_t *ret_bits)
{
    struct tsdb_histogram late;
    const struct tsdb_histogram *histogram = &read->histograms.last;
    enum quarry_status status = QUARRY_OK;

    if (next.is_late) {
        status = tsdb_histogram_chain_late(&read->late_histograms, read->memory, read->shard,
                                           read->late.samples[read->late_at].number, &late);
        histogram = &late;
    }
    if (status == QUARRY_OK) {
        status = tsdb_histogram_batch_put(batch, histogram);
    }
    if (status == QUARRY_OK) {
        *ret_t_ms = histogram->t_ms;
        *ret_bits = histogram->sum_bits;
    }
    return status;
}

static void float_give(const struct tsdb_open_read *read, struct next next, int64_t *ret_t_ms,
                       uint64_t *ret_bits)
{
    const struct tsdb_late_sample *late = &read->late.samples[read->late_at];

    *ret_t_ms = next.is_late ? late->t_ms : read->t_ms[read->at];
    *ret_bits = next.is_late ? late->bits : read->bits[read->at];
}

/* Gives floats in order, when nothing late is left to be merged. Returns: how many. */
static uint32_t floats_give(struct tsdb_open_read *read, uint32_t count_max, int64_t *ret_t_ms,
                            uint64_t *ret_bits)
{
    uint32_t count = (uint32_t)size_min(count_max, read->count - read->at);

    if (read->late_at < read->late.count || read->has_histogram) {
        return 0;
    }
    memcpy(ret_t_ms, read->t_ms + read->at, count * sizeof(*ret_t_ms));
    memcpy(ret_bits, read->bits + read->at, count * sizeof(*ret_bits));
    read->at += count;
    return count;
}

uint32_t tsdb_open_read_take(struct tsdb_open_read *read, uint32_t count_max, int64_t *ret_t_ms,
                             uint64_t *ret_bits, struct tsdb_histogram_batch *batch)
{
    uint32_t count = 0;

    tsdb_histogram_batch_begin(batch);
    while (count < count_max) {
        read->status = order_have(read);
        if (batch->count == 0 && read->at < read->count) {
            count += floats_give(read, count_max - count, ret_t_ms + count, ret_bits + count);
            if (count == count_max || read->at == read->count) {
                continue;
            }
        }
        struct next next = next_of(read);
        if (read->status != QUARRY_OK || !next.is_there ||
            (count != 0 && next.is_histogram != (batch->count != 0))) {
            break;
        }
        if (next.is_histogram) {
            read->status = histogram_give(read, next, batch, ret_t_ms + count, ret_bits + count);
        } else {
            float_give(read, next, ret_t_ms + count, ret_bits + count);
        }
        if (read->status != QUARRY_OK) {
            break;
        }
        advance(read, next);
        count++;
    }
    read->status = count != 0 ? QUARRY_OK : read->status;
    return count;
}
