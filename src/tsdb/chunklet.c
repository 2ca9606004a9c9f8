/*
 * Chunklets as containers: raw samples, and streams of bytes. Bits of floats are head.c's.
 *
 *     late        | word 0 | t | bits | t | bits | … 7 of them | unused word |
 *     histograms  | word 0 | …end of a | all of b | beginning of c… |   used = 8 × bytes
 *
 * Late samples are out of order, and few: they lie as they came, and whoever reads sorts. A
 * chunklet holds 7, so a series that is late now and then pays 128 bytes a window.
 *
 * Bytes are appended in words of which the last may be partly filled. A reader that loaded word 0
 * before sees the same bytes below its `used`, though the word that holds the last of them is
 * stored again: the store is of the whole word and leaves these bits as they are.
 *
 * Invariants
 *   1. Payload at or above `used` is zero: appending is an OR.
 *   2. Bits below `used` never change, and `used` and `count` only rise.
 *   3. `next` is set once.
 *   4. A sample across chunklets becomes visible by one store, of the word 0 that it begins behind:
 *      the chunklets that follow are whole before that.
 *
 * Locking: none; a chain has one writer at a time, and who they are is the caller's lock.
 * Cost: 128 bytes; slack of a chain is half a chunklet on average.
 *
 * Rejected: plain words under a sequence lock: its readers try again while a series is written to,
 * and ThreadSanitizer can say nothing of it. A length of chunklets by class: a purge frees all of
 * them at once in any case, and one size needs no lists.
 */
#include <tsdb/chunklet.h>

#include <string.h>

Q_STATIC_ASSERT(TSDB_CHUNKLET_PAYLOAD_BITS < 1u << 11, "used fits its 11 bits");
Q_STATIC_ASSERT(TSDB_CHUNKLET_LATE_HISTOGRAM < 1u << 5, "kinds fit their 5 bits");

/* ---- late samples --------------------------------------------------------------------------- */

bool tsdb_late_append(struct tsdb_chunklet *chunklet, struct tsdb_sample sample)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(chunklet);

    Q_ASSERT(view.kind == TSDB_CHUNKLET_FREE || view.kind == TSDB_CHUNKLET_LATE);
    if (view.count == TSDB_CHUNKLET_LATE_MAX) {
        return false;
    }
    /* Above `used`, so that order with other stores to the payload is nobody's business. */
    atomic_store_relaxed_u64(&chunklet->payload[2 * view.count], (uint64_t)sample.t_ms);
    atomic_store_relaxed_u64(&chunklet->payload[2 * view.count + 1], sample.bits);
    view.kind = TSDB_CHUNKLET_LATE;
    view.count++;
    view.used_bits += 128;
    tsdb_chunklet_publish(chunklet, view);
    return true;
}

uint32_t tsdb_late_read(const struct tsdb_chunklet *chunklet, struct tsdb_sample *ret_samples,
                        uint32_t *ret_next)
{
    const struct tsdb_chunklet_view view = tsdb_chunklet_look(chunklet);

    *ret_next = view.next;
    if (view.kind != TSDB_CHUNKLET_LATE || view.count > TSDB_CHUNKLET_LATE_MAX) {
        return 0;
    }
    for (uint32_t i = 0; i < view.count; i++) { /* ordered by the acquire of word 0 */
        ret_samples[i].t_ms = (int64_t)atomic_load_relaxed_u64(&chunklet->payload[2 * i]);
        ret_samples[i].bits = atomic_load_relaxed_u64(&chunklet->payload[2 * i + 1]);
    }
    return view.count;
}

void tsdb_chunklet_link(struct tsdb_chunklet *tail, uint32_t next)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(tail);

    Q_ASSERT(view.next == TSDB_CHUNKLET_NONE && next != TSDB_CHUNKLET_NONE); /* invariant 3 */
    view.next = next;
    tsdb_chunklet_publish(tail, view);
}

