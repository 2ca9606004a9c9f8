/*
 * Memory: pages of 8 KiB under one hard budget, each with an owner and a lifetime.
 *
 * A *memory* is one budget and everything under it. It hands out *runs*: contiguous pages that
 * begin at a page. Each run has one *owner*, the part of the program that holds it ("cache.slab",
 * "net"), and lies in one *lane*. A lane is a page allocator of its own, over its own range of
 * addresses, for things that are expected to die together: a time window, a memtable, the general
 * heap. Ending a lane gives back all of its memory at once, whatever is in it.
 *
 *     struct quarry_memory *memory;
 *     struct quarry_lane *lane;
 *     uint32_t owner;
 *     struct quarry_memory_options options = {.limit_bytes = 512u << 20};
 *     struct quarry_error error = {0};
 *
 *     if (quarry_memory_create(&options, &memory, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text);
 *     }
 *     quarry_memory_owner(memory, "demo", &owner);
 *     quarry_lane_create(memory, &(struct quarry_lane_options){.name = "window"}, &lane, &error);
 *     void *pages;
 *     if (quarry_pages_alloc(lane, owner, 16, &pages) == QUARRY_OK) {   // 128 KiB
 *         quarry_pages_free(lane, pages);
 *     }
 *
 * What a memory promises:
 *
 * - *The budget is never passed.* Bytes are charged before they can be touched; committed bytes,
 *   the memory's own structures included, are at no instant above the limit. When it is reached,
 *   free pages go back first, then what threads have cached, then registered reclaimers are asked,
 *   and only then does an allocation fail, with QUARRY_NO_MEMORY.
 * - *Memory comes back.* A thread gives free pages back to the kernel, highest addresses first,
 * also while the process is idle: beginning 0.6 s after they fell free, at 1 % of the CPUs, down to
 *   1.10 × what was recently in use.
 * - *Everything is accounted for.* The ledger's states add up to what is committed.
 *
 * Errors: a programmer's error (freeing what is not a run, a page twice, with the wrong lane)
 * aborts with a message. Everything else is a status.
 *
 * Threads: every call may be made from any thread at once, unless it says otherwise. Threads keep a
 * few pages of each lane they use; they give them up when they end, when idle, and when memory is
 * short.
 *
 * Forks: in the child of a fork the memory is whole and usable. Runs stay as they were; the thread
 * that gives memory back is started again when needed. A lane with a file remains the parent's: the
 * child may read and write its runs, which the two share, but gets QUARRY_BUSY for new ones.
 *
 * Source: the page allocator of Go's runtime; see ARCHITECTURE.md and docs/decisions.
 */
#ifndef QUARRY_MEMORY_H
#define QUARRY_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a page, whatever the page of the operating system is. */
#define QUARRY_PAGE_BYTES 8192

/* Bytes of a name of a lane or an owner, the closing NUL included. */
#define QUARRY_NAME_BYTES 32

struct quarry_memory;
struct quarry_lane;

/* ---- a memory ------------------------------------------------------------------------------- */

/* What a memory is to be. All-zero is a sensible default. */
struct quarry_memory_options {
    /*
     * The budget in bytes, at most 16 TiB less 4 KiB. 0: 90 % of the tightest cgroup limit (v1 or
     * v2), or of RAM where that is less.
     */
    uint64_t limit_bytes;
    /*
     * Address space for all lanes together, in bytes; costs no memory. 0: 256 × the budget, 64 GiB
     * to 16 TiB. Halved as often as needed where the system has less (RLIMIT_AS).
     */
    uint64_t reserved_bytes;
    /*
     * No thread that gives memory back: the caller calls quarry_memory_turn instead. Growing and
     * reaching the limit still give back what they need.
     */
    bool has_no_thread;
};

