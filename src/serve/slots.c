/*
 * Connections in chunks of 64 KiB, by index.
 *
 *     chunks  | base used free | base used free | ...        the table, one run of pages
 *                 |
 *                 v
 *     chunk   | slot | slot | slot | ...                     a connection and its door's state
 *
 *     id      | serial, 36 bits | worker, 8 | slot, 20 |     the serial is new each time
 *
 * A chunk whose last connection has gone is given back, but the first one. New connections go to
 * the lowest chunk with room, so that the upper ones empty.
 *
 * Invariants:
 *   1. An id is given out once: at a million connections a second the serial lasts 19 hours for
 *      each worker, at ten thousand, 80 days; then one could return for who kept it so long.
 *   2. A slot that is free has an id of 0 where a connection keeps its own: it is zeroed when it is
 *      given back, but for its link, which lies at its end.
 */
#include <serve/slots.h>

#include <string.h>

#define CHUNK_BYTES Q_KIB(64)

bool serve_slots_init(struct serve_slots *slots, const struct serve_memory *memory,
                      uint32_t worker_index, size_t slot_bytes)
{
    slot_bytes = size_align_up(slot_bytes + sizeof(uint32_t), Q_CACHE_LINE_BYTES);
    Q_ASSERT(slot_bytes <= CHUNK_BYTES && worker_index < 1u << SERVE_ID_WORKER_BITS);
    *slots = (struct serve_slots){.memory = memory,
                                  .worker_index = worker_index,
                                  .slot_bytes = slot_bytes,
                                  .slots_per_chunk = (uint32_t)(CHUNK_BYTES / slot_bytes)};
    slots->chunks = serve_buffer_take_zeroed(memory, QUARRY_PAGE_BYTES);
    slots->chunk_count = QUARRY_PAGE_BYTES / sizeof(*slots->chunks);
    return slots->chunks != NULL;
}

void serve_slots_fini(struct serve_slots *slots)
{
    if (slots->chunks == NULL) {
        return;
    }
    for (uint32_t i = 0; i < slots->chunk_count; i++) {
        Q_ASSERT(slots->chunks[i].used_count == 0);
        serve_buffer_give(slots->memory, slots->chunks[i].base);
    }
    serve_buffer_give(slots->memory, slots->chunks);
    slots->chunks = NULL;
}

static char *slot_at(const struct serve_slots *slots, const struct serve_chunk *chunk,
                     uint32_t index)
{
    return chunk->base + index * slots->slot_bytes;
}

/* The free slot's link, at its end. */
static uint32_t *slot_link(const struct serve_slots *slots, char *slot)
{
    return (uint32_t *)(void *)(slot + slots->slot_bytes - sizeof(uint32_t));
}

static bool chunk_begin(struct serve_slots *slots, struct serve_chunk *chunk)
{
    chunk->base = serve_buffer_take_zeroed(slots->memory, CHUNK_BYTES);
    if (chunk->base == NULL) {
        return false;
    }
    for (uint32_t i = slots->slots_per_chunk; i > 0; i--) {
        *slot_link(slots, slot_at(slots, chunk, i - 1)) = i == slots->slots_per_chunk ? 0 : i + 1;
    }
    chunk->first_free = 1;
    return true;
}

Q_COLD static bool table_enlarge(struct serve_slots *slots)
{
    size_t bytes = slots->chunk_count * sizeof(*slots->chunks);
    struct serve_chunk *chunks = serve_buffer_take_zeroed(slots->memory, bytes * 2);

    if (chunks == NULL) {
        return false;
    }
    memcpy(chunks, slots->chunks, bytes);
    serve_buffer_give(slots->memory, slots->chunks);
    slots->chunks = chunks;
    slots->chunk_count *= 2;
    return true;
}

/* The lowest chunk with a free slot, perhaps a new one; NULL: no memory, or no index is left. */
static struct serve_chunk *chunk_find(struct serve_slots *slots)
{
    for (uint32_t i = slots->first_chunk;; i++) {
        if ((uint64_t)(i + 1) * slots->slots_per_chunk > 1u << SERVE_ID_SLOT_BITS ||
            (i == slots->chunk_count && !table_enlarge(slots))) {
            return NULL;
        }
        struct serve_chunk *chunk = &slots->chunks[i];
        if (chunk->base == NULL && !chunk_begin(slots, chunk)) {
            return NULL;
        }
        if (chunk->first_free != 0) {
            slots->first_chunk = i;
            return chunk;
        }
    }
}

struct serve_connection *serve_slots_take(struct serve_slots *slots, uint64_t *ret_id)
{
    struct serve_chunk *chunk = chunk_find(slots);

    if (chunk == NULL) {
        return NULL;
    }
    uint32_t in_chunk = chunk->first_free - 1;
    char *slot = slot_at(slots, chunk, in_chunk);
    chunk->first_free = *slot_link(slots, slot);
    *slot_link(slots, slot) = 0;
    chunk->used_count++;
    uint64_t index = (uint64_t)slots->first_chunk * slots->slots_per_chunk + in_chunk;
    slots->serial++;
    *ret_id = slots->serial << (SERVE_ID_WORKER_BITS + SERVE_ID_SLOT_BITS) |
              (uint64_t)slots->worker_index << SERVE_ID_SLOT_BITS | index;
    return (struct serve_connection *)(void *)slot;
}

static uint32_t id_slot(uint64_t id)
{
    return (uint32_t)(id & ((1u << SERVE_ID_SLOT_BITS) - 1));
}

void serve_slots_give(struct serve_slots *slots, uint64_t id)
{
    uint32_t chunk_index = id_slot(id) / slots->slots_per_chunk;
    uint32_t in_chunk = id_slot(id) % slots->slots_per_chunk;
    struct serve_chunk *chunk = &slots->chunks[chunk_index];
    char *slot = slot_at(slots, chunk, in_chunk);

    Q_ASSERT(chunk_index < slots->chunk_count && chunk->used_count > 0);
    memset(slot, 0, slots->slot_bytes); /* invariant 2 */
    *slot_link(slots, slot) = chunk->first_free;
    chunk->first_free = in_chunk + 1;
    chunk->used_count--;
    if (chunk->used_count == 0 && chunk_index != 0) {
        serve_buffer_give(slots->memory, chunk->base);
        *chunk = (struct serve_chunk){0};
    }
    slots->first_chunk = chunk_index < slots->first_chunk ? chunk_index : slots->first_chunk;
}

uint32_t serve_slots_count(const struct serve_slots *slots)
{
    return slots->chunk_count * slots->slots_per_chunk;
}

struct serve_connection *serve_slots_by_index(const struct serve_slots *slots, uint32_t index)
{
    uint32_t chunk_index = index / slots->slots_per_chunk;

    if (chunk_index >= slots->chunk_count || slots->chunks[chunk_index].base == NULL) {
        return NULL;
    }
    return (struct serve_connection *)(void *)slot_at(slots, &slots->chunks[chunk_index],
                                                      index % slots->slots_per_chunk);
}

struct serve_connection *serve_slots_at(const struct serve_slots *slots, uint64_t id)
{
    return serve_slots_by_index(slots, id_slot(id));
}
