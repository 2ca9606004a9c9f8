/*
 * Sets that find no cell.
 *
 *     a set ── no cell ──> wakes the turn ──> sleeps ──────────────> tries again ──> cell
 *                              └──> evicts, empties a page ──> tells ──┘
 *
 * Cells run dry where the sizes of what is stored change faster than the turn follows: a page of
 * cells of 64 bytes holds 12,000 items, which is milliseconds of work before it can hold anything
 * else. That is the turn's, in its small pieces, and the set sleeps until a page has become free.
 * So a set costs little CPU whatever it waits for, and who empties pages is not kept from the
 * processor, nor from its locks, by those who wait for him: two writers that did the work
 * themselves, turned away by each other and trying again, stored 21 MB/s where sleeping ones store
 * 300, and one set took a second of CPU.
 *
 * A set works itself where nobody takes turns: the cache has no thread, and no turn was taken
 * while it looked; or while it slept the thread got no processor, or freed nothing for long. It
 * does so in steps, and sees then whether there is anything to free at all: it gives up when there
 * is not, or when readers do not leave for a second. That others have taken what was freed is no
 * reason. Turns are faster than a set that was woken gets the processor: where there is a cell for
 * each that waits they evict nothing more, nor more than a few MiB before readers have left.
 *
 * Who is inside the epoch cannot wait, for it keeps from being used whatever is evicted: it has
 * what is kept aside for it (reserve.c).
 *
 * Locking: none. A page that becomes free between a set's look and its sleep changes the word that
 * it sleeps on.
 */
#include <cache/need.h>

#include <cache/policy.h>
#include <cache/policy_parts.h>
#include <cache/reserve.h>

/* How long a set tries without anything that helps it before it is refused. */
#define TRY_NS    UINT64_C(1000000000)
#define TRIES_MAX 100000u
/* It tries so often however long that takes: where forty others want the processor, each try may
 * wait for its turn of it, as do the readers that are waited for, and a second is five of them. */
#define TRIES_LEAST 64u
/* And how long while turns free what it never gets: on a machine that has no time for them. */
#define LAST_NS UINT64_C(10000000000)
/* Every so many tries threads give up the cells that they keep. */
#define TRIES_PER_TRIM 4u
/* Tries in a row that find nothing to free, before a set is refused. */
#define FUTILE_MAX (2 * TRIES_PER_TRIM)
/* What a set that waits frees at a time, and in all before it only waits for readers. */
#define FREE_AT_ONCE_BYTES Q_MIB(1)
#define FREED_MAX_BYTES    Q_MIB(4)
/* Work at a time. */
#define STEP_WORK 48u
/* The smallest page there is. */
#define LEAST_PAGE_BYTES ((uint64_t)SLAB_PAGE_PAGES_FIRST << PAGE_SHIFT)
/* How long a set sleeps for a page at most: as long as one of small cells takes; and how often,
 * while turns are taken, before it looks whether there is anything to free. */
#define SLEEP_NS   UINT64_C(2000000)
#define SLEEPS_MAX 4u
/* For each set that waits so much more is to be open, up to so much. */
#define NEED_EACH_BYTES Q_KIB(512)
#define NEED_MAX_BYTES  Q_MIB(2)

/* ---- what the turn asks --------------------------------------------------------------------- */

bool cache_need_is_there(const struct cache_need *need)
{
    return atomic_load_relaxed_u32(&need->waiting_count) != 0;
}

uint64_t cache_need_bytes(const struct cache_need *need)
{
    uint64_t count = atomic_load_relaxed_u32(&need->waiting_count);

    return size_min_u64(count * NEED_EACH_BYTES, NEED_MAX_BYTES);
}

bool cache_need_has_cells(struct quarry_cache *cache)
{
    const struct cache_need *need = &cache->policy->need;
    uint32_t class_id = atomic_load_relaxed_u32(&need->class_id);

    return class_id != 0 && slab_class_free_count(cache->slab, class_id) >=
                                atomic_load_relaxed_u32(&need->waiting_count);
}

void cache_need_tell(struct cache_need *need)
{
    /* Release: pairs with the acquire before a set's last look. */
    (void)atomic_add_release_u32(&need->freed_count, 1);
    if (cache_need_is_there(need)) {
        os_futex_wake(&need->freed_count, INT32_MAX);
    }
}

/* ---- own work ------------------------------------------------------------------------------- */

/*
 * Frees a little for who waits: evicts where too little is free, else empties a page of what is.
 * Returns: bytes that were freed; UINT64_MAX: there is nothing to free.
 */
