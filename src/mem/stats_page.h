/*
 * The statistics segment: the writer, which lives in the process, and the reader, which does not.
 */
#ifndef QUARRY_MEM_STATS_PAGE_H
#define QUARRY_MEM_STATS_PAGE_H

#include <base/base.h>
#include <os/os.h>
#include <page/page.h>

#include <mem/census.h>
#include <mem/room.h>
#include <mem/segment.h>
#include <mem/stats_format.h>

/* ---- the writer ----------------------------------------------------------------------------- */

/* Work space of a refresh at most: one pinner for each live sample. */
#define MEM_STATS_WORK_BYTES Q_MIB(2)

struct mem_stats_options {
    struct page_heap *heap;     /* is charged, tells the time; borrowed until fini */
    uint64_t sample_mean_bytes; /* 0: no sampling */
    /* See mem_segment_create: for a process whose starter tried it under the same filter. */
    bool may_share_under_filter;
};

/* What is summed up over time. */
enum { MEM_STATS_OF_COMMITTED, MEM_STATS_OF_LIVE, MEM_STATS_OF_SPANS, MEM_STATS_INTEGRALS };

/* What is remembered from refresh to refresh. */
struct mem_stats_history {
    uint64_t last_ns; /* monotonic; 0: no refresh yet */
    uint64_t observed_ns;
    uint64_t last_kib[MEM_STATS_INTEGRALS];
    uint64_t integral_kib_ms[MEM_STATS_INTEGRALS];
    uint64_t peak_live_bytes;
    uint64_t peak_span_bytes;
    uint64_t committed_peak_seen_bytes;
    uint64_t live_bytes_at_committed_peak;
};

struct mem_stats {
    /* const after init */
    struct page_heap *heap;
    bool may_share_under_filter;
    struct os_mutex mutex; /* rank PROFILE */
    _Atomic(void *) base;  /* the segment, or NULL; changes back only in fini and a child of fork */
    /* The mean and lost samples, for as long as there is no segment to keep them in. */
    _Atomic uint64_t first_mean_bytes;
    _Atomic uint64_t first_dropped_count;
    /* guarded by mutex */
    struct mem_segment segment;
    uint64_t touched[MEM_STATS_BYTES / MEM_STATS_ALIGN_BYTES / 64 + 1]; /* pages that are charged */
    struct mem_stats_history history;
    /* Set by the one thread that refreshes; the rest is its own. */
    _Atomic uint32_t is_refreshing;
    struct mem_room map_room;     /* the heap map before it is published */
    struct mem_room work_room;    /* modules, and samples in spans under half full */
    uint64_t module_change_count; /* of the loader, when modules were last listed */
    bool has_command;
};

/* `stats`: all of it is overwritten. Cost: no memory, no system call: the segment comes later. */
void mem_stats_init(struct mem_stats *stats, const struct mem_stats_options *options);
/* Ends the segment. No other thread uses it any more. */
void mem_stats_fini(struct mem_stats *stats);

/*
 * Publishes a census: totals, rows, classes, modules, heap map, and what the sampled stacks pin.
 * Makes the segment if there is none. What there is no memory for is left out, count 0.
 *
 * `census`: borrowed; not changed.
 * Errors: BUSY (another thread is at it), NO_MEMORY (no segment).
 * Threads: any, but never from inside malloc or free, and with no lock held: it takes locks of the
 * loader and of the page heap. Cost: 10 µs in a small process, more with chunks, samples and
 * stacks.
 */
enum quarry_status mem_stats_refresh(struct mem_stats *stats, const struct mem_census *census);

/* Whether a reader has asked for a refresh since the last one. Cost: two loads. */
bool mem_stats_wants_refresh(struct mem_stats *stats);

/* Mean distance between samples in bytes, 0 for none. Others can set it too. Cost: two loads. */
uint64_t mem_stats_sample_mean(struct mem_stats *stats);
void mem_stats_set_sample_mean(struct mem_stats *stats, uint64_t mean_bytes);

/* ---- for the profile ------------------------------------------------------------------------ */

