/*
 * Hardened heaps: small objects.
 *
 *   | usable bytes ................................... | canary |     a cell of the size class
 *   0                                    size_bytes - 8  size_bytes
 *
 *   in use         the program's                         canary(address)
 *   quarantine     zero                                 ~canary(address)
 *   free           zero                                  zero
 *
 * The canary is a hash of its address and a secret of the process, so that neither a constant nor a
 * neighbour's canary fits. Freeing exchanges it for its complement in one atomic instruction: of
 * two threads that free an object one finds that the other has, at the latest when it lets it go.
 * Then the cell is cleared, and waits in its thread's quarantine until a thousand more, or 256 KiB
 * of them, have been freed. Only then its bit is set in the span, from where on it is an object
 * like any other. When it is handed out again, every byte must still be zero: else somebody wrote
 * to it in between. calloc has nothing to clear therefore.
 *
 * Which object is handed out is drawn among the free ones of a word of the span's bitmap, so that
 * what lies behind an object is not what was allocated after it.
 *
 * The fast paths stay as they are, and are never taken: a thread's mem_door stays at bins that have
 * nothing, and a span's owner always has the watched bit.
 *
 * Invariants
 *   1. A free cell, and a run of pages in no use, is zero; but for cells that the program wrote to.
 *   2. An object in a quarantine has neither bit set in its span, which therefore stays.
 *   3. A quarantine has objects of the general pool only; those of others go with their lifetime.
 *
 * Locking: a quarantine is inside its thread's gate. Objects on their way out of it are in nobody's
 * hands for a moment; a fork in that moment loses the child those.
 *
 * Cost: docs/malloc.md. Rejected: canaries next to the last requested byte (the size would have to
 * be stored, 8 bytes more for each object, and what malloc_usable_size says is the program's to
 * use); a quarantine for all threads (a lock in every free); clearing at allocation instead (what a
 * program freed could be read for as long as nobody wants the cell).
 */
#include <mem/hardened.h>

#include <string.h>

#include <mem/bins.h>
#include <mem/large.h>
#include <mem/object.h>
#include <mem/panic.h>
#include <mem/remote.h>
#include <mem/sampling.h>

void mem_hardened_init(struct mem_heap *heap)
{
    uint64_t secret = 0;

    /* Too early in the machine's life for the kernel to know: where things lie must do. */
    if (!os_random(&secret, sizeof secret)) {
        secret = os_monotonic_ns(heap->pages->os) ^ (uint64_t)heap->pages->space ^
                 (uint64_t)__builtin_frame_address(0) << 20;
    }
    heap->secret = secret;
}

/* ---- canaries ------------------------------------------------------------------------------- */

static uint32_t span_usable(const struct mem_span *span)
{
    return mem_span_object_bytes(span) - MEM_CANARY_BYTES;
}

static inline bool is_zero(const void *base, size_t bytes)
{
    const uint64_t *word = base, *end = word + bytes / sizeof *word;

    for (; end - word >= 8; word += 8) {
        uint64_t low = word[0] | word[1] | word[2] | word[3];
        if ((low | word[4] | word[5] | word[6] | word[7]) != 0) {
            return false;
        }
    }
    while (word < end && *word == 0) {
        word++;
    }
    return word == end;
}

bool mem_is_zero(const void *base, size_t bytes)
{
    return is_zero(base, bytes);
}

/* ---- allocating ----------------------------------------------------------------------------- */

/* Not uniform among the free ones, which nobody needs: the next one from a random place on. */
static inline void *bin_pop(struct mem_bins *bins, struct mem_bin *bin)
{
    struct mem_thread *thread = bins->thread;

    thread->random_state = thread->random_state * UINT64_C(0xd1342543de82ef95) + 1;
    uint32_t turn = (uint32_t)(thread->random_state >> 58);
    uint64_t turned = bits_rotate_left_u64(bin->mask, 64 - turn);
    uint32_t index = ((uint32_t)__builtin_ctzll(turned) + turn) & 63;
    bin->mask &= ~((uint64_t)1 << index);
    return bin->base + index * bin->size_bytes;
}

void *mem_hardened_pop(struct mem_bins *bins, struct mem_bin *bin)
{
    Q_ASSERT(bin->mask != 0);
    return bin_pop(bins, bin);
}