/*
 * Creates a memory.
 *
 * `options`: borrowed for the call; NULL for the defaults.
 * `ret_memory`: own; end it with quarry_memory_destroy.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT (a limit too small for the memory's own structures: 128 KiB),
 * QUARRY_TOO_LARGE, QUARRY_NO_ADDRESS, QUARRY_NO_MEMORY, QUARRY_TOO_MANY (four at a time).
 * Cost: some system calls; about 90 KiB of the budget, and a 256 KiB stack once the thread runs.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_create(const struct quarry_memory_options *options,
                                                      struct quarry_memory **ret_memory,
                                                      struct quarry_error *error);

/*
 * Ends a memory: its lanes are destroyed, all of its memory goes back. Accounts and lifetimes end
 * with it; epochs, slabs, arena keepers and block caches have ended before, or the program does.
 *
 * `memory`: given; NULL does nothing. Threads: no other thread uses the memory any more.
 */
QUARRY_EXPORT void quarry_memory_destroy(struct quarry_memory *memory);

/*
 * Changes the budget while running. Raised, it holds at once. Lowered below what is committed,
 * memory is given back first, and from the first moment no new byte is let in above what is
 * committed. It goes on as long as that makes progress or something is free, up to two seconds.
 *
 * `limit_bytes`: at most 16 TiB less 4 KiB.
 * Errors: QUARRY_TOO_LARGE; QUARRY_NO_MEMORY: not enough could be freed, and the old limit holds;
 * QUARRY_BUSY: another thread is changing it.
 * Cost: lowered, up to giving everything back; calls reclaimers.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_set_limit(struct quarry_memory *memory,
                                                         uint64_t limit_bytes);

/*
 * Gives everything back to the kernel that is free, what threads have cached included.
 *
 * Returns: bytes given back. Errors: none; what the kernel refuses stays. Cost: about 0.3 µs for
 * each 4 KiB given back.
 */
QUARRY_EXPORT uint64_t quarry_memory_trim(struct quarry_memory *memory);

/*
 * One turn of the background work, for a memory created with `has_no_thread`.
 *
 * Returns: nanoseconds until the next turn should be. Threads: one at a time.
 * Cost: at most a millisecond or so of giving memory back.
 */
QUARRY_EXPORT uint64_t quarry_memory_turn(struct quarry_memory *memory);

/* ---- owners, and who holds what ------------------------------------------------------------- */

/*
 * Finds the owner with a name, or registers it. Owners are never unregistered.
 *
 * `name`: borrowed; 1 to 31 bytes.
 * `ret_owner`: a number from 1, for the calls that take an owner.
 * Errors: QUARRY_BAD_INPUT (name), QUARRY_TOO_MANY (4,094 owners), QUARRY_NO_MEMORY.
 * Cost: O(owners).
 */
QUARRY_EXPORT enum quarry_status quarry_memory_owner(struct quarry_memory *memory, const char *name,
                                                     uint32_t *ret_owner);

/*
 * The name of an owner.
 *
 * Returns: borrowed until the memory ends; NULL for a number that is no owner's.
 */
QUARRY_EXPORT const char *quarry_memory_owner_name(struct quarry_memory *memory, uint32_t owner);

/*
 * What committed bytes are doing, at one instant. The first six add up to `committed_bytes`.
 */
struct quarry_ledger {
    uint64_t in_use_bytes;      /* in runs that owners hold */
    uint64_t cached_bytes;      /* with threads, for their next allocations */
    uint64_t free_backed_bytes; /* free, and not given back yet */
    uint64_t metadata_bytes;    /* the memory's own structures and its thread's stack */
    uint64_t in_flight_bytes;   /* being given back, or charged by an allocation under way */
    uint64_t set_aside_bytes;   /* charged ahead, for reads and recovery: quarry_reserve_begin */
    uint64_t committed_bytes;   /* the sum, never above the limit */
    uint64_t limit_bytes;
    uint64_t peak_bytes;     /* the most that was ever committed */
    uint64_t released_bytes; /* free, and given back: addresses without memory */
    uint64_t reserved_bytes; /* addresses of all lanes */
};

