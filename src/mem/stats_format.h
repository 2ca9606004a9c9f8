/*
 * The statistics segment: what a process under Quarry's malloc shows of its heap to others.
 *
 * A segment of shared memory that the process writes and `quarry top`, `heap`, `map` and `doctor`
 * read. Its layout is fixed for a version: each section lies at an offset of its own, with room for
 * the most records it may ever have. docs/formats/heap-stats.md has the pictures, stats_page.h the
 * writer and the reader.
 *
 * Two kinds of sections:
 *
 *   snapshot   totals, rows, classes, modules, heap map, accounts, and what stacks pin: written by
 * a refresh, under the seqlock in the head. Odd: being written. in place   stacks and samples:
 * written as allocations are sampled and freed, each word by itself. A stack is there once its hash
 * is not 0, and stays. A sample has a seqlock of its own, its version, and is there while its
 * address is not 0.
 *
 * All fields are native integers on their natural alignment: writer and reader run on one machine.
 * Here they are plain, for the reader's copy; in the segment itself each word is atomic.
 */
#ifndef QUARRY_MEM_STATS_FORMAT_H
#define QUARRY_MEM_STATS_FORMAT_H

#include <quarry/memory.h>

#include <base/base.h>

/* The bytes "QHEAPSTA"; written last, when the head is whole. */
#define MEM_STATS_MAGIC   UINT64_C(0x4154535041454851)
#define MEM_STATS_VERSION 2u

/* Owners × lifetimes shown one by one; the last row sums up the rest when there are more. */
#define MEM_STATS_ROWS_MAX 256u
/* Accounts shown: the first so many of the tree. */
#define MEM_STATS_ACCOUNTS_MAX 256u
/* Levels below the root that an account may be at. */
#define MEM_STATS_ACCOUNT_DEPTH_MAX 8u
/* Levels of pressure: enum quarry_pressure. */
#define MEM_STATS_PRESSURE_LEVELS 4u
/* Size classes: 67 exist; room for a finer table within this version. */
#define MEM_STATS_CLASSES_MAX 80u
/* Executable mappings that are listed; addresses in others stay without a name. */
#define MEM_STATS_MODULES_MAX 512u
/* Bytes of a heap map: 64 Ki chunks, a heap of 256 GiB. A larger heap shows none. */
#define MEM_STATS_MAP_MAX_BYTES ((uint64_t)1 << 20)
/* Different (stack, owner, lifetime); doubling it adds 11 MiB of address space. */
#define MEM_STATS_STACKS_MAX 16384u
/* Samples alive at a time: 32 GiB of small objects at a mean of 512 KiB. */
#define MEM_STATS_SAMPLES_MAX 65536u

#define MEM_STATS_DEPTH_MAX      32u
#define MEM_STATS_NAME_BYTES     32u
#define MEM_STATS_COMMAND_BYTES  256u
#define MEM_STATS_PATH_BYTES     256u
#define MEM_STATS_BUILD_ID_BYTES 20u

/* Weights are fixed point with 16 bits below the point: one object counts 65,536. */
#define MEM_STATS_WEIGHT_SHIFT 16
#define MEM_STATS_WEIGHT_ONE   ((uint64_t)1 << MEM_STATS_WEIGHT_SHIFT)

/* Ages at free: bucket 0 is below 1 ms, bucket i from 4^(i-1) ms to below 4^i ms, the last is
 * everything from 4^14 ms (three days). */
#define MEM_STATS_AGE_BUCKETS 16u

/* Offsets are multiples of this, so that untouched sections cost nothing. */
#define MEM_STATS_ALIGN_BYTES 4096u

enum mem_stats_section_id {
    MEM_STATS_TOTALS,
    MEM_STATS_ROWS,
    MEM_STATS_CLASSES,
    MEM_STATS_MODULES,
    MEM_STATS_MAP, /* records of 1 byte */
    MEM_STATS_STACKS,
    MEM_STATS_SAMPLES,
    MEM_STATS_ACCOUNTS, /* a snapshot section again */
    MEM_STATS_SECTIONS, /* how many there are */
};

