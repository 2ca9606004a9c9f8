/*
 * Memory and trees of files for tests of versions: one at a time.
 */
#ifndef QUARRY_TESTS_UNIT_KV_VER_RIG_H
#define QUARRY_TESTS_UNIT_KV_VER_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/epoch.h>

#include <kv/version.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Valid between rig_set_up and rig_tear_down, which finds out whether all was given back. */
extern struct quarry_memory *memory;
extern struct quarry_account *account;
extern struct kv_memory heap;
extern struct quarry_epoch *epoch;

int rig_set_up(void **state);
int rig_tear_down(void **state);

/* How many bytes are charged. */
uint64_t charged(void);
/* Has charges above so many more bytes refused; UINT64_MAX: none is. */
void allow_bytes(uint64_t byte_count);

/* An order of keys from the last byte to the first. */
extern const struct quarry_kv_comparator reversed;

struct kv_slice text(const char *bytes);
struct kv_key key_at(const char *user, uint64_t sequence);

/* A file of an edit from `smallest` to `largest`, of sequences as given; 1,000 bytes. */
struct kv_edit_file edit_file(uint32_t level, uint64_t number, const char *smallest,
                              const char *largest, uint64_t smallest_sequence,
                              uint64_t largest_sequence);

/* An edit, built up line by line; rig_version ends it. */
void begin_edit(void);
struct kv_edit *current_edit(void);
void add_file(uint32_t level, uint64_t number, const char *smallest, const char *largest,
              uint64_t smallest_sequence, uint64_t largest_sequence);
void add_sized(uint32_t level, uint64_t number, const char *smallest, const char *largest,
               uint64_t byte_count);
void remove_file(uint32_t level, uint64_t number);
/* The version of the edit on a base, validated, which must be possible. */
struct kv_version *build(struct kv_version *base);
/* The status of the same, for those that are not. */
enum quarry_status try_build(struct kv_version *base, struct quarry_error *error);

struct kv_file *file_of(const struct kv_version *version, uint64_t number);

/* Numbers at random, from a seed. */
uint64_t random_next(uint64_t *seed);
uint64_t random_below(uint64_t *seed, uint64_t bound);

#endif
