/*
 * What the campaigns share: how they fail, their memory, directories, scans of a store.
 *
 * A failure ends the process, with a line on stderr and exit status 1. kv_meta runs each history in
 * a child, and takes the line from a page that the two share.
 */
#ifndef QUARRY_TESTS_KV_RIG_H
#define QUARRY_TESTS_KV_RIG_H

#include "kv/model.h"
#include "unit/base/random.h"

/* What the child of kv_meta leaves behind. */
struct rig_report {
    uint32_t operation; /* under way */
    char text[480];
};
/* NULL: failures are printed. */
extern struct rig_report *rig_report;

_Noreturn void rig_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Fails, saying what was done, unless `status` is QUARRY_OK. */
void rig_expect(enum quarry_status status, const struct quarry_error *error, const char *what);

/* Fails where the machine's memory does. */
struct quarry_memory *rig_memory_create(uint64_t limit_bytes);

/* Whether something holds, one time in `of`. */
static inline bool rig_once_in(uint64_t *random, uint32_t of)
{
    return random_u64(random) % of == 0;
}
static inline uint32_t rig_below(uint64_t *random, uint32_t limit)
{
    return (uint32_t)(random_u64(random) % limit);
}

/* A directory below $TMPDIR, /dev/shm or /tmp. `path`: room for 64 bytes. */
void rig_directory_make(char *path, const char *name);
/* Removes it and all that is in it; nothing is no failure. */
void rig_directory_remove(const char *path);

/*
 * Walks over a store, forward and where `both` is set backward too, and compares it with a state.
 * `what`: what was done before, for the failure.
 */
void rig_compare(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                 const struct model_state *state, bool both, const char *what);
/* The hash of all that a walk gives; false: it ended with an error, which is in `ret_error`. */
bool rig_scan_hash(struct quarry_kv *kv, uint64_t *ret_hash, struct quarry_error *ret_error);

/* The state of all the files of a directory of a vfs: its copy in another. */
void rig_copy_directory(struct quarry_vfs *from, const char *from_path, struct quarry_vfs *to,
                        const char *to_path);

/* Command lines: the value that follows `name`, or `fallback`. */
uint64_t rig_argument(int argc, char **argv, const char *name, uint64_t fallback);
const char *rig_argument_text(int argc, char **argv, const char *name);

#endif
