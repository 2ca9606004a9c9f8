/*
 * Prometheus' data directories: logs of every compression, checkpoints, chunks of a head; damage in
 * every byte, failures of every operation and allocation.
 */
#include "unit/tsdb/block_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <snappy-c.h>
#include <tsdb/prometheus_blocks.h>
#include <tsdb/prometheus_head.h>
#include <tsdb/xor_chunk.h>
#include <zstd.h>

#define PAGE_BYTES 32768u

/* ---- a log that is written ------------------------------------------------------------------ */

struct segment {
    uint8_t bytes[6 * PAGE_BYTES];
    size_t count;
};

static void put_fragment(struct segment *segment, uint8_t type, const uint8_t *bytes, size_t count)
{
    uint8_t *at = segment->bytes + segment->count;

    at[0] = type;
    endian_store_be_u16(at + 1, (uint16_t)count);
    endian_store_be_u32(at + 3, crc32c_value(bytes, count));
    memcpy(at + 7, bytes, count);
    segment->count += 7 + count;
}

/* `compression`: 0, 8 or 16. */
static void put_record(struct segment *segment, const uint8_t *bytes, size_t count,
                       uint8_t compression)
{
    static uint8_t packed[4 * PAGE_BYTES];
    size_t packed_count = sizeof packed, done = 0;
    bool is_first = true;

    if (compression == 8) {
        assert_int_equal(snappy_compress((const char *)bytes, count, (char *)packed, &packed_count),
                         SNAPPY_OK);
    } else if (compression == 16) {
        packed_count = ZSTD_compress(packed, sizeof packed, bytes, count, 3);
        assert_false(ZSTD_isError(packed_count));
    } else {
        memcpy(packed, bytes, count);
        packed_count = count;
    }
    do {
        size_t room = PAGE_BYTES - segment->count % PAGE_BYTES;
        if (room <= 7) {
            memset(segment->bytes + segment->count, 0, room);
            segment->count += room;
            continue;
        }
        size_t take = packed_count - done < room - 7 ? packed_count - done : room - 7;
        bool is_last = done + take == packed_count;
        uint8_t type = is_first ? (is_last ? 1 : 2) : (is_last ? 4 : 3);
        put_fragment(segment, type | compression, packed + done, take);
        done += take;
        is_first = false;
    } while (done < packed_count);
}

static void end_page(struct segment *segment)
{
    size_t over = segment->count % PAGE_BYTES;

    if (over != 0) {
        memset(segment->bytes + segment->count, 0, PAGE_BYTES - over);
        segment->count += PAGE_BYTES - over;
    }
}

static size_t put_text(uint8_t *to, const char *text)
{
    size_t at = varint_put_u64(to, strlen(text));

    memcpy(to + at, text, strlen(text));
    return at + strlen(text);
}

static void put_series(struct segment *segment, uint64_t ref, const char *name, uint8_t compression)
{
    uint8_t bytes[256] = {1};
    size_t at = 1;

    endian_store_be_u64(bytes + at, ref);
    at += 8;
    at += varint_put_u64(bytes + at, 1);
    at += put_text(bytes + at, "__name__");
    at += put_text(bytes + at, name);
    put_record(segment, bytes, at, compression);
}

/* `count` samples of a series, from a time on, a second apart; the value is the second. */
static void put_samples(struct segment *segment, uint64_t ref, int64_t t_ms, uint32_t count,
                        uint8_t compression)
{
    static uint8_t bytes[4 * PAGE_BYTES];
    size_t at = 17;

    bytes[0] = 2;
    endian_store_be_u64(bytes + 1, ref);
    endian_store_be_u64(bytes + 9, (uint64_t)t_ms);
    for (uint32_t i = 0; i < count; i++) {
        at += varint_put_u64(bytes + at, varint_zigzag(0));
        at += varint_put_u64(bytes + at, varint_zigzag((int64_t)i * 1000));
        endian_store_be_u64(bytes + at, (uint64_t)t_ms / 1000 + i);
        at += 8;
    }
    put_record(segment, bytes, at, compression);
}

