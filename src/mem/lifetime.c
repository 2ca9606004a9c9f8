/*
 * The public door, include/quarry/lifetime.h: the same objects under their public names.
 *
 * A `struct quarry_lifetime` is a mem_lifetime and a `struct quarry_pool` a mem_pool; the public
 * names are never defined, so that nothing outside can look inside. The object heap of a memory is
 * made with its first lifetime, in heap.c.
 */
#include <quarry/lifetime.h>

#include <mem/large.h>
#include <mem/object.h>

static struct mem_pool *pool_of(struct quarry_pool *pool)
{
    return (struct mem_pool *)(void *)pool;
}

/* ---- lifetimes and pools -------------------------------------------------------------------- */

enum quarry_status quarry_lifetime_begin(struct quarry_memory *memory, const char *name,
                                         struct quarry_lifetime **ret_lifetime,
                                         struct quarry_error *error)
{
    struct mem_lifetime *lifetime;
    struct mem_heap *heap;

    enum quarry_status status = mem_heap_find((struct page_heap *)(void *)memory, &heap, error);
    if (status == QUARRY_OK) {
        status = mem_lifetime_begin(heap, name, &lifetime, error);
    }
    if (status == QUARRY_OK) {
        *ret_lifetime = (struct quarry_lifetime *)(void *)lifetime;
    }
    return status;
}

void quarry_lifetime_end(struct quarry_lifetime *lifetime)
{
    if (lifetime != NULL) {
        mem_lifetime_end((struct mem_lifetime *)(void *)lifetime);
    }
}

enum quarry_status quarry_pool_create(struct quarry_lifetime *lifetime, uint32_t owner,
                                      struct quarry_pool **ret_pool)
{
    struct mem_lifetime *of = (struct mem_lifetime *)(void *)lifetime;
    struct mem_pool *pool;

    /* Acquire: pairs with the release in page_ledger_register. */
    Q_ASSERT(owner < atomic_load_acquire_u32(&of->heap->pages->ledger.owner_count));
    enum quarry_status status = mem_pool_create(of, owner, &pool);
    if (status == QUARRY_OK) {
        *ret_pool = (struct quarry_pool *)(void *)pool;
    }
    return status;
}

/* ---- objects -------------------------------------------------------------------------------- */

/* Gives out an object; where there is none, says why. */
static enum quarry_status hand_out(const struct mem_pool *pool, size_t bytes, size_t align_bytes,
                                   void *object, void **ret_object)
{
    if (object != NULL) {
        *ret_object = object;
        return QUARRY_OK;
    }
    bool is_too_large = bytes > pool->lane->reserved_bytes || align_bytes > PAGE_ZONE_BYTES;
    return is_too_large ? QUARRY_TOO_LARGE : QUARRY_NO_MEMORY;
}

void *quarry_alloc(struct quarry_pool *pool, size_t bytes)
{
    return mem_alloc(pool_of(pool), bytes);
}

enum quarry_status quarry_pool_alloc(struct quarry_pool *pool, size_t bytes, void **ret_object)
{
    return hand_out(pool_of(pool), bytes, 1, mem_alloc(pool_of(pool), bytes), ret_object);
}

enum quarry_status quarry_pool_alloc_zero(struct quarry_pool *pool, size_t bytes, void **ret_object)
{
    void *object = mem_alloc_zero(pool_of(pool), NULL, bytes);

    return hand_out(pool_of(pool), bytes, 1, object, ret_object);
}

enum quarry_status quarry_pool_alloc_aligned(struct quarry_pool *pool, size_t bytes,
                                             size_t align_bytes, void **ret_object)
{
    void *object = mem_alloc_aligned(pool_of(pool), bytes, align_bytes);

    return hand_out(pool_of(pool), bytes, align_bytes, object, ret_object);
}

void *quarry_realloc(struct quarry_pool *pool, void *object, size_t bytes)
{
    if (object == NULL) {
        return mem_alloc(pool_of(pool), bytes);
    }
    return mem_realloc(pool_of(pool)->heap, object, bytes);
}

void quarry_free(struct quarry_pool *pool, void *object)
{
    mem_free(pool_of(pool)->heap, object);
}

size_t quarry_usable_size(struct quarry_pool *pool, const void *object)
{
    return mem_usable(pool_of(pool)->heap, object);
}

/* ---- the process' own malloc ---------------------------------------------------------------- */

struct quarry_memory *quarry_process_memory(void)
{
    struct mem_heap *door = mem_heap_door();

    return door == NULL ? NULL : (struct quarry_memory *)(void *)door->pages;
}

enum quarry_status quarry_scope_begin(struct quarry_pool *pool, struct quarry_pool **ret_previous)
{
    struct mem_pool *of = pool_of(pool);

    if (!of->heap->is_door) {
        return QUARRY_BAD_INPUT;
    }
    const struct mem_bins *before = mem_door_bins(of->heap);
    struct mem_pool *previous = before == NULL ? NULL : before->pool;
    struct mem_thread *thread = mem_thread_find(of->heap);
    struct mem_bins *bins = thread == NULL ? NULL : mem_thread_bins(thread, of);
    if (bins == NULL) {
        return QUARRY_NO_MEMORY;
    }
    mem_door_set(thread, bins);
    *ret_previous = (struct quarry_pool *)(void *)previous;
    return QUARRY_OK;
}

void quarry_scope_end(struct quarry_pool *previous)
{
    struct mem_heap *door = mem_heap_door();
    struct mem_thread *thread = door == NULL ? NULL : mem_thread_own(door);

    /* Else the thread is ending, which has left all scopes. */
    if (thread != NULL) {
        struct mem_pool *pool = previous == NULL ? door->general_pool : pool_of(previous);
        mem_door_set(thread, thread->bins[pool->id]);
    }
}
