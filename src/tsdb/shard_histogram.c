/*
 * Appending histograms to a shard of an open window.
 *
 *     chain   [ floats ] ─> [ state | … ] ─> [ histograms ] ─> [ histograms ] ─> [ floats ] ─> …
 *                              ^                                     ^
 *             head.step_ms ────┘                        head.tail ───┘
 *
 *     state   | bytes of it, 4 | the last histogram, whole |      payloads of chunklets in a row
 *     late    | time, 8 | bytes, 4 | a histogram, whole    |      the same; chained in front
 *
 * A histogram is coded by what differs from the one before it, which a series' record has no room
 * for. So the last one lies in the chain, whole, in chunklets that nobody reads but who appends,
 * and is written anew with each. They are the shard's like all others: they were promised, go back
 * with it, and can be saved with it. When the state has outgrown them it is put into new ones, at
 * the chain's end.
 *
 * The head keeps the last one's time, and in place of a value a hash of what it counts: enough to
 * tell a repetition from a duplicate, also when the window that the last one is in was sealed. Two
 * that differ have the same with a probability of 2^-64; the second would be taken for repeated.
 *
 * A chain that turns from floats to histograms or back begins anew: nothing is known of the one
 * before. Readers tell by the kinds of chunklets.
 *
 * Invariants
 *   1. What is linked is whole: the store that links it, or shows more of the tail, is the last.
 *   2. Chunklets of a state, and of a late histogram, have consecutive numbers.
 *   3. No code is longer than tsdb_histogram_bytes_need, so promises and scratch suffice.
 *
 * Locking: the shard's mutex. Cost: the last histogram decoded, this one coded twice; of 40 buckets
 * some 2 us.
 *
 * Rejected: a whole histogram in each chunklet, from which an append would decode to the end: four
 * times the bytes. A pointer to the last one: memory that is taken under the lock, and is lost with
 * the process.
 */
#include <tsdb/shard.h>

#define STATE_HEAD 4u
#define LATE_HEAD  12u
Q_STATIC_ASSERT(STATE_HEAD <= TSDB_SHARD_HISTOGRAM_HEAD && LATE_HEAD <= TSDB_SHARD_HISTOGRAM_HEAD,
                "what is in front of a histogram fits the scratch");

/* ---- bytes of chunklets in a row ------------------------------------------------------------ */

/* Writes bytes over what was there. Nobody reads them meanwhile. */
static void row_write(const struct tsdb_open_shard *shard, uint32_t first, const uint8_t *bytes,
                      size_t count)
{
    for (size_t at = 0; at < count; at += 8) {
        uint8_t word[8] = {0};
        uint32_t number = first + (uint32_t)(at / TSDB_CHUNKLET_PAYLOAD_BYTES);
        memcpy(word, bytes + at, size_min(8, count - at));
        /* Relaxed: published with the chunklet, or the writer's own. */
        atomic_store_relaxed_u64(
            &tsdb_open_chunklet(shard, number)->payload[at % TSDB_CHUNKLET_PAYLOAD_BYTES / 8],
            endian_load_le_u64(word));
    }
}

void tsdb_shard_row_read(const struct tsdb_open_shard *shard, uint32_t first, uint8_t *bytes,
                         size_t count)
{
    for (size_t at = 0; at < count; at += 8) {
        uint8_t word[8];
        uint32_t number = first + (uint32_t)(at / TSDB_CHUNKLET_PAYLOAD_BYTES);
        /* Relaxed: ordered by the acquire of whoever came to the row. */
        endian_store_le_u64(
            word,
            atomic_load_relaxed_u64(
                &tsdb_open_chunklet(shard, number)->payload[at % TSDB_CHUNKLET_PAYLOAD_BYTES / 8]));
        memcpy(bytes + at, word, size_min(8, count - at));
    }
}

/* Takes `count` chunklets, chained, of a kind; the last leads to `next`. Returns: the first. */
static uint32_t row_take(struct tsdb_open_shard *shard, uint32_t count,
                         enum tsdb_chunklet_kind kind, uint32_t next, uint32_t *promise)
{
    uint32_t first = 0;

    Q_ASSERT(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        struct tsdb_spare spare = tsdb_shard_take(shard, promise);
        first = i == 0 ? spare.number : first;
        Q_ASSERT(spare.number == first + i); /* invariant 2 */
        tsdb_chunklet_publish(spare.chunklet,
                              (struct tsdb_chunklet_view){
                                  .next = i + 1 == count ? next : spare.number + 1, .kind = kind});
    }
    return first;
}

/* ---- the state ------------------------------------------------------------------------------ */

