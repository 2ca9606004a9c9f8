/*
 * Windows: the samples of some hours, and what they lie in while they are open and when sealed.
 *
 * A window begins open: chains of chunklets, shard by shard. It is sealed shard by shard, too, and
 * is open and sealed at once meanwhile. It ends with its lanes.
 */
#ifndef QUARRY_TSDB_WINDOW_H
#define QUARRY_TSDB_WINDOW_H

#include <base/base.h>

#include <tsdb/chunklet.h>
#include <tsdb/memory.h>
#include <tsdb/space.h>
#include <tsdb/types.h>

/* Where the chains of a series begin in one window: numbers of chunklets, or NONE. */
struct tsdb_chain {
    _Atomic uint32_t first; /* in order; const once it is not NONE */
    _Atomic uint32_t late;  /* the newest chunklet of late samples; older ones follow */
};

/* A shard of a window that is open. */
struct tsdb_open_shard {
    /* guarded by the shard's mutex */
    uint32_t used_count;     /* chunklets handed out, the first ones */
    uint32_t promised_count; /* and set aside for requests under way */
    uint32_t left_count;     /* of these, what requests had over that ended beside a frugal one */
    uint32_t holder_count;   /* requests under way */
    bool has_frugal;         /* one of them counts on room in chains' ends: shard.c */
    bool is_disturbed;       /* and others have come since */
    bool is_closed;          /* being sealed, or sealed: nothing is appended any more */
    /* atomic; written under the shard's mutex */
    _Atomic uint64_t sample_count;
    _Atomic uint64_t used_bytes; /* of chunklets */
    struct tsdb_space chunklets; /* any thread may back more of it */
};

/*
 * What of a window that is filled lay sealed before: its shards are read, and sealed anew with what
 * came, and go then.
 */
struct tsdb_base {
    struct tsdb_window *window; /* NULL: the open half is not of a filling; sealed whole */
    /* where the bytes of each shard lie; by the thread that has the turn */
    uint64_t from[TSDB_SHARD_COUNT], to[TSDB_SHARD_COUNT];
};

/* What a window has while one of its shards is open. */
struct tsdb_open {
    struct quarry_lane *lane;
    struct tsdb_base base;      /* const until no reader is in the open half any more */
    _Atomic uint64_t filled_ns; /* of the monotonic clock: when something came to a filling */
    /* of a filling that could not be sealed: when to try again, and how long that was put off;
     * guarded by the turn's mutex */
    uint64_t retry_ns, pause_ns;
    struct tsdb_space chains; /* struct tsdb_chain by series id */
    struct tsdb_open_shard shard[TSDB_SHARD_COUNT];
};

/* A shard of a window that is sealed: what lies where in the window's sealed bytes. seal.h */
struct tsdb_sealed_shard {
    uint64_t entries_at; /* struct tsdb_sealed_entry, by local number */
    uint64_t times_at;   /* struct tsdb_sealed_times */
    uint32_t entry_count;
    uint32_t times_count;
    uint32_t series_count; /* fewer than entries where one has several */
    uint64_t sample_count;
    /* what the open shard had counted, with what came twice, and its base had; 0: it was loaded */
    uint64_t counted_samples;
};

struct tsdb_window {
    /* const */
    int32_t number;
    int64_t start_ms, end_ms; /* end excluded */
    struct tsdb_memory *memory;
    struct quarry_account *open_account, *sealed_account;

    uint32_t fill_number;             /* const: how often it has been filled; of its lanes' names */
    _Atomic uint64_t offered_samples; /* how many it had when it was offered last */
    _Atomic uint32_t offer; /* enum tsdb_offer: whether it was offered before it is purged */
    /* views that list it, and the window whose base it is; guarded by the views' mutex */
    uint32_t view_count;
    /* its file, if it has one, is of what it was before it was filled; guarded by the turn's mutex
     */
    bool is_refilled;

    /* NULL once all shards are sealed. Readers load it within an epoch. */
    _Atomic(void *) open;
    _Atomic uint64_t sealed_mask; /* by shard: `sealed_shard` is whole, and to be read */

    /* by the thread that has the turn; readers as sealed_mask says */
    struct quarry_lane *sealed_lane; /* NULL until something is sealed */
    struct tsdb_space sealed;
    uint64_t sealed_end;                /* offset behind what is sealed */
    _Atomic uint64_t sealed_used_bytes; /* of that, what was not skipped */
    struct tsdb_sealed_shard sealed_shard[TSDB_SHARD_COUNT];
};

