/*
 * Any bytes as a segment of the log, as a record of one, and as samples to be logged: reading ends
 * without asserting, what is told to be lost is within the file, and what was appended is replayed.
 */
#include <stdlib.h>
#include <string.h>

#include <quarry/vfs.h>

#include <tsdb/histogram.h>
#include <tsdb/log.h>
#include <tsdb/log_decode.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SAMPLES_MAX 512u
#define PATH        "/log/window-0-000001.log"

static struct tsdb_memory small;

/* What is being read. */
struct reading {
    const struct tsdb_log_sample *expected; /* NULL: anything */
    size_t sample_count;
    uint64_t file_bytes;
    bool is_lost;
};

static void begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "tsdb"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_memory *memory = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &small.account, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "tsdb objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(small.account), &small.pool) ==
             QUARRY_OK);
}

/* Touches every byte, so that one that is not there is seen. */
static void touch(struct tsdb_slice slice)
{
    Q_ASSERT(crc32c_value(slice.bytes, slice.count) == crc32c_value(slice.bytes, slice.count));
}

static void touch_labels(struct tsdb_labels labels)
{
    Q_ASSERT(labels.count <= TSDB_LOG_LABELS_MAX);
    for (size_t i = 0; i < labels.count; i++) {
        touch(labels.labels[i].name);
        touch(labels.labels[i].value);
    }
}

static enum quarry_status series(void *argument, const struct tsdb_log_series *found,
                                 uint32_t *ret_handle)
{
    (void)argument;
    touch_labels(found->labels);
    *ret_handle = found->id % 7 == 6 ? TSDB_SERIES_NONE : found->id;
    return QUARRY_OK;
}

static enum quarry_status samples(void *argument, const struct tsdb_log_sample *found, size_t count)
{
    struct reading *reading = argument;

    for (size_t i = 0; i < count; i++) {
        Q_ASSERT(found[i].series != TSDB_SERIES_NONE);
        if (reading->expected != NULL) {
            const struct tsdb_log_sample *sample = &reading->expected[reading->sample_count];
            Q_ASSERT(found[i].series == sample->series && found[i].t_ms == sample->t_ms &&
                     found[i].bits == sample->bits);
        }
        reading->sample_count++;
    }
    return QUARRY_OK;
}

/* What a store makes of a histogram's bytes: none, or one that is sound. */
static void decode(struct tsdb_slice bytes)
{
    static uint64_t words[TSDB_HISTOGRAM_WORDS_MAX];
    struct tsdb_histogram found;
    size_t consumed;

    if (tsdb_histogram_decode((const uint8_t *)bytes.bytes, bytes.count, NULL,
                              (struct tsdb_histogram_room){words, TSDB_HISTOGRAM_WORDS_MAX}, &found,
                              &consumed) == QUARRY_OK) {
        Q_ASSERT(consumed <= bytes.count && tsdb_histogram_is_sound(&found));
        (void)quarry_tsdb_histogram_check(&found, NULL);
    }
}

static enum quarry_status histogram(void *argument, const struct tsdb_log_histogram *found)
{
    (void)argument;
    Q_ASSERT(found->series != TSDB_SERIES_NONE);
    touch(found->bytes);
    decode(found->bytes);
    return QUARRY_OK;
}

static enum quarry_status exemplar(void *argument, const struct tsdb_log_exemplar *found)
{
    (void)argument;
    Q_ASSERT(found->series != TSDB_SERIES_NONE);
    touch_labels(found->labels);
    return QUARRY_OK;
}

static void lost(void *argument, const struct tsdb_log_loss *loss)
{
    struct reading *reading = argument;

    Q_ASSERT(loss->offset + loss->byte_count <= reading->file_bytes);
    Q_ASSERT(loss->byte_count != 0 || loss->sample_count != 0);
    reading->is_lost = true;
}

static struct tsdb_log_visitor visitor_of(struct reading *reading)
{
    return (struct tsdb_log_visitor){.argument = reading,
                                     .series = series,
                                     .samples = samples,
                                     .histogram = histogram,
                                     .exemplar = exemplar,
                                     .lost = lost};
}

static struct quarry_vfs *make_disk(void)
{
    struct quarry_vfs *vfs = NULL;

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    Q_ASSERT(quarry_vfs_make_directory(vfs, "/log", NULL) == QUARRY_OK);
    return vfs;
}

