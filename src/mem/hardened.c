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
 * two threads that free an object one finds that the other has. Then the cell is cleared, and waits
 * in its thread's quarantine until a thousand more, or 256 KiB of them, have been freed. Only then
 * its bit is set in the span, from where on it is an object like any other. When it is handed out
 * again, every byte must still be zero: else somebody wrote to it in between. calloc has nothing to
 * clear therefore.
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
#include <mem/object.h>
#include <mem/panic.h>
#include <mem/remote.h>
#include <mem/sampling.h>

#define GRND_NONBLOCK 1

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

bool mem_is_zero(const void *base, size_t bytes)
{
    const uint64_t *word = base, *end = word + bytes / sizeof *word;

    for (; end - word >= 4; word += 4) {
        if ((word[0] | word[1] | word[2] | word[3]) != 0) {
            return false;
        }
    }
    while (word < end && *word == 0) {
        word++;
    }
    return word == end;
}

/* ---- allocating ----------------------------------------------------------------------------- */

void *mem_hardened_pop(struct mem_bins *bins, struct mem_bin *bin)
{
    uint32_t turn = (uint32_t)mem_random_u64(&bins->thread->random_state) & 63;
    uint64_t turned = bits_rotate_left_u64(bin->mask, 64 - turn);
    uint32_t index = (bits_trailing_zeros_u64(turned) + turn) & 63;

    Q_ASSERT(bin->mask != 0);
    bin->mask &= ~((uint64_t)1 << index);
    return bin->base + index * bin->size_bytes;
}

/* Whether an object is of the word that a bin has, and that word was never used. */
static bool is_fresh_in(const struct mem_bin *bin, const void *object)
{
    return bin->is_fresh && (uint64_t)((const char *)object - bin->base) < 64 * bin->size_bytes;
}

static void *try_alloc(struct mem_pool *pool, struct mem_bins *bins, uint32_t class,
                       size_t requested_bytes, bool *ret_is_fresh)
{
    *ret_is_fresh = false;
    if (Q_UNLIKELY(bins == NULL)) {
        return mem_central_take(pool, mem_size_class[class].size_bytes);
    }
    struct mem_bin *bin = &bins->bin[class];
    void *object = Q_LIKELY(bin->mask != 0) ? mem_hardened_pop(bins, bin)
                                            : mem_bins_take(bins, bin, requested_bytes);
    *ret_is_fresh = object != NULL && is_fresh_in(bin, object);
    return object;
}

static void quarantine_empty(struct mem_heap *heap);

void *mem_hardened_alloc(struct mem_pool *pool, struct mem_bins *bins, uint32_t class,
                         size_t requested_bytes)
{
    struct mem_heap *heap = pool->heap;
    size_t usable = mem_size_class[class].size_bytes - MEM_CANARY_BYTES;
    bool is_fresh;

    Q_ASSERT(requested_bytes <= usable);
    void *object = try_alloc(pool, bins, class, requested_bytes, &is_fresh);
    if (Q_UNLIKELY(object == NULL)) {
        quarantine_empty(heap);
        object = try_alloc(pool, bins, class, requested_bytes, &is_fresh);
    }
    if (Q_UNLIKELY(object == NULL)) {
        return NULL;
    }
    /* Fresh memory is not looked at: that would cost a page fault more. */
    if (!is_fresh && !mem_is_zero(object, usable + MEM_CANARY_BYTES)) {
        mem_panic(MEM_PANIC_WRITTEN_FREE, object); /* invariant 1 */
    }
    mem_canary *slot = mem_canary_behind(object, usable);
    /* Relaxed: whoever frees it had the object from this thread. */
    atomic_store_relaxed_u64(slot, mem_canary_value(heap, slot));
    return object;
}

/* ---- the quarantine ------------------------------------------------------------------------- */

/* Makes the object behind a pointer, whose canary says that it is freed, one to be used again. */
static struct mem_span *quarantine_forget(struct mem_heap *heap, void *object, uint64_t *ret_index)
{
    struct mem_span *span = mem_map_find(&heap->map, object);
    mem_canary *slot = mem_canary_behind(object, span_usable(span));

    *ret_index = mem_span_index(span, object);
    Q_ASSERT(*ret_index < span->capacity); /* invariant 2 */
    if (atomic_load_relaxed_u64(slot) != ~mem_canary_value(heap, slot)) {
        mem_panic(MEM_PANIC_WRITTEN_FREE, object);
    }
    atomic_store_relaxed_u64(slot, 0);
    return span;
}

/* Sets an object's bit in its span: from here on it may be handed out. */
static void object_release(struct mem_heap *heap, void *object)
{
    uint64_t index;
    struct mem_span *span = quarantine_forget(heap, object, &index);
    uintptr_t owner = atomic_load_relaxed_uptr(&span->owner);

    if (owner != ((uintptr_t)__builtin_thread_pointer() | MEM_OWNER_WATCHED)) {
        mem_remote_free(heap, span, index);
        return;
    }
    _Atomic uint64_t *word = mem_span_free(span, index >> 6);
    uint64_t value = atomic_load_relaxed_u64(word);
    if (mem_bit_set(&value, index)) {
        mem_panic(MEM_PANIC_DOUBLE_FREE, object);
    }
    if (mem_span_set_free(span, word, value)) {
        mem_bins_note_free(heap, span);
    }
}

static void quarantine_push(struct mem_quarantine *quarantine, void *object, uint32_t bytes)
{
    uint32_t at = quarantine->first + quarantine->count;

    quarantine->object[at % MEM_QUARANTINE_OBJECTS] = object;
    quarantine->count++;
    quarantine->bytes += bytes;
}

