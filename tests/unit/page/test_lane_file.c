/* Lanes backed by a file: what survives a restart, full disks, foreign files. */
#include "unit/page/simulated_heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PATH         "data/lane"
#define HEADER_BLOCK 4096u
#define HEADER_BYTES Q_KIB(64)

static struct page_lane *lane;
static uint32_t owner;

/* Memory faults where no block or page is behind it; the disk holds 100 pages and the header. */
static const struct heap_setup setup = {.has_real_backing = true,
                                        .disk_capacity_bytes = HEADER_BLOCK + 100 * PAGE_BYTES};

static enum quarry_status open_lane(const char *name, const char *path)
{
    struct quarry_error error = {0};
    struct page_lane_options options = {
        .name = name, .reserved_bytes = Q_GIB(1), .file_path = path};
    struct page_lane *made = NULL;
    enum quarry_status status = page_lane_create(heap, &options, &made, &error);

    assert_int_equal(made != NULL, status == QUARRY_OK);
    assert_int_equal(error.text[0] != '\0', status != QUARRY_OK);
    if (made != NULL) {
        lane = made;
    }
    return status;
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&setup);
    owner = owner_make("test");
    assert_int_equal(open_lane("file", PATH), QUARRY_OK);
    return 0;
}

static void restart(void)
{
    heap_restart(&setup);
    owner = owner_make("test");
    assert_int_equal(open_lane("file", PATH), QUARRY_OK);
}

static uint64_t disk_used(void)
{
    struct os_sim_counters counters;

    os_sim_read_counters(&sim, &counters);
    return counters.disk_used_bytes;
}

static uint64_t disk_pages(void)
{
    return (disk_used() - HEADER_BLOCK) / PAGE_BYTES;
}

static void fill(char *base, uint64_t page_count, uint64_t seed)
{
    uint64_t *words = (uint64_t *)(void *)base;

    for (uint64_t i = 0; i < page_count * (PAGE_BYTES / 8); i++) {
        words[i] = seed * 0x9e3779b97f4a7c15 + i;
    }
}

static void check_filled(const char *base, uint64_t page_count, uint64_t seed)
{
    const uint64_t *words = (const uint64_t *)(const void *)base;

    for (uint64_t i = 0; i < page_count * (PAGE_BYTES / 8); i++) {
        assert_true(words[i] == seed * 0x9e3779b97f4a7c15 + i);
    }
}

static char *take_filled(uint64_t page_count, uint64_t seed)
{
    char *base = take_pages(lane, owner, page_count);

    fill(base, page_count, seed);
    return base;
}

static char *adopt(uint64_t page, uint64_t page_count)
{
    void *base = NULL;

    assert_int_equal(page_lane_adopt(lane, owner, page, page_count, &base), QUARRY_OK);
    assert_ptr_equal(base, page_lane_address(lane, page));
    assert_int_equal(page_lane_run_pages(lane, base), page_count);
    return base;
}

static enum quarry_status try_adopt(uint64_t page, uint64_t page_count)
{
    void *base = NULL;
    enum quarry_status status = page_lane_adopt(lane, owner, page, page_count, &base);

    assert_int_equal(base != NULL, status == QUARRY_OK);
    return status;
}

/* ---- restarts ------------------------------------------------------------------------------- */

static void a_new_file_has_a_header_and_is_open_to_allocation(void **state)
{
    (void)state;
    assert_false(lane->is_adopting);
    assert_int_equal(disk_used(), HEADER_BLOCK);
    struct page_run run = page_alloc(lane, owner, 3);
    assert_int_equal(run.status, QUARRY_OK);
    assert_true(run.is_zero);
    assert_int_equal(disk_pages(), 3);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(10, 1), QUARRY_BAD_INPUT);
}

static void adopted_runs_are_intact_after_a_restart(void **state)
{
    (void)state;
    char *one = take_filled(1, 1), *gone = take_filled(20, 2), *five = take_filled(5, 3);
    uint64_t one_page = page_lane_page(lane, one), five_page = page_lane_page(lane, five);

    page_free(lane, gone);
    restart();
    assert_true(lane->is_adopting);
    assert_int_equal(disk_pages(), 6);
    five = adopt(five_page, 5);
    one = adopt(one_page, 1);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    check_filled(one, 1, 1);
    check_filled(five, 5, 3);
    assert_int_equal(owner_pages_in(owner, lane), 6);
    assert_int_equal(heap_totals().in_use_bytes, 6 * PAGE_BYTES);
    heap_check();
    page_free(lane, one);
    char *next = take_filled(20, 4);
    restart();
    (void)next;
    check_filled(adopt(five_page, 5), 5, 3);
}

