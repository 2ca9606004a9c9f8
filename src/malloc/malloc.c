/*
 * malloc and its family, for every program.
 *
 * The semantics are glibc's where the standards leave a choice: malloc(0) gives an object,
 * realloc(p, 0) frees and gives NULL, free keeps errno, memalign rounds odd alignments up.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <malloc.h>

#include <malloc/door.h>
#include <malloc/process_heap.h>

Q_STATIC_ASSERT(sizeof(max_align_t) == 32 && _Alignof(max_align_t) == 16, "objects align to 16");

static void *malloc_slower(size_t bytes);

/* ---- slow halves ---------------------------------------------------------------------------- */

Q_COLD static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

Q_COLD static void *early_alloc(size_t bytes, size_t align_bytes)
{
    void *object = malloc_early_alloc(bytes, align_bytes);

    return object != NULL ? object : no_memory();
}

Q_NOINLINE void *malloc_slow(size_t bytes)
{
    struct mem_bins *bins = mem_door;
    void *object = NULL;
    bool is_zero;

    if (Q_UNLIKELY(bins == &mem_bins_none || bytes > MEM_OBJECT_MAX_BYTES)) {
        return malloc_slower(bytes);
    }
    /* Sizes beyond the fast path's, and the last object of a word. */
    if (bytes <= MEM_SMALL_MAX_BYTES) {
        struct mem_bin *bin = &bins->bin[mem_class_of(bytes)];
        object = mem_bins_take_quickly(bins, bin);
        if (object == NULL) {
            object = mem_bins_take(bins, bin, bytes);
        }
    } else {
        object = mem_large_alloc(bins->pool, bytes, 1, &is_zero);
    }
    return Q_LIKELY(object != NULL) ? object : no_memory();
}

Q_NOINLINE static void *malloc_slower(size_t bytes)
{
    int errno_before = errno;

    if (!malloc_heap_is_made() && !malloc_heap_make()) {
        return early_alloc(bytes, 16);
    }
    if (Q_UNLIKELY(bytes > MEM_OBJECT_MAX_BYTES)) {
        return no_memory();
    }
    void *object = mem_alloc_slow(malloc_heap.general_pool, mem_door, bytes);
    if (Q_UNLIKELY(object == NULL)) {
        return no_memory();
    }
    errno = errno_before;
    return object;
}

/* Apart, or its frame would be every free's. */
Q_NOINLINE static void free_slower(void *object)
{
    int errno_before = errno;

    if (!malloc_early_is(object)) {
        mem_free_slow(&malloc_heap, object);
    }
    errno = errno_before;
}

Q_COLD static void free_wrong(struct mem_span *span, uint64_t index)
{
    mem_free_wrong(&malloc_heap, span, index);
}

Q_NOINLINE static void free_look(struct mem_span *span)
{
    mem_bins_note_free(&malloc_heap, span);
}

/* The same without the heap, which is always the one: free need not have its address at hand. */
static inline void door_slow(struct mem_heap *heap, void *object)
{
    (void)heap;
    free_slower(object);
}

static inline void door_wrong(struct mem_heap *heap, struct mem_span *span, uint64_t index)
{
    (void)heap;
    free_wrong(span, index);
}

static inline void door_look(struct mem_heap *heap, struct mem_span *span)
{
    (void)heap;
    free_look(span);
}

/* ---- C -------------------------------------------------------------------------------------- */

MALLOC_EXPORT void *malloc(size_t bytes)
{
    return mem_alloc_from(mem_door, bytes, malloc_slow);
}

MALLOC_EXPORT void free(void *object)
{
    mem_free_from(&malloc_heap, object, (struct mem_free_paths){door_slow, door_wrong, door_look});
}

MALLOC_EXPORT void *calloc(size_t count, size_t bytes)
{
    size_t total;

    if (Q_UNLIKELY(!checked_mul_size(count, bytes, &total) || total > MEM_OBJECT_MAX_BYTES)) {
        return no_memory();
    }
    if (!malloc_heap_is_made() && !malloc_heap_make()) {
        return early_alloc(total, 16); /* never used before, so zero */
    }
    int errno_before = errno;
    void *object = mem_alloc_zero(malloc_heap.general_pool, mem_door, total);
    if (Q_UNLIKELY(object == NULL)) {
        return no_memory();
    }
    errno = errno_before;
    return object;
}