/* ---- streams of bytes ----------------------------------------------------------------------- */

static size_t room_bytes(const struct tsdb_chunklet *tail)
{
    return tail == NULL ? 0 : TSDB_CHUNKLET_PAYLOAD_BYTES - tsdb_chunklet_look(tail).used_bits / 8;
}

uint32_t tsdb_bytes_spares(const struct tsdb_chunklet *tail, size_t count)
{
    size_t rest = sat_sub_u64(count, room_bytes(tail));

    return (uint32_t)((rest + TSDB_CHUNKLET_PAYLOAD_BYTES - 1) / TSDB_CHUNKLET_PAYLOAD_BYTES);
}

/* Stores bytes at byte `at` of the payload, where zeros are (invariant 1). */
static void put_bytes(struct tsdb_chunklet *chunklet, uint32_t at, const uint8_t *bytes,
                      size_t count)
{
    while (count > 0) {
        uint32_t shift = at % 8;
        size_t piece = size_min(8 - shift, count);
        uint64_t word = 0;
        _Atomic uint64_t *to = &chunklet->payload[at / 8];

        memcpy(&word, bytes, piece);
        word = endian_load_le_u64(&word) << (8 * shift);
        atomic_store_relaxed_u64(to, atomic_load_relaxed_u64(to) | word);
        bytes += piece;
        at += (uint32_t)piece;
        count -= piece;
    }
}

/* What `chunklet` will show when `count` bytes are in it, which ends a sample or not. */
static struct tsdb_chunklet_view fill(struct tsdb_chunklet *chunklet, const uint8_t *bytes,
                                      size_t count, bool ends_sample)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(chunklet);

    put_bytes(chunklet, view.used_bits / 8, bytes, count);
    view.kind = TSDB_CHUNKLET_HISTOGRAMS;
    view.used_bits += 8 * (uint32_t)count;
    view.count += ends_sample;
    return view;
}

void tsdb_bytes_append(struct tsdb_chunklet *tail, const uint8_t *bytes, size_t count,
                       const struct tsdb_spare *spares, uint32_t spare_count)
{
    Q_ASSERT(count > 0 && spare_count == tsdb_bytes_spares(tail, count));
    const size_t first = size_min(count, room_bytes(tail));
    size_t at = first;

    for (uint32_t i = 0; i < spare_count; i++) {
        size_t piece = size_min(count - at, TSDB_CHUNKLET_PAYLOAD_BYTES);
        struct tsdb_chunklet_view view =
            fill(spares[i].chunklet, bytes + at, piece, i + 1 == spare_count);
        view.next = i + 1 == spare_count ? TSDB_CHUNKLET_NONE : spares[i + 1].number;
        tsdb_chunklet_publish(spares[i].chunklet, view);
        at += piece;
    }
    Q_ASSERT(at == count);
    if (tail != NULL) { /* last (invariant 4) */
        struct tsdb_chunklet_view view = fill(tail, bytes, first, spare_count == 0);
        Q_ASSERT(view.next == TSDB_CHUNKLET_NONE);
        view.next = spare_count == 0 ? TSDB_CHUNKLET_NONE : spares[0].number;
        tsdb_chunklet_publish(tail, view);
    }
}

uint32_t tsdb_bytes_read(const struct tsdb_chunklet *chunklet, uint8_t *ret_bytes,
                         struct tsdb_chunklet_view *ret_view)
{
    *ret_view = tsdb_chunklet_look(chunklet);
    if (ret_view->kind != TSDB_CHUNKLET_HISTOGRAMS ||
        ret_view->used_bits > TSDB_CHUNKLET_PAYLOAD_BITS) {
        return 0;
    }
    for (uint32_t i = 0; i < TSDB_CHUNKLET_PAYLOAD_WORDS; i++) {
        endian_store_le_u64(ret_bytes + 8 * i, atomic_load_relaxed_u64(&chunklet->payload[i]));
    }
    return ret_view->used_bits / 8;
}
