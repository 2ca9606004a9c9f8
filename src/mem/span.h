/*
 * Spans: runs of pages cut into objects of one size class. What is known of one lies outside it.
 */
#ifndef QUARRY_MEM_SPAN_H
#define QUARRY_MEM_SPAN_H

#include <base/base.h>
#include <mem/size_class.h>

struct mem_bins;

/* A span's record as a number: its distance from the map's base in units of 8 bytes. 0: none. */
typedef uint32_t mem_ref;

/* What a span is doing. Changed inside its bins. */
enum mem_span_state {
    MEM_SPAN_UNUSED,  /* the record is nobody's */
    MEM_SPAN_CURRENT, /* a thread allocates from it */
    MEM_SPAN_PARTIAL, /* has free objects, and waits in its bins' list of the class */
    MEM_SPAN_FULL,    /* has hardly any */
    MEM_SPAN_LARGE,   /* not a span: stands for all large objects of a pool */
};

/* While a span is current no number of frees makes `left` zero. */
#define MEM_SPAN_LEFT_CURRENT (1 << 30)

/* The owner of a span whose next frees are to be looked at: its thread's, with this bit. */
#define MEM_OWNER_WATCHED ((uintptr_t)1)

/* Words of `free` that share the line of the fields that every free touches. */
#define MEM_SPAN_NEAR_WORDS 3u

/* Sampled objects that a record has room to name; a span with more asks the observer each time. */
#define MEM_SPAN_SAMPLES 4u
/* In sample_count: there were more, and the observer is asked about each object until it is empty.
 */
#define MEM_SPAN_SAMPLES_LOST UINT8_MAX
#define MEM_SPAN_SAMPLE_NONE  UINT16_MAX

/*
 * A record: 64 bytes that slow paths use, then those that every free uses, then the bitmaps that do
 * not fit those. On a cache line of its own; pointers are to the middle one:
 *
 *   -64  struct mem_span_cold
 *     0  struct mem_span; free[] runs on past 64 for classes below 48 bytes, padded to a line
 *        remote[] of those classes
 */
struct mem_span {
    _Atomic uintptr_t owner; /* the thread pointer of who may free without more ado; 0: nobody */
    uint64_t inverse;        /* const while in use: of the class */
    uint64_t bias;           /* const while in use: -(start × inverse) */
    uint64_t capacity;       /* const while in use: objects */
    _Atomic int32_t left;    /* its owner's frees until the bins want to know */
    uint8_t shift;           /* const while in use: of the class */
    _Atomic uint8_t state;   /* enum mem_span_state; written inside its bins */
    uint16_t padding;
    _Atomic uint64_t free[MEM_SPAN_NEAR_WORDS]; /* a bit for each object: free, and not remote */
};
Q_STATIC_ASSERT(sizeof(struct mem_span) == Q_CACHE_LINE_BYTES, "a free touches one line");

struct mem_span_cold {
    char *start;                  /* const while in use */
    _Atomic(void *) bins;         /* struct mem_bins, whose it is; NULL: the record is nobody's */
    mem_ref next, previous;       /* in a list of the bins, or of unused records */
    _Atomic mem_ref mail;         /* the next in a mailbox; see mem_bins; 0: in none */
    uint16_t fresh;               /* words of which no object was ever used, and all are zero */
    uint8_t class;                /* const while in use; tells the record's length ever after */
    _Atomic uint8_t sample_count; /* live sampled objects; written inside its bins */
    _Atomic uint64_t remote[MEM_SPAN_NEAR_WORDS]; /* freed by others than the owner */
    uint16_t sampled[MEM_SPAN_SAMPLES];           /* indices of sampled objects; inside its bins */
};
Q_STATIC_ASSERT(sizeof(struct mem_span_cold) == Q_CACHE_LINE_BYTES, "a line before the span's");

static inline struct mem_span_cold *mem_span_cold(struct mem_span *span)
{
    return (struct mem_span_cold *)(void *)((char *)span - sizeof(struct mem_span_cold));
}

