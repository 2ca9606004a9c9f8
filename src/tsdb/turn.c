/*
 * Turns: everything that changes which windows there are, and what they are made of.
 *
 *     a request needs a window ──> make_window: seal what is due if too many are open,
 *                                               make it, purge what is too old
 *     a thread, or quarry_tsdb_turn ──> settle what is pending, or seal one shard that is due,
 *                                       or look at a slice of series
 *     a request finds no memory ──> relieve: seal one shard early, or purge the oldest window
 *
 * A window is due when the store's time has passed its end by the grace: then no rule lets a sample
 * into it. It is purged when another one is made that is too many windows after it; time does not
 * advance but by samples, and these need their window, so there is no other moment.
 *
 * Who makes a window while TSDB_OPEN_WINDOWS_MAX are open seals what is due himself. That does not
 * happen to a store that is written to as time goes by: there a window has been sealed hours before
 * the next one begins. It bounds the open windows of one that is filled as fast as it takes it.
 *
 * Sealing early takes windows whose end has passed, and refuses what would have come late to them.
 * Before a window is purged it is offered, where somebody wants to know (offer.c); that is waited
 * for without the mutex.
 *
 * A window that is sealed is filled by a new one in its place, whose base it becomes (window.h): a
 * request that may bring samples of so long ago asks for it. It takes them as late ones, whatever
 * the order, and is sealed anew, base and all, when nothing has come for options.fill_quiet_ms or
 * memory is wanted. What comes while it is being sealed waits for that, and fills it once more.
 * One with many samples of one series may want more memory for it than there is: it waits, longer
 * each time, and the windows behind it are sealed meanwhile.
 *
 * The newest window is never sealed and never purged: it is what known series go on in.
 *
 * Locking: turn_mutex, which all of this holds; memory is taken under it, so its rank is below all
 * that reclaimers take. Held for one shard's sealing at a time, some milliseconds, but when windows
 * are made as above.
 */
#include <tsdb/turn.h>

#include <tsdb/background.h>
#include <tsdb/durable.h>
#include <tsdb/offer.h>

/* Times that who makes a window lets others run, so that they leave what is to be sealed. A window
 * is 64 shards, and most of them wait for nobody. */
#define HELP_WAITS_MAX 256u
/* The same of who wants a window sealed and has the time: a reader decodes a block meanwhile. */
#define SEAL_WAITS_MAX 100000u

/* How long to wait for readers; for a request or memory, where each try may cost a shard's sealing;
 * and for what nobody tells of, a query that let go of a window. */
#define PENDING_NS UINT64_C(1000000)
#define DUE_NS     UINT64_C(50000000)
#define IDLE_NS    UINT64_C(1000000000)

/* How long a filling is left alone that could not be sealed for want of memory: at first, and at
 * most. Each try decodes a shard as far as memory goes, and holds the mutex meanwhile. */
#define PAUSE_NS     UINT64_C(50000000)
#define PAUSE_MAX_NS UINT64_C(30000000000)

/* What a piece of work came to. */
enum piece {
    PIECE_NONE, /* there was none */
    PIECE_DONE,
    PIECE_LATER,  /* there is some, which waits for readers or a request */
    PIECE_FAILED, /* for memory */
};

/* ---- which window --------------------------------------------------------------------------- */

static bool window_is_open(const struct tsdb_window *window)
{
    return atomic_load_acquire_u64(&window->sealed_mask) != UINT64_MAX;
}

/* Whether it was sealed, and is filled. */
static bool window_is_filling(const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);

    return window_is_open(window) && open != NULL && tsdb_open_base(open) != NULL;
}

/* Whether nothing has come to a filling for a while, or some of it is sealed already. */
static bool filling_is_due(const struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    const struct tsdb_open *open = tsdb_window_open(window);
    /* Relaxed: only a number. */
    uint64_t now_ns = os_monotonic_ns(os_real());
    uint64_t filled_ns = atomic_load_relaxed_u64(&open->filled_ns); /* by now, or just after */
    uint64_t quiet_ns = now_ns > filled_ns ? now_ns - filled_ns : 0;

    return atomic_load_acquire_u64(&window->sealed_mask) != 0 ||
           quiet_ns >= (uint64_t)tsdb->options.fill_quiet_ms * Q_MS_NS;
}

/* Whether a filling could not be sealed, and is not tried again yet. */
static bool filling_is_paused(const struct tsdb_window *window)
{
    return os_monotonic_ns(os_real()) < tsdb_window_open(window)->retry_ns;
}

