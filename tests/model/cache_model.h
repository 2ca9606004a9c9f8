/*
 * A cache as a table of keys, each with what a client may know of its item: the naive twin.
 */
#ifndef QUARRY_TESTS_MODEL_CACHE_MODEL_H
#define QUARRY_TESTS_MODEL_CACHE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_KEYS 3000u

/* An item. Its value is told by a number and a length, or it is a decimal number as a text. */
struct model_item {
    bool is_there;
    bool is_text;
    char text[32]; /* when is_text */
    uint64_t fill;
    uint64_t value_bytes;
    uint64_t cas;
    uint32_t client_flags;
    uint32_t expiry;
    bool is_stale, has_token, was_hit;
};

struct model {
    struct model_item item[MODEL_KEYS];
    uint32_t now;
    uint32_t flush_at; /* 0: none */
};

/* Time has come to `now`. */
void model_advance(struct model *model, uint32_t now);
/* Everything goes, now or when the time comes. */
void model_flush(struct model *model, uint32_t when);
/* The item, or NULL where there is none, or it has expired, which ends it. */
struct model_item *model_find(struct model *model, uint32_t key);
uint64_t model_count(struct model *model);

#endif