uint64_t tsdb_shard_histogram_hash(const struct tsdb_histogram *histogram,
                                   const struct tsdb_histogram_scratch *scratch)
{
    struct tsdb_histogram plain = *histogram;

    plain.reset_hint = TSDB_RESET_UNKNOWN;
    return hash_xxh3_u64(scratch->bytes, tsdb_histogram_encode(NULL, &plain, scratch->bytes), 0);
}

/*
 * The last histogram of the chain, in the scratch. One that the scratch has no room for has more
 * parts than any of the request's: then, what is known of it is its time.
 */
static struct tsdb_histogram state_get(const struct tsdb_open_shard *shard,
                                       const struct tsdb_head *head,
                                       const struct tsdb_histogram_scratch *scratch)
{
    struct tsdb_histogram last = {.t_ms = head->t_ms, .schema = INT32_MAX};
    uint8_t length[STATE_HEAD];
    size_t consumed;

    tsdb_shard_row_read(shard, head->step_ms, length, sizeof length);
    size_t count = STATE_HEAD + (size_t)endian_load_le_u32(length);
    if (count > scratch->byte_capacity || tsdb_shard_spares(count) > head->repeats) {
        return last;
    }
    tsdb_shard_row_read(shard, head->step_ms, scratch->bytes, count);
    struct tsdb_histogram found;
    return tsdb_histogram_decode(scratch->bytes + STATE_HEAD, count - STATE_HEAD, NULL,
                                 scratch->room, &found, &consumed) == QUARRY_OK
               ? found
               : last;
}

/* The state's bytes, in the scratch. Returns: how many. */
static size_t state_make(const struct tsdb_histogram *histogram,
                         const struct tsdb_histogram_scratch *scratch)
{
    size_t count = tsdb_histogram_encode(NULL, histogram, scratch->bytes + STATE_HEAD);

    endian_store_le_u32(scratch->bytes, (uint32_t)count);
    return STATE_HEAD + count;
}

/* Takes chunklets for a state of so many bytes, with one more to grow into. */
static void state_take(struct tsdb_open_shard *shard, struct tsdb_head *head, size_t byte_count,
                       uint32_t *promise)
{
    uint32_t count = tsdb_shard_spares(byte_count) + 1;

    head->step_ms = row_take(shard, count, TSDB_CHUNKLET_STATE, TSDB_CHUNKLET_NONE, promise);
    head->repeats = (uint16_t)count;
}

/* Makes the histogram the chain's last, which it is already. */
static void state_put(struct tsdb_open_shard *shard, struct tsdb_head *head,
                      const struct tsdb_histogram *histogram,
                      const struct tsdb_histogram_scratch *scratch, uint32_t *promise)
{
    size_t count = state_make(histogram, scratch);

    if (tsdb_shard_spares(count) > head->repeats) {
        state_take(shard, head, count, promise);
        tsdb_chunklet_link(tsdb_open_chunklet(shard, head->tail), head->step_ms);
        head->tail = head->step_ms + head->repeats - 1;
    }
    row_write(shard, head->step_ms, scratch->bytes, count);
    head->t_ms = histogram->t_ms;
    head->bits = tsdb_shard_histogram_hash(histogram, scratch);
}

/* ---- in order ------------------------------------------------------------------------------- */

/* Has spares for a sample's bytes behind `tail`. Returns: how many. */
static uint32_t spares_take(struct tsdb_open_shard *shard, const struct tsdb_chunklet *tail,
                            size_t byte_count, const struct tsdb_histogram_scratch *scratch,
                            uint32_t *promise)
{
    uint32_t count = tsdb_bytes_spares(tail, byte_count);

    Q_ASSERT(count <= scratch->spare_capacity);
    for (uint32_t i = 0; i < count; i++) {
        scratch->spares[i] = tsdb_shard_take(shard, promise);
    }
    return count;
}

/* The first histogram of a chain, or behind floats. */
static void chain_begin(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                        struct tsdb_head *head, const struct tsdb_histogram *histogram,
                        const struct tsdb_histogram_scratch *scratch, uint32_t *promise)
{
    uint32_t before = head->tail;

    *head = (struct tsdb_head){.scale = TSDB_HEAD_HISTOGRAMS, .age = 2};
    state_take(shard, head, state_make(histogram, scratch), promise);
    size_t count = tsdb_histogram_encode(NULL, histogram, scratch->bytes);
    uint32_t spare_count = spares_take(shard, NULL, count, scratch, promise);
    tsdb_bytes_append(NULL, scratch->bytes, count, scratch->spares, spare_count);
    tsdb_chunklet_link(tsdb_open_chunklet(shard, head->step_ms + head->repeats - 1),
                       scratch->spares[0].number);
    head->tail = scratch->spares[spare_count - 1].number;
    if (before == TSDB_CHUNKLET_NONE) {
        /* Release: pairs with the acquire of readers, who find the sample behind it. */
        atomic_store_release_u32(&chain->first, head->step_ms);
    } else {
        tsdb_chunklet_link(tsdb_open_chunklet(shard, before), head->step_ms);
    }
}

