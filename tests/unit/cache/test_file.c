/*
 * What a cache's file says of itself, and what is believed of it.
 */
#include "unit/page/simulated_heap.h"

#include <string.h>

#include <cache/file.h>

#define PATH "data/cache"

static struct page_lane *lane;
static struct quarry_account *account;
static struct cache_file file;
static const struct heap_setup setup = {
    .reserved_bytes = Q_GIB(16), .has_real_backing = true, .disk_capacity_bytes = Q_MIB(64)};

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static enum quarry_status file_open_in(uint64_t reserved_bytes)
{
    struct quarry_error error = {0};
    struct page_lane_options options = {
        .name = "file", .reserved_bytes = reserved_bytes, .file_path = PATH};
    struct quarry_account_options account_options = {.name = "cache", .is_all_pages = true};

    assert_int_equal(page_lane_create(heap, &options, &lane, &error), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory_of_heap(), &account_options, &account, &error),
                     QUARRY_OK);
    enum quarry_status status =
        cache_file_open(&file, account, (struct quarry_lane *)(void *)lane, &error);
    assert_int_equal(error.text[0] != '\0', status != QUARRY_OK);
    file.is_ready = true;
    return status;
}

static uint64_t charged_bytes(void)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.charged_bytes;
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&setup);
    assert_int_equal(file_open_in(Q_GIB(1)), QUARRY_OK);
    return 0;
}

/* The process ends, with or without a word; the next one opens the file. */
static enum quarry_status reopen_in(bool is_clean, uint64_t reserved_bytes)
{
    if (is_clean) {
        cache_file_close(&file, 1000, 77);
        assert_int_equal(charged_bytes(), 0);
    }
    heap_restart(&setup);
    return file_open_in(reserved_bytes);
}

static enum quarry_status reopen(bool is_clean)
{
    return reopen_in(is_clean, Q_GIB(1));
}

static int tear_down(void **state)
{
    (void)state;
    heap_end();
    return 0;
}

/* A run of the lane as a page of the slab, noted. */
static struct cache_file_page page_add(uint32_t class_id, uint32_t page, uint32_t cell_bytes)
{
    void *base;

    assert_int_equal(quarry_pages_alloc((struct quarry_lane *)(void *)lane,
                                        quarry_account_owner(account), 8, &base),
                     QUARRY_OK);
    struct cache_file_page made = {
        cache_file_page_number(&file, base), 8, class_id, page, cell_bytes, false};
    assert_int_equal(cache_file_add_page(&file, &made), QUARRY_OK);
    return made;
}

/* Checks that the file notes just these pages, in the order of their places. */
static void assert_pages(const struct cache_file_page *pages, size_t page_count)
{
    struct cache_file_page found;
    uint64_t granule = 0;

    for (size_t i = 0; i < page_count; i++) {
        assert_int_equal(cache_file_next_page(&file, &granule, UINT64_MAX, &found), QUARRY_OK);
        assert_int_equal(found.lane_page, pages[i].lane_page);
        assert_int_equal(found.page_count, pages[i].page_count);
        assert_int_equal(found.class_id, pages[i].class_id);
        assert_int_equal(found.page, pages[i].page);
        assert_int_equal(found.cell_bytes, pages[i].cell_bytes);
    }
    assert_int_equal(cache_file_next_page(&file, &granule, UINT64_MAX, &found), QUARRY_NOT_FOUND);
}

/* ---- beginning and opening ------------------------------------------------------------------ */

static void a_new_file_is_neither_warm_nor_given_up(void **state)
{
    (void)state;
    assert_false(file.is_warm);
    assert_string_equal(file.why, "");
    assert_int_equal(cache_file_page_number(&file, file.head), 0);
    assert_int_equal(charged_bytes(), QUARRY_PAGE_BYTES);
}