/* The bins that the calling thread is to allocate from; NULL: no memory for any. */
static inline struct mem_bins *bins_for(struct mem_pool *pool, bool is_door)
{
    struct mem_thread *thread = mem_thread_find(pool->heap);

    if (Q_UNLIKELY(thread == NULL)) {
        return NULL;
    }
    if (is_door && thread->scope != NULL) {
        return thread->scope;
    }
    struct mem_bins *bins = thread->bins[pool->id];
    return Q_LIKELY(bins != NULL) ? bins : mem_thread_bins(thread, pool);
}

/* Whether an object is of the word that a bin has, and that word was never used. */
static inline bool is_fresh_in(const struct mem_bin *bin, const void *object)
{
    return bin->is_fresh && (uint64_t)((const char *)object - bin->base) < 64 * bin->size_bytes;
}

/* Checks a free cell and makes it an object in use. */
static inline void *cell_begin(struct mem_heap *heap, void *object, size_t bytes, bool is_fresh)
{
    /* Fresh memory is not looked at: that would cost a page fault more. */
    if (!is_fresh && Q_UNLIKELY(!is_zero(object, bytes))) {
        mem_panic(MEM_PANIC_WRITTEN_FREE, object); /* invariant 1 */
    }
    mem_canary *slot = mem_canary_behind(object, bytes - MEM_CANARY_BYTES);
    /* Relaxed: whoever frees it had the object from this thread. */
    atomic_store_relaxed_u64(slot, mem_canary_value(heap, slot));
    return object;
}

static void quarantine_empty(struct mem_heap *heap);

/* Without bins, or when the bin has nothing at hand. */
Q_NOINLINE static void *small_alloc_slow(struct mem_pool *pool, struct mem_bins *bins,
                                         uint32_t class, size_t requested_bytes)
{
    size_t bytes = mem_size_class[class].size_bytes;
    void *object = NULL;

    for (bool is_first = true; object == NULL; is_first = false) {
        object = bins == NULL ? mem_central_take(pool, bytes)
                              : mem_bins_take(bins, &bins->bin[class], requested_bytes);
        if (object == NULL && !is_first) {
            return NULL;
        }
        if (object == NULL) {
            quarantine_empty(pool->heap);
        }
    }
    bool is_fresh = bins != NULL && is_fresh_in(&bins->bin[class], object);
    return cell_begin(pool->heap, object, bytes, is_fresh);
}

void *mem_hardened_alloc(struct mem_pool *pool, bool is_door, size_t bytes, size_t align_bytes)
{
    struct mem_bins *bins = bins_for(pool, is_door);
    size_t room = bytes + MEM_CANARY_BYTES;
    uint32_t class = MEM_CLASSES;
    bool is_zero_too;

    if (Q_LIKELY(room <= MEM_SMALL_MAX_BYTES)) {
        class = align_bytes == 1 ? mem_class_of(room) : mem_class_aligned(room, align_bytes);
    }
    if (Q_LIKELY(bins != NULL)) {
        pool = bins->pool;
    }
    if (Q_UNLIKELY(class == MEM_CLASSES)) {
        return mem_large_alloc(pool, bytes, align_bytes, &is_zero_too);
    }
    if (Q_UNLIKELY(bins == NULL || bins->bin[class].mask == 0)) {
        return small_alloc_slow(pool, bins, class, bytes);
    }
    struct mem_bin *bin = &bins->bin[class];
    return cell_begin(pool->heap, bin_pop(bins, bin), bin->size_bytes, bin->is_fresh);
}

/* ---- the quarantine ------------------------------------------------------------------------- */

/* Makes the object behind a pointer, whose canary says that it is freed, one to be used again. */
static inline uint64_t quarantine_forget(struct mem_heap *heap, struct mem_span *span, void *object)
{
    mem_canary *slot = mem_canary_behind(object, span_usable(span));
    uint64_t index = mem_span_index(span, object);

    Q_ASSERT(index < span->capacity); /* invariant 2 */
    if (Q_UNLIKELY(atomic_load_relaxed_u64(slot) != ~mem_canary_value(heap, slot))) {
        mem_panic(MEM_PANIC_WRITTEN_FREE, object);
    }
    atomic_store_relaxed_u64(slot, 0);
    return index;
}

static inline bool is_own(const struct mem_span *span)
{
    return atomic_load_relaxed_uptr(&span->owner) ==
           ((uintptr_t)__builtin_thread_pointer() | MEM_OWNER_WATCHED);
}

