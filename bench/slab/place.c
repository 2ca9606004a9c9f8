/*
 * Making places.
 *
 * The memory behind a slab or an arena has a budget that is never reached, and no thread that gives
 * memory back: what is measured is the slab and not somebody else's work. Its charge goes to an
 * account, as it does in the stores.
 */
#include <bench/slab/place.h>

#include <stdio.h>

#define LIMIT_BYTES Q_GIB(8)

void bench_place_must(enum quarry_status status, const char *what, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        (void)fprintf(stderr, "quarry-bench-child: %s: %s %s\n", what, quarry_status_name(status),
                      error == NULL ? "" : error->text);
        exit(1);
    }
}

static void init_memory(struct bench_place *place, struct quarry_error *error)
{
    struct quarry_memory_options memory = {.limit_bytes = LIMIT_BYTES, .has_no_thread = true};
    struct quarry_lane_options lane = {.name = "bench", .wants_huge_pages = true};
    struct quarry_account_options account = {.name = "bench"};

    bench_place_must(quarry_memory_create(&memory, &place->memory, error), "memory", error);
    bench_place_must(quarry_lane_create(place->memory, &lane, &place->lane, error), "lane", error);
    bench_place_must(quarry_account_create(place->memory, &account, &place->account, error),
                     "account", error);
}

void bench_place_init(struct bench_place *place, enum bench_place_kind kind, bool times_locks)
{
    struct quarry_error error = {0};

    *place = (struct bench_place){.kind = kind};
    if (kind == BENCH_PLACE_MALLOC) {
        return;
    }
    init_memory(place, &error);
    if (kind == BENCH_PLACE_ARENA) {
        struct quarry_arena_options options = {.lane = place->lane, .account = place->account};
        bench_place_must(
            quarry_arena_keeper_create(place->memory, &options, &place->keeper, &error), "keeper",
            &error);
        return;
    }
    bench_place_must(quarry_epoch_create(place->memory, &place->epoch), "epoch", NULL);
    struct quarry_slab_options options = {.name = "bench",
                                          .lane = place->lane,
                                          .account = place->account,
                                          .epoch = place->epoch,
                                          .times_locks = times_locks};
    bench_place_must(quarry_slab_create(place->memory, &options, &place->slab, &error), "slab",
                     &error);
}

void bench_place_fini(struct bench_place *place)
{
    if (place->kind == BENCH_PLACE_MALLOC) {
        return;
    }
    quarry_arena_keeper_destroy(place->keeper);
    quarry_slab_destroy(place->slab);
    if (place->epoch != NULL) {
        quarry_epoch_destroy(place->epoch);
    }
    quarry_account_destroy(place->account);
    quarry_lane_destroy(place->lane);
    quarry_memory_destroy(place->memory);
}
