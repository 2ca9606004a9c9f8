/*
 * The reference workload of crashes and faults: some hundred steps, each a write or something that
 * moves data, small enough that every single input or output of it can be made the last one.
 *
 * A step follows from the seed and its number alone, so that it is the same in every run. The
 * *journal* remembers what the store may be like after each write.
 */
#ifndef QUARRY_TESTS_KV_WORKLOAD_H
#define QUARRY_TESTS_KV_WORKLOAD_H

#include "kv/rig.h"

enum step_kind {
    STEP_WRITE,
    STEP_FLUSH,
    STEP_SYNC,
    STEP_COMPACT,
    STEP_BACKGROUND,
    STEP_REOPEN,
};

#define STEP_CHANGES_MAX 12u
struct step {
    enum step_kind kind;
    enum quarry_kv_durability durability; /* of a write */
    bool is_batch;
    uint32_t change_count;
    struct change changes[STEP_CHANGES_MAX];
    char keys[STEP_CHANGES_MAX][2][16];
    char values[STEP_CHANGES_MAX][2200];
};

void workload_step(uint64_t seed, uint32_t index, struct step *ret_step);
/* The options that it is run under: small, stepped. Zero is a corner of its own. */
void workload_options(uint64_t seed, struct quarry_kv_options *ret_options);
/* Does a write. */
enum quarry_status workload_write(struct quarry_kv *kv, const struct step *step,
                                  struct quarry_error *error);

/* ---- what may be there ---- */

#define JOURNAL_MAX 4096u
/* States that are possible now, more than one after a write of which nobody knows. */
#define JOURNAL_POSSIBLE 64u
struct journal {
    uint32_t count;
    uint64_t hashes[JOURNAL_MAX]; /* of states, in the order in which they came to be */
    uint32_t process_floor;       /* index: none before it is right after the process has ended */
    uint32_t power_floor;         /* or after the power was cut */
    uint32_t possible_count;
    struct model_state *possible[JOURNAL_POSSIBLE];
};
/* What a write has come to. */
enum outcome { OUTCOME_DONE, OUTCOME_NOT_DONE, OUTCOME_UNKNOWN };

void journal_init(struct journal *journal);
void journal_fini(struct journal *journal);
/* Before a write is made: from now on it may be there. */
void journal_begin(struct journal *journal, const struct step *step);
/* `is_logged`: an acknowledged write survives the process. */
void journal_end(struct journal *journal, const struct step *step, enum outcome outcome,
                 enum quarry_kv_durability durability);
/* All that was written survives from now on. */
void journal_sync(struct journal *journal);
/* Whether a state may be there, given where the floor is. */
bool journal_has(const struct journal *journal, uint32_t floor, uint64_t hash);
/* Whether it is one of those that are possible at this moment; the others are struck out. */
bool journal_is_now(struct journal *journal, uint64_t hash);

#endif