static void what_nobody_adopts_leaves_the_file(void **state)
{
    (void)state;
    char *kept = take_filled(10, 1), *forgotten = take_filled(30, 2);
    uint64_t kept_page = page_lane_page(lane, kept);
    uint64_t forgotten_page = page_lane_page(lane, forgotten);

    restart();
    assert_int_equal(disk_pages(), 40);
    (void)adopt(kept_page, 10);
    assert_int_equal(disk_pages(), 40);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(disk_pages(), 10);
    struct page_run run = page_lane_alloc(lane, owner, 30, 1);
    assert_ptr_equal(run.base, page_lane_address(lane, forgotten_page));
    assert_true(run.is_zero);
    for (uint64_t i = 0; i < 30 * PAGE_BYTES; i += 512) {
        assert_int_equal(((const char *)run.base)[i], 0);
    }
    heap_check();
}

static void part_of_an_old_run_may_be_adopted(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    char *base = adopt(page + 1, 4);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(disk_pages(), 4);
    uint64_t first_word;
    memcpy(&first_word, base, sizeof(first_word));
    assert_true(first_word == 7 * 0x9e3779b97f4a7c15 + PAGE_BYTES / 8);
}

static void a_lane_closed_in_adoption_keeps_its_file(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    (void)adopt(page, 10);
    restart();
    assert_int_equal(disk_pages(), 30);
    check_filled(adopt(page, 30), 30, 7);
}

static void a_lane_is_opened_again_in_the_same_heap(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(12, 9));

    assert_int_equal(open_lane("other", PATH), QUARRY_BUSY);
    page_lane_destroy(lane);
    assert_int_equal(open_lane("other", PATH), QUARRY_OK);
    check_filled(adopt(page, 12), 12, 9);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    heap_check();
}

static void an_ended_lane_leaves_an_empty_file(void **state)
{
    (void)state;
    (void)take_filled(40, 1);
    page_lane_end(lane);
    assert_int_equal(disk_pages(), 0);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_check();
    (void)take_filled(40, 2);
    assert_int_equal(disk_pages(), 40);
}

/* ---- adoption refused ----------------------------------------------------------------------- */

static void adoption_refuses_overlaps_and_what_is_not_in_the_file(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));
    uint64_t lane_pages = Q_GIB(1) / PAGE_BYTES;

    restart();
    uint64_t committed_bytes = heap_committed();
    (void)adopt(page + 10, 10);
    assert_int_equal(try_adopt(page + 10, 10), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page, 11), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page + 19, 5), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page + 12, 1), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page, 0), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(PAGE_CHUNK_PAGES - 1, 2), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(lane_pages - 1, 1), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(lane_pages, 1), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(UINT64_MAX, 1), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(0, UINT64_MAX), QUARRY_BAD_INPUT);
    assert_int_equal(heap_committed() - committed_bytes, 10 * PAGE_BYTES);
    (void)adopt(page, 10);
    (void)adopt(page + 20, 10);
    heap_check();
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page + 50, 1), QUARRY_BAD_INPUT);
}

static void a_lane_in_adoption_allocates_nothing(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    char *run = adopt(page, 10);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_BUSY);
    assert_int_equal(page_alloc(lane, owner, 600).status, QUARRY_BUSY);
    assert_int_equal(page_lane_alloc(lane, owner, 8, 8).status, QUARRY_BUSY);
    assert_int_equal(page_lane_resize(lane, run, 11), QUARRY_BUSY);
    check_filled(adopt(page + 10, 10) - 10 * PAGE_BYTES, 20, 7);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_OK);
    heap_check();
}

static void a_run_freed_in_adoption_is_not_adopted_again(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    page_lane_free(lane, adopt(page, 10));
    heap_check();
    assert_int_equal(try_adopt(page, 10), QUARRY_BAD_INPUT);
    assert_int_equal(try_adopt(page + 9, 10), QUARRY_BAD_INPUT);
    (void)adopt(page + 10, 10);
    heap_check();
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(disk_pages(), 10);
    heap_check();
    (void)take_filled(10, 8);
    heap_check();
}

