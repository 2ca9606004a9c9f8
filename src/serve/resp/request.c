/*
 * Copied requests.
 *
 *     request  | next, command, count | word | word | … | bytes of all words |
 *     queue    block ─> block ─> block, of pages; requests one behind the other, none across
 *
 * A request lies in one stretch and never moves, so that its words can be pointed to for as long as
 * the queue is there. The queue itself is in its first block.
 *
 * Invariant: `bytes` is the sum of what its requests take, and bounded by who adds.
 *
 * Locking: none; a queue has one owner at a time. Memory: pages of the account `resp`.
 */
#include <serve/resp/request.h>

#include <string.h>

#define ALIGN 8u

size_t resp_request_bytes(const struct quarry_kv_slice *words, size_t word_count)
{
    size_t bytes = sizeof(struct resp_request) + word_count * sizeof(words[0]);

    for (size_t i = 0; i < word_count; i++) {
        bytes += words[i].byte_count;
    }
    return size_align_up(bytes, ALIGN);
}

struct resp_request *resp_request_copy(void *room, const struct resp_command *command,
                                       const struct quarry_kv_slice *words, size_t word_count)
{
    struct resp_request *request = room;
    char *at = (char *)&request->words[word_count];

    Q_DCHECK(size_is_aligned((size_t)(uintptr_t)room, ALIGN));
    request->next = NULL;
    request->command = command;
    request->word_count = word_count;
    for (size_t i = 0; i < word_count; i++) {
        request->words[i] = (struct quarry_kv_slice){at, words[i].byte_count};
        if (words[i].byte_count > 0) {
            memcpy(at, words[i].bytes, words[i].byte_count);
        }
        at += words[i].byte_count;
    }
    return request;
}

/* ---- the queue ------------------------------------------------------------------------------ */

static struct resp_queue_block *block_create(const struct serve_memory *pages, size_t wanted)
{
    size_t bytes = serve_buffer_bytes(sizeof(struct resp_queue_block) + wanted);
    struct resp_queue_block *block = serve_buffer_take(pages, bytes);

    if (block != NULL) {
        *block = (struct resp_queue_block){.used = sizeof *block, .capacity = bytes};
    }
    return block;
}

struct resp_queue *resp_queue_create(const struct serve_memory *pages)
{
    struct resp_queue_block *block = block_create(pages, sizeof(struct resp_queue));

    if (block == NULL) {
        return NULL;
    }
    struct resp_queue *queue = (struct resp_queue *)(void *)(block + 1);
    *queue = (struct resp_queue){.pages = pages, .first_block = block, .last_block = block};
    block->used += size_align_up(sizeof *queue, ALIGN);
    return queue;
}

void resp_queue_destroy(struct resp_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    const struct serve_memory *pages = queue->pages;
    struct resp_queue_block *block = queue->first_block;
    while (block != NULL) { /* the first of which has the queue */
        struct resp_queue_block *next = block->next;
        serve_buffer_give(pages, block);
        block = next;
    }
}

/* Room in the last block, or in a new one. NULL: no memory. */
static void *take_room(struct resp_queue *queue, size_t bytes)
{
    struct resp_queue_block *block = queue->last_block;

    if (bytes > block->capacity - block->used) {
        block = block_create(queue->pages, bytes);
        if (block == NULL) {
            return NULL;
        }
        queue->last_block->next = block;
        queue->last_block = block;
    }
    void *room = (char *)block + block->used;
    block->used += bytes;
    return room;
}

enum quarry_status resp_queue_add(struct resp_queue *queue, const struct resp_command *command,
                                  const struct quarry_kv_slice *words, size_t word_count,
                                  size_t bytes_max)
{
    size_t bytes = resp_request_bytes(words, word_count);

    if (bytes > bytes_max || queue->bytes > bytes_max - bytes) {
        return QUARRY_TOO_LARGE;
    }
    void *room = take_room(queue, bytes);
    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    struct resp_request *request = resp_request_copy(room, command, words, word_count);
    if (queue->last == NULL) {
        queue->first = request;
    } else {
        queue->last->next = request;
    }
    queue->last = request;
    queue->count++;
    queue->bytes += bytes;
    queue->has_slow |= (command->flags & RESP_SLOW) != 0;
    queue->wants_all |= (command->flags & RESP_ALL_KEYS) != 0;
    queue->writes |= (command->flags & RESP_WRITES) != 0;
    return QUARRY_OK;
}

uint32_t resp_queue_count(const struct resp_queue *queue)
{
    return queue == NULL ? 0 : queue->count;
}