/* ---- who is told ---------------------------------------------------------------------------- */

struct listener {
    uint64_t series_count, sample_count, histogram_count, deleted_count, exemplar_count;
    uint64_t metadata_count, wrong_count;
    int64_t last_t_ms[8]; /* by ref */
    char last_help[32];
    struct tsdb_histogram last;
};

static enum quarry_status hear_series(void *argument, uint64_t ref,
                                      const struct tsdb_labels *labels, struct quarry_error *error)
{
    struct listener *listener = argument;
    char expected[16];

    (void)error;
    (void)snprintf(expected, sizeof expected, "metric_%u", (unsigned)ref);
    listener->series_count++;
    listener->wrong_count +=
        labels->count != 1 || !tsdb_slice_equal(labels->labels[0].value, tsdb_slice_of(expected));
    return QUARRY_OK;
}

static enum quarry_status hear_sample(void *argument, uint64_t ref,
                                      const struct block_sample *sample, struct quarry_error *error)
{
    struct listener *listener = argument;

    (void)error;
    if (sample->histogram != NULL) {
        listener->histogram_count++;
        listener->last = *sample->histogram;
        return QUARRY_OK;
    }
    listener->sample_count++;
    if (ref >= 8 || sample->t_ms % 1000 != 0 || sample->bits != (uint64_t)sample->t_ms / 1000) {
        listener->wrong_count++;
    } else {
        listener->wrong_count += sample->t_ms <= listener->last_t_ms[ref];
        listener->last_t_ms[ref] = sample->t_ms;
    }
    return QUARRY_OK;
}

static enum quarry_status hear_deleted(void *argument, uint64_t ref, int64_t min_t_ms,
                                       int64_t max_t_ms, struct quarry_error *error)
{
    struct listener *listener = argument;

    (void)error;
    listener->deleted_count++;
    listener->wrong_count += ref != 1 || min_t_ms != -5 || max_t_ms != 7;
    return QUARRY_OK;
}

static enum quarry_status hear_exemplar(void *argument, uint64_t ref, struct tsdb_sample sample,
                                        const struct tsdb_labels *labels,
                                        struct quarry_error *error)
{
    struct listener *listener = argument;

    (void)error;
    listener->exemplar_count++;
    listener->wrong_count += ref != 2 || sample.t_ms != 1234 || sample.bits != 99 ||
                             labels->count != 1 ||
                             !tsdb_slice_equal(labels->labels[0].name, tsdb_slice_of("trace"));
    return QUARRY_OK;
}

static enum quarry_status hear_metadata(void *argument, uint64_t ref, uint8_t type,
                                        struct tsdb_slice unit, struct tsdb_slice help,
                                        struct quarry_error *error)
{
    struct listener *listener = argument;

    (void)error;
    listener->metadata_count++;
    listener->wrong_count += ref != 3 || type != 1 || !tsdb_slice_equal(unit, tsdb_slice_of("s")) ||
                             !tsdb_slice_equal(help, tsdb_slice_of("what it is"));
    return QUARRY_OK;
}

static enum quarry_status listen(struct quarry_vfs *vfs, struct listener *listener,
                                 struct prometheus_head_report *report, struct quarry_error *error)
{
    const struct prometheus_visitor visitor = {.argument = listener,
                                               .series = hear_series,
                                               .sample = hear_sample,
                                               .deleted = hear_deleted,
                                               .exemplar = hear_exemplar,
                                               .metadata = hear_metadata};

    *listener = (struct listener){.last_t_ms = {-1, -1, -1, -1, -1, -1, -1, -1}};
    return prometheus_head_read(&block_rig_memory, vfs, "/data", &visitor, report, error);
}

/* ---- a directory ---------------------------------------------------------------------------- */

static void make_directories(void)
{
    static const char *const names[] = {"/data", "/data/wal", "/data/wal/checkpoint.00000003",
                                        "/data/chunks_head", "/data/wbl"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(quarry_vfs_make_directory(block_rig_disk, names[i], NULL), QUARRY_OK);
    }
}

