/*
 * A slab made again of the pages of another: what was noted of them is enough, and nothing else is
 * believed.
 */
#include "unit/slab/slab_rig.h"

#include <string.h>

#include "unit/base/random.h"

#define NOTES_MAX 4096u
#define PATH      "data/cells"

/* What the owner notes of pages, in memory that the restart leaves alone. */
static struct note {
    uint32_t class_id, page, cell_bytes;
    uint64_t lane_page, bytes;
} notes[NOTES_MAX];
static size_t note_count;
static struct page_lane *cell_lane, *record_lane;
static enum quarry_status taken_status;
static uint64_t zero_count; /* pages that were told to be */
static const struct heap_setup setup = {
    .reserved_bytes = Q_GIB(16), .has_real_backing = true, .disk_capacity_bytes = Q_MIB(256)};

/* ---- a slab whose pages are noted ----------------------------------------------------------- */

static uint64_t lane_page_of(const void *base)
{
    return (uint64_t)((const char *)base - cell_lane->base) >> PAGE_SHIFT;
}

/* Whether each byte is zero. */
static bool is_all_zero(const char *bytes, size_t count)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, count - 1) == 0;
}

static enum quarry_status note_taken(void *argument, const struct quarry_slab_page *page)
{
    assert_ptr_equal(argument, notes);
    assert_true(page->cell_count > 0 && page->free_count == page->cell_count);
    assert_int_equal(quarry_slab_page_cells(page->cell_bytes, page->bytes), page->cell_count);
    if (page->is_zero) {
        zero_count++;
        assert_true(is_all_zero(page->base, page->bytes));
    }
    if (taken_status == QUARRY_OK) {
        assert_true(note_count < NOTES_MAX);
        notes[note_count++] = (struct note){page->class_id, page->page, page->cell_bytes,
                                            lane_page_of(page->base), page->bytes};
    }
    return taken_status;
}

static void note_given(void *argument, const struct quarry_slab_page *page)
{
    assert_ptr_equal(argument, notes);
    for (size_t i = 0; i < note_count; i++) {
        if (notes[i].lane_page == lane_page_of(page->base)) {
            assert_int_equal(notes[i].class_id, page->class_id);
            assert_int_equal(notes[i].page, page->page);
            notes[i] = notes[--note_count];
            return;
        }
    }
    fail_msg("a page went that had not come");
}

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static void slab_open(void)
{
    struct quarry_error error = {0};
    struct page_lane_options lane_options = {
        .name = "cells", .reserved_bytes = Q_GIB(1), .file_path = PATH};

    assert_int_equal(page_lane_create(heap, &lane_options, &cell_lane, &error), QUARRY_OK);
    record_lane = lane_make("records");
    struct quarry_account_options account_options = {.name = "cells", .is_all_pages = true};
    assert_int_equal(quarry_account_create(memory_of_heap(), &account_options, &account, &error),
                     QUARRY_OK);
    assert_int_equal(quarry_epoch_create(memory_of_heap(), &epoch), QUARRY_OK);
    struct quarry_slab_options options = {
        .name = "cells",
        .lane = (struct quarry_lane *)(void *)cell_lane,
        .record_lane = (struct quarry_lane *)(void *)record_lane,
        .account = account,
        .epoch = epoch,
        .page_taken = note_taken,
        .page_given = note_given,
        .page_argument = notes,
    };
    assert_int_equal(quarry_slab_create(memory_of_heap(), &options, &slab, &error), QUARRY_OK);
}

/* A restart of the process: nothing is left but the file and the notes. */
static void restart(void)
{
    quarry_slab_detach(slab);
    quarry_epoch_destroy(epoch);
    struct quarry_account_state state;
    quarry_account_read(account, &state);
    assert_int_equal(state.charged_bytes, 0);
    heap_restart(&setup);
    slab_open();
}

static int set_up(void **state)
{
    (void)state;
    note_count = 0;
    zero_count = 0;
    taken_status = QUARRY_OK;
    memset(index_slots, 0, sizeof(index_slots));
    heap_begin(&setup);
    slab_open();
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(quarry_slab_validate(slab, &error), QUARRY_OK);
    quarry_slab_destroy(slab);
    slab = NULL;
    assert_int_equal(note_count, 0);
    quarry_epoch_destroy(epoch);
    heap_end();
    return 0;
}