/* What one owner holds in one lane. */
struct quarry_ledger_row {
    uint32_t owner;
    uint32_t lane; /* the number that heap maps give it */
    char lane_name[QUARRY_NAME_BYTES];
    uint64_t in_use_bytes;
};

/*
 * Reads the ledger.
 *
 * `ret_ledger`: written always.
 * `rows`: room for `row_capacity` rows; NULL for none. Owners that hold nothing in a lane have
 * none. Returns: how many rows there are, which may be more than were written. Threads: any; all
 * allocation waits meanwhile, some microseconds. Cost: O(threads × lanes + owners × lanes).
 */
QUARRY_EXPORT size_t quarry_memory_ledger(struct quarry_memory *memory,
                                          struct quarry_ledger *ret_ledger,
                                          struct quarry_ledger_row *rows, size_t row_capacity);

/*
 * Checks every structure against every other: each page is in exactly one place, the ledger equals
 * the pages, the budget equals the sum.
 *
 * `error`: names the first difference; may be NULL.
 * Errors: QUARRY_CORRUPT. Cost: O(pages); all allocation waits meanwhile.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_validate(struct quarry_memory *memory,
                                                        struct quarry_error *error);

/* ---- reclaimers ----------------------------------------------------------------------------- */

/*
 * Asks the owner of memory to free some: called when the budget is full, with no lock of the memory
 * held, from whatever thread needed memory. It may allocate and free; it is not called again from
 * within itself.
 *
 * `argument`: as registered. `wanted_bytes`: how much is lacking.
 * Returns: bytes freed, as far as it knows; 0 when it can free nothing.
 */
typedef uint64_t quarry_reclaim_function(void *argument, uint64_t wanted_bytes);

/*
 * Registers a reclaimer.
 *
 * `order`: lower is asked first; among equals, the one registered in the lower slot.
 * `argument`: borrowed until the reclaimer is removed.
 * Errors: QUARRY_TOO_MANY (16 at a time).
 */
QUARRY_EXPORT enum quarry_status quarry_memory_add_reclaimer(struct quarry_memory *memory,
                                                             uint32_t order,
                                                             quarry_reclaim_function *reclaim,
                                                             void *argument);

/*
 * Removes a reclaimer; returns when no thread is inside it any more, so not to be called from
 * within it. Does nothing when there is no such reclaimer.
 */
QUARRY_EXPORT void quarry_memory_remove_reclaimer(struct quarry_memory *memory,
                                                  quarry_reclaim_function *reclaim, void *argument);

/* ---- lanes ---------------------------------------------------------------------------------- */

/* What a lane is to be. `name` is required; zero means the default of the rest. */
struct quarry_lane_options {
    const char *name; /* 1 to 31 bytes, unlike any other lane's; borrowed for the call */
    /*
     * Addresses of the lane in bytes, rounded up to GiB: a limit on what it can hold, fragmentation
     * included. 0: a 64th of the memory's address space, four times its budget by default.
     */
    uint64_t reserved_bytes;
    /*
     * Backs the lane with this file instead of anonymous memory; created when absent, locked while
     * open. Pages outlive the process in it: see quarry_lane_adopt. Give it a file system of its
     * own quota: a full one is QUARRY_NO_SPACE, never a signal. Borrowed for the call.
     */
    const char *file_path;
    /*
     * For memory that lives long and is read at random, a cache above all: the memory's background
     * thread puts huge pages of 2 MiB under what has been wholly in use for a while, at 3 % of one
     * CPU: a GiB in some 10 s where the machine has memory at hand; 90 s were measured in a virtual
     * one whose host had yet to find it. Nothing more is charged or held for it. Needs Linux 6.1
     * and transparent huge pages not switched off for the process; does nothing elsewhere. Not with
     * `file_path`: QUARRY_BAD_INPUT.
     */
    bool wants_huge_pages;
};