/* Deletions, an exemplar, metadata, histograms, and records that are not known. */
static void put_others(struct segment *segment)
{
    uint8_t bytes[256] = {3};
    size_t at = 1;

    endian_store_be_u64(bytes + at, 1);
    at += 8;
    at += varint_put_u64(bytes + at, varint_zigzag(-5));
    at += varint_put_u64(bytes + at, varint_zigzag(7));
    put_record(segment, bytes, at, 0);

    bytes[0] = 4;
    endian_store_be_u64(bytes + 1, 2);
    endian_store_be_u64(bytes + 9, 1234);
    bytes[17] = bytes[18] = 0;
    endian_store_be_u64(bytes + 19, 99);
    at = 27 + varint_put_u64(bytes + 27, 1);
    at += put_text(bytes + at, "trace");
    at += put_text(bytes + at, "abc");
    put_record(segment, bytes, at, 8);

    bytes[0] = 6;
    bytes[1] = 3;
    bytes[2] = 1;
    bytes[3] = 3;
    at = 4 + put_text(bytes + 4, "HELP");
    at += put_text(bytes + at, "what it is");
    at += put_text(bytes + at, "UNIT");
    at += put_text(bytes + at, "s");
    at += put_text(bytes + at, "OTHER");
    at += put_text(bytes + at, "unknown");
    put_record(segment, bytes, at, 16);

    bytes[0] = 77;
    put_record(segment, bytes, 20, 0);
    bytes[0] = 14;
    put_record(segment, bytes, 9, 0);
}

static size_t put_histogram(uint8_t *to, bool is_float, int32_t schema)
{
    size_t at = 0;

    to[at++] = 3; /* a gauge */
    at += varint_put_u64(to + at, varint_zigzag(schema));
    endian_store_be_u64(to + at, 5);
    at += 8;
    for (uint64_t i = 0; i < 2; i++) { /* zeros, count */
        if (is_float) {
            endian_store_be_u64(to + at, 40 + i);
            at += 8;
        } else {
            at += varint_put_u64(to + at, 40 + i);
        }
    }
    endian_store_be_u64(to + at, 6);
    at += 8;
    at += varint_put_u64(to + at, 1); /* one span of two buckets, none */
    at += varint_put_u64(to + at, varint_zigzag(-3));
    at += varint_put_u64(to + at, 2);
    at += varint_put_u64(to + at, 0);
    at += varint_put_u64(to + at, 2);
    for (uint64_t i = 0; i < 2; i++) {
        if (is_float) {
            endian_store_be_u64(to + at, 10 - i);
            at += 8;
        } else {
            at += varint_put_u64(to + at, varint_zigzag(i == 0 ? 10 : -1));
        }
    }
    at += varint_put_u64(to + at, 0);
    if (schema == TSDB_HISTOGRAM_SCHEMA_CUSTOM) {
        at += varint_put_u64(to + at, 1);
        endian_store_be_u64(to + at, 77);
        at += 8;
    }
    return at;
}

/* The types of histograms, the new forms of samples included; one of a schema that is none. */
static void put_histograms(struct segment *segment)
{
    static const struct {
        uint8_t type;
        bool is_float;
        int32_t schema;
    } kinds[] = {{7, false, 2},  {8, true, 3},  {9, false, -53}, {10, true, -53},
                 {12, false, 2}, {13, true, 2}, {7, false, 40}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        uint8_t bytes[256] = {kinds[i].type};
        size_t at = 1;

        if (kinds[i].type < 11) {
            endian_store_be_u64(bytes + 1, 4);
            endian_store_be_u64(bytes + 9, 5000);
            bytes[17] = bytes[18] = 0;
            at = 19;
        } else {
            at += varint_put_u64(bytes + at, varint_zigzag(4));
            at += varint_put_u64(bytes + at, varint_zigzag(5000));
            at += varint_put_u64(bytes + at, varint_zigzag(123));
        }
        at += put_histogram(bytes + at, kinds[i].is_float, kinds[i].schema);
        put_record(segment, bytes, at, 0);
    }
}

