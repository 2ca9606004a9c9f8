/*
 * Slabs: their life, and their door.
 *
 * A slab is a struct of three pages of 8 KiB, taken from its lane like everything else it has, and
 * what types.h draws. All of its memory is in runs of its owner and charged to its account, so a
 * row of the ledger is the whole of it: cells, records and what threads keep.
 *
 * What was decided
 *   - Refs of 64 bits of which 48 say where: stores keep 6 bytes an item, and whoever keeps all 8
 *     has a stale ref found out (a generation of 15 bits, spread over the lives of page numbers).
 *   - Generations apart from cells, 2 bytes each, so that cells are as large as asked for, and so
 *     that nobody who writes past a cell makes a stale ref live.
 *   - Pages of any number of 8 KiB: see size.c. Small first: see page.c.
 *   - No lock on the way of a cell, a lock for each class where threads fetch and leave some 32 at
 * a time, none of them held in a callback or a system call.
 */
#include <slab/slab.h>

#include <string.h>

#include <slab/class.h>
#include <slab/meta.h>
#include <slab/page.h>
#include <slab/table.h>
#include <slab/thread.h>

#define SLAB_STRUCT_PAGES ((uint32_t)((sizeof(struct quarry_slab) + PAGE_BYTES - 1) / PAGE_BYTES))
Q_STATIC_ASSERT(sizeof(struct quarry_slab) <= 3 * PAGE_BYTES, "a slab is three pages");
/* Classes in a doubling to begin with, where they are split later: see class.c. */
#define PER_DOUBLING_FIRST 12u

Q_STATIC_ASSERT(SLAB_CLASSES_MAX <= UINT16_MAX, "a class fits a ref");

/* ---- creating ------------------------------------------------------------------------------- */

static enum quarry_status options_check(const struct quarry_slab_options *options,
                                        struct quarry_error *error)
{
    size_t length = options->name == NULL ? 0 : strnlen(options->name, QUARRY_NAME_BYTES);
    uint32_t per_doubling = options->classes_per_doubling;

    if (length == 0 || length == QUARRY_NAME_BYTES) {
        return error_set(error, QUARRY_BAD_INPUT, "slab: a name has 1 to %d bytes",
                         QUARRY_NAME_BYTES - 1);
    }
    if (options->lane == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "slab '%s': no lane", options->name);
    }
    if (per_doubling != 0 && per_doubling != 8 && per_doubling != 16 && per_doubling != 32) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "slab '%s': %u classes a doubling wanted, there are 8, 16 and 32",
                         options->name, per_doubling);
    }
    return QUARRY_OK;
}

static struct quarry_lane *record_lane(const struct quarry_slab_options *options)
{
    return options->record_lane != NULL ? options->record_lane : options->lane;
}

static void slab_init(struct quarry_slab *slab, struct page_heap *heap,
                      const struct quarry_slab_options *options, uint32_t owner)
{
    slab->heap = heap;
    slab->lane = (struct page_lane *)(void *)options->lane;
    slab->record_lane = (struct page_lane *)(void *)record_lane(options);
    slab->page_taken = options->page_taken;
    slab->page_given = options->page_given;
    slab->has_small_pages = options->has_small_pages;
    slab->page_wanted = options->page_wanted;
    slab->page_argument = options->page_argument;
    slab->account = options->account;
    slab->epoch = options->epoch;
    slab->owner = owner;
    slab->is_adaptive = options->classes_per_doubling == 0;
    slab->per_doubling = slab->is_adaptive ? PER_DOUBLING_FIRST : options->classes_per_doubling;
    slab->grain_bytes = options->is_fine ? SLAB_GRAIN_BYTES : 2 * SLAB_GRAIN_BYTES;
    slab->times_locks = options->times_locks;
    (void)strncpy(slab->name, options->name, sizeof(slab->name) - 1);
    atomic_store_relaxed_u64(&slab->metadata_bytes, (uint64_t)SLAB_STRUCT_PAGES << PAGE_SHIFT);
    slab_classes_init(slab);
}

/* Memory for the struct, zeroed, and the owner of it all. */
static enum quarry_status slab_struct_take(struct quarry_memory *memory,
                                           const struct quarry_slab_options *options,
                                           uint32_t *ret_owner, void **ret_base)
{
    enum quarry_status status = QUARRY_OK;

    if (options->account != NULL) {
        *ret_owner = quarry_account_owner(options->account);
        status = quarry_account_pages_alloc(options->account, record_lane(options),
                                            SLAB_STRUCT_PAGES, ret_base);
    } else {
        status = quarry_memory_owner(memory, options->name, ret_owner);
        if (status == QUARRY_OK) {
            status =
                quarry_pages_alloc(record_lane(options), *ret_owner, SLAB_STRUCT_PAGES, ret_base);
        }
    }
    if (status == QUARRY_OK) {
        memset(*ret_base, 0, sizeof(struct quarry_slab));
    }
    return status;
}

static void slab_struct_give(struct quarry_slab *slab)
{
    slab_meta_run_give(slab, slab, SLAB_STRUCT_PAGES);
}

/*
 * The exit hook of epochs and ledgers comes before a slab's, so that a thread that ends leaves its
 * slabs first: a ledger is made here in any case.
 */
static enum quarry_status slab_init_leaks(struct quarry_slab *slab, bool tracks_cells)
{
    struct ref_leaks *leaks;
    enum quarry_status status = ref_leaks_create(slab->heap, slab->name, &leaks);

    if (status == QUARRY_OK && tracks_cells) {
        slab->leaks = leaks;
    } else if (status == QUARRY_OK) {
        ref_leaks_destroy(leaks);
    }
    return status;
}