static void a_file_that_was_closed_is_warm_and_clean(void **state)
{
    (void)state;
    assert_int_equal(reopen(true), QUARRY_OK);
    assert_true(file.is_warm);
    assert_true(file.was_clean);
    assert_int_equal(file.head->clock_s, 1000);
    assert_int_equal(file.head->sequence, 77);
    assert_int_equal(file.head->state, CACHE_FILE_OPEN);
}

static void a_file_whose_process_was_killed_is_warm_and_not_clean(void **state)
{
    (void)state;
    cache_file_note(&file, 5, 6);
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_true(file.is_warm);
    assert_false(file.was_clean);
    assert_int_equal(file.head->clock_s, 5);
    assert_int_equal(file.head->sequence, 6);
}

static void a_file_in_use_when_the_machine_went_down_is_begun_anew(void **state)
{
    (void)state;
    file.head->boot_id[7] ^= 1;
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_false(file.is_warm);
    assert_string_equal(file.why, "the machine went down while it was in use");
    assert_int_equal(reopen(true), QUARRY_OK);
    assert_true(file.is_warm);
}

static void a_file_that_was_closed_before_the_machine_went_down_is_warm(void **state)
{
    (void)state;
    cache_file_close(&file, 1, 1);
    file.head->boot_id[0] ^= 1;
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_true(file.is_warm);
    assert_true(file.was_clean);
}

static void a_version_that_nobody_knows_is_begun_anew_and_says_so(void **state)
{
    (void)state;
    file.head->version = 9;
    assert_int_equal(reopen(true), QUARRY_OK);
    assert_false(file.is_warm);
    assert_string_equal(file.why, "version 9 of the format, this is 2");
}

static void each_byte_of_the_constants_counts(void **state)
{
    (void)state;
    for (size_t i = offsetof(struct cache_file_head, version);
         i < offsetof(struct cache_file_head, unused_too); i++) {
        ((char *)file.head)[i] ^= 0x40;
        assert_int_equal(reopen(i % 2 == 0), QUARRY_OK);
        assert_false(file.is_warm);
        assert_true(file.why[0] != '\0');
    }
}

static void a_state_that_is_none_is_begun_anew(void **state)
{
    (void)state;
    file.head->state = 12345;
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_false(file.is_warm);
}

static void a_lane_of_something_else_is_refused_and_left_alone(void **state)
{
    (void)state;
    memcpy(file.head->magic, "ANOTHER!", 8);
    assert_int_equal(reopen(false), QUARRY_CORRUPT);
    assert_int_equal(charged_bytes(), 0);
    assert_int_equal(reopen(false), QUARRY_CORRUPT);
}

static void a_file_without_a_magic_had_just_been_made(void **state)
{
    (void)state;
    memset(file.head->magic, 0, 8);
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_false(file.is_warm);
    assert_string_equal(file.why, "it had just been made");
}

static void a_file_without_room_for_its_head_cannot_be_begun(void **state)
{
    (void)state;
    page_lane_destroy(lane);
    quarry_account_uncharge(account, charged_bytes());
    quarry_account_destroy(account);
    os_sim_fail_at(&sim, OS_SIM_FILE_PREALLOCATE, 0, OS_SIM_FOR_EVER, QUARRY_NO_SPACE);
    struct quarry_error error = {0};
    struct page_lane_options options = {
        .name = "new", .reserved_bytes = Q_GIB(1), .file_path = "data/new"};
    struct quarry_account_options account_options = {.name = "cache"};
    assert_int_equal(page_lane_create(heap, &options, &lane, &error), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory_of_heap(), &account_options, &account, &error),
                     QUARRY_OK);
    assert_int_equal(cache_file_open(&file, account, (struct quarry_lane *)(void *)lane, &error),
                     QUARRY_NO_SPACE);
    assert_true(error.text[0] != '\0');
    assert_int_equal(charged_bytes(), 0);
    os_sim_fail_clear(&sim);
}

