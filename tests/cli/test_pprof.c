/*
 * Profiles for pprof, read back: the rules that pprof checks, and sums against what was planted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "fake.h"
#include "pprof.pb-c.h"
#include "run.h"

#define PROFILE_BYTES_MAX ((size_t)1 << 22)
#define IDS_MAX           4096u
#define VALUES_MAX        6u

static struct fake shared;

static int start_shared(void **state)
{
    (void)state;
    shared = fake_start("all");
    return 0;
}

static int stop_shared(void **state)
{
    (void)state;
    fake_stop(&shared);
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

static Quarry__Pprof__Profile *read_profile(const char *path)
{
    uint8_t *bytes = malloc(PROFILE_BYTES_MAX);
    gzFile file = gzopen(path, "rb");

    assert_non_null(bytes);
    assert_non_null(file);
    int count = gzread(file, bytes, (unsigned)PROFILE_BYTES_MAX);
    assert_true(count > 0 && (size_t)count < PROFILE_BYTES_MAX);
    assert_int_equal(gzdirect(file), 0); /* it was gzipped */
    assert_int_equal(gzclose(file), Z_OK);
    Quarry__Pprof__Profile *profile = quarry__pprof__profile__unpack(NULL, (size_t)count, bytes);
    free(bytes);
    assert_non_null(profile);
    return profile;
}

/* Has the program write a profile, and reads it. */
static Quarry__Pprof__Profile *take_profile(const char *kind)
{
    char path[] = "/tmp/quarry-pprof-XXXXXX";
    int fd = mkstemp(path);
    struct run run = RUN("heap", shared.pid_text, "--profile", kind, "--pprof", path);

    assert_true(fd >= 0);
    assert_int_equal(run.exit_code, 0);
    assert_string_equal(run.out, "");
    run_free(&run);
    Quarry__Pprof__Profile *profile = read_profile(path);
    (void)close(fd);
    (void)unlink(path);
    return profile;
}

static void release(Quarry__Pprof__Profile *profile)
{
    quarry__pprof__profile__free_unpacked(profile, NULL);
}

static const char *text_of(const Quarry__Pprof__Profile *profile, int64_t index)
{
    assert_true(index >= 0 && (size_t)index < profile->n_string_table);
    return profile->string_table[index];
}

/* ---- the rules of the format ---------------------------------------------------------------- */

static void note_id(bool *is_used, uint64_t id)
{
    assert_in_range(id, 1, IDS_MAX - 1);
    assert_false(is_used[id]);
    is_used[id] = true;
}

static void check_locations(const Quarry__Pprof__Profile *profile, bool *is_location)
{
    bool is_mapping[IDS_MAX] = {0}, is_function[IDS_MAX] = {0};

    for (size_t i = 0; i < profile->n_mapping; i++) {
        note_id(is_mapping, profile->mapping[i]->id);
        assert_true(profile->mapping[i]->memory_start < profile->mapping[i]->memory_limit);
    }
    for (size_t i = 0; i < profile->n_function; i++) {
        note_id(is_function, profile->function[i]->id);
        assert_true(text_of(profile, profile->function[i]->name)[0] != '\0');
    }
    for (size_t i = 0; i < profile->n_location; i++) {
        const Quarry__Pprof__Location *location = profile->location[i];
        note_id(is_location, location->id);
        assert_true(location->mapping_id == 0 || is_mapping[location->mapping_id]);
        for (size_t j = 0; j < location->n_line; j++) {
            assert_in_range(location->line[j]->function_id, 1, IDS_MAX - 1);
            assert_true(is_function[location->line[j]->function_id]);
        }
    }
}

static void check_samples(const Quarry__Pprof__Profile *profile, const bool *is_location)
{
    for (size_t i = 0; i < profile->n_sample; i++) {
        const Quarry__Pprof__Sample *sample = profile->sample[i];
        assert_int_equal(sample->n_value, profile->n_sample_type);
        assert_true(sample->n_location_id > 0);
        for (size_t j = 0; j < sample->n_location_id; j++) {
            assert_in_range(sample->location_id[j], 1, IDS_MAX - 1);
            assert_true(is_location[sample->location_id[j]]);
        }
        for (size_t j = 0; j < sample->n_label; j++) {
            assert_true(text_of(profile, sample->label[j]->key)[0] != '\0');
            assert_true(sample->label[j]->str == 0 || sample->label[j]->num == 0);
        }
    }
}

static void check_rules(const Quarry__Pprof__Profile *profile)
{
    bool is_location[IDS_MAX] = {0};

    assert_true(profile->n_string_table > 0);
    assert_string_equal(profile->string_table[0], "");
    for (size_t i = 1; i < profile->n_string_table; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(profile->string_table[i], profile->string_table[j]);
        }
    }
    check_locations(profile, is_location);
    check_samples(profile, is_location);
    assert_string_equal(text_of(profile, profile->period_type->type), "space");
    assert_string_equal(text_of(profile, profile->period_type->unit), "bytes");
    assert_int_equal(profile->period, 16384);
    assert_true(profile->time_nanos > INT64_C(1600000000000000000));
}

