/*
 * meta.json and ULIDs.
 *
 * What Prometheus, promtool and Thanos need of meta.json, and nothing else: version, name, range,
 * figures, and that the block was compacted from nothing but itself. What others add is passed
 * over. It has no checksum: a figure that was changed is not noticed, but no sample depends on one.
 *
 * Reading is jansson's, whose memory is the process' own and is gone when it returns; a file above
 * FILE_BYTES_MAX is not given to it.
 */
#include <tsdb/block_meta.h>

#include <inttypes.h>
#include <jansson.h>
#include <os/os.h>
#include <stdio.h>
#include <string.h>

#define META_NAME    "meta.json"
#define META_VERSION 1
/* One that was compacted from thousands of blocks lists them all: 30 bytes each. */
#define FILE_BYTES_MAX Q_MIB(1)

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

enum quarry_status block_ulid_make(uint64_t wall_ms, char ret_ulid[BLOCK_ULID_BYTES],
                                   struct quarry_error *error)
{
    uint8_t random[16];

    if (!os_random(random, sizeof random)) {
        return error_set(error, QUARRY_BUSY, "the machine has no random bytes for a block's name");
    }
    for (size_t i = 0; i < 10; i++) {
        ret_ulid[i] = alphabet[wall_ms >> (45 - 5 * i) & 31];
    }
    for (size_t i = 0; i < sizeof random; i++) {
        ret_ulid[10 + i] = alphabet[random[i] & 31];
    }
    ret_ulid[BLOCK_ULID_BYTES - 1] = '\0';
    return QUARRY_OK;
}

void block_ulid_of(uint64_t wall_ms, uint64_t high, uint64_t low, char ret_ulid[BLOCK_ULID_BYTES])
{
    for (size_t i = 0; i < 10; i++) {
        ret_ulid[i] = alphabet[wall_ms >> (45 - 5 * i) & 31];
    }
    for (size_t i = 0; i < 8; i++) {
        ret_ulid[10 + i] = alphabet[high >> (5 * i) & 31];
        ret_ulid[18 + i] = alphabet[low >> (5 * i) & 31];
    }
    ret_ulid[BLOCK_ULID_BYTES - 1] = '\0';
}

bool block_ulid_is(const char *name)
{
    return strlen(name) == BLOCK_ULID_BYTES - 1 && name[0] <= '7' &&
           strspn(name, alphabet) == BLOCK_ULID_BYTES - 1;
}

enum quarry_status block_meta_write(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, const struct block_meta *meta,
                                    struct quarry_error *error)
{
    char text[640];
    struct block_out out = {0};
    int count = snprintf(text, sizeof text,
                         "{\n"
                         "\t\"ulid\": \"%s\",\n"
                         "\t\"minTime\": %" PRId64 ",\n"
                         "\t\"maxTime\": %" PRId64 ",\n"
                         "\t\"stats\": {\n"
                         "\t\t\"numSamples\": %" PRIu64 ",\n"
                         "\t\t\"numSeries\": %" PRIu64 ",\n"
                         "\t\t\"numChunks\": %" PRIu64 "\n"
                         "\t},\n"
                         "\t\"compaction\": {\n"
                         "\t\t\"level\": 1,\n"
                         "\t\t\"sources\": [\n"
                         "\t\t\t\"%s\"\n"
                         "\t\t]\n"
                         "\t},\n"
                         "\t\"version\": %d\n"
                         "}\n",
                         meta->ulid, meta->min_t_ms, meta->max_t_ms, meta->sample_count,
                         meta->series_count, meta->chunk_count, meta->ulid, META_VERSION);

    Q_ASSERT(count > 0 && (size_t)count < sizeof text);
    enum quarry_status status = block_out_create(
        &out, memory, vfs, block_path_join(memory, directory, META_NAME), sizeof text, error);
    if (status == QUARRY_OK) {
        block_out_put(&out, text, (size_t)count);
        status = block_out_sync(&out, error);
    }
    block_out_fini(&out);
    return status;
}

static int64_t integer_of(const json_t *object, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(object, name));
}

static enum quarry_status take_apart(const struct block_in *in, const json_t *root,
                                     struct block_meta *ret_meta, struct quarry_error *error)
{
    const json_t *stats = json_object_get(root, "stats");
    const char *ulid = json_string_value(json_object_get(root, "ulid"));

    if (integer_of(root, "version") != META_VERSION) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "%.120s: offset 0: version %lld of a block, not 1", in->path,
                         (long long)integer_of(root, "version"));
    }
    if (ulid == NULL || !block_ulid_is(ulid) ||
        !json_is_integer(json_object_get(root, "minTime")) ||
        !json_is_integer(json_object_get(root, "maxTime"))) {
        return block_in_corrupt(in, 0, "no ulid, minTime and maxTime", error);
    }
    *ret_meta = (struct block_meta){
        .min_t_ms = integer_of(root, "minTime"),
        .max_t_ms = integer_of(root, "maxTime"),
        .sample_count = (uint64_t)integer_of(stats, "numSamples"),
        .series_count = (uint64_t)integer_of(stats, "numSeries"),
        .chunk_count = (uint64_t)integer_of(stats, "numChunks"),
    };
    memcpy(ret_meta->ulid, ulid, sizeof ret_meta->ulid);
    return QUARRY_OK;
}

static enum quarry_status read_json(struct block_in *in, struct block_meta *ret_meta,
                                    struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    json_error_t fault = {0};
    enum quarry_status status;

    if (in->byte_count > FILE_BYTES_MAX) {
        return block_in_corrupt(in, FILE_BYTES_MAX, "longer than any meta.json", error);
    }
    status = block_in_view(in, 0, (size_t)in->byte_count, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    json_t *root = json_loadb((const char *)bytes, (size_t)in->byte_count, 0, &fault);
    if (root == NULL) {
        return error_set(error, QUARRY_CORRUPT, "%.120s: offset %d: %s", in->path, fault.position,
                         fault.text);
    }
    status = take_apart(in, root, ret_meta, error);
    json_decref(root);
    return status;
}

enum quarry_status block_meta_read(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                   const char *directory, struct block_meta *ret_meta,
                                   struct quarry_error *error)
{
    struct block_in in = {0};
    enum quarry_status status = block_in_open(
        &in, memory, vfs, block_path_join(memory, directory, META_NAME), Q_KIB(4), error);

    if (status == QUARRY_OK) {
        status = read_json(&in, ret_meta, error);
    }
    block_in_fini(&in);
    return status;
}
