/*
 * Blocks: what was written is read; what is out of order is refused; what a block may be.
 */
#include "unit/tsdb/block_rig.h"

#include <stdlib.h>
#include <string.h>

#include <tsdb/block_chunks.h>
#include <tsdb/block_index.h>
#include <tsdb/block_read.h>
#include <tsdb/block_tombstones.h>
#include <tsdb/block_write.h>

#include "unit/base/random.h"

#define START_MS INT64_C(1672531200000)

static struct rig_shape shape_of(uint64_t seed)
{
    return (struct rig_shape){.seed = seed,
                              .series_count = 1 + (uint32_t)(seed * 7 % 90),
                              .sample_count = 1 + (uint32_t)(seed * 13 % 700),
                              .start_ms = START_MS - (int64_t)(seed % 3) * START_MS,
                              .step_ms = 1 + (int64_t)(seed * 31 % 20000),
                              .has_histograms = seed % 2 == 1};
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct rig_shape shape = shape_of(seed);
        struct quarry_error error = {0};
        struct block_meta meta;
        uint64_t hash = 0, sample_count = 0;

        if (block_rig_write(block_rig_disk, &shape, 0, &meta, &error) != QUARRY_OK ||
            block_rig_read(block_rig_disk, &meta, &hash, &sample_count, &error) != QUARRY_OK) {
            fail_msg("seed %llu: %s", (unsigned long long)seed, error.text);
        }
        assert_int_equal(hash, block_rig_hash(&shape));
        assert_int_equal(sample_count, meta.sample_count);
        assert_int_equal(shape.series_count, meta.series_count);
    }
    assert_int_equal(block_rig_name_count("/blocks"), 200); /* nothing temporary is left */
}

static void sorting_through_many_runs_gives_the_same_index(void **state)
{
    const struct rig_shape shape = {
        .seed = 5, .series_count = 9000, .sample_count = 2, .start_ms = START_MS, .step_ms = 1000};
    struct block_meta metas[2];
    size_t byte_counts[2];
    uint8_t *bytes[2];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            block_rig_write(block_rig_disk, &shape, i == 0 ? 0 : Q_KIB(64), &metas[i], NULL),
            QUARRY_OK);
        bytes[i] = block_rig_load(block_rig_path(&metas[i], "index"), &byte_counts[i]);
    }
    assert_int_equal(byte_counts[0], byte_counts[1]);
    assert_memory_equal(bytes[0], bytes[1], byte_counts[0]);
    free(bytes[0]);
    free(bytes[1]);
}

static void chunks_go_on_in_the_next_file(void **state)
{
    const struct rig_shape shape = {
        .seed = 8, .series_count = 60, .sample_count = 500, .start_ms = START_MS, .step_ms = 1000};
    const struct block_write_options options = {.vfs = block_rig_disk,
                                                .memory = &block_rig_memory,
                                                .directory = "/blocks",
                                                .file_bytes_max = Q_KIB(8)};
    struct block_source source = rig_source(&shape);
    struct block_meta meta;
    uint64_t hash = 0, count = 0;

    (void)state;
    assert_int_equal(block_write(&options, &source, &meta, NULL), QUARRY_OK);
    rig_source_destroy(source);
    assert_true(block_rig_name_count(block_rig_path(&meta, "chunks")) > 3);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, NULL), QUARRY_OK);
    assert_int_equal(hash, block_rig_hash(&shape));
}

static void the_same_content_has_one_name_and_stays(void **state)
{
    struct rig_shape shape = {
        .seed = 9, .series_count = 20, .sample_count = 300, .start_ms = START_MS, .step_ms = 1000};
    const struct block_write_options options = {.vfs = block_rig_disk,
                                                .memory = &block_rig_memory,
                                                .directory = "/blocks",
                                                .is_named_by_content = true};
    struct block_meta metas[3];
    uint64_t hash = 0, count = 0;

    (void)state;
    for (size_t i = 0; i < 3; i++) { /* the last one is another */
        shape.seed = i < 2 ? 9 : 10;
        struct block_source source = rig_source(&shape);
        assert_int_equal(block_write(&options, &source, &metas[i], NULL), QUARRY_OK);
        rig_source_destroy(source);
        assert_int_equal(block_rig_name_count("/blocks"), i < 2 ? 1 : 2);
        assert_true(block_ulid_is(metas[i].ulid));
        assert_int_equal(block_rig_read(block_rig_disk, &metas[i], &hash, &count, NULL), QUARRY_OK);
        assert_int_equal(hash, block_rig_hash(&shape));
    }
    assert_string_equal(metas[0].ulid, metas[1].ulid);
    assert_string_not_equal(metas[0].ulid, metas[2].ulid);
}

