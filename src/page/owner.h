/*
 * Owners, and the ledger of who holds what.
 *
 * An owner is a part of the system that holds memory ("kv.memtable", "cache.slab", "net"). Every
 * run of pages has exactly one, and the ledger counts pages in use by owner and lane.
 */
#ifndef QUARRY_PAGE_OWNER_H
#define QUARRY_PAGE_OWNER_H

#include <base/base.h>
#include <os/os.h>
#include <page/commit.h>

/* Owner numbers fit the 12 bits that a run head has for them. Tenants are owners too. */
#define PAGE_OWNERS_MAX 4096u
/* Lanes at one time: one for each lifetime class alive. Doubling it doubles a ledger row to 1 KiB.
 */
#define PAGE_LANES_MAX        64u
#define PAGE_OWNER_NAME_BYTES 32u

/* No owner: pages that are free or cached. */
#define PAGE_OWNER_NONE 0u
/* Pages that can be neither used nor given back, because the kernel refused to take them. */
#define PAGE_OWNER_LOST 1u

/* One owner's row. */
struct page_owner {
    Q_ALIGNED(Q_CACHE_LINE_BYTES) char name[PAGE_OWNER_NAME_BYTES]; /* const after registration */
    _Atomic int64_t pages[PAGE_LANES_MAX]; /* in use; threads' unflushed differences not included */
};

struct page_ledger {
    /* const after init */
    struct os *os;
    struct page_commit *commit;
    struct page_owner *owner; /* PAGE_OWNERS_MAX of them reserved, committed as they register */
    size_t reserved_bytes;
    struct os_mutex mutex;
    /* guarded by mutex */
    size_t committed_bytes;
    _Atomic uint32_t owner_count; /* written under mutex */
};

/* Errors: NO_ADDRESS, NO_MEMORY. */
enum quarry_status page_ledger_init(struct page_ledger *ledger, struct os *os,
                                    struct page_commit *commit, uint32_t lock_order);
void page_ledger_fini(struct page_ledger *ledger);

/*
 * Finds or registers an owner by name (1 to 31 bytes).
 * Errors: TOO_MANY, NO_MEMORY, BAD_INPUT (no name, too long, or "none" or "lost").
 */
enum quarry_status page_ledger_register(struct page_ledger *ledger, const char *name,
                                        uint32_t *ret_owner);

/*
 * A lane's counter in an owner's row. Neighbouring lanes lie in different cache lines, so that
 * threads in lanes of their own do not fight over one: 74 ns a pair through the tree became 50.
 */
static inline _Atomic int64_t *page_ledger_cell(struct page_ledger *ledger, uint32_t owner,
                                                uint32_t lane)
{
    const uint32_t lines = PAGE_LANES_MAX * sizeof(int64_t) / Q_CACHE_LINE_BYTES;

    return &ledger->owner[owner].pages[lane % lines * (PAGE_LANES_MAX / lines) + lane / lines];
}

/* Adds to what `owner` holds in `lane`. Threads: any. */
static inline void page_ledger_add(struct page_ledger *ledger, uint32_t owner, uint32_t lane,
                                   int64_t page_count)
{
    Q_DCHECK(owner != PAGE_OWNER_NONE && owner < PAGE_OWNERS_MAX && lane < PAGE_LANES_MAX);
    (void)atomic_add_relaxed_i64(page_ledger_cell(ledger, owner, lane), page_count);
}

#endif
