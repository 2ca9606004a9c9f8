/*
 * The small queue: a list of chunks.
 *
 *     oldest                                          youngest
 *     │ next │ first, end │ taken … │ e │ e │ e │ ──> │ next │ first, end │ e │ e │ free … │
 *
 * Entries are 8 bytes, as few as an item can be named by, and only the small queue has them: nine
 * of ten items are in the main queue, which costs none. Chunks are of 256 bytes at first and 4 KiB
 * when there are many.
 *
 * Invariants:
 *   1. Every chunk but the youngest is full, and every one has an entry that is not taken.
 *   2. `count` is the sum of end − first.
 *
 * Locking: the mutex, for a few stores. A chunk is taken and given back outside it; one that has
 * been emptied is kept, so that a queue of constant length takes nothing.
 *
 * Rejected: a ring that doubles, which copies it whole, or strands half of it. A lock-free ring:
 * pushes of one tenant would still meet at its end, and what takes long in a set is elsewhere.
 */
#include <cache/queue.h>

#include <cache/types.h>

void cache_queue_init(struct cache_queue *ret_queue, struct quarry_cache *cache, uint32_t order)
{
    *ret_queue = (struct cache_queue){.cache = cache};
    os_mutex_init(&ret_queue->mutex, OS_RANK_CACHE_QUEUE, order);
}

static void chunk_free(struct cache_queue *queue, struct cache_queue_chunk *chunk)
{
    if (chunk != NULL) {
        (void)atomic_sub_relaxed_u64(&queue->bytes, chunk->bytes);
        cache_memory_give(queue->cache, chunk, chunk->bytes);
    }
}

void cache_queue_fini(struct cache_queue *queue)
{
    while (queue->oldest != NULL) {
        struct cache_queue_chunk *chunk = queue->oldest;
        queue->oldest = chunk->next;
        chunk_free(queue, chunk);
    }
    chunk_free(queue, queue->spare);
    *queue = (struct cache_queue){0};
}

/* ---- adding --------------------------------------------------------------------------------- */

/* As much again as there is, in a power of two. */
static uint64_t chunk_bytes_for(uint64_t bytes)
{
    return UINT64_C(1) << bits_log2_floor_u64(bytes + CACHE_CHUNK_BYTES_FIRST);
}

/* A chunk as large as suits a queue of so many entries. NULL: there is no memory. */
static struct cache_queue_chunk *chunk_make(struct cache_queue *queue)
{
    uint64_t bytes = atomic_load_relaxed_u64(&queue->bytes);

    bytes = bytes < CACHE_CHUNK_BYTES_MAX ? chunk_bytes_for(bytes) : CACHE_CHUNK_BYTES_MAX;
    struct cache_queue_chunk *chunk = cache_memory_take(queue->cache, bytes);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->bytes = (uint32_t)bytes;
    chunk->capacity = (uint32_t)((bytes - sizeof(*chunk)) / sizeof(uint64_t));
    (void)atomic_add_relaxed_u64(&queue->bytes, bytes);
    return chunk;
}

/* An empty chunk becomes the youngest. */
static void chunk_link_locked(struct cache_queue *queue, struct cache_queue_chunk *chunk)
    Q_REQUIRES(&queue->mutex)
{
    chunk->next = NULL;
    chunk->first = chunk->end = 0;
    if (queue->youngest == NULL) {
        queue->oldest = chunk;
    } else {
        Q_ASSERT(queue->youngest->end == queue->youngest->capacity); /* 1 */
        queue->youngest->next = chunk;
    }
    queue->youngest = chunk;
}

/* `*brought`: a chunk for the case that there is no room; cleared if it was used. */
static bool push_locked(struct cache_queue *queue, uint64_t entry,
                        struct cache_queue_chunk **brought) Q_REQUIRES(&queue->mutex)
{
    if (queue->youngest == NULL || queue->youngest->end == queue->youngest->capacity) {
        struct cache_queue_chunk **from = queue->spare != NULL ? &queue->spare : brought;
        if (*from == NULL) {
            return false;
        }
        chunk_link_locked(queue, *from);
        *from = NULL;
    }
    queue->youngest->entry[queue->youngest->end++] = entry;
    atomic_bump_relaxed_u64(&queue->count, 1);
    return true;
}

static bool push_slow(struct cache_queue *queue, uint64_t entry)
{
    struct cache_queue_chunk *chunk = chunk_make(queue);

    if (chunk == NULL) {
        return false;
    }
    os_mutex_lock(&queue->mutex);
    bool is_pushed = push_locked(queue, entry, &chunk);
    os_mutex_unlock(&queue->mutex);
    Q_ASSERT(is_pushed);
    chunk_free(queue, chunk); /* another thread brought one first */
    return true;
}

bool cache_queue_push(struct cache_queue *queue, uint64_t entry)
{
    struct cache_queue_chunk *none = NULL;

    os_mutex_lock(&queue->mutex);
    bool is_pushed = push_locked(queue, entry, &none);
    os_mutex_unlock(&queue->mutex);
    return Q_LIKELY(is_pushed) || push_slow(queue, entry);
}

/* ---- taking out ----------------------------------------------------------------------------- */

/* The oldest chunk is empty: it is kept as the spare one, or returned to be freed. */
static struct cache_queue_chunk *chunk_unlink_locked(struct cache_queue *queue)
    Q_REQUIRES(&queue->mutex)
{
    struct cache_queue_chunk *chunk = queue->oldest;

    queue->oldest = chunk->next;
    if (queue->oldest == NULL) {
        queue->youngest = NULL;
    }
    if (queue->spare == NULL) {
        queue->spare = chunk;
        return NULL;
    }
    return chunk;
}

uint32_t cache_queue_pop(struct cache_queue *queue, uint64_t *entries, uint32_t capacity)
{
    struct cache_queue_chunk *emptied = NULL;
    uint32_t count = 0;

    os_mutex_lock(&queue->mutex);
    /* One chunk in a call: no more than one is to be freed. */
    struct cache_queue_chunk *chunk = queue->oldest;
    while (chunk != NULL && count < capacity && chunk->first < chunk->end) {
        entries[count++] = chunk->entry[chunk->first++];
    }
    if (chunk != NULL && chunk->first == chunk->end) {
        emptied = chunk_unlink_locked(queue);
    }
    atomic_bump_relaxed_u64(&queue->count, -(uint64_t)count); /* 2 */
    os_mutex_unlock(&queue->mutex);
    chunk_free(queue, emptied);
    return count;
}
