/*
 * Epochs, from the side of those who reuse. Readers' side: <quarry/epoch.h>.
 *
 *     unlink(object);                              // no new reader finds it
 *     object->stamp = ref_epoch_now(epoch);
 *     …
 *     ref_epoch_advance(epoch);                    // now and then
 *     if (ref_epoch_is_past(epoch, object->stamp)) reuse(object);
 */
#ifndef QUARRY_REF_EPOCH_H
#define QUARRY_REF_EPOCH_H

#include <quarry/epoch.h>

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

/* A stamp that is always past: of what no reader has ever been able to see. */
#define REF_EPOCH_STAMP_PAST UINT64_C(0)

/* Advances after which a stamp taken before the first is past, if nobody is inside. */
#define REF_EPOCH_ADVANCES 2u

/* Frames of the stack that a debug build keeps of each entry. */
#define REF_EPOCH_FRAMES_MAX 12u

/* Bits of a reader's word, and of `now`: how often it has entered, and when. */
#define REF_EPOCH_DEPTH_BITS 12
#define REF_EPOCH_DEPTH_MASK ((UINT64_C(1) << REF_EPOCH_DEPTH_BITS) - 1)

/* What a thread has for each domain; in its thread storage. */
struct ref_epoch_reader {
    _Atomic uint64_t state;  /* by the thread: epoch << DEPTH_BITS | depth; depth 0: outside */
    uint64_t serial;         /* by the thread: the domain's, plus 1 for a stranger; else stale */
    _Atomic uint64_t caller; /* by the thread: where it entered, as a return address */
    /* guarded by the domain's mutex */
    struct ref_epoch_reader *next, *previous;
    uint64_t seen_epoch; /* that it was inside with at the last look at it; 0: outside */
    uint64_t seen_ns;    /* when it was first seen so */
#ifdef QUARRY_DEBUG_CHECKS
    /* by the thread: how it entered */
    uint32_t pc_count;
    uint64_t pcs[REF_EPOCH_FRAMES_MAX];
#endif
};

/* A thread in all domains. */
struct ref_epoch_thread {
    struct ref_epoch_reader reader[QUARRY_EPOCHS_MAX]; /* by slot */
    bool is_ending;                                    /* its exit hook has run */
};
extern _Thread_local struct ref_epoch_thread ref_epoch_thread;

struct quarry_epoch {
    /* what readers use: written by advances only */
    _Atomic uint64_t now;    /* epoch << DEPTH_BITS */
    uintptr_t reader_offset; /* const: of a thread's reader in ref_epoch_thread, bytes */
    uint64_t fast_serial;    /* const: serial, or one that no reader has: entering is slow */
    uint64_t serial;         /* const: even; of all domains this process ever had */
    bool has_barrier;        /* const: os_has_process_barrier */

    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t safe; /* nobody inside entered before it */
    struct page_heap *heap;                              /* const */
    uint32_t slot;                                       /* const */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct ref_epoch_reader *readers;
    uint32_t stranger_count;   /* threads inside that are not among the readers */
    uint64_t stranger_epoch;   /* when the first of them entered */
    uint64_t stranger_seen_ns; /* when they were first looked at; 0: not yet */
};

/* The epoch that a domain begins with: REF_EPOCH_STAMP_PAST is past by then. */
#define REF_EPOCH_FIRST UINT64_C(2)

/*
 * The stamp for what has just been made unreachable, by this thread or before something that it
 * has acquired: no reader that could have seen it is inside once ref_epoch_is_past says so. Rises
 * with time; two things may have the same.
 * Errors: none. Threads: any, inside or not. Cost: a load (a locked instruction where there is no
 * process barrier).
 */
static inline uint64_t ref_epoch_now(struct quarry_epoch *epoch);

/*
 * Whether every reader that was inside when the stamp was taken has left, as far as advances have
 * found out. Once true it stays true. Threads: any. Cost: a load.
 */
static inline bool ref_epoch_is_past(struct quarry_epoch *epoch, uint64_t stamp);

/*
 * Looks at who is inside, and moves on. After REF_EPOCH_ADVANCES calls, a stamp taken before the
 * first is past unless a reader that was inside then still is. Returns without work when another
 * thread has done as much meanwhile.
 * Errors: none. Threads: any; a thread may be inside, and then keeps its own stamps from passing.
 * Locks below OS_RANK_EPOCH may be held. Cost: a process barrier (a microsecond or two) and a look
 * at each thread that has ever entered.
 */
void ref_epoch_advance(struct quarry_epoch *epoch);

/*
 * For how long the reader who has been inside longest has been so, as seen by calls of this and of
 * ref_epoch_advance: at least so long, and too short by no more than the time since the one
 * before. 0: nobody is inside.
 * Threads: any. Cost: a clock and a look at each thread.
 */
uint64_t ref_epoch_oldest_ns(struct quarry_epoch *epoch);

/* ---- for the other files of this folder ----------------------------------------------------- */

/* The place of a domain in the process; its serial number is even, and not 0. */
void ref_epoch_place(struct quarry_epoch *epoch, uint32_t slot, uint64_t serial);
/* The calling thread ends: it is no reader any more, nor will be. */
void ref_epoch_forget_thread(struct quarry_epoch *epoch);
/* In the child of a fork, whose thread this is; the parent's threads are gone. */
void ref_epoch_after_fork(struct quarry_epoch *epoch);

/* ---- inline halves -------------------------------------------------------------------------- */

static inline uint64_t ref_epoch_now(struct quarry_epoch *epoch)
{
    /* What was unlinked stays before the load in the program; see epoch.c for the rest. */
    atomic_compiler_barrier();
    if (Q_LIKELY(epoch->has_barrier)) {
        return atomic_load_acquire_u64(&epoch->now) >> REF_EPOCH_DEPTH_BITS;
    }
    /* Pairs with the exchange in ref_epoch_advance. */
    return atomic_add_acq_rel_u64(&epoch->now, 0) >> REF_EPOCH_DEPTH_BITS;
}

static inline bool ref_epoch_is_past(struct quarry_epoch *epoch, uint64_t stamp)
{
    /* Acquire: pairs with the release in ref_epoch_advance, and so with readers' leaving. */
    return stamp + REF_EPOCH_ADVANCES <= atomic_load_acquire_u64(&epoch->safe);
}

#endif
