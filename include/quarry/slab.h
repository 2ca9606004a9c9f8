/*
 * Slabs: many cells of a few sizes, named by refs instead of pointers, so that memory can move.
 *
 * A slab holds *cells*: pieces of memory of fixed sizes, cut from *pages* of about 1 MiB (the first
 * ones of a size are smaller, from 64 KiB). All cells of a page have one size, its *class*. A cell
 * is named by a *ref*, a number of 64 bits that says where it is and in which of its lives:
 *
 *     63 ........ 48  47 ...... 32  31 ...... 16  15 ....... 0
 *     generation      class         page          cell            0 is no ref
 *
 * Who keeps a ref finds the cell by quarry_slab_data. Once the cell has been given back, the
 * generation has moved on, and the ref is *stale*: quarry_slab_data says NULL, and never shows what
 * the next holder writes. Owners that know when their refs end may keep the low 48 bits alone, with
 * quarry_slab_ref putting the generation of today on top.
 *
 *     struct quarry_slab *items;
 *     struct quarry_slab_options options = {.name = "items", .lane = lane, .account = account};
 *     struct quarry_cell cell;
 *
 *     quarry_slab_create(memory, &options, &items, &error);
 *     if (quarry_slab_take(items, 100, &cell) == QUARRY_OK) {
 *         memcpy(cell.data, bytes, 100);
 *         table[n] = cell.ref;                       // not the pointer
 *     }
 *     const char *data = quarry_slab_data(items, table[n]);
 *     quarry_slab_give(items, table[n]);
 *     quarry_slab_data(items, table[n]);             // NULL
 *
 * Readers without a lock: create the slab with an epoch domain (quarry/epoch.h), read inside it,
 * and end cells by quarry_slab_retire where somebody may be reading them. What
 * quarry_slab_data returned stays as it is until the reader leaves.
 *
 * Moving: quarry_slab_move_page empties a page, and quarry_slab_compact as many as it takes to give
 * back so many bytes: live cells are taken anew elsewhere, and their owner's callback copies each
 * and repoints what refers to it. Readers go on meanwhile: they find the old cell or the new one,
 * both whole.
 *
 * Sizes: a request rounds up to the next class. There are 12 classes in each doubling at first, 3 %
 * more than was asked for on average; as a slab sees what sizes are asked for it splits the classes
 * where that saves most, down to 128 a doubling, or what the alignment allows. In a slab of 128 MiB
 * or more a class that is full has cells a tenth of a doubling larger used, where those are left
 * over. Cells of up to 512 bytes are aligned to 8 bytes, larger ones to 16; or to 4 and 8, see
 * is_fine.
 *
 * Threads: every call from any thread at once, but create and destroy, unless it says otherwise;
 * not from signal handlers. Threads keep a few free cells of the classes they use, up to 64 or
 * 32 KiB of each, and up to 256 or 512 KiB of those that they take and give in larger batches, by
 * which they keep 1 MiB more at most. They give them up when they end, for quarry_slab_trim, and
 * when a page is moved.
 *
 * Forks: the child finds the slab whole. Cells that were taken stay so; those that other threads
 * kept for their next takes are free.
 *
 * Outliving: where the lane has a file, the slab's owner can note in a file of its own which pages
 * there are (quarry_slab_options.page_taken), part with the slab by quarry_slab_detach, or be
 * killed, and have the pages adopted by a slab of the next process: quarry_slab_adopt_page.
 *
 * Errors: a programmer's error (giving a stale ref, or one that was never handed out) ends the
 * program with a message. Everything else is a status.
 *
 * Source: MemCachier's talk on its cache (slab pages of 1 MiB, chunks named by 48 bits, a lock per
 * slab), and memcached's page mover.
 */
#ifndef QUARRY_SLAB_H
#define QUARRY_SLAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_slab;
struct quarry_epoch;

/* The name of a cell, above. */
typedef uint64_t quarry_ref;

/* No cell. */
#define QUARRY_REF_NIL UINT64_C(0)
/* The part of a ref that says where the cell is. */
#define QUARRY_REF48_MASK ((UINT64_C(1) << 48) - 1)

/* The largest cell. */
#define QUARRY_SLAB_CELL_BYTES_MAX ((size_t)512 << 10)
/* The largest cell that may be aligned to 4 bytes: struct quarry_slab_options.is_fine. */
#define QUARRY_SLAB_FINE_BYTES_MAX 1024u