/* Samples of type 11: a start time, none, the same, another. */
static void put_samples_2(struct segment *segment)
{
    uint8_t bytes[128] = {11};
    size_t at = 1;

    at += varint_put_u64(bytes + at, varint_zigzag(5));
    at += varint_put_u64(bytes + at, varint_zigzag(1000));
    at += varint_put_u64(bytes + at, varint_zigzag(17));
    endian_store_be_u64(bytes + at, 1);
    at += 8;
    for (uint8_t i = 0; i < 3; i++) {
        at += varint_put_u64(bytes + at, varint_zigzag(i == 2 ? 1 : 0));
        at += varint_put_u64(bytes + at, varint_zigzag((i + 1) * 1000));
        bytes[at++] = i;
        if (i == 2) {
            at += varint_put_u64(bytes + at, varint_zigzag(-4));
        }
        endian_store_be_u64(bytes + at, i + 2u);
        at += 8;
    }
    put_record(segment, bytes, at, 0);
}

static void store(const char *path, const struct segment *segment)
{
    block_rig_store(path, segment->bytes, segment->count);
}

/* A file of chunks of a head: of series 1, `count` samples from 1 s on; zeros behind. */
static void store_chunks(uint32_t count)
{
    static uint8_t bytes[PAGE_BYTES], chunk[PAGE_BYTES];
    struct xor_chunk_appender appender;
    size_t at = 8;

    memset(bytes, 0, sizeof bytes);
    endian_store_be_u32(bytes, UINT32_C(0x0130bc91));
    bytes[4] = 1;
    xor_chunk_begin(&appender, chunk, sizeof chunk);
    for (uint32_t i = 1; i <= count; i++) {
        assert_true(xor_chunk_append(&appender,
                                     (struct tsdb_sample){.t_ms = (int64_t)i * 1000, .bits = i}));
    }
    endian_store_be_u64(bytes + at, 1);
    endian_store_be_u64(bytes + at + 8, 1000);
    endian_store_be_u64(bytes + at + 16, (uint64_t)count * 1000);
    bytes[at + 24] = 1;
    size_t length = xor_chunk_byte_count(&appender);
    size_t head = 25 + varint_put_u64(bytes + at + 25, length);
    memcpy(bytes + at + head, chunk, length);
    endian_store_be_u32(bytes + at + head + length, crc32c_value(bytes + at, head + length));
    block_rig_store("/data/chunks_head/000001", bytes, at + head + length + 64);
}

/* Series 1 has 30 samples, 20 of them in chunks; 2 has 5000 in several pages; 3 is new. */
static void make_data(void)
{
    static struct segment segment;

    make_directories();
    segment.count = 0;
    put_series(&segment, 1, "metric_1", 8);
    put_series(&segment, 2, "metric_2", 0);
    end_page(&segment);
    store("/data/wal/checkpoint.00000003/00000000", &segment);
    segment.count = 0;
    put_series(&segment, 7, "of a segment that the checkpoint replaces", 0);
    store("/data/wal/00000003", &segment);
    segment.count = 0;
    put_samples(&segment, 1, 0, 31, 8);
    put_others(&segment);
    put_samples(&segment, 2, 0, 5000, 0);
    put_samples(&segment, 2, 5000000, 5000, 16);
    end_page(&segment);
    store("/data/wal/00000004", &segment);
    segment.count = 0;
    put_series(&segment, 3, "metric_3", 16);
    put_histograms(&segment);
    put_samples_2(&segment);
    store("/data/wal/00000005", &segment);
    segment.count = 0;
    put_samples(&segment, 3, 10000000, 4, 0);
    store("/data/wbl/00000000", &segment);
    store_chunks(20);
}

