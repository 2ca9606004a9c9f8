/*
 * Classes, and the map from sizes to them.
 *
 *   step            0  1  2  3  4  5  6  7  8  9  …
 *   bound           .  3  .  1  .  .  .  2  .  .  …     classes whose cells are the step's bound
 *   exact           .  .  .  .  .  4  .  .  .  .  …     a class of a size within the step
 *   class_of_step   3  3  1  1  4  0  2  2  .  .  …     what the fast path reads
 *
 * A request goes to the first class at or above its step. In a step that has a class of a size of
 * its own, it depends on the request: 0 sends the fast path to slab_class_for. So does a class that
 * nobody has wanted yet.
 *
 * Spacing. Cells are larger than requests that are spread evenly by 4.3 % with 8 classes in a
 * doubling, 3.0 % with 12, 2.2 % with 16, 1.1 % with 32, 0.3 % with 128. But each class has a page
 * that is half free on average, 32 KiB to begin with. Over eight doublings and 64 MiB that is 3 %
 * for 8 classes, 4.5 % for 12, 6 % for 16: together 8 and 12 cost about the same, and the cells
 * that were taken before anything is known of sizes stay as they are. So a slab begins with 12 and
 * counts what sizes are asked for: refill by refill, one in some 32 requests standing for all, and
 * how many cells a refill takes is random, so that no pattern of requests escapes it. When a class
 * gets another page, or has taken 8,192 cells, it considers the steps within it: at which of them
 * would a class of its own save most? It is made if that saves 1 % of what the class has in use,
 * and more than half a page of a new class (32 KiB). Cells that were taken stay where they are.
 * Classes are never joined again: an empty one costs its record.
 *
 * Lending. A class that was split, or whose sizes are asked for less, is left with free cells in
 * nearly all of its pages, and no page becomes empty: after a million pieces of log-normal sizes
 * have been replaced that was 22 % of what was asked for. So a class that would get another page
 * looks for one up to a tenth of a doubling larger, of whose cells 3 % are free, and has its
 * requests sent there, until that one has none left either. Requests pay with cells a little too
 * large for memory that nobody would use. Of 772 MB that were asked for, once replaced, there are
 * 8.0 % more in pages: 2.7 % in cells, 4.7 % free; compacting leaves 1.7 % free, 4.7 % in all.
 *
 *   class            344   352   368             free: 352 has many, 344 none
 *   lender           352    .     .              map: requests of 337 to 352 go to 352
 *
 * Considered and left: classes by quantiles of what was asked for, which would fit any distribution
 * still better. But all of the gain that there is below 128 a doubling is 0.3 %.
 *
 * Locking: the map is guarded by meta.mutex and read without it.
 */
#include <slab/class.h>

#include <slab/meta.h>
#include <slab/page.h>
#include <slab/table.h>

/* What a split must save, of the class' cells in use: percent, and bytes. */
#define SPLIT_SAVES_PERCENT 1u
#define SPLIT_SAVES_BYTES   ((uint64_t)SLAB_PAGE_PAGES_FIRST << PAGE_SHIFT >> 1)
/* Requests that must have been seen. */
#define SPLIT_ASKED_LEAST 256u

/* ---- the map -------------------------------------------------------------------------------- */

/* The class that serves a class' requests at present. */
static uint32_t map_lender_locked(const struct quarry_slab *slab, uint32_t class_id)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint32_t lender = slab->lender[class_id];

    return lender == 0 ? class_id : lender;
}

/* Writes what the fast path reads, from bound, exact and lender. */
static void map_write_locked(struct quarry_slab *slab) Q_REQUIRES(&slab->meta.mutex)
{
    uint16_t above = SLAB_BOUND_NONE;

    for (uint32_t step = SLAB_STEPS; step-- > 0;) {
        if (slab->bound[step] != SLAB_BOUND_NONE) {
            above = slab->bound[step];
        }
        uint16_t class_id = above == SLAB_BOUND_UNMADE || slab->exact[step] != 0
                                ? 0
                                : (uint16_t)map_lender_locked(slab, above);
        if (slab->exact[step] != 0) {
            above = slab->exact[step];
        }
        /* Relaxed: an old class serves as well, and a class' pointer is read with acquire. */
        atomic_store_relaxed_u16(&slab->class_of_step[step], class_id);
    }
}

void slab_classes_init(struct quarry_slab *slab)
{
    for (uint32_t step = 0; step < SLAB_STEPS; step++) {
        uint64_t bound = slab_step_bound(step, slab->per_doubling, slab->grain_bytes);
        slab->unmade_count += slab->bound[bound] == SLAB_BOUND_NONE;
        slab->bound[bound] = SLAB_BOUND_UNMADE;
    }
    for (uint32_t class_id = 0; class_id < SLAB_CLASSES_MAX; class_id++) {
        atomic_store_relaxed_ptr(&slab->tables.table[class_id], &slab_table_none);
        atomic_store_relaxed_ptr(&slab->tables.active[class_id], &slab_table_none);
    }
    atomic_store_relaxed_u32(&slab->class_count, 1);
}

