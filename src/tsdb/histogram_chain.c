/*
 * Histograms of a chain of chunklets, decoded.
 *
 *     chunklets   | …end of a, b, begin|ning of c, d | …
 *     bytes       | beginning of c | what is loaded |            c is decoded when its end is there
 *     rooms       | the last one | the next one |                and change places
 *
 * A histogram is coded against the one before it, so both are kept, in rooms that grow to what they
 * need. What a chunklet says it holds is not believed: a code that makes no sense, or ends behind
 * what is loaded, is corrupt.
 *
 * Locking: none; the caller sees to it that chunklets stay. Cost: histogram_open.c.
 */
#include <tsdb/histogram_chain.h>

#include <tsdb/shard.h>

/* Words of a room at first: a histogram of a hundred buckets. */
#define ROOM_WORDS_FIRST 256u

void tsdb_histogram_chain_begin(struct tsdb_histogram_chain *chain)
{
    chain->byte_count = chain->byte_at = 0;
    chain->left = 0;
    chain->has_last = false;
}

void tsdb_histogram_chain_fini(struct tsdb_histogram_chain *chain, const struct tsdb_memory *memory)
{
    tsdb_memory_give(memory, chain->bytes);
    tsdb_memory_give(memory, chain->room[0].words);
    tsdb_memory_give(memory, chain->room[1].words);
    *chain = (struct tsdb_histogram_chain){.bytes = NULL};
}

/* Has room for `count` bytes behind what is not decoded yet, which moves to the front. */
static enum quarry_status bytes_reserve(struct tsdb_histogram_chain *chain,
                                        const struct tsdb_memory *memory, size_t count)
{
    void *bytes = chain->bytes;
    size_t rest = chain->byte_count - chain->byte_at;
    enum quarry_status status =
        tsdb_memory_grow(memory, &bytes, &chain->byte_capacity, chain->byte_count + count, 1);

    chain->bytes = bytes;
    if (status != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    memmove(chain->bytes, chain->bytes + chain->byte_at, rest);
    chain->byte_count = rest;
    chain->byte_at = 0;
    return QUARRY_OK;
}

enum quarry_status tsdb_histogram_chain_load(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory,
                                             const struct tsdb_chunklet *chunklet,
                                             uint32_t *ret_next)
{
    struct tsdb_chunklet_view view;

    Q_ASSERT(chain->left == 0);
    if (bytes_reserve(chain, memory, TSDB_CHUNKLET_PAYLOAD_BYTES) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    uint32_t count = tsdb_bytes_read(chunklet, chain->bytes + chain->byte_count, &view);
    if (count == 0) {
        return QUARRY_CORRUPT;
    }
    *ret_next = view.next;
    chain->byte_count += count;
    chain->left = view.count;
    return QUARRY_OK;
}

/* Makes a room larger, whose contents may go. */
static enum quarry_status room_grow(struct tsdb_histogram_room *room,
                                    const struct tsdb_memory *memory)
{
    size_t words = room->count == 0 ? ROOM_WORDS_FIRST : 4 * room->count;

    if (room->count >= TSDB_HISTOGRAM_WORDS_MAX) {
        return QUARRY_CORRUPT; /* there is no such histogram */
    }
    uint64_t *larger =
        tsdb_memory_take(memory, size_min(words, TSDB_HISTOGRAM_WORDS_MAX) * sizeof(*larger));
    if (larger == NULL) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_memory_give(memory, room->words);
    *room = (struct tsdb_histogram_room){larger, size_min(words, TSDB_HISTOGRAM_WORDS_MAX)};
    return QUARRY_OK;
}

/* Decodes into the free room, which grows as it must. */
static enum quarry_status decode(struct tsdb_histogram_chain *chain,
                                 const struct tsdb_memory *memory, const uint8_t *bytes,
                                 size_t count, const struct tsdb_histogram *before,
                                 struct tsdb_histogram *ret_histogram, size_t *ret_consumed)
{
    struct tsdb_histogram_room *room = &chain->room[1 - chain->turn];
    enum quarry_status status = QUARRY_OK;

    if (room->count == 0) {
        status = room_grow(room, memory);
    }
    while (status == QUARRY_OK) {
        status = tsdb_histogram_decode(bytes, count, before, *room, ret_histogram, ret_consumed);
        if (status != QUARRY_NO_MEMORY) {
            return status;
        }
        status = room_grow(room, memory);
    }
    return status;
}

enum quarry_status tsdb_histogram_chain_take(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory)
{
    const struct tsdb_histogram *before = chain->has_last ? &chain->last : NULL;
    struct tsdb_histogram next;
    size_t consumed = 0;

    Q_ASSERT(chain->left > 0);
    enum quarry_status status =
        decode(chain, memory, chain->bytes + chain->byte_at, chain->byte_count - chain->byte_at,
               before, &next, &consumed);
    if (status != QUARRY_OK) {
        return status;
    }
    chain->byte_at += consumed;
    chain->left--;
    chain->last = next;
    chain->turn = 1 - chain->turn;
    chain->has_last = true;
    return QUARRY_OK;
}

enum quarry_status tsdb_histogram_chain_late(struct tsdb_histogram_chain *chain,
                                             const struct tsdb_memory *memory,
                                             const struct tsdb_open_shard *shard, uint32_t number,
                                             struct tsdb_histogram *ret_histogram)
{
    int64_t t_ms;
    uint32_t count;
    size_t consumed;

    if (!tsdb_shard_late_histogram(shard, number, &t_ms, &count) || count == 0) {
        return QUARRY_CORRUPT;
    }
    uint8_t *bytes = tsdb_memory_take(memory, TSDB_SHARD_HISTOGRAM_HEAD + (size_t)count);
    if (bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    tsdb_shard_row_read(shard, number, bytes, TSDB_SHARD_HISTOGRAM_HEAD + (size_t)count);
    enum quarry_status status = decode(chain, memory, bytes + TSDB_SHARD_HISTOGRAM_HEAD, count,
                                       NULL, ret_histogram, &consumed);
    tsdb_memory_give(memory, bytes);
    return status;
}