/* ---- adopting ------------------------------------------------------------------------------- */

static enum quarry_status adopt_classes(void)
{
    uint32_t cell_bytes[512] = {0}, class_count = 0;

    for (size_t i = 0; i < note_count; i++) {
        cell_bytes[notes[i].class_id] = notes[i].cell_bytes;
        class_count = (uint32_t)size_max_u64(class_count, notes[i].class_id + UINT64_C(1));
    }
    return quarry_slab_adopt_classes(slab, cell_bytes, class_count);
}

/* The cells of a page that the index has. */
static void live_bits_of(const struct note *note, uint64_t *bits)
{
    memset(bits, 0, 65536 / 8);
    for (uint64_t key = 0; key < INDEX_KEYS; key++) {
        quarry_ref ref = index_slots[key].ref;
        if (ref != QUARRY_REF_NIL && QUARRY_REF_CLASS(ref) == note->class_id &&
            QUARRY_REF_PAGE(ref) == note->page) {
            bits[QUARRY_REF_CELL(ref) / 64] |= UINT64_C(1) << QUARRY_REF_CELL(ref) % 64;
        }
    }
}

static struct quarry_slab_page run_claim(const struct note *note)
{
    void *base;

    assert_int_equal(quarry_account_charge(account, note->bytes), QUARRY_OK);
    assert_int_equal(quarry_lane_adopt((struct quarry_lane *)(void *)cell_lane,
                                       quarry_account_owner(account), note->lane_page,
                                       note->bytes >> PAGE_SHIFT, &base),
                     QUARRY_OK);
    return (struct quarry_slab_page){.class_id = note->class_id,
                                     .page = note->page,
                                     .base = base,
                                     .bytes = note->bytes,
                                     .cell_bytes = note->cell_bytes};
}

static void adopt_all(void)
{
    static uint64_t bits[65536 / 64];

    assert_int_equal(adopt_classes(), QUARRY_OK);
    for (size_t i = 0; i < note_count; i++) {
        struct quarry_slab_page page = run_claim(&notes[i]);
        live_bits_of(&notes[i], bits);
        assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_OK);
    }
    assert_int_equal(quarry_lane_adopt_finish((struct quarry_lane *)(void *)cell_lane), QUARRY_OK);
    quarry_slab_adopt_finish(slab);
    for (uint64_t key = 0; key < INDEX_KEYS; key++) {
        uint64_t ref48 = index_slots[key].ref & QUARRY_REF48_MASK;
        if (ref48 != 0) {
            index_slots[key].ref = quarry_slab_ref(slab, ref48);
            assert_int_not_equal(index_slots[key].ref, QUARRY_REF_NIL);
        }
    }
}

static void slab_check_sums(void)
{
    struct quarry_error error = {0};
    struct quarry_account_state state;

    if (quarry_slab_validate(slab, &error) != QUARRY_OK) {
        fail_msg("quarry_slab_validate: %s", error.text);
    }
    struct quarry_slab_stats stats = slab_stats();
    quarry_account_read(account, &state);
    assert_int_equal(state.own_bytes, stats.page_bytes + stats.metadata_bytes);
    uint32_t owner = quarry_account_owner(account);
    assert_int_equal(owner_pages_in(owner, cell_lane) << PAGE_SHIFT, stats.page_bytes);
    assert_int_equal(owner_pages_in(owner, record_lane) << PAGE_SHIFT, stats.metadata_bytes);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void cells_of_all_sizes_are_found_by_their_refs_after_a_restart(void **state)
{
    uint64_t random = 7;
    uint64_t live_count = 0;

    (void)state;
    for (uint64_t key = 0; key < 20000; key++) {
        index_put(key, 8 + random_u64(&random) % (key % 100 == 0 ? 60000 : 900));
    }
    for (uint64_t key = 0; key < 20000; key++) {
        if (random_u64(&random) % 3 == 0) {
            index_remove(key);
        } else {
            live_count++;
        }
    }
    slab_check_sums();
    restart();
    adopt_all();
    assert_int_equal(slab_stats().live_count, live_count);
    slab_check_sums();
    index_check();
    index_clear();
}

static void what_is_free_after_a_restart_is_taken_before_there_are_new_pages(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 10000; key++) {
        index_put(key, 100);
    }
    for (uint64_t key = 0; key < 10000; key += 2) {
        index_remove(key);
    }
    restart();
    adopt_all();
    uint64_t page_count = slab_stats().page_count;
    for (uint64_t key = 0; key < 10000; key += 2) {
        index_put(key, 100);
    }
    assert_int_equal(slab_stats().page_count, page_count);
    index_check();
    slab_check_sums();
    index_clear();
}

