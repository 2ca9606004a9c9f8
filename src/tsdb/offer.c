/*
 * Offering windows before they are purged (options.before_purge).
 *
 *     the thread ───────────> the next to go, once it is sealed ──┐
 *     a request that must ──> WANTED, waits ──> the thread ───────┴─> the function ──> TAKEN, OVER
 *     purge ──────────────────────────────────────── waits for TAKEN or OVER, as long as allowed
 *
 * A window is offered ahead of time: when there are so many that the next one to be made will end
 * it, or when seven eighths of the memory are used and it is the oldest. What is sealed does not
 * change any more, so that nothing is missed, and who purges later finds it done. Only where time
 * leaps, or memory runs out faster than windows are taken, does a request wait; it holds nothing
 * while it does (append.c), and no longer than options.purge_wait_ms. A window that is purged
 * without having been taken is counted. One that was taken while it was open, and stayed after all,
 * is offered once more when it is sealed; if it goes before, what came since counts as not taken.
 * A window that is filled is a new one here, too.
 *
 * The thread is one of its own: the other one has the log to sync meanwhile, and windows to seal.
 * Where there is none, and while the directory is read, who purges calls the function.
 *
 * Invariants: 1. The function is called by one thread at a time, which holds no lock but, while the
 * directory is read, the one of work on files. 2. A window's state only rises, but that PART may
 * become OVER. 3. No view is held during the call: a window that is purged meanwhile, for
 * want of patience, gives its memory back.
 *
 * Rejected: keeping purged windows until they have been taken, which has memory of a window more
 * than the budget counts on; and offering when a window is sealed, which would write what may live
 * for another day and a half.
 *
 * Locking: none; states are words, and who waits sleeps on a count of answers.
 */
#include <tsdb/offer.h>

#include <tsdb/background.h>
#include <tsdb/durable.h>

/* Of the memory: what is left free when the oldest window is offered for want of it. Half of it
 * would leave a request that comes in one burst less time. */
#define AHEAD_PART 8u

/* How often the thread looks whether memory has become short; requests that wait wake it. */
#define LOOK_NS UINT64_C(1000000000)

static enum tsdb_offer offer_state(const struct tsdb_window *window)
{
    /* Acquire: pairs with offer_answer: what the function did is done. */
    return (enum tsdb_offer)atomic_load_acquire_u32(&window->offer);
}

static bool state_is_over(enum tsdb_offer state)
{
    return state == TSDB_OFFER_TAKEN || state == TSDB_OFFER_PART || state == TSDB_OFFER_OVER;
}

/* Moves a window from any state below another one to that. Returns: what it was. */
static enum tsdb_offer offer_raise(struct tsdb_window *window, enum tsdb_offer to)
{
    uint32_t state = atomic_load_relaxed_u32(&window->offer);

    /* Acquire and release: pairs with offer_state. */
    while (state < (uint32_t)to && !atomic_cas_weak_acq_rel_u32(&window->offer, &state, to)) {
    }
    return (enum tsdb_offer)state;
}

bool tsdb_offer_is_over(const struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    return tsdb->options.before_purge == NULL || state_is_over(offer_state(window));
}

/* Whether all shards are sealed, so that nothing comes to it any more but what fills it. */
static bool is_whole(const struct tsdb_window *window)
{
    return atomic_load_acquire_u64(&window->sealed_mask) == UINT64_MAX; /* pairs with seal.c */
}

/* Samples that a window has been given since it was made or read, late and repeated ones among
 * them: those that sealing leaves out are counted on, so that others do not take their place. */
static uint64_t sample_count(struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    uint64_t count = 0;

    quarry_epoch_enter(tsdb->epoch);
    const struct tsdb_open *open = tsdb_window_open(window);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        if (tsdb_window_is_sealed(window, i)) {
            count += window->sealed_shard[i].counted_samples;
        } else if (open != NULL) {
            count += tsdb_open_count(open, i);
        }
    }
    quarry_epoch_leave(tsdb->epoch);
    return count;
}

/* Whether somebody has all that is in a window. */
static bool is_taken_whole(struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    enum tsdb_offer state = offer_state(window);

    return state == TSDB_OFFER_TAKEN ||
           (state == TSDB_OFFER_PART &&
            sample_count(tsdb, window) <= atomic_load_relaxed_u64(&window->offered_samples));
}

uint32_t tsdb_offer_untaken_count(struct quarry_tsdb *tsdb, int32_t number_min)
{
    uint32_t count = 0;

    if (tsdb->options.before_purge == NULL) {
        return 0;
    }
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    for (uint32_t i = 0; i < view->window_count; i++) {
        count += view->windows[i]->number < number_min && !is_taken_whole(tsdb, view->windows[i]);
    }
    tsdb_view_release(&tsdb->views, view);
    return count;
}

/* ---- which ---------------------------------------------------------------------------------- */

/* Whether memory is about to run out, and a window would be purged for it. */
static bool memory_is_short(struct quarry_tsdb *tsdb)
{
    uint64_t limit_bytes = tsdb->options.memory_bytes;

    return limit_bytes != 0 && !tsdb->options.keeps_oldest &&
           tsdb_charged_bytes(tsdb) > limit_bytes - limit_bytes / AHEAD_PART;
}

/* Whether the oldest window of several is the next to go, and does not change until then. */
static bool is_next(struct quarry_tsdb *tsdb, const struct tsdb_view *view)
{
    const struct tsdb_window *oldest = view->windows[0];
    int64_t age = (int64_t)view->windows[view->window_count - 1]->number - oldest->number;

    enum tsdb_offer state = offer_state(oldest);

    return (state == TSDB_OFFER_NONE || state == TSDB_OFFER_PART) && is_whole(oldest) &&
           (age >= tsdb->options.window_count || memory_is_short(tsdb));
}

