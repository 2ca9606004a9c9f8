/*
 * Bins: where a thread's small objects come from, and what becomes of spans.
 *
 *              take a word                    all words empty
 *   PARTIAL ------------------> CURRENT ------------------------> FULL
 *      ^  |                                                        |
 *      |  '--- every object free: kept, or its pages go back       |
 *      '-------------------- a quarter is free <-------------------'
 *
 * A bin holds the free objects of one word of its current span's bitmap, taken out of it.
 * Allocating touches the bin alone; the thread's frees set bits in the span. The two meet here,
 * once for each word. That keeps the next allocation from waiting for the last free, as it would if
 * both went through one word, and counts what was allocated without counting it.
 *
 * A span's `left` counts its owner's frees down to when somebody should look: until a full one is
 * worth allocating from, until a partial one is empty. A current one is never looked at, so a
 * program that allocates and frees one object does not make and unmake a span each time.
 *
 * Other threads' frees set bits in `remote` and mail the span to its bins, once until these look.
 * Mailboxes are stacks of records; a record is in one at a time, and stays a record whatever
 * becomes of its span, so that whoever is late with its mail finds a record still: it mails a span
 * that somebody else has by then, which does no harm. For the same reason bins are never unmapped.
 *
 * Sampling costs nothing here until its time comes: taking a word counts its bytes, and when the
 * next sample lies in it, the bin gets only the objects before that one; the rest is `held`. The
 * fast path then fails at exactly the object to be sampled.
 *
 * Invariants
 *   1. Every span of the bins is current in one bin, or in one list: partial[class], or full.
 *   2. mask and held are of the current span's word `word`, and clear in its `free`.
 *   3. A span's owner is the thread's pointer, with MEM_OWNER_WATCHED while it has samples and
 *      always in hardened heaps; spans of central bins have none, so that all of their frees are
 *      remote.
 *   4. PARTIAL: left == objects neither free nor merged. CURRENT: left > 2^29.
 *
 * Locking: inside the thread's gate, or under the pool's mutex for central bins. Pages are taken
 * and given back outside of both: reclaim may come by here. A signal handler that finds its own
 * thread inside takes single objects from the central bins.
 */
#include <mem/bins.h>

#include <string.h>

#include <mem/hardened.h>
#include <mem/object.h>
#include <mem/panic.h>

/* Full spans that are looked through for free objects, and the longest pause in between. */
#define FULL_SCAN_MAX       8u
#define FULL_SCAN_PAUSE_MAX 31u

/* Its mask is empty for ever: the first allocation of every class is a slow one. */
static struct mem_bin bin_none;

/* clang-format off */
struct mem_bins mem_bins_none = {.direct = {[0 ... MEM_FINE_SLOTS - 1] = &bin_none}};
/* clang-format on */

_Thread_local struct mem_bins *mem_door = &mem_bins_none;

/* Only the general pool has objects coming and going all the time. */
static uint32_t idle_pages_for(const struct mem_pool *pool)
{
    uint64_t limit_bytes = page_commit_read(&pool->heap->pages->commit).limit_bytes;
    uint64_t page_count = limit_bytes / MEM_IDLE_BUDGET_SHARE >> PAGE_SHIFT;

    if (pool != pool->heap->general_pool && pool->heap->general_pool != NULL) {
        return MEM_IDLE_PAGES_LEAST;
    }
    page_count = size_max_u64(page_count, MEM_IDLE_PAGES_LEAST);
    return (uint32_t)size_min_u64(page_count, MEM_IDLE_PAGES_MOST);
}

void mem_bins_init(struct mem_bins *bins, struct mem_thread *thread, struct mem_pool *pool)
{
    bool is_reused = bins->pool == pool;

    /*
     * All but the mailbox, which stays closed until the end, and the pool: somebody may be late
     * with his mail, and look at them.
     */
    memset(bins->bin, 0, sizeof(bins->bin));
    memset(&bins->thread, 0,
           offsetof(struct mem_bins, mailbox) - offsetof(struct mem_bins, thread));
    bins->thread = thread;
    if (!is_reused) {
        bins->pool = pool;
    }
    bins->idle_pages_max = idle_pages_for(pool);
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        bins->bin[class].size_bytes = mem_size_class[class].size_bytes;
        bins->bin[class].word_count = mem_size_class[class].word_count;
    }
    for (uint32_t slot = 0; slot < MEM_FINE_SLOTS; slot++) {
        bins->direct[slot] = &bins->bin[mem_class_fine[slot]];
    }
    /* Release: pairs with the acquire in mem_bins_mail, which may have an old pointer to them. */
    atomic_store_release_u32(&bins->mailbox, MEM_MAIL_END);
}

