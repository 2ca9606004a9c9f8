/*
 * Pressure: how hard it is to find memory, in four levels.
 *
 *   committed ┌──────────────────┬──────────────────────┬──────────────┐ · · limit
 *             │ nobody can give  │ accounts could give  │ free, backed │
 *             └──────────────────┴──────────────────────┴──────────────┘
 *              `--- the share --´
 *
 * A budget that caches fill is not short: what counts is the share of the limit that nobody could
 * give. And what happened: a charge or an allocation that was refused makes it high, refusals tick
 * after tick make it critical.
 *
 * It rises at once. It falls by one level after a second in which nothing was refused and the share
 * was five points below where the level begins, so that work which is shed at a level does not make
 * it swing.
 *
 * Listeners are called by the tick, one after the other, with no lock held, and told of every
 * change once; who comes late reads the level first.
 */
#include <string.h>

#include <budget/tick.h>

#define LEVEL_COUNT 4u
/* How far the share must be below where a level begins for it to end; in 1/1000 of the limit. */
#define LEVEL_GAP_MILLI 50u
/* For how long. */
#define LEVEL_CALM_NS (1 * Q_SECOND_NS)
/* Ticks in a row with refusals that are critical. */
#define LEVEL_REFUSED_TICKS 3u

static const uint32_t level_from_milli[LEVEL_COUNT] = {0, 800, 900, 970};

/* ---- the level ------------------------------------------------------------------------------ */

static uint32_t share_milli(struct budget *budget)
{
    struct page_heap *heap = budget->heap;
    uint64_t limit_bytes = budget_limit_bytes(budget);
    uint64_t committed_bytes = page_commit_read(&heap->commit).committed_bytes;
    uint64_t could_give_bytes =
        sat_add_u64(budget_spare_bytes(budget), page_heap_free_backed_bytes(heap));
    uint64_t held_bytes = sat_sub_u64(committed_bytes, could_give_bytes);

    if (held_bytes >= limit_bytes) {
        return 1000;
    }
    return (uint32_t)((double)held_bytes / (double)limit_bytes * 1000.0);
}

static uint32_t level_by_share(uint32_t milli)
{
    uint32_t level = 0;

    while (level + 1 < LEVEL_COUNT && milli >= level_from_milli[level + 1]) {
        level++;
    }
    return level;
}

/* Ticks in a row with refusals, this one included. */
static uint32_t count_refused_ticks(struct budget *budget)
{
    struct budget_pressure *pressure = &budget->pressure;
    uint64_t refused_count = atomic_load_relaxed_u64(&budget->heap->refused_count) +
                             atomic_load_relaxed_u64(&pressure->refused_count);

    pressure->refused_ticks =
        refused_count != pressure->seen_refused_count ? pressure->refused_ticks + 1 : 0;
    pressure->seen_refused_count = refused_count;
    return pressure->refused_ticks;
}

static uint32_t level_by_refusals(uint32_t refused_ticks)
{
    if (refused_ticks == 0) {
        return QUARRY_PRESSURE_NONE;
    }
    return refused_ticks < LEVEL_REFUSED_TICKS ? QUARRY_PRESSURE_HIGH : QUARRY_PRESSURE_CRITICAL;
}

/* The level after this tick. */
static uint32_t level_next(struct budget *budget, uint64_t now_ns)
{
    struct budget_pressure *pressure = &budget->pressure;
    uint32_t level = atomic_load_relaxed_u32(&pressure->level);
    uint32_t milli = share_milli(budget), refused_ticks = count_refused_ticks(budget);
    uint32_t wanted =
        (uint32_t)size_max_u64(level_by_share(milli), level_by_refusals(refused_ticks));

    if (wanted >= level) {
        pressure->calm_since_ns = 0;
        return wanted;
    }
    if (refused_ticks > 0 || milli + LEVEL_GAP_MILLI > level_from_milli[level]) {
        pressure->calm_since_ns = 0;
        return level;
    }
    if (pressure->calm_since_ns == 0) {
        pressure->calm_since_ns = now_ns;
    }
    if (now_ns - pressure->calm_since_ns < LEVEL_CALM_NS) {
        return level;
    }
    pressure->calm_since_ns = now_ns;
    return level - 1;
}

/* ---- listeners ------------------------------------------------------------------------------ */

/* The listener that the calling thread is inside. */
static _Thread_local const struct budget_listener *told;

bool budget_is_told(const struct budget_listener *listener)
{
    return told == listener;
}