static void adoption_stays_within_the_budget(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + 20 * PAGE_BYTES), QUARRY_OK);
    assert_int_equal(try_adopt(page, 21), QUARRY_NO_MEMORY);
    (void)adopt(page, 20);
    assert_int_equal(try_adopt(page + 20, 10), QUARRY_NO_MEMORY);
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(1)), QUARRY_OK);
    check_filled(adopt(page + 20, 10) - 20 * PAGE_BYTES, 30, 7);
}

static void adopting_a_hole_needs_room_on_the_disk(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(90, 7));

    restart();
    assert_int_equal(try_adopt(page + 80, 30), QUARRY_NO_SPACE);
    heap_check();
    check_filled(adopt(page, 90), 90, 7);
    (void)adopt(page + 90, 10);
    assert_int_equal(try_adopt(page + 100, 1), QUARRY_NO_SPACE);
    heap_check();
}

static void a_finish_that_cannot_punch_may_be_tried_again(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(30, 7));

    restart();
    (void)adopt(page + 5, 10);
    os_sim_fail_at(&sim, OS_SIM_FILE_PUNCH, 1, OS_SIM_ONCE, QUARRY_IO);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_IO);
    os_sim_fail_clear(&sim);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_BUSY);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(disk_pages(), 10);
    heap_check();
}

/* ---- full disks
 * -----------------------------------------------------------------------------------------------
 */

static void a_full_disk_is_a_status_and_leaves_no_trace(void **state)
{
    (void)state;
    char *run = take_filled(60, 1);
    uint64_t committed_bytes = heap_committed();

    assert_int_equal(page_alloc(lane, owner, 41).status, QUARRY_NO_SPACE);
    assert_int_equal(page_alloc(lane, owner, 1000).status, QUARRY_NO_SPACE);
    assert_int_equal(disk_pages(), 60);
    assert_int_equal(owner_pages_in(owner, lane), 60);
    heap_check();
    (void)take_filled(40, 2);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_NO_SPACE);
    assert_true(heap_committed() >= committed_bytes + 40 * PAGE_BYTES);
    page_free(lane, run);
    (void)page_heap_trim(heap);
    assert_int_equal(disk_pages(), 40);
    (void)take_filled(15, 3);
    (void)take_filled(45, 4);
    heap_check();
}

/* Runs of `page_count` pages, of which every second is freed. */
static void take_and_free_half(uint32_t run_count, uint64_t page_count)
{
    char *runs[64];

    for (uint32_t i = 0; i < run_count; i++) {
        runs[i] = take_filled(page_count, i);
    }
    for (uint32_t i = 0; i < run_count; i += 2) {
        page_free(lane, runs[i]);
    }
}

static void on_a_full_disk_free_pages_give_their_blocks_to_a_run_that_lies_elsewhere(void **state)
{
    (void)state;
    take_and_free_half(6, 16);
    assert_int_equal(disk_pages(), 96);
    char *run = take_filled(40, 100);
    assert_true(disk_pages() <= 100);
    heap_check();
    check_filled(run, 40, 100);
    page_free(lane, run);
    assert_int_equal(page_alloc(lane, owner, 53).status, QUARRY_NO_SPACE);
    (void)take_filled(52, 101);
    heap_check();
}

static void on_a_full_disk_pages_that_caches_keep_give_their_blocks_too(void **state)
{
    (void)state;
    take_and_free_half(50, 2);
    assert_int_equal(disk_pages(), 100);
    (void)take_filled(50, 100);
    assert_int_equal(disk_pages(), 100);
    assert_int_equal(page_alloc(lane, owner, 1).status, QUARRY_NO_SPACE);
    heap_check();
}

static void blocks_are_there_before_a_run_is_handed_out(void **state)
{
    (void)state;
    uint64_t page_sum = 0;

    for (uint64_t page_count = 1; page_count <= 12; page_count++) {
        uint64_t calls = os_sim_call_count(&sim, OS_SIM_FILE_PREALLOCATE);
        (void)take_filled(page_count, page_count);
        page_sum += page_count;
        assert_int_equal(os_sim_call_count(&sim, OS_SIM_FILE_PREALLOCATE), calls + 1);
        assert_int_equal(disk_pages(), page_sum);
        assert_int_equal(heap_totals().cached_bytes, 0);
    }
    heap_check();
}

