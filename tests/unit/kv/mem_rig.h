/*
 * A memory with an account, for tests of what a kv store keeps in memory: begun and checked by
 * cmocka's setup and teardown. At the end nothing may be charged.
 */
#ifndef QUARRY_TESTS_UNIT_KV_MEM_RIG_H
#define QUARRY_TESTS_UNIT_KV_MEM_RIG_H

#include "unit/base/cmocka_all.h"

#include <kv/batch.h>
#include <kv/iterator.h>
#include <kv/memory.h>
#include <kv/memtable.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Valid between setup and teardown. */
extern struct quarry_memory *rig_memory;
extern struct quarry_account *rig_account;
extern struct kv_memory rig_kv_memory;
extern struct quarry_arena_keeper *rig_keeper;

int mem_rig_set_up(void **state);
int mem_rig_tear_down(void **state);

uint64_t mem_rig_charged(void);
/* Lets nothing more be charged than so many bytes above what is; UINT64_MAX: any. */
void mem_rig_leave(uint64_t bytes);

static inline struct kv_slice text_slice(const char *text)
{
    return kv_slice(text, strlen(text));
}
static inline bool slices_are_equal(struct kv_slice a, struct kv_slice b)
{
    return kv_compare_bytes(a, b) == 0;
}
#define assert_slice(slice, text)                                                                  \
    do {                                                                                           \
        struct kv_slice slice_ = (slice);                                                          \
        assert_int_equal(slice_.count, strlen(text));                                              \
        assert_memory_equal(slice_.bytes, (text), slice_.count);                                   \
    } while (0)

/* A batch without an index, bytewise, with large limits. */
struct quarry_kv_batch *batch_make(bool is_indexed);
struct kv_memtable *memtable_make(uint64_t capacity_bytes, bool has_no_hash);
/* Plans, prepares and applies all of a batch, from a sequence on. */
void memtable_write(struct kv_memtable *memtable, const struct quarry_kv_batch *batch,
                    uint64_t sequence, struct kv_memtable_splice *splice);

#endif
