/*
 * The structures of a slab: what belongs to what. Not part of the door.
 *
 *     quarry_slab ─┬─ table by class ── page records          (cell.h: what readers use)
 *                  ├─ class by step, classes                  (class.h)
 *                  ├─ threads ─┬─ a magazine for each class   (thread.h)
 *                  │           └─ a ring of retired cells     (limbo.h)
 *                  └─ metadata                                (meta.h)
 */
#ifndef QUARRY_SLAB_TYPES_H
#define QUARRY_SLAB_TYPES_H

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>
#include <ref/ref.h>
#include <slab/cell.h>
#include <slab/size.h>

/* ---- classes -------------------------------------------------------------------------------- */

/*
 * Pages with free cells, by how full they are: 0 are the fullest, from which cells are taken first;
 * the last are empty.
 */
#define SLAB_FILLS      9u
#define SLAB_FILL_EMPTY (SLAB_FILLS - 1)
#define SLAB_FILL_NONE  UINT32_MAX

/* Steps below a class' own that can lead to it: those of an eighth of a doubling, and itself. */
#define SLAB_ASKED_STEPS (SLAB_STEPS_PER_DOUBLING / 8)

/* What a page number is like while it has no page. */
struct slab_index {
    uint16_t generation; /* even: above all that cells of its pages have reached */
    uint16_t next;       /* in the queue of free numbers */
};

/* Page numbers in line, the longest waiting first. */
struct slab_queue {
    uint32_t count;
    uint16_t first, last; /* when count is not 0 */
};

struct slab_class {
    /* const after creation */
    struct quarry_slab *slab;
    uint32_t id;
    uint32_t cell_bytes;
    uint32_t step; /* of cell_bytes */
    uint32_t magazine_cells;
    struct slab_shape shape[SLAB_SHAPES];

    struct os_mutex mutex Q_ALIGNED(Q_CACHE_LINE_BYTES); /* rank SLAB_CLASS */
    /* guarded by mutex */
    struct slab_table *table;
    struct slab_index *index;       /* as many as the table has places */
    uint32_t index_count;           /* numbers that have had a page */
    struct slab_queue free_indices; /* without a page */
    struct slab_queue worn_indices; /* likewise, and their generations are used up */
    struct slab_page *fill[SLAB_FILLS];
    struct slab_page *limbo;          /* pages with cells in limbo */
    uint32_t page_count;              /* all pages, those being moved and leaving included */
    uint32_t leaving_count;           /* pages that go when readers have left */
    uint64_t page_bytes;              /* of all pages */
    uint64_t cell_count;              /* of all pages */
    uint64_t free_count;              /* of pages that cells are taken from */
    uint64_t idle_count;              /* free cells of the other pages */
    uint64_t limbo_count;             /* of all pages */
    uint64_t worn_count;              /* of all pages */
    uint64_t page_taken_count;        /* ever */
    uint64_t page_given_count;        /* ever */
    uint64_t asked[SLAB_ASKED_STEPS]; /* cells taken for requests of `step` less the index */
    _Atomic uint32_t asked_count;     /* since the last look at them; read without the lock */
    uint32_t random;                  /* state: how many cells the next refill takes */
    _Atomic uint32_t is_lending;      /* serves requests of others; written under meta.mutex */
    _Atomic uint32_t own_below;       /* when it does: requests of steps further below are theirs */
};

/* ---- threads -------------------------------------------------------------------------------- */

/* A free cell in a magazine: its address, and the ref that it will be handed out under. */
struct slab_entry {
    char *data;
    quarry_ref ref;
};

/*
 * The most cells of a class that a thread keeps: a refill then takes the lock for 32 of them, a few
 * nanoseconds a cell; doubling it saves little, and strands twice as much with every thread.
 */
#define SLAB_MAGAZINE_CELLS_MAX 64u
/* And the most bytes, where that is fewer. */
#define SLAB_MAGAZINE_BYTES_MAX Q_KIB(32)

/*
 * A magazine from which a thread takes again what it has just put back grows, each time to twice as
 * much, up to so many cells and bytes; and all of a thread's together by so many bytes.
 */
#define SLAB_MAGAZINE_CELLS_GROWN 256u
#define SLAB_MAGAZINE_BYTES_GROWN Q_KIB(512)
#define SLAB_GROWN_BYTES_MAX      Q_MIB(1)

/* Free cells of one class that a thread keeps; the newest on top. */
struct slab_magazine {
    struct slab_entry *top;    /* entry[0]: there are none */
    struct slab_entry *limit;  /* top when it is full */
    uint32_t class_id;         /* const */
    uint32_t cell_bytes;       /* const */
    uint32_t has_put_back;     /* cells that did not fit, since it was filled last */
    struct slab_entry entry[]; /* the first is no cell, and stays */
};

/*
 * Cells that a thread has retired and that nobody else knows of: as many as its ring has. Each half
 * has the epoch move on, 2 µs and a system call for 248 cells, and what was retired before the last
 * move but one is past: a half of the ring, when the other one is full.
 */
