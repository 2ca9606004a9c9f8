/*
 * Option sets, by number: the first few are named corners, all others are drawn at random.
 */
#ifndef QUARRY_TESTS_KV_OPTIONS_H
#define QUARRY_TESTS_KV_OPTIONS_H

#include "kv/rig.h"

struct meta_options {
    struct quarry_kv_options kv; /* no vfs yet */
    bool is_memory;              /* files are in memory, and the store has no threads */
    bool is_reverse;
    bool is_leveldb; /* only puts and deletes */
    char text[160];  /* what is special */
};

/* So many are named. */
#define META_OPTIONS_NAMED 16u

/* The comparator of sets with is_reverse: memcmp's order turned round. */
extern const struct quarry_kv_comparator meta_reverse;

void meta_options_make(uint32_t index, struct meta_options *ret_options);
/* Others that the same files may be opened with. */
void meta_options_vary(struct meta_options *options, uint64_t seed);

#endif