/* A filling could not be sealed: each time it is left alone for twice as long. */
static void filling_pause(struct quarry_tsdb *tsdb, struct tsdb_window *window)
{
    struct tsdb_open *open = tsdb_window_open(window);
    uint64_t pause_ns = 2 * open->pause_ns;

    open->pause_ns = pause_ns == 0 ? PAUSE_NS : size_min_u64(pause_ns, PAUSE_MAX_NS);
    open->retry_ns = os_monotonic_ns(os_real()) + open->pause_ns;
    (void)atomic_add_relaxed_u64(&tsdb->counters.filling_failed_count, 1);
}

/* When a window is due. Saturates. */
static int64_t window_due_ms(const struct quarry_tsdb *tsdb, const struct tsdb_window *window)
{
    int64_t due_ms;

    return __builtin_add_overflow(window->end_ms, tsdb->grace_ms, &due_ms) ? INT64_MAX : due_ms;
}

/* Whether a window is open and is to be sealed: its end has passed by the grace, or its end alone
 * where memory is wanted, and it is not the newest; or it is filled, is quiet, and was not found
 * wanting memory a moment ago. */
static bool window_is_wanted(struct quarry_tsdb *tsdb, const struct tsdb_view *view, uint32_t index,
                             bool is_due)
{
    const struct tsdb_window *window = view->windows[index];
    int64_t end_ms = is_due ? window_due_ms(tsdb, window) : window->end_ms;

    if (!window_is_open(window)) {
        return false;
    }
    if (window_is_filling(window)) {
        return !filling_is_paused(window) && (!is_due || filling_is_due(tsdb, window));
    }
    return index + 1 < view->window_count && tsdb_time_ms(tsdb) >= end_ms;
}

/* When the next window will be due. */
static void due_update(struct quarry_tsdb *tsdb)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    int64_t due_ms = INT64_MAX;

    for (uint32_t i = 0; i + 1 < view->window_count; i++) {
        if (window_is_open(view->windows[i]) && !window_is_filling(view->windows[i]) &&
            window_due_ms(tsdb, view->windows[i]) < due_ms) {
            due_ms = window_due_ms(tsdb, view->windows[i]);
        }
    }
    atomic_store_relaxed_i64(&tsdb->due_ms, due_ms); /* only a number */
    tsdb_view_release(&tsdb->views, view);
}

bool tsdb_turn_is_due(struct quarry_tsdb *tsdb)
{
    return tsdb_time_ms(tsdb) >= atomic_load_relaxed_i64(&tsdb->due_ms);
}

/* ---- sealing -------------------------------------------------------------------------------- */

/* Seals one shard of a window: the first that no request is in. */
static enum piece window_seal(struct quarry_tsdb *tsdb, struct tsdb_view *view,
                              struct tsdb_window *window)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t shard = 0; shard < TSDB_SHARD_COUNT; shard++) {
        if (tsdb_window_is_sealed(window, shard)) {
            continue;
        }
        enum tsdb_sealed sealed = tsdb_seal_shard(tsdb, view, window, shard, &status);
        if (sealed == TSDB_SEALED) {
            (void)tsdb_seal_settle(tsdb);
            return PIECE_DONE;
        }
        if (sealed == TSDB_SEAL_FAILED) {
            return PIECE_FAILED;
        }
    }
    return PIECE_LATER;
}

/* Seals one shard of the oldest window that is due, or has ended, and can be sealed: what wants
 * more memory than there is does not keep the others from giving theirs. */
static enum piece windows_seal(struct quarry_tsdb *tsdb, struct tsdb_view *view, bool is_due)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    enum piece piece = PIECE_NONE;

    for (uint32_t i = 0; i < view->window_count && piece != PIECE_DONE; i++) {
        struct tsdb_window *window = view->windows[i];
        if (!window_is_wanted(tsdb, view, i, is_due)) {
            continue;
        }
        enum piece own = window_seal(tsdb, view, window);
        if (own == PIECE_FAILED && window_is_filling(window)) {
            filling_pause(tsdb, window);
        }
        /* What waits for a request may go on without memory. */
        piece = own == PIECE_FAILED && piece == PIECE_LATER ? PIECE_LATER : own;
    }
    return piece;
}

