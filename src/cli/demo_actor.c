/*
 * An actor: fills its lane towards a target, a little each tick, and writes to every page it gets,
 * so that what is committed is resident as well.
 */
#include <cli/demo_actor.h>

#include <stdlib.h>

/* What an actor may hold at most: the budget of the demonstration. */
#define ACTOR_PAGES_MAX (Q_MIB(256) >> PAGE_SHIFT)
/* The kernel backs memory in OS pages of this size at least. */
#define TOUCH_STEP 4096u

enum quarry_status demo_actor_init(struct demo_actor *actor, const struct demo_role *role,
                                   struct page_heap *heap, _Atomic uint64_t *allocated_bytes,
                                   struct quarry_error *error)
{
    const struct page_lane_options options = {.name = role->lane, .reserved_bytes = Q_GIB(1)};

    *actor = (struct demo_actor){
        .role = role,
        .run_capacity = (uint32_t)(ACTOR_PAGES_MAX / role->run_pages_min),
        .random = 1,
        .allocated_bytes = allocated_bytes,
    };
    actor->run = calloc(actor->run_capacity, sizeof(*actor->run));
    if (actor->run == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for %u runs", actor->run_capacity);
    }
    enum quarry_status status = page_ledger_register(&heap->ledger, role->owner, &actor->owner);
    if (status != QUARRY_OK) {
        return error_set(error, status, "owner '%s': %s", role->owner, quarry_status_text(status));
    }
    return page_lane_create(heap, &options, &actor->lane, error);
}

void demo_actor_fini(struct demo_actor *actor)
{
    free(actor->run);
    actor->run = NULL;
}

void demo_actor_aim(struct demo_actor *actor, uint64_t bytes, uint64_t bytes_per_tick)
{
    actor->target_pages = bytes >> PAGE_SHIFT;
    actor->pages_per_tick = bytes_per_tick >> PAGE_SHIFT;
}

/* The next of a sequence that is the same in every run (xorshift). */
static uint32_t next_random(struct demo_actor *actor)
{
    uint32_t random = actor->random;

    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    actor->random = random;
    return random;
}

static void touch(char *base, uint64_t page_count)
{
    for (uint64_t offset = 0; offset < page_count << PAGE_SHIFT; offset += TOUCH_STEP) {
        *(volatile char *)(base + offset) = 1;
    }
}

/* Returns false when the budget says no. */
static bool allocate_one(struct demo_actor *actor)
{
    const struct demo_role *role = actor->role;
    uint32_t choice_count = role->run_pages_max - role->run_pages_min + 1;
    uint64_t page_count = role->run_pages_min + next_random(actor) % choice_count;

    if (actor->run_count == actor->run_capacity) {
        return false;
    }
    struct page_run run = page_alloc(actor->lane, actor->owner, page_count);
    if (run.base == NULL) {
        return false;
    }
    touch(run.base, page_count);
    actor->run[actor->run_count++] = run.base;
    actor->held_pages += page_count;
    (void)atomic_add_relaxed_u64(actor->allocated_bytes, page_count << PAGE_SHIFT);
    return true;
}

static void free_one(struct demo_actor *actor)
{
    uint32_t index = next_random(actor) % actor->run_count;
    void *base = actor->run[index];

    actor->held_pages -= page_lane_run_pages(actor->lane, base);
    actor->run[index] = actor->run[--actor->run_count];
    page_free(actor->lane, base);
}

uint64_t demo_actor_free(struct demo_actor *actor, uint64_t wanted_bytes)
{
    uint64_t held_pages = actor->held_pages;

    while (actor->run_count > 0 && (held_pages - actor->held_pages) << PAGE_SHIFT < wanted_bytes) {
        free_one(actor);
    }
    return (held_pages - actor->held_pages) << PAGE_SHIFT;
}

void demo_actor_tick(struct demo_actor *actor)
{
    uint64_t most_pages = actor->held_pages + actor->pages_per_tick;
    uint32_t replaced_count = actor->run_count * actor->role->churn_percent / 100;

    for (uint32_t i = 0; i < replaced_count; i++) {
        free_one(actor);
    }
    /* The target may fall meanwhile: an actor at the limit may be its own reclaimer. */
    while (actor->held_pages < size_min_u64(actor->target_pages, most_pages) &&
           allocate_one(actor)) {
    }
}

void demo_actor_end(struct demo_actor *actor)
{
    page_lane_end(actor->lane);
    actor->run_count = 0;
    actor->held_pages = 0;
    actor->target_pages = 0;
}