/* The class for a request; or 0, and the step whose bound it is to have. */
static uint32_t map_find_locked(const struct quarry_slab *slab, size_t bytes, uint64_t *ret_step)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint64_t first = slab_step(bytes);

    for (uint64_t step = first; step < SLAB_STEPS; step++) {
        uint32_t exact = slab->exact[step];
        if (exact != 0 && (step > first || bytes <= slab_class_of(slab, exact)->cell_bytes)) {
            return exact;
        }
        if (slab->bound[step] == SLAB_BOUND_UNMADE) {
            *ret_step = step;
            return 0;
        }
        if (slab->bound[step] != SLAB_BOUND_NONE) {
            return map_lender_locked(slab, slab->bound[step]);
        }
    }
    Q_UNREACHABLE();
}

/* ---- making --------------------------------------------------------------------------------- */

static void class_init(struct slab_class *class, struct quarry_slab *slab, uint32_t id,
                       size_t cell_bytes)
{
    class->slab = slab;
    class->id = id;
    class->cell_bytes = (uint32_t)cell_bytes;
    class->step = (uint32_t)slab_step(cell_bytes);
    class->magazine_cells = (uint32_t)size_min_u64(
        size_max_u64(SLAB_MAGAZINE_BYTES_MAX / cell_bytes, cell_bytes > Q_KIB(64) ? 1 : 2),
        SLAB_MAGAZINE_CELLS_MAX);
    for (uint32_t i = 0; i < SLAB_SHAPES; i++) {
        class->shape[i] = slab_shape_choose(cell_bytes, slab_first_pages(class->slab) << i);
    }
    class->table = &slab_table_none;
    class->random = id * 2654435769u + 1;
    os_mutex_init(&class->mutex, OS_RANK_SLAB_CLASS, slab->slot * SLAB_CLASSES_MAX + id);
}

/* Whether a class of these bytes is still wanted: somebody else may have made it. */
static bool class_is_wanted_locked(const struct quarry_slab *slab, size_t cell_bytes)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint64_t step = slab_step(cell_bytes);

    if (slab_step_bytes(step) != cell_bytes) {
        return slab->exact[step] == 0;
    }
    return slab->bound[step] == SLAB_BOUND_NONE || slab->bound[step] == SLAB_BOUND_UNMADE;
}

static void class_enter_locked(struct quarry_slab *slab, struct slab_class *class)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint32_t step = class->step;

    if (slab_step_bytes(step) == class->cell_bytes) {
        slab->unmade_count -= slab->bound[step] == SLAB_BOUND_UNMADE;
        slab->bound[step] = (uint16_t) class->id;
    } else {
        slab->exact[step] = (uint16_t) class->id;
        slab->exact_count++;
    }
    /* Pairs with the acquire in slab_class_of. */
    atomic_store_release_ptr(&slab->class[class->id], class);
    atomic_store_release_u32(&slab->class_count, class->id + 1);
    map_write_locked(slab);
}

/* Whether there is a number for it besides those that the classes have which there are to be. */
static bool class_has_number_locked(const struct quarry_slab *slab, size_t cell_bytes, uint32_t id)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint64_t step = slab_step(cell_bytes);
    bool is_to_be = slab_step_bytes(step) == cell_bytes && slab->bound[step] == SLAB_BOUND_UNMADE;

    return id + (is_to_be ? 0 : slab->unmade_count) < SLAB_CLASSES_MAX;
}

enum quarry_status slab_class_make(struct quarry_slab *slab, size_t cell_bytes)
{
    void *piece;
    enum quarry_status status = slab_meta_take(slab, sizeof(struct slab_class), &piece);

    if (status != QUARRY_OK) {
        return status;
    }
    slab_lock(slab, &slab->meta.mutex);
    bool is_wanted = class_is_wanted_locked(slab, cell_bytes);
    uint32_t id = atomic_load_relaxed_u32(&slab->class_count);
    if (is_wanted && !class_has_number_locked(slab, cell_bytes, id)) {
        status = QUARRY_TOO_MANY;
    } else if (is_wanted) {
        class_init(piece, slab, id, cell_bytes);
        class_enter_locked(slab, piece);
    }
    slab_unlock(slab, &slab->meta.mutex);
    if (!is_wanted || status != QUARRY_OK) {
        slab_meta_give(slab, piece, sizeof(struct slab_class));
    }
    return status;
}

