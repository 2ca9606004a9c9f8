#include "unit/mem/mem_rig.h"

#include <string.h>

struct mem_heap objects;

void mem_begin(uint64_t limit_bytes)
{
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){
        .limit_bytes = limit_bytes, .reserved_bytes = Q_GIB(16), .has_real_backing = true});
    struct mem_heap_options options = {.pages = heap, .reserved_bytes = Q_GIB(2)};
    objects = (struct mem_heap){.map = MEM_MAP_NONE};
    if (mem_heap_init(&objects, &options, &error) != QUARRY_OK) {
        fail_msg("mem_heap_init: %s", error.text);
    }
}

void mem_check(void)
{
    struct quarry_error error = {0};

    if (mem_heap_validate(&objects, &error) != QUARRY_OK) {
        fail_msg("mem_heap_validate: %s", error.text);
    }
    heap_check();
}

void mem_end(void)
{
    mem_check();
    mem_heap_fini(&objects);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
}

int mem_set_up(void **state)
{
    (void)state;
    mem_begin(0);
    return 0;
}

int mem_tear_down(void **state)
{
    (void)state;
    mem_end();
    return 0;
}

struct mem_lifetime *lifetime_make(const char *name)
{
    struct quarry_error error = {0};
    struct mem_lifetime *lifetime = NULL;

    if (mem_lifetime_begin(&objects, name, &lifetime, &error) != QUARRY_OK) {
        fail_msg("mem_lifetime_begin: %s", error.text);
    }
    return lifetime;
}

struct mem_pool *pool_make(struct mem_lifetime *lifetime, const char *owner)
{
    struct mem_pool *pool = NULL;

    assert_int_equal(mem_pool_create(lifetime, owner_make(owner), &pool), QUARRY_OK);
    return pool;
}

void *take(struct mem_pool *pool, size_t bytes)
{
    void *object = mem_alloc(pool, bytes);

    assert_non_null(object);
    assert_true(mem_is_object(&objects, object));
    assert_true(mem_usable(&objects, object) >= bytes);
    return object;
}

uint64_t pool_pages(const struct mem_pool *pool)
{
    return owner_pages_in(pool->owner, pool->lane);
}

struct mem_span *span_of(const void *object)
{
    return mem_map_find(&objects.map, object);
}

/* Both ends and a byte of each 256: enough to see a stranger's write, and fast. */
void pattern_write(void *object, size_t bytes, uint64_t seed)
{
    uint8_t *byte = object;

    for (size_t i = 0; i < bytes; i += 256) {
        byte[i] = (uint8_t)(seed + i / 256);
    }
    if (bytes > 1) {
        byte[bytes - 1] = (uint8_t)(seed ^ 0xa5);
    }
}

/* Of an object that had more. */
void pattern_check_prefix(const void *object, size_t bytes, uint64_t seed)
{
    const uint8_t *byte = object;

    for (size_t i = 0; i + 1 < bytes; i += 256) {
        Q_ASSERT(byte[i] == (uint8_t)(seed + i / 256));
    }
}

void pattern_check(const void *object, size_t bytes, uint64_t seed)
{
    const uint8_t *byte = object;

    pattern_check_prefix(object, bytes, seed);
    Q_ASSERT(bytes <= 1 || byte[bytes - 1] == (uint8_t)(seed ^ 0xa5));
}