static void a_run_that_cannot_grow_on_a_full_disk_keeps_its_length(void **state)
{
    (void)state;
    char *run = take_filled(60, 1);

    assert_int_equal(page_lane_resize(lane, run, 101), QUARRY_NO_SPACE);
    assert_int_equal(page_lane_run_pages(lane, run), 60);
    assert_int_equal(owner_pages_in(owner, lane), 60);
    assert_int_equal(disk_pages(), 60);
    heap_check();
    assert_int_equal(page_lane_resize(lane, run, 100), QUARRY_OK);
    fill(run, 100, 2);
    assert_int_equal(page_lane_resize(lane, run, 10), QUARRY_OK);
    (void)page_heap_trim(heap);
    assert_int_equal(disk_pages(), 10);
    heap_check();
}

static void
pages_that_can_be_neither_backed_nor_given_back_are_lost_until_the_lane_ends(void **state)
{
    (void)state;
    (void)take_filled(60, 1);
    os_sim_fail_at(&sim, OS_SIM_FILE_PUNCH, 0, OS_SIM_ONCE, QUARRY_IO);
    assert_int_equal(page_alloc(lane, owner, 50).status, QUARRY_NO_SPACE);
    os_sim_fail_clear(&sim);
    assert_int_equal(owner_pages_in(owner, lane), 60);
    assert_int_equal(owner_pages_in(PAGE_OWNER_LOST, lane), 50);
    heap_check();
    page_lane_end(lane);
    assert_int_equal(owner_pages_in(PAGE_OWNER_LOST, lane), 0);
    (void)take_filled(100, 1);
    heap_check();
}

static void a_file_whose_making_failed_on_a_full_disk_is_made_later(void **state)
{
    (void)state;
    char *all = take_filled(100, 1);

    assert_int_equal(open_lane("second", "data/second"), QUARRY_NO_SPACE);
    page_free(lane, all);
    (void)page_heap_trim(heap);
    assert_int_equal(open_lane("second", "data/second"), QUARRY_OK);
    assert_false(lane->is_adopting);
    (void)take_filled(5, 2);
    heap_check();
}

/* ---- scavenging
 * --------------------------------------------------------------------------------------------------
 */

static void scavenging_punches_holes(void **state)
{
    (void)state;
    (void)take_filled(10, 1);
    char *middle = take_filled(20, 2);
    char *top = take_filled(10, 3);

    page_lane_free(lane, middle);
    assert_int_equal(disk_pages(), 40);
    uint64_t committed_bytes = heap_committed(), calls = os_sim_call_count(&sim, OS_SIM_DECOMMIT);
    assert_int_equal(page_heap_trim(heap), 20 * PAGE_BYTES);
    assert_int_equal(disk_pages(), 20);
    assert_int_equal(committed_bytes - heap_committed(), 20 * PAGE_BYTES);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_DECOMMIT), calls);
    check_filled(top, 10, 3);
    struct page_run run = page_lane_alloc(lane, owner, 20, 1);
    assert_ptr_equal(run.base, middle);
    assert_true(run.is_zero);
    assert_int_equal(*(const uint64_t *)run.base, 0);
    heap_check();
}

static void a_punch_that_fails_leaves_pages_backed(void **state)
{
    (void)state;
    page_lane_free(lane, take_filled(20, 2));
    os_sim_fail_at(&sim, OS_SIM_FILE_PUNCH, 0, OS_SIM_FOR_EVER, QUARRY_IO);
    assert_int_equal(page_heap_trim(heap), 0);
    os_sim_fail_clear(&sim);
    assert_int_equal(disk_pages(), 20);
    assert_int_equal(heap_totals().free_backed_bytes, 20 * PAGE_BYTES);
    heap_check();
    assert_int_equal(page_heap_trim(heap), 20 * PAGE_BYTES);
    assert_int_equal(disk_pages(), 0);
}

/* ---- files that are not ours ---------------------------------------------------------------- */

static void write_file(const char *path, uint64_t offset, const void *bytes, size_t byte_count)
{
    struct os_file file;

    assert_int_equal(os_file_open(&sim.os, path, &file), QUARRY_OK);
    assert_int_equal(os_file_write(&sim.os, &file, offset, bytes, byte_count), QUARRY_OK);
    os_file_close(&sim.os, &file);
}