/* The oldest object, or NULL. */
static void *quarantine_pop(struct mem_heap *heap, struct mem_quarantine *quarantine)
{
    if (quarantine->count == 0) {
        return NULL;
    }
    void *object = quarantine->object[quarantine->first];
    quarantine->first = (quarantine->first + 1) % MEM_QUARANTINE_OBJECTS;
    quarantine->count--;
    quarantine->bytes -= mem_span_object_bytes(mem_map_find(&heap->map, object));
    return object;
}

static bool quarantine_is_over(const struct mem_quarantine *quarantine)
{
    return quarantine->count >= MEM_QUARANTINE_OBJECTS || quarantine->bytes > MEM_QUARANTINE_BYTES;
}

/*
 * Puts an object (NULL: none) into the calling thread's quarantine, and takes one out that the
 * bounds, or a signal handler inside the gate, leave no room for. Returns: NULL when all is well.
 */
static void *quarantine_exchange(struct mem_thread *thread, void *object, uint32_t bytes)
{
    struct mem_heap *heap = thread->heap;
    struct mem_quarantine *quarantine = thread->quarantine;
    void *out = NULL;

    if (!os_gate_enter(&thread->gate, &heap->threads_mutex)) {
        return object;
    }
    if (object != NULL) {
        quarantine_push(quarantine, object, bytes);
    }
    if (quarantine_is_over(quarantine)) {
        out = quarantine_pop(heap, quarantine);
    }
    os_gate_leave(&thread->gate);
    return out;
}

/* The calling thread, with a quarantine; NULL: no memory for one. */
static struct mem_thread *thread_with_quarantine(struct mem_heap *heap)
{
    struct mem_thread *thread = mem_thread_find(heap);
    void *piece;

    if (thread == NULL || Q_LIKELY(thread->quarantine != NULL)) {
        return thread;
    }
    struct page_metadata *metadata = &heap->pages->metadata;
    if (page_metadata_take(metadata, sizeof(struct mem_quarantine), &piece) != QUARRY_OK) {
        return NULL;
    }
    if (thread->quarantine != NULL) { /* a signal handler was quicker */
        page_metadata_give(metadata, piece, sizeof(struct mem_quarantine));
    } else {
        thread->quarantine = piece;
    }
    return thread;
}

static void object_quarantine(struct mem_heap *heap, struct mem_span *span, void *object)
{
    struct mem_thread *thread =
        mem_span_pool(span) == heap->general_pool ? thread_with_quarantine(heap) : NULL;

    if (thread == NULL) {
        object_release(heap, object);
        return;
    }
    void *out = quarantine_exchange(thread, object, mem_span_object_bytes(span));
    while (Q_LIKELY(out != NULL)) {
        object_release(heap, out);
        if (out == object || !quarantine_is_over(thread->quarantine)) {
            break;
        }
        out = quarantine_exchange(thread, NULL, 0);
    }
}

/* Lets go of the calling thread's. Outside of its gate. */
static void quarantine_empty(struct mem_heap *heap)
{
    struct mem_thread *thread = mem_thread_own(heap);
    void *object = NULL;

    if (thread == NULL || thread->quarantine == NULL) {
        return;
    }
    do {
        if (!os_gate_enter(&thread->gate, &heap->threads_mutex)) {
            return;
        }
        object = quarantine_pop(heap, thread->quarantine);
        os_gate_leave(&thread->gate);
        if (object != NULL) {
            object_release(heap, object);
        }
    } while (object != NULL);
}

void mem_hardened_end_thread(struct mem_thread *thread)
{
    struct mem_heap *heap = thread->heap;
    struct mem_quarantine *quarantine = thread->quarantine;
    void *object;
    uint64_t index;

    if (quarantine == NULL) {
        return;
    }
    while ((object = quarantine_pop(heap, quarantine)) != NULL) {
        struct mem_span *span = quarantine_forget(heap, object, &index);
        mem_remote_free_at_once(heap, span, index);
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

static bool has_bit(struct mem_span *span, uint64_t index)
{
    uint64_t free = atomic_load_relaxed_u64(mem_span_free(span, index >> 6)) |
                    atomic_load_relaxed_u64(mem_span_remote(span, index >> 6));

    return (free >> (index & 63) & 1) != 0;
}

/* Tells the observer, if the object may be a sample. */
static void tell_freed(struct mem_heap *heap, struct mem_span *span, uint64_t index, void *object)
{
    struct mem_thread *thread = mem_thread_own(heap);
    uintptr_t owner = atomic_load_relaxed_uptr(&span->owner);

    if (Q_LIKELY(atomic_load_relaxed_u8(&mem_span_cold(span)->sample_count) == 0)) {
        return;
    }
    /* Else its owner forgets that it was one when the object is freed the next time. */
    bool is_own = thread != NULL && owner == (thread->owner | MEM_OWNER_WATCHED);
    if (!is_own || mem_bins_forget_sample(thread, span, index)) {
        (void)heap->observer.freed(heap->observer.argument, object);
    }
}

void mem_hardened_free(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    size_t usable = span_usable(span);
    void *object = mem_span_object(span, index);
    mem_canary *slot = mem_canary_behind(object, usable);
    uint64_t canary = mem_canary_value(heap, slot), value = canary;

    if (has_bit(span, index)) {
        mem_panic(MEM_PANIC_DOUBLE_FREE, object);
    }
    /* Acquire and release: of two that free it, the second sees that it is too late. */
    if (!atomic_cas_acq_rel_u64(slot, &value, ~canary)) {
        panic_canary(heap, slot, value, object, usable);
    }
    tell_freed(heap, span, index, object);
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