/* ---- samples -------------------------------------------------------------------------------- */

/* Gives the bin what of `mask` comes before the next sample. */
static void bin_give(struct mem_thread *thread, struct mem_bin *bin, uint64_t mask)
{
    int64_t bytes = (int64_t)(bits_count_u64(mask) * bin->size_bytes);

    bin->mask = mask;
    bin->held = 0;
    if (Q_LIKELY(bytes <= thread->sample_left)) {
        thread->sample_left -= bytes;
        return;
    }
    /* The object that contains the byte at which the gap ends is the sample. */
    int64_t before_count = thread->sample_left / (int64_t)bin->size_bytes;
    uint64_t rest = mask;
    for (int64_t i = 0; i < before_count; i++) {
        rest &= rest - 1;
    }
    bin->held = rest;
    bin->mask = mask & ~rest;
    thread->sample_left = 0;
}

/* The place of an index among the samples that the span names, or of MEM_SPAN_SAMPLE_NONE. */
static uint16_t *span_sample(struct mem_span *span, uint64_t index)
{
    struct mem_span_cold *cold = mem_span_cold(span);

    for (uint32_t i = 0; i < MEM_SPAN_SAMPLES; i++) {
        if (cold->sampled[i] == index) {
            return &cold->sampled[i];
        }
    }
    return NULL;
}

static void span_note_sample(struct mem_span *span, uint64_t index)
{
    struct mem_span_cold *cold = mem_span_cold(span);
    uint8_t count = atomic_load_relaxed_u8(&cold->sample_count);
    uint16_t *place =
        count == MEM_SPAN_SAMPLES_LOST ? NULL : span_sample(span, MEM_SPAN_SAMPLE_NONE);

    if (place == NULL) {
        atomic_store_relaxed_u8(&cold->sample_count, MEM_SPAN_SAMPLES_LOST);
    } else {
        *place = (uint16_t)index;
        atomic_store_relaxed_u8(&cold->sample_count, (uint8_t)(count + 1));
    }
    uintptr_t owner = atomic_load_relaxed_uptr(&span->owner);
    atomic_store_relaxed_uptr(&span->owner, owner | MEM_OWNER_WATCHED);
}

/* Whether the object may be a sample; it is none from here on. */
static bool span_forget_sample(struct mem_span *span, uint64_t index)
{
    struct mem_span_cold *cold = mem_span_cold(span);
    uint8_t count = atomic_load_relaxed_u8(&cold->sample_count);
    uint16_t *place = span_sample(span, index);

    if (count == MEM_SPAN_SAMPLES_LOST) {
        return true;
    }
    if (place != NULL) {
        *place = MEM_SPAN_SAMPLE_NONE;
        atomic_store_relaxed_u8(&cold->sample_count, --count);
    }
    if (count == 0 && !mem_span_pool(span)->heap->is_hardened) {
        uintptr_t owner = atomic_load_relaxed_uptr(&span->owner);
        atomic_store_relaxed_uptr(&span->owner, owner & ~MEM_OWNER_WATCHED);
    }
    return place != NULL;
}

/* The first held object, which is a sample, unless there are none now; the rest goes to the bin. */
static void *bin_take_held(struct mem_thread *thread, struct mem_bin *bin, bool *ret_is_sample)
{
    uint64_t held = bin->held, index = bin->word * 64u + bits_trailing_zeros_u64(held);

    *ret_is_sample = thread->is_sampling;
    mem_thread_draw_gap(thread);
    bin_give(thread, bin, held & (held - 1));
    if (*ret_is_sample) {
        span_note_sample(bin->span, index);
    }
    return mem_span_object(bin->span, index);
}

/* ---- taking --------------------------------------------------------------------------------- */

/* A word of the current span, which has free objects, goes to the bin. */
static inline void bin_take_this_word(struct mem_bins *bins, struct mem_bin *bin, uint32_t word,
                                      uint64_t mask)
{
    struct mem_span *span = bin->span;
    struct mem_span_cold *cold = mem_span_cold(span);

    atomic_store_relaxed_u64(mem_span_free(span, word), 0);
    bin->word = (uint8_t)word;
    bin->base = cold->start + (uint64_t)word * 64 * bin->size_bytes;
    bin->is_fresh = (cold->fresh >> word & 1) != 0;
    cold->fresh &= (uint16_t) ~(1u << word);
    bin->taken_count += bits_count_u64(mask);
    /* A child of a fork at this moment must not find the new mask with the old word. */
    atomic_compiler_barrier();
    bin_give(bins->thread, bin, mask);
}