static void check_types(const Quarry__Pprof__Profile *profile, const char *const *types)
{
    size_t count = 0;

    for (; types[2 * count] != NULL; count++) {
        assert_true(count < profile->n_sample_type);
        const Quarry__Pprof__ValueType *type = profile->sample_type[count];
        assert_string_equal(text_of(profile, type->type), types[2 * count]);
        assert_string_equal(text_of(profile, type->unit), types[2 * count + 1]);
    }
    assert_int_equal(count, profile->n_sample_type);
}

static int64_t sum_of(const Quarry__Pprof__Profile *profile, size_t value)
{
    int64_t sum = 0;

    for (size_t i = 0; i < profile->n_sample; i++) {
        sum += profile->sample[i]->value[value];
    }
    return sum;
}

static void assert_near(int64_t found, int64_t planted)
{
    if (found < planted - planted / 20 || found > planted + planted / 20) {
        fail_msg("%lld is not within 5 %% of %lld", (long long)found, (long long)planted);
    }
}

/* ---- stacks --------------------------------------------------------------------------------- */

static const Quarry__Pprof__Location *location_of(const Quarry__Pprof__Profile *profile,
                                                  uint64_t id)
{
    for (size_t i = 0; i < profile->n_location; i++) {
        if (profile->location[i]->id == id) {
            return profile->location[i];
        }
    }
    return NULL;
}

static const Quarry__Pprof__Function *function_of(const Quarry__Pprof__Profile *profile,
                                                  uint64_t id)
{
    for (size_t i = 0; i < profile->n_function; i++) {
        if (profile->function[i]->id == id) {
            return profile->function[i];
        }
    }
    return NULL;
}

static bool line_is(const Quarry__Pprof__Profile *profile, const Quarry__Pprof__Line *line,
                    const char *name)
{
    const Quarry__Pprof__Function *function = function_of(profile, line->function_id);

    return function != NULL && strcmp(text_of(profile, function->name), name) == 0;
}

/* The first sample whose innermost function has this name. */
static const Quarry__Pprof__Sample *sample_of(const Quarry__Pprof__Profile *profile,
                                              const char *name)
{
    for (size_t i = 0; i < profile->n_sample; i++) {
        const Quarry__Pprof__Location *leaf =
            location_of(profile, profile->sample[i]->location_id[0]);
        if (leaf != NULL && leaf->n_line > 0 && line_is(profile, leaf->line[0], name)) {
            return profile->sample[i];
        }
    }
    fail_msg("no sample of %s", name);
    return NULL;
}

static const Quarry__Pprof__Label *label_of(const Quarry__Pprof__Profile *profile,
                                            const Quarry__Pprof__Sample *sample, const char *key)
{
    for (size_t i = 0; i < sample->n_label; i++) {
        if (strcmp(text_of(profile, sample->label[i]->key), key) == 0) {
            return sample->label[i];
        }
    }
    fail_msg("no label '%s'", key);
    return NULL;
}

