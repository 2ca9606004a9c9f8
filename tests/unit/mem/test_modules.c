/* The list of modules, and build ids in ELF notes that may be damaged. */
#include "unit/base/cmocka_all.h"

#include <string.h>

#include <mem/modules.h>

static struct mem_stats_module modules[64];

static const struct mem_stats_module *module_of(uint64_t address)
{
    uint32_t count = mem_modules_list(modules, 64);

    assert_in_range(count, 3, 64); /* the test, libc, the loader at least */
    for (uint32_t i = 0; i < count; i++) {
        if (modules[i].start <= address && address < modules[i].end) {
            return &modules[i];
        }
    }
    fail_msg("no module holds the address");
    return modules;
}

static void the_program_is_listed_with_its_path(void **state)
{
    const struct mem_stats_module *module =
        module_of((uint64_t)(uintptr_t)the_program_is_listed_with_its_path);

    (void)state;
    assert_non_null(strstr(module->path, "test_mem_modules"));
    assert_int_equal(module->path[0], '/');
    assert_true(module->bias <= module->start);
}

static void a_library_is_listed_with_its_path_and_build_id(void **state)
{
    void *(*function)(void *, const void *, size_t) = memmove;
    const struct mem_stats_module *module = module_of((uint64_t)(uintptr_t)function);

    (void)state;
    assert_non_null(strstr(module->path, "lib"));
    assert_int_equal(module->build_id_bytes, 20);
    assert_int_equal(module->file_offset % 4096, 0);
}

static void a_short_list_is_filled_and_the_rest_counted(void **state)
{
    struct mem_stats_module one[2];
    uint32_t count = mem_modules_list(NULL, 0);

    (void)state;
    memset(one, 0xaa, sizeof(one));
    assert_int_equal(mem_modules_list(one, 1), count);
    assert_true(one[0].start < one[0].end);
    assert_int_equal(one[1].start, UINT64_C(0xaaaaaaaaaaaaaaaa));
}

static void the_change_count_is_steady(void **state)
{
    (void)state;
    assert_true(mem_modules_change_count() > 0);
    assert_int_equal(mem_modules_change_count(), mem_modules_change_count());
}

/* A note of another vendor, then a build id of four bytes. */
static const uint32_t notes[] = {
    4, 2, 7, 0x00786978,           0x00005555, /* "xix", two bytes, padded */
    4, 4, 3, 0x00554e47 /* GNU */, 0x44332211,
};

static void a_build_id_is_found_behind_other_notes(void **state)
{
    uint8_t id[MEM_STATS_BUILD_ID_BYTES] = {0};

    (void)state;
    assert_int_equal(mem_modules_build_id(notes, sizeof(notes), 4, id), 4);
    assert_int_equal(id[0], 0x11);
    assert_int_equal(id[3], 0x44);
}

static void notes_cut_short_have_no_build_id(void **state)
{
    uint8_t id[MEM_STATS_BUILD_ID_BYTES];

    (void)state;
    for (size_t bytes = 0; bytes < sizeof(notes); bytes++) {
        uint8_t exact[sizeof(notes)]; /* the sanitizers see a read behind it */
        memcpy(exact + sizeof(notes) - bytes, notes, bytes);
        assert_int_equal(mem_modules_build_id(exact + sizeof(notes) - bytes, bytes, 4, id), 0);
    }
}

static void lengths_that_cannot_be_are_refused(void **state)
{
    const uint32_t long_name[] = {UINT32_MAX, 4, 3, 0x00554e47, 1};
    const uint32_t long_id[] = {4, UINT32_MAX, 3, 0x00554e47, 1};
    const uint32_t large_id[] = {4, 24, 3, 0x00554e47, 1, 2, 3, 4, 5, 6};
    uint8_t id[MEM_STATS_BUILD_ID_BYTES];

    (void)state;
    assert_int_equal(mem_modules_build_id(long_name, sizeof(long_name), 4, id), 0);
    assert_int_equal(mem_modules_build_id(long_id, sizeof(long_id), 4, id), 0);
    assert_int_equal(mem_modules_build_id(large_id, sizeof(large_id), 4, id), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_program_is_listed_with_its_path),
        cmocka_unit_test(a_library_is_listed_with_its_path_and_build_id),
        cmocka_unit_test(a_short_list_is_filled_and_the_rest_counted),
        cmocka_unit_test(the_change_count_is_steady),
        cmocka_unit_test(a_build_id_is_found_behind_other_notes),
        cmocka_unit_test(notes_cut_short_have_no_build_id),
        cmocka_unit_test(lengths_that_cannot_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