/*
 * Creates a lane.
 *
 * `options`: borrowed for the call. `ret_lane`: own; end it with quarry_lane_destroy.
 * Errors: QUARRY_BAD_INPUT (name), QUARRY_EXISTS (name), QUARRY_TOO_MANY (64 at a time),
 * QUARRY_NO_ADDRESS, QUARRY_NO_MEMORY; with a file also QUARRY_IO, QUARRY_PERMISSION,
 * QUARRY_NOT_FOUND, QUARRY_BUSY (open elsewhere), QUARRY_NO_SPACE, QUARRY_CORRUPT (not a lane's).
 * Cost: some system calls; 4 KiB of the budget, 32 KiB more when it first grows, and 2 KiB for each
 * thread that uses it.
 */
QUARRY_EXPORT enum quarry_status quarry_lane_create(struct quarry_memory *memory,
                                                    const struct quarry_lane_options *options,
                                                    struct quarry_lane **ret_lane,
                                                    struct quarry_error *error);

/*
 * Ends the lifetime of what is in a lane: all of its runs are free, and their memory goes back to
 * the kernel, one call for each contiguous stretch. The lane stays, empty, for the next lifetime.
 *
 * Threads: no other thread uses the lane or its runs meanwhile.
 * Errors: none; what the kernel refuses to take stays with the memory as free pages.
 * Cost: O(lane / 4 MiB + stretches); no run is looked at.
 */
QUARRY_EXPORT void quarry_lane_end(struct quarry_lane *lane);

/*
 * Ends a lane for good. A file behind it keeps the pages that were in use.
 *
 * `lane`: given; NULL does nothing. Threads: as quarry_lane_end.
 */
QUARRY_EXPORT void quarry_lane_destroy(struct quarry_lane *lane);

/*
 * Claims a run of a file-backed lane that was opened with pages in its file. The caller knows from
 * its own records which runs were in use when the file was last closed, or its process killed. A
 * lane opened so allocates nothing until quarry_lane_adopt_finish.
 *
 * `page`: index of the run's first page in the lane: (address − lane's lowest address) / 8192 then.
 * `page_count`: from 1. `ret_base`: the run, at this process' address; contents as they were.
 * Errors: QUARRY_BAD_INPUT (not in the file, overlaps an adopted run, or the lane is not in
 * adoption), QUARRY_NO_MEMORY, QUARRY_NO_SPACE, QUARRY_IO.
 */
QUARRY_EXPORT enum quarry_status quarry_lane_adopt(struct quarry_lane *lane, uint32_t owner,
                                                   uint64_t page, uint64_t page_count,
                                                   void **ret_base);

/*
 * Ends adoption: disk blocks of pages that nobody claimed are given back to the file system, and
 * the lane is open to allocation.
 *
 * Errors: QUARRY_BAD_INPUT (not in adoption), QUARRY_IO (still in adoption: try again).
 */
QUARRY_EXPORT enum quarry_status quarry_lane_adopt_finish(struct quarry_lane *lane);

/* The lane's lowest address: pages are numbered from there. Borrowed until the lane ends. */
QUARRY_EXPORT void *quarry_lane_base(struct quarry_lane *lane);

/* ---- runs of pages -------------------------------------------------------------------------- */

/*
 * Allocates a run of pages. Pages that were never used, or were given back, read as zero; others
 * hold what was last in them.
 *
 * `owner`: from quarry_memory_owner. `page_count`: from 1.
 * `ret_base`: own; free it with quarry_pages_free, or end the lane. Aligned to QUARRY_PAGE_BYTES.
 * Errors: QUARRY_NO_MEMORY (budget, after all that can be reclaimed), QUARRY_NO_ADDRESS (the lane
 * is full), QUARRY_NO_SPACE (its file's disk is), QUARRY_BUSY (adoption is not finished). Cost:
 * about 40 instructions from the thread's own pages, 500 from the lane's.
 */
QUARRY_EXPORT enum quarry_status quarry_pages_alloc(struct quarry_lane *lane, uint32_t owner,
                                                    uint64_t page_count, void **ret_base);

/*
 * As quarry_pages_alloc, beginning at a multiple of `align_pages` pages.
 *
 * `align_pages`: a power of two from 1 to 131,072 (1 GiB).
 */
