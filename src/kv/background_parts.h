/*
 * What the files of background work share: its state, which work there is, outputs.
 */
#ifndef QUARRY_KV_BACKGROUND_PARTS_H
#define QUARRY_KV_BACKGROUND_PARTS_H

#include <kv/background.h>

/* Threads; more compactions at a time than that are not run, whatever is asked for. */
#define KV_WORKERS_MAX 16u
/* Layers that one flush writes together. */
#define KV_FLUSH_LAYERS_MAX 16u
/* Range deletions that are remembered, as they may cover files whole. */
#define KV_HINTS_MAX 64u

struct kv_worker {
    struct os_thread thread;
    void *stack; /* own, of the store's lane */
    struct kv_background *background;
};

/* Files of level 0 that a narrow compaction takes, as each is held open: as many, and where the
 * reserve does not do for them, half as many, down to the least. */
#define KV_NARROW_FILES     8u
#define KV_NARROW_FILES_MIN 2u

/* A range deletion that was flushed. */
struct kv_hint {
    char *bytes; /* own: begin and end */
    struct kv_pick_hint hint;
};

/* Two kinds of work fail and are tried again each by itself. */
enum kv_trouble_kind { KV_TROUBLE_FLUSH, KV_TROUBLE_COMPACT, KV_TROUBLES };
struct kv_trouble {
    enum quarry_status status; /* of the last piece of work; QUARRY_OK: it has succeeded */
    uint32_t run;              /* pieces of work that have failed one after the other */
    uint64_t since_ns;         /* the first of those */
    uint64_t retry_ns;         /* nothing is tried before, after a failure */
    struct quarry_error error;
};

struct kv_background {
    struct quarry_kv *kv;
    uint32_t worker_count; /* const */
    struct kv_worker workers[KV_WORKERS_MAX];

    _Atomic uint32_t wakes;    /* counts up with each kv_background_wake; workers sleep on it */
    _Atomic uint32_t sleepers; /* workers asleep, or about to be */
    _Atomic uint32_t changes;  /* counts up with each change of lists */
    _Atomic uint32_t waiters;  /* who sleeps on `changes` */

    /* guarded by the store's mutex */
    uint32_t running_count;       /* pieces of work under way */
    bool is_flushing;             /* one at a time, as the oldest layers go first */
    bool is_corrupt;              /* compaction has met damage: it is not tried again */
    bool is_collecting;           /* somebody removes files */
    bool wants_collecting;        /* and is to look once more */
    bool wants_sweep;             /* logs of an earlier opening, or old manifests, may be there */
    bool is_broken;               /* the manifest is not decided: an empty change is to be tried */
    bool is_settling;             /* and it is */
    uint32_t compaction_count;    /* under way, those asked for by hand included */
    uint64_t flushed_count;       /* layers, ever */
    uint64_t flush_failure_count; /* ever */
    struct kv_trouble trouble[KV_TROUBLES];
    uint32_t narrow_count; /* compactions that are to be narrow yet, for memory was short */
    uint32_t narrow_files; /* of level 0, that a narrow one takes: KV_NARROW_FILES at most */
    bool is_narrow[2];     /* one is under way, inside the reserve; [1]: asked for by hand */
    uint32_t manual_count; /* of compaction_count: asked for by hand */
    uint64_t dice;         /* is_stepped: of step_seed */
    struct kv_hint hints[KV_HINTS_MAX];
    uint32_t hint_count;

    /* guarded by the install mutex */
    /* Numbers of tables to be removed after the next change of files: those that a manifest may or
     * may not have until then, and those that could not be removed. */
    uint64_t *undecided;
    size_t undecided_count, undecided_capacity;

    _Atomic uint64_t level_read_bytes[QUARRY_KV_LEVELS];
    _Atomic uint64_t level_written_bytes[QUARRY_KV_LEVELS];
    _Atomic uint64_t level_ns[QUARRY_KV_LEVELS]; /* that compactions into it took */
};

/* A worker that has nothing to do looks around. */
#define KV_TICK_NS UINT64_C(1000000000)

/*
 * Chooses a piece of work and does it. Returns: false: there is none; look again after
 * `*ret_wait_ns`. `ret_is_done`: whether it has succeeded; written where there was one.
 */
