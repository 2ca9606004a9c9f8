/*
 * slab: a ref never leads a reader to another's bytes, though cells are taken, given, retired and
 * moved without a lock; a cell is in one place, though threads keep some and others take them away.
 */
#include "unit/page/simulated_heap.h"

#include <ref/ref.h>
#include <slab/slab.h>
#include <slab/class.h>
#include <slab/limbo.h>
#include <slab/page.h>
#include <slab/thread.h>

#include "interleave/interleave.h"

/* Two cells in a magazine, and few in a page. */
#define CELL_BYTES Q_KIB(16)

/* What stands below has scenarios of its own; threads' ends are not what these are about. */
#define ABOVE_PAGES .trusted = {"/src/page/", "/src/mem/"}, .has_late_exits = true

static struct page_lane *lane;
static struct quarry_epoch *epoch;
static struct quarry_slab *slab;
/* What readers find. */
static _Atomic uint64_t root;

static struct quarry_memory *memory(void)
{
    return (struct quarry_memory *)(void *)heap;
}

/* A cell says whose life it is: its ref. Written and read plainly. */
static void cell_write(struct quarry_cell cell)
{
    interleave_write((uint64_t *)cell.data, cell.ref);
}

static struct quarry_cell take_cell(void)
{
    struct quarry_cell cell;
    enum quarry_status status = quarry_slab_take(slab, CELL_BYTES, &cell);

    Q_ASSERT(status == QUARRY_OK);
    Q_ASSERT(quarry_slab_data(slab, cell.ref) == cell.data);
    cell_write(cell);
    return cell;
}

static void make(void)
{
    enum quarry_status status = quarry_epoch_create(memory(), &epoch);

    Q_ASSERT(status == QUARRY_OK);
    struct quarry_slab_options options = {.name = "cells",
                                          .lane = (struct quarry_lane *)(void *)lane,
                                          .epoch = epoch,
                                          .classes_per_doubling = 8};
    status = quarry_slab_create(memory(), &options, &slab, NULL);
    Q_ASSERT(status == QUARRY_OK);
    atomic_store_relaxed_u64(&root, take_cell().ref);
    atomic_store_relaxed_u64(&heap->commit.peak_bytes, 0);
}

static void unmake(void)
{
    struct quarry_error error = {0};

    Q_ASSERT_MSG(quarry_slab_validate(slab, &error) == QUARRY_OK, "the slab is valid");
    quarry_slab_destroy(slab);
    quarry_epoch_destroy(epoch);
    /* Which pages have backing is the same for the next schedule. */
    (void)quarry_memory_trim(memory());
}

/* ---- readers, and a cell's next life -------------------------------------------------------- */

static void look(void)
{
    quarry_epoch_enter(epoch);
    quarry_ref ref = atomic_load_acquire_u64(&root);
    const uint64_t *data = slab_data(slab, ref);
    if (data != NULL) {
        Q_ASSERT(interleave_read(data) == ref);
    }
    quarry_epoch_leave(epoch);
}

/* Has what this thread retired come back, as its ring does now and then. */
static void reap(void)
{
    struct slab_gone gone = {.first = NULL};
    struct slab_thread *thread = slab_thread_find(slab);

    slab_limbo_advance(slab);
    Q_ASSERT(slab_thread_enter(thread));
    slab_limbo_reap(thread, SLAB_LIMBO_CELLS, &gone);
    os_gate_leave(&thread->gate);
    (void)slab_pages_free(slab, &gone);
}

static void replace(void)
{
    struct quarry_cell next = take_cell();
    quarry_ref old = atomic_load_relaxed_u64(&root);

    /* Release: pairs with the acquire in look. */
    atomic_store_release_u64(&root, next.ref);
    quarry_slab_retire(slab, old);
    reap();
    (void)take_cell();
}

/* The ref is still to be found when its cell is reused: generations tell. */
static void reuse_under_the_ref(void)
{
    quarry_slab_retire(slab, atomic_load_relaxed_u64(&root));
    reap();
    (void)take_cell();
}

static const struct interleave_scenario replaced = {
    .name = "slab, look and replace",
    .set_up = make,
    .threads = {look, replace},
    .check = unmake,
    ABOVE_PAGES,
    .oddities = 1,
};

static const struct interleave_scenario reused = {
    .name = "slab, look and reuse under the ref",
    .set_up = make,
    .threads = {look, reuse_under_the_ref},
    .check = unmake,
    ABOVE_PAGES,
    .oddities = 1,
};

/* ---- pages that come and go ------------------------------------------------------------------ */

/* Whatever the number, a ref is looked up without harm: this may be of the page that is added. */
static void look_up_any(void)
{
    quarry_ref ref = atomic_load_relaxed_u64(&root) + (UINT64_C(1) << SLAB_REF_PAGE_SHIFT);

    quarry_epoch_enter(epoch);
    (void)quarry_slab_data(slab, ref);
    (void)quarry_slab_data(slab, ref);
    quarry_epoch_leave(epoch);
}

static void add_a_page(void)
{
    quarry_ref ref = atomic_load_relaxed_u64(&root);
    enum quarry_status status = slab_page_add(slab_class_of(slab, QUARRY_REF_CLASS(ref)));

    Q_ASSERT(status == QUARRY_OK);
}

static void add_and_drop_a_page(void)
{
    add_a_page();
    (void)quarry_slab_trim(slab);
    (void)quarry_slab_trim(slab);
}

static const struct interleave_scenario added = {
    .name = "slab, look up any ref while a page is added",
    .set_up = make,
    .threads = {look_up_any, add_a_page},
    .check = unmake,
    ABOVE_PAGES,
};