QUARRY_EXPORT enum quarry_status quarry_pages_alloc_aligned(struct quarry_lane *lane,
                                                            uint32_t owner, uint64_t page_count,
                                                            uint64_t align_pages, void **ret_base);

/*
 * Frees a run. Its memory stays with the thread or the lane for the next, and goes back to the
 * kernel within a second or so when nobody wants it.
 *
 * `base`: given; what quarry_pages_alloc returned, of the same lane. NULL does nothing.
 * Cost: as quarry_pages_alloc. 1 GiB allocated and freed costs about 5 µs: no page of it is
 * touched.
 */
QUARRY_EXPORT void quarry_pages_free(struct quarry_lane *lane, void *base);

/*
 * Makes a run longer or shorter without moving it.
 *
 * `page_count`: the new length, from 1.
 * Errors: QUARRY_BUSY (the pages after it are not free: the run is as it was), QUARRY_NO_MEMORY,
 * QUARRY_NO_SPACE.
 */
QUARRY_EXPORT enum quarry_status quarry_pages_resize(struct quarry_lane *lane, void *base,
                                                     uint64_t page_count);

/* How many pages the run that begins at `base` has, and who owns it. */
QUARRY_EXPORT uint64_t quarry_pages_count(const struct quarry_lane *lane, const void *base);
QUARRY_EXPORT uint32_t quarry_pages_owner(const struct quarry_lane *lane, const void *base);

/* ---- a reserve for reads and recovery ------------------------------------------------------- */

/*
 * Sets bytes aside for threads inside quarry_reserve_begin: charged ahead, so that nobody else can
 * have them. What was used comes back, as charges, from whatever goes back to the kernel and, when
 * threads leave and with the turns of the background work, as soon as there is room.
 *
 * `bytes`: rounded up to 4 KiB; 0 ends it. Errors: QUARRY_NO_MEMORY: they do not fit now, though
 * everybody was asked; the reserve is as large as it was. QUARRY_TOO_LARGE: more than half of the
 * limit. Threads: one at a time. Cost: as an allocation of so many bytes.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_set_reserve(struct quarry_memory *memory,
                                                           uint64_t bytes);

/*
 * Adds to it, for a store that needs some of its own, and takes back what was added: the sum of all
 * is set aside. `bytes`: the same at both calls; rounded up to 4 KiB. Errors, cost: as above;
 * QUARRY_NO_MEMORY inside quarry_reserve_begin. Threads: any.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_add_reserve(struct quarry_memory *memory,
                                                           uint64_t bytes);
QUARRY_EXPORT void quarry_memory_remove_reserve(struct quarry_memory *memory, uint64_t bytes);

/*
 * Fills it up again: as far as there is room, and as reclaimers make some. For who has used it,
 * after quarry_reserve_end; inside it nothing is done. Threads: any. Cost: two loads where nothing
 * is lacking, else as an allocation.
 */
QUARRY_EXPORT void quarry_reserve_restore(struct quarry_memory *memory);

/*
 * Until quarry_reserve_end, what the calling thread allocates from the memory and the budget has no
 * room for, after all that can be reclaimed, is paid for by what was set aside. For work that must
 * go on when writers are refused, and that soon frees what it takes. Nests.
 *
 * Threads: the calling one's own. Errors: none. Cost: a few instructions.
 */
QUARRY_EXPORT void quarry_reserve_begin(struct quarry_memory *memory);
QUARRY_EXPORT void quarry_reserve_end(struct quarry_memory *memory);

/* ---- accounts: who may hold how much -------------------------------------------------------- */

