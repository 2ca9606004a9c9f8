/*
 * What a leak ledger is made of; for the files of this folder.
 */
#ifndef QUARRY_REF_LEAK_LEDGER_H
#define QUARRY_REF_LEAK_LEDGER_H

#include <mem/index.h>
#include <mem/room.h>
#include <page/page.h>
#include <ref/leak.h>

/* Something that is out; or, with no kind, a slot for the next. */
struct ref_leak_record {
    uint64_t object;
    uint64_t noted_ns;
    const char *kind;    /* NULL: free */
    uint32_t stack;      /* number of the stack + 1; 0: not known */
    uint32_t thread_id;  /* who acquired it */
    uint32_t generation; /* of the slot's next or present token; never 0 */
    uint32_t next_free;  /* slot + 1; 0: the last */
};

/* A call stack, kept once however many records have it. */
struct ref_leak_stack {
    uint32_t pc_count;
    uint64_t pcs[REF_LEAK_FRAMES_MAX];
};

struct ref_leaks {
    struct page_heap *heap;            /* const */
    char owner[PAGE_OWNER_NAME_BYTES]; /* const */
    uint64_t serial;                   /* const */
    struct ref_leaks *next, *previous; /* guarded by the process' mutex */
    _Atomic uint64_t unrecorded_count; /* atomic */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct mem_room records; /* of struct ref_leak_record */
    uint32_t record_count;   /* slots that were ever used */
    uint32_t free_slot;      /* slot + 1; 0: none is free */
    uint32_t out_count;
    uint32_t stack_count;
    struct mem_room stacks; /* of struct ref_leak_stack */
    struct mem_index index; /* from the hash of a stack to its number */
};

static inline struct ref_leak_record *ref_leaks_record(const struct ref_leaks *leaks, uint32_t slot)
{
    Q_DCHECK(slot < leaks->record_count);
    return (struct ref_leak_record *)(void *)leaks->records.base + slot;
}

static inline struct ref_leak_stack *ref_leaks_stack(const struct ref_leaks *leaks, uint32_t number)
{
    Q_DCHECK(number < leaks->stack_count);
    return (struct ref_leak_stack *)(void *)leaks->stacks.base + number;
}

#endif