/* Whatever a sync fails at, the file is not believed to be closed when it is not. */
static void a_close_that_fails_leaves_the_file_as_if_killed(void **state)
{
    (void)state;
    for (uint64_t index = 0; index < 2; index++) {
        os_sim_fail_at(&sim, OS_SIM_FILE_SYNC, index, OS_SIM_ONCE, QUARRY_IO);
        cache_file_close(&file, 1, 1);
        assert_int_equal(os_sim_failed_count(&sim), 1);
        os_sim_fail_clear(&sim);
        assert_int_equal(file.head->state, CACHE_FILE_OPEN);
        heap_restart(&setup);
        assert_int_equal(file_open_in(Q_GIB(1)), QUARRY_OK);
        assert_true(file.is_warm);
        assert_false(file.was_clean);
    }
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void pages_are_noted_until_they_go(void **state)
{
    struct cache_file_page pages[3];

    (void)state;
    pages[0] = page_add(1, 0, 104);
    pages[1] = page_add(511, 65535, 16);
    pages[2] = page_add(7, 1, 1u << 15);
    assert_pages(pages, 3);
    cache_file_remove_page(&file, pages[1].lane_page);
    pages[1] = pages[2];
    assert_pages(pages, 2);
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_int_equal(cache_file_adopt_tables(&file), QUARRY_OK);
    assert_pages(pages, 2);
}

static void a_page_that_comes_has_no_head_that_says_anything(void **state)
{
    void *base;

    (void)state;
    assert_int_equal(quarry_pages_alloc((struct quarry_lane *)(void *)lane,
                                        quarry_account_owner(account), 7, &base),
                     QUARRY_OK);
    memset(base, 0xff, 7 * QUARRY_PAGE_BYTES);
    struct cache_file_page page = {cache_file_page_number(&file, base), 7, 1, 0, 1000, false};
    assert_int_equal(cache_file_add_page(&file, &page), QUARRY_OK);
    for (size_t cell = 0; cell + 1000 <= 7 * QUARRY_PAGE_BYTES; cell += 1000) {
        uint32_t head;
        memcpy(&head, (char *)base + cell, sizeof(head));
        assert_int_equal(head, 0);
    }
}

static void an_entry_that_was_changed_is_found(void **state)
{
    struct cache_file_page page, found;
    uint64_t granule;

    (void)state;
    page = page_add(3, 9, 200);
    char *table = page_lane_address(lane, file.head->page_table[0]);
    char *entry = table + page.lane_page / 4 * 8;
    for (uint32_t bit = 0; bit < 64; bit++) {
        entry[bit / 8] = (char)(entry[bit / 8] ^ 1 << bit % 8);
        granule = 0;
        assert_int_equal(cache_file_next_page(&file, &granule, UINT64_MAX, &found), QUARRY_CORRUPT);
        entry[bit / 8] = (char)(entry[bit / 8] ^ 1 << bit % 8);
    }
    /* One that is good elsewhere is not good here. */
    memcpy(entry + 8, entry, 8);
    granule = page.lane_page / 4 + 1;
    assert_int_equal(cache_file_next_page(&file, &granule, UINT64_MAX, &found), QUARRY_CORRUPT);
    memset(entry + 8, 0, 8);
    assert_pages(&page, 1);
}

static void a_page_beyond_what_tables_reach_is_refused(void **state)
{
    struct cache_file_page page = {file.granule_count * 4, 8, 1, 0, 104, false};

    (void)state;
    assert_int_equal(file.granule_count, Q_GIB(1) / Q_KIB(32));
    assert_int_equal(cache_file_add_page(&file, &page), QUARRY_NO_ADDRESS);
}

static void a_file_reaches_beyond_the_lane_it_was_made_in(void **state)
{
    (void)state;
    assert_int_equal(reopen_in(true, Q_GIB(4)), QUARRY_OK);
    assert_true(file.is_warm);
    assert_int_equal(file.granule_count, Q_GIB(4) / Q_KIB(32));
}

static void a_table_that_finds_no_room_leaves_nothing(void **state)
{
    struct cache_file_page page = {64, 8, 1, 0, 104, false};

    (void)state;
    uint64_t charged = charged_bytes();
    os_sim_fail_at(&sim, OS_SIM_FILE_PREALLOCATE, 0, OS_SIM_FOR_EVER, QUARRY_NO_SPACE);
    assert_int_equal(cache_file_add_page(&file, &page), QUARRY_NO_SPACE);
    assert_int_equal(cache_file_add_tenant(&file, 3, "acme", 1), QUARRY_NO_SPACE);
    os_sim_fail_clear(&sim);
    assert_int_equal(charged_bytes(), charged);
    assert_pages(NULL, 0);
    assert_null(cache_file_tenant(&file, 3));
}

/* Tables that cannot be adopted are given up with all else. */
static void a_file_whose_tables_lie_nowhere_is_begun_anew(void **state)
{
    static const uint32_t places[] = {1u << 30, 0xffffffffu};

    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)page_add(1, 0, 104);
        assert_int_equal(cache_file_add_tenant(&file, 0, "default", 1), QUARRY_OK);
        file.head->page_table[3] = places[i];
        assert_int_equal(reopen(false), QUARRY_OK);
        assert_int_equal(cache_file_adopt_tables(&file), QUARRY_BAD_INPUT);
        assert_int_equal(cache_file_begin_anew(&file, "for a test"), QUARRY_OK);
        assert_string_equal(file.why, "for a test");
        assert_int_equal(charged_bytes(), QUARRY_PAGE_BYTES);
        assert_pages(NULL, 0);
        heap_check();
    }
}