/* Seals one shard of what is due, or of what has ended. */
static enum piece seal_locked(struct quarry_tsdb *tsdb, bool is_due) Q_REQUIRES(&tsdb->turn_mutex)
{
    if (!tsdb_seal_settle(tsdb)) {
        return PIECE_LATER;
    }
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    enum piece piece = windows_seal(tsdb, view, is_due);
    if (piece != PIECE_DONE) { /* else it is the sealing's */
        tsdb_view_release(&tsdb->views, view);
    }
    return piece;
}

static enum piece turn_locked(struct quarry_tsdb *tsdb) Q_REQUIRES(&tsdb->turn_mutex)
{
    bool was_pending = tsdb->sealing.view != NULL;
    bool is_settled = tsdb_seal_settle(tsdb);
    enum piece piece = is_settled && was_pending ? PIECE_DONE : seal_locked(tsdb, true);

    if (piece != PIECE_DONE && tsdb_remove_slice(tsdb)) {
        return PIECE_DONE;
    }
    due_update(tsdb);
    return piece;
}

bool quarry_tsdb_turn(struct quarry_tsdb *tsdb)
{
    /* Files first: what is being replayed must not be sealed meanwhile. */
    if (tsdb->durable != NULL &&
        (tsdb_durable_turn(tsdb->durable) || !tsdb_durable_is_ready(tsdb->durable))) {
        return true;
    }
    os_mutex_lock(&tsdb->turn_mutex);
    enum piece piece = turn_locked(tsdb);
    os_mutex_unlock(&tsdb->turn_mutex);
    return piece == PIECE_DONE || (tsdb->offering == NULL && tsdb_offer_turn(tsdb));
}

uint64_t tsdb_turn_wait_ns(struct quarry_tsdb *tsdb)
{
    os_mutex_lock(&tsdb->turn_mutex);
    uint64_t wait_ns = IDLE_NS;
    if (tsdb->sealing.view != NULL) {
        wait_ns = PENDING_NS;
    } else if (tsdb_turn_is_due(tsdb)) {
        wait_ns = DUE_NS;
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return wait_ns;
}

/* ---- making and purging --------------------------------------------------------------------- */

static uint32_t open_window_count(struct quarry_tsdb *tsdb)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    uint32_t count = 0;

    for (uint32_t i = 0; i < view->window_count; i++) {
        count += window_is_open(view->windows[i]) && !window_is_filling(view->windows[i]);
    }
    tsdb_view_release(&tsdb->views, view);
    return count;
}

/* Ends the windows below a number, beside one that is added or not. */
static enum quarry_status views_change(struct quarry_tsdb *tsdb, struct tsdb_window *added,
                                       int32_t number_min, uint32_t *ret_purged_count)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    uint32_t untaken_count = tsdb_offer_untaken_count(tsdb, number_min);
    enum quarry_status status =
        tsdb_views_change(&tsdb->views, added, number_min, ret_purged_count);

    if (status == QUARRY_OK) {
        (void)atomic_add_relaxed_u64(&tsdb->counters.purged_window_count, *ret_purged_count);
        (void)atomic_add_relaxed_u64(&tsdb->counters.untaken_window_count, untaken_count);
    }
    return status;
}

/* The number of the newest window; INT32_MIN: there is none. */
static int32_t newest_number(struct quarry_tsdb *tsdb)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    int32_t number =
        view->window_count == 0 ? INT32_MIN : view->windows[view->window_count - 1]->number;

    tsdb_view_release(&tsdb->views, view);
    return number;
}

/* The lowest number of a window that is kept when `number` is made. */
static int32_t kept_min(struct quarry_tsdb *tsdb, int32_t number)
{
    int32_t newest = newest_number(tsdb);
    int64_t kept = (int64_t)(newest > number ? newest : number) - tsdb->options.window_count;

    return kept < INT32_MIN ? INT32_MIN : (int32_t)kept;
}

static bool window_is_there(struct quarry_tsdb *tsdb, int32_t number)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    bool is_there = tsdb_view_find(view, number) != NULL;

    tsdb_view_release(&tsdb->views, view);
    return is_there;
}

static enum quarry_status make_locked(struct quarry_tsdb *tsdb, int32_t number)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    int32_t number_min = kept_min(tsdb, number);
    struct tsdb_window *window = NULL;
    uint32_t purged_count = 0;

    if (number < number_min ||
        (tsdb->durable != NULL && tsdb_durable_has_file(tsdb->durable, number))) {
        return QUARRY_OK; /* it would be purged at once; or was, and its file is still there */
    }
    enum quarry_status status = tsdb_window_create(&tsdb->window_options, number, &window, NULL);
    if (status != QUARRY_OK) {
        return status;
    }
    status = views_change(tsdb, window, number_min, &purged_count);
    if (status != QUARRY_OK) {
        tsdb_window_destroy(window);
        return status;
    }
    due_update(tsdb);
    return QUARRY_OK;
}