static inline uint32_t mem_span_class(const struct mem_span *span)
{
    return ((const struct mem_span_cold *)(const void *)span - 1)->class;
}

/* Bytes from the span to its far remote words. */
static inline size_t mem_span_far_bytes(uint32_t word_count)
{
    return size_align_up(offsetof(struct mem_span, free) + word_count * sizeof(uint64_t),
                         Q_CACHE_LINE_BYTES);
}

/* Bytes of a record for spans with so many words of bitmap. */
static inline size_t mem_span_record_bytes(uint32_t word_count)
{
    if (word_count <= MEM_SPAN_NEAR_WORDS) {
        return sizeof(struct mem_span_cold) + sizeof(struct mem_span);
    }
    return sizeof(struct mem_span_cold) + mem_span_far_bytes(word_count) +
           size_align_up(word_count * sizeof(uint64_t), Q_CACHE_LINE_BYTES);
}

static inline enum mem_span_state mem_span_state(const struct mem_span *span)
{
    return (enum mem_span_state)atomic_load_relaxed_u8(&span->state);
}
static inline void mem_span_set_state(struct mem_span *span, enum mem_span_state state)
{
    atomic_store_relaxed_u8(&span->state, (uint8_t)state);
}

static inline uint32_t mem_span_words(const struct mem_span *span)
{
    return mem_size_class[mem_span_class(span)].word_count;
}

/* Word `word` of the bitmap of free objects; of those that others freed. */
static inline _Atomic uint64_t *mem_span_free(struct mem_span *span, uint64_t word)
{
    return (_Atomic uint64_t *)(void *)((char *)span + offsetof(struct mem_span, free)) + word;
}
static inline _Atomic uint64_t *mem_span_remote(struct mem_span *span, uint64_t word)
{
    uint32_t word_count = mem_span_words(span);

    if (word_count <= MEM_SPAN_NEAR_WORDS) {
        return &mem_span_cold(span)->remote[word];
    }
    return (_Atomic uint64_t *)(void *)((char *)span + mem_span_far_bytes(word_count)) + word;
}

/* Which objects word `word` of a span's bitmaps has. */
static inline uint64_t mem_span_mask(const struct mem_span *span, uint64_t word)
{
    uint64_t count = span->capacity - word * 64;

    return count >= 64 ? UINT64_MAX : bits_mask_u64(0, (uint32_t)count);
}

/*
 * The index of the object at an address: below the capacity if and only if an object of this span
 * begins exactly there.
 */
static inline uint64_t mem_span_index(const struct mem_span *span, const void *address)
{
    uint64_t product = (uint64_t)address * span->inverse + span->bias;

    return product >> span->shift | product << (-span->shift & 63);
}

static inline uint32_t mem_span_object_bytes(const struct mem_span *span)
{
    return mem_size_class[mem_span_class(span)].size_bytes;
}

static inline void *mem_span_object(struct mem_span *span, uint64_t index)
{
    return mem_span_cold(span)->start + index * mem_span_object_bytes(span);
}

/* Makes a record that of a new span, all objects free. `is_zero`: every byte of it is. */
void mem_span_init(struct mem_span *span, uint32_t class, void *start, bool is_zero);

/* Objects whose bit is set in `free`, in `remote`, or in either. */
uint32_t mem_span_count_free(struct mem_span *span);
uint32_t mem_span_count_all_free(struct mem_span *span);
/*
 * Whether every object is free. When so, nobody holds one, nobody is in the middle of freeing one,
 * and unless the span is current nobody can come by one: see bins.c.
 */
bool mem_span_is_all_free(struct mem_span *span);

/*
 * Takes the objects that others freed and makes them free like the others. Inside the bins.
 * Returns how many. Aborts when one of them was free already.
 */
uint32_t mem_span_merge_remote(struct mem_span *span);

/* The lowest word with free objects, or the number of words. */
uint32_t mem_span_find_word(struct mem_span *span);

#endif
