#include "unit/block/block_rig.h"

struct quarry_block_cache *cache;
uint64_t store;
const struct quarry_block_tag data_tag = {.kind = QUARRY_BLOCK_DATA, .level = 2};
const struct quarry_block_tag background_tag = {
    .kind = QUARRY_BLOCK_DATA, .level = 2, .is_background = true};

void cache_begin(uint64_t limit_bytes, const struct quarry_block_cache_options *options)
{
    static const struct quarry_block_cache_options plain = {.name = "block",
                                                            .capacity_bytes = Q_MIB(1)};
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){
        .limit_bytes = limit_bytes, .reserved_bytes = Q_GIB(64), .has_real_backing = true});
    if (quarry_block_cache_create((struct quarry_memory *)heap, options == NULL ? &plain : options,
                                  &cache, &error) != QUARRY_OK) {
        fail_msg("quarry_block_cache_create: %s", error.text);
    }
    store = quarry_block_cache_handle(cache);
}

void cache_check(void)
{
    struct quarry_error error = {0};

    if (quarry_block_cache_validate(cache, &error) != QUARRY_OK ||
        quarry_accounts_validate((struct quarry_memory *)heap, &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
}

void cache_end(void)
{
    cache_check();
    assert_int_equal(quarry_block_cache_close(cache), QUARRY_OK);
    cache = NULL;
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
}

int cache_set_up(void **state)
{
    (void)state;
    cache_begin(0, NULL);
    return 0;
}

int cache_tear_down(void **state)
{
    (void)state;
    cache_end();
    return 0;
}

struct quarry_block_key key_of(uint64_t n)
{
    return (struct quarry_block_key){.handle = store, .file = n / 100, .offset = n % 100 * 4096};
}

static uint64_t word_of(uint64_t n, size_t place)
{
    return (n + 1) * UINT64_C(0x9e3779b97f4a7c15) + place;
}

void block_fill(const struct quarry_block *block, uint64_t n)
{
    uint64_t *word = quarry_block_data(block);

    for (size_t i = 0; i < quarry_block_bytes(block) / sizeof(*word); i++) {
        word[i] = word_of(n, i);
    }
}

bool block_is_right(const struct quarry_block *block, uint64_t n)
{
    const uint64_t *word = quarry_block_data(block);
    size_t count = quarry_block_bytes(block) / sizeof(*word), step = count > 1024 ? 61 : 1;

    for (size_t i = 0; i < count; i += step) {
        if (word[i] != word_of(n, i)) {
            return false;
        }
    }
    return count == 0 || word[count - 1] == word_of(n, count - 1);
}

void block_check(const struct quarry_block *block, uint64_t n)
{
    if (!block_is_right(block, n)) {
        fail_msg("block %llu is not what was put in", (unsigned long long)n);
    }
}

struct quarry_block block_make(uint64_t n, size_t bytes)
{
    struct quarry_block block = {0};

    assert_int_equal(quarry_block_alloc(cache, bytes, 0, &block), QUARRY_OK);
    assert_int_equal(quarry_block_bytes(&block), bytes);
    block_fill(&block, n);
    return block;
}

enum quarry_status enter(uint64_t n, size_t bytes)
{
    struct quarry_block block = block_make(n, bytes);
    struct quarry_block_key key = key_of(n);
    enum quarry_status status = quarry_block_cache_put(cache, &key, data_tag, &block);

    block_check(&block, n);
    quarry_block_release(cache, &block);
    assert_null(block.data);
    return status;
}

static bool is_there_for(uint64_t n, struct quarry_block_tag tag)
{
    struct quarry_block block = {0};
    struct quarry_block_key key = key_of(n);

    if (!quarry_block_cache_get(cache, &key, tag, &block)) {
        return false;
    }
    block_check(&block, n);
    quarry_block_release(cache, &block);
    return true;
}

bool is_there(uint64_t n)
{
    return is_there_for(n, data_tag);
}

bool is_there_quietly(uint64_t n)
{
    return is_there_for(n, background_tag);
}

struct quarry_block_stats stats_now(void)
{
    struct quarry_block_stats stats;

    quarry_block_cache_stats(cache, QUARRY_BLOCK_WINDOW_TOTAL, &stats);
    return stats;
}