bool kv_background_try(struct quarry_kv *kv, bool *ret_is_done, uint64_t *ret_wait_ns);
/* Lists have changed: who waits is woken, and so are workers. Threads: any. */
void kv_background_changed(struct quarry_kv *kv);

/*
 * Picks a compaction of a level and a range, and does it here. Errors: QUARRY_NOT_FOUND (no file of
 * the level is in the range), QUARRY_BUSY (something in the way is being compacted), and any other.
 */
enum quarry_status kv_background_compact(struct quarry_kv *kv, uint32_t level,
                                         const struct kv_key_range *range,
                                         struct quarry_error *error);
/* Whether memory was lacking of late. Under the store's mutex. */
bool kv_background_is_short(const struct quarry_kv *kv);
/* Flushing or compacting was refused memory, and is tried again with less. Without locks. */
void kv_background_note_refusal(struct quarry_kv *kv);
/* The turn to compact inside the reserve: for one at a time, and one that was asked for by hand.
 * Returns: whether it is the caller's, who gives it back. Without locks. */
Q_NODISCARD bool kv_background_try_narrow(struct quarry_kv *kv, bool is_manual);
void kv_background_end_narrow(struct quarry_kv *kv, bool is_manual);
/* A narrow one of so many files of level 0 was refused. Returns: whether fewer are to be taken. */
bool kv_background_try_fewer(struct quarry_kv *kv, uint32_t file_count);
/* What the last work has failed with; QUARRY_OK: it has not. Under the store's mutex. */
enum quarry_status kv_background_trouble(struct quarry_kv *kv, struct quarry_error *error);
/* Whether something is under way, or will be, that gives memory back as it ends. Threads: any,
 * without locks. */
bool kv_background_is_at_work(struct quarry_kv *kv);
/* Whether nothing is wanted, under way or waiting. Threads: any, without locks. */
bool kv_background_is_idle(struct quarry_kv *kv);

/* The clock that background work and the throttle go by: the vfs' in a stepped store. */
uint64_t kv_now_ns(struct quarry_kv *kv);

/* ---- files.c -------------------------------------------------------------------------------- */

/* Removes a table that was written and not installed, at once or once the manifest is decided. */
void kv_files_discard(struct quarry_kv *kv, uint64_t number);
/* Removes a table's file under whichever name it has. Returns: false: it is still there. */
bool kv_files_remove_table(struct quarry_kv *kv, uint64_t number);
/* How a new table is named. */
enum kv_file_kind kv_files_table_kind(const struct quarry_kv *kv);

/* ---- compact.c ------------------------------------------------------------------------------ */

/* Sequences between which entries are told apart: living snapshots, and what is visible now. */
struct kv_stripes {
    uint64_t *sequences; /* own, rising, each once; the last one is what was visible */
    uint32_t count;
};
/* Under the store's mutex. `memory`: of the array. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_stripes_init(struct kv_stripes *stripes, struct quarry_kv *kv,
                                   struct kv_memory *memory);
void kv_stripes_fini(struct kv_stripes *stripes, struct kv_memory *memory);

/*
 * Does a compaction that is under way (kv_picks_begin), and installs it. Ends neither the pick nor
 * its being under way. `is_manual`: asked for by hand. `is_narrow`: with little memory from the
 * beginning; else when it is refused. Errors: QUARRY_NO_MEMORY (another narrow one has the reserve,
 * or it does not do), QUARRY_CANCELLED (the store closes), and any other: nothing was installed.
 */
enum quarry_status kv_compact(struct quarry_kv *kv, struct kv_pick *pick, bool is_narrow,
                              bool is_manual, struct quarry_error *error);

/* The options of picking, with the store's snapshots and hints. Under the store's mutex. */
struct kv_pick_wishes {
    struct kv_pick_options options;
    struct kv_stripes stripes;
    struct kv_pick_hint hints[KV_HINTS_MAX];
};
enum quarry_status kv_pick_wishes_init(struct kv_pick_wishes *wishes, struct quarry_kv *kv);
void kv_pick_wishes_fini(struct kv_pick_wishes *wishes, struct quarry_kv *kv);

/* ---- space.c -------------------------------------------------------------------------------- */

/* Asks the file system what is free. Threads: any, without locks. Cost: a system call. */
void kv_space_look(struct quarry_kv *kv);
/* Something could not be written for want of space. */
void kv_space_note_full(struct quarry_kv *kv);

#endif