/* The segment, made if need be; NULL when it cannot. */
char *mem_stats_base_locked(struct mem_stats *stats) Q_REQUIRES(&stats->mutex);

/*
 * Charges the pages that [offset, offset + bytes) of the segment lies in, where they are not yet.
 * Returns: false when the budget is full. What was charged before is cheap: one test a page.
 */
Q_NODISCARD bool mem_stats_touch_locked(struct mem_stats *stats, uint64_t offset, uint64_t bytes)
    Q_REQUIRES(&stats->mutex);

/*
 * In the child of a fork, whose only thread calls it, with the mutex held since before the fork:
 * gives the child a segment of its own, with the head's counters and nothing else in it.
 *
 * `ret_old`: the parent's segment, still attached; destroyed by the caller. Its base is NULL when
 * the child keeps what it has (private memory, or no segment at all).
 * Returns: false when the child has no segment now, and had one.
 */
Q_NODISCARD bool mem_stats_fork_child_locked(struct mem_stats *stats, struct mem_segment *ret_old)
    Q_REQUIRES(&stats->mutex);

/* Where a section lies, with count 0: the same in every segment of this version. */
struct mem_stats_section mem_stats_layout(enum mem_stats_section_id id);

/* ---- words of the segment ------------------------------------------------------------------- */

/* A word of the segment, as the atomic that it is. */
static inline _Atomic uint64_t *mem_stats_word(const uint64_t *word)
{
    return (_Atomic uint64_t *)(uintptr_t)word;
}

static inline uint64_t mem_stats_load(const uint64_t *word)
{
    /* Relaxed: a figure by itself. */
    return atomic_load_relaxed_u64(mem_stats_word(word));
}

static inline void mem_stats_store(uint64_t *word, uint64_t value)
{
    /* Relaxed: a figure by itself. */
    atomic_store_relaxed_u64(mem_stats_word(word), value);
}

/* Adds, where only one thread at a time writes. */
static inline void mem_stats_add(uint64_t *word, uint64_t value)
{
    mem_stats_store(word, mem_stats_load(word) + value);
}

/*
 * Copies words into the segment, under a seqlock that was made odd before. Release: whoever reads
 * one of the words, by acquire, sees the odd sequence too, and knows that it came too early.
 */
static inline void mem_stats_publish(void *to, const void *from, size_t bytes)
{
    uint64_t *word = to;
    const uint64_t *source = from;

    Q_ASSERT(bytes % sizeof(*word) == 0);
    for (size_t i = 0; i < bytes / sizeof(*word); i++) {
        atomic_store_release_u64(mem_stats_word(&word[i]), source[i]);
    }
}

/* The reader's side of mem_stats_publish. Cost: plain loads on x86-64. */
static inline void mem_stats_collect(void *to, const void *from, size_t bytes)
{
    uint64_t *word = to;
    const uint64_t *source = from;

    Q_ASSERT(bytes % sizeof(*word) == 0);
    for (size_t i = 0; i < bytes / sizeof(*word); i++) {
        word[i] = atomic_load_acquire_u64(mem_stats_word(&source[i]));
    }
}

/*
 * Copies one record with a seqlock of its own, which is its first word.
 * Returns: false when it is being written now, or changed meanwhile.
 */
static inline bool mem_stats_sample_read(struct mem_stats_sample *ret_sample,
                                         const struct mem_stats_sample *shared)
{
    /* Acquire: the fields are read after it. */
    uint64_t before = atomic_load_acquire_u64(mem_stats_word(&shared->version));

    mem_stats_collect(ret_sample, shared, sizeof(*ret_sample));
    /* Relaxed: the loads before it are acquire, so it is not read before them. */
    return before % 2 == 0 && mem_stats_load(&shared->version) == before;
}

/* ---- the reader ----------------------------------------------------------------------------- */

/* A process whose segment is read. */
struct mem_stats_reader {
    uint32_t pid;
    int memory_fd;    /* of /proc/PID/mem; -1: the segment is attached */
    int shm_id;       /* when attached */
    const char *base; /* when attached */
    uint64_t address; /* in the process, when read by memory_fd */
    char *image;      /* own: the last snapshot */
};