/* ---- sources by hand ------------------------------------------------------------------------ */

struct script_line {
    const char *name, *value; /* of one label; NULL: a sample of the series before */
    int64_t t_ms;
};
struct script {
    const struct script_line *lines;
    size_t count, at;
    struct tsdb_label label;
};

static enum quarry_status script_series(void *argument, struct tsdb_labels *ret_labels,
                                        struct quarry_error *error)
{
    struct script *script = argument;

    (void)error;
    while (script->at < script->count && script->lines[script->at].name == NULL) {
        script->at++;
    }
    if (script->at == script->count) {
        return QUARRY_NOT_FOUND;
    }
    const struct script_line *line = &script->lines[script->at++];
    script->label = (struct tsdb_label){tsdb_slice_of(line->name), tsdb_slice_of(line->value)};
    *ret_labels = (struct tsdb_labels){&script->label, 1};
    return QUARRY_OK;
}

static enum quarry_status script_sample(void *argument, struct block_sample *ret_sample,
                                        struct quarry_error *error)
{
    struct script *script = argument;

    (void)error;
    if (script->at == script->count || script->lines[script->at].name != NULL) {
        return QUARRY_NOT_FOUND;
    }
    *ret_sample = (struct block_sample){.t_ms = script->lines[script->at++].t_ms, .bits = 1};
    return QUARRY_OK;
}

static enum quarry_status write_script(const struct script_line *lines, size_t count,
                                       int64_t min_t_ms, int64_t max_t_ms,
                                       struct block_meta *ret_meta, struct quarry_error *error)
{
    struct script script = {.lines = lines, .count = count};
    struct block_source source = {&script, script_series, script_sample};
    const struct block_write_options options = {.vfs = block_rig_disk,
                                                .memory = &block_rig_memory,
                                                .directory = "/blocks",
                                                .min_t_ms = min_t_ms,
                                                .max_t_ms = max_t_ms};

    return block_write(&options, &source, ret_meta, error);
}

#define REFUSED(lines, min, max, expected, words)                                                  \
    do {                                                                                           \
        struct quarry_error error = {0};                                                           \
        struct block_meta meta;                                                                    \
        assert_int_equal(                                                                          \
            write_script(lines, sizeof(lines) / sizeof(*(lines)), min, max, &meta, &error),        \
            expected);                                                                             \
        assert_non_null(strstr(error.text, words));                                                \
        assert_int_equal(block_rig_name_count("/blocks"), 0);                                      \
    } while (0)

static void what_is_out_of_order_is_refused_and_leaves_nothing(void **state)
{
    const struct script_line series[] = {{"a", "2", 0}, {NULL, NULL, 1}, {"a", "1", 0}, {0}};
    const struct script_line twice[] = {{"a", "1", 0}, {NULL, NULL, 1}, {"a", "1", 0}, {0}};
    const struct script_line samples[] = {{"a", "1", 0}, {NULL, NULL, 5}, {NULL, NULL, 5}};
    const struct script_line empty[] = {{"a", "", 0}, {NULL, NULL, 5}};
    const struct script_line late[] = {{"a", "1", 0}, {NULL, NULL, 5}, {NULL, NULL, 10}};
    const struct script_line early[] = {{"a", "1", 0}, {NULL, NULL, 4}};

    (void)state;
    REFUSED(series, 0, 0, QUARRY_BAD_INPUT, "series 2");
    REFUSED(twice, 0, 0, QUARRY_BAD_INPUT, "series 2");
    REFUSED(samples, 0, 0, QUARRY_BAD_INPUT, "series 1");
    REFUSED(empty, 0, 0, QUARRY_BAD_INPUT, "labels");
    REFUSED(late, 5, 10, QUARRY_BAD_INPUT, "range");
    REFUSED(early, 5, 10, QUARRY_BAD_INPUT, "range");
}