static void a_foreign_file_is_refused_and_left_as_it_is(void **state)
{
    (void)state;
    static char junk[2 * 65536], read_back[2 * 65536];
    struct os_file file;
    uint64_t file_bytes;

    memset(junk, 'j', sizeof(junk));
    write_file("long", 0, junk, sizeof(junk));
    write_file("short", 0, junk, 100);
    write_file("one byte", 0, junk, 1);
    uint64_t committed_bytes = heap_committed();
    assert_int_equal(open_lane("a", "long"), QUARRY_CORRUPT);
    assert_int_equal(open_lane("b", "short"), QUARRY_CORRUPT);
    assert_int_equal(open_lane("c", "one byte"), QUARRY_CORRUPT);
    assert_int_equal(heap_committed(), committed_bytes);
    assert_int_equal(os_file_open(&sim.os, "long", &file), QUARRY_OK);
    assert_int_equal(os_file_size(&sim.os, &file, &file_bytes), QUARRY_OK);
    assert_int_equal(file_bytes, sizeof(junk));
    assert_int_equal(os_file_read(&sim.os, &file, 0, read_back, sizeof(junk)), QUARRY_OK);
    assert_memory_equal(junk, read_back, sizeof(junk));
    os_file_close(&sim.os, &file);
}

static void every_byte_of_the_header_is_checked(void **state)
{
    (void)state;
    unsigned char header[64];
    struct os_file file;

    (void)take_filled(3, 1);
    page_lane_destroy(lane);
    assert_int_equal(os_file_open(&sim.os, PATH, &file), QUARRY_OK);
    assert_int_equal(os_file_read(&sim.os, &file, 0, header, sizeof(header)), QUARRY_OK);
    os_file_close(&sim.os, &file);
    assert_memory_equal(header, "QUARLANE\1\0\0\0\0\40\0\0\0\0\1\0\0\0\0\0", 24);
    for (size_t i = 0; i < sizeof(header); i++) {
        unsigned char wrong = (unsigned char)(header[i] ^ 0x10);
        write_file(PATH, i, &wrong, 1);
        assert_int_equal(open_lane("file", PATH), QUARRY_CORRUPT);
        write_file(PATH, i, &header[i], 1);
    }
    assert_int_equal(open_lane("file", PATH), QUARRY_OK);
    check_filled(adopt(0, 3), 3, 1);
}

static void a_file_longer_than_the_lane_is_refused(void **state)
{
    (void)state;
    struct os_file file;

    page_lane_destroy(lane);
    assert_int_equal(os_file_open(&sim.os, PATH, &file), QUARRY_OK);
    assert_int_equal(os_file_resize(&sim.os, &file, HEADER_BYTES + Q_GIB(1) + 1), QUARRY_OK);
    os_file_close(&sim.os, &file);
    assert_int_equal(open_lane("file", PATH), QUARRY_NO_ADDRESS);
    heap_check();
}

static void a_lane_whose_file_fails_leaves_nothing_in_the_heap(void **state)
{
    (void)state;
    uint64_t page = page_lane_page(lane, take_filled(7, 1));
    enum quarry_status status = QUARRY_IO;

    page_lane_destroy(lane);
    uint64_t committed_bytes = heap_committed();
    for (uint64_t index = 0; status != QUARRY_OK; index++) {
        os_sim_fail_at(&sim, OS_SIM_ANY_FILE, index, OS_SIM_ONCE, QUARRY_IO);
        status = open_lane("file", PATH);
        assert_true(status == QUARRY_OK || status == QUARRY_IO);
        assert_true(status == QUARRY_OK || heap_committed() == committed_bytes);
        heap_check();
    }
    os_sim_fail_clear(&sim);
    check_filled(adopt(page, 7), 7, 1);
}

/* ---- the real os
 * ---------------------------------------------------------------------------------------------------------
 */

static uint64_t free_bytes_of(const char *folder)
{
    struct statvfs file_system;

    assert_int_equal(statvfs(folder, &file_system), 0);
    return file_system.f_bfree * file_system.f_frsize;
}

