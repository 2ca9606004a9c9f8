#include "misuse_rig.h"

#include <pthread.h>

#define SAMPLES_MAX 4096u

struct mem_heap objects;
struct mem_pool *pool;
_Atomic uint64_t allocated_count, freed_count, strange_count;

static uint64_t gap_bytes;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* guarded by mutex */
static const void *sample[SAMPLES_MAX];

static uint64_t gap(void *argument, uint64_t *random_state, uint64_t *ret_mean_bytes)
{
    (void)argument;
    (void)random_state;
    *ret_mean_bytes = gap_bytes;
    return gap_bytes;
}

/* The place of an object among the samples in use; of NULL, a free place. */
static const void **place_of(const void *object)
{
    for (uint32_t i = 0; i < SAMPLES_MAX; i++) {
        if (sample[i] == object) {
            return &sample[i];
        }
    }
    return NULL;
}

static void allocated(void *argument, const void *object, const struct mem_sample *of)
{
    (void)argument;
    pthread_mutex_lock(&mutex);
    const void **place = place_of(NULL);
    bool is_strange = object == NULL || place == NULL || place_of(object) != NULL ||
                      of->usable_bytes < of->requested_bytes;
    if (is_strange) {
        atomic_add_relaxed_u64(&strange_count, 1);
    } else {
        *place = object;
        atomic_add_relaxed_u64(&allocated_count, 1);
    }
    pthread_mutex_unlock(&mutex);
}

static bool freed(void *argument, const void *object)
{
    (void)argument;
    pthread_mutex_lock(&mutex);
    const void **place = place_of(object);
    if (place != NULL) {
        *place = NULL;
        atomic_add_relaxed_u64(&freed_count, 1);
    }
    pthread_mutex_unlock(&mutex);
    return place != NULL;
}

static void fork_prepare(void *argument)
{
    (void)argument;
    pthread_mutex_lock(&mutex);
}

static void fork_done(void *argument)
{
    (void)argument;
    pthread_mutex_unlock(&mutex);
}

void objects_begin(struct mem_heap_options options, uint64_t gap_of, uint64_t limit_bytes)
{
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){.limit_bytes = limit_bytes, .has_real_backing = true});
    objects = (struct mem_heap){.map = MEM_MAP_NONE};
    memset(sample, 0, sizeof sample);
    gap_bytes = gap_of;
    allocated_count = freed_count = strange_count = 0;
    if (gap_bytes != 0) {
        objects.observer = (struct mem_observer){.gap = gap,
                                                 .allocated = allocated,
                                                 .freed = freed,
                                                 .fork_prepare = fork_prepare,
                                                 .fork_parent = fork_done,
                                                 .fork_child = fork_done};
    }
    options.pages = heap;
    options.reserved_bytes = Q_GIB(1);
    if (mem_heap_init(&objects, &options, &error) != QUARRY_OK) {
        fail_msg("mem_heap_init: %s", error.text);
    }
    pool = objects.general_pool;
}

void objects_check(void)
{
    struct quarry_error error = {0};

    if (mem_heap_validate(&objects, &error) != QUARRY_OK) {
        fail_msg("mem_heap_validate: %s", error.text);
    }
    heap_check();
    assert_int_equal(strange_count, 0);
}

void objects_end(void)
{
    objects_check();
    mem_heap_fini(&objects);
    heap_end();
}

void *opaque(void *pointer)
{
    __asm__ volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

void *take(size_t bytes)
{
    void *object = mem_alloc(pool, bytes);

    if (object == NULL) {
        fail_msg("no object of %zu bytes", bytes);
    }
    return opaque(object);
}

void pattern_fill(void *base, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++) {
        ((unsigned char *)base)[i] = (unsigned char)(seed + i * 7 + 1);
    }
}

bool pattern_holds(const void *base, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++) {
        if (((const unsigned char *)base)[i] != (unsigned char)(seed + i * 7 + 1)) {
            return false;
        }
    }
    return true;
}
