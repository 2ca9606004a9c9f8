/*
 * Float samples as bits of a chain of chunklets: appending, and reading while it grows.
 *
 * A *head* is what an encoder knows after the samples so far: the last of them, and from it what is
 * expected next. A decoder comes to the same, so a head that was lost is had back by reading the
 * chain. head.c says how samples are coded.
 */
#ifndef QUARRY_TSDB_HEAD_H
#define QUARRY_TSDB_HEAD_H

#include <tsdb/chunklet.h>

/*
 * The encoder of one chain. All zeros with `tail` TSDB_CHUNKLET_NONE: no chain. The owner keeps it,
 * and may read `t_ms`, `bits`, and `tail`; these are a series' last sample and where it lies.
 */
struct tsdb_head {
    int64_t t_ms;     /* of the last sample */
    uint64_t bits;    /* its value */
    int64_t mean;     /* how much values of late grew by, in 16ths of a unit of `scale` */
    uint32_t step_ms; /* from the last sample but one; 0: too much for 32 bits */
    uint32_t tail;    /* the chain's last chunklet */
    uint16_t repeats; /* last samples that are counted and have no bits */
    uint8_t scale;    /* values are coded as decimals of so many places, or as head.c says */
    uint8_t order;    /* of the code of decimals: bits that are expected */
    uint8_t shift;    /* zeros below the bits of the last exclusive or */
    uint8_t width;    /* and how many bits these are; 0: none was coded yet */
    uint8_t is_fresh; /* the last sample's value was not that of the one before it */
    uint8_t age;      /* samples so far, up to 2 */
};
Q_STATIC_ASSERT(sizeof(struct tsdb_head) == 40, "a series' record has no more room for it");

/* The scale of a head whose chain has come to histograms (shard_histogram.c). Their `bits` are a
 * hash, `step_ms` and `repeats` say where their state is. */
#define TSDB_HEAD_HISTOGRAMS 29u

static inline bool tsdb_head_is_histogram(const struct tsdb_head *head)
{
    return head->scale == TSDB_HEAD_HISTOGRAMS;
}

/*
 * The longest code of a sample, in bits: a time, a value, and repeats before them. Put together in
 * head.c, which asserts it.
 */
#define TSDB_HEAD_CODE_BITS_MAX 163u

/*
 * Whether a sample fits the chain's last chunklet: tsdb_head_append would need no spare.
 *
 * `tail`: borrowed, the chunklet that head->tail names. Threads: the chain's writer.
 * Cost: its cache line; where it is nearly full, what appending costs.
 */
static inline bool tsdb_head_fits(const struct tsdb_head *head, const struct tsdb_chunklet *tail,
                                  struct tsdb_sample sample);
bool tsdb_head_fits_slow(const struct tsdb_head *head, struct tsdb_chunklet_view view,
                         struct tsdb_sample sample);

static inline bool tsdb_head_fits(const struct tsdb_head *head, const struct tsdb_chunklet *tail,
                                  struct tsdb_sample sample)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(tail);

    if (view.kind != TSDB_CHUNKLET_FLOATS || view.count == TSDB_CHUNKLET_SAMPLES_MAX) {
        return false;
    }
    return view.used_bits + TSDB_HEAD_CODE_BITS_MAX <= TSDB_CHUNKLET_PAYLOAD_BITS ||
           tsdb_head_fits_slow(head, view, sample);
}

enum tsdb_appended {
    TSDB_APPENDED,         /* in the tail */
    TSDB_APPENDED_ONWARDS, /* the spare is the tail now */
    TSDB_APPEND_NEEDS_SPARE,
};

/*
 * Appends a sample. Any time and any bits will do; order is the caller's business.
 *
 * `head`: borrowed. `tail`: borrowed, the chunklet that head->tail names; NULL when that is NONE.
 * `sample`: what to append.
 * `spare`: a zeroed chunklet and its number, taken when the sample does not fit; its chunklet may
 * be NULL: then TSDB_APPEND_NEEDS_SPARE is returned, nothing has changed, and the same call with a
 * spare succeeds.
 * Returns: where the sample went. Threads: the chain's writer.
 * Cost: 5 to 30 ns, see head.c; no loop but for a value that changes how values are coded.
 */
enum tsdb_appended tsdb_head_append(struct tsdb_head *head, struct tsdb_chunklet *tail,
                                    struct tsdb_sample sample, struct tsdb_spare spare);

/* Words of a reader's copy: those of a payload, and as much as a damaged code may read on. */
#define TSDB_READER_WORDS (TSDB_CHUNKLET_PAYLOAD_WORDS + 5)

/*
 * Decodes a chain of float chunklets in order. The caller finds the chunklets: it loads the first,
 * takes samples until there are none, loads the one that was named, and so on.
 */
struct tsdb_reader {
    struct tsdb_head head; /* after the last sample that was taken */
    int64_t decimal;       /* the integer of its value, of its scale; 0 where there is none */
    uint32_t left;         /* samples of the loaded chunklet still to be taken */
    uint32_t repeats;      /* of these, as many as this repeat the last one */
    uint32_t at_bits, used_bits;
    bool is_corrupt;
    uint64_t words[TSDB_READER_WORDS];
};

/* Makes `reader`, the caller's, ready for the first chunklet of a chain. */
void tsdb_reader_init(struct tsdb_reader *reader);

/*
 * Goes on into `chunklet`, the first or the one that follows, whose samples can then be taken.
 *
 * `chunklet`: borrowed for the call: it is copied. `number`: its own; it becomes head.tail.
 * Returns: the number of the chunklet behind it, or TSDB_CHUNKLET_NONE.
 * Threads: any, beside the writer: what was appended when the call began is seen.
 */
uint32_t tsdb_reader_load(struct tsdb_reader *reader, const struct tsdb_chunklet *chunklet,
                          uint32_t number);

/*
 * Takes up to `count_max` samples of what is loaded.
 *
 * `ret_t_ms`, `ret_bits`: room for `count_max`.
 * Returns: how many; fewer than `count_max` when the chunklet has no more, or is damaged.
 */
uint32_t tsdb_reader_take(struct tsdb_reader *reader, uint32_t count_max, int64_t *ret_t_ms,
                          uint64_t *ret_bits);

/*
 * Whether what was loaded made sense. A damaged chunklet yields no sample from the damage on, and
 * neither do those behind it; nothing outside of it is read.
 * Returns: QUARRY_OK or QUARRY_CORRUPT.
 */
static inline enum quarry_status tsdb_reader_status(const struct tsdb_reader *reader)
{
    return reader->is_corrupt ? QUARRY_CORRUPT : QUARRY_OK;
}

/*
 * The head of the chain that `reader` has taken every sample of: what the encoder had after the
 * last of them, so that appending can go on. Undefined where the status is not QUARRY_OK.
 */
struct tsdb_head tsdb_reader_head(const struct tsdb_reader *reader);

#endif
