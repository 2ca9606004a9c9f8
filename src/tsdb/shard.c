/*
 * Appending to a shard of an open window.
 *
 *     chain.first ──> [ c0 ] ──> [ c1 ] ──> [ c2 ]          in order; the series' head knows c2
 *     chain.late  ──> [ l2 ] ──> [ l1 ] ──> [ l0 ]          late; the newest first
 *
 * Chunklets are handed out front to back and never given back one by one: all of a shard's go when
 * it is sealed. So there is no list of free ones, and the only slack is the end of each chain, half
 * a chunklet on average, and the shard's last page.
 *
 * Late chunklets are chained in front, so that no place has to keep a chain's end; whoever reads
 * them sorts them anyway, and can tell from the chain's order which came first.
 *
 * Memory is taken before the shard's mutex is, as a promise (window.h, invariant 2): under the
 * mutex nothing can fail, so that a request is appended whole, and nobody is asked for memory with
 * a lock held. A promise is the worst that may be needed, a chunklet for each series; what it did
 * not need serves the next request.
 *
 * Of a scrape's samples one in a hundred needs a chunklet. So a request that is alone in a shard,
 * and for which a chunklet for each would be another page, is frugal: for a series that it brings
 * one sample, whose chain has room for it, it promises none.
 * Without that, pages were 1.3 MiB ahead of use in each open window when requests have 10,000
 * samples. Another one that comes between its promise and its use may fill that room; but it has
 * promised a chunklet for each of its own samples, one of which was then not needed. It leaves that
 * behind (left_count), for as long as the frugal one is under way. Where both have one series and
 * are in different windows, or one has histograms, that is the wrong window's or was needed: the
 * frugal one's sample is then left out and counted, as one that is out of order by the time it is
 * appended (append_shard.c).
 *
 * Cost: in order and without a new chunklet, what tsdb_head_append costs, and one cache line of the
 * chain's end.
 */
#include <tsdb/shard.h>

uint64_t tsdb_shard_promise(struct tsdb_open_shard *shard, uint32_t count, bool is_frugal)
{
    Q_ASSERT(!is_frugal || tsdb_shard_may_be_frugal(shard));
    shard->is_disturbed = shard->has_frugal;
    shard->has_frugal = shard->has_frugal || is_frugal;
    shard->holder_count++;
    shard->promised_count += count;
    return ((uint64_t)shard->used_count + shard->promised_count) * TSDB_CHUNKLET_BYTES;
}

void tsdb_shard_release(struct tsdb_open_shard *shard, uint32_t count, bool is_frugal,
                        bool has_appended)
{
    Q_ASSERT(shard->holder_count > 0 && shard->promised_count >= shard->left_count + count);
    shard->holder_count--;
    if (is_frugal) {
        shard->promised_count -= shard->left_count;
        shard->left_count = 0;
        shard->has_frugal = false;
    }
    if (shard->has_frugal && has_appended) {
        shard->left_count += count;
    } else {
        shard->promised_count -= count;
    }
}

bool tsdb_shard_can_append(const struct tsdb_open_shard *shard, const struct tsdb_chain *chain,
                           const struct tsdb_head *head, struct tsdb_sample sample, bool is_late)
{
    return shard->left_count > 0 || (!is_late && tsdb_shard_has_room(shard, chain, head, sample));
}

struct tsdb_spare tsdb_shard_take(struct tsdb_open_shard *shard, uint32_t *promise)
{
    uint32_t *from = *promise > 0 ? promise : &shard->left_count;

    Q_ASSERT(*from > 0 && shard->promised_count > 0);
    *from -= 1;
    shard->promised_count--;
    shard->used_count++;
    struct tsdb_chunklet *chunklet = tsdb_open_chunklet(shard, shard->used_count);
    Q_DCHECK(tsdb_chunklet_look(chunklet).kind == TSDB_CHUNKLET_FREE);
    atomic_bump_relaxed_u64(&shard->used_bytes, TSDB_CHUNKLET_BYTES);
    return (struct tsdb_spare){chunklet, shard->used_count};
}

