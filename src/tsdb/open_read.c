/*
 * An open window as a reader sees it: two sorted streams become one.
 *
 *     chain of chunklets ──decode──> 256 samples ──┐
 *                                                  ├──merge──> what is given, in rising time
 *     late chunklets ──collect, sort──────────────┘
 *
 * A chunklet is copied when it is loaded, so that what is decoded does not change, and the chain
 * may grow: its last chunklet is read as it was at that moment.
 *
 * At the same moment the sample that came in order is given, and the late one is left out. Sealing
 * reads through here as well, so that a window says the same before and after.
 */
#include <tsdb/open_read.h>

enum quarry_status tsdb_open_read_begin(struct tsdb_open_read *read,
                                        const struct tsdb_memory *memory,
                                        const struct tsdb_open_shard *shard,
                                        const struct tsdb_chain *chain)
{
    read->shard = shard;
    read->at = 0;
    read->count = 0;
    read->late_at = 0;
    /* Acquire: pairs with the release in shard.c. */
    read->next = chain == NULL ? TSDB_CHUNKLET_NONE : atomic_load_acquire_u32(&chain->first);
    tsdb_reader_init(&read->reader);
    return tsdb_late_collect(&read->late, memory, shard, chain);
}

void tsdb_open_read_fini(struct tsdb_open_read *read, const struct tsdb_memory *memory)
{
    tsdb_late_fini(&read->late, memory);
}

/* Decodes samples in order until the block is full or the chain ends. */
static void block_fill(struct tsdb_open_read *read)
{
    read->at = 0;
    read->count = 0;
    for (;;) {
        read->count += tsdb_reader_take(&read->reader, TSDB_BLOCK_SAMPLES - read->count,
                                        read->t_ms + read->count, read->bits + read->count);
        if (read->count == TSDB_BLOCK_SAMPLES || read->next == TSDB_CHUNKLET_NONE ||
            tsdb_reader_status(&read->reader) != QUARRY_OK) {
            return;
        }
        read->next = tsdb_reader_load(&read->reader, tsdb_open_chunklet(read->shard, read->next),
                                      read->next);
    }
}

uint32_t tsdb_open_read_take(struct tsdb_open_read *read, uint32_t count_max, int64_t *ret_t_ms,
                             uint64_t *ret_bits)
{
    const struct tsdb_late *late = &read->late;
    uint32_t count = 0;

    while (count < count_max) {
        if (read->at == read->count) {
            block_fill(read);
        }
        bool has_order = read->at < read->count, has_late = read->late_at < late->count;
        if (!has_order && !has_late) {
            break;
        }
        int64_t late_ms = has_late ? late->samples[read->late_at].t_ms : INT64_MAX;
        bool is_order = has_order && read->t_ms[read->at] <= late_ms;
        if (is_order && has_late && read->t_ms[read->at] == late_ms) {
            read->late_at++;
        }
        ret_t_ms[count] = is_order ? read->t_ms[read->at] : late_ms;
        ret_bits[count] = is_order ? read->bits[read->at] : late->samples[read->late_at].bits;
        read->at += is_order;
        read->late_at += !is_order;
        count++;
    }
    return count;
}
