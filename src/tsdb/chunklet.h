/*
 * Chunklets: the 128 bytes that samples of an open window lie in, chained by number.
 *
 *     word 0    next: 32 bits | used: 11, in bits | kind: 5 | count: 16, samples
 *     1 … 15    payload, 960 bits
 *
 * All words are atomic and each chunklet has one writer at a time. A writer stores payload first
 * and word 0 last, with release; a reader loads word 0 with acquire and looks at what lies below
 * `used` alone, which never changes again. So readers take no lock while a chain grows.
 *
 * Kinds: floats, coded by head.h; histograms, a stream of bytes; late samples, as they came; and
 * the two of shard_histogram.c.
 */
#ifndef QUARRY_TSDB_CHUNKLET_H
#define QUARRY_TSDB_CHUNKLET_H

#include <base/base.h>

#include <tsdb/types.h>

#define TSDB_CHUNKLET_BYTES         128u
#define TSDB_CHUNKLET_PAYLOAD_WORDS 15u
#define TSDB_CHUNKLET_PAYLOAD_BYTES (8 * TSDB_CHUNKLET_PAYLOAD_WORDS)
#define TSDB_CHUNKLET_PAYLOAD_BITS  (64 * TSDB_CHUNKLET_PAYLOAD_WORDS)

/* The number that names no chunklet: the end of a chain. */
#define TSDB_CHUNKLET_NONE 0u
/* Samples that one chunklet counts at most. */
#define TSDB_CHUNKLET_SAMPLES_MAX UINT16_MAX
/* Late samples that one chunklet holds: two words each. */
#define TSDB_CHUNKLET_LATE_MAX (TSDB_CHUNKLET_PAYLOAD_WORDS / 2)

enum tsdb_chunklet_kind {
    TSDB_CHUNKLET_FREE = 0, /* holds nothing: zeros */
    TSDB_CHUNKLET_FLOATS = 1,
    TSDB_CHUNKLET_HISTOGRAMS = 2,
    TSDB_CHUNKLET_LATE = 3,
    TSDB_CHUNKLET_STATE = 4, /* what the writer of histograms knows: no reader's business */
    TSDB_CHUNKLET_LATE_HISTOGRAM = 5,
};

struct tsdb_chunklet {
    _Atomic uint64_t word; /* next, used, kind, count */
    _Atomic uint64_t payload[TSDB_CHUNKLET_PAYLOAD_WORDS];
};
Q_STATIC_ASSERT(sizeof(struct tsdb_chunklet) == TSDB_CHUNKLET_BYTES, "two cache lines");

/* Word 0, taken apart: what a chunklet held at one moment. */
struct tsdb_chunklet_view {
    uint32_t next;
    uint32_t used_bits;
    uint32_t count;
    enum tsdb_chunklet_kind kind;
};

static inline struct tsdb_chunklet_view tsdb_chunklet_unpack(uint64_t word)
{
    return (struct tsdb_chunklet_view){.next = (uint32_t)word,
                                       .used_bits = (uint32_t)(word >> 32) & 0x7ff,
                                       .kind = (enum tsdb_chunklet_kind)((word >> 43) & 0x1f),
                                       .count = (uint32_t)(word >> 48)};
}

static inline uint64_t tsdb_chunklet_pack(struct tsdb_chunklet_view view)
{
    Q_DCHECK(view.used_bits <= TSDB_CHUNKLET_PAYLOAD_BITS);
    Q_DCHECK(view.count <= TSDB_CHUNKLET_SAMPLES_MAX);
    return view.next | (uint64_t)view.used_bits << 32 | (uint64_t)view.kind << 43 |
           (uint64_t)view.count << 48;
}

/* What is in `chunklet` now. Pairs with the release of tsdb_chunklet_publish. Threads: any. */
static inline struct tsdb_chunklet_view tsdb_chunklet_look(const struct tsdb_chunklet *chunklet)
{
    return tsdb_chunklet_unpack(atomic_load_acquire_u64(&chunklet->word));
}

/* Makes `view` what readers see; what it covers of the payload is stored. Threads: the writer. */
static inline void tsdb_chunklet_publish(struct tsdb_chunklet *chunklet,
                                         struct tsdb_chunklet_view view)
{
    atomic_store_release_u64(&chunklet->word, tsdb_chunklet_pack(view));
}

/*
 * Appends to a chain of late samples, in the order in which they came.
 *
 * `chunklet`: borrowed, all zeros or the chain's last; its kind becomes TSDB_CHUNKLET_LATE.
 * Returns: whether it fit; else nothing has changed, and the caller links another one.
 * Threads: the writer. Cost: three stores.
 */
bool tsdb_late_append(struct tsdb_chunklet *chunklet, struct tsdb_sample sample);

/*
 * Copies the late samples of one chunklet, unsorted.
 *
 * `ret_samples`: room for TSDB_CHUNKLET_LATE_MAX. `ret_next`: the chain's next chunklet, or
 * TSDB_CHUNKLET_NONE. Returns: how many samples; 0 also for a chunklet of another kind.
 * Threads: any, beside the writer.
 */
uint32_t tsdb_late_read(const struct tsdb_chunklet *chunklet, struct tsdb_sample *ret_samples,
                        uint32_t *ret_next);

/* Makes `next` what follows `tail`, which had nothing behind it. Threads: the writer. */
void tsdb_chunklet_link(struct tsdb_chunklet *tail, uint32_t next);

/* A chunklet that a stream of bytes may go on into, and its number. */
struct tsdb_spare {
    struct tsdb_chunklet *chunklet;
    uint32_t number;
};

/* How many spares tsdb_bytes_append needs for `count` bytes: 0 where they fit `tail`. `tail` may be
 * NULL: there is no chain yet. Threads: the writer. */
uint32_t tsdb_bytes_spares(const struct tsdb_chunklet *tail, size_t count);

/*
 * Appends one sample of `count` bytes to a chain of TSDB_CHUNKLET_HISTOGRAMS. A sample may lie
 * across several chunklets; it is counted in the last of them. Readers see all of it or nothing.
 *
 * `tail`: borrowed, the chain's last, or NULL: the chain begins with the first spare. `spares`:
 * borrowed, zeroed, as many as tsdb_bytes_spares says and no more; they are the chain's afterwards,
 * the last of them its tail.
 * Threads: the writer. Cost: one copy.
 */
void tsdb_bytes_append(struct tsdb_chunklet *tail, const uint8_t *bytes, size_t count,
                       const struct tsdb_spare *spares, uint32_t spare_count);

/*
 * Copies the bytes of one chunklet of a stream.
 *
 * `ret_bytes`: room for TSDB_CHUNKLET_PAYLOAD_BYTES. `ret_view`: its word 0, at that moment.
 * Returns: how many bytes; 0 also for a chunklet of another kind.
 * Threads: any, beside the writer.
 */
uint32_t tsdb_bytes_read(const struct tsdb_chunklet *chunklet, uint8_t *ret_bytes,
                         struct tsdb_chunklet_view *ret_view);

#endif