/* Sets an object's bit in its span: from here on it may be handed out. */
static void object_release(struct mem_heap *heap, struct mem_span *span, void *object)
{
    uint64_t index = quarantine_forget(heap, span, object);

    if (Q_UNLIKELY(!is_own(span))) {
        mem_remote_free(heap, span, index);
        return;
    }
    _Atomic uint64_t *word = mem_span_free(span, index >> 6);
    uint64_t value = atomic_load_relaxed_u64(word);
    if (Q_UNLIKELY(mem_bit_set(&value, index))) {
        mem_panic(MEM_PANIC_DOUBLE_FREE, object);
    }
    if (Q_UNLIKELY(mem_span_set_free(span, word, value))) {
        mem_bins_note_free(heap, span);
    }
}

static inline void quarantine_push(struct mem_thread *thread, void *object, uint32_t bytes)
{
    uint32_t at = thread->quarantine_first + thread->quarantine_count++;

    Q_DCHECK(thread->quarantine_count <= MEM_QUARANTINE_OBJECTS);
    thread->quarantine->object[at % MEM_QUARANTINE_OBJECTS] = object;
    thread->quarantine_bytes += bytes;
}

/* The oldest object and its span; NULL: there is none. */
static inline void *quarantine_pop(struct mem_thread *thread, struct mem_span **ret_span)
{
    if (thread->quarantine_count == 0) {
        return NULL;
    }
    void *object = thread->quarantine->object[thread->quarantine_first];
    *ret_span = mem_map_find(&thread->heap->map, object);
    thread->quarantine_first = (thread->quarantine_first + 1) % MEM_QUARANTINE_OBJECTS;
    thread->quarantine_count--;
    thread->quarantine_bytes -= mem_span_object_bytes(*ret_span);
    return object;
}

static inline bool quarantine_is_over(const struct mem_thread *thread)
{
    return thread->quarantine_count == MEM_QUARANTINE_OBJECTS ||
           thread->quarantine_bytes > MEM_QUARANTINE_BYTES;
}

/* Lets go of what the bounds leave no room for. */
static inline void quarantine_trim(struct mem_heap *heap, struct mem_thread *thread)
{
    struct mem_span *span = NULL;

    while (quarantine_is_over(thread) && os_gate_enter(&thread->gate, &heap->threads_mutex)) {
        void *object = quarantine_pop(thread, &span);
        os_gate_leave(&thread->gate);
        if (object == NULL) {
            return; /* a signal handler let go of everything */
        }
        /* Outside: it enters the gate itself. */
        object_release(heap, span, object);
    }
}

/* Gives the calling thread a quarantine. Returns: whether it has one. */
Q_NOINLINE static bool quarantine_make(struct mem_heap *heap, struct mem_thread *thread)
{
    struct page_metadata *metadata = &heap->pages->metadata;
    void *piece;

    if (thread == NULL ||
        page_metadata_take(metadata, sizeof(struct mem_quarantine), &piece) != QUARRY_OK) {
        return false;
    }
    if (thread->quarantine != NULL) { /* a signal handler was quicker */
        page_metadata_give(metadata, piece, sizeof(struct mem_quarantine));
    } else {
        thread->quarantine = piece;
    }
    return true;
}

static inline void object_quarantine(struct mem_heap *heap, struct mem_span *span, void *object)
{
    struct mem_thread *thread = mem_thread_find(heap);

    /* Invariant 3. A signal handler inside the gate does without, too. */
    if (Q_UNLIKELY(mem_span_pool(span) != heap->general_pool) ||
        Q_UNLIKELY((thread == NULL || thread->quarantine == NULL) &&
                   !quarantine_make(heap, thread)) ||
        Q_UNLIKELY(!os_gate_enter(&thread->gate, &heap->threads_mutex))) {
        object_release(heap, span, object);
        return;
    }
    quarantine_push(thread, object, mem_span_object_bytes(span));
    os_gate_leave(&thread->gate);
    quarantine_trim(heap, thread);
}

/* Lets go of the calling thread's. Outside of its gate. */
static void quarantine_empty(struct mem_heap *heap)
{
    struct mem_thread *thread = mem_thread_own(heap);
    struct mem_span *span = NULL;

    while (thread != NULL && thread->quarantine_count > 0 &&
           os_gate_enter(&thread->gate, &heap->threads_mutex)) {
        void *object = quarantine_pop(thread, &span);
        os_gate_leave(&thread->gate);
        object_release(heap, span, object);
    }
}

