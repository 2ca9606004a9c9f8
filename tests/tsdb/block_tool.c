/*
 * Blocks from the command line, for the tests that bring promtool and Prometheus along:
 *
 *     block_tool dump BLOCK                       all samples, one a line
 *     block_tool recode BLOCK                     each chunk decoded, encoded again, compared
 *     block_tool copy BLOCK DIRECTORY             read and written; prints the new one's name
 *     block_tool make DIRECTORY SEED SERIES SAMPLES START_MS STEP_MS HISTOGRAMS
 *                                                 a random block in [START_MS, + 2 h);
 *                                                 HISTOGRAMS: 0 none, 1 all, 2 without boundaries
 *     block_tool verify BLOCK SEED SERIES SAMPLES START_MS STEP_MS HISTOGRAMS
 *                                                 whether it holds what it is to hold
 *     block_tool head DIRECTORY                   what a data directory has beside its blocks
 *     block_tool print SEED SERIES SAMPLES START_MS STEP_MS HISTOGRAMS
 *                                                 what such a block is to hold
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/vfs.h>
#include <tsdb/block_index.h>
#include <tsdb/block_read.h>
#include <tsdb/block_samples.h>
#include <tsdb/block_write.h>
#include <tsdb/prometheus_head.h>

#include "tsdb/rig.h"

#define RANGE_MS INT64_C(7200000)

static struct tsdb_memory *memory;

static struct block_reader *open_block(const char *directory)
{
    struct block_reader *reader = NULL;
    struct quarry_error error = {0};

    if (block_open(memory, quarry_vfs_posix(), directory, &reader, &error) != QUARRY_OK) {
        rig_fail("%s", error.text);
    }
    return reader;
}

static int dump(const char *directory)
{
    struct block_reader *reader = open_block(directory);
    struct block_source source = block_reader_source(reader);

    rig_source_print(&source);
    block_close(reader);
    return 0;
}

/* ---- chunks, bit by bit --------------------------------------------------------------------- */

static bool same_floats(struct block_samples *samples, const uint8_t *bytes, size_t byte_count)
{
    static uint8_t buffer[XOR_CHUNK_BYTES_MAX(XOR_CHUNK_SAMPLES_MAX)];
    struct xor_chunk_appender appender;
    struct block_sample sample;

    xor_chunk_begin(&appender, buffer, sizeof buffer);
    while (block_samples_next(samples, &sample) == QUARRY_OK) {
        if (!xor_chunk_append(&appender,
                              (struct tsdb_sample){.t_ms = sample.t_ms, .bits = sample.bits})) {
            return false;
        }
    }
    return xor_chunk_byte_count(&appender) == byte_count && memcmp(buffer, bytes, byte_count) == 0;
}

static bool same_histograms(struct block_samples *samples, const uint8_t *bytes, size_t byte_count)
{
    struct histogram_chunk_appender appender;
    struct block_sample sample;
    size_t made_count = 0;

    histogram_chunk_appender_init(&appender, memory);
    if (histogram_chunk_begin(&appender, (enum histogram_chunk_header)bytes[2]) != QUARRY_OK) {
        rig_fail("no memory");
    }
    while (block_samples_next(samples, &sample) == QUARRY_OK) {
        if (histogram_chunk_append(&appender, sample.histogram) != QUARRY_OK) {
            rig_fail("no memory");
        }
    }
    const uint8_t *made = histogram_chunk_bytes(&appender, &made_count);
    bool is_same = made_count == byte_count && memcmp(made, bytes, byte_count) == 0;
    histogram_chunk_appender_fini(&appender);
    return is_same;
}

static void recode_chunk(struct block_chunks_reader *chunks, struct block_samples *samples,
                         uint64_t ref, uint64_t counts[4])
{
    enum block_encoding encoding = BLOCK_ENCODING_XOR;
    const uint8_t *bytes = NULL;
    size_t byte_count = 0;
    struct quarry_error error = {0};

    if (block_chunks_read(chunks, ref, &encoding, &bytes, &byte_count, &error) != QUARRY_OK ||
        block_samples_begin(samples, encoding, bytes, byte_count) != QUARRY_OK) {
        rig_fail("chunk %llx: %s", (unsigned long long)ref, error.text);
    }
    bool is_same = encoding == BLOCK_ENCODING_XOR ? same_floats(samples, bytes, byte_count)
                                                  : same_histograms(samples, bytes, byte_count);
    if (!is_same) {
        rig_fail("chunk %llx of encoding %d is not what it would be written as",
                 (unsigned long long)ref, encoding);
    }
    counts[encoding]++;
}