static void no_samples_are_no_block(void **state)
{
    const struct script_line series[] = {{"a", "1", 0}, {"a", "2", 0}};

    (void)state;
    REFUSED(series, 0, 0, QUARRY_NOT_FOUND, "no samples");
}

static void a_series_without_samples_is_left_out(void **state)
{
    const struct script_line lines[] = {{"a", "1", 0}, {"b", "2", 0}, {NULL, NULL, 7}};
    struct block_meta meta;

    (void)state;
    assert_int_equal(write_script(lines, 3, 0, 100, &meta, NULL), QUARRY_OK);
    assert_int_equal(meta.series_count, 1);
    assert_int_equal(meta.min_t_ms, 0);
    assert_int_equal(meta.max_t_ms, 100);
    assert_int_equal(write_script(lines, 3, 0, 0, &meta, NULL), QUARRY_OK);
    assert_int_equal(meta.min_t_ms, 7);
    assert_int_equal(meta.max_t_ms, 8);
}

static void labels_that_no_memory_holds_are_too_large(void **state)
{
    char *value = malloc(Q_KIB(64));
    struct script_line lines[] = {{"a", value, 0}, {NULL, NULL, 7}};
    struct script script = {.lines = lines, .count = 2};
    struct block_source source = {&script, script_series, script_sample};
    const struct block_write_options options = {.vfs = block_rig_disk,
                                                .memory = &block_rig_memory,
                                                .directory = "/blocks",
                                                .sort_bytes = Q_KIB(64)};
    struct block_meta meta;

    (void)state;
    assert_non_null(value);
    memset(value, 'x', Q_KIB(64) - 1);
    value[Q_KIB(64) - 1] = '\0';
    assert_int_equal(block_write(&options, &source, &meta, NULL), QUARRY_TOO_LARGE);
    assert_int_equal(block_rig_name_count("/blocks"), 0);
    free(value);
}

/* ---- other versions, tombstones ------------------------------------------------------------- */

static struct block_meta write_small(void)
{
    const struct script_line lines[] = {{"a", "1", 0},  {NULL, NULL, 1}, {NULL, NULL, 2},
                                        {"a", "2", 0},  {NULL, NULL, 1}, {NULL, NULL, 2},
                                        {NULL, NULL, 3}};
    struct block_meta meta;

    assert_int_equal(write_script(lines, 7, 0, 0, &meta, NULL), QUARRY_OK);
    return meta;
}

static void change_byte(const char *path, size_t offset, uint8_t value)
{
    size_t byte_count = 0;
    uint8_t *bytes = block_rig_load(path, &byte_count);

    assert_true(offset < byte_count);
    bytes[offset] = value;
    block_rig_store(path, bytes, byte_count);
    free(bytes);
}

static void an_index_of_version_1_is_refused_by_name(void **state)
{
    struct block_meta meta = write_small();
    struct quarry_error error = {0};
    uint64_t hash = 0, count = 0;

    (void)state;
    change_byte(block_rig_path(&meta, "index"), 4, 1);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, &error),
                     QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "index version 1"));
    change_byte(block_rig_path(&meta, "index"), 4, 3);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, &error),
                     QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "index version 3"));
}

static void an_xor2_chunk_is_refused_by_name(void **state)
{
    struct block_meta meta = write_small();
    struct quarry_error error = {0};
    uint64_t hash = 0, count = 0;
    size_t byte_count = 0;
    uint8_t *bytes = block_rig_load(block_rig_path(&meta, "chunks/000001"), &byte_count);
    uint8_t length = bytes[8];

    (void)state;
    bytes[9] = 4;
    endian_store_be_u32(bytes + 10 + length, crc32c_value(bytes + 9, length + 1u));
    block_rig_store(block_rig_path(&meta, "chunks/000001"), bytes, byte_count);
    free(bytes);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, &error),
                     QUARRY_UNSUPPORTED);
    assert_non_null(strstr(error.text, "XOR2"));
    assert_non_null(strstr(error.text, "chunks/000001: offset 9"));
}

