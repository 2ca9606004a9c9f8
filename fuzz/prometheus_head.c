/*
 * Any bytes as a segment of Prometheus' log, as one record of it, or as chunks of a head: read to
 * an end without a failure, whatever is lost on the way. The first byte says which.
 */
#include <string.h>

#include <tsdb/prometheus_head.h>

#include "block_rig.h"

#define INPUT_BYTES_MAX Q_KIB(128)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum quarry_status hear_sample(void *argument, uint64_t ref,
                                      const struct block_sample *sample, struct quarry_error *error)
{
    uint64_t *sum = argument;

    (void)error;
    *sum += ref + sample->bits;
    Q_ASSERT(sample->histogram == NULL || tsdb_histogram_is_sound(sample->histogram));
    return QUARRY_OK;
}

static enum quarry_status hear_series(void *argument, uint64_t ref,
                                      const struct tsdb_labels *labels, struct quarry_error *error)
{
    uint64_t *sum = argument;

    (void)error;
    *sum += ref;
    for (size_t i = 0; i < labels->count; i++) {
        Q_ASSERT(labels->labels[i].name.count != 0 && labels->labels[i].value.count != 0);
        *sum += (uint8_t)labels->labels[i].name.bytes[0];
    }
    return QUARRY_OK;
}

static void read_file(const char *path, const uint8_t *data, size_t size)
{
    static const char *const directories[] = {"/data", "/data/wal", "/data/chunks_head"};
    struct quarry_vfs *vfs = block_fuzz_disk(directories, 3, path, data, size);
    struct prometheus_head_report report;
    uint64_t sum = 0;
    const struct prometheus_visitor visitor = {
        .argument = &sum, .series = hear_series, .sample = hear_sample};

    Q_ASSERT(prometheus_head_read(block_fuzz_memory(), vfs, "/data", &visitor, &report, NULL) ==
             QUARRY_OK);
    Q_ASSERT((report.losses.damage_count == 0) == (report.losses.first.text[0] == '\0'));
    quarry_vfs_memory_destroy(vfs);
}

static void read_record(const uint8_t *data, size_t size)
{
    static struct prometheus_record_reader reader;
    uint64_t sum = 0;
    const struct prometheus_visitor visitor = {
        .argument = &sum, .series = hear_series, .sample = hear_sample};

    if (reader.memory == NULL) {
        prometheus_record_init(&reader, block_fuzz_memory());
    }
    enum quarry_status status = prometheus_record_read(&reader, data, size, &visitor, NULL);
    Q_ASSERT(status == QUARRY_OK || status == QUARRY_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        read_file("/data/wal/00000000", data + 1, size - 1);
        break;
    case 1:
        read_file("/data/chunks_head/000001", data + 1, size - 1);
        break;
    default:
        read_record(data + 1, size - 1);
        break;
    }
    return 0;
}