struct mem_stats_section {
    uint64_t offset;       /* in the segment */
    uint32_t record_bytes; /* of one record */
    uint32_t record_max;   /* records there is room for */
    uint64_t count; /* records that may be looked at; for stacks and samples it never falls */
};

struct mem_stats_head {
    uint64_t magic;
    uint32_t version;
    uint32_t head_bytes;    /* sizeof(struct mem_stats_head) */
    uint64_t segment_bytes; /* of the whole layout */
    uint32_t pid;           /* as the process itself knows it */
    uint32_t is_hardened;   /* 0 or 1 */
    uint64_t start_wall_ns; /* when the segment was made */
    uint64_t start_monotonic_ns;
    uint64_t limit_bytes; /* the budget, as of the last refresh */

    /* Writable by others. */
    uint64_t sample_mean_bytes; /* mean distance between samples; 0: no sampling */
    uint32_t wants_refresh;     /* set to 1 by a reader, to 0 by the refresh */
    uint32_t zero;

    /* The seqlock of the snapshot sections, and what it covers of the head. */
    uint64_t sequence;      /* odd: being written */
    uint64_t refresh_count; /* 0: only stacks and samples mean something yet */
    uint64_t refresh_monotonic_ns;
    uint64_t refresh_wall_ns;

    /* In place. */
    uint64_t sampled_count;        /* samples taken since the start, dropped ones not included */
    uint64_t dropped_stack_count;  /* samples lost: no room for another stack */
    uint64_t dropped_sample_count; /* samples lost: too many alive */
    uint64_t dropped_budget_count; /* samples lost: the budget had no room for their record */
    uint64_t fork_lost_count;      /* live samples that a child of fork could not carry over */
    uint64_t charged_bytes;        /* what the segment costs of the budget */

    struct mem_stats_section section[MEM_STATS_SECTIONS];
    char command[MEM_STATS_COMMAND_BYTES]; /* /proc/self/cmdline, its NULs as spaces */
};

/* One record. Bytes unless the name says otherwise. */
struct mem_stats_totals {
    struct quarry_ledger ledger;
    uint64_t span_bytes;          /* in spans, whole pages */
    uint64_t live_bytes;          /* usable size of small objects that the program holds */
    uint64_t large_bytes;         /* in objects with pages of their own */
    uint64_t thread_cached_bytes; /* free objects with threads */
    uint64_t bin_cached_bytes;    /* free objects and spans in the bins */
    uint64_t span_tail_bytes;     /* behind the last object of each span */
    uint64_t metadata_bytes;      /* of the object heap, segment included */
    uint64_t alloc_count;         /* since the start, all sizes */
    uint64_t free_count;
    uint64_t refused_count; /* allocations that returned NULL */
    uint64_t thread_count;  /* that hold a cache */
    /* Since the start, as seen at refreshes. Integrals: unit × milliseconds, in KiB · ms. */
    uint64_t peak_live_bytes;              /* highest live_bytes + large_bytes */
    uint64_t peak_span_bytes;              /* highest span_bytes + large_bytes */
    uint64_t live_bytes_at_committed_peak; /* live_bytes + large_bytes at the refresh with ... */
    uint64_t committed_peak_seen_bytes;    /* ... the highest committed bytes */
    uint64_t observed_ns;                  /* time that the integrals cover */
    uint64_t committed_integral_kib_ms;    /* of ledger.committed_bytes */
    uint64_t live_integral_kib_ms;         /* of live_bytes + large_bytes */
    uint64_t span_integral_kib_ms;         /* of span_bytes + large_bytes */
    uint64_t pinned_span_bytes;            /* sum over the stacks */
    uint64_t pinned_live_bytes;            /* sum over the stacks */
    /* The budget. */
    uint64_t pressure;             /* enum quarry_pressure */
    uint64_t account_count;        /* in the tree, the root included; more than are shown, maybe */
    uint64_t target_move_count;    /* times that memory was shifted between accounts */
    uint64_t set_aside_goal_bytes; /* that are to be set aside */
    uint64_t set_aside_paid_bytes; /* paid for out of it, since the start */
};