static size_t put_tombstone(uint8_t *to, uint64_t series, int64_t min_t_ms, int64_t max_t_ms)
{
    size_t at = varint_put_u64(to, series);

    at += varint_put_u64(to + at, varint_zigzag(min_t_ms));
    return at + varint_put_u64(to + at, varint_zigzag(max_t_ms));
}

static void what_is_deleted_is_not_read(void **state)
{
    struct block_meta meta = write_small();
    struct block_index_reader *index = NULL;
    struct block_series series[2];
    uint32_t refs[2];
    uint8_t bytes[96] = {0x01, 0x30, 0xba, 0x30, 1};
    uint64_t hash = 0, count = 0;
    size_t at = 5;

    (void)state;
    assert_int_equal(block_index_open(&block_rig_memory, block_rig_disk,
                                      block_rig_path(&meta, NULL), &index, NULL),
                     QUARRY_OK);
    assert_int_equal(block_index_series_count(index), 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(block_index_next(index, &series[i], NULL), QUARRY_OK);
        refs[i] = series[i].ref;
    }
    block_index_close(index);
    at += put_tombstone(bytes + at, refs[1], 3, 9);
    at += put_tombstone(bytes + at, refs[0], INT64_MIN, INT64_MAX);
    at += put_tombstone(bytes + at, refs[1], 0, 1);
    at += put_tombstone(bytes + at, refs[1] + 1, 2, 2);
    endian_store_be_u32(bytes + at, crc32c_value(bytes + 5, at - 5));
    block_rig_store(block_rig_path(&meta, "tombstones"), bytes, at + 4);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, NULL), QUARRY_OK);
    assert_int_equal(count, 1); /* of the second series, at 2 */
    assert_int_equal(quarry_vfs_remove(block_rig_disk, block_rig_path(&meta, "tombstones"), NULL),
                     QUARRY_OK);
    assert_int_equal(block_rig_read(block_rig_disk, &meta, &hash, &count, NULL), QUARRY_OK);
    assert_int_equal(count, 5);
}

static void names_sort_by_their_time(void **state)
{
    char before[BLOCK_ULID_BYTES], after[BLOCK_ULID_BYTES];

    (void)state;
    assert_int_equal(block_ulid_make(1672531200000, before, NULL), QUARRY_OK);
    assert_int_equal(block_ulid_make(1672531200001, after, NULL), QUARRY_OK);
    assert_true(strcmp(before, after) < 0);
    assert_memory_equal(before, "01GNNA1J00", 10);
    assert_true(block_ulid_is(before));
    assert_false(block_ulid_is("01GNNA1J000000000000000000.tmp-for-creation"));
    assert_false(block_ulid_is("01GNNA1J00000000000000000I"));
    assert_false(block_ulid_is("81GNNA1J000000000000000000"));
}

int main(void)
{
#define BLOCK_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, block_rig_set_up, block_rig_tear_down)
    const struct CMUnitTest tests[] = {
        BLOCK_TEST(what_was_written_is_read),
        BLOCK_TEST(sorting_through_many_runs_gives_the_same_index),
        BLOCK_TEST(chunks_go_on_in_the_next_file),
        BLOCK_TEST(the_same_content_has_one_name_and_stays),
        BLOCK_TEST(what_is_out_of_order_is_refused_and_leaves_nothing),
        BLOCK_TEST(no_samples_are_no_block),
        BLOCK_TEST(a_series_without_samples_is_left_out),
        BLOCK_TEST(labels_that_no_memory_holds_are_too_large),
        BLOCK_TEST(an_index_of_version_1_is_refused_by_name),
        BLOCK_TEST(an_xor2_chunk_is_refused_by_name),
        BLOCK_TEST(what_is_deleted_is_not_read),
        BLOCK_TEST(names_sort_by_their_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