/* The parts of a ref. */
#define QUARRY_REF_CLASS(ref) ((uint32_t)((ref) >> 32) & 0xffffu)
#define QUARRY_REF_PAGE(ref)  ((uint32_t)((ref) >> 16) & 0xffffu)
#define QUARRY_REF_CELL(ref)  ((uint32_t)(ref)&0xffffu)

/* ---- a slab --------------------------------------------------------------------------------- */

struct quarry_slab_page;
/*
 * Told of a page that is about to be used: before any of its cells is handed out. What is in it is
 * whatever was there before. By any thread that takes or moves, with no lock of the slab held; it
 * may allocate pages, and calls nothing of the slab.
 *
 * `page`: borrowed; class_id, page, base, bytes, cell_bytes, cell_count and is_zero count. Returns:
 * QUARRY_OK, or why there can be no page: what the take returns then.
 */
typedef enum quarry_status quarry_slab_page_taken_function(void *argument,
                                                           const struct quarry_slab_page *page);
/*
 * Told of a page that has gone, before its memory and its number are anybody's again. Likewise.
 */
typedef void quarry_slab_page_given_function(void *argument, const struct quarry_slab_page *page);

/*
 * Asked before memory for a page is, likewise: whether there may be one of so many bytes. Where
 * not, a smaller one is asked for once.
 *
 * Returns: QUARRY_OK, or why there can be no page: what the take returns then.
 */
typedef enum quarry_status quarry_slab_page_wanted_function(void *argument, uint64_t bytes);

/* What a slab is to be. `name` and `lane` are required; zero means the default of the rest. */
struct quarry_slab_options {
    const char *name;         /* 1 to 31 bytes; borrowed for the call */
    struct quarry_lane *lane; /* where its pages lie; borrowed until it is destroyed */
    struct quarry_account
        *account;               /* charged for all of it; NULL: an owner of its name, no charge */
    struct quarry_epoch *epoch; /* NULL: no readers without a lock; retiring is giving */
    /* Classes in each doubling: 8, 16 or 32, for good. 0: 12, split as sizes are seen. */
    uint32_t classes_per_doubling;
    /*
     * Cells of up to QUARRY_SLAB_FINE_BYTES_MAX are aligned to 4 bytes only, larger ones to 8: two
     * bytes less for each on average.
     */
    bool is_fine;
    /*
     * Pages of about eight cells, but of 24 KiB at least: larger ones only where their ends are too
     * wasteful, or a class has 4,096 of them. For cells that their owner often declines to move:
     * each keeps a page from being given back. Costs up to 3 % for ends that are too short for a
     * cell. Not for a slab that is to adopt pages.
     */
    bool has_small_pages;
    /* Keeps a call stack of each cell taken (debug builds, or a sample), told at destroy. */
    bool tracks_cells;
    /* Measures for how long locks are held: quarry_slab_stats.lock_cpu_ns_max and the one after it.
     * Slow. */
    bool times_locks;
    /*
     * Where everything lies that is not a cell: for pages in a lane with a file, which is to hold
     * nothing else. NULL: with the pages. Borrowed until the slab is destroyed.
     */
    struct quarry_lane *record_lane;
    quarry_slab_page_taken_function *page_taken;   /* may be NULL */
    quarry_slab_page_given_function *page_given;   /* may be NULL */
    void *page_argument;                           /* of these three */
    quarry_slab_page_wanted_function *page_wanted; /* may be NULL */
};

/*
 * Creates a slab.
 *
 * `memory`: borrowed until the slab is destroyed, as are what `options` point to.
 * `ret_slab`: own; end it with quarry_slab_destroy, before its lane, its epoch and its account.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT (name, lane, classes_per_doubling), QUARRY_TOO_MANY (32 slabs at a time
 * in a process), QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS.
 * Cost: 40 KiB of the budget; 8 KiB more for each thread that uses it, and a
 * kilobyte for each class it uses.
 */
QUARRY_EXPORT enum quarry_status quarry_slab_create(struct quarry_memory *memory,
                                                    const struct quarry_slab_options *options,
                                                    struct quarry_slab **ret_slab,
                                                    struct quarry_error *error);

/*
 * Ends a slab: all of its cells are gone, live ones too, and its pages are given back. Cells
 * recorded by `tracks_cells` and not given are reported first.
 *
 * `slab`: given; NULL does nothing. Threads: no other thread uses the slab any more; those that did
 * may end at the same time. Cost: O(pages).
 */
