/*
 * Objects: what lies beyond the fast paths.
 *
 * A free that does not find its own thread as the span's owner is one of these, told apart in this
 * order: NULL; an object of this thread in a span that has samples; another thread's, or nobody's;
 * a large one; a guarded one; or no object at all, which ends the program.
 */
#include <mem/object.h>

#include <string.h>

#include <mem/hardened.h>
#include <mem/large.h>
#include <mem/panic.h>
#include <mem/remote.h>

/* ---- allocating ----------------------------------------------------------------------------- */

/* The thread's bins for the pool, or NULL; and the door's, when it is the door that asks. */
static struct mem_bins *bins_for(struct mem_pool *pool, struct mem_bins *bins)
{
    if (bins != NULL && bins != &mem_bins_none) {
        return bins;
    }
    struct mem_thread *thread = mem_thread_find(pool->heap);
    if (thread == NULL) {
        return NULL;
    }
    return mem_thread_bins(thread, pool);
}

void *mem_alloc_slow(struct mem_pool *pool, struct mem_bins *bins, size_t bytes)
{
    bool is_zero;

    if (Q_UNLIKELY(pool->heap->is_hardened)) {
        return mem_hardened_alloc(pool, bins == &mem_bins_none, bytes, 1);
    }
    bins = bins_for(pool, bins);
    if (bins != NULL) {
        pool = bins->pool;
    }
    if (Q_UNLIKELY(bytes > MEM_SMALL_MAX_BYTES)) {
        return mem_large_alloc(pool, bytes, 1, &is_zero);
    }
    if (Q_UNLIKELY(bins == NULL)) {
        return mem_central_take(pool, bytes);
    }
    struct mem_bin *bin = &bins->bin[mem_class_of(bytes)];
    void *object = mem_bins_take_quickly(bins, bin);
    return Q_LIKELY(object != NULL) ? object : mem_bins_take(bins, bin, bytes);
}

void *mem_alloc(struct mem_pool *pool, size_t bytes)
{
    return mem_alloc_slow(pool, NULL, bytes);
}

void *mem_alloc_zero(struct mem_pool *pool, struct mem_bins *bins, size_t bytes)
{
    bool is_zero = false;
    void *object;

    if (Q_UNLIKELY(pool->heap->is_hardened)) {
        return mem_hardened_alloc(pool, bins == &mem_bins_none, bytes, 1); /* always zero */
    }
    bins = bins_for(pool, bins);
    if (bins != NULL) {
        pool = bins->pool;
    }
    if (bytes > MEM_SMALL_MAX_BYTES) {
        object = mem_large_alloc(pool, bytes, 1, &is_zero);
    } else if (bins == NULL) {
        object = mem_central_take(pool, bytes);
    } else {
        struct mem_bin *bin = &bins->bin[mem_class_of(bytes)];
        /* What the fast path would take now; the slow path may take from elsewhere. */
        is_zero = bin->is_fresh && (bin->mask & (bin->mask - 1)) != 0;
        object = mem_alloc_slow(pool, bins, bytes);
    }
    if (object != NULL && !is_zero) {
        memset(object, 0, bytes);
    }
    return object;
}

void *mem_alloc_aligned(struct mem_pool *pool, size_t bytes, size_t align_bytes)
{
    uint32_t class = mem_class_aligned(bytes, align_bytes);
    bool is_zero;

    if (Q_UNLIKELY(pool->heap->is_hardened)) {
        return mem_hardened_alloc(pool, false, bytes, align_bytes);
    }
    if (class < MEM_CLASSES) {
        return mem_alloc(pool, mem_size_class[class].size_bytes);
    }
    return mem_large_alloc(pool, bytes, align_bytes, &is_zero);
}

/* ---- freeing -------------------------------------------------------------------------------- */

void mem_free_wrong(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    if (index < span->capacity) {
        mem_panic(MEM_PANIC_DOUBLE_FREE, mem_span_object(span, index));
    }
    /* The address, from the index: both steps of mem_span_index can be undone. */
    uint64_t product = bits_rotate_left_u64(index, span->shift) - span->bias;
    uint64_t odd = mem_span_object_bytes(span) >> span->shift;
    void *address = (void *)(product * odd);
    mem_free_none(heap, address);
}

void mem_free_none(struct mem_heap *heap, void *object)
{
    if (object == NULL) {
        return; /* in a small address space the map may have a span of the thread's for it */
    }
    if (!mem_guard_covers(&heap->guard, object)) {
        mem_panic(mem_freed_diagnose(heap, object), object);
    }
    mem_guard_free(heap, object);
}

/* An object of the calling thread's, in a span that has samples. */
static void free_watched(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    struct mem_thread *thread = mem_thread_own(heap);
    _Atomic uint64_t *word = span->words + (index >> 6);
    uint64_t value = atomic_load_relaxed_u64(word);

    if (mem_bit_set(&value, index)) {
        mem_free_wrong(heap, span, index);
        return;
    }
    if (mem_bins_forget_sample(thread, span, index)) {
        (void)heap->observer.freed(heap->observer.argument, mem_span_object(span, index));
    }
    if (mem_span_set_free(span, word, value)) {
        mem_bins_note_free(heap, span);
    }
}