/* Seals what is due while too many windows are open; for readers and requests it waits a while. */
static void help_locked(struct quarry_tsdb *tsdb) Q_REQUIRES(&tsdb->turn_mutex)
{
    uint32_t wait_count = 0;

    while (open_window_count(tsdb) >= TSDB_OPEN_WINDOWS_MAX && wait_count < HELP_WAITS_MAX) {
        enum piece piece = seal_locked(tsdb, true);
        if (piece == PIECE_NONE || piece == PIECE_FAILED) {
            return;
        }
        if (piece == PIECE_LATER) {
            wait_count++;
            os_yield();
        }
    }
}

enum quarry_status tsdb_turn_make_window(struct quarry_tsdb *tsdb, int32_t number)
{
    enum quarry_status status = QUARRY_OK;

    tsdb_offer_before(tsdb, kept_min(tsdb, number));
    os_mutex_lock(&tsdb->turn_mutex);
    help_locked(tsdb);
    if (!window_is_there(tsdb, number)) {
        status = make_locked(tsdb, number);
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    if (tsdb->background != NULL) {
        tsdb_background_wake(tsdb->background); /* series may have lost their last window */
    }
    return status;
}

/* ---- filling -------------------------------------------------------------------------------- */

/* Has a window take the place of one that is sealed. */
static enum quarry_status fill_begin(struct quarry_tsdb *tsdb, struct tsdb_window *base)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    struct tsdb_window *filling = NULL;
    enum quarry_status status =
        tsdb_window_create(&tsdb->window_options, base->number, &filling, NULL);

    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_open *open = tsdb_window_open(filling);
    for (uint32_t i = 0; i < TSDB_SHARD_COUNT; i++) {
        tsdb_sealed_extent(base, i, &open->base.from[i], &open->base.to[i]);
    }
    atomic_store_relaxed_u64(&open->filled_ns, os_monotonic_ns(os_real()));
    filling->is_refilled = true;
    filling->fill_number = base->fill_number + 1;
    if (tsdb->durable != NULL) { /* before anybody can append */
        tsdb_durable_begin_filling(tsdb->durable, base->number);
    }
    status = tsdb_views_fill(&tsdb->views, filling, base);
    if (status != QUARRY_OK) {
        tsdb_window_destroy(filling);
        return status;
    }
    (void)atomic_add_relaxed_u64(&tsdb->counters.filling_count, 1);
    return QUARRY_OK;
}

/* One step on the way to a filling. */
static enum piece fill_step(struct quarry_tsdb *tsdb, int32_t number,
                            enum quarry_status *ret_status) Q_REQUIRES(&tsdb->turn_mutex)
{
    if (!tsdb_seal_settle(tsdb)) {
        return PIECE_LATER;
    }
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    struct tsdb_window *window = tsdb_view_find(view, number);
    enum piece piece = PIECE_NONE;
    bool is_given = false;

    if (window != NULL && !window_is_open(window)) {
        *ret_status = fill_begin(tsdb, window);
    } else if (window != NULL && atomic_load_acquire_u64(&window->sealed_mask) != 0) {
        piece = window_seal(tsdb, view, window);
        is_given = piece == PIECE_DONE; /* to the sealing */
    }
    if (!is_given) {
        tsdb_view_release(&tsdb->views, view);
    }
    return piece;
}

enum quarry_status tsdb_turn_fill_window(struct quarry_tsdb *tsdb, int32_t number)
{
    enum quarry_status status = QUARRY_OK;
    enum piece piece = PIECE_DONE;

    os_mutex_lock(&tsdb->turn_mutex);
    for (uint32_t waits = 0; piece != PIECE_NONE && status == QUARRY_OK;) {
        piece = fill_step(tsdb, number, &status);
        if (piece == PIECE_FAILED) {
            status = QUARRY_NO_MEMORY;
        } else if (piece == PIECE_LATER) {
            status = ++waits > HELP_WAITS_MAX ? QUARRY_BUSY : QUARRY_OK;
            os_yield();
        }
    }
    os_mutex_unlock(&tsdb->turn_mutex);
    return status;
}