QUARRY_EXPORT void quarry_slab_destroy(struct quarry_slab *slab);

/*
 * As quarry_slab_destroy, but the pages stay in their lane, with what is in them, and page_given is
 * not called. For a lane with a file that is about to be closed: they are not charged any more, and
 * nobody frees them but the lane's end.
 *
 * `slab`: given; it has a `record_lane`. Threads: as quarry_slab_destroy. Cost: O(pages).
 */
QUARRY_EXPORT void quarry_slab_detach(struct quarry_slab *slab);

/*
 * Sees to it that requests of just `bytes`, and those a little smaller that would round up to the
 * same class, get cells of `bytes` rounded up to 8 (to 4, where is_fine), in a class of their own.
 * For a size that is asked for again and again, such as a block with its header.
 *
 * Errors: QUARRY_BAD_INPUT (0, or above QUARRY_SLAB_CELL_BYTES_MAX), QUARRY_TOO_MANY (96 sizes),
 * QUARRY_NO_MEMORY. Cost: 256 bytes.
 */
QUARRY_EXPORT enum quarry_status quarry_slab_add_size(struct quarry_slab *slab, size_t bytes);

/* ---- cells ---------------------------------------------------------------------------------- */

/* A cell just taken: where it is now, and its name. */
struct quarry_cell {
    void *data;
    quarry_ref ref;
};

/*
 * Takes a cell of at least `bytes`. Its contents are anything.
 *
 * `bytes`: 1 to QUARRY_SLAB_CELL_BYTES_MAX.
 * `ret_cell`: own, until quarry_slab_give or quarry_slab_retire. `data` stays valid until then, or
 * until the owner lets a move of it go ahead.
 * Errors: QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS, QUARRY_NO_SPACE (a lane with a file);
 * QUARRY_BAD_INPUT (0 bytes), QUARRY_TOO_LARGE; QUARRY_TOO_MANY (65,536 pages of the class).
 * Threads: no lock held that a reclaimer of the memory takes. Cost: 29 instructions from the
 * thread's own cells, without a lock.
 */
QUARRY_EXPORT enum quarry_status quarry_slab_take(struct quarry_slab *slab, size_t bytes,
                                                  struct quarry_cell *ret_cell);

/*
 * Gives a cell back, which nobody reads any more: the next take may have it. The ref is stale from
 * here on.
 *
 * `ref`: given; QUARRY_REF_NIL does nothing. One that is stale already ends the program.
 * Cost: 45 instructions, into the thread's own cells.
 */
QUARRY_EXPORT void quarry_slab_give(struct quarry_slab *slab, quarry_ref ref);

/*
 * Gives a cell back that readers may be looking at: the ref is stale from here on, and the cell is
 * taken again, and its contents change, only after all who are inside the epoch now have left.
 *
 * `ref`: given; as quarry_slab_give. The caller has made it unreachable.
 * Threads: inside the epoch or not. Cost: as quarry_slab_give, and the same again when its turn
 * has come.
 */
QUARRY_EXPORT void quarry_slab_retire(struct quarry_slab *slab, quarry_ref ref);

/*
 * The cell of a ref.
 *
 * `ref`: one that was handed out; or any other number, but then one that may be handed out next
 * shows a cell as well.
 * Returns: the cell, borrowed until it is given back or moved (with an epoch: until the caller
 * leaves it). NULL: the ref is stale, or no cell's.
 * Threads: with an epoch, inside it, and then beside anything. Without one: not while another
 * thread gives back the same ref; and for a ref that may be stale already, not while another
 * thread gives back, moves or trims at all.
 * Cost: four loads.
 */
QUARRY_EXPORT void *quarry_slab_data(const struct quarry_slab *slab, quarry_ref ref);

/* The bytes of the ref's cells: what was asked for, rounded up. The ref may be stale. */
QUARRY_EXPORT size_t quarry_slab_cell_bytes(const struct quarry_slab *slab, quarry_ref ref);

/*
 * The ref of today for the low 48 bits of one whose cell is in use still; QUARRY_REF_NIL where it
 * is not. Threads: as quarry_slab_data.
 */
QUARRY_EXPORT quarry_ref quarry_slab_ref(const struct quarry_slab *slab, uint64_t ref48);

/* ---- pages ---------------------------------------------------------------------------------- */