/* Out of the early buffer; the old object is left there. */
Q_COLD static void *early_realloc(void *object, size_t bytes)
{
    void *moved = malloc(bytes);

    if (moved != NULL) {
        memcpy(moved, object, size_min(bytes, malloc_early_usable(object)));
    }
    return moved;
}

MALLOC_EXPORT void *realloc(void *object, size_t bytes)
{
    if (object == NULL) {
        return malloc(bytes);
    }
    if (bytes == 0) {
        free(object);
        return NULL;
    }
    if (Q_UNLIKELY(bytes > MEM_OBJECT_MAX_BYTES)) {
        return no_memory();
    }
    if (Q_UNLIKELY(malloc_early_is(object))) {
        return early_realloc(object, bytes);
    }
    int errno_before = errno;
    void *moved = mem_realloc(&malloc_heap, object, bytes);
    if (Q_UNLIKELY(moved == NULL)) {
        return no_memory();
    }
    errno = errno_before;
    return moved;
}

MALLOC_EXPORT void *reallocarray(void *object, size_t count, size_t bytes)
{
    size_t total;

    return checked_mul_size(count, bytes, &total) ? realloc(object, total) : no_memory();
}

MALLOC_EXPORT size_t malloc_usable_size(void *object)
{
    if (object == NULL) {
        return 0;
    }
    return malloc_early_is(object) ? malloc_early_usable(object) : mem_usable(&malloc_heap, object);
}

/* C23's; the C library's headers do not declare them yet. */
MALLOC_EXPORT void free_sized(void *object, size_t bytes);
MALLOC_EXPORT void free_aligned_sized(void *object, size_t align_bytes, size_t bytes);

void free_sized(void *object, size_t bytes)
{
    (void)bytes;
    free(object);
}

void free_aligned_sized(void *object, size_t align_bytes, size_t bytes)
{
    (void)align_bytes;
    (void)bytes;
    free(object);
}

/* ---- alignment ------------------------------------------------------------------------------ */

void *malloc_aligned(size_t align_bytes, size_t bytes)
{
    if (align_bytes <= 16) {
        /* Up to 8 bytes align to 8 otherwise. */
        return malloc(size_max(bytes, align_bytes));
    }
    if (Q_UNLIKELY(bytes > MEM_OBJECT_MAX_BYTES || align_bytes > MEM_OBJECT_MAX_BYTES)) {
        return no_memory();
    }
    if (!malloc_heap_is_made() && !malloc_heap_make()) {
        return early_alloc(bytes, align_bytes);
    }
    int errno_before = errno;
    void *object = mem_alloc_aligned(mem_door_pool(&malloc_heap), bytes, align_bytes);
    if (Q_UNLIKELY(object == NULL)) {
        return no_memory();
    }
    errno = errno_before;
    return object;
}

static void *bad_alignment(void)
{
    errno = EINVAL;
    return NULL;
}

MALLOC_EXPORT void *aligned_alloc(size_t align_bytes, size_t bytes)
{
    return bits_is_power_of_two_u64(align_bytes) ? malloc_aligned(align_bytes, bytes)
                                                 : bad_alignment();
}

MALLOC_EXPORT void *memalign(size_t align_bytes, size_t bytes)
{
    if (align_bytes > (size_t)1 << 62) {
        return bad_alignment();
    }
    align_bytes = align_bytes < 2 ? 1 : (size_t)1 << bits_log2_ceil_u64(align_bytes);
    return malloc_aligned(align_bytes, bytes);
}

MALLOC_EXPORT int posix_memalign(void **ret_object, size_t align_bytes, size_t bytes)
{
    int errno_before = errno;

    if (!bits_is_power_of_two_u64(align_bytes) || align_bytes % sizeof(void *) != 0) {
        return EINVAL;
    }
    void *object = malloc_aligned(align_bytes, bytes);
    errno = errno_before;
    if (object == NULL) {
        return ENOMEM;
    }
    *ret_object = object;
    return 0;
}

MALLOC_EXPORT void *valloc(size_t bytes)
{
    return malloc_aligned(os_real()->page_bytes, bytes);
}

MALLOC_EXPORT void *pvalloc(size_t bytes)
{
    size_t page_bytes = os_real()->page_bytes;

    if (bytes > MEM_OBJECT_MAX_BYTES) {
        return no_memory();
    }
    return malloc_aligned(page_bytes, size_align_up(size_max(bytes, 1), page_bytes));
}
