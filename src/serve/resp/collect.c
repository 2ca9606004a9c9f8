/*
 * Things that are gathered before they are said.
 *
 *   first ─> chunk ─> chunk ─> chunk <─ last       chunk: next, used, capacity │ length bytes │ …
 *
 * Chunks are runs of pages; the second is twice as large as the first, and so on up to 1 MiB. They
 * are given back one by one while they are said, so that an answer of many megabytes is not there
 * twice at its end.
 */
#include <serve/resp/collect.h>

#include <serve/buffers.h>

#include <string.h>

#define FIRST_CHUNK_BYTES Q_KIB(8)
#define CHUNK_BYTES_MAX   Q_MIB(1)

/* Before the bytes of an item, which are not aligned. */
typedef uint32_t item_length;

struct resp_chunk {
    struct resp_chunk *next;
    size_t used, capacity; /* of bytes */
    char bytes[];
};

static struct resp_chunk *add_chunk(struct resp_collection *collection, size_t least_bytes)
{
    uint64_t grown = collection->last == NULL
                         ? FIRST_CHUNK_BYTES
                         : 2 * (collection->last->capacity + sizeof(*collection->last));
    size_t bytes = serve_buffer_bytes(size_max(grown < CHUNK_BYTES_MAX ? grown : CHUNK_BYTES_MAX,
                                               least_bytes + sizeof(struct resp_chunk)));
    struct resp_chunk *chunk = serve_buffer_take(collection->memory, bytes);

    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct resp_chunk){.capacity = bytes - sizeof(*chunk)};
    if (collection->last == NULL) {
        collection->first = chunk;
    } else {
        collection->last->next = chunk;
    }
    collection->last = chunk;
    return chunk;
}

enum quarry_status resp_collect(struct resp_collection *collection, struct quarry_kv_slice bytes)
{
    struct resp_chunk *chunk = collection->last;
    size_t needed = sizeof(item_length) + bytes.byte_count;

    if (collection->status != QUARRY_OK) {
        return collection->status;
    }
    if (bytes.byte_count > UINT32_MAX ||
        collection->byte_count + bytes.byte_count + RESP_ITEM_BYTES > collection->bytes_max) {
        return collection->status = QUARRY_TOO_LARGE;
    }
    if (chunk == NULL || chunk->capacity - chunk->used < needed) {
        chunk = add_chunk(collection, needed);
    }
    if (chunk == NULL) {
        return collection->status = QUARRY_NO_MEMORY;
    }
    item_length length = (item_length)bytes.byte_count;
    memcpy(chunk->bytes + chunk->used, &length, sizeof(length));
    memcpy(chunk->bytes + chunk->used + sizeof(length), bytes.bytes, bytes.byte_count);
    chunk->used += needed;
    collection->byte_count += bytes.byte_count + RESP_ITEM_BYTES;
    collection->item_count++;
    return QUARRY_OK;
}

static void drop_first(struct resp_collection *collection)
{
    struct resp_chunk *chunk = collection->first;

    collection->first = chunk->next;
    if (collection->first == NULL) {
        collection->last = NULL;
    }
    serve_buffer_give(collection->memory, chunk);
}

/* Says items, before each `each`-th an array of so many where that is above 1. */
static void say_items(struct resp_collection *collection, struct resp_reply *reply, size_t each)
{
    size_t said_count = 0;

    Q_ASSERT(each > 0 && collection->item_count % each == 0);
    for (; collection->first != NULL; drop_first(collection)) {
        const struct resp_chunk *chunk = collection->first;

        for (size_t at = 0; at < chunk->used; said_count++) {
            item_length length;

            if (each > 1 && said_count % each == 0) {
                resp_say_array(reply, each);
            }
            memcpy(&length, chunk->bytes + at, sizeof(length));
            resp_say_bulk(reply, chunk->bytes + at + sizeof(length), length);
            at += sizeof(length) + length;
        }
    }
    Q_ASSERT(said_count == collection->item_count);
    resp_collection_fini(collection);
}

void resp_collection_say(struct resp_collection *collection, struct resp_reply *reply)
{
    say_items(collection, reply, 1);
}

void resp_collection_say_pairs(struct resp_collection *collection, struct resp_reply *reply)
{
    say_items(collection, reply, 2);
}

void resp_collection_fini(struct resp_collection *collection)
{
    while (collection->first != NULL) {
        drop_first(collection);
    }
    collection->item_count = 0;
    collection->byte_count = 0;
}
