/*
 * Arenas: filled and dropped, one after the other, as memtables are; with a keeper's spare.
 */
#include "mix.h"

#include <quarry/arena.h>

#define ARENAS_MAX 3u
#define PARTS      16u

struct filled {
    struct quarry_arena *arena; /* NULL: none */
    uint32_t first, last;       /* offsets, 0: none */
    uint64_t first_bytes, last_bytes;
    uint64_t first_mark, last_mark;
};

static void filled_add(struct mix_actor *actor, struct filled *filled, uint32_t offset,
                       uint64_t bytes)
{
    uint64_t mark = mix_random(actor);

    mix_fill(quarry_arena_at(filled->arena, offset), bytes, mark);
    if (filled->first == 0) {
        filled->first = offset;
        filled->first_bytes = bytes;
        filled->first_mark = mark;
    }
    filled->last = offset;
    filled->last_bytes = bytes;
    filled->last_mark = mark;
}

static void fill(struct mix_actor *actor, struct filled *filled)
{
    bool is_full = false;

    while (!is_full && !mix_is_over(actor->mix)) {
        uint64_t bytes = mix_random_size(actor, 16, 4096);
        uint32_t offset;
        enum quarry_status status = quarry_arena_alloc(filled->arena, bytes, 8, &offset);
        is_full = status == QUARRY_NO_ADDRESS || !mix_is_ok(actor, status);
        if (!is_full) {
            filled_add(actor, filled, offset, bytes);
        }
    }
}

static void drop(struct mix_actor *actor, struct filled *filled)
{
    if (filled->arena == NULL) {
        return;
    }
    if (filled->first != 0) {
        mix_check(actor, quarry_arena_at(filled->arena, filled->first), filled->first_bytes,
                  filled->first_mark);
        mix_check(actor, quarry_arena_at(filled->arena, filled->last), filled->last_bytes,
                  filled->last_mark);
    }
    quarry_arena_destroy(filled->arena);
    *filled = (struct filled){0};
}

/* A power of two, so that the spare is often of the right size. */
static uint64_t capacity(struct mix_actor *actor)
{
    uint64_t most = mix_appetite(actor->mix, PARTS * (ARENAS_MAX + 1));
    uint64_t bytes = QUARRY_ARENA_CAPACITY_MIN;

    while (bytes * 2 <= most && mix_random(actor) % 4 != 0) {
        bytes *= 2;
    }
    return bytes;
}

static void rotate(struct mix_actor *actor, struct quarry_arena_keeper *keeper)
{
    struct filled filled[ARENAS_MAX] = {0};

    for (uint64_t i = 0; !mix_is_over(actor->mix); i++) {
        struct filled *oldest = &filled[i % ARENAS_MAX];
        drop(actor, oldest);
        if (mix_is_ok(actor,
                      quarry_arena_keeper_take(keeper, capacity(actor), &oldest->arena, NULL))) {
            fill(actor, oldest);
        } else {
            oldest->arena = NULL;
        }
    }
    for (uint32_t i = 0; i < ARENAS_MAX; i++) {
        drop(actor, &filled[i]);
    }
}

void mix_arenas_run(struct mix_actor *actor)
{
    struct quarry_arena_options options = {0};
    struct quarry_arena_keeper *keeper;

    if (mix_is_ok(actor,
                  quarry_account_create(actor->mix->memory,
                                        &(struct quarry_account_options){.name = "mix-arena"},
                                        &options.account, NULL)) &&
        mix_is_ok(actor, quarry_lane_create(actor->mix->memory,
                                            &(struct quarry_lane_options){.name = "mix arenas"},
                                            &options.lane, NULL)) &&
        mix_is_ok(actor, quarry_arena_keeper_create(actor->mix->memory, &options, &keeper, NULL))) {
        rotate(actor, keeper);
        quarry_arena_keeper_destroy(keeper);
        quarry_lane_destroy(options.lane);
        quarry_account_destroy(options.account);
    }
}