static bool calls(const Quarry__Pprof__Profile *profile, const Quarry__Pprof__Sample *sample,
                  const char *name)
{
    for (size_t i = 0; i < sample->n_location_id; i++) {
        const Quarry__Pprof__Location *location = location_of(profile, sample->location_id[i]);
        for (size_t j = 0; j < location->n_line; j++) {
            if (line_is(profile, location->line[j], name)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_heap_profile_has_its_types_in_order_and_true_sums(void **state)
{
    static const char *const types[] = {"alloc_objects", "count",         "alloc_space",
                                        "bytes",         "inuse_objects", "count",
                                        "inuse_space",   "bytes",         NULL};
    Quarry__Pprof__Profile *profile = take_profile("heap");

    (void)state;
    check_rules(profile);
    check_types(profile, types);
    assert_near(sum_of(profile, 0), 20000 + 2000 + 400 + 40000 + 300000);
    assert_near(sum_of(profile, 1), 22000 * 256 + 400 * 65536 + 340000 * 1024);
    assert_near(sum_of(profile, 2), 20000 + 2000 + 400 + 40000);
    assert_near(sum_of(profile, 3), 22000 * 256 + 400 * 65536 + 40000 * 1024);
    assert_int_equal(profile->default_sample_type, 0);
    release(profile);
}

static void samples_are_labelled_and_named(void **state)
{
    Quarry__Pprof__Profile *profile = take_profile("heap");
    const Quarry__Pprof__Sample *cache = sample_of(profile, "fill_cache");
    const Quarry__Pprof__Sample *config = sample_of(profile, "parse_config");
    const Quarry__Pprof__Label *bytes = label_of(profile, cache, "bytes");

    (void)state;
    assert_string_equal(text_of(profile, label_of(profile, cache, "owner")->str), "cache");
    assert_string_equal(text_of(profile, label_of(profile, cache, "lifetime")->str), "window");
    assert_string_equal(text_of(profile, label_of(profile, config, "owner")->str), "malloc");
    assert_in_range(bytes->num, 1023, 1025);
    assert_string_equal(text_of(profile, bytes->num_unit), "bytes");
    assert_near(config->value[2], 20000);
    assert_true(calls(profile, config, "main"));
    assert_false(calls(profile, config, "fake_add"));
    release(profile);
}

static void mappings_are_those_of_the_process(void **state)
{
    Quarry__Pprof__Profile *profile = take_profile("heap");
    const Quarry__Pprof__Mapping *program = profile->mapping[0];
    const Quarry__Pprof__Sample *sample = sample_of(profile, "parse_config");
    const Quarry__Pprof__Location *leaf = location_of(profile, sample->location_id[0]);

    (void)state;
    assert_true(profile->n_mapping >= 3); /* the program, its heap, the C library */
    assert_non_null(strstr(text_of(profile, program->filename), "/fake_program"));
    assert_int_equal(strlen(text_of(profile, program->build_id)), 40);
    assert_true(program->has_functions && program->has_filenames && program->has_line_numbers);
    assert_int_equal(leaf->mapping_id, program->id);
    assert_in_range(leaf->address, program->memory_start, program->memory_limit);
    assert_true(leaf->line[0]->line > 0);
    release(profile);
}

static void a_profile_of_allocations_shows_what_was_allocated(void **state)
{
    Quarry__Pprof__Profile *profile = take_profile("allocs");

    (void)state;
    check_rules(profile);
    assert_string_equal(text_of(profile, profile->default_sample_type), "alloc_space");
    assert_near(sample_of(profile, "answer_request")->value[0], 300000);
    assert_int_equal(sample_of(profile, "answer_request")->value[2], 0);
    release(profile);
}

static void a_profile_of_lifetimes_tells_freed_from_alive(void **state)
{
    static const char *const types[] = {"allocated_objects",
                                        "count",
                                        "allocated_space",
                                        "bytes",
                                        "deallocated_objects",
                                        "count",
                                        "deallocated_space",
                                        "bytes",
                                        "censored_objects",
                                        "count",
                                        "censored_space",
                                        "bytes",
                                        NULL};
    Quarry__Pprof__Profile *profile = take_profile("lifetimes");
    const Quarry__Pprof__Sample *request = sample_of(profile, "answer_request");

    (void)state;
    check_rules(profile);
    check_types(profile, types);
    for (size_t i = 0; i < profile->n_sample; i++) {
        const int64_t *value = profile->sample[i]->value;
        assert_int_equal(value[0], value[2] + value[4]);
        assert_int_equal(value[1], value[3] + value[5]);
        (void)label_of(profile, profile->sample[i], "age");
    }
    assert_near(sum_of(profile, 2), 300000);
    assert_near(sum_of(profile, 5), 22000 * 256 + 400 * 65536 + 40000 * 1024);
    assert_string_equal(text_of(profile, label_of(profile, request, "age")->str), "under 1 ms");
    release(profile);
}

static void a_profile_of_fragmentation_has_who_pins_and_nobody_else(void **state)
{
    static const char *const types[] = {"live_space", "bytes", "pinned_spans", "bytes", NULL};
    Quarry__Pprof__Profile *profile = take_profile("fragmentation");

    (void)state;
    check_rules(profile);
    check_types(profile, types);
    assert_int_equal(profile->n_sample, 2);
    assert_near(sum_of(profile, 0), 22000 * 256);
    assert_near(sample_of(profile, "parse_config")->value[1], 20000 * (8192 - 256));
    assert_near(sample_of(profile, "open_session")->value[1], 2000 * (8192 - 256));
    release(profile);
}

static void a_profile_goes_to_stdout_for_a_dash(void **state)
{
    char path[] = "/tmp/quarry-pprof-XXXXXX";
    int fd = mkstemp(path);
    const struct run_options options = {.stdout_path = path};
    struct run run =
        run_quarry(&options, (const char *const[]){"heap", shared.pid_text, "--pprof", "-", NULL});

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(run.exit_code, 0);
    Quarry__Pprof__Profile *profile = read_profile(path);
    check_rules(profile);
    release(profile);
    run_free(&run);
    (void)close(fd);
    (void)unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_profile_has_its_types_in_order_and_true_sums),
        cmocka_unit_test(samples_are_labelled_and_named),
        cmocka_unit_test(mappings_are_those_of_the_process),
        cmocka_unit_test(a_profile_of_allocations_shows_what_was_allocated),
        cmocka_unit_test(a_profile_of_lifetimes_tells_freed_from_alive),
        cmocka_unit_test(a_profile_of_fragmentation_has_who_pins_and_nobody_else),
        cmocka_unit_test(a_profile_goes_to_stdout_for_a_dash),
    };
    return cmocka_run_group_tests(tests, start_shared, stop_shared);
}
