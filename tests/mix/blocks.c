/*
 * Blocks: a cache that several threads read through, and that takes what the others leave.
 *
 * The cache's capacity is the whole limit, so that the budget alone bounds it.
 */
#include "mix.h"

#include <quarry/block.h>

#define FILES   64u
#define OFFSETS 2048u
#define HELD    8u /* blocks that a reader keeps for a while */

struct cache_user {
    struct mix_actor *actor;
    struct quarry_block_cache *cache;
    uint64_t handle;
};

static uint64_t key_mark(const struct quarry_block_key *key)
{
    return key->file << 32 ^ key->offset;
}

/* Each key's block has a size of its own: 64 bytes to 100 KiB, most of them 4 to 32 KiB. */
static uint64_t key_bytes(const struct quarry_block_key *key)
{
    uint64_t mixed = (key_mark(key) + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32;

    return mixed % 16 == 0 ? 64 + mixed % Q_KIB(100) : (Q_KIB(4) << mixed % 4) - mixed / 16 % 512;
}

static enum quarry_status load(void *argument, const struct quarry_block_key *key,
                               struct quarry_block *ret_block)
{
    struct cache_user *user = argument;
    enum quarry_status status =
        quarry_block_alloc(user->cache, key_bytes(key), key->offset % 64, ret_block);

    if (status == QUARRY_OK) {
        mix_fill(quarry_block_data(ret_block), key_bytes(key), key_mark(key));
    }
    return status;
}

/* Few keys are wanted often: the smallest of three. */
static uint64_t skewed(struct mix_actor *actor, uint64_t count)
{
    uint64_t least = mix_random(actor) % count;

    for (uint32_t i = 0; i < 2; i++) {
        least = size_min_u64(least, mix_random(actor) % count);
    }
    return least;
}

static void read_one(struct cache_user *user, struct quarry_block *held)
{
    struct mix_actor *actor = user->actor;
    const struct quarry_block_key key = {
        .handle = user->handle, .file = skewed(actor, FILES), .offset = skewed(actor, OFFSETS)};
    const struct quarry_block_tag tag = {.kind = (uint8_t)(key.offset % QUARRY_BLOCK_KINDS),
                                         .level = (uint8_t)(key.file % QUARRY_BLOCK_LEVELS),
                                         .is_background = mix_random(actor) % 16 == 0};
    struct quarry_block block;

    if (mix_is_ok(actor,
                  quarry_block_cache_get_or_load(user->cache, &key, tag, load, user, &block))) {
        mix_check(actor, quarry_block_data(&block), quarry_block_bytes(&block), key_mark(&key));
        struct quarry_block *chosen = &held[mix_random(actor) % HELD];
        quarry_block_release(user->cache, chosen);
        *chosen = block;
    }
}

/* What happens now and then. */
static void disturb(struct cache_user *user)
{
    struct mix_actor *actor = user->actor;

    switch (mix_random(actor) % 3) {
    case 0:
        (void)quarry_block_cache_evict_file(user->cache, user->handle, mix_random(actor) % FILES);
        break;
    case 1:
        quarry_block_cache_reserve(user->cache, Q_MIB(4));
        quarry_block_cache_unreserve(user->cache, Q_MIB(4));
        break;
    default:
        quarry_block_cache_set_capacity(user->cache, mix_appetite(actor->mix, 1));
        break;
    }
}

static void read_on(struct cache_user *user)
{
    struct quarry_block held[HELD] = {0};

    for (uint64_t i = 1; !mix_is_over(user->actor->mix); i++) {
        read_one(user, held);
        if (i % 4096 == 0) {
            disturb(user);
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        quarry_block_release(user->cache, &held[i]);
    }
}

static void *reader_main(void *argument)
{
    read_on(argument);
    return NULL;
}

void mix_blocks_run(struct mix_actor *actor)
{
    const struct quarry_block_cache_options options = {
        .name = "mix-block", .capacity_bytes = actor->mix->full_limit_bytes};
    struct cache_user user = {.actor = actor};
    struct mix_actor second = {.mix = actor->mix, .random = mix_random(actor)};
    pthread_t thread;

    if (!mix_is_ok(actor,
                   quarry_block_cache_create(actor->mix->memory, &options, &user.cache, NULL))) {
        return;
    }
    user.handle = quarry_block_cache_handle(user.cache);
    struct cache_user other = user;
    other.actor = &second;
    Q_ASSERT(pthread_create(&thread, NULL, reader_main, &other) == 0);
    read_on(&user);
    Q_ASSERT(pthread_join(thread, NULL) == 0);
    actor->done_count += second.done_count;
    actor->refused_count += second.refused_count;
    actor->checked_count += second.checked_count;
    Q_ASSERT(quarry_block_cache_close(user.cache) == QUARRY_OK);
}
