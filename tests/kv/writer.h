/*
 * A process that writes to a store until it is ended, and the oracle that knows how far it got.
 *
 * Each thread numbers its writes. Write n is a batch that sets the thread's "last" to n, and one of
 * its keys to a value made from n, or deletes it. So a store that is right says by "last" where a
 * thread has got to, and everything else follows from that.
 */
#ifndef QUARRY_TESTS_KV_WRITER_H
#define QUARRY_TESTS_KV_WRITER_H

#include "kv/rig.h"

#define WRITER_THREADS 2u

/* In memory that outlives the process. */
struct oracle {
    struct {
        _Alignas(64) _Atomic uint64_t started; /* the last write that may be there */
        _Atomic uint64_t acknowledged;         /* the last that must be, if it asked for enough */
    } threads[WRITER_THREADS];
    _Atomic bool is_cut;             /* from here on nothing more counts as acknowledged */
    _Atomic uint64_t verified_count; /* openings that were found right */
    char text[400];                  /* what was found wrong */
};

struct writer {
    struct oracle *oracle;
    struct quarry_vfs *vfs;
    const char *path;
    enum quarry_kv_durability durability;
    bool may_lose; /* what was acknowledged */
};

/* Shared with children. */
struct oracle *oracle_create(void);

/*
 * Opens the store, checks it, closes it; `text` of the oracle says what is wrong. The oracle goes
 * on from what was found. Returns: whether it is right.
 */
bool writer_check(const struct writer *writer);
/* Waits until a child has found it right, or has ended, or for some seconds. */
void writer_wait_until_checked(const struct writer *writer, uint64_t verified_before);
/* In a child: checks it, then writes until it is ended. Ends with 1 where it is not right. */
_Noreturn void writer_run(const struct writer *writer);

#endif
