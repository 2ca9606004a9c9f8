/*
 * What the files of committing share: commit.c, rotate.c, write_memory.c, writes.c.
 */
#ifndef QUARRY_KV_COMMIT_PARTS_H
#define QUARRY_KV_COMMIT_PARTS_H

#include <kv/commit.h>

#include <os/os.h>

/* Writes under way at a time. Doubling it doubles the 32 KiB that they go round in; a thread has
 * one. */
#define KV_COMMIT_SLOTS 4096u

/* Why writers wait; bits. */
enum kv_obstacle {
    KV_OBSTACLE_BARRIER = 1, /* files are ingested */
    KV_OBSTACLE_REPAIR = 2,  /* a log has failed: what the logs have is to be in files first */
};

struct kv_commit {
    /* guarded by commit_mutex */
    uint64_t next_ticket;
    uint32_t obstacles;     /* of enum kv_obstacle */
    uint64_t repair_number; /* of REPAIR: layers with logs below it; 0: it is to be rotated first */
    /* atomic */
    _Atomic uint64_t turn;             /* the ticket that is published next */
    _Atomic uint32_t published_change; /* futex: of who waits to be published */
    _Atomic uint32_t obstacle_change;  /* futex: of who waits for an obstacle to go */

    _Atomic bool has_reserve[KV_RESERVES]; /* it is charged now */

    struct os_mutex rotate_mutex; /* one rotation at a time; before commit_mutex */

    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t slots[KV_COMMIT_SLOTS];
};

/* A write on its way. */
struct kv_write {
    struct kv_slice data;
    struct kv_memtable_plan plan;
    struct kv_log_record record;
    char head[8]; /* its sequence, as the log has it */
    bool never_waits;
    struct kv_memory_wait wait;
    enum quarry_kv_durability durability;
    /* from the commit lock on */
    struct kv_layer *layer; /* that is written to, or was full; borrowed */
    enum quarry_status status;
    uint64_t ticket, end_sequence;
    uint64_t log_number, log_end;
};

/* What a write has met under the commit lock. */
enum kv_step {
    KV_STEP_DONE,       /* it has its place */
    KV_STEP_FULL,       /* the memtable is full */
    KV_STEP_LARGE,      /* no memtable has room for it */
    KV_STEP_NO_MEMORY,  /* the budget is used up */
    KV_STEP_OBSTACLE,   /* one of enum kv_obstacle */
    KV_STEP_LOG_FAILED, /* the log cannot be written to any more, as others have found */
    KV_STEP_FAILED,     /* and as this one has */
    KV_STEP_RING_FULL,  /* KV_COMMIT_SLOTS writes are under way */
};

/* Whether anything is in the way of all writes. Under commit_mutex. */
enum kv_step kv_commit_look(struct quarry_kv *kv);
/* Appends a write to the log with the next sequence. Under commit_mutex. */
enum quarry_status kv_commit_log(struct quarry_kv *kv, struct kv_write *write,
                                 struct quarry_error *error);
/* Has a write that was inserted be seen; returns when it is. Without locks. */
void kv_commit_publish(struct quarry_kv *kv, uint64_t ticket, uint64_t end);
/* Until every write that has its place is published. Under commit_mutex. */
void kv_commit_wait_published(struct quarry_kv *kv);

/*
 * Sees to what a write has met, so that it can try again; or writes it, as a layer of its own.
 * Errors: why it is refused.
 */
enum quarry_status kv_commit_make_way(struct quarry_kv *kv, struct kv_write *write,
                                      enum kv_step step, bool *ret_is_written,
                                      struct quarry_error *error);

/* ---- a budget that is used up (write_memory.c) ---------------------------------------------- */

/* What was refused: of a write whose batch has so many bytes and changes. */
struct kv_memory_want {
    uint64_t byte_count;
    uint32_t change_count;
    bool never_waits;
    const struct kv_layer *full; /* the memtable that it was refused by; NULL: another thing */
};
/*
 * Has memtables flushed, or waits for what the background is at. `wait`: zero before the first try.
 * Returns: QUARRY_OK: try again. Errors: QUARRY_NO_MEMORY: nothing that is under way will help;
 * QUARRY_TOO_LARGE: nothing ever will; QUARRY_BUSY (never_waits); why the store cannot be written.
 * Threads: without locks.
 */
enum quarry_status kv_commit_find_memory(struct quarry_kv *kv, const struct kv_memory_want *want,
                                         struct kv_memory_wait *wait, struct quarry_error *error);
/* Waits for what the background is at. Returns: whether there may be more memory now. */
bool kv_commit_wait_for_memory(struct quarry_kv *kv, struct kv_memory_wait *wait);

/* Makes the mutable layer immutable, if it is `full`, or that is NULL. Errors: as kv_rotate. */
enum quarry_status kv_commit_rotate(struct quarry_kv *kv, const struct kv_layer *full,
                                    bool never_waits, struct quarry_error *error);
/* Until fewer than `limit` layers are immutable. Errors: why they are not flushed. */
enum quarry_status kv_commit_wait_for_flush(struct quarry_kv *kv, size_t limit, bool never_waits,
                                            struct quarry_error *error);
/* Whether flushing would free anything. `ret_waiting_count`: layers that are immutable. */
bool kv_commit_has_layers(struct quarry_kv *kv, size_t *ret_waiting_count);

#endif
