/*
 * Objects: the door of the object heap. The fast paths are inline, because there is one call for
 * every malloc of a program.
 */
#ifndef QUARRY_MEM_OBJECT_H
#define QUARRY_MEM_OBJECT_H

#include <mem/bins.h>
#include <mem/heap.h>
#include <os/os.h>

/* Objects can be this large; a difference of pointers into one always fits. */
#define MEM_OBJECT_MAX_BYTES ((size_t)PTRDIFF_MAX)

/* The rest of the paths below. `bins`: the calling thread's; NULL or mem_bins_none: to be found. */
void *mem_alloc_slow(struct mem_pool *pool, struct mem_bins *bins, size_t bytes);
void mem_free_slow(struct mem_heap *heap, void *object);
Q_COLD void mem_free_wrong(struct mem_heap *heap, struct mem_span *span, uint64_t index);
/* Frees what no span has: a guarded object. Ends the program when it is none. */
Q_COLD void mem_free_none(struct mem_heap *heap, void *object);

/* The index of the lowest set bit of a word that is not 0, without a conversion from int. */
static Q_ALWAYS_INLINE uint64_t mem_lowest_bit(uint64_t word)
{
#if MEM_IN_ASSEMBLER
    uint64_t index;

    __asm__("rep bsfq %[word], %[index]" : [index] "=r"(index) : [word] "rm"(word) : "cc");
    return index;
#else
    return (uint64_t)__builtin_ctzll(word);
#endif
}

/*
 * Allocates from a thread's bins, or calls `slow` (a constant, with the size) and returns what that
 * returns.
 * Returns: aligned to 16 bytes, or 8 for up to 8. Cost: 15 instructions up to 1 KiB.
 */
static Q_ALWAYS_INLINE void *mem_alloc_from(struct mem_bins *bins, size_t bytes,
                                            void *(*slow)(size_t bytes))
{
    if (Q_UNLIKELY(bytes > MEM_FINE_MAX_BYTES)) {
        return slow(bytes);
    }
    struct mem_bin *bin = bins->direct[(bytes + 7) >> MEM_FINE_STEP_SHIFT];
    uint64_t mask = bin->mask, rest = mask & (mask - 1);
    /* The last object of a word is the slow path's: one test for that and for none. */
    if (Q_UNLIKELY(rest == 0)) {
        return slow(bytes);
    }
    bin->mask = rest;
    return bin->base + mem_lowest_bit(mask) * bin->size_bytes;
}

/*
 * Marks an object free and counts it. Returns whether the bins want to know.
 *
 * The order matters to collectors (see collect.c): once they see the bit, this thread writes
 * nothing more to the span.
 */
static inline bool mem_span_set_free(struct mem_span *span, _Atomic uint64_t *word, uint64_t value)
{
    int32_t left = atomic_load_relaxed_i32(&span->left) - 1;

    atomic_store_relaxed_i32(&span->left, left);
    atomic_store_release_u64(word, value);
    return left == 0;
}

/* Sets bit index % 64 of a word. Returns whether it was set. */
static inline bool mem_bit_set(uint64_t *word, uint64_t index)
{
    uint64_t before = *word;

    *word |= (uint64_t)1 << (index & 63);
    return *word == before;
}

/* Where freeing goes on when it is no matter of a few instructions; constants. */
struct mem_free_paths {
    void (*slow)(struct mem_heap *heap, void *object); /* mem_free_slow */
    void (*wrong)(struct mem_heap *heap, struct mem_span *span,
                  uint64_t index);                              /* mem_free_wrong */
    void (*look)(struct mem_heap *heap, struct mem_span *span); /* mem_bins_note_free */
};

/*
 * Frees an object of the heap, from any pool; NULL does nothing. A pointer that is not an object's
 * beginning, or an object that is free, ends the program with a line on stderr.
 * `paths`: the three named above, or what calls them in the end.
 * Threads: any. Cost: 24 instructions for the thread that allocated it.
 */
static Q_ALWAYS_INLINE void mem_free_from(struct mem_heap *heap, void *object,
                                          struct mem_free_paths paths)
{
    struct mem_span *span = mem_map_find(&heap->map, object);

    /* Relaxed: it can only become ours by our own doing, or cease to be. */
    if (Q_UNLIKELY(atomic_load_relaxed_uptr(&span->owner) !=
                   (uintptr_t)__builtin_thread_pointer())) {
        paths.slow(heap, object);
        return;
    }
    uint64_t index = mem_span_index(span, object);
    if (Q_UNLIKELY(index >= span->capacity)) {
        paths.wrong(heap, span, index);
        return;
    }
#if MEM_IN_ASSEMBLER
    /* What stands below, with the bit's old value and the count's end in the flags. */
    __asm__ goto(
        "movq %c[free](%[span],%[word],8), %%rax\n\t"
        "btsq %[index], %%rax\n\t"
        "jc %l[was_free]\n\t"
        "subl $1, %c[left](%[span])\n\t"
        "movq %%rax, %c[free](%[span],%[word],8)\n\t"
        "jz %l[look]"
        :
        : [span] "r"(span), [word] "r"(index >> 6), [index] "r"(index),
          [free] "i"(offsetof(struct mem_span, free)), [left] "i"(offsetof(struct mem_span, left))
        : "rax", "cc", "memory"
        : was_free, look);
    return;
#else
    _Atomic uint64_t *word = mem_span_free(span, index >> 6);
    uint64_t value = atomic_load_relaxed_u64(word);
    if (Q_UNLIKELY(mem_bit_set(&value, index))) {
        goto was_free;
    }
    if (Q_UNLIKELY(mem_span_set_free(span, word, value))) {
        goto look;
    }
    return;
#endif
was_free:
    paths.wrong(heap, span, index);
    return;
look:
    paths.look(heap, span);
}

static inline void mem_free(struct mem_heap *heap, void *object)
{
    mem_free_from(heap, object,
                  (struct mem_free_paths){mem_free_slow, mem_free_wrong, mem_bins_note_free});
}

/*
 * Allocates from a pool. NULL: the budget is full, after all that can be reclaimed.
 * Threads: any.
 */
void *mem_alloc(struct mem_pool *pool, size_t bytes);
/* The bytes are zero. `bins` may be NULL: the thread's own for the pool. */
void *mem_alloc_zero(struct mem_pool *pool, struct mem_bins *bins, size_t bytes);
/* `align_bytes`: a power of two. */
void *mem_alloc_aligned(struct mem_pool *pool, size_t bytes, size_t align_bytes);
/*
 * An object of `bytes` with the contents of `object` as far as they fit: the same one, when its
 * size class or its pages allow, else another of the same pool. NULL: no memory, and `object` is as
 * it was.
 */
void *mem_realloc(struct mem_heap *heap, void *object, size_t bytes);
/* Bytes that may be used of an object. Ends the program when it is none. */
size_t mem_usable(struct mem_heap *heap, const void *object);
/* Whether an object of the heap in use begins at the address, as far as can be told. */
bool mem_is_object(struct mem_heap *heap, const void *address);

#endif