static void numbers_of_pages_that_went_are_given_to_new_ones(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 20000; key++) {
        index_put(key, 200);
    }
    for (uint64_t key = 0; key < 15000; key++) {
        index_remove(key);
    }
    (void)quarry_slab_trim(slab);
    uint32_t last = 0;
    for (size_t i = 0; i < note_count; i++) {
        last = (uint32_t)size_max_u64(last, notes[i].page);
    }
    assert_true(last + 1 > note_count);
    restart();
    adopt_all();
    for (uint64_t key = 0; note_count <= last && key < 15000; key++) {
        index_put(key, 200);
    }
    for (size_t i = 0; i < note_count; i++) {
        assert_true(notes[i].page <= last);
    }
    index_check();
    slab_check_sums();
    index_clear();
}

static void a_page_can_be_moved_and_adopted_again_and_again(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 4000; key++) {
        index_put(key, 416);
    }
    for (uint32_t round = 0; round < 3; round++) {
        for (uint64_t key = round; key < 4000; key += 5) {
            if (index_slots[key].ref != QUARRY_REF_NIL) {
                index_remove(key);
            }
        }
        quarry_ref ref = index_slots[4].ref;
        assert_int_equal(quarry_slab_move_page(slab, QUARRY_REF_CLASS(ref), QUARRY_REF_PAGE(ref),
                                               index_move, NULL),
                         QUARRY_OK);
        restart();
        adopt_all();
        index_check();
        slab_check_sums();
    }
    index_clear();
}

static void a_class_without_pages_leaves_its_number_to_some_size(void **state)
{
    (void)state;
    index_put(1, 100);
    index_put(2, 2000);
    index_put(3, 300);
    uint32_t class_id = QUARRY_REF_CLASS(index_slots[3].ref);
    index_remove(1);
    index_remove(2);
    (void)quarry_slab_trim(slab);
    assert_int_equal(note_count, 1);
    restart();
    adopt_all();
    assert_int_equal(QUARRY_REF_CLASS(index_slots[3].ref), class_id);
    for (uint64_t key = 10; key < 2000; key++) {
        index_put(key, key);
    }
    index_check();
    slab_check_sums();
    index_clear();
}

static void a_size_of_its_own_is_one_after_a_restart(void **state)
{
    (void)state;
    assert_int_equal(quarry_slab_add_size(slab, 32792), QUARRY_OK);
    index_put(1, 32792);
    restart();
    adopt_all();
    assert_int_equal(quarry_slab_cell_bytes(slab, index_slots[1].ref), 32792);
    index_put(2, 32792);
    assert_int_equal(QUARRY_REF_CLASS(index_slots[2].ref), QUARRY_REF_CLASS(index_slots[1].ref));
    index_check();
    index_clear();
}

static void a_page_that_its_owner_refuses_does_not_come(void **state)
{
    struct quarry_cell cell;

    (void)state;
    taken_status = QUARRY_NO_SPACE;
    assert_int_equal(quarry_slab_take(slab, 100, &cell), QUARRY_NO_SPACE);
    assert_int_equal(slab_stats().page_count, 0);
    slab_check_sums();
    taken_status = QUARRY_OK;
    index_put(1, 100);
    assert_int_equal(QUARRY_REF_PAGE(index_slots[1].ref), 0);
    slab_check_sums();
    index_clear();
}