enum quarry_status slab_class_for(struct quarry_slab *slab, size_t bytes,
                                  struct slab_class **ret_class)
{
    uint64_t step = 0;

    for (;;) {
        slab_lock(slab, &slab->meta.mutex);
        uint32_t class_id = map_find_locked(slab, bytes, &step);
        slab_unlock(slab, &slab->meta.mutex);
        if (class_id != 0) {
            *ret_class = slab_class_of(slab, class_id);
            return QUARRY_OK;
        }
        enum quarry_status status = slab_class_make(slab, slab_step_bytes(step));
        if (status != QUARRY_OK) {
            return status;
        }
    }
}

enum quarry_status quarry_slab_add_size(struct quarry_slab *slab, size_t bytes)
{
    if (bytes == 0 || bytes > QUARRY_SLAB_CELL_BYTES_MAX) {
        return QUARRY_BAD_INPUT;
    }
    size_t cell_bytes = size_max(size_align_up(bytes, slab->grain_bytes), SLAB_CELL_BYTES_MIN);
    slab_lock(slab, &slab->meta.mutex);
    bool is_full = slab->exact_count >= SLAB_EXACT_MAX;
    slab_unlock(slab, &slab->meta.mutex);
    return is_full ? QUARRY_TOO_MANY : slab_class_make(slab, cell_bytes);
}

void slab_classes_fini(struct quarry_slab *slab)
{
    for (uint32_t id = 1; id < atomic_load_relaxed_u32(&slab->class_count); id++) {
        struct slab_class *class = slab_class_of(slab, id);
        Q_ASSERT(class->page_count == 0);
        slab_table_fini(class);
        slab_meta_give(slab, class, sizeof(*class));
    }
}

/* ---- splitting ------------------------------------------------------------------------------ */

void slab_class_asked_locked(struct slab_class *class, size_t bytes, uint32_t count)
{
    uint64_t below = class->step - slab_step(bytes);

    /* What others have been asked for says nothing about the class. */
    if (atomic_load_relaxed_u32(&class->is_lending) != 0 &&
        below > atomic_load_relaxed_u32(&class->own_below)) {
        return;
    }
    class->asked[size_min_u64(below, SLAB_ASKED_STEPS - 1)] += count;
    atomic_store_relaxed_u32(&class->asked_count,
                             atomic_load_relaxed_u32(&class->asked_count) + count);
}

/* What a class had been asked for; and forgets half of it, so that times may change. */
struct asked {
    uint64_t count[SLAB_ASKED_STEPS];
    uint64_t total;
    uint64_t out_bytes; /* of cells that are not free */
};

static struct asked class_asked(struct slab_class *class)
{
    struct asked asked = {.total = 0};

    slab_lock(class->slab, &class->mutex);
    atomic_store_relaxed_u32(&class->asked_count, 0);
    asked.out_bytes = (class->cell_count - class->free_count) * class->cell_bytes;
    for (uint32_t i = 0; i < SLAB_ASKED_STEPS; i++) {
        asked.count[i] = class->asked[i];
        asked.total += asked.count[i];
        class->asked[i] /= 2;
    }
    slab_unlock(class->slab, &class->mutex);
    return asked;
}

/* Steps from the class' own down to the one to split at; 0: not worth it. */
static uint32_t split_choose(const struct slab_class *class, const struct asked *asked)
{
    uint64_t best_bytes = 0, most_bytes = asked->total * class->cell_bytes;
    uint64_t count = asked->total;
    uint32_t best = 0;

    for (uint32_t below = 1; below < SLAB_ASKED_STEPS && below < class->step; below++) {
        size_t bytes = slab_step_bytes(class->step - below);
        count -= asked->count[below - 1];
        uint64_t saved_bytes = count * (class->cell_bytes - bytes);
        bool is_aligned = bytes % slab_alignment(bytes, class->slab->grain_bytes) == 0;
        if (saved_bytes > best_bytes && is_aligned && bytes >= SLAB_CELL_BYTES_MIN) {
            best_bytes = saved_bytes;
            best = below;
        }
    }
    bool is_worth_it =
        asked->total >= SPLIT_ASKED_LEAST && best_bytes * 100 >= most_bytes * SPLIT_SAVES_PERCENT &&
        (double)asked->out_bytes * (double)best_bytes / (double)most_bytes >= SPLIT_SAVES_BYTES;
    return is_worth_it ? best : 0;
}

bool slab_class_adapt(struct slab_class *class)
{
    struct quarry_slab *slab = class->slab;

    if (!slab->is_adaptive) {
        return false;
    }
    const struct asked asked = class_asked(class);
    uint32_t below = split_choose(class, &asked);
    if (below == 0 || slab_class_make(slab, slab_step_bytes(class->step - below)) != QUARRY_OK) {
        return false;
    }
    slab_lock(slab, &slab->meta.mutex);
    slab->split_count++;
    slab_unlock(slab, &slab->meta.mutex);
    slab_lock(slab, &class->mutex);
    for (; below < SLAB_ASKED_STEPS; below++) {
        class->asked[below] = 0; /* these go elsewhere from now on */
    }
    slab_unlock(slab, &class->mutex);
    return true;
}