/* A page as it was a moment ago. */
struct quarry_slab_page {
    uint32_t class_id;
    uint32_t page; /* as in refs */
    const void *base;
    uint64_t bytes;      /* of its run */
    uint32_t cell_bytes; /* of a cell */
    uint32_t cell_count;
    uint32_t free_count;  /* neither in use nor with a thread nor in limbo */
    uint32_t limbo_count; /* retired, and not with a thread */
    bool is_moving;       /* its cells are being moved elsewhere */
    bool is_zero;         /* for page_taken: known to read as zero, all of it */
};

/*
 * Walks the pages: writes the first one at or after *cursor (0 to begin) and moves the cursor on.
 * Pages that come or go meanwhile may be told of or not.
 *
 * Returns: false at the end. Cost: O(pages between them).
 */
QUARRY_EXPORT bool quarry_slab_next_page(struct quarry_slab *slab, uint64_t *cursor,
                                         struct quarry_slab_page *ret_page);

/*
 * Lists the refs of a page's live cells from cell *cursor on (0 to begin), and moves the cursor on.
 * Those taken and given back since may be stale by the time the caller looks; the contents of one
 * that was just taken may not have been written yet.
 *
 * `refs`: room for `ref_capacity`, of which up to 256 are used in a call.
 * Returns: how many were written; 0 at the end, and for a page that is gone.
 * Cost: a process barrier, and some nanoseconds a cell.
 */
QUARRY_EXPORT size_t quarry_slab_live_refs(struct quarry_slab *slab, uint32_t class_id,
                                           uint32_t page, uint32_t *cursor, quarry_ref *refs,
                                           size_t ref_capacity);

/* ---- adopting ------------------------------------------------------------------------------- */

/*
 * Gives a new slab the classes of one that is no more, with their numbers, so that the low 48 bits
 * of refs to cells of adopted pages are what they were. Then come the pages, by
 * quarry_slab_adopt_page, and at last quarry_slab_adopt_finish; no cell is taken before.
 *
 * `cell_bytes`: by class number, from 0, `class_count` of them; 0 for a number that has no page: it
 * gets some size. Borrowed for the call.
 * Errors: QUARRY_BAD_INPUT (no such size, one that comes twice, a slab that has classes already),
 * QUARRY_TOO_MANY (classes), QUARRY_NO_MEMORY: some classes may have been made. Threads: nobody
 * else uses the slab. Cost: O(classes squared), some microseconds each.
 */
QUARRY_EXPORT enum quarry_status quarry_slab_adopt_classes(struct quarry_slab *slab,
                                                           const uint32_t *cell_bytes,
                                                           uint32_t class_count);

/*
 * Makes a page again of a run that was one. The run is the slab's from here on: it is of the slab's
 * owner and in its lane, and the caller has charged the slab's account for it. page_taken is not
 * called.
 *
 * `page`: borrowed; class_id, page, base, bytes and cell_bytes of it count, as page_taken was told.
 * `live_bits`: borrowed; a bit for each cell from the lowest of the first word on: 1 is in use, and
 * its ref is what quarry_slab_ref says; 0 is free.
 * Errors: QUARRY_BAD_INPUT (no such class, another cell size, a length that no page of the class
 * has, a number that has a page already), QUARRY_NO_MEMORY, QUARRY_TOO_MANY: the run stays the
 * caller's. Threads: several at once. Cost: O(cells).
 */
QUARRY_EXPORT enum quarry_status quarry_slab_adopt_page(struct quarry_slab *slab,
                                                        const struct quarry_slab_page *page,
                                                        const uint64_t *live_bits);

/*
 * Ends adoption: cells may be taken and given. Threads: nobody else uses the slab. Cost: O(page
 * numbers).
 */
QUARRY_EXPORT void quarry_slab_adopt_finish(struct quarry_slab *slab);

/*
 * How many cells there are in a page of `cell_bytes` whose run has `bytes`; 0: there is no such
 * page. Cost: a microsecond.
 */
QUARRY_EXPORT uint32_t quarry_slab_page_cells(size_t cell_bytes, uint64_t bytes);

/* ---- moving --------------------------------------------------------------------------------- */

/*
 * Moves a cell's contents, for its owner. Under whatever lock guards what refers to the cell: sees
 * whether that still says `old_ref`; if so copies the contents and has it say `new_ref`.
 *
 * `old_data`: as it is, or, if the owner has given the cell back meanwhile, as it was. That of a
 * cell just taken may not have been written yet: what is read of it before the index is asked (a
 * key, a hash) must be read and written atomically, and be taken for a guess. `new_data`: a cell of
 * its own, of as many `bytes`. Returns: whether it did. If so the old cell is the slab's to retire,
 * and the new one the owner's. If not (the cell is somebody else's by now, or is pinned) both stay
 * what they are. Threads: that which moves, inside the slab's epoch, no lock of Quarry held. It may
 * give and retire cells; it takes none, and does not move.
 */