static void real_heap_begin(const char *path)
{
    struct page_heap_options options = {
        .limit_bytes = Q_GIB(1), .reserved_bytes = Q_GIB(8), .has_no_thread = true};

    assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
    owner = owner_make("test");
    assert_int_equal(open_lane("file", path), QUARRY_OK);
}

static void check_small_disk(const char *folder, const char *path)
{
    real_heap_begin(path);
    uint64_t free_bytes = free_bytes_of(folder);
    uint64_t page = page_lane_page(lane, take_filled(100, 5));
    assert_int_equal(free_bytes - free_bytes_of(folder), 100 * PAGE_BYTES);
    assert_int_equal(page_alloc(lane, owner, 600).status, QUARRY_NO_SPACE);
    assert_int_equal(free_bytes - free_bytes_of(folder), 100 * PAGE_BYTES);
    page_lane_free(lane, take_filled(300, 6));
    assert_int_equal(page_heap_trim(heap), 300 * PAGE_BYTES);
    assert_int_equal(free_bytes - free_bytes_of(folder), 100 * PAGE_BYTES);
    heap_check();
    page_heap_destroy(heap);
    real_heap_begin(path);
    assert_true(lane->is_adopting);
    check_filled(adopt(page, 50), 50, 5);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(free_bytes - free_bytes_of(folder), 50 * PAGE_BYTES);
    struct page_run run = page_alloc(lane, owner, 50);
    assert_true(run.is_zero);
    assert_int_equal(*(const uint64_t *)run.base, 0);
    heap_check();
    page_heap_destroy(heap);
}

static void a_small_real_file_system_is_filled_restarted_and_punched(void **state)
{
    (void)state;
    char folder[] = "/tmp/quarry-lane-XXXXXX", path[sizeof(folder) + 8];

    assert_non_null(mkdtemp(folder));
    (void)strcpy(path, folder);
    (void)strcat(path, "/lane");
    if (mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m") != 0) {
        print_message("no tmpfs can be mounted here (%s): skipped\n", strerror(errno));
        assert_int_equal(rmdir(folder), 0);
        skip();
    }
    check_small_disk(folder, path);
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
    assert_int_equal(rmdir(folder), 0);
}

#define on_a_disk(test) cmocka_unit_test_setup_teardown(test, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_disk(a_new_file_has_a_header_and_is_open_to_allocation),
        on_a_disk(adopted_runs_are_intact_after_a_restart),
        on_a_disk(what_nobody_adopts_leaves_the_file),
        on_a_disk(part_of_an_old_run_may_be_adopted),
        on_a_disk(a_lane_closed_in_adoption_keeps_its_file),
        on_a_disk(a_lane_is_opened_again_in_the_same_heap),
        on_a_disk(an_ended_lane_leaves_an_empty_file),
        on_a_disk(adoption_refuses_overlaps_and_what_is_not_in_the_file),
        on_a_disk(a_lane_in_adoption_allocates_nothing),
        on_a_disk(a_run_freed_in_adoption_is_not_adopted_again),
        on_a_disk(adoption_stays_within_the_budget),
        on_a_disk(adopting_a_hole_needs_room_on_the_disk),
        on_a_disk(a_finish_that_cannot_punch_may_be_tried_again),
        on_a_disk(a_full_disk_is_a_status_and_leaves_no_trace),
        on_a_disk(on_a_full_disk_free_pages_give_their_blocks_to_a_run_that_lies_elsewhere),
        on_a_disk(on_a_full_disk_pages_that_caches_keep_give_their_blocks_too),
        on_a_disk(blocks_are_there_before_a_run_is_handed_out),
        on_a_disk(a_run_that_cannot_grow_on_a_full_disk_keeps_its_length),
        on_a_disk(pages_that_can_be_neither_backed_nor_given_back_are_lost_until_the_lane_ends),
        on_a_disk(a_file_whose_making_failed_on_a_full_disk_is_made_later),
        on_a_disk(scavenging_punches_holes),
        on_a_disk(a_punch_that_fails_leaves_pages_backed),
        on_a_disk(a_foreign_file_is_refused_and_left_as_it_is),
        on_a_disk(every_byte_of_the_header_is_checked),
        on_a_disk(a_file_longer_than_the_lane_is_refused),
        on_a_disk(a_lane_whose_file_fails_leaves_nothing_in_the_heap),
        cmocka_unit_test(a_small_real_file_system_is_filled_restarted_and_punched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