static uint64_t free_some(struct quarry_cache *cache, uint32_t spared_class)
{
    const struct cache_evict_limits limits = {FREE_AT_ONCE_BYTES, STEP_WORK, STEP_WORK};
    enum cache_rebalance_step step = CACHE_REBALANCE_NOTHING;
    struct cache_evicted evicted = {0};

    atomic_bump_relaxed_u32(&cache->policy->need.step_count, 1);
    cache_refill_choose(cache);
    struct cache_room room = cache_room_read(cache);
    if (room.free_bytes >= room.wants_free_bytes || cache->never_evicts) {
        step = cache_rebalance_step(&cache->policy->rebalance, spared_class, true, STEP_WORK);
    }
    bool is_stuck =
        step == CACHE_REBALANCE_NOTHING || cache_rebalance_is_futile(&cache->policy->rebalance);
    if (is_stuck && !cache->never_evicts) { /* so that there is room to move to */
        evicted = cache_refill_evict(cache, &limits);
    }
    if (evicted.work == 0 && step == CACHE_REBALANCE_NOTHING) {
        return UINT64_MAX;
    }
    return evicted.bytes + (step == CACHE_REBALANCE_DONE ? FREE_AT_ONCE_BYTES : 0);
}

static uint32_t class_of(const struct quarry_cache *cache, size_t bytes)
{
    return atomic_load_relaxed_u16(&cache->slab->class_of_step[slab_step(bytes)]);
}