/*
 * The lowest word of the current span that has free objects goes to the bin, without a look at what
 * others freed. Outside the gate, too: collectors leave current spans alone, and a fork at the
 * wrong moment loses the child some free objects.
 */
static inline bool bin_take_word(struct mem_bins *bins, struct mem_bin *bin)
{
    for (uint32_t word = 0; word < bin->word_count; word++) {
        uint64_t mask = atomic_load_relaxed_u64(mem_span_free(bin->span, word));
        if (mask != 0) {
            bin_take_this_word(bins, bin, word, mask);
            return true;
        }
    }
    return false;
}

static inline void *bin_pop(struct mem_bin *bin)
{
    uint64_t mask = bin->mask;

    bin->mask = mask & (mask - 1);
    return bin->base + mem_lowest_bit(mask) * bin->size_bytes;
}

void *mem_bins_take_quickly(struct mem_bins *bins, struct mem_bin *bin)
{
    if (bin->mask == 0 &&
        (bin->held != 0 || bin->span == NULL || !bin_take_word(bins, bin) || bin->mask == 0)) {
        return NULL;
    }
    void *object = bin_pop(bin);
    /* So that the next one finds the fast path again, if that costs next to nothing. */
    if (bin->mask == 0 && bin->held == 0) {
        (void)bin_take_word(bins, bin);
    }
    return object;
}

static void span_make_current(struct mem_bins *bins, struct mem_bin *bin, struct mem_span *span)
{
    uint32_t page_count = mem_size_class[mem_span_class(span)].page_count;
    if (atomic_load_relaxed_i32(&span->left) == 0) { /* it was empty */
        bins->idle_pages -= page_count < bins->idle_pages ? page_count : bins->idle_pages;
    }
    mem_bins_unlink(bins, &bins->partial[mem_span_class(span)], span);
    mem_span_set_state(span, MEM_SPAN_CURRENT);
    atomic_store_relaxed_i32(&span->left, MEM_SPAN_LEFT_CURRENT);
    bin->span = span;
}

/* The current span has nothing left: it becomes a full one. */
static void bin_put_aside(struct mem_bins *bins, struct mem_bin *bin)
{
    struct mem_span *span = bin->span;

    mem_span_set_state(span, MEM_SPAN_FULL);
    atomic_store_relaxed_i32(&span->left, mem_size_class[mem_span_class(span)].ready_count);
    mem_bins_link(bins, &bins->full[mem_span_class(span)], span);
    bin->span = NULL;
}

/*
 * Full spans have up to a quarter of their objects free. Before a class takes new pages, a few of
 * its full ones are looked through for free objects; where there are none, less and less often.
 */
static bool bins_scan_full(struct mem_bins *bins, uint32_t class)
{
    mem_ref ref = bins->full[class];

    if (bins->scan_pause[class] > 0) {
        bins->scan_pause[class]--;
        return false;
    }
    for (uint32_t i = 0; ref != 0 && i < FULL_SCAN_MAX; i++) {
        struct mem_span *span = mem_map_span(mem_bins_map(bins), ref);
        (void)mem_span_merge_remote(span);
        uint32_t free_count = mem_span_count_free(span);
        if (free_count > 0) {
            mem_bins_unlink(bins, &bins->full[class], span);
            mem_span_set_state(span, MEM_SPAN_PARTIAL);
            mem_bins_link(bins, &bins->partial[class], span);
            atomic_store_relaxed_i32(&span->left, (int32_t)((uint32_t)span->capacity - free_count));
            bins->scan_step[class] = 0;
            return true;
        }
        ref = mem_span_cold(span)->next;
    }
    bins->scan_step[class] =
        (uint8_t)size_min(bins->scan_step[class] * 2u + 1, FULL_SCAN_PAUSE_MAX);
    bins->scan_pause[class] = bins->scan_step[class];
    return false;
}