typedef bool quarry_slab_move_function(void *argument, quarry_ref old_ref, const void *old_data,
                                       quarry_ref new_ref, void *new_data, size_t bytes);

/*
 * Empties a page and gives it back: nothing is taken from it any more, its live cells are moved to
 * others of the class. It goes back as soon as those who read it now have left the epoch, which may
 * be after the call.
 *
 * Errors: QUARRY_NOT_FOUND (no such page), QUARRY_BUSY (somebody is moving cells of this slab, or
 * the callback declined some again and again: they stay, and the page is as any other),
 * QUARRY_NO_MEMORY (no room for the cells: likewise). Those that were moved stay moved.
 * Cost: O(cells); a few microseconds of waiting for others at a time.
 */
QUARRY_EXPORT enum quarry_status quarry_slab_move_page(struct quarry_slab *slab, uint32_t class_id,
                                                       uint32_t page,
                                                       quarry_slab_move_function *move,
                                                       void *argument);

/*
 * Gives back about `wanted_bytes`, by trimming and then by moving the cells of the pages that are
 * emptiest; among equals of the highest address. A page is left at the first cell that the callback
 * declines, and the call ends after 16 such pages; it waits for nobody.
 *
 * Returns: bytes given back, or about to be once readers have left. Less than wanted when what is
 * free would not add up to another page, or cells could not be moved.
 */
QUARRY_EXPORT uint64_t quarry_slab_compact(struct quarry_slab *slab, uint64_t wanted_bytes,
                                           quarry_slab_move_function *move, void *argument);

/*
 * Has all threads' spare cells put back, and gives back empty pages, highest address first.
 *
 * Returns: bytes given back. Cost: a process barrier, and O(threads × classes + pages).
 */
QUARRY_EXPORT uint64_t quarry_slab_trim(struct quarry_slab *slab);

/* ---- figures -------------------------------------------------------------------------------- */

/* A slab in figures. */
struct quarry_slab_stats {
    uint64_t page_count;
    uint64_t page_bytes;     /* of all pages */
    uint64_t metadata_bytes; /* of everything else; both are charged */
    uint64_t live_count;     /* cells taken and not given back */
    uint64_t live_bytes;     /* of them, each as large as its class */
    uint64_t cached_bytes;   /* with threads, for their next takes */
    uint64_t limbo_count;    /* retired, with readers that may look at them */
    uint64_t limbo_bytes;
    uint64_t free_bytes; /* free cells of pages */
    uint64_t tail_bytes; /* ends of pages too short for a cell */
    uint64_t worn_count; /* cells set aside until their page goes: their generations ran out */
    uint64_t worn_bytes;
    uint32_t class_count; /* classes that have, or had, a page */
    uint64_t split_count; /* classes split because of the sizes asked for */
    uint64_t moved_count; /* cells moved, ever */
    uint64_t moved_bytes;
    uint64_t declined_count;   /* moves that the owner declined, ever */
    uint64_t page_taken_count; /* pages, ever */
    uint64_t page_given_count; /* pages given back, ever */
    uint64_t worn_page_count;  /* page numbers set aside, for their generations ran out */
    uint64_t lock_cpu_ns_max;  /* longest CPU time a lock was held; see `times_locks` */
    uint64_t lock_cells_max;   /* most cells that were looked at or changed under one, likewise */
};

/*
 * Reads the figures. Exact when nobody else uses the slab; else of about one instant.
 * Cost: a process barrier, and O(threads × classes + pages).
 */
QUARRY_EXPORT void quarry_slab_read_stats(struct quarry_slab *slab,
                                          struct quarry_slab_stats *ret_stats);

/*
 * Checks everything: every cell is in one place, counts equal bitmaps, lists are whole, the charge
 * equals the pages.
 *
 * `error`: names the first difference; may be NULL. Errors: QUARRY_CORRUPT.
 * Threads: all others wait. Cost: O(cells).
 */
QUARRY_EXPORT enum quarry_status quarry_slab_validate(struct quarry_slab *slab,
                                                      struct quarry_error *error);

#ifdef __cplusplus
}
#endif

#endif