static void two_tables_of_one_place_are_no_tables(void **state)
{
    (void)state;
    (void)page_add(1, 0, 104);
    file.head->page_table[5] = file.head->page_table[0];
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_int_equal(cache_file_adopt_tables(&file), QUARRY_BAD_INPUT);
    assert_int_equal(cache_file_begin_anew(&file, "for a test"), QUARRY_OK);
}

/* ---- tenants -------------------------------------------------------------------------------- */

static void tenants_are_noted_by_id(void **state)
{
    (void)state;
    assert_int_equal(cache_file_add_tenant(&file, 0, "default", 11), QUARRY_OK);
    assert_int_equal(cache_file_add_tenant(&file, 65535, "acme", 12), QUARRY_OK);
    cache_file_tenant(&file, 65535)->flushed_sequence = 99;
    assert_null(cache_file_tenant(&file, 1));
    assert_null(cache_file_tenant(&file, 65536));
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_int_equal(cache_file_adopt_tables(&file), QUARRY_OK);
    const struct cache_file_tenant *acme = cache_file_tenant(&file, 65535);
    assert_string_equal(acme->name, "acme");
    assert_int_equal(acme->secret, 12);
    assert_int_equal(acme->flushed_sequence, 99);
    assert_int_equal(cache_file_tenant(&file, 0)->secret, 11);
    cache_file_remove_tenant(&file, 65535);
    assert_null(cache_file_tenant(&file, 65535));
    assert_true(cache_file_has_tenant_id(&file, 65535));
    cache_file_free_tenant(&file, 65535);
    assert_false(cache_file_has_tenant_id(&file, 65535));
    assert_false(cache_file_has_tenant_id(&file, 300));
    cache_file_free_tenant(&file, 300);
    cache_file_remove_tenant(&file, 300); /* of a table that is not there */
}

static void a_tenant_whose_name_was_changed_is_none(void **state)
{
    (void)state;
    assert_int_equal(cache_file_add_tenant(&file, 5, "acme", 12), QUARRY_OK);
    struct cache_file_tenant *tenant = cache_file_tenant(&file, 5);
    tenant->name[1]++;
    assert_null(cache_file_tenant(&file, 5));
    tenant->name[1]--;
    tenant->secret++;
    assert_null(cache_file_tenant(&file, 5));
    tenant->secret--;
    assert_non_null(cache_file_tenant(&file, 5));
}