static int recode(const char *directory)
{
    struct block_index_reader *index = NULL;
    struct block_chunks_reader chunks;
    struct block_samples samples;
    struct block_series series;
    struct quarry_error error = {0};
    uint64_t counts[4] = {0};
    enum quarry_status status;

    block_samples_init(&samples, memory);
    if (block_index_open(memory, quarry_vfs_posix(), directory, &index, &error) != QUARRY_OK ||
        block_chunks_open(&chunks, memory, quarry_vfs_posix(), directory, &error) != QUARRY_OK) {
        rig_fail("%s", error.text);
    }
    while ((status = block_index_next(index, &series, &error)) == QUARRY_OK) {
        for (size_t i = 0; i < series.chunk_count; i++) {
            recode_chunk(&chunks, &samples, series.chunks[i].ref, counts);
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        rig_fail("%s", error.text);
    }
    block_index_close(index);
    block_chunks_close(&chunks);
    block_samples_fini(&samples);
    printf("%llu %llu %llu\n", (unsigned long long)counts[1], (unsigned long long)counts[2],
           (unsigned long long)counts[3]);
    return 0;
}

/* ---- writing -------------------------------------------------------------------------------- */

static void write_block(const char *directory, const struct block_source *source, int64_t min_t_ms,
                        int64_t max_t_ms)
{
    const struct block_write_options options = {.vfs = quarry_vfs_posix(),
                                                .memory = memory,
                                                .directory = directory,
                                                .min_t_ms = min_t_ms,
                                                .max_t_ms = max_t_ms};
    struct block_meta meta;
    struct quarry_error error = {0};

    if (block_write(&options, source, &meta, &error) != QUARRY_OK) {
        rig_fail("%s", error.text);
    }
    printf("%s\n", meta.ulid);
}

static int copy(const char *block, const char *directory)
{
    struct block_reader *reader = open_block(block);
    struct block_source source = block_reader_source(reader);
    const struct block_meta *meta = block_reader_meta(reader);

    write_block(directory, &source, meta->min_t_ms, meta->max_t_ms);
    block_close(reader);
    return 0;
}

static struct rig_shape shape_of(char **words)
{
    return (struct rig_shape){
        .seed = strtoull(words[0], NULL, 10),
        .series_count = (uint32_t)strtoul(words[1], NULL, 10),
        .sample_count = (uint32_t)strtoul(words[2], NULL, 10),
        .start_ms = strtoll(words[3], NULL, 10),
        .step_ms = strtoll(words[4], NULL, 10),
        .has_histograms = strtoul(words[5], NULL, 10) != 0,
        .has_no_bounds = strtoul(words[5], NULL, 10) == 2,
    };
}

static int make(const char *directory, char **words)
{
    struct rig_shape shape = shape_of(words);
    struct block_source source = rig_source(&shape);

    write_block(directory, &source, shape.start_ms, shape.start_ms + RANGE_MS);
    rig_source_destroy(source);
    return 0;
}

static int verify(const char *directory, char **words)
{
    struct rig_shape shape = shape_of(words);
    struct block_source expected = rig_source(&shape);
    struct block_reader *reader = open_block(directory);
    struct block_source found = block_reader_source(reader);
    uint64_t hashes[2], counts[2];
    struct quarry_error error = {0};

    if (!rig_source_hash(&expected, &hashes[0], &counts[0], &error) ||
        !rig_source_hash(&found, &hashes[1], &counts[1], &error)) {
        rig_fail("%s", error.text);
    }
    if (hashes[0] != hashes[1] || counts[0] != counts[1]) {
        rig_fail("%s has %llu samples, %llu are expected, or others", directory,
                 (unsigned long long)counts[1], (unsigned long long)counts[0]);
    }
    block_close(reader);
    rig_source_destroy(expected);
    return 0;
}

static int print(char **words)
{
    struct rig_shape shape = shape_of(words);
    struct block_source source = rig_source(&shape);

    rig_source_print(&source);
    rig_source_destroy(source);
    return 0;
}

/* ---- the head of a data directory ----------------------------------------------------------- */

static enum quarry_status print_series(void *argument, uint64_t ref,
                                       const struct tsdb_labels *labels, struct quarry_error *error)
{
    char text[4096];

    (void)argument;
    (void)error;
    if (!rig_labels_text(labels, text, sizeof text)) {
        rig_fail("labels of more than 4 KiB");
    }
    printf("series %llu %s\n", (unsigned long long)ref, text);
    return QUARRY_OK;
}

static enum quarry_status print_sample(void *argument, uint64_t ref,
                                       const struct block_sample *sample,
                                       struct quarry_error *error)
{
    static char text[65536];

    (void)argument;
    (void)error;
    (void)rig_sample_text(sample, text, sizeof text);
    printf("sample %llu %s\n", (unsigned long long)ref, text);
    return QUARRY_OK;
}

static enum quarry_status print_deleted(void *argument, uint64_t ref, int64_t min_t_ms,
                                        int64_t max_t_ms, struct quarry_error *error)
{
    (void)argument;
    (void)error;
    printf("deleted %llu %lld %lld\n", (unsigned long long)ref, (long long)min_t_ms,
           (long long)max_t_ms);
    return QUARRY_OK;
}

static enum quarry_status print_exemplar(void *argument, uint64_t ref, struct tsdb_sample sample,
                                         const struct tsdb_labels *labels,
                                         struct quarry_error *error)
{
    char text[4096];

    (void)argument;
    (void)error;
    if (!rig_labels_text(labels, text, sizeof text)) {
        rig_fail("labels of more than 4 KiB");
    }
    printf("exemplar %llu %s %lld %016llx\n", (unsigned long long)ref, text, (long long)sample.t_ms,
           (unsigned long long)sample.bits);
    return QUARRY_OK;
}

static enum quarry_status print_metadata(void *argument, uint64_t ref, uint8_t type,
                                         struct tsdb_slice unit, struct tsdb_slice help,
                                         struct quarry_error *error)
{
    (void)argument;
    (void)error;
    printf("metadata %llu %u %.*s|%.*s\n", (unsigned long long)ref, type, (int)unit.count,
           unit.bytes, (int)help.count, help.bytes);
    return QUARRY_OK;
}

static int head(const char *directory)
{
    const struct prometheus_visitor visitor = {.series = print_series,
                                               .sample = print_sample,
                                               .deleted = print_deleted,
                                               .exemplar = print_exemplar,
                                               .metadata = print_metadata};
    struct prometheus_head_report report;
    struct quarry_error error = {0};

    if (prometheus_head_read(memory, quarry_vfs_posix(), directory, &visitor, &report, &error) !=
        QUARRY_OK) {
        rig_fail("%s", error.text);
    }
    printf("report %llu series %llu samples %llu of chunks %llu unknown %llu skipped %llu damaged "
           "%llu bytes %s\n",
           (unsigned long long)report.series_count, (unsigned long long)report.sample_count,
           (unsigned long long)report.chunk_sample_count, (unsigned long long)report.unknown_count,
           (unsigned long long)report.skipped_count, (unsigned long long)report.losses.damage_count,
           (unsigned long long)report.losses.lost_bytes, report.losses.first.text);
    return 0;
}

int main(int argc, char **argv)
{
    memory = rig_memory(Q_MIB(64)); /* what a block of any size must be written in */
    if (argc == 3 && strcmp(argv[1], "dump") == 0) {
        return dump(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "recode") == 0) {
        return recode(argv[2]);
    }
    if (argc == 3 && strcmp(argv[1], "head") == 0) {
        return head(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "copy") == 0) {
        return copy(argv[2], argv[3]);
    }
    if (argc == 9 && strcmp(argv[1], "make") == 0) {
        return make(argv[2], argv + 3);
    }
    if (argc == 9 && strcmp(argv[1], "verify") == 0) {
        return verify(argv[2], argv + 3);
    }
    if (argc == 8 && strcmp(argv[1], "print") == 0) {
        return print(argv + 2);
    }
    rig_fail("usage: block_tool dump|recode|copy|make|verify|head|print ...");
}