/* The window to be offered; NULL: none. */
static struct tsdb_window *offer_pick(struct quarry_tsdb *tsdb, const struct tsdb_view *view)
{
    for (uint32_t i = 0; i < view->window_count; i++) {
        if (offer_state(view->windows[i]) == TSDB_OFFER_WANTED) {
            return view->windows[i];
        }
    }
    return view->window_count > 1 && is_next(tsdb, view) ? view->windows[0] : NULL;
}

/* ---- offering ------------------------------------------------------------------------------- */

/* It was not taken: once more when it must go, if that has not come. */
static void offer_fail(struct tsdb_window *window)
{
    uint32_t part = TSDB_OFFER_PART;

    if (offer_raise(window, TSDB_OFFER_FAILED) == TSDB_OFFER_WANTED) {
        (void)offer_raise(window, TSDB_OFFER_OVER);
    }
    /* What was taken while it was open is all that is: or it would be offered for ever. */
    (void)atomic_cas_acq_rel_u32(&window->offer, &part, TSDB_OFFER_OVER);
}

/* A window as it was when it was offered. */
struct offered {
    int32_t number;
    uint32_t fill_number;
    bool is_whole;
    uint64_t sample_count;
};

/* What the function said of a window, which may be gone by now. */
static void offer_answer(struct quarry_tsdb *tsdb, const struct offered *offered,
                         enum quarry_status status)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    struct tsdb_window *window = tsdb_view_find(view, offered->number);
    /* One that has gone meanwhile, after the longest wait, was not taken whole; nor one that is
     * filled by now. */
    bool is_there = window != NULL && window->fill_number == offered->fill_number;
    bool is_taken = status == QUARRY_OK && is_there;

    if (is_taken) {
        atomic_store_relaxed_u64(&window->offered_samples, offered->sample_count);
        (void)offer_raise(window, offered->is_whole ? TSDB_OFFER_TAKEN : TSDB_OFFER_PART);
    } else if (is_there) {
        offer_fail(window);
    }
    tsdb_view_release(&tsdb->views, view);
    (void)atomic_add_relaxed_u64(
        is_taken ? &tsdb->counters.offered_window_count : &tsdb->counters.offer_failed_count, 1);
    (void)atomic_add_seq_cst_u32(&tsdb->offer_answers, 1);
    os_futex_wake(&tsdb->offer_answers, UINT32_MAX);
}

/* Offers one window. Returns: whether there was one. */
static bool offer_one(struct quarry_tsdb *tsdb)
{
    const struct quarry_tsdb_options *options = &tsdb->options;

    if (atomic_exchange_acquire_bool(&tsdb->is_offering, true)) {
        return false;
    }
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    const struct tsdb_window *window = offer_pick(tsdb, view);
    struct quarry_tsdb_leaving leaving = {.tsdb = tsdb};
    struct offered offered = {.number = 0};
    if (window != NULL) {
        offered = (struct offered){window->number, window->fill_number, is_whole(window),
                                   sample_count(tsdb, window)};
        leaving.start_ms = window->start_ms;
        leaving.end_ms = window->end_ms;
    }
    tsdb_view_release(&tsdb->views, view);
    if (window != NULL) {
        offer_answer(tsdb, &offered, options->before_purge(options->purge_argument, &leaving));
    }
    /* Release: pairs with the exchange above. */
    atomic_store_release_bool(&tsdb->is_offering, false);
    return window != NULL;
}

bool tsdb_offer_turn(struct quarry_tsdb *tsdb)
{
    return tsdb->options.before_purge != NULL && tsdb_durable_is_ready(tsdb->durable) &&
           offer_one(tsdb);
}

uint64_t tsdb_offer_wait_ns(struct quarry_tsdb *tsdb)
{
    (void)tsdb;
    return LOOK_NS;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* Has the windows below a number be at a state or above. Returns: whether one is not over. */
static bool raise_below(struct quarry_tsdb *tsdb, int32_t number_min, enum tsdb_offer state)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    bool has_more = false;

    for (uint32_t i = 0; i < view->window_count && view->windows[i]->number < number_min; i++) {
        (void)offer_raise(view->windows[i], state);
        has_more |= !state_is_over(offer_state(view->windows[i]));
    }
    tsdb_view_release(&tsdb->views, view);
    return has_more;
}

/* Whether the thread that does it may be waited for. */
static bool has_other_thread(const struct quarry_tsdb *tsdb)
{
    return tsdb->offering != NULL && tsdb_durable_is_ready(tsdb->durable);
}

void tsdb_offer_before(struct quarry_tsdb *tsdb, int32_t number_min)
{
    if (tsdb->options.before_purge == NULL) {
        return;
    }
    uint64_t end_ns = os_monotonic_ns(os_real()) + (uint64_t)tsdb->options.purge_wait_ms * Q_MS_NS;
    for (;;) {
        /* Sequentially consistent, as in offer_answer: read before there is a look. */
        uint32_t seen = atomic_load_seq_cst_u32(&tsdb->offer_answers);
        if (!raise_below(tsdb, number_min, TSDB_OFFER_WANTED)) {
            return;
        }
        if (!has_other_thread(tsdb) && offer_one(tsdb)) {
            continue;
        }
        uint64_t now_ns = os_monotonic_ns(os_real());
        if (now_ns >= end_ns) {
            (void)raise_below(tsdb, number_min, TSDB_OFFER_OVER);
            return;
        }
        if (has_other_thread(tsdb)) {
            tsdb_background_wake(tsdb->offering);
        }
        os_futex_wait(&tsdb->offer_answers, seen, end_ns - now_ns);
    }
}