/* ---- the example of docs/formats/cache-file.md ---------------------------------------------- */

static const uint8_t example_head[] = {
    0x51, 0x43, 0x41, 0x43, 0x48, 0x45, 0x0d, 0x0a, 0x02, 0x00, 0x00, 0x00, 0x04, 0x03, 0x02,
    0x01, 0x00, 0x20, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x01, 0x00,
    0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0xf1, 0x53, 0x65};
static const uint8_t example_crc[] = {0x36, 0xdf, 0x74, 0x42, 0x00, 0x00, 0x00, 0x00,
                                      0x6f, 0x70, 0x65, 0x6e, 0x00, 0x00, 0x00, 0x00};
static const uint8_t example_entry[] = {0x00, 0x00, 0x01, 0x32, 0x00, 0x1c, 0xc8, 0xf8};

static void the_example_of_the_format_is_read(void **state)
{
    const struct cache_file_page page = {2, 8, 1, 0, 104, false};

    (void)state;
    assert_int_equal(cache_file_add_tenant(&file, 0, "default", 1), QUARRY_OK);
    assert_int_equal(page_add(1, 0, 104).lane_page, 2);
    assert_int_equal(file.head->tenant_table[0], 1);
    assert_int_equal(file.head->page_table[0], 10);
    uint8_t *head = (uint8_t *)file.head;
    memset(head, 0, 128);
    memcpy(head, example_head, sizeof(example_head));
    memcpy(head + 120, example_crc, sizeof(example_crc));
    uint8_t *table = page_lane_address(lane, 10);
    assert_memory_equal(table, example_entry, sizeof(example_entry));
    assert_int_equal(reopen(false), QUARRY_OK);
    assert_true(file.is_warm);
    assert_int_equal(cache_file_adopt_tables(&file), QUARRY_OK);
    assert_pages(&page, 1);
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FILE_TEST(a_new_file_is_neither_warm_nor_given_up),
        FILE_TEST(a_file_that_was_closed_is_warm_and_clean),
        FILE_TEST(a_file_whose_process_was_killed_is_warm_and_not_clean),
        FILE_TEST(a_file_in_use_when_the_machine_went_down_is_begun_anew),
        FILE_TEST(a_file_that_was_closed_before_the_machine_went_down_is_warm),
        FILE_TEST(a_version_that_nobody_knows_is_begun_anew_and_says_so),
        FILE_TEST(each_byte_of_the_constants_counts),
        FILE_TEST(a_state_that_is_none_is_begun_anew),
        FILE_TEST(a_lane_of_something_else_is_refused_and_left_alone),
        FILE_TEST(a_file_without_a_magic_had_just_been_made),
        FILE_TEST(a_file_without_room_for_its_head_cannot_be_begun),
        FILE_TEST(a_close_that_fails_leaves_the_file_as_if_killed),
        FILE_TEST(pages_are_noted_until_they_go),
        FILE_TEST(a_page_that_comes_has_no_head_that_says_anything),
        FILE_TEST(an_entry_that_was_changed_is_found),
        FILE_TEST(a_page_beyond_what_tables_reach_is_refused),
        FILE_TEST(a_file_reaches_beyond_the_lane_it_was_made_in),
        FILE_TEST(a_table_that_finds_no_room_leaves_nothing),
        FILE_TEST(a_file_whose_tables_lie_nowhere_is_begun_anew),
        FILE_TEST(two_tables_of_one_place_are_no_tables),
        FILE_TEST(tenants_are_noted_by_id),
        FILE_TEST(a_tenant_whose_name_was_changed_is_none),
        FILE_TEST(the_example_of_the_format_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