static void a_data_directory_is_told_once(void **state)
{
    struct prometheus_head_report report;
    struct listener listener;

    (void)state;
    make_data();
    assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
    assert_int_equal(listener.series_count, 3);
    assert_int_equal(report.chunk_sample_count, 20);
    assert_int_equal(listener.sample_count, 30 + 10000 + 4 + 4 + 0);
    assert_int_equal(listener.histogram_count, 6);
    assert_int_equal(listener.deleted_count, 1);
    assert_int_equal(listener.exemplar_count, 1);
    assert_int_equal(listener.metadata_count, 1);
    assert_int_equal(listener.wrong_count, 0);
    assert_int_equal(report.unknown_count, 1);
    assert_int_equal(report.skipped_count, 1);
    assert_int_equal(report.losses.damage_count, 0);
    assert_int_equal(listener.last.reset_hint, TSDB_RESET_GAUGE);
    assert_int_equal(listener.last.count, 41);
    assert_int_equal(listener.last.positive.bucket_count, 2);
}

static void an_empty_directory_has_nothing(void **state)
{
    struct prometheus_head_report report;
    struct listener listener;

    (void)state;
    assert_int_equal(quarry_vfs_make_directory(block_rig_disk, "/data", NULL), QUARRY_OK);
    assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
    assert_int_equal(listener.series_count + listener.sample_count, 0);
}

/* ---- damage --------------------------------------------------------------------------------- */

static void change_file(const char *path, size_t stride)
{
    size_t byte_count = 0;
    uint8_t *bytes = block_rig_load(path, &byte_count);

    for (size_t i = 0; i < byte_count; i += 1 + i % stride) {
        struct prometheus_head_report report;
        struct listener listener;

        bytes[i] ^= (uint8_t)(1u << (i % 8));
        block_rig_store(path, bytes, byte_count);
        assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
        bool is_whole = listener.sample_count == 30 + 10000 + 4 + 4 &&
                        listener.histogram_count == 6 && listener.series_count == 3 &&
                        listener.exemplar_count + listener.metadata_count == 2;
        bool is_told = report.losses.damage_count != 0 &&
                       strstr(report.losses.first.text, path) != NULL &&
                       strstr(report.losses.first.text, "offset ") != NULL;
        if (listener.wrong_count != 0 || (!is_whole && !is_told)) {
            fail_msg("%s, byte %zu: %llu wrong, %llu samples, '%s'", path, i,
                     (unsigned long long)listener.wrong_count,
                     (unsigned long long)listener.sample_count, report.losses.first.text);
        }
        bytes[i] ^= (uint8_t)(1u << (i % 8));
    }
    block_rig_store(path, bytes, byte_count);
    free(bytes);
}

static void damage_loses_its_page_and_is_told(void **state)
{
    (void)state;
    make_data();
    change_file("/data/chunks_head/000001", 1);
    change_file("/data/wal/checkpoint.00000003/00000000", 97);
    change_file("/data/wal/00000004", 997);
}

static void a_torn_end_is_no_damage(void **state)
{
    size_t byte_count = 0;
    struct prometheus_head_report report;
    struct listener listener;

    (void)state;
    make_data();
    uint8_t *bytes = block_rig_load("/data/wal/00000005", &byte_count);
    for (size_t i = 0; i < byte_count; i++) {
        block_rig_store("/data/wal/00000005", bytes, i);
        assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
        assert_int_equal(listener.wrong_count, 0);
        assert_int_equal(report.losses.damage_count, 0);
    }
    block_rig_store("/data/wal/00000006", "", 0); /* the same, but not at the log's end */
    block_rig_store("/data/wal/00000005", bytes, byte_count - 1);
    assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
    assert_int_equal(report.losses.damage_count, 1);
    free(bytes);
}

static void reading_goes_on_behind_damage(void **state)
{
    size_t byte_count = 0;
    struct prometheus_head_report report;
    struct listener listener;

    (void)state;
    make_data();
    uint8_t *bytes = block_rig_load("/data/wal/00000004", &byte_count);
    bytes[20000] ^= 1; /* in the first page, amid the first samples of series 2 */
    block_rig_store("/data/wal/00000004", bytes, byte_count);
    assert_int_equal(listen(block_rig_disk, &listener, &report, NULL), QUARRY_OK);
    assert_int_equal(listener.wrong_count, 0);
    assert_int_equal(report.losses.damage_count, 1);
    assert_true(report.losses.lost_bytes > PAGE_BYTES / 2);
    assert_int_equal(listener.sample_count, 30 + 5000 + 4 + 4); /* the second record is there */
    free(bytes);
}

