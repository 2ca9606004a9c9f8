/*
 * Pages: runs of all lengths, straight from a lane.
 */
#include "mix.h"

#define RUNS      256u
#define PAGES_MAX 600u
#define PARTS     16u

struct run {
    void *base; /* NULL: none */
    uint64_t bytes;
    uint64_t mark;
};

static uint64_t run_free(struct mix_actor *actor, struct quarry_lane *lane, struct run *run)
{
    uint64_t bytes = run->bytes;

    mix_check(actor, run->base, run->bytes, run->mark);
    quarry_pages_free(lane, run->base);
    *run = (struct run){0};
    actor->done_count++;
    return bytes;
}

static uint64_t run_take(struct mix_actor *actor, struct quarry_lane *lane, uint32_t owner,
                         struct run *run)
{
    uint64_t page_count = mix_random_size(actor, 1, PAGES_MAX);

    if (!mix_is_ok(actor, quarry_pages_alloc(lane, owner, page_count, &run->base))) {
        run->base = NULL;
        return 0;
    }
    run->bytes = page_count * QUARRY_PAGE_BYTES;
    run->mark = mix_random(actor);
    mix_fill(run->base, run->bytes, run->mark);
    return run->bytes;
}

void mix_pages_run(struct mix_actor *actor)
{
    struct run run[RUNS] = {0};
    struct quarry_lane *lane;
    uint64_t held_bytes = 0;
    uint32_t owner;

    if (!mix_is_ok(actor, quarry_memory_owner(actor->mix->memory, "mix.pages", &owner)) ||
        !mix_is_ok(actor, quarry_lane_create(actor->mix->memory,
                                             &(struct quarry_lane_options){.name = "pages"}, &lane,
                                             NULL))) {
        return;
    }
    while (!mix_is_over(actor->mix)) {
        struct run *chosen = &run[mix_random(actor) % RUNS];
        if (chosen->base != NULL) {
            held_bytes -= run_free(actor, lane, chosen);
        } else if (held_bytes < mix_appetite(actor->mix, PARTS)) {
            held_bytes += run_take(actor, lane, owner, chosen);
        }
    }
    quarry_lane_destroy(lane);
}