static void chain_go_on(struct tsdb_open_shard *shard, struct tsdb_head *head,
                        const struct tsdb_histogram *histogram,
                        const struct tsdb_histogram_scratch *scratch, uint32_t *promise)
{
    const struct tsdb_histogram last = state_get(shard, head, scratch);
    size_t count = tsdb_histogram_encode(&last, histogram, scratch->bytes);
    struct tsdb_chunklet *tail = tsdb_open_chunklet(shard, head->tail);
    bool is_stream = tsdb_chunklet_look(tail).kind == TSDB_CHUNKLET_HISTOGRAMS;
    uint32_t spare_count = spares_take(shard, is_stream ? tail : NULL, count, scratch, promise);

    tsdb_bytes_append(is_stream ? tail : NULL, scratch->bytes, count, scratch->spares, spare_count);
    if (!is_stream) { /* a state's last one */
        tsdb_chunklet_link(tail, scratch->spares[0].number);
    }
    if (spare_count != 0) {
        head->tail = scratch->spares[spare_count - 1].number;
    }
}

void tsdb_shard_append_histogram(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                                 struct tsdb_head *head, const struct tsdb_histogram *histogram,
                                 const struct tsdb_histogram_scratch *scratch, uint32_t *promise)
{
    Q_ASSERT(!shard->is_closed);
    atomic_bump_relaxed_u64(&shard->sample_count, 1);
    /* Relaxed: written under the mutex that is held. */
    if (atomic_load_relaxed_u32(&chain->first) == TSDB_CHUNKLET_NONE) {
        head->tail = TSDB_CHUNKLET_NONE; /* of another window */
        chain_begin(shard, chain, head, histogram, scratch, promise);
    } else if (!tsdb_head_is_histogram(head)) {
        chain_begin(shard, chain, head, histogram, scratch, promise);
    } else {
        chain_go_on(shard, head, histogram, scratch, promise);
    }
    state_put(shard, head, histogram, scratch, promise);
}

/* ---- late ----------------------------------------------------------------------------------- */

void tsdb_shard_append_late_histogram(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                                      const struct tsdb_histogram *histogram,
                                      const struct tsdb_histogram_scratch *scratch,
                                      uint32_t *promise)
{
    uint32_t newest = atomic_load_relaxed_u32(&chain->late);
    size_t count = tsdb_histogram_encode(NULL, histogram, scratch->bytes + LATE_HEAD);

    Q_ASSERT(!shard->is_closed);
    atomic_bump_relaxed_u64(&shard->sample_count, 1);
    endian_store_le_u64(scratch->bytes, (uint64_t)histogram->t_ms);
    endian_store_le_u32(scratch->bytes + 8, (uint32_t)count);
    uint32_t first = row_take(shard, tsdb_shard_spares(LATE_HEAD + count),
                              TSDB_CHUNKLET_LATE_HISTOGRAM, newest, promise);
    row_write(shard, first, scratch->bytes, LATE_HEAD + count);
    struct tsdb_chunklet_view view = tsdb_chunklet_look(tsdb_open_chunklet(shard, first));
    view.count = 1; /* which tells the first of a row */
    tsdb_chunklet_publish(tsdb_open_chunklet(shard, first), view);
    /* Release: pairs with the acquire in out_of_order.c: what is linked is seen. */
    atomic_store_release_u32(&chain->late, first);
}

bool tsdb_shard_late_histogram(const struct tsdb_open_shard *shard, uint32_t number,
                               int64_t *ret_t_ms, uint32_t *ret_byte_count)
{
    struct tsdb_chunklet_view view = tsdb_chunklet_look(tsdb_open_chunklet(shard, number));
    uint8_t head[LATE_HEAD];

    if (view.kind != TSDB_CHUNKLET_LATE_HISTOGRAM || view.count != 1) {
        return false;
    }
    tsdb_shard_row_read(shard, number, head, sizeof head);
    *ret_t_ms = (int64_t)endian_load_le_u64(head);
    *ret_byte_count = endian_load_le_u32(head + 8);
    return true;
}
