/*
 * Things that are gathered before they are said, because how many there are comes first.
 */
#ifndef QUARRY_SERVE_RESP_COLLECT_H
#define QUARRY_SERVE_RESP_COLLECT_H

#include <serve/resp/resp.h>

/* What an item counts for beside its bytes: what an answer and a chunk have around it. */
#define RESP_ITEM_BYTES 32u

struct resp_chunk;

struct resp_collection {
    const struct serve_memory *memory; /* borrowed */
    uint64_t bytes_max;                /* of items and what is around them */
    struct resp_chunk *first, *last;   /* own */
    size_t item_count;
    uint64_t byte_count;
    enum quarry_status status; /* the first failure; nothing is added after one */
};

/*
 * An empty one, for an answer of a call: longer than that may be it is not. Who wants more asks in
 * pieces: SCAN, and KV.RANGE with a LIMIT.
 */
static inline struct resp_collection resp_collection_of(const struct resp_call *call)
{
    return (struct resp_collection){.memory = call->common->memory,
                                    .bytes_max = call->common->answer_bytes_max};
}

/*
 * Adds a copy of some bytes. Returns: collection->status.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. Cost: the copy, and now and then pages.
 */
enum quarry_status resp_collect(struct resp_collection *collection, struct quarry_kv_slice bytes);
/* Says all items as bulks, in their order, and gives their memory back as it goes. */
void resp_collection_say(struct resp_collection *collection, struct resp_reply *reply);
/* The same, two items each as an array of two. */
void resp_collection_say_pairs(struct resp_collection *collection, struct resp_reply *reply);
/* Gives everything back. */
void resp_collection_fini(struct resp_collection *collection);

#endif