/* An account, each before those below it, the root first. Bytes unless the name says otherwise. */
struct mem_stats_account {
    uint32_t owner; /* 0: the root */
    uint32_t depth; /* 0: the root */
    uint32_t share;
    uint32_t priority;
    char name[MEM_STATS_NAME_BYTES]; /* all parts; "" for the root */
    uint64_t own_bytes;
    uint64_t charged_bytes;
    uint64_t peak_bytes;
    uint64_t floor_bytes;
    uint64_t ceiling_bytes; /* 0: no bound */
    uint64_t target_bytes;  /* 0: none */
    uint64_t refused_count;
    uint64_t asked_count;
    uint64_t reclaimed_bytes;
    uint64_t growth_milli_per_mib; /* hits a second that a MiB more would bring, × 1000 */
    uint64_t loss_milli_per_mib;   /* hits a second that its coldest MiB brings, × 1000 */
    uint32_t is_elastic;           /* 0 or 1 */
    uint32_t zero;
};

struct mem_stats_row {
    uint32_t owner;
    uint32_t lifetime;
    char owner_name[MEM_STATS_NAME_BYTES];
    char lifetime_name[MEM_STATS_NAME_BYTES];
    uint64_t span_bytes;  /* in spans, whole pages */
    uint64_t live_bytes;  /* of small objects alive */
    uint64_t large_bytes; /* in objects with pages of their own */
    uint64_t span_count;
    uint64_t sparse_span_count; /* of these, under half full */
    uint64_t sparse_free_bytes; /* free bytes in those: what pinned_span_bytes estimates */
};

struct mem_stats_class {
    uint64_t object_bytes;
    uint64_t span_pages; /* pages of 8 KiB */
    uint64_t span_count;
    uint64_t live_count;     /* objects alive */
    uint64_t capacity_count; /* objects that the spans have room for */
    uint64_t alloc_count;    /* since the start */
    uint64_t free_count;
    uint64_t tail_bytes; /* behind the last object, over all spans */
};

/* An executable mapping of the program or a library. */
struct mem_stats_module {
    uint64_t start; /* address */
    uint64_t end;
    uint64_t file_offset;    /* of `start` */
    uint64_t bias;           /* address minus this is the address in the file */
    uint32_t build_id_bytes; /* 0: it has none */
    uint8_t build_id[MEM_STATS_BUILD_ID_BYTES];
    char path[MEM_STATS_PATH_BYTES];
};

/* Counts of one direction: allocations, or frees. */
struct mem_stats_flow {
    uint64_t sampled_count;   /* samples as they are */
    uint64_t sampled_bytes;   /* usable */
    uint64_t weight;          /* objects estimated, × MEM_STATS_WEIGHT_ONE */
    uint64_t bytes;           /* usable bytes estimated */
    uint64_t requested_bytes; /* requested bytes estimated */
};

/* What was freed at a certain age. */
struct mem_stats_age_bucket {
    uint64_t weight; /* objects estimated, × MEM_STATS_WEIGHT_ONE */
    uint64_t bytes;  /* usable bytes estimated */
};

/* A call stack with an owner and a lifetime. */
struct mem_stats_stack {
    uint64_t hash;  /* 0: not there; stored last */
    uint32_t depth; /* 1 to MEM_STATS_DEPTH_MAX; 0 when nothing could be unwound */
    uint32_t owner;
    uint32_t lifetime;
    uint32_t zero;
    struct mem_stats_flow alloc;
    struct mem_stats_flow free;
    uint64_t age_min_ns; /* of the samples freed; UINT64_MAX while there is none */
    uint64_t age_max_ns;
    uint64_t age_sum_ns; /* over free.sampled_count */
    /* Snapshot: what the sampled live objects of this stack pin, estimated. */
    uint64_t pinned_span_bytes; /* free bytes of spans under half full, shared among their stacks */
    uint64_t pinned_live_bytes; /* usable bytes of this stack's objects in those spans */
    struct mem_stats_age_bucket age[MEM_STATS_AGE_BUCKETS];
    uint64_t pc[MEM_STATS_DEPTH_MAX]; /* return addresses, the caller of malloc first */
};