/* One state of a segment, checked. Borrowed from its reader until the next snapshot or the end. */
struct mem_stats_snapshot {
    const struct mem_stats_head *head;
    bool is_refreshed; /* false: no refresh yet; only stacks and samples mean something */
    const struct mem_stats_totals *totals;
    const struct mem_stats_row *rows;
    const struct mem_stats_class *classes;
    const struct mem_stats_module *modules;
    const uint8_t *map; /* as page_heap_map_parse reads it; nothing in it is checked */
    const struct mem_stats_stack *stacks;
    const struct mem_stats_account *accounts; /* the root first; none without a tree */
    const struct mem_stats_sample *samples; /* alive, without gaps; each with a stack that exists */
    uint32_t row_count;
    uint32_t class_count;
    uint32_t module_count;
    uint32_t map_bytes; /* 0: the heap is too large for one, or has not been drawn yet */
    uint32_t stack_count;
    uint32_t sample_count;
    uint32_t account_count;
};

/*
 * Finds a process' segment and opens it for reading; it can be read on after the process has ended
 * where it is shared (memory_fd is -1).
 *
 * `ret_reader`: own; end it with mem_stats_detach. `error`: says what was wrong; may be NULL.
 * Errors: NOT_FOUND (no such process, or it has ended), BAD_INPUT (it does not run under Quarry's
 * malloc, or has not allocated enough yet to have a segment), UNSUPPORTED (its Quarry has another
 * version), PERMISSION, NO_MEMORY. Threads: any. Cost: reads /proc/PID/maps.
 */
Q_NODISCARD enum quarry_status mem_stats_attach(uint32_t pid, struct mem_stats_reader *ret_reader,
                                                struct quarry_error *error);
void mem_stats_detach(struct mem_stats_reader *reader);

/*
 * Copies the segment's present state, the parts of a snapshot from one refresh.
 *
 * `ret_snapshot`: borrowed from `reader` until its next snapshot or its end.
 * Errors: BUSY (always being written: the process was stopped or killed in a refresh), CORRUPT (the
 * segment is not what its process should have written), NOT_FOUND (the process has ended, and the
 * segment with it), IO. Threads: one at a time for a reader. Cost: a copy of what is in use, at
 * most 16 MiB; waits for a refresh under way, at most 100 ms.
 */
Q_NODISCARD enum quarry_status mem_stats_snapshot(struct mem_stats_reader *reader,
                                                  struct mem_stats_snapshot *ret_snapshot,
                                                  struct quarry_error *error);

/*
 * Asks the process for a refresh, which it does within a second if it can; head->refresh_count
 * rises. Or changes its sample mean, in bytes; 0 stops sampling.
 * Errors: PERMISSION, NOT_FOUND (the process has ended).
 */
enum quarry_status mem_stats_ask_refresh(struct mem_stats_reader *reader,
                                         struct quarry_error *error);
enum quarry_status mem_stats_write_sample_mean(struct mem_stats_reader *reader, uint64_t mean_bytes,
                                               struct quarry_error *error);

/*
 * Checks a copy of a segment, of MEM_STATS_BYTES, in place: counts are bounded, texts closed,
 * depths and indices within range; samples that make no sense or are not alive are taken out.
 *
 * `image`: borrowed by the snapshot. Errors: CORRUPT, UNSUPPORTED. Cost: O(records).
 */
Q_NODISCARD enum quarry_status mem_stats_parse(void *image, struct mem_stats_snapshot *ret_snapshot,
                                               struct quarry_error *error);

/* The name of an owner or a lifetime, from the rows; NULL when no row has it. Cost: O(rows). */
const char *mem_stats_owner_name(const struct mem_stats_snapshot *snapshot, uint32_t owner);
const char *mem_stats_lifetime_name(const struct mem_stats_snapshot *snapshot, uint32_t lifetime);

#endif