/* ---- failures ------------------------------------------------------------------------------- */

static void when_an_operation_fails_it_is_told(void **state)
{
    struct prometheus_head_report report;
    struct quarry_vfs *failing = NULL;
    struct listener listener;
    uint64_t failures = 0;

    (void)state;
    make_data();
    assert_int_equal(quarry_vfs_fault_create(block_rig_disk, 1, &failing), QUARRY_OK);
    for (uint64_t first = 1;; first++, failures++) {
        const struct quarry_vfs_fault fault = {.first = first, .count = 1, .status = QUARRY_IO};

        quarry_vfs_fault_set(failing, 0, &fault);
        enum quarry_status status = listen(failing, &listener, &report, NULL);
        if (quarry_vfs_fault_hits(failing, 0) == 0) {
            assert_int_equal(status, QUARRY_OK);
            break;
        }
        assert_int_equal(status, QUARRY_IO);
    }
    assert_true(failures > 30);
    quarry_vfs_fault_destroy(failing);
}

static void when_memory_is_refused_it_is_told(void **state)
{
    struct prometheus_head_report report;
    struct listener listener;
    uint64_t refusals = 0;

    (void)state;
    make_data();
    for (uint64_t left = 0;; left += 500 + left / 30, refusals++) {
        struct quarry_error error = {0};

        block_rig_leave(left);
        enum quarry_status status = listen(block_rig_disk, &listener, &report, &error);
        block_rig_leave(UINT64_MAX);
        if (status == QUARRY_OK) {
            break;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        assert_true(error.text[0] != '\0');
    }
    assert_true(refusals > 40);
    assert_int_equal(report.losses.damage_count, 0);
    assert_int_equal(listener.sample_count, 30 + 10000 + 4 + 4);
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void blocks_are_listed_by_their_first_time(void **state)
{
    struct rig_shape shape = {.seed = 3, .series_count = 2, .sample_count = 3, .step_ms = 1000};
    struct prometheus_losses losses = {0};
    struct block_array blocks = {0};
    struct block_meta metas[3];

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        shape.start_ms = (int64_t)((i + 1) % 3) * 7200000;
        assert_int_equal(block_rig_write(block_rig_disk, &shape, 0, &metas[i], NULL), QUARRY_OK);
    }
    assert_int_equal(
        quarry_vfs_make_directory(block_rig_disk, "/blocks/01GNNA1J000000000000000000", NULL),
        QUARRY_OK);
    assert_int_equal(
        quarry_vfs_make_directory(block_rig_disk,
                                  "/blocks/01GNNA1J000000000000000000.tmp-for-creation", NULL),
        QUARRY_OK);
    assert_int_equal(prometheus_blocks_list(&block_rig_memory, block_rig_disk, "/blocks", &blocks,
                                            &losses, NULL),
                     QUARRY_OK);
    const struct block_meta *listed = blocks.members;
    assert_int_equal(blocks.count, 3);
    assert_string_equal(listed[0].ulid, metas[2].ulid);
    assert_string_equal(listed[1].ulid, metas[0].ulid);
    assert_string_equal(listed[2].ulid, metas[1].ulid);
    assert_int_equal(losses.damage_count, 1); /* the one without a meta.json */
    block_array_fini(&block_rig_memory, &blocks);
}

int main(void)
{
#define BLOCK_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, block_rig_set_up, block_rig_tear_down)
    const struct CMUnitTest tests[] = {
        BLOCK_TEST(a_data_directory_is_told_once),
        BLOCK_TEST(an_empty_directory_has_nothing),
        BLOCK_TEST(damage_loses_its_page_and_is_told),
        BLOCK_TEST(a_torn_end_is_no_damage),
        BLOCK_TEST(reading_goes_on_behind_damage),
        BLOCK_TEST(when_an_operation_fails_it_is_told),
        BLOCK_TEST(when_memory_is_refused_it_is_told),
        BLOCK_TEST(blocks_are_listed_by_their_first_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
