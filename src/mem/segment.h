/*
 * The memory of the statistics segment: shared where it can be, private where it must.
 */
#ifndef QUARRY_MEM_SEGMENT_H
#define QUARRY_MEM_SEGMENT_H

#include <base/base.h>
#include <os/os.h>

struct mem_segment {
    char *base; /* NULL: there is none */
    size_t bytes;
    bool is_shared; /* others can attach it; else it is private memory of this process */
};

/*
 * Makes a segment of `bytes` (whole OS pages), all zero and without memory behind it, readable and
 * writable by this user's processes only.
 *
 * `may_share_under_filter`: shares although a seccomp filter is on, which may answer an unexpected
 * system call by killing the process; without it a filter means private memory.
 * Errors: NO_MEMORY, NO_ADDRESS. Leaves errno alone. Cost: up to six system calls.
 */
Q_NODISCARD enum quarry_status mem_segment_create(struct os *os, size_t bytes,
                                                  bool may_share_under_filter,
                                                  struct mem_segment *ret_segment);

/* Ends this process' use of it: its memory goes back when nobody else is attached any more. */
void mem_segment_destroy(struct os *os, struct mem_segment *segment);

#endif