/* ---- lending -------------------------------------------------------------------------------- */

/* A lender has so much free: one in so many of its cells, and bytes. */
/* Steps that a lender is above those whom it serves: a tenth of a doubling. */
#define LEND_STEPS (SLAB_STEPS_PER_DOUBLING / 10)
#define LEND_PART  32u
#define LEND_BYTES ((uint64_t)SLAB_PAGE_PAGES_FIRST << PAGE_SHIFT << 1)
/*
 * In a smaller slab most of what is free is in each class' first pages, and lending would cost as
 * much in cells that are too large as it brings.
 */
#define LEND_SLAB_BYTES Q_MIB(128)
/* Classes that are looked at: a bound and a size of its own in each step. */
#define LENDERS_MAX (2 * LEND_STEPS)

/* Classes a little larger than one, the nearest first. */
static uint32_t lenders_list(struct slab_class *class, uint16_t lenders[LENDERS_MAX])
{
    struct quarry_slab *slab = class->slab;
    uint32_t count = 0, last = (uint32_t)size_min_u64(class->step + LEND_STEPS, SLAB_STEPS - 1);

    slab_lock(slab, &slab->meta.mutex);
    for (uint32_t step = class->step + 1; step <= last; step++) {
        if (slab->exact[step] != 0) {
            lenders[count++] = slab->exact[step];
        }
        if (slab->bound[step] != SLAB_BOUND_NONE && slab->bound[step] != SLAB_BOUND_UNMADE) {
            lenders[count++] = slab->bound[step];
        }
    }
    slab_unlock(slab, &slab->meta.mutex);
    return count;
}

static bool class_may_lend(struct slab_class *class)
{
    slab_lock(class->slab, &class->mutex);
    bool may_lend = class->free_count * LEND_PART >= class->cell_count &&
                    class->free_count * class->cell_bytes >= LEND_BYTES;
    slab_unlock(class->slab, &class->mutex);
    return may_lend;
}

/* Steps from the class' own down to the lowest that is not another's. */
static uint32_t own_below_locked(const struct quarry_slab *slab, const struct slab_class *class)
    Q_REQUIRES(&slab->meta.mutex)
{
    uint32_t below = 0;

    while (below + 1 < class->step &&
           (slab->bound[class->step - below - 1] == SLAB_BOUND_NONE ||
            slab->bound[class->step - below - 1] == SLAB_BOUND_UNMADE) &&
           slab->exact[class->step - below - 1] == 0) {
        below++;
    }
    return below;
}

static void class_lend(struct slab_class *class, struct slab_class *lender)
{
    struct quarry_slab *slab = class->slab;

    slab_lock(slab, &slab->meta.mutex);
    slab->lender[class->id] = (uint16_t)lender->id;
    /* Relaxed: what is counted a moment too late is a sample. */
    atomic_store_relaxed_u32(&lender->own_below, own_below_locked(slab, lender));
    atomic_store_relaxed_u32(&lender->is_lending, 1);
    map_write_locked(slab);
    slab_unlock(slab, &slab->meta.mutex);
}

bool slab_class_borrow(struct slab_class *class)
{
    uint16_t lenders[LENDERS_MAX];

    /* A size that was asked for by name keeps its cells. */
    if (!class->slab->is_adaptive || slab_step_bytes(class->step) != class->cell_bytes ||
        atomic_load_relaxed_u64(&class->slab->page_bytes) < LEND_SLAB_BYTES) {
        return false;
    }
    uint32_t count = lenders_list(class, lenders);
    for (uint32_t i = 0; i < count; i++) {
        struct slab_class *lender = slab_class_of(class->slab, lenders[i]);
        if (class_may_lend(lender)) {
            class_lend(class, lender);
            return true;
        }
    }
    return false;
}

bool slab_class_recall(struct slab_class *class)
{
    struct quarry_slab *slab = class->slab;

    if (atomic_load_relaxed_u32(&class->is_lending) == 0) {
        return false;
    }
    slab_lock(slab, &slab->meta.mutex);
    for (uint32_t id = 1; id < atomic_load_relaxed_u32(&slab->class_count); id++) {
        if (slab->lender[id] == class->id) {
            slab->lender[id] = 0;
        }
    }
    atomic_store_relaxed_u32(&class->is_lending, 0);
    map_write_locked(slab);
    slab_unlock(slab, &slab->meta.mutex);
    return true;
}