static const struct interleave_scenario dropped = {
    .name = "slab, look up any ref while a page is dropped",
    .set_up = make,
    .threads = {look_up_any, add_and_drop_a_page},
    .check = unmake,
    ABOVE_PAGES,
    .preemptions = 2,
    .oddities = 1,
};

/* ---- threads that keep cells, and who takes them away ---------------------------------------- */

static void take_and_give(void)
{
    struct quarry_cell cell = take_cell();

    quarry_slab_give(slab, cell.ref);
    cell = take_cell();
    quarry_slab_give(slab, cell.ref);
}

static void trim(void)
{
    (void)quarry_slab_trim(slab);
}

/* The owner of the one cell that is live: it moves when the root still names it. */
static bool move_root(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                      void *new_data, size_t bytes)
{
    uint64_t expected = old_ref;

    (void)argument, (void)bytes;
    if (atomic_load_acquire_u64(&root) != old_ref) {
        return false;
    }
    Q_ASSERT(interleave_read((const uint64_t *)old_data) == old_ref);
    interleave_write((uint64_t *)new_data, new_ref);
    return atomic_cas_acq_rel_u64(&root, &expected, new_ref);
}

static void move(void)
{
    quarry_ref ref = atomic_load_relaxed_u64(&root);
    enum quarry_status status =
        quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref), move_root, NULL);

    Q_ASSERT(status == QUARRY_OK || status == QUARRY_BUSY);
}

static const struct interleave_scenario trimmed = {
    .name = "slab, take and give while it is trimmed",
    .set_up = make,
    .threads = {take_and_give, trim},
    .check = unmake,
    ABOVE_PAGES,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario moved = {
    .name = "slab, look while a page is moved",
    .set_up = make,
    .threads = {look, move},
    .check = unmake,
    ABOVE_PAGES,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario moved_from_under = {
    .name = "slab, take and give while a page is moved",
    .set_up = make,
    .threads = {take_and_give, move},
    .check = unmake,
    ABOVE_PAGES,
    .preemptions = 2,
    .has_no_oddities = true,
};

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_ref_never_leads_to_anothers_bytes(void **state)
{
    (void)state;
    interleave_expect_clean(&replaced);
    interleave_expect_clean(&reused);
    interleave_expect_clean(&added);
    interleave_expect_clean(&dropped);
}

static void a_cell_is_in_one_place(void **state)
{
    (void)state;
    interleave_expect_clean(&trimmed);
}

static void a_page_is_moved_from_under_its_users(void **state)
{
    (void)state;
    interleave_expect_clean(&moved);
    interleave_expect_clean(&moved_from_under);
}

static void expect_all_found(const struct interleave_scenario *scenario,
                             const struct interleave_plant *plants, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        interleave_expect_found(scenario, &plants[i]);
    }
}

static void bugs_in_finding_cells_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        /* The stamp is from before the generation moved on, which is past. */
        {"ref_epoch_now", INTERLEAVE_LOAD, "now", INTERLEAVE_SKIP, 0},
        /* The generation is not compared: the cell's first life is taken for granted. */
        {"slab_data", INTERLEAVE_LOAD, "generation", INTERLEAVE_SKIP, 1},
        {"ref_epoch_is_past", INTERLEAVE_LOAD, "safe", INTERLEAVE_SKIP, 9},
    };

    (void)state;
    static const struct interleave_plant in_pages[] = {
        {"slab_table_publish_locked", INTERLEAVE_STORE, "page", INTERLEAVE_WEAKEN, 0},
        {"slab_page_of", INTERLEAVE_LOAD, "page", INTERLEAVE_WEAKEN, 0},
        {"slab_table_publish_locked", INTERLEAVE_STORE, "page", INTERLEAVE_SKIP, 0},
    };

    expect_all_found(&reused, plants, sizeof plants / sizeof plants[0]);
    if (INTERLEAVE_SEES_PLAIN) {
        expect_all_found(&added, in_pages, 2);
    }
    expect_all_found(&dropped, in_pages + 2, 1);
}

static void bugs_in_keeping_threads_out_are_found(void **state)
{
    static const struct interleave_plant at_trim[] = {
        {"os_gates_barrier", INTERLEAVE_PROCESS_BARRIER, NULL, INTERLEAVE_SKIP, 0},
        {"os_gate_wait", INTERLEAVE_LOAD, "is_inside", INTERLEAVE_SKIP, 0},
        {"os_gate_try_enter", INTERLEAVE_LOAD, "stop", INTERLEAVE_SKIP, 0},
        {"os_gate_leave", INTERLEAVE_STORE, "is_inside", INTERLEAVE_WEAKEN, 0},
    };
    static const struct interleave_plant at_move[] = {
        {"slab_page_withdraw_locked", INTERLEAVE_STORE, "state", INTERLEAVE_SKIP, 0},
        {"os_gate_wait", INTERLEAVE_LOAD, "is_inside", INTERLEAVE_SKIP, 0},
    };

    (void)state;
    expect_all_found(&trimmed, at_trim, sizeof at_trim / sizeof at_trim[0]);
    expect_all_found(&moved_from_under, at_move, INTERLEAVE_SEES_PLAIN ? 2 : 1);
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(16), .has_real_backing = true});
    lane = lane_make("lane");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ref_never_leads_to_anothers_bytes),
        cmocka_unit_test(a_cell_is_in_one_place),
        cmocka_unit_test(a_page_is_moved_from_under_its_users),
        cmocka_unit_test(bugs_in_finding_cells_are_found),
        cmocka_unit_test(bugs_in_keeping_threads_out_are_found),
    };

    return cmocka_run_group_tests(tests, set_up, heap_tear_down);
}