void mem_hardened_end_thread(struct mem_thread *thread)
{
    struct mem_heap *heap = thread->heap;
    struct mem_quarantine *quarantine = thread->quarantine;
    struct mem_span *span;
    void *object;

    if (quarantine == NULL) {
        return;
    }
    while ((object = quarantine_pop(thread, &span)) != NULL) {
        mem_remote_free_at_once(heap, span, quarantine_forget(heap, span, object));
    }
    thread->quarantine = NULL;
    page_metadata_give(&heap->pages->metadata, quarantine, sizeof *quarantine);
}

/* ---- freeing -------------------------------------------------------------------------------- */

/* The canary is not what it should be. */
Q_COLD Q_NORETURN static void panic_canary(const struct mem_heap *heap, const mem_canary *slot,
                                           uint64_t value, const void *object, size_t usable)
{
    /* A cell that waits to be handed out again is zero altogether. */
    bool is_free =
        value == ~mem_canary_value(heap, slot) || (value == 0 && mem_is_zero(object, usable));

    mem_panic(is_free ? MEM_PANIC_DOUBLE_FREE : MEM_PANIC_OVERFLOW, object);
}

static inline bool has_bit(struct mem_span *span, uint64_t index)
{
    uint64_t free = atomic_load_relaxed_u64(mem_span_free(span, index >> 6)) |
                    atomic_load_relaxed_u64(mem_span_remote(span, index >> 6));

    return (free >> (index & 63) & 1) != 0;
}

/* Tells the observer about an object that may be a sample. */
Q_NOINLINE static void tell_freed(struct mem_heap *heap, struct mem_span *span, uint64_t index,
                                  void *object)
{
    /* Else its owner forgets that it was one when the object is freed the next time. */
    if (!is_own(span) || mem_bins_forget_sample(mem_thread_own(heap), span, index)) {
        (void)heap->observer.freed(heap->observer.argument, object);
    }
}

/*
 * Exchanges an object's canary for the mark of a freed one. Returns what was there. Atomic, but
 * where the thread owns the span: should another free the object in that moment, both find it in
 * use; the one whose quarantine lets go of it last finds that it is not.
 */
static inline uint64_t cell_mark(struct mem_span *span, mem_canary *slot, uint64_t canary)
{
    uint64_t value = canary;

    if (Q_LIKELY(is_own(span))) {
        value = atomic_load_relaxed_u64(slot);
        if (Q_LIKELY(value == canary)) {
            atomic_store_relaxed_u64(slot, ~canary);
        }
        return value;
    }
    /* Acquire and release: of two that free it, the second sees that it is too late. */
    (void)atomic_cas_acq_rel_u64(slot, &value, ~canary);
    return value;
}

void mem_hardened_free(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    size_t usable = span_usable(span);
    void *object = mem_span_object(span, index);
    mem_canary *slot = mem_canary_behind(object, usable);
    uint64_t canary = mem_canary_value(heap, slot);

    if (Q_UNLIKELY(has_bit(span, index))) {
        mem_panic(MEM_PANIC_DOUBLE_FREE, object);
    }
    uint64_t value = cell_mark(span, slot, canary);
    if (Q_UNLIKELY(value != canary)) {
        panic_canary(heap, slot, value, object, usable);
    }
    if (Q_UNLIKELY(atomic_load_relaxed_u8(&mem_span_cold(span)->sample_count) > 0)) {
        tell_freed(heap, span, index, object);
    }
    memset(object, 0, usable);
    object_quarantine(heap, span, object);
}

bool mem_hardened_is_live(const struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    const void *object = mem_span_object(span, index);
    const mem_canary *slot = mem_canary_behind(object, span_usable(span));
    uint64_t value = atomic_load_relaxed_u64(slot);

    /* One with a wrong canary is in use, and was overflowed. */
    return value != ~mem_canary_value(heap, slot) && value != 0;
}

void mem_hardened_check(struct mem_heap *heap, struct mem_span *span, const void *object)
{
    size_t usable = span_usable(span);
    const mem_canary *slot = mem_canary_behind(object, usable);
    uint64_t value = atomic_load_relaxed_u64(slot);

    if (value != mem_canary_value(heap, slot)) {
        panic_canary(heap, slot, value, object, usable);
    }
}