/* A span of the class that nobody owned becomes the thread's. */
static bool bins_adopt(struct mem_bins *bins, uint32_t class, mem_ref *empties)
{
    struct mem_pool *pool = bins->pool;
    struct mem_bins *central = pool->central;
    struct mem_span *span = NULL;

    /* A look without the lock: too late or too early costs a span, no more. */
    if (atomic_load_relaxed_u32(&pool->central_count) == 0 &&
        atomic_load_relaxed_u32(&central->mailbox) == MEM_MAIL_END) {
        return false;
    }
    os_mutex_lock(&pool->mutex);
    mem_bins_drain(central, empties);
    if (central->partial[class] != 0) {
        span = mem_map_span(mem_bins_map(bins), central->partial[class]);
        mem_bins_unlink(central, &central->partial[class], span);
        bool is_watched = pool->heap->is_hardened ||
                          atomic_load_relaxed_u8(&mem_span_cold(span)->sample_count) > 0;
        /* Release: pairs with the acquire in mem_bins_mail. */
        atomic_store_release_ptr(&mem_span_cold(span)->bins, bins);
        atomic_store_relaxed_uptr(&span->owner, bins->thread->owner | is_watched);
    }
    os_mutex_unlock(&pool->mutex);
    if (span == NULL) {
        return false;
    }
    uint32_t free_count = mem_span_count_free(span);
    atomic_store_relaxed_i32(&span->left, (int32_t)((uint32_t)span->capacity - free_count));
    mem_bins_link(bins, &bins->partial[class], span);
    return true;
}

/* Objects from spans at hand. */
static bool bin_refill(struct mem_bins *bins, struct mem_bin *bin, mem_ref *empties)
{
    uint32_t class = (uint32_t)(bin - bins->bin);

    if (bin->span != NULL) {
        if (bin_take_word(bins, bin) ||
            (mem_span_merge_remote(bin->span) > 0 && bin_take_word(bins, bin))) {
            return true;
        }
        bin_put_aside(bins, bin);
    }
    mem_bins_drain(bins, empties);
    if (bins->partial[class] == 0 && !bins_adopt(bins, class, empties) &&
        !bins_scan_full(bins, class)) {
        return false;
    }
    span_make_current(bins, bin, mem_map_span(mem_bins_map(bins), bins->partial[class]));
    bool is_taken = bin_take_word(bins, bin);
    Q_ASSERT(is_taken);
    return true;
}

/* ---- pressure ------------------------------------------------------------------------------- */

/* Current spans of which no object is in use, and those that were kept empty, are given up. */
static void bins_give_way(struct mem_bins *bins, mem_ref *empties)
{
    uint32_t idle_pages_max = bins->idle_pages_max;

    bins->idle_pages_max = 0; /* keep nothing now */
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_bin *bin = &bins->bin[class];
        if (bin->span != NULL &&
            mem_span_count_all_free(bin->span) + bits_count_u64(bin->mask | bin->held) ==
                bin->span->capacity) {
            mem_bin_return(bins, bin, empties);
        }
    }
    mem_bins_purge(bins, empties);
    bins->idle_pages_max = idle_pages_max;
}

/*
 * The budget has been full since the thread last came by: it gives way once for each time, in the
 * pool at hand.
 */
static void thread_give_way(struct mem_bins *bins, mem_ref *empties)
{
    struct mem_thread *thread = bins->thread;
    uint32_t count = atomic_load_relaxed_u32(&thread->heap->pressure_count);

    if (Q_LIKELY(thread->pressure_seen == count)) {
        return;
    }
    thread->pressure_seen = count;
    bins_give_way(bins, empties);
}

/* ---- the slow path of allocating ------------------------------------------------------------ */

/* Inside. An object, if there is one without a new span. */
static void *bins_try_take(struct mem_bins *bins, struct mem_bin *bin, mem_ref *empties,
                           bool *ret_is_sample)
{
    *ret_is_sample = false;
    if (bin->mask == 0 && bin->held == 0 && !bin_refill(bins, bin, empties)) {
        return NULL;
    }
    if (bin->mask == 0) {
        return bin_take_held(bins->thread, bin, ret_is_sample);
    }
    return Q_UNLIKELY(bins->pool->heap->is_hardened) ? mem_hardened_pop(bins, bin) : bin_pop(bin);
}

void *mem_bins_take(struct mem_bins *bins, struct mem_bin *bin, size_t requested_bytes)
{
    struct mem_pool *pool = bins->pool;
    struct mem_heap *heap = pool->heap;
    struct mem_thread *thread = bins->thread;
    struct mem_span *span = NULL;
    bool is_sample = false;

    for (bool is_first = true;; is_first = false) {
        mem_ref empties = 0;
        if (!os_gate_enter(&thread->gate, &heap->threads_mutex)) {
            return mem_central_take(pool, (size_t)bin->size_bytes); /* a signal handler */
        }
        thread_give_way(bins, &empties);
        if (span != NULL) {
            mem_bins_enter_span(bins, span);
        }
        void *object = bins_try_take(bins, bin, &empties, &is_sample);
        os_gate_leave(&thread->gate);
        if (Q_UNLIKELY(empties != 0)) {
            (void)mem_spans_release(pool, empties);
        }
        if (Q_LIKELY(object != NULL)) {
            if (Q_UNLIKELY(is_sample)) {
                object = mem_guard_sample(bins, object, requested_bytes, bin->size_bytes);
            }
            return object;
        }
        Q_ASSERT(is_first);
        span = mem_span_create(pool, (uint32_t)(bin - bins->bin));
        if (span == NULL) {
            return NULL;
        }
    }
}