static void chain_begin(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                        struct tsdb_head *head, struct tsdb_sample sample, uint32_t *promise)
{
    struct tsdb_spare spare = tsdb_shard_take(shard, promise);

    *head = (struct tsdb_head){.tail = TSDB_CHUNKLET_NONE};
    enum tsdb_appended appended = tsdb_head_append(head, NULL, sample, spare);
    Q_ASSERT(appended == TSDB_APPENDED_ONWARDS && head->tail == spare.number);
    /* Release: pairs with the acquire of readers, who find the sample in it. */
    atomic_store_release_u32(&chain->first, spare.number);
}

/* From histograms to floats: the chain goes on with a head that knows nothing. */
Q_COLD static void chain_turn(struct tsdb_open_shard *shard, struct tsdb_head *head,
                              struct tsdb_sample sample, uint32_t *promise)
{
    struct tsdb_chunklet *tail = tsdb_open_chunklet(shard, head->tail);
    struct tsdb_spare spare = tsdb_shard_take(shard, promise);

    *head = (struct tsdb_head){.tail = TSDB_CHUNKLET_NONE};
    enum tsdb_appended appended = tsdb_head_append(head, NULL, sample, spare);
    Q_ASSERT(appended == TSDB_APPENDED_ONWARDS && head->tail == spare.number);
    tsdb_chunklet_link(tail, spare.number); /* now readers come to it */
}

void tsdb_shard_append(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                       struct tsdb_head *head, struct tsdb_sample sample, uint32_t *promise)
{
    Q_ASSERT(!shard->is_closed);
    atomic_bump_relaxed_u64(&shard->sample_count, 1);
    /* Relaxed: written under the mutex that is held. */
    if (Q_UNLIKELY(atomic_load_relaxed_u32(&chain->first) == TSDB_CHUNKLET_NONE)) {
        chain_begin(shard, chain, head, sample, promise);
        return;
    }
    if (Q_UNLIKELY(tsdb_head_is_histogram(head))) {
        chain_turn(shard, head, sample, promise);
        return;
    }
    struct tsdb_chunklet *tail = tsdb_open_chunklet(shard, head->tail);
    enum tsdb_appended appended = tsdb_head_append(head, tail, sample, (struct tsdb_spare){0});
    if (Q_UNLIKELY(appended == TSDB_APPEND_NEEDS_SPARE)) {
        appended = tsdb_head_append(head, tail, sample, tsdb_shard_take(shard, promise));
        Q_ASSERT(appended == TSDB_APPENDED_ONWARDS);
    }
}

static bool has_late_floats(const struct tsdb_chunklet *chunklet)
{
    return tsdb_chunklet_look(chunklet).kind == TSDB_CHUNKLET_LATE;
}

void tsdb_shard_append_late(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                            struct tsdb_sample sample, uint32_t *promise)
{
    uint32_t newest = atomic_load_relaxed_u32(&chain->late);

    Q_ASSERT(!shard->is_closed);
    atomic_bump_relaxed_u64(&shard->sample_count, 1);
    if (newest != TSDB_CHUNKLET_NONE && has_late_floats(tsdb_open_chunklet(shard, newest)) &&
        tsdb_late_append(tsdb_open_chunklet(shard, newest), sample)) {
        return;
    }
    struct tsdb_spare spare = tsdb_shard_take(shard, promise);
    bool is_appended = tsdb_late_append(spare.chunklet, sample);
    Q_ASSERT(is_appended);
    if (newest != TSDB_CHUNKLET_NONE) {
        tsdb_chunklet_link(spare.chunklet, newest);
    }
    /* Release: pairs with the acquire in out_of_order.c: what is linked is seen. */
    atomic_store_release_u32(&chain->late, spare.number);
}
