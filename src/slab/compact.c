/*
 * Compacting: pages are given back for the bytes of their free cells.
 *
 * The sparsest pages are emptied, for the bytes to be copied are what it costs; only where the
 * class has free cells for them elsewhere, so that nothing is added. Whoever compacts may be in a
 * hurry, a read that has no memory: a page is left at the first cell that its owner declines, and
 * nobody is waited for. Rejected there: going over it again after yielding, as for a page that is
 * to be moved; where each page has a block that somebody holds, a read took 40 to 770 ms of that.
 *
 * A page that could not be emptied, because of a cell that somebody holds, would be the sparsest
 * next time too. It is passed over for some calls, for twice as many each time, up to 64: of 300
 * pages with a leak in each about five are tried in a call. Rejected: remembering those of one call
 * only, 16 pages with a leak each, and no other was ever emptied.
 *
 * Locking: a class' mutex, for a look at LOOK_MAX pages.
 */
#include <slab/compact.h>

#include <slab/limbo.h>
#include <slab/move.h>
#include <slab/page.h>
#include <slab/thread.h>

/* How many pages of a list are compared by address. */
#define LOOK_AT 8u
/* How many are looked at under a lock, those that are passed over included: some ns for each. */
#define LOOK_MAX 256u
/* How much a call does. */
struct effort {
    uint64_t quarters; /* how full a page is at most that is emptied, in quarters */
    uint32_t vain_max; /* pages that could not be emptied before it gives up */
};

/* Whoever compacts has to have memory. */
static const struct effort effort_full = {4, 16};
/*
 * Ahead of need three bytes are copied for each that comes back. At four quarters an owner that
 * replaces cells at random copies all of them all the time for a few per cent more room.
 */
static const struct effort effort_gather = {3, 8};
#define QUARTERS 4u
/* Of so many calls of slab_gather one takes from threads what they keep. */
#define GIVE_UP_EVERY 16u

/* ---- what is empty -------------------------------------------------------------------------- */

/* Gives back what is empty of a class. */
static uint64_t class_trim(struct slab_class *class)
{
    struct slab_gone gone = {.first = NULL};
    uint64_t bytes = slab_limbo_settle(class);

    slab_lock(class->slab, &class->mutex);
    slab_spares_drop_locked(class, &gone);
    slab_unlock(class->slab, &class->mutex);
    return bytes + slab_pages_free(class->slab, &gone);
}

uint64_t slab_settle(struct quarry_slab *slab)
{
    uint64_t bytes = 0;

    slab_limbo_advance(slab);
    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        bytes += slab_limbo_settle(slab_class_of(slab, id));
    }
    slab_records_free(slab, false);
    return bytes;
}

static uint64_t trim_classes(struct quarry_slab *slab)
{
    uint64_t bytes = 0;

    slab_limbo_advance(slab);
    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        bytes += class_trim(slab_class_of(slab, id));
    }
    slab_records_free(slab, false);
    return bytes;
}

/* ---- what can be emptied -------------------------------------------------------------------- */

/* A page that is worth emptying. */
struct victim {
    struct slab_class *class;
    uint32_t index;
    uint64_t live_bytes; /* to be copied */
    uint64_t page_bytes; /* to be given back */
};

/* Whether the page is to be passed over: the counts of calls go round. */
static bool is_vain(const struct slab_class *class, const struct slab_page *page)
{
    uint32_t now = atomic_load_relaxed_u32(&class->slab->compact_count);
    uint32_t left = (page->vain_until - now) & SLAB_VAIN_UNTIL_MASK;

    return left != 0 && left <= SLAB_VAIN_UNTIL_MASK / 2;
}

