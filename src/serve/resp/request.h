/*
 * Requests that outlive their turn: words that were copied, for MULTI and for the executor.
 */
#ifndef QUARRY_SERVE_RESP_REQUEST_H
#define QUARRY_SERVE_RESP_REQUEST_H

#include <serve/buffers.h>
#include <serve/resp/resp.h>

struct resp_request {
    struct resp_request *next;
    const struct resp_command *command;
    size_t word_count;
    struct quarry_kv_slice words[]; /* their bytes lie behind them */
};

/* How much a request takes. */
size_t resp_request_bytes(const struct quarry_kv_slice *words, size_t word_count);
/* Copies one into `room`, of so many bytes. */
struct resp_request *resp_request_copy(void *room, const struct resp_command *command,
                                       const struct quarry_kv_slice *words, size_t word_count);

/* ---- what MULTI has queued ------------------------------------------------------------------ */

/* A block of pages with requests in it. */
struct resp_queue_block {
    struct resp_queue_block *next;
    size_t used, capacity;
};

struct resp_queue {
    const struct serve_memory *pages; /* borrowed */
    struct resp_queue_block *first_block, *last_block;
    struct resp_request *first, *last;
    uint32_t count;
    size_t bytes;   /* of all words */
    bool has_slow;  /* one of them is for the executor */
    bool wants_all; /* one of them locks all keys */
    bool writes;    /* one of them does */
};

/* NULL: no memory. */
struct resp_queue *resp_queue_create(const struct serve_memory *pages);
void resp_queue_destroy(struct resp_queue *queue);
/* Copies a request to its end. Errors: QUARRY_NO_MEMORY; QUARRY_TOO_LARGE (above `bytes_max`). */
enum quarry_status resp_queue_add(struct resp_queue *queue, const struct resp_command *command,
                                  const struct quarry_kv_slice *words, size_t word_count,
                                  size_t bytes_max);

#endif
