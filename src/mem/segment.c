/*
 * Where the statistics live.
 *
 * A System V segment, marked for removal as soon as it is attached. Linux lets others attach it all
 * the same, by its number, for as long as somebody is attached; and the number stands in
 * /proc/PID/maps, as the inode of a mapping "/SYSV00000000 (deleted)". So there is no file and no
 * descriptor that a program could close by mistake, nothing to clean up, nothing left after kill
 * -9, and a reader that is attached keeps the last figures of a process that has ended.
 *
 * Private memory otherwise: where IPC is off or forbidden, and under a seccomp filter, whose answer
 * to shmget may be SIGSYS. Readers find it by its length, and read it through /proc/PID/mem:
 *
 *   | guard page | segment, readable and writable | guard page |
 *
 * The guards keep the kernel from joining it with a neighbour, which would change the length.
 *
 * Invariants: 1. A shared segment is marked for removal before anybody but this function knows it.
 *
 * Locking: none. Rejected: memfd (a descriptor in every program; those that close all descriptors
 * at start take it along, and a child of fork and exec inherits it); a file in /dev/shm (stays
 * after kill -9); shared anonymous memory (others need a capability to map it).
 */
#include <mem/segment.h>

#include <errno.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>

/* 0: no seccomp; whatever else, also an error, counts as a filter. */
static bool has_filter(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) != 0;
}

/* Returns: NULL when there can be no such segment. */
static char *attach_shared(size_t bytes)
{
    int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | SHM_NORESERVE | S_IRUSR | S_IWUSR);

    if (id < 0) {
        return NULL;
    }
    void *base = shmat(id, NULL, 0);
    /* Invariant 1. It cannot fail for one's own segment; if it did, the segment would be orphaned,
     * and using it could not make that worse. */
    (void)shmctl(id, IPC_RMID, NULL);
    return base == (void *)-1 ? NULL : base;
}

static enum quarry_status map_private(struct os *os, size_t bytes, char **ret_base)
{
    void *guard;
    size_t guard_bytes = os->page_bytes;
    enum quarry_status status = os_reserve(os, bytes + 2 * guard_bytes, guard_bytes, &guard);

    if (status != QUARRY_OK) {
        return status;
    }
    status = os_commit(os, (char *)guard + guard_bytes, bytes);
    if (status != QUARRY_OK) {
        (void)os_release(os, guard, bytes + 2 * guard_bytes);
        return status;
    }
    *ret_base = (char *)guard + guard_bytes;
    return QUARRY_OK;
}

enum quarry_status mem_segment_create(struct os *os, size_t bytes, bool may_share_under_filter,
                                      struct mem_segment *ret_segment)
{
    struct mem_segment segment = {.bytes = bytes};
    enum quarry_status status = QUARRY_OK;
    int caller_errno = errno;

    Q_ASSERT(bytes > 0 && size_is_aligned(bytes, os->page_bytes));
    if (may_share_under_filter || !has_filter()) {
        segment.base = attach_shared(bytes);
        segment.is_shared = segment.base != NULL;
    }
    if (segment.base == NULL) {
        status = map_private(os, bytes, &segment.base);
    }
    errno = caller_errno;
    if (status == QUARRY_OK) {
        *ret_segment = segment;
    }
    return status;
}

void mem_segment_destroy(struct os *os, struct mem_segment *segment)
{
    int caller_errno = errno;
    size_t guard_bytes = os->page_bytes;

    if (segment->base == NULL) {
        return;
    }
    if (segment->is_shared) {
        (void)shmdt(segment->base);
    } else {
        (void)os_decommit(os, segment->base, segment->bytes);
        (void)os_release(os, segment->base - guard_bytes, segment->bytes + 2 * guard_bytes);
    }
    errno = caller_errno;
    *segment = (struct mem_segment){0};
}