/* One shard on the way to a window that is sealed. */
static enum piece seal_step(struct quarry_tsdb *tsdb, int32_t number) Q_REQUIRES(&tsdb->turn_mutex)
{
    if (!tsdb_seal_settle(tsdb)) {
        return PIECE_LATER;
    }
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    struct tsdb_window *window = tsdb_view_find(view, number);
    enum piece piece =
        window == NULL || !window_is_open(window) ? PIECE_NONE : window_seal(tsdb, view, window);
    if (piece != PIECE_DONE) { /* else it is the sealing's */
        tsdb_view_release(&tsdb->views, view);
    }
    return piece;
}

enum quarry_status tsdb_turn_seal_window(struct quarry_tsdb *tsdb, int32_t number)
{
    enum quarry_status status = QUARRY_OK;
    enum piece piece = PIECE_DONE;

    for (uint32_t waits = 0; piece != PIECE_NONE && status == QUARRY_OK;) {
        os_mutex_lock(&tsdb->turn_mutex);
        piece = seal_step(tsdb, number);
        os_mutex_unlock(&tsdb->turn_mutex);
        if (piece == PIECE_FAILED) {
            status = QUARRY_NO_MEMORY;
        } else if (piece == PIECE_LATER) {
            status = ++waits > SEAL_WAITS_MAX ? QUARRY_BUSY : QUARRY_OK;
            os_yield();
        }
    }
    return status;
}

/* The number of the oldest window of several; INT32_MAX: there are no several. `ret_is_offered`:
 * whether it may be purged. */
static int32_t oldest_number(struct quarry_tsdb *tsdb, bool *ret_is_offered)
{
    struct tsdb_view *view = tsdb_view_acquire(&tsdb->views);
    int32_t number = view->window_count > 1 ? view->windows[0]->number : INT32_MAX;

    *ret_is_offered = number == INT32_MAX || tsdb_offer_is_over(tsdb, view->windows[0]);
    tsdb_view_release(&tsdb->views, view);
    return number;
}

static enum quarry_status purge_oldest_locked(struct quarry_tsdb *tsdb)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    bool is_offered = false;
    int32_t number = oldest_number(tsdb, &is_offered);
    uint32_t purged_count = 0;

    if (number == INT32_MAX) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status = views_change(tsdb, NULL, number + 1, &purged_count);
    (void)atomic_add_relaxed_u64(&tsdb->counters.early_window_count, purged_count);
    return status;
}

/* Has the oldest window offered, if there is one that may be purged. */
static void offer_oldest(struct quarry_tsdb *tsdb)
{
    bool is_offered = false;
    int32_t number = oldest_number(tsdb, &is_offered);

    if (!is_offered) {
        tsdb_offer_before(tsdb, number + 1);
    }
}

enum quarry_status quarry_tsdb_purge_oldest(struct quarry_tsdb *tsdb)
{
    offer_oldest(tsdb);
    os_mutex_lock(&tsdb->turn_mutex);
    enum quarry_status status = purge_oldest_locked(tsdb);
    due_update(tsdb);
    os_mutex_unlock(&tsdb->turn_mutex);
    return status;
}

/* ---- want of memory ------------------------------------------------------------------------- */

/* Seals early, or purges. PIECE_LATER: the window has to be offered first. */
static enum piece relieve_locked(struct quarry_tsdb *tsdb, enum tsdb_relief relief)
    Q_REQUIRES(&tsdb->turn_mutex)
{
    bool is_offered = false;

    if (seal_locked(tsdb, false) == PIECE_DONE) {
        (void)atomic_add_relaxed_u64(&tsdb->counters.early_shard_count, 1);
        return PIECE_DONE;
    }
    if (relief != TSDB_RELIEF_PURGE || tsdb->options.keeps_oldest) {
        return PIECE_NONE;
    }
    (void)oldest_number(tsdb, &is_offered);
    if (!is_offered) {
        return PIECE_LATER;
    }
    return purge_oldest_locked(tsdb) == QUARRY_OK ? PIECE_DONE : PIECE_NONE;
}

bool tsdb_turn_relieve(struct quarry_tsdb *tsdb, enum tsdb_relief relief)
{
    os_mutex_lock(&tsdb->turn_mutex);
    bool is_settled = tsdb_seal_settle(tsdb);
    enum piece piece = is_settled ? relieve_locked(tsdb, relief) : PIECE_NONE;
    os_mutex_unlock(&tsdb->turn_mutex);
    if (!is_settled) {
        os_yield(); /* a reader is about to leave, and a shard's chunklets come back */
    } else if (piece == PIECE_LATER) {
        offer_oldest(tsdb);
    }
    return piece != PIECE_NONE || !is_settled;
}
