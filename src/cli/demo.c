/*
 * The demonstration: a heap, a thread that plays the script, and what a reader sees of both.
 *
 * The stage belongs to the thread. A reader gets at the heap through the heap's own doors, at three
 * counters, and at the sentence under a mutex of its own.
 */
#include <cli/demo.h>

#include <cli/demo_script.h>

#include <stdlib.h>
#include <string.h>

struct demo {
    /* const after creation */
    struct page_heap *heap;
    uint64_t began_ns;
    void *stack;
    struct os_thread thread;
    bool is_playing;
    /* the demonstration's thread, from its start to its end */
    struct demo_stage stage;
    uint32_t actor_count; /* actors that were made */
    /* atomic */
    _Atomic uint32_t is_over; /* futex word */
    _Atomic uint64_t allocated_bytes;
    _Atomic uint64_t reclaimed_bytes;
    struct os_mutex mutex;
    /* guarded by mutex */
    char sentence[DEMO_SENTENCE_BYTES];
    /* the reader */
    uint8_t *map; /* own */
    size_t map_capacity;
};

/* ---- the thread ----------------------------------------------------------------------------- */

static void play(void *argument)
{
    struct demo *demo = argument;
    char sentence[DEMO_SENTENCE_BYTES] = "";
    uint64_t due_ns = demo->began_ns;

    /* Pairs with the store in demo_destroy. */
    while (atomic_load_acquire_u32(&demo->is_over) == 0) {
        uint64_t now_ns = os_monotonic_ns(os_real());
        if (now_ns < due_ns) {
            os_futex_wait(&demo->is_over, 0, due_ns - now_ns);
            continue;
        }
        demo_script_tick(&demo->stage, now_ns - demo->began_ns, sentence);
        os_mutex_lock(&demo->mutex);
        memcpy(demo->sentence, sentence, sizeof(sentence));
        os_mutex_unlock(&demo->mutex);
        due_ns = size_max_u64(due_ns + DEMO_TICK_NS, now_ns);
    }
}

static enum quarry_status start_thread(struct demo *demo, struct quarry_error *error)
{
    demo->stack = aligned_alloc(4096, OS_THREAD_STACK_BYTES);
    if (demo->stack == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a thread's stack");
    }
    enum quarry_status status = os_thread_start(&demo->thread, "quarry-demo", demo->stack,
                                                OS_THREAD_STACK_BYTES, play, demo);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no thread: %s", quarry_status_text(status));
    }
    demo->is_playing = true;
    return QUARRY_OK;
}

/* ---- beginning and end ---------------------------------------------------------------------- */

static enum quarry_status make_stage(struct demo *demo, struct quarry_error *error)
{
    struct demo_stage *stage = &demo->stage;
    enum quarry_status status = QUARRY_OK;

    *stage = (struct demo_stage){.heap = demo->heap, .reclaimed_bytes = &demo->reclaimed_bytes};
    while (demo->actor_count < DEMO_PARTS && status == QUARRY_OK) {
        uint32_t part = demo->actor_count++;
        status = demo_actor_init(&stage->actor[part], &demo_roles[part], demo->heap,
                                 &demo->allocated_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = page_heap_add_reclaimer(demo->heap, 0, demo_script_reclaim, stage);
    }
    return status;
}

enum quarry_status demo_create(struct demo **ret_demo, struct quarry_error *error)
{
    const struct page_heap_options options = {.limit_bytes = DEMO_LIMIT_BYTES};
    struct demo *demo = calloc(1, sizeof(*demo));

    if (demo == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the demonstration");
    }
    os_mutex_init(&demo->mutex, OS_RANK_LEAF, 0);
    enum quarry_status status = page_heap_create(&options, &demo->heap, error);
    if (status == QUARRY_OK) {
        status = make_stage(demo, error);
    }
    demo->began_ns = os_monotonic_ns(os_real());
    if (status == QUARRY_OK) {
        status = start_thread(demo, error);
    }
    if (status != QUARRY_OK) {
        demo_destroy(demo);
        return status;
    }
    *ret_demo = demo;
    return QUARRY_OK;
}

void demo_destroy(struct demo *demo)
{
    if (demo->is_playing) {
        /* Pairs with the load in play. */
        atomic_store_release_u32(&demo->is_over, 1);
        os_futex_wake(&demo->is_over, 1);
        os_thread_join(&demo->thread);
    }
    if (demo->heap != NULL) {
        page_heap_remove_reclaimer(demo->heap, demo_script_reclaim, &demo->stage);
        page_heap_destroy(demo->heap);
    }
    for (uint32_t i = 0; i < demo->actor_count; i++) {
        demo_actor_fini(&demo->stage.actor[i]);
    }
    free(demo->stack);
    free(demo->map);
    free(demo);
}

/* ---- reading
 * --------------------------------------------------------------------------------------------------
 */

void demo_read(struct demo *demo, struct demo_reading *ret_reading)
{
    const struct page_scavenger_counters *counters = &demo->heap->scavenger.counters;
    struct demo_reading reading = {
        .elapsed_ns = os_monotonic_ns(os_real()) - demo->began_ns,
        .resident_bytes = os_resident_bytes(),
        .allocated_bytes = atomic_load_relaxed_u64(&demo->allocated_bytes),
        .scavenger_cpu_ns = atomic_load_relaxed_u64(&counters->background_cpu_ns),
        .reclaimed_bytes = atomic_load_relaxed_u64(&demo->reclaimed_bytes),
        .refused_count = atomic_load_relaxed_u64(&demo->heap->refused_count),
    };

    for (uint32_t cause = 0; cause < PAGE_CAUSES; cause++) {
        reading.returned_bytes[cause] = atomic_load_relaxed_u64(&counters->released_bytes[cause]);
    }
    os_mutex_lock(&demo->mutex);
    memcpy(reading.sentence, demo->sentence, sizeof(reading.sentence));
    os_mutex_unlock(&demo->mutex);
    *ret_reading = reading;
}

static enum quarry_status make_room(struct demo *demo, size_t bytes, struct quarry_error *error)
{
    if (bytes > demo->map_capacity) {
        uint8_t *map = realloc(demo->map, bytes);
        if (map == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "no memory for a map of %zu bytes", bytes);
        }
        demo->map = map;
        demo->map_capacity = bytes;
    }
    return QUARRY_OK;
}

enum quarry_status demo_take_map(struct demo *demo, struct demo_map *ret_map,
                                 struct quarry_error *error)
{
    enum quarry_status status = QUARRY_TOO_LARGE;
    size_t bytes = 0;

    /* A lane may grow between the question and the answer. */
    while (status == QUARRY_TOO_LARGE) {
        status = make_room(demo, page_heap_map_bytes(demo->heap), error);
        if (status == QUARRY_OK) {
            status = page_heap_map_write(demo->heap, demo->map, demo->map_capacity, &bytes);
        }
    }
    if (status == QUARRY_OK) {
        *ret_map = (struct demo_map){.bytes = demo->map, .byte_count = bytes};
        status = page_heap_map_parse(demo->map, bytes, &ret_map->view, error);
    }
    return status;
}