#define SLAB_LIMBO_CELLS 496u
#define SLAB_LIMBO_HALF  (SLAB_LIMBO_CELLS / 2)
/* And no more than so many bytes, but for one cell. */
#define SLAB_LIMBO_BYTES Q_MIB(1)

/* Cells that are put back, or left to their pages, under one lock: a few cache misses each. */
#define SLAB_BATCH_CELLS 16u

/*
 * Cells that are looked at or changed while a lock is held, at most: others wait for 20 ns each or
 * so. It comes from taking away what a thread has of one page, magazine and ring, each cell of
 * which is looked at and changed; everything else is in smaller parts. Looking at all threads takes
 * as many for each.
 */
#define SLAB_LOCK_CELLS_MAX (2 * (SLAB_MAGAZINE_CELLS_GROWN + SLAB_LIMBO_CELLS))

struct slab_retired {
    quarry_ref ref; /* as it was when it was retired */
    uint64_t stamp;
};

/* The oldest at `head`; entries [head, head + count) modulo the size. */
struct slab_limbo {
    uint32_t head;
    uint32_t count;
    uint64_t bytes;
    struct slab_retired retired[SLAB_LIMBO_CELLS];
};

struct slab_thread {
    struct os_gate gate; /* the thread is inside while it uses the rest */
    /* `magazine`, while the gate is open; slab_magazines_none, while it is not, or is fenced */
    _Atomic(void *) open;
    /* its thread while inside, or whoever has stopped it */
    struct slab_magazine *magazine[SLAB_CLASSES_MAX]; /* slab_magazine_none where there is none */
    struct slab_limbo limbo;
    uint64_t grown_bytes; /* by which magazines hold more than they did at first */
    /* const */
    struct quarry_slab *slab;
    uint32_t thread_id;
    struct slab_thread **remembered; /* in its thread's storage */
    /* guarded by the slab's threads_mutex */
    uint64_t serial; /* const: they rise */
    struct slab_thread *next, *previous;
};

Q_STATIC_ASSERT(sizeof(struct slab_thread) <= 2 * PAGE_BYTES, "a thread is two pages");

/* Slabs at a time in a process: each has a word in every thread's storage. */
#define SLAB_SLABS_MAX 32u

/* The calling thread's struct for each slab; slab_thread_none where there is none. */
struct slab_tls {
    struct slab_thread *thread[SLAB_SLABS_MAX];
};
extern _Thread_local struct slab_tls slab_tls;

/* A thread that can neither enter its gate nor has cells: its owner takes the slow paths. */
extern struct slab_thread slab_thread_none;
/* A magazine that is empty and full; and one for each class. */
extern struct slab_magazine slab_magazine_none;
extern struct slab_magazine *slab_magazines_none[SLAB_CLASSES_MAX];

/* ---- metadata ------------------------------------------------------------------------------- */

/* Pieces are multiples of this; lists of free ones go up to SLAB_META_SMALL_MAX. */
#define SLAB_META_UNIT_BYTES  64u
#define SLAB_META_SMALL_MAX   4096u
#define SLAB_META_LISTS       (SLAB_META_SMALL_MAX / SLAB_META_UNIT_BYTES)
#define SLAB_META_CHUNK_PAGES 2u

struct slab_meta_piece {
    struct slab_meta_piece *next;
};

/* A run of pages that small pieces are cut from; its head. */
struct slab_meta_chunk {
    struct slab_meta_chunk *next;
};

struct slab_meta {
    struct os_mutex mutex; /* rank SLAB_PAGES; guards what follows, and the slab's map of sizes */
    struct slab_meta_chunk *chunks;
    char *bump, *bump_end;
    struct slab_meta_piece *free[SLAB_META_LISTS];
};

/* ---- the slab ------------------------------------------------------------------------------- */

struct quarry_slab {
    struct slab_tables tables; /* first: see cell.h */

    /* const after creation */
    ptrdiff_t tls_offset; /* of the thread's pointer to its struct, from the thread pointer */
    uint32_t slot;        /* in slab_tls */
    uint32_t owner;
    uint32_t per_doubling; /* classes in a doubling to begin with */
    uint32_t grain_bytes;  /* least alignment of cells: 4 or 8 */
    bool is_adaptive;
    bool has_small_pages;
    bool times_locks;
    bool is_forked; /* in a child of fork: pages that were on their way may be lost */
    struct page_heap *heap;
    struct page_lane *lane;                        /* of pages */
    struct page_lane *record_lane;                 /* of everything else */
    struct quarry_account *account;                /* NULL: none */
    struct quarry_epoch *epoch;                    /* NULL: none */
    struct ref_leaks *leaks;                       /* NULL: cells are not tracked */
    quarry_slab_page_taken_function *page_taken;   /* may be NULL */
    quarry_slab_page_given_function *page_given;   /* may be NULL */
    quarry_slab_page_wanted_function *page_wanted; /* may be NULL */
    void *page_argument;
    char name[QUARRY_NAME_BYTES];

