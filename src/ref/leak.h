/*
 * The leak ledger: who acquired what has not been released, and where.
 *
 * One for each thing that can be closed (a cache, a slab, a memory). What acquires notes it and
 * keeps the token beside the reference; what releases forgets the token; what closes reports.
 *
 *     handle->token = ref_leak_note(cache->leaks, "block", (uint64_t)block);
 *     …
 *     ref_leak_forget(cache->leaks, handle->token);
 *     …
 *     ref_leaks_report(cache->leaks);   // each that is left, with age and stack
 *     ref_leaks_destroy(cache->leaks);
 *
 * Debug builds (QUARRY_DEBUG_CHECKS) record all, others one of 1,024; see ref_leak_set_every.
 */
#ifndef QUARRY_REF_LEAK_H
#define QUARRY_REF_LEAK_H

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

struct ref_leaks;

/* Frames that are kept of a stack, innermost first. Doubling it doubles what unwinding costs. */
#define REF_LEAK_FRAMES_MAX 16u
/* Records in a ledger at a time; tokens have 20 bits for them. More are counted as unrecorded. */
#define REF_LEAK_RECORDS_MAX (UINT32_C(1) << 20)
/* Different stacks in a ledger; what comes from others is recorded without one. */
#define REF_LEAK_STACKS_MAX (UINT32_C(1) << 16)
/* Release builds record one of so many. */
#define REF_LEAK_EVERY_RELEASE 1024u
#define REF_LEAK_EVERY_MAX     (UINT32_C(1) << 30)

/* Something that was acquired and is still out. */
struct ref_leak {
    const char *owner;   /* what it was acquired from; borrowed for the call */
    const char *kind;    /* as given to ref_leak_note */
    uint64_t object;     /* likewise */
    uint64_t age_ns;     /* since it was acquired */
    uint32_t thread_id;  /* os_thread_id of who acquired it; 0: not known */
    uint32_t pc_count;   /* 0: the stack is not known */
    const uint64_t *pcs; /* return addresses, innermost first; borrowed for the call */
};

/* Is told of each leak, with no lock held. */
typedef void ref_leak_handler(void *argument, const struct ref_leak *leak);

/*
 * A ledger, charged to `heap` as it fills.
 *
 * `heap`: borrowed until it is destroyed. `owner_name`: copied; at most 31 bytes of it are kept.
 * Errors: NO_MEMORY, NO_ADDRESS, TOO_MANY (no hooks for forks).
 * Cost: 256 bytes; nothing else before the first record.
 */
enum quarry_status ref_leaks_create(struct page_heap *heap, const char *owner_name,
                                    struct ref_leaks **ret_leaks);
/* Forgets all of it, reported or not. NULL does nothing. Nobody else uses it any more. */
void ref_leaks_destroy(struct ref_leaks *leaks);

/* Notes until the thread's next record; 0: now. */
extern _Thread_local int32_t ref_leak_countdown;

uint32_t ref_leak_note_slow(struct ref_leaks *leaks, const char *kind, uint64_t object);
void ref_leak_forget_slow(struct ref_leaks *leaks, uint32_t token);

/*
 * Something has been acquired.
 *
 * `kind`: borrowed until the ledger is destroyed: a literal. `object`: whatever names it, an
 * address or a ref.
 * Returns: the token for ref_leak_forget; 0: it is not recorded, for its turn has not come, or for
 * want of memory.
 * Errors: none. Threads: any. No lock of rank OS_RANK_LEAK or higher is held.
 * Cost: four instructions where it is not recorded; else a call stack, about a microsecond.
 */
static inline uint32_t ref_leak_note(struct ref_leaks *leaks, const char *kind, uint64_t object)
{
    if (Q_LIKELY(--ref_leak_countdown >= 0)) {
        return 0;
    }
    uint32_t token = ref_leak_note_slow(leaks, kind, object);
    __asm__ volatile("" : "+r"(token)); /* no tail call, which would leave the caller out */
    return token;
}

/*
 * It has been released.
 *
 * `token`: what noting it in this ledger returned; 0 does nothing. One that was forgotten before,
 * or is of another ledger, ends the program.
 * Threads: any. Cost: two instructions for 0; else a lock.
 */
static inline void ref_leak_forget(struct ref_leaks *leaks, uint32_t token)
{
    if (Q_UNLIKELY(token != 0)) {
        ref_leak_forget_slow(leaks, token);
    }
}

/* Recorded ones that are out now. */
size_t ref_leaks_outstanding(struct ref_leaks *leaks);
/* Those whose turn it was and that no memory was left for, since the ledger was created. */
uint64_t ref_leaks_unrecorded(struct ref_leaks *leaks);

/*
 * Tells the handler of each that is out, oldest record slot first. Without a handler each is
 * printed to stderr: owner, kind, object, age, thread, and the stack, by module and offset and by
 * symbol where the loader knows it; a debug build then aborts. If there is none, nothing is
 * printed.
 *
 * Returns: how many. Threads: any; what others acquire meanwhile may be missing. Cost: a line of
 * output or a call for each; no memory.
 */
size_t ref_leaks_report(struct ref_leaks *leaks);

/*
 * Has all leaks of the process told to `handler` instead of printed; NULL: printed again.
 * Threads: while no other thread reports.
 */
void ref_leak_set_handler(ref_leak_handler *handler, void *argument);

/*
 * Records one of `every` from now on, at random; 1: all, the least. At most REF_LEAK_EVERY_MAX.
 * Process-wide: threads that are counting down to their next record count on first, but for the
 * calling one.
 */
void ref_leak_set_every(uint32_t every);

/* Of how many acquisitions one is recorded. */
uint32_t ref_leak_every(void);

/* ---- for the other files of this folder ----------------------------------------------------- */

/* Tells the handler, or prints. No lock of a ledger is held. */
void ref_leak_tell(const struct ref_leak *leak);
bool ref_leak_has_handler(void);

#endif
