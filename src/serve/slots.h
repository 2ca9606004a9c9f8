/*
 * Where a worker's connections lie, and how their ids find them.
 */
#ifndef QUARRY_SERVE_SLOTS_H
#define QUARRY_SERVE_SLOTS_H

#include <serve/buffers.h>

struct serve_connection;

/* An id: what counts up, the worker, the slot. */
#define SERVE_ID_SLOT_BITS   20u
#define SERVE_ID_WORKER_BITS 8u

/* The worker of a connection, by its id. */
static inline uint32_t serve_id_worker(uint64_t id)
{
    return (uint32_t)(id >> SERVE_ID_SLOT_BITS) & ((1u << SERVE_ID_WORKER_BITS) - 1);
}

struct serve_chunk {
    char *base; /* NULL: not there */
    uint32_t used_count;
    uint32_t first_free; /* index in the chunk + 1; 0: none */
};

/* Of one worker; owner thread's throughout. */
struct serve_slots {
    const struct serve_memory *memory;
    uint32_t worker_index;
    size_t slot_bytes;
    uint32_t slots_per_chunk;
    struct serve_chunk *chunks;
    uint32_t chunk_count; /* of the table */
    uint32_t first_chunk; /* none below it has a free slot */
    uint64_t serial;
};

/* `slot_bytes`: of a connection with its door's state. Returns: false: no memory. */
bool serve_slots_init(struct serve_slots *slots, const struct serve_memory *memory,
                      uint32_t worker_index, size_t slot_bytes);
/* All have been given back. */
void serve_slots_fini(struct serve_slots *slots);
/* A slot, all zero, and the id of what will be in it, which is never 0. NULL: no memory. */
struct serve_connection *serve_slots_take(struct serve_slots *slots, uint64_t *ret_id);
void serve_slots_give(struct serve_slots *slots, uint64_t id);
/* What is or was in the slot of an id; NULL: nothing was. The caller compares ids. */
struct serve_connection *serve_slots_at(const struct serve_slots *slots, uint64_t id);
/* How many indexes there are; and what lies in one, used or not; NULL: nothing can. */
uint32_t serve_slots_count(const struct serve_slots *slots);
struct serve_connection *serve_slots_by_index(const struct serve_slots *slots, uint32_t index);

#endif