/* Of the sparsest pages of a class that of the highest address; NULL: none is partly free. */
static struct slab_page *class_sparsest_locked(const struct slab_class *class)
    Q_REQUIRES(&class->mutex)
{
    struct slab_page *best = NULL;
    uint32_t looked_at = 0;

    for (uint32_t fill = SLAB_FILLS; best == NULL && fill-- > 0;) {
        struct slab_page *page = class->fill[fill];
        for (uint32_t fit = 0; page != NULL && fit < LOOK_AT && looked_at < LOOK_MAX;
             page = page->next, looked_at++) {
            if (is_vain(class, page)) {
                continue;
            }
            fit++;
            best = best == NULL || page->base > best->base ? page : best;
        }
    }
    return best;
}

/* The class' best page, if it is better than what was found before and its cells fit elsewhere. */
static void victim_consider(struct victim *victim, struct slab_class *class)
{
    slab_lock(class->slab, &class->mutex);
    const struct slab_page *page = class_sparsest_locked(class);
    if (page != NULL && class->free_count - page->free_count >= slab_page_out_count(page)) {
        uint64_t live_bytes = (uint64_t)slab_page_out_count(page) * class->cell_bytes;
        uint64_t page_bytes = (uint64_t)page->page_count << PAGE_SHIFT;
        if (victim->class == NULL ||
            live_bytes * victim->page_bytes < victim->live_bytes * page_bytes) {
            *victim = (struct victim){class, page->index, live_bytes, page_bytes};
        }
    }
    slab_unlock(class->slab, &class->mutex);
}

/* Over all classes. */
static struct victim victim_choose(struct quarry_slab *slab)
{
    struct victim victim = {.class = NULL};

    for (uint32_t id = 1; id < atomic_load_acquire_u32(&slab->class_count); id++) {
        victim_consider(&victim, slab_class_of(slab, id));
    }
    return victim;
}

/* With the claim to move. */
static uint64_t empty_pages(struct quarry_slab *slab, uint64_t wanted_bytes, struct effort effort,
                            quarry_slab_move_function *move, void *argument)
{
    uint64_t bytes = 0;
    uint32_t vain_count = 0;

    while (bytes < wanted_bytes && vain_count < effort.vain_max) {
        struct victim victim = victim_choose(slab);
        if (victim.class == NULL ||
            victim.live_bytes * QUARTERS > victim.page_bytes * effort.quarters) {
            break;
        }
        struct slab_mover mover = {
            .class = victim.class, .move = move, .argument = argument, .is_brief = true};
        if (slab_mover_empty(&mover, victim.index) == QUARRY_OK) {
            bytes += victim.page_bytes;
        } else {
            vain_count++;
        }
    }
    return bytes;
}

/* ---- for owners ----------------------------------------------------------------------------- */

uint64_t quarry_slab_trim(struct quarry_slab *slab)
{
    struct slab_gone gone = {.first = NULL};

    slab_threads_give_up(slab, &gone);
    uint64_t bytes = slab_pages_free(slab, &gone);
    return bytes + trim_classes(slab);
}

uint64_t quarry_slab_compact(struct quarry_slab *slab, uint64_t wanted_bytes,
                             quarry_slab_move_function *move, void *argument)
{
    uint64_t bytes = quarry_slab_trim(slab);

    if (bytes < wanted_bytes && slab_moving_claim(slab)) {
        (void)atomic_add_relaxed_u32(&slab->compact_count, 1);
        bytes += empty_pages(slab, wanted_bytes - bytes, effort_full, move, argument);
        slab_moving_release(slab);
    }
    return bytes;
}

uint64_t slab_gather(struct quarry_slab *slab, uint64_t wanted_bytes,
                     quarry_slab_move_function *move, void *argument)
{
    if (!slab_moving_claim(slab)) {
        return 0;
    }
    uint32_t before = atomic_add_relaxed_u32(&slab->compact_count, 1);
    uint64_t bytes = before % GIVE_UP_EVERY == 0 ? quarry_slab_trim(slab) : trim_classes(slab);
    if (bytes < wanted_bytes) {
        bytes += empty_pages(slab, wanted_bytes - bytes, effort_gather, move, argument);
    }
    slab_moving_release(slab);
    return bytes;
}