/*
 * An account is a node of a tree: the memory itself at the root, stores below it, their parts, and
 * tenants. Each has an owner of the same dotted name ("kv.block"), so that a row of the ledger and
 * an account speak of the same bytes. What an account has charged counts for all above it.
 *
 *     struct quarry_account *kv, *block;
 *     struct quarry_account_options options = {.name = "kv", .floor_bytes = 8u << 20};
 *
 *     quarry_account_create(memory, &options, &kv, &error);
 *     options = (struct quarry_account_options){.name = "block", .parent = kv, .share = 3};
 *     quarry_account_create(memory, &options, &block, &error);    // owner "kv.block"
 *     if (quarry_account_charge(block, 128 << 10) == QUARRY_OK) { // then take the pages
 *         ...
 *         quarry_account_uncharge(block, 128 << 10);              // after they are given back
 *     }
 *
 * Memory flows between accounts. One that says what it is worth (`value`) is *elastic*: it has a
 * target, begins with its share of what the others leave, and gains or loses a little several times
 * a second, as long as another one would lose fewer hits by the bytes than it would gain. Floors
 * and ceilings hold throughout.
 */
struct quarry_account;

/* What an account has seen since it was last asked, for its marginal value. */
struct quarry_account_value {
    uint64_t ghost_hits;  /* misses that would have been hits, had it `ghost_bytes` more */
    uint64_t ghost_bytes; /* 0: not known, and the account does not ask to grow */
    uint64_t tail_hits;   /* hits on what would go next, the coldest `tail_bytes` that it holds */
    uint64_t tail_bytes;  /* 0: not known; it loses nothing by giving */
};

/*
 * Tells what an account has seen since the last call. By the memory's thread, with no lock held,
 * several times a second. `ret_value`: zeroed by the caller.
 */
typedef void quarry_account_value_function(void *argument, struct quarry_account_value *ret_value);
/*
 * Tells an account how much it should hold from now on, its subtree included: it frees what is
 * above, at its own pace, and may grow up to it. By the memory's thread or one that needs memory,
 * with no lock held.
 */
typedef void quarry_account_target_function(void *argument, uint64_t target_bytes);

/* What an account is to be. `name` is required; zero means the default of the rest. */
struct quarry_account_options {
    /* Last part of the name, without a dot; all parts together 1 to 31 bytes. Borrowed. */
    const char *name;
    struct quarry_account *parent; /* borrowed until this one is destroyed; NULL: the memory */
    uint32_t share;                /* weight among siblings; 0: 1 */
    uint32_t priority;             /* at equal value, the lower is asked first */
    uint64_t floor_bytes;          /* it is never asked to go below */
    uint64_t ceiling_bytes;        /* what it may have charged, its subtree included; 0: no bound */
    /*
     * Every page of its owner is charged here, and nothing else is: quarry_accounts_validate holds
     * it to that.
     */
    bool is_all_pages;
    bool begins_paused; /* none of its functions is called before quarry_account_resume */
    /*
     * In the child of a fork it is paused: for functions that another thread of the parent may have
     * been inside of, with a lock that nobody gives back there.
     */
    bool pauses_in_child;
    quarry_reclaim_function *reclaim;           /* NULL: it has no memory to give */
    quarry_account_value_function *value;       /* NULL: not elastic */
    quarry_account_target_function *set_target; /* NULL: it does not want to know */
    void *argument; /* of all three; borrowed until the account is destroyed */
};

/*
 * Creates an account, and its owner where there is none of the name.
 *
 * `options`: borrowed for the call. `ret_account`: own; end it with quarry_account_destroy, or with
 * the memory. `error`: may be NULL.
 * Errors: QUARRY_BAD_INPUT (name; a floor above the ceiling; an elastic one below an elastic one;
 * `value` without `reclaim`), QUARRY_EXISTS (name), QUARRY_TOO_MANY (owners; eight levels),
 * QUARRY_NO_MEMORY.
 * Cost: 512 bytes of the budget; O(siblings).
 */
QUARRY_EXPORT enum quarry_status quarry_account_create(struct quarry_memory *memory,
                                                       const struct quarry_account_options *options,
                                                       struct quarry_account **ret_account,
                                                       struct quarry_error *error);

/*
 * Ends an account, which has nothing charged and no children any more; returns when no thread is
 * inside one of its functions, so not to be called from within them. Its owner stays.
 *
 * `account`: given; NULL does nothing.
 */