/* An object of a span that is not the calling thread's. */
static void free_remote(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    /* Its owner forgets that it was a sample when the object is freed the next time. */
    if (atomic_load_relaxed_u8(&mem_span_cold(span)->sample_count) > 0) {
        (void)heap->observer.freed(heap->observer.argument, mem_span_object(span, index));
    }
    mem_remote_free(heap, span, index);
}

void mem_free_slow(struct mem_heap *heap, void *object)
{
    struct mem_span *span = mem_map_find(&heap->map, object);

    if (object == NULL) {
        return;
    }
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        mem_large_free(heap, span, object);
        return;
    }
    uint64_t index = mem_span_index(span, object);
    if (mem_span_state(span) == MEM_SPAN_UNUSED || index >= span->capacity) {
        mem_free_none(heap, object);
        return;
    }
    if (Q_UNLIKELY(heap->is_hardened)) {
        mem_hardened_free(heap, span, index);
        return;
    }
    uintptr_t owner = atomic_load_relaxed_uptr(&span->owner);
    if (owner == ((uintptr_t)__builtin_thread_pointer() | MEM_OWNER_WATCHED)) {
        free_watched(heap, span, index);
    } else {
        free_remote(heap, span, index);
    }
}

/* ---- sizes ---------------------------------------------------------------------------------- */

bool mem_is_object(struct mem_heap *heap, const void *address)
{
    struct mem_span *span = mem_map_find(&heap->map, address);

    if (mem_guard_covers(&heap->guard, address)) {
        return mem_guard_is_object(&heap->guard, address);
    }
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        return mem_large_is_object(heap, span, address);
    }
    uint64_t index = mem_span_index(span, address);
    if (mem_span_state(span) == MEM_SPAN_UNUSED || index >= span->capacity) {
        return false;
    }
    uint64_t free = atomic_load_relaxed_u64(mem_span_free(span, index >> 6)) |
                    atomic_load_relaxed_u64(mem_span_remote(span, index >> 6));
    if ((free >> (index & 63) & 1) != 0) {
        return false;
    }
    return Q_LIKELY(!heap->is_hardened) || mem_hardened_is_live(heap, span, index);
}

/* mem_is_object has said no. */
Q_COLD Q_NORETURN static void panic_no_object(struct mem_heap *heap, const struct mem_span *span,
                                              const void *address)
{
    enum mem_span_state state = mem_span_state(span);
    bool is_free = state != MEM_SPAN_UNUSED && state != MEM_SPAN_LARGE &&
                   mem_span_index(span, address) < span->capacity;

    if (mem_guard_covers(&heap->guard, address)) {
        mem_panic(mem_guard_diagnose(&heap->guard, address), address);
    }
    mem_panic(is_free ? MEM_PANIC_DOUBLE_FREE : mem_freed_diagnose(heap, address), address);
}

size_t mem_usable(struct mem_heap *heap, const void *object)
{
    struct mem_span *span = mem_map_find(&heap->map, object);

    if (!mem_is_object(heap, object)) {
        panic_no_object(heap, span, object);
    }
    if (mem_guard_covers(&heap->guard, object)) {
        return mem_guard_usable(&heap->guard, object);
    }
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        return mem_large_usable(heap, object);
    }
    return mem_span_object_bytes(span) - (heap->is_hardened ? MEM_CANARY_BYTES : 0);
}

/*
 * Whether an object of `usable` bytes does for a request of `bytes`: it fits, and wastes no more
 * than half. (Shrinking to the next class each time would copy a string on every edit.)
 */
static bool still_fits(size_t usable, size_t bytes)
{
    return bytes <= usable && (bytes >= usable / 2 || usable <= 64);
}

/* Ends the program if the end of an object in use, of a hardened heap, was written past. */
static void check_end(struct mem_heap *heap, struct mem_span *span, const void *object)
{
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        mem_hardened_large_check(heap, mem_span_pool(span)->lane, object);
    } else {
        mem_hardened_check(heap, span, object);
    }
}

/* Whether an object can stay where it is for `bytes`. */
static bool try_resize(struct mem_heap *heap, struct mem_span *span, void *object, size_t usable,
                       size_t bytes)
{
    if (mem_guard_covers(&heap->guard, object)) {
        return false; /* its end is exact, and so must the new one's be */
    }
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        return mem_large_resize(heap, span, object, bytes);
    }
    return still_fits(usable, bytes);
}

void *mem_realloc(struct mem_heap *heap, void *object, size_t bytes)
{
    struct mem_span *span = mem_map_find(&heap->map, object);
    size_t usable = mem_usable(heap, object);

    if (Q_UNLIKELY(heap->is_hardened)) {
        check_end(heap, span, object);
    }
    if (try_resize(heap, span, object, usable, bytes)) {
        return object;
    }
    bool is_guarded = mem_guard_covers(&heap->guard, object);
    void *moved = mem_alloc(is_guarded ? heap->general_pool : mem_span_pool(span), bytes);
    if (moved == NULL) {
        return NULL;
    }
    memcpy(moved, object, size_min(usable, bytes));
    mem_free(heap, object);
    return moved;
}
