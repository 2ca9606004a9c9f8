/*
 * Hooks: the few calls that go up, to layers that this one does not know.
 *
 * A tick's slot is taken under lanes_mutex, filled, and then published by its function; it is given
 * back when no tick runs any more after the function was taken away. So whoever ticks and has seen
 * a function reads the argument that belongs to it, without a lock: ticks are whole layers' work.
 *
 * Rejected: one list with a lock, held while ticking. The layers take locks of lower rank.
 */
#include <page/hooks.h>

#include <page/heap.h>

/* ---- ticks ---------------------------------------------------------------------------------- */

static struct page_tick *tick_take_slot(struct page_heap *heap)
{
    struct page_tick *taken = NULL;

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < PAGE_HOOKS_MAX && taken == NULL; i++) {
        if (!heap->hooks.tick[i].is_taken) {
            taken = &heap->hooks.tick[i];
            taken->is_taken = true;
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return taken;
}

enum quarry_status page_heap_add_tick(struct page_heap *heap, page_tick_function *tick,
                                      void *argument)
{
    struct page_tick *slot = tick_take_slot(heap);

    Q_ASSERT(tick != NULL);
    if (slot == NULL) {
        return QUARRY_TOO_MANY;
    }
    slot->argument = argument;
    /* Pairs with the load in page_hooks_tick. */
    atomic_store_seq_cst_ptr(&slot->function, (void *)tick);
    return QUARRY_OK;
}

static struct page_tick *tick_withdraw(struct page_heap *heap, page_tick_function *tick,
                                       const void *argument)
{
    struct page_tick *found = NULL;

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < PAGE_HOOKS_MAX && found == NULL; i++) {
        struct page_tick *slot = &heap->hooks.tick[i];
        if (atomic_load_seq_cst_ptr(&slot->function) == (void *)tick &&
            slot->argument == argument) {
            found = slot;
            atomic_store_seq_cst_ptr(&slot->function, NULL);
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return found;
}

void page_heap_remove_tick(struct page_heap *heap, page_tick_function *tick, void *argument)
{
    struct page_tick *slot = tick_withdraw(heap, tick, argument);

    if (slot == NULL) {
        return;
    }
    /* Pairs with page_hooks_tick: either it sees NULL, or this sees it inside. */
    while (atomic_load_seq_cst_u32(&heap->hooks.is_ticking) != 0) {
        os_yield();
    }
    os_mutex_lock(&heap->lanes_mutex);
    slot->is_taken = false;
    os_mutex_unlock(&heap->lanes_mutex);
}

bool page_hooks_tick(struct page_heap *heap)
{
    bool has_ticked = false;

    /* Pairs with page_heap_remove_tick: either it sees this, or we see what it has set. */
    atomic_store_seq_cst_u32(&heap->hooks.is_ticking, 1);
    for (uint32_t i = 0; i < PAGE_HOOKS_MAX; i++) {
        struct page_tick *slot = &heap->hooks.tick[i];
        page_tick_function *tick = (page_tick_function *)atomic_load_seq_cst_ptr(&slot->function);
        if (tick != NULL) {
            tick(slot->argument);
            has_ticked = true;
        }
    }
    atomic_store_release_u32(&heap->hooks.is_ticking, 0);
    return has_ticked;
}

void page_hooks_after_fork(struct page_heap *heap)
{
    atomic_store_relaxed_u32(&heap->hooks.is_ticking, 0);
}

/* ---- ends ----------------------------------------------------------------------------------- */

enum quarry_status page_heap_add_end(struct page_heap *heap, page_end_function *end, void *argument)
{
    enum quarry_status status = QUARRY_TOO_MANY;
    struct page_hooks *hooks = &heap->hooks;

    Q_ASSERT(end != NULL);
    os_mutex_lock(&heap->lanes_mutex);
    if (hooks->end_count < PAGE_HOOKS_MAX) {
        hooks->end[hooks->end_count++] = (struct page_end){end, argument};
        status = QUARRY_OK;
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return status;
}

void page_heap_remove_end(struct page_heap *heap, page_end_function *end, void *argument)
{
    struct page_hooks *hooks = &heap->hooks;
    uint32_t kept_count = 0;

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t i = 0; i < hooks->end_count; i++) {
        if (hooks->end[i].function != end || hooks->end[i].argument != argument) {
            hooks->end[kept_count++] = hooks->end[i];
        }
    }
    hooks->end_count = kept_count;
    os_mutex_unlock(&heap->lanes_mutex);
}

void page_hooks_end(struct page_heap *heap)
{
    while (heap->hooks.end_count > 0) {
        struct page_end end = heap->hooks.end[--heap->hooks.end_count];
        end.function(end.argument);
    }
}