enum quarry_status quarry_slab_create(struct quarry_memory *memory,
                                      const struct quarry_slab_options *options,
                                      struct quarry_slab **ret_slab, struct quarry_error *error)
{
    uint32_t owner;
    void *base;
    enum quarry_status status = options_check(options, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = slab_struct_take(memory, options, &owner, &base);
    if (status != QUARRY_OK) {
        return error_set(error, status, "slab '%s': no memory for it", options->name);
    }
    struct quarry_slab *slab = base;
    slab_init(slab, (struct page_heap *)(void *)memory, options, owner);
    status = slab_init_leaks(slab, options->tracks_cells);
    if (status == QUARRY_OK) {
        status = slab_enter(slab);
        if (status != QUARRY_OK) {
            ref_leaks_destroy(slab->leaks);
        }
    }
    if (status != QUARRY_OK) {
        slab_struct_give(slab);
        return error_set(error, status, "slab '%s': %u slabs at most, or no memory", options->name,
                         SLAB_SLABS_MAX);
    }
    *ret_slab = slab;
    return QUARRY_OK;
}

/* ---- destroying ----------------------------------------------------------------------------- */

/* What becomes of the run of a page whose slab ends. */
typedef void end_page_function(struct quarry_slab *slab, struct slab_page *page);

static void page_end_give(struct quarry_slab *slab, struct slab_page *page)
{
    slab_page_tell_given(slab, page);
    slab_run_give(slab, page->base, page->page_count);
}

static void page_end_leave(struct quarry_slab *slab, struct slab_page *page)
{
    slab_run_forget(slab, page->page_count);
}

/* All pages of a class end, whatever is in them. */
static void class_end(struct quarry_slab *slab, struct slab_class *class,
                      end_page_function *end_page)
{
    for (uint32_t index = 0; index < class->index_count; index++) {
        struct slab_page *page = slab_table_page(class, index);
        if (page != NULL) {
            class->page_count--;
            end_page(slab, page);
            slab_meta_give(slab, page, page->record_bytes);
        }
    }
}

static void slab_end(struct quarry_slab *slab, end_page_function *end_page)
{
    if (slab->leaks != NULL) {
        (void)ref_leaks_report(slab->leaks);
        ref_leaks_destroy(slab->leaks);
    }
    slab_leave(slab);
    slab_threads_fini(slab);
    for (uint32_t id = 1; id < atomic_load_relaxed_u32(&slab->class_count); id++) {
        class_end(slab, slab_class_of(slab, id), end_page);
    }
    slab_records_free(slab, true);
    slab_classes_fini(slab);
    slab_meta_fini(slab);
    Q_ASSERT(atomic_load_relaxed_u64(&slab->page_bytes) == 0 || slab->is_forked);
    slab_struct_give(slab);
}

void quarry_slab_destroy(struct quarry_slab *slab)
{
    if (slab != NULL) {
        slab_end(slab, page_end_give);
    }
}

void quarry_slab_detach(struct quarry_slab *slab)
{
    Q_ASSERT(slab->record_lane != slab->lane);
    slab_end(slab, page_end_leave);
}

/* ---- cells ---------------------------------------------------------------------------------- */

void *quarry_slab_data(const struct quarry_slab *slab, quarry_ref ref)
{
    return slab_data(slab, ref);
}

size_t quarry_slab_cell_bytes(const struct quarry_slab *slab, quarry_ref ref)
{
    uint32_t class_id = QUARRY_REF_CLASS(ref);
    const struct slab_class *class =
        class_id < SLAB_CLASSES_MAX ? slab_class_of(slab, class_id) : NULL;

    return class == NULL ? 0 : class->cell_bytes;
}

quarry_ref quarry_slab_ref(const struct quarry_slab *slab, uint64_t ref48)
{
    const struct slab_page *page = slab_page_of(slab, ref48);
    uint32_t cell = QUARRY_REF_CELL(ref48);

    if (cell >= page->cell_count) {
        return QUARRY_REF_NIL;
    }
    /* Acquire: as in slab_data. */
    uint64_t generation = atomic_load_acquire_u16(&page->generation[cell]);
    return generation % 2 == 0
               ? QUARRY_REF_NIL
               : (ref48 & QUARRY_REF48_MASK) | generation << SLAB_REF_GENERATION_SHIFT;
}

/* ---- locks, measured ------------------------------------------------------------------------ */

/* The calling thread's measured locks: how many; the outermost, since when, and cells under it. */
static _Thread_local struct {
    uint32_t depth;
    uint64_t since_ns;
    uint64_t cell_count;
} held;

static void held_begin(void)
{
    held.since_ns = os_thread_cpu_ns(os_real());
    held.cell_count = 0;
}

void slab_lock_note_taken(void)
{
    if (held.depth++ == 0) {
        held_begin();
    }
}

void slab_lock_forget(struct quarry_slab *slab)
{
    if (slab->times_locks && held.depth == 1) {
        held_begin();
    }
}

void slab_lock_count_cells(uint32_t count)
{
    held.cell_count += count;
}

static void note_most(_Atomic uint64_t *most, uint64_t value)
{
    uint64_t before = atomic_load_relaxed_u64(most);

    while (value > before && !atomic_cas_weak_relaxed_u64(most, &before, value)) {
    }
}

void slab_lock_note_given(struct quarry_slab *slab)
{
    Q_ASSERT(held.depth > 0);
    if (--held.depth == 0) {
        note_most(&slab->lock_cpu_ns_max, os_thread_cpu_ns(os_real()) - held.since_ns);
        note_most(&slab->lock_cells_max, held.cell_count);
    }
}