QUARRY_EXPORT void quarry_account_destroy(struct quarry_account *account);

/*
 * Pausing keeps out of an account's functions: what they work on may be changed or ended while the
 * account is still charged for it. Returns when no thread is inside them, so not to be called from
 * within one, nor with a lock held that one takes. Resuming lets them be called again; an elastic
 * account gets its target anew.
 *
 * Threads: any. Cost: a lock; the calls under way.
 */
QUARRY_EXPORT void quarry_account_pause(struct quarry_account *account);
QUARRY_EXPORT void quarry_account_resume(struct quarry_account *account);

/* The account's owner, for quarry_pages_alloc and quarry_pool_create. */
QUARRY_EXPORT uint32_t quarry_account_owner(const struct quarry_account *account);

/*
 * Charges bytes to an account and to all above it, up to the memory's limit; before the pages are
 * taken.
 *
 * Errors: QUARRY_NO_MEMORY: they would pass a ceiling, after the accounts below it were asked for
 * memory once; nothing is charged.
 * Threads: any; from within a reclaimer too, which asks nobody then. No lock held that one of the
 * reclaimers takes. Cost: two locked instructions for each level; at a ceiling, the reclaimers.
 */
QUARRY_EXPORT enum quarry_status quarry_account_charge(struct quarry_account *account,
                                                       uint64_t bytes);

/* Takes a charge back, after the pages were given back. Cost: as quarry_account_charge. */
QUARRY_EXPORT void quarry_account_uncharge(struct quarry_account *account, uint64_t bytes);

/*
 * Charges a run of pages and allocates it for the account's owner; and frees one so allocated.
 *
 * Errors: as quarry_account_charge and quarry_pages_alloc; then nothing is charged.
 */
QUARRY_EXPORT enum quarry_status quarry_account_pages_alloc(struct quarry_account *account,
                                                            struct quarry_lane *lane,
                                                            uint64_t page_count, void **ret_base);
QUARRY_EXPORT void quarry_account_pages_free(struct quarry_account *account,
                                             struct quarry_lane *lane, void *base);

/*
 * Keeps some of an account's ceiling, and of those above it, for threads inside
 * quarry_reserve_begin: others are refused what would leave less. Adds to what is kept, or takes
 * back what was added. Half of a ceiling stays for all, however much is kept. Costs nothing where
 * there is no ceiling, and charges nothing.
 *
 * `bytes`: the same at both calls. Threads: any.
 */
QUARRY_EXPORT void quarry_account_add_reserve(struct quarry_account *account, uint64_t bytes);
QUARRY_EXPORT void quarry_account_remove_reserve(struct quarry_account *account, uint64_t bytes);

/*
 * Changes an account's bounds while running. A ceiling below what is charged asks the accounts
 * below it for memory, once here and again several times a second; meanwhile it refuses charges.
 *
 * `ceiling_bytes`: 0: no bound. Errors: QUARRY_BAD_INPUT (a floor above the ceiling).
 */
QUARRY_EXPORT enum quarry_status quarry_account_set_bounds(struct quarry_account *account,
                                                           uint64_t floor_bytes,
                                                           uint64_t ceiling_bytes);

/* What an account says of itself. Each figure is exact; together they are of about one instant. */
struct quarry_account_state {
    char name[QUARRY_NAME_BYTES]; /* all parts; "" for the root */
    uint32_t owner;               /* 0 for the root */
    uint32_t depth;               /* 0: the root */
    uint32_t share;
    uint32_t priority;
    uint64_t own_bytes;       /* charged to it alone */
    uint64_t charged_bytes;   /* its subtree included */
    uint64_t peak_bytes;      /* the most that was charged */
    uint64_t floor_bytes;     /* as set */
    uint64_t ceiling_bytes;   /* 0: no bound; the limit for the root */
    uint64_t target_bytes;    /* of an elastic one; else 0 */
    uint64_t refused_count;   /* charges refused at its ceiling */
    uint64_t asked_count;     /* calls of its reclaimer */
    uint64_t reclaimed_bytes; /* what it said it freed then */
    double growth_value;      /* hits a second that one more byte would bring; averaged */
    double loss_value;        /* hits a second that its coldest byte brings; averaged */
    bool is_elastic;
};