/* One try of a set that waits. Returns: as free_some; 0 when only readers are waited for. */
static uint64_t try_free(struct quarry_cache *cache, size_t bytes, uint32_t tries, bool is_enough)
{
    uint64_t freed = is_enough ? 0 : free_some(cache, class_of(cache, bytes));

    if (tries % TRIES_PER_TRIM == TRIES_PER_TRIM - 1) {
        (void)quarry_slab_trim(cache->slab); /* what other threads keep may be enough */
    } else {
        (void)slab_settle(cache->slab);
    }
    if (freed == 0) {
        os_yield();
    }
    return freed;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* A set that waits. */
struct wait {
    uint64_t stamp, freed_bytes; /* what it has freed since readers that were inside then left */
    uint64_t end_ns;
    uint32_t tries;
    uint32_t futile_count; /* tries in a row that found nothing to free */
    uint32_t sleep_count;  /* in a row, while turns were taken */
    uint32_t turn_count;   /* as it was when it looked last */
    uint32_t work_count;   /* of turns, likewise */
    uint64_t last_ns;      /* when it is enough whatever others do */
    bool is_alone;         /* nobody takes turns */
};

static void wait_restart(struct quarry_cache *cache, struct wait *wait)
{
    wait->stamp = ref_epoch_now(cache->epoch);
    wait->freed_bytes = 0;
    wait->end_ns = size_min_u64(os_monotonic_ns(cache->os) + TRY_NS, wait->last_ns);
}

/*
 * Whether to go on: for as long as what is freed becomes usable, be it that others were there
 * before us; that it does not, or that nothing is freed, for so long and so many tries is the end.
 * Some tries are made whatever the time, up to the last moment.
 */
static bool wait_goes_on(struct quarry_cache *cache, struct wait *wait)
{
    wait->tries++;
    if (wait->freed_bytes != 0 && ref_epoch_is_past(cache->epoch, wait->stamp)) {
        wait_restart(cache, wait);
        wait->tries = 0;
    }
    uint64_t end_ns = wait->tries < TRIES_LEAST ? wait->last_ns : wait->end_ns;

    return wait->futile_count <= FUTILE_MAX && wait->tries < TRIES_MAX &&
           os_monotonic_ns(cache->os) <= end_ns;
}

/* Sleeps for a page. Returns: whether that was of use; else it is for the set to do something. */
static bool wait_sleep(struct quarry_cache *cache, struct wait *wait, uint32_t freed_count)
{
    struct cache_need *need = &cache->policy->need;

    cache_wake(cache);
    os_futex_wait(&need->freed_count, freed_count, SLEEP_NS);
    uint32_t turn_count = atomic_load_relaxed_u32(&need->turn_count);
    bool is_freed = atomic_load_relaxed_u32(&need->freed_count) != freed_count;
    bool are_turns = turn_count != wait->turn_count;

    wait->turn_count = turn_count;
    wait->is_alone = !is_freed && !are_turns && cache->has_no_thread;
    wait->sleep_count = is_freed ? 0 : wait->sleep_count + 1;
    uint32_t work_count = atomic_load_relaxed_u32(&need->work_count);
    if (is_freed || work_count != wait->work_count) {
        wait_restart(cache, wait);
    }
    wait->work_count = work_count;
    return is_freed || (are_turns && wait->sleep_count % SLEEPS_MAX != 0);
}

static void wait_work(struct quarry_cache *cache, size_t bytes, struct wait *wait)
{
    uint64_t enough = FREED_MAX_BYTES + 4 * (uint64_t)bytes;
    /* Where turns are taken, they see to what readers have left; threads are asked for cells. */
    bool is_helped = !wait->is_alone && wait->tries % TRIES_PER_TRIM != TRIES_PER_TRIM - 1;
    bool is_enough = wait->freed_bytes >= enough;
    uint64_t freed = 0;

    if (!is_helped) {
        freed = try_free(cache, bytes, wait->tries, is_enough);
    } else if (!is_enough) {
        freed = free_some(cache, class_of(cache, bytes));
    }

    wait->futile_count = freed == UINT64_MAX ? wait->futile_count + 1 : 0;
    wait->freed_bytes += freed == UINT64_MAX ? 0 : freed;
}

/* A cell, where there is one by now. */
static enum quarry_status take_again(struct quarry_cache *cache, size_t bytes,
                                     struct quarry_cell *ret_cell)
{
    enum quarry_status status = quarry_slab_take(cache->slab, bytes, ret_cell);

    if (status == QUARRY_NO_SPACE) { /* the disk has become smaller than it was a moment ago */
        cache_room_note_refused(cache, status);
    }
    return status;
}

/* Without a thread of the cache's own, its owner's takes turns if some were since the last wait. */
static struct wait wait_begin(struct quarry_cache *cache)
{
    struct cache_need *need = &cache->policy->need;
    struct wait wait = {
        .turn_count = atomic_load_relaxed_u32(&need->turn_count),
        .work_count = atomic_load_relaxed_u32(&need->work_count),
        .last_ns = os_monotonic_ns(cache->os) + LAST_NS,
    };
    bool are_turns = wait.turn_count != atomic_load_relaxed_u32(&need->turn_count_before);

    wait.is_alone = cache->never_evicts || (cache->has_no_thread && !are_turns);
    wait_restart(cache, &wait);
    wait.tries = 1; /* it has just been tried */
    return wait;
}

static void wait_end(struct quarry_cache *cache, const struct wait *wait)
{
    atomic_store_relaxed_u32(&cache->policy->need.turn_count_before, wait->turn_count);
}

/* Turns that another thread takes are as good as those of the cache's. */
static void wait_look_for_turns(struct quarry_cache *cache, struct wait *wait)
{
    uint32_t turn_count = atomic_load_relaxed_u32(&cache->policy->need.turn_count);

    if (turn_count != wait->turn_count && !cache->never_evicts) {
        wait->is_alone = false;
        wait->turn_count = turn_count;
    }
}

/*
 * Whether it is worth trying again: what the slab does where it has none, other threads' cells
 * included, is some 30 µs, and a set may be woken often. Now and then it is tried all the same.
 */
static bool has_hope(struct quarry_cache *cache, size_t bytes, const struct wait *wait)
{
    uint64_t limit = cache_room_hard_limit(cache);
    uint64_t charged = atomic_load_relaxed_u64(&cache->account->charged_bytes);
    uint64_t page_bytes = cache_reserve_bytes(cache, limit) + LEAST_PAGE_BYTES;
    uint32_t class_id = class_of(cache, bytes);

    return wait->is_alone || wait->tries % TRIES_PER_TRIM == 0 || class_id == 0 ||
           sat_sub_u64(limit, charged) >= page_bytes ||
           slab_class_free_count(cache->slab, class_id) != 0;
}

static enum quarry_status take_outside(struct quarry_cache *cache, size_t bytes,
                                       struct quarry_cell *ret_cell)
{
    struct cache_need *need = &cache->policy->need;
    enum quarry_status status = QUARRY_NO_MEMORY;
    struct wait wait = wait_begin(cache);

    (void)atomic_add_relaxed_u32(&need->waiting_count, 1);
    do {
        atomic_store_relaxed_u32(&need->class_id, class_of(cache, bytes));
        /* Acquire: pairs with the release of who frees a page; what he freed is seen below. */
        uint32_t freed_count = atomic_load_acquire_u32(&need->freed_count);
        status = has_hope(cache, bytes, &wait) ? take_again(cache, bytes, ret_cell) : status;
        if (status == QUARRY_OK) {
            break;
        }
        if (wait.is_alone || !wait_sleep(cache, &wait, freed_count)) {
            wait_work(cache, bytes, &wait);
            wait_look_for_turns(cache, &wait);
        }
    } while (wait_goes_on(cache, &wait));
    (void)atomic_sub_relaxed_u32(&need->waiting_count, 1);
    wait_end(cache, &wait);
    return status;
}

/* Likewise for who is inside, and cannot wait: what it evicts is for those who come later. */
static enum quarry_status take_inside(struct quarry_cache *cache, size_t bytes,
                                      struct quarry_cell *ret_cell)
{
    enum quarry_status status = cache_reserve_take_larger(cache, bytes, ret_cell);

    for (uint32_t tries = 0; status != QUARRY_OK && tries < TRIES_PER_TRIM; tries++) {
        (void)try_free(cache, bytes, tries, false);
        status = take_again(cache, bytes, ret_cell);
        if (status != QUARRY_OK) {
            status = cache_reserve_take_larger(cache, bytes, ret_cell);
        }
    }
    return status;
}

Q_COLD enum quarry_status cache_need_take(struct quarry_cache *cache, size_t bytes,
                                          enum quarry_status status, struct quarry_cell *ret_cell)
{
    cache_room_note_refused(cache, status);
    cache_wake(cache);
    return cache_is_inside(cache) ? take_inside(cache, bytes, ret_cell)
                                  : take_outside(cache, bytes, ret_cell);
}