    /* atomic; written under meta.mutex */
    _Atomic uint16_t class_of_step[SLAB_STEPS_ANY]; /* 0: take the slow path */
    _Atomic(void *) class[SLAB_CLASSES_MAX];        /* struct slab_class *; NULL: none yet */
    _Atomic uint32_t class_count;                   /* ids are below it; from 1 */

    /* guarded by meta.mutex */
    struct slab_meta meta;
    uint16_t bound[SLAB_STEPS]; /* a class of the step's own bound: its id, or SLAB_BOUND_… */
    uint16_t exact[SLAB_STEPS]; /* a class of a size within the step: its id, or 0 */
    uint32_t exact_count;
    uint32_t unmade_count;             /* places of `bound` that are SLAB_BOUND_UNMADE */
    uint16_t lender[SLAB_CLASSES_MAX]; /* serves a class' requests for it: its id, or 0 */
    uint64_t split_count;
    /* records of pages that are gone, while readers may be in them; the first has been longest */
    struct slab_page *dead, *dead_last;

    uint32_t pin_count; /* guarded by the table of slabs' mutex: threads that are ending */

    struct os_mutex threads_mutex; /* rank SLAB_MOVE */
    /* guarded by threads_mutex */
    struct slab_thread *threads; /* the newest first */
    uint64_t last_serial;

    /* atomic */
    _Atomic uint32_t is_moving;     /* somebody is moving cells */
    _Atomic uint32_t compact_count; /* calls that compacted; it goes round */
    _Atomic uint32_t grown_class;   /* that has got a page last; 0: none has */
    _Atomic uint64_t page_bytes;
    _Atomic uint64_t metadata_bytes;
    _Atomic uint64_t moved_count;
    _Atomic uint64_t moved_bytes;
    _Atomic uint64_t declined_count;
    _Atomic uint64_t lock_cpu_ns_max;
    _Atomic uint64_t lock_cells_max;
};

/* In `bound`: none, and one whose class is made when it is first wanted. */
#define SLAB_BOUND_NONE   0u
#define SLAB_BOUND_UNMADE UINT16_MAX

/* The first pages of a class have about so many pages of 8 KiB; each shape after it has twice. */
static inline uint32_t slab_first_pages(const struct quarry_slab *slab)
{
    return slab->has_small_pages ? SLAB_PAGE_PAGES_SMALL : SLAB_PAGE_PAGES_FIRST;
}

static inline struct slab_class *slab_class_of(const struct quarry_slab *slab, uint32_t class_id)
{
    Q_DCHECK(class_id < SLAB_CLASSES_MAX);
    /* Acquire: pairs with the release in slab_class_make. */
    return atomic_load_acquire_ptr(&slab->class[class_id]);
}

/* The calling thread's struct; slab_thread_none when it has none yet. */
static inline struct slab_thread **slab_thread_slot(const struct quarry_slab *slab)
{
    return (struct slab_thread **)(void *)((char *)__builtin_thread_pointer() + slab->tls_offset);
}

/* ---- generations ---------------------------------------------------------------------------- */

/* Sets a cell's generation. Pairs with the acquire in slab_data. */
static inline void slab_generation_set(struct slab_page *page, uint64_t cell, uint32_t generation)
{
    atomic_store_release_u16(&page->generation[cell], (uint16_t)generation);
}
static inline uint32_t slab_generation(const struct slab_page *page, uint64_t cell)
{
    return atomic_load_relaxed_u16(&page->generation[cell]);
}

/* ---- locks, measured where the slab is made so ---------------------------------------------- */

/* Notes for how long the calling thread holds the outermost of its locks: CPU time, and cells. */
void slab_lock_note_taken(void);
void slab_lock_note_given(struct quarry_slab *slab);
/* The lock taken last is measured from now on: until here it was held to wait, or to check. */
void slab_lock_forget(struct quarry_slab *slab);
void slab_lock_count_cells(uint32_t count);

/* So many cells are looked at, or changed, under the lock. */
static inline void slab_lock_note_cells(const struct quarry_slab *slab, uint32_t count)
{
    if (Q_UNLIKELY(slab->times_locks)) {
        slab_lock_count_cells(count);
    }
}

static inline void slab_lock(struct quarry_slab *slab, struct os_mutex *mutex) Q_ACQUIRE(mutex)
{
    os_mutex_lock(mutex);
    if (Q_UNLIKELY(slab->times_locks)) {
        slab_lock_note_taken();
    }
}

static inline void slab_unlock(struct quarry_slab *slab, struct os_mutex *mutex) Q_RELEASE(mutex)
{
    if (Q_UNLIKELY(slab->times_locks)) {
        slab_lock_note_given(slab);
    }
    os_mutex_unlock(mutex);
}

#endif