/* A sampled object that is alive. */
struct mem_stats_sample {
    uint64_t version; /* odd: being written */
    uint64_t address; /* 0: no sample here */
    uint64_t requested_bytes;
    uint64_t usable_bytes;
    uint64_t birth_monotonic_ns;
    uint64_t weight;     /* objects it stands for, × MEM_STATS_WEIGHT_ONE */
    uint64_t mean_bytes; /* the mean when it was taken */
    uint32_t stack;      /* index of its stack */
    uint32_t owner;
    uint32_t lifetime;
    uint32_t zero;
};

/* ---- the layout ----------------------------------------------------------------------------- */

#define MEM_STATS_ROOM(TYPE, MAX)                                                                  \
    (((uint64_t)(MAX) * sizeof(TYPE) + MEM_STATS_ALIGN_BYTES - 1) &                                \
     ~(uint64_t)(MEM_STATS_ALIGN_BYTES - 1))

#define MEM_STATS_AT_TOTALS ((uint64_t)MEM_STATS_ALIGN_BYTES)
#define MEM_STATS_AT_ROWS   (MEM_STATS_AT_TOTALS + MEM_STATS_ROOM(struct mem_stats_totals, 1))
#define MEM_STATS_AT_CLASSES                                                                       \
    (MEM_STATS_AT_ROWS + MEM_STATS_ROOM(struct mem_stats_row, MEM_STATS_ROWS_MAX))
#define MEM_STATS_AT_MODULES                                                                       \
    (MEM_STATS_AT_CLASSES + MEM_STATS_ROOM(struct mem_stats_class, MEM_STATS_CLASSES_MAX))
#define MEM_STATS_AT_MAP                                                                           \
    (MEM_STATS_AT_MODULES + MEM_STATS_ROOM(struct mem_stats_module, MEM_STATS_MODULES_MAX))
#define MEM_STATS_AT_STACKS (MEM_STATS_AT_MAP + MEM_STATS_MAP_MAX_BYTES)
#define MEM_STATS_AT_SAMPLES                                                                       \
    (MEM_STATS_AT_STACKS + MEM_STATS_ROOM(struct mem_stats_stack, MEM_STATS_STACKS_MAX))
#define MEM_STATS_AT_ACCOUNTS                                                                      \
    (MEM_STATS_AT_SAMPLES + MEM_STATS_ROOM(struct mem_stats_sample, MEM_STATS_SAMPLES_MAX))
#define MEM_STATS_BYTES                                                                            \
    (MEM_STATS_AT_ACCOUNTS + MEM_STATS_ROOM(struct mem_stats_account, MEM_STATS_ACCOUNTS_MAX))

Q_STATIC_ASSERT(sizeof(struct mem_stats_section) == 24, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_head) == 600, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_totals) == 296, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_row) == 120, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_class) == 64, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_module) == 312, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_stack) == 656, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_sample) == 72, "see docs/formats/heap-stats.md");
Q_STATIC_ASSERT(sizeof(struct mem_stats_account) == 144, "see docs/formats/heap-stats.md");

/* The bucket of an age at free. Cost: a few instructions. */
static inline uint32_t mem_stats_age_bucket(uint64_t age_ns)
{
    uint64_t ms = age_ns / Q_MS_NS;
    uint32_t bucket = ms == 0 ? 0 : bits_log2_floor_u64(ms) / 2 + 1;

    return bucket < MEM_STATS_AGE_BUCKETS ? bucket : MEM_STATS_AGE_BUCKETS - 1;
}

#endif