static void a_page_that_is_taken_has_been_told_of_before_and_one_given_after(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 5000; key++) {
        index_put(key, 500);
        quarry_ref ref = index_slots[key].ref;
        const struct note *note = &notes[note_count - 1];
        assert_int_equal(note->class_id, QUARRY_REF_CLASS(ref));
    }
    assert_int_equal(slab_stats().page_count, note_count);
    index_clear();
    (void)quarry_slab_trim(slab);
    assert_int_equal(note_count, 0);
}

static void a_page_is_told_to_be_zero_only_where_it_is(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 6; round++) {
        for (uint64_t key = 0; key < 2000; key++) {
            index_put(key, 100 + round * 300);
        }
        index_clear();
        (void)quarry_slab_trim(slab);
        if (round == 3) { /* what is free goes back to the file system, and is zero again */
            (void)page_heap_trim(heap);
        }
    }
    assert_true(zero_count != 0);
    assert_true(zero_count < slab_stats().page_taken_count);
}

static void classes_that_cannot_be_are_refused(void **state)
{
    const uint32_t odd[] = {0, 100}, small[] = {0, 8}, large[] = {0, (512 << 10) + 8};
    const uint32_t twice[] = {0, 104, 104}, good[] = {0, 104, 0, 32792};
    static const uint32_t many[513] = {0};

    (void)state;
    assert_int_equal(quarry_slab_adopt_classes(slab, odd, 2), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_slab_adopt_classes(slab, small, 2), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_slab_adopt_classes(slab, large, 2), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_slab_adopt_classes(slab, many, 513), QUARRY_TOO_MANY);
    assert_int_equal(quarry_slab_adopt_classes(slab, good, 4), QUARRY_OK);
    assert_int_equal(quarry_slab_adopt_classes(slab, good, 4), QUARRY_BAD_INPUT);
    quarry_slab_adopt_finish(slab);
    quarry_slab_destroy(slab);
    quarry_epoch_destroy(epoch);
    heap_restart(&setup);
    slab_open();
    assert_int_equal(quarry_slab_adopt_classes(slab, twice, 3), QUARRY_BAD_INPUT);
}

static void every_number_can_be_without_a_size(void **state)
{
    static const uint32_t none[512] = {0};

    (void)state;
    assert_int_equal(quarry_slab_adopt_classes(slab, none, 512), QUARRY_OK);
    quarry_slab_adopt_finish(slab);
    /* The sizes that there are to be are among them: each request finds a class. */
    for (size_t bytes = 1; bytes <= QUARRY_SLAB_CELL_BYTES_MAX; bytes = bytes * 9 / 8 + 1) {
        struct quarry_cell cell;
        assert_int_equal(quarry_slab_take(slab, bytes, &cell), QUARRY_OK);
        quarry_slab_give(slab, cell.ref);
    }
}

static void a_page_that_cannot_be_is_refused(void **state)
{
    static const uint64_t bits[65536 / 64] = {1};

    (void)state;
    index_put(1, 100);
    const struct note note = notes[0];
    restart();
    assert_int_equal(adopt_classes(), QUARRY_OK);
    const struct quarry_slab_page good = run_claim(&note);
    struct quarry_slab_page page = good;
    page.class_id++;
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_BAD_INPUT);
    page.class_id = UINT32_MAX;
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_BAD_INPUT);
    page = good;
    page.cell_bytes += 8;
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_BAD_INPUT);
    page = good;
    page.bytes += PAGE_BYTES * 2;
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_BAD_INPUT);
    page = good;
    page.page = 65536;
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_BAD_INPUT);
    assert_int_equal(slab_stats().page_count, 0);
    assert_int_equal(quarry_slab_adopt_page(slab, &good, bits), QUARRY_OK);
    assert_int_equal(quarry_slab_adopt_page(slab, &good, bits), QUARRY_BAD_INPUT);
    assert_int_equal(slab_stats().page_count, 1);
    assert_int_equal(quarry_lane_adopt_finish((struct quarry_lane *)(void *)cell_lane), QUARRY_OK);
    quarry_slab_adopt_finish(slab);
    slab_check_sums();
    quarry_slab_give(slab, quarry_slab_ref(slab, index_slots[1].ref & QUARRY_REF48_MASK));
}