/* Enters the listener in a slot, or returns NULL. */
static quarry_pressure_function *listener_enter(struct budget *budget, uint32_t slot,
                                                void **ret_argument)
{
    struct budget_listener *listener = &budget->pressure.listener[slot];

    os_mutex_lock(&budget->mutex);
    quarry_pressure_function *changed = listener->changed;
    *ret_argument = listener->argument;
    if (changed != NULL) {
        (void)atomic_add_relaxed_u32(&listener->caller_count, 1);
    }
    os_mutex_unlock(&budget->mutex);
    return changed;
}

static void tell_listeners(struct budget *budget, uint32_t level)
{
    for (uint32_t slot = 0; slot < BUDGET_LISTENERS_MAX; slot++) {
        struct budget_listener *listener = &budget->pressure.listener[slot];
        void *argument;
        quarry_pressure_function *changed = listener_enter(budget, slot, &argument);
        if (changed != NULL) {
            told = listener;
            changed(argument, (enum quarry_pressure)level);
            told = NULL;
            /* Pairs with the acquire load when it is removed. */
            (void)atomic_sub_release_u32(&listener->caller_count, 1);
        }
    }
}

void budget_press(struct budget *budget, uint64_t now_ns)
{
    uint32_t level = level_next(budget, now_ns);

    if (level != atomic_load_relaxed_u32(&budget->pressure.level)) {
        atomic_store_relaxed_u32(&budget->pressure.level, level);
        tell_listeners(budget, level);
    }
}

/* ---- the tick ------------------------------------------------------------------------------- */

void budget_tick(void *argument)
{
    struct budget *budget = argument;
    uint64_t now_ns = os_monotonic_ns(budget->heap->os);
    bool has_hits = budget_arbitrate(budget, now_ns);

    budget_ask_over_ceilings(budget);
    budget_press(budget, now_ns);
    if (has_hits || atomic_load_relaxed_u32(&budget->pressure.level) != QUARRY_PRESSURE_NONE) {
        page_scavenger_keep_awake(budget->heap);
    }
}

/* ---- the public door ------------------------------------------------------------------------ */

enum quarry_pressure quarry_memory_pressure(struct quarry_memory *memory)
{
    const struct budget *budget = budget_of(budget_heap_of(memory));

    return budget == NULL ? QUARRY_PRESSURE_NONE
                          : (enum quarry_pressure)atomic_load_relaxed_u32(&budget->pressure.level);
}

const char *quarry_pressure_name(enum quarry_pressure level)
{
    static const char *const name[LEVEL_COUNT] = {"none", "moderate", "high", "critical"};

    Q_ASSERT((uint32_t)level < LEVEL_COUNT);
    return name[level];
}

enum quarry_status quarry_memory_add_pressure_listener(struct quarry_memory *memory,
                                                       quarry_pressure_function *changed,
                                                       void *argument)
{
    struct budget *budget;
    enum quarry_status status = budget_find(budget_heap_of(memory), &budget);

    Q_ASSERT(changed != NULL);
    if (status != QUARRY_OK) {
        return status;
    }
    status = QUARRY_TOO_MANY;
    os_mutex_lock(&budget->mutex);
    for (uint32_t i = 0; i < BUDGET_LISTENERS_MAX && status != QUARRY_OK; i++) {
        struct budget_listener *listener = &budget->pressure.listener[i];
        if (listener->changed == NULL && atomic_load_acquire_u32(&listener->caller_count) == 0) {
            listener->changed = changed;
            listener->argument = argument;
            status = QUARRY_OK;
        }
    }
    os_mutex_unlock(&budget->mutex);
    return status;
}

void quarry_memory_remove_pressure_listener(struct quarry_memory *memory,
                                            quarry_pressure_function *changed, void *argument)
{
    struct budget *budget = budget_of(budget_heap_of(memory));
    struct budget_listener *removed = NULL;

    if (budget == NULL) {
        return;
    }
    os_mutex_lock(&budget->mutex);
    for (uint32_t i = 0; i < BUDGET_LISTENERS_MAX && removed == NULL; i++) {
        struct budget_listener *listener = &budget->pressure.listener[i];
        if (listener->changed == changed && listener->argument == argument) {
            removed = listener;
            removed->changed = NULL;
        }
    }
    os_mutex_unlock(&budget->mutex);
    Q_ASSERT_MSG(removed == NULL || !budget_is_told(removed),
                 "a pressure listener is removed from within itself");
    /* Pairs with the release in tell_listeners. */
    while (removed != NULL && atomic_load_acquire_u32(&removed->caller_count) > 0) {
        os_yield();
    }
}