/* ---- the slow path of freeing --------------------------------------------------------------- */

void mem_bins_note_free(struct mem_heap *heap, struct mem_span *span)
{
    struct mem_thread *thread = mem_thread_own(heap);
    mem_ref empties = 0;

    if (!os_gate_enter(&thread->gate, &heap->threads_mutex)) {
        atomic_store_relaxed_i32(&span->left, 1); /* a signal handler: the next free will do */
        return;
    }
    struct mem_bins *bins = atomic_load_acquire_ptr(&mem_span_cold(span)->bins);
    /* Else a collector has come before us. */
    if (bins != NULL && bins->thread == thread) {
        if (mem_span_state(span) == MEM_SPAN_CURRENT) {
            atomic_store_relaxed_i32(&span->left, MEM_SPAN_LEFT_CURRENT);
        } else {
            (void)mem_span_merge_remote(span);
            mem_bins_reconsider(bins, span, &empties);
        }
    }
    os_gate_leave(&thread->gate);
    if (empties != 0) {
        (void)mem_spans_release(bins->pool, empties);
    }
}

bool mem_bins_forget_sample(struct mem_thread *thread, struct mem_span *span, uint64_t index)
{
    if (!os_gate_enter(&thread->gate, &thread->heap->threads_mutex)) {
        return true;
    }
    bool is_sample = span_forget_sample(span, index);
    os_gate_leave(&thread->gate);
    return is_sample;
}

/* ---- central bins --------------------------------------------------------------------------- */

/* One object of a span that nobody owns. Under the pool's mutex. */
static void *central_pop(struct mem_bins *central, uint32_t class)
{
    if (central->partial[class] == 0) {
        return NULL;
    }
    struct mem_span *span = mem_map_span(mem_bins_map(central), central->partial[class]);
    uint32_t word = mem_span_find_word(span);
    Q_ASSERT(word < mem_span_words(span));
    uint64_t mask = atomic_load_relaxed_u64(mem_span_free(span, word));
    uint64_t index = word * 64u + bits_trailing_zeros_u64(mask);
    atomic_store_relaxed_u64(mem_span_free(span, word), mask & (mask - 1));
    mem_span_cold(span)->fresh &= (uint16_t) ~(1u << word);
    central->bin[class].taken_count++;
    if (mem_span_count_free(span) == 0) {
        mem_bins_unlink(central, &central->partial[class], span);
        mem_span_set_state(span, MEM_SPAN_FULL);
        mem_bins_link(central, &central->full[class], span);
    }
    return mem_span_object(span, index);
}

void *mem_central_take(struct mem_pool *pool, size_t bytes)
{
    uint32_t class = mem_class_of(bytes);
    struct mem_span *span = NULL;

    for (;;) {
        mem_ref empties = 0;
        os_mutex_lock(&pool->mutex);
        if (span != NULL) {
            mem_bins_enter_span(pool->central, span);
        } else {
            mem_bins_drain(pool->central, &empties);
        }
        void *object = central_pop(pool->central, class);
        os_mutex_unlock(&pool->mutex);
        (void)mem_spans_release(pool, empties);
        if (object != NULL || span != NULL) {
            return object;
        }
        span = mem_span_create(pool, class);
        if (span == NULL) {
            return NULL;
        }
    }
}

/* ---- the end of a thread -------------------------------------------------------------------- */

void mem_bin_return(struct mem_bins *bins, struct mem_bin *bin, mem_ref *empties)
{
    struct mem_span *span = bin->span;

    if (span == NULL) {
        return;
    }
    uint64_t back = bin->mask | bin->held;
    _Atomic uint64_t *word = mem_span_free(span, bin->word);
    atomic_store_relaxed_u64(word, atomic_load_relaxed_u64(word) | back);
    bin->taken_count -= bits_count_u64(back);
    bin->mask = 0;
    bin->held = 0;
    (void)mem_span_merge_remote(span);
    bin_put_aside(bins, bin);
    mem_bins_reconsider(bins, span, empties);
}
