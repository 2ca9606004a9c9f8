/*
 * A store in memory with a model beside it: what each key has, now and at each snapshot.
 */
#ifndef QUARRY_TESTS_UNIT_KV_BACK_RIG_H
#define QUARRY_TESTS_UNIT_KV_BACK_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/kv.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define BACK_KEYS        60u
#define BACK_SNAPSHOTS   6u
#define BACK_VALUE_BYTES 1400u

struct back_model {
    bool has[BACK_KEYS];
    bool is_put_once[BACK_KEYS]; /* since it was last deleted: it may be single-deleted */
    char value[BACK_KEYS][BACK_VALUE_BYTES];
};

struct back_rig {
    struct quarry_memory *memory;
    struct quarry_vfs *disk, *vfs; /* a memory one, and one that fails over it */
    struct quarry_kv_options options;
    const char *path;
    struct quarry_kv *kv;
    struct back_model now;
    const struct quarry_kv_snapshot *snapshots[BACK_SNAPSHOTS];
    struct back_model *then; /* BACK_SNAPSHOTS */
    uint64_t seed;
    uint32_t counter;
    uint32_t events[QUARRY_KV_EVENT_SPACE_BACK + 1]; /* of each kind */
};
extern struct back_rig back;

/* A stepped store with small files and a merge operator; the caller may change the options. */
void back_begin(uint64_t seed);
void back_open(void);
void back_close(void);
/* Closes, and sees that all memory has been given back. */
void back_end(void);

uint64_t back_below(uint64_t bound);
void back_put(uint32_t key);
void back_put_large(uint32_t key, size_t byte_count);
void back_delete(uint32_t key);
void back_single_delete(uint32_t key);
void back_merge(uint32_t key);
void back_delete_range(uint32_t from, uint32_t to);
void back_flush(void);
void back_compact(void);
/* One of the above at random, or a snapshot, or its end. */
void back_change(void);
void back_take(uint32_t slot);
void back_release(uint32_t slot);

/* Every key, now and at every snapshot; a scan forward. */
void back_check(void);
/* Does all work that is wanted. */
void back_work(void);

uint32_t back_file_count(uint32_t level);
/* Of the directory: how many names of a kind (enum kv_file_kind). */
uint32_t back_count_names(uint32_t kind);
/* Copies the directory of the store, which is closed, to one of the machine. */
void back_copy_out(const char *path);
/* Sum over all files. */
uint64_t back_entry_count(void);
uint64_t back_deletion_count(void);

#endif