static struct tsdb_log *open_log(struct quarry_vfs *vfs)
{
    const struct tsdb_log_options options = {.vfs = vfs, .directory = "/log", .memory = &small};
    struct tsdb_log *log = NULL;

    Q_ASSERT(tsdb_log_open(&options, &log, NULL) == QUARRY_OK);
    return log;
}

static void replay(struct quarry_vfs *vfs, struct reading *reading)
{
    const struct tsdb_log_visitor visitor = visitor_of(reading);
    struct tsdb_log_replayed replayed;
    struct tsdb_log *log = open_log(vfs);
    enum quarry_status status = tsdb_log_replay(log, 0, &visitor, &replayed, NULL);

    Q_ASSERT(status == QUARRY_OK || status == QUARRY_UNSUPPORTED || status == QUARRY_NO_MEMORY);
    Q_ASSERT(replayed.sample_count == reading->sample_count || status != QUARRY_OK);
    tsdb_log_close(log);
}

static void read_as_file(const uint8_t *data, size_t size)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE;
    struct reading reading = {.file_bytes = size};
    struct quarry_vfs *vfs = make_disk();
    struct quarry_vfs_file *file = NULL;

    Q_ASSERT(quarry_vfs_open(vfs, PATH, mode, &file, NULL) == QUARRY_OK);
    Q_ASSERT(size == 0 || quarry_vfs_write(file, 0, data, size, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
    replay(vfs, &reading);
    quarry_vfs_memory_destroy(vfs);
}

/* Records one after another, each behind its length; 0 is one that was lost. */
static void read_as_records(const uint8_t *data, size_t size)
{
    struct reading reading = {.expected = NULL};
    const struct tsdb_log_visitor visitor = visitor_of(&reading);
    struct log_decoder *decoder = NULL;
    struct log_decoded decoded;

    Q_ASSERT(log_decoder_create(&small, &visitor, &decoder) == QUARRY_OK);
    while (size >= 2) {
        size_t count = size_min(endian_load_le_u16(data), size - 2);
        char *record = malloc(count + LOG_DECODE_SLACK_BYTES);
        Q_ASSERT(record != NULL);
        memcpy(record, data + 2, count);
        if (count == 0 ||
            log_decode(decoder, (struct tsdb_slice){record, count}, &decoded) == QUARRY_CORRUPT) {
            log_decoder_skip(decoder);
        }
        free(record);
        data += 2 + count;
        size -= 2 + count;
    }
    log_decoder_destroy(decoder);
}

static void describe(void *argument, uint32_t id, struct tsdb_log_series *ret_series)
{
    static const struct tsdb_label label = {{"id", 2}, {"x", 1}};

    (void)argument;
    *ret_series = (struct tsdb_log_series){.id = id, .labels = {&label, 1}};
}

/* Samples of 20 bytes each, in batches. */
static void log_as_samples(const uint8_t *data, size_t size)
{
    static struct tsdb_log_sample list[SAMPLES_MAX];
    struct reading reading = {.expected = list};
    struct quarry_vfs *vfs = make_disk();
    struct tsdb_log *log = open_log(vfs);
    struct tsdb_log_ticket ticket;
    size_t count = 0, appended = 0;

    for (; size >= 20 && count < SAMPLES_MAX; data += 20, size -= 20) {
        uint32_t id = endian_load_le_u32(data) % 4096;
        list[count++] = (struct tsdb_log_sample){.series = id % 7 == 6 || id == 0 ? 1 : id,
                                                 .t_ms = (int64_t)endian_load_le_u64(data + 4),
                                                 .bits = endian_load_le_u64(data + 12)};
        if (data[0] % 8 == 0) {
            const struct tsdb_log_batch batch = {
                .samples = list + appended, .sample_count = count - appended, .describe = describe};
            Q_ASSERT(tsdb_log_append(log, &batch, &ticket, NULL) == QUARRY_OK);
            appended = count;
        }
    }
    tsdb_log_close(log);
    replay(vfs, &reading);
    Q_ASSERT(reading.sample_count == appended && !reading.is_lost);
    quarry_vfs_memory_destroy(vfs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (small.pool == NULL) {
        begin();
    }
    if (size == 0 || data[0] == 'Q' || data[0] > 1) {
        read_as_file(data, size);
    } else if (data[0] == 0) {
        read_as_records(data + 1, size - 1);
    } else {
        log_as_samples(data + 1, size - 1);
    }
    return 0;
}