/* A number far above the others has the table grow to it. */
static void a_page_of_a_high_number_has_it(void **state)
{
    static const uint64_t bits[65536 / 64] = {0};

    (void)state;
    index_put(1, 100);
    struct note note = notes[0];
    note.page = notes[0].page = 60000;
    restart();
    assert_int_equal(adopt_classes(), QUARRY_OK);
    struct quarry_slab_page page = run_claim(&note);
    assert_int_equal(quarry_slab_adopt_page(slab, &page, bits), QUARRY_OK);
    assert_int_equal(quarry_lane_adopt_finish((struct quarry_lane *)(void *)cell_lane), QUARRY_OK);
    quarry_slab_adopt_finish(slab);
    slab_check_sums();
    index_slots[1].ref = QUARRY_REF_NIL;
    index_put(1, 100);
    assert_int_equal(QUARRY_REF_PAGE(index_slots[1].ref), 60000);
    index_clear();
}

/* Gives the slab so many pages of 8 KiB more than it has. */
static void ceiling_set(uint64_t page_count)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    assert_int_equal(
        quarry_account_set_bounds(account, 0, state.charged_bytes + page_count * PAGE_BYTES + 1),
        QUARRY_OK);
}

/* Adopts the noted page with so much memory. Returns: whether it came to that. */
static bool adopt_within(uint64_t page_count)
{
    static const uint64_t bits[65536 / 64] = {1};
    struct quarry_slab_page page = run_claim(&notes[0]);

    ceiling_set(page_count);
    enum quarry_status status = adopt_classes();
    if (status == QUARRY_OK) {
        status = quarry_slab_adopt_page(slab, &page, bits);
    }
    assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_set_bounds(account, 0, 0), QUARRY_OK);
    assert_int_equal(quarry_lane_adopt_finish((struct quarry_lane *)(void *)cell_lane), QUARRY_OK);
    if (status != QUARRY_OK) {
        assert_int_equal(slab_stats().page_count, 0);
        quarry_account_pages_free(account, (struct quarry_lane *)(void *)cell_lane,
                                  (void *)(uintptr_t)page.base);
    }
    quarry_slab_adopt_finish(slab);
    slab_check_sums();
    return status == QUARRY_OK;
}

static void without_memory_a_page_is_not_adopted(void **state)
{
    uint64_t page_count = 0;

    (void)state;
    index_put(1, 16); /* of many cells: its record is a run of its own */
    const struct note note = notes[0];
    restart();
    while (!adopt_within(page_count)) {
        page_count++;
        quarry_slab_destroy(slab);
        quarry_epoch_destroy(epoch);
        heap_restart(&setup);
        /* The page again, in the file as it was. */
        note_count = 0;
        slab_open();
        assert_int_equal(cell_lane->is_adopting, true);
        notes[0] = note;
        note_count = 1;
    }
    assert_true(page_count >= 2);
    quarry_slab_give(slab, quarry_slab_ref(slab, index_slots[1].ref & QUARRY_REF48_MASK));
}

int main(void)
{
#define SLAB_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SLAB_TEST(cells_of_all_sizes_are_found_by_their_refs_after_a_restart),
        SLAB_TEST(what_is_free_after_a_restart_is_taken_before_there_are_new_pages),
        SLAB_TEST(numbers_of_pages_that_went_are_given_to_new_ones),
        SLAB_TEST(a_page_can_be_moved_and_adopted_again_and_again),
        SLAB_TEST(a_class_without_pages_leaves_its_number_to_some_size),
        SLAB_TEST(a_size_of_its_own_is_one_after_a_restart),
        SLAB_TEST(a_page_that_its_owner_refuses_does_not_come),
        SLAB_TEST(a_page_that_is_taken_has_been_told_of_before_and_one_given_after),
        SLAB_TEST(a_page_is_told_to_be_zero_only_where_it_is),
        SLAB_TEST(classes_that_cannot_be_are_refused),
        SLAB_TEST(every_number_can_be_without_a_size),
        SLAB_TEST(a_page_that_cannot_be_is_refused),
        SLAB_TEST(a_page_of_a_high_number_has_it),
        SLAB_TEST(without_memory_a_page_is_not_adopted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
