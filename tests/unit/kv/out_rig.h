/*
 * A store over a file system in memory or on the machine, for tests of what is made of a store:
 * checkpoints, backups, files to be ingested.
 */
#ifndef QUARRY_TESTS_UNIT_KV_OUT_RIG_H
#define QUARRY_TESTS_UNIT_KV_OUT_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/kv.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Valid between setup and teardown. */
extern struct quarry_memory *out_memory;
extern struct quarry_vfs *out_vfs; /* in memory; of out_set_up_disk: the machine's */
extern char out_folder[64];        /* of out_set_up_disk: where paths are */
extern struct quarry_error out_error;

int out_set_up(void **state);
int out_set_up_disk(void **state);
/* Nothing may be charged any more. */
int out_tear_down(void **state);

/* Fails the test with the error's text unless it is QUARRY_OK. */
#define must(status) out_must((status), __FILE__, __LINE__)
void out_must(enum quarry_status status, const char *file, int line);

/* A path in the rig. Returns: one of eight rooms that are used in turn. */
const char *out_path(const char *name);

/* Options that suit: small files, no threads. */
struct quarry_kv_options out_options(void);
/* Opens, or makes, the store at a path with out_options, over out_vfs. */
struct quarry_kv *out_open(const char *path);
struct quarry_kv *out_open_with(const char *path, const struct quarry_kv_options *options);
/* Validates it, and closes it. */
void out_close(struct quarry_kv *kv);
/* Closes it, whatever that says: of a store that has had failures. */
void out_shut(struct quarry_kv *kv);

void out_put(struct quarry_kv *kv, const char *key, const char *value);
/* Keys "key000123" for 123 from `from` to before `to`; values begin with `tag` and the key. */
void out_fill(struct quarry_kv *kv, uint32_t from, uint32_t to, const char *tag);
/* `value`: NULL: it is not there. */
void out_expect(struct quarry_kv *kv, const char *key, const char *value);
/* That out_fill's keys are there with the tag; `tag` NULL: that they are not. */
void out_expect_fill(struct quarry_kv *kv, uint32_t from, uint32_t to, const char *tag);
uint64_t out_count(struct quarry_kv *kv);

/* Names in a directory that end so. `ret_last`: NULL, or room of 256: the last one found. */
uint32_t out_files(const char *path, const char *end, char *ret_last);
bool out_exists(const char *path);
/* Changes a byte of a file. */
void out_damage(const char *path, uint64_t offset);
void out_write_file(const char *path, const char *text);

#endif