/* Reads one account. */
QUARRY_EXPORT void quarry_account_read(struct quarry_account *account,
                                       struct quarry_account_state *ret_state);

/*
 * Reads all accounts, each before those below it, the root first.
 *
 * `states`: room for `state_capacity`; NULL for 0. Returns: how many there are, which may be more
 * than were written; 0 before the first account was created. Cost: O(accounts), under the lock of
 * the tree.
 */
QUARRY_EXPORT size_t quarry_memory_accounts(struct quarry_memory *memory,
                                            struct quarry_account_state *states,
                                            size_t state_capacity);

/*
 * Checks the tree: each account's charge is its own and its children's, no target is out of bounds,
 * and what is_all_pages promises holds by the ledger.
 *
 * `error`: names the first difference; may be NULL. Errors: QUARRY_CORRUPT. Threads: nobody charges
 * or uncharges meanwhile. Cost: as quarry_memory_ledger.
 */
QUARRY_EXPORT enum quarry_status quarry_accounts_validate(struct quarry_memory *memory,
                                                          struct quarry_error *error);

/* ---- pressure ------------------------------------------------------------------------------- */

/*
 * How hard it is to find memory: by the share of the limit that is committed and that nobody could
 * give, and by allocations refused. Rises at once, falls a level at a time after a second of rest.
 */
enum quarry_pressure {
    QUARRY_PRESSURE_NONE,
    QUARRY_PRESSURE_MODERATE, /* from 80 %: leave off what can wait */
    QUARRY_PRESSURE_HIGH,     /* from 90 %, or something was refused: give up spare memory */
    QUARRY_PRESSURE_CRITICAL, /* from 97 %, or refusals go on: take no new work */
};

/* By the memory's thread, with no lock held, when the level has changed. */
typedef void quarry_pressure_function(void *argument, enum quarry_pressure level);

/* The level now. Cost: one load. */
QUARRY_EXPORT enum quarry_pressure quarry_memory_pressure(struct quarry_memory *memory);

/* A word for a level: "none", "moderate", "high", "critical". Borrowed for ever. */
QUARRY_EXPORT const char *quarry_pressure_name(enum quarry_pressure level);

/*
 * Has `changed` called when the level changes.
 *
 * `argument`: borrowed until the listener is removed.
 * Errors: QUARRY_TOO_MANY (16 at a time), QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status
quarry_memory_add_pressure_listener(struct quarry_memory *memory, quarry_pressure_function *changed,
                                    void *argument);
/* Returns when nobody is inside it any more, so not to be called from within it. */
QUARRY_EXPORT void quarry_memory_remove_pressure_listener(struct quarry_memory *memory,
                                                          quarry_pressure_function *changed,
                                                          void *argument);

/* ---- a map of the heap ---------------------------------------------------------------------- */

/*
 * Writes a snapshot of the memory, chunk by chunk of 4 MiB: pages in use, pages without memory, the
 * lane, the owner of most. `quarry map` draws it; docs/formats/heap-map.md describes it.
 *
 * `buffer`: room for `capacity_bytes`; NULL for 0. `ret_bytes`: what the snapshot needs.
 * Errors: QUARRY_TOO_LARGE (more than `capacity_bytes`; nothing usable was written).
 * Threads: any; lanes are locked a few chunks at a time. Cost: 16 bytes a chunk, a few milliseconds
 * for 64 GiB.
 */
QUARRY_EXPORT enum quarry_status quarry_memory_map(struct quarry_memory *memory, void *buffer,
                                                   size_t capacity_bytes, size_t *ret_bytes);

#ifdef __cplusplus
}
#endif

#endif
