/*
 * Cells: an index of refs over a slab, with readers that take no lock, a writer, and a reclaimer
 * that drops items and moves what is left together.
 *
 * An item is a header with its slot and size, and a pattern that the slot and a version decide.
 * Slots are words: a ref, or nil. Whoever takes a ref out of its slot by exchange retires the cell.
 */
#include "mix.h"

#include <string.h>

#include <quarry/epoch.h>
#include <quarry/slab.h>

#define SLOTS_COUNT    65536u
#define ITEM_BYTES_MAX 8192u

struct item {
    uint64_t slot;
    uint64_t bytes;
    uint64_t mark;
};

struct store {
    struct mix *mix;
    struct quarry_slab *slab;
    struct quarry_epoch *epoch;
    struct quarry_account *account;
    struct quarry_lane *lane;
    _Atomic uint64_t hand; /* where the reclaimer drops next */
    _Atomic uint64_t slot[SLOTS_COUNT];
};

static struct store store;

/* A mover's exchange fails when the writer or the reclaimer was first. */
static bool move(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                 void *new_data, size_t bytes)
{
    struct store *moved = argument;
    struct item item;
    uint64_t expected = old_ref;

    memcpy(&item, old_data, sizeof(item));
    if (item.slot >= SLOTS_COUNT || atomic_load_acquire_u64(&moved->slot[item.slot]) != old_ref) {
        return false;
    }
    memcpy(new_data, old_data, bytes);
    /* Release: readers of the new ref see the copy. An item is never written after it is
       published, so that nothing is lost between the copy and this. */
    return atomic_cas_acq_rel_u64(&moved->slot[item.slot], &expected, new_ref);
}

static uint64_t drop(struct store *from, uint64_t slot)
{
    /* Acquire and release: the cell's contents, both ways. */
    quarry_ref ref = atomic_exchange_acq_rel_u64(&from->slot[slot], QUARRY_REF_NIL);
    uint64_t bytes = ref == QUARRY_REF_NIL ? 0 : quarry_slab_cell_bytes(from->slab, ref);

    quarry_slab_retire(from->slab, ref);
    return bytes;
}

/* The account's reclaimer: items in order of their slots, twice as much as is wanted. */
static uint64_t reclaim(void *argument, uint64_t wanted_bytes)
{
    struct store *asked = argument;
    uint64_t dropped_bytes = 0;

    for (uint32_t i = 0; i < SLOTS_COUNT && dropped_bytes < 2 * wanted_bytes; i++) {
        dropped_bytes += drop(asked, atomic_add_relaxed_u64(&asked->hand, 1) % SLOTS_COUNT);
    }
    return quarry_slab_compact(asked->slab, wanted_bytes, move, asked);
}

static void put(struct mix_actor *actor, uint64_t slot)
{
    struct item item = {.slot = slot,
                        .bytes = mix_random_size(actor, sizeof(item), ITEM_BYTES_MAX),
                        .mark = mix_random(actor)};
    struct quarry_cell cell;

    if (mix_is_ok(actor, quarry_slab_take(store.slab, item.bytes, &cell))) {
        memcpy(cell.data, &item, sizeof(item));
        mix_fill((char *)cell.data + sizeof(item), item.bytes - sizeof(item), item.mark);
        /* Acquire and release: as in drop. */
        quarry_slab_retire(store.slab, atomic_exchange_acq_rel_u64(&store.slot[slot], cell.ref));
    }
}

static void get(struct mix_actor *actor, uint64_t slot)
{
    struct item item;

    quarry_epoch_enter(store.epoch);
    /* Acquire: pairs with the exchange that published it. */
    const char *data = quarry_slab_data(store.slab, atomic_load_acquire_u64(&store.slot[slot]));
    if (data != NULL) {
        memcpy(&item, data, sizeof(item));
        Q_ASSERT(item.slot == slot && item.bytes <= ITEM_BYTES_MAX);
        mix_check(actor, data + sizeof(item), item.bytes - sizeof(item), item.mark);
    }
    quarry_epoch_leave(store.epoch);
    actor->done_count++;
}

static void use(struct mix_actor *actor)
{
    while (!mix_is_over(actor->mix)) {
        uint64_t slot = mix_random(actor) % SLOTS_COUNT;
        switch (mix_random(actor) % 8) {
        case 0:
        case 1:
            put(actor, slot);
            break;
        case 2:
            (void)drop(&store, slot);
            break;
        default:
            get(actor, slot);
            break;
        }
    }
}

static void *second_main(void *argument)
{
    use(argument);
    return NULL;
}

static bool store_begin(struct mix_actor *actor)
{
    struct quarry_memory *memory = actor->mix->memory;
    const struct quarry_account_options account = {.name = "mix-cell",
                                                   .is_all_pages = true,
                                                   .begins_paused = true,
                                                   .reclaim = reclaim,
                                                   .argument = &store};

    store.mix = actor->mix;
    if (!mix_is_ok(actor, quarry_epoch_create(memory, &store.epoch)) ||
        !mix_is_ok(actor,
                   quarry_lane_create(memory, &(struct quarry_lane_options){.name = "mix cells"},
                                      &store.lane, NULL)) ||
        !mix_is_ok(actor, quarry_account_create(memory, &account, &store.account, NULL))) {
        return false;
    }
    const struct quarry_slab_options slab = {
        .name = "mix-slab", .lane = store.lane, .account = store.account, .epoch = store.epoch};
    if (!mix_is_ok(actor, quarry_slab_create(memory, &slab, &store.slab, NULL))) {
        return false;
    }
    quarry_account_resume(store.account);
    return true;
}

void mix_cells_run(struct mix_actor *actor)
{
    struct mix_actor second = {.mix = actor->mix, .random = mix_random(actor)};
    struct quarry_error error = {0};
    pthread_t thread;

    if (!store_begin(actor)) {
        return;
    }
    Q_ASSERT(pthread_create(&thread, NULL, second_main, &second) == 0);
    use(actor);
    Q_ASSERT(pthread_join(thread, NULL) == 0);
    actor->done_count += second.done_count;
    actor->refused_count += second.refused_count;
    actor->checked_count += second.checked_count;
    quarry_account_pause(store.account);
    Q_ASSERT(quarry_slab_validate(store.slab, &error) == QUARRY_OK);
    quarry_slab_destroy(store.slab);
    quarry_account_destroy(store.account);
    quarry_lane_destroy(store.lane);
    quarry_epoch_destroy(store.epoch);
}