/* What windows of one store have in common. All is borrowed while one of them is there. */
struct tsdb_window_options {
    struct quarry_memory *memory;
    struct tsdb_memory *small; /* the windows themselves */
    struct quarry_account *open_account, *sealed_account;
    const char *name; /* the store's, for lanes' names */
    int64_t window_ms;
};

/* The number of the window that a time is in. Errors: false: none; its number is beyond 31 bits. */
static inline bool tsdb_window_number(int64_t t_ms, int64_t window_ms, int32_t *ret_number)
{
    int64_t number = t_ms / window_ms - (t_ms % window_ms < 0);

    *ret_number = (int32_t)number;
    return number > INT32_MIN && number < INT32_MAX;
}

/*
 * Makes an open window without samples.
 *
 * `ret_window`: own; end it with tsdb_window_destroy.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (lanes), QUARRY_NO_ADDRESS. Cost: a lane.
 */
enum quarry_status tsdb_window_create(const struct tsdb_window_options *options, int32_t number,
                                      struct tsdb_window **ret_window, struct quarry_error *error);

/*
 * Ends a window with everything in it: its lanes end, nothing in them is looked at.
 *
 * `window`: given. Threads: no other thread uses it. Cost: O(4 MiB of it), and its runs.
 */
void tsdb_window_destroy(struct tsdb_window *window);

/* Has a lane for sealed bytes. Errors: as tsdb_window_create. Threads: the one with the turn. */
enum quarry_status tsdb_window_begin_sealed(struct tsdb_window *window, const char *name,
                                            struct quarry_memory *memory);

/* Ends the open half: all shards are sealed, and no reader is in it any more; it has no base. */
void tsdb_open_destroy(struct tsdb_window *window, struct tsdb_open *open);

static inline struct tsdb_open *tsdb_window_open(const struct tsdb_window *window)
{
    /* Acquire: pairs with the release of tsdb_window_create. */
    return (struct tsdb_open *)atomic_load_acquire_ptr(&window->open);
}

/* Whether a shard is to be read from its sealed form. Acquire: pairs with the release in seal.c. */
static inline bool tsdb_window_is_sealed(const struct tsdb_window *window, uint32_t shard)
{
    return (atomic_load_acquire_u64(&window->sealed_mask) >> shard & 1) != 0;
}

/* What lay sealed before of a window that is filled; NULL: there is none. Threads: within the epoch
 * in which `open` was found, or with a promise in one of its shards. */
static inline struct tsdb_window *tsdb_open_base(const struct tsdb_open *open)
{
    return open->base.window;
}

/* Samples that an open shard has been given, late and repeated ones among them, and its base has.
 * It never falls. Threads: as for tsdb_open_base. */
static inline uint64_t tsdb_open_count(const struct tsdb_open *open, uint32_t shard)
{
    const struct tsdb_window *base = tsdb_open_base(open);
    uint64_t count = atomic_load_relaxed_u64(&open->shard[shard].sample_count); /* only a number */

    return base == NULL ? count : count + base->sealed_shard[shard].sample_count;
}

/* A chunklet of a shard by its number, which is not NONE; backed. */
static inline struct tsdb_chunklet *tsdb_open_chunklet(const struct tsdb_open_shard *shard,
                                                       uint32_t number)
{
    Q_DCHECK(number != TSDB_CHUNKLET_NONE);
    return (struct tsdb_chunklet *)tsdb_space_at(&shard->chunklets,
                                                 (uint64_t)(number - 1) * TSDB_CHUNKLET_BYTES);
}

/* The chains of a series; NULL: it has none, and the table does not reach so far. */
static inline struct tsdb_chain *tsdb_open_chain(const struct tsdb_open *open, uint32_t id)
{
    uint64_t at = (uint64_t)id * sizeof(struct tsdb_chain);

    /* Acquire: pairs with the release in space.c. */
    if (at + sizeof(struct tsdb_chain) > atomic_load_acquire_u64(&open->chains.backed_bytes)) {
        return NULL;
    }
    return (struct tsdb_chain *)tsdb_space_at(&open->chains, at);
}

#endif
