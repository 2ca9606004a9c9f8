/*
 * The driver of Quarry's own block cache.
 *
 * Its memory has a budget of the capacity and a quarter more, so that nobody else's pressure is in
 * the figures, and no thread that gives memory back meanwhile: the peers have none either.
 */
#include <bench/blocks/driver_quarry.h>

#include <stdio.h>
#include <stdlib.h>

#include <base/base.h>
#include <ref/ref.h>

#include <quarry/block.h>

/* Budget beside the capacity: metadata, and blocks that are held or not yet in. */
#define SPARE_PART  4u
#define SPARE_BYTES Q_MIB(64)

struct owner {
    struct quarry_memory *memory;
    struct quarry_block_cache *cache;
    uint64_t handle;
};

static const struct quarry_block_tag tag = {.kind = QUARRY_BLOCK_DATA,
                                            .level = QUARRY_BLOCK_LEVEL_UNKNOWN};

static void must(enum quarry_status status, const char *what, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        (void)fprintf(stderr, "quarry-bench-child: %s: %s %s\n", what, quarry_status_name(status),
                      error == NULL ? "" : error->text);
        exit(1);
    }
}

static struct quarry_block_key key_of(const struct owner *owner, struct bench_cache_key key)
{
    return (struct quarry_block_key){owner->handle, key.file, key.offset};
}

static struct bench_cache_hold hold(const struct quarry_block *block)
{
    return (struct bench_cache_hold){
        .handle = block->ref, .base = block->data, .token = block->token};
}

static struct quarry_block block_of(struct bench_cache_hold held)
{
    return (struct quarry_block){.data = held.base, .ref = held.handle, .token = held.token};
}

static void *create(const struct bench_cache_options *options)
{
    struct owner *owner = calloc(1, sizeof *owner);
    struct quarry_error error = {0};
    uint64_t usual_bytes =
        options->capacity_bytes + options->capacity_bytes / SPARE_PART + SPARE_BYTES;
    struct quarry_memory_options memory = {
        .limit_bytes = options->memory_bytes != 0 ? options->memory_bytes : usual_bytes,
        .has_no_thread = options->memory_bytes == 0};
    struct quarry_block_cache_options cache = {.name = "bench",
                                               .capacity_bytes = options->capacity_bytes};

    must(owner == NULL ? QUARRY_NO_MEMORY : QUARRY_OK, "the driver", NULL);
    must(quarry_memory_create(&memory, &owner->memory, &error), "memory", &error);
    must(quarry_block_cache_create(owner->memory, &cache, &owner->cache, &error), "block cache",
         &error);
    owner->handle = quarry_block_cache_handle(owner->cache);
    return owner;
}

static void destroy(void *context)
{
    struct owner *owner = context;

    must(quarry_block_cache_close(owner->cache), "closing the block cache", NULL);
    quarry_memory_destroy(owner->memory);
    free(owner);
}

static struct bench_cache_hold lookup(void *context, struct bench_cache_key key)
{
    struct owner *owner = context;
    struct quarry_block_key own = key_of(owner, key);
    struct quarry_block block = {0};

    if (!quarry_block_cache_get(owner->cache, &own, tag, &block)) {
        return (struct bench_cache_hold){0};
    }
    return hold(&block);
}

static struct bench_cache_hold alloc(void *context, size_t bytes)
{
    struct owner *owner = context;
    struct quarry_block block = {0};

    must(quarry_block_alloc(owner->cache, bytes, 0, &block), "a block", NULL);
    return hold(&block);
}

static struct bench_cache_hold insert(void *context, struct bench_cache_key key,
                                      struct bench_cache_hold value, size_t bytes)
{
    struct owner *owner = context;
    struct quarry_block_key own = key_of(owner, key);
    struct quarry_block block = block_of(value);

    (void)bytes;
    must(quarry_block_cache_put(owner->cache, &own, tag, &block), "putting a block", NULL);
    return value;
}

static void release(void *context, struct bench_cache_hold held)
{
    struct owner *owner = context;
    struct quarry_block block = block_of(held);

    quarry_block_release(owner->cache, &block);
}

static void erase(void *context, struct bench_cache_key key)
{
    struct owner *owner = context;
    struct quarry_block_key own = key_of(owner, key);

    (void)quarry_block_cache_erase(owner->cache, &own);
}

/* A load that is under way. */
struct loading {
    struct owner *owner;
    size_t bytes;
    void (*load)(void *context, void *base);
    void *context;
};

static enum quarry_status load(void *argument, const struct quarry_block_key *key,
                               struct quarry_block *ret_block)
{
    struct loading *loading = argument;
    enum quarry_status status =
        quarry_block_alloc(loading->owner->cache, loading->bytes, 0, ret_block);

    (void)key;
    if (status == QUARRY_OK) {
        loading->load(loading->context, ret_block->data);
    }
    return status;
}

static struct bench_cache_hold get_or_load(void *context, struct bench_cache_key key, size_t bytes,
                                           void (*call)(void *context, void *base),
                                           void *call_context)
{
    struct owner *owner = context;
    struct loading loading = {owner, bytes, call, call_context};
    struct quarry_block_key own = key_of(owner, key);
    struct quarry_block block = {0};

    must(quarry_block_cache_get_or_load(owner->cache, &own, tag, load, &loading, &block),
         "loading a block", NULL);
    return hold(&block);
}

static void count_leak(void *argument, const struct ref_leak *leak)
{
    uint64_t *count = argument;

    *count += leak->pc_count > 0 ? 1 : 0;
}

/* Those whose stacks are known: closing tells of them, and says that it could not be. */
static uint64_t tell_leaks(void *context)
{
    struct owner *owner = context;
    uint64_t count = 0;

    ref_leak_set_handler(count_leak, &count);
    enum quarry_status status = quarry_block_cache_close(owner->cache);
    ref_leak_set_handler(NULL, NULL);
    Q_ASSERT(status == QUARRY_BUSY); /* or nothing was held, and the cache is gone */
    return count;
}

const struct bench_cache_driver bench_cache_driver_quarry = {
    .name = "quarry",
    .create = create,
    .destroy = destroy,
    .lookup = lookup,
    .alloc = alloc,
    .insert = insert,
    .release = release,
    .erase = erase,
    .get_or_load = get_or_load,
    .tell_leaks = tell_leaks,
};
