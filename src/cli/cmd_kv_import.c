/*
 * `quarry kv import-rocksdb`: what RocksDB or LevelDB has in a directory, into a store of its own,
 * or into a keyspace or a server.
 *
 *     a new store     source ── walk ── sorted file of 64 MiB ── ingested ── the next …
 *     anything else   source ── walk ── put, so many at a time
 *
 * Keys come in order, so that a new store is made of files that follow each other: nothing goes
 * through the log and memtables, and nothing is left to be compacted. The source is opened for
 * reading: it takes no lock and writes nothing.
 *
 * Both stores are in one memory, under accounts of different names.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cli/kv_load.h>
#include <cli/progress.h>

#define FILE_BYTES    Q_MIB(64)
#define TRAILER_BYTES 8u /* that raw sizes of keys count */

struct import {
    const struct kv_command *command;
    struct kv_target *source;
    struct kv_target *target;
    /* by files */
    struct quarry_kv_file_writer *writer;
    struct progress progress;
    struct kv_bytes path;
    uint64_t file_bytes, count, byte_count;
    /* by puts */
    struct kv_load *load;
};

/* About how many bytes of keys and values the source has; 0: nobody knows. */
static uint64_t measure(struct kv_target *source)
{
    struct kv_bytes text = {0};
    uint64_t byte_count = 0;

    if (source->ops->property(source, "rocksdb.aggregated-table-properties", &text) == CLI_OK) {
        const char *keys = strstr(text.bytes, "raw key size=");
        const char *values = strstr(text.bytes, "raw value size=");
        byte_count += keys == NULL ? 0 : strtoull(keys + 13, NULL, 10);
        byte_count += values == NULL ? 0 : strtoull(values + 15, NULL, 10);
    }
    kv_bytes_free(&text);
    return byte_count;
}

/* ---- by files ------------------------------------------------------------------------------- */

/* Moves the file into the store. None does nothing. */
static int end_file(struct import *import)
{
    const char *path = import->path.bytes;
    struct quarry_error error = {0};

    if (import->writer == NULL) {
        return CLI_OK;
    }
    enum quarry_status status = quarry_kv_file_writer_finish(import->writer, &error);
    import->writer = NULL;
    import->file_bytes = 0;
    if (status == QUARRY_OK) {
        status = quarry_kv_ingest(import->target->kv, &path, 1, false, &error);
    }
    if (status != QUARRY_OK) {
        (void)unlink(path);
        return kv_tool_fail(import->command, status, &error);
    }
    return CLI_OK;
}

static int visit_for_file(void *argument, const struct kv_found *found)
{
    struct import *import = argument;
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_OK;

    if (import->writer == NULL) {
        status = quarry_kv_file_writer_create(import->target->kv, import->path.bytes,
                                              &import->writer, &error);
    }
    if (status == QUARRY_OK) {
        status = quarry_kv_file_writer_put(import->writer, found->key.bytes, found->key.byte_count,
                                           found->value.bytes, found->value.byte_count, &error);
    }
    if (status != QUARRY_OK) {
        return kv_tool_fail(import->command, status, &error);
    }
    uint64_t bytes = found->key.byte_count + found->value.byte_count;
    import->count++;
    import->byte_count += bytes;
    import->file_bytes += bytes;
    progress_at(&import->progress, import->count,
                import->byte_count + import->count * TRAILER_BYTES);
    return import->file_bytes >= FILE_BYTES ? end_file(import) : CLI_OK;
}

static void say_done(const struct import *import, double seconds)
{
    char text[SIZE_TEXT_BYTES];

    if (import->command->is_json) {
        printf("{\"key_count\":%" PRIu64 ",\"key_and_value_bytes\":%" PRIu64
               ",\"duration_seconds\":%.3f}\n",
               import->count, import->byte_count, seconds);
    } else {
        fprintf(stderr, "quarry %s: %" PRIu64 " keys, %s, %.1f s\n", import->command->name,
                import->count, size_format(import->byte_count, text), seconds);
    }
}

static int import_by_files(struct import *import, const struct kv_walk *walk)
{
    static const char name[] = "/import.sst";
    const char *directory = import->target->name;

    if (!kv_bytes_set(&import->path, directory, strlen(directory)) ||
        !kv_bytes_add(&import->path, name, sizeof name)) {
        return kv_tool_fail(import->command, QUARRY_NO_MEMORY, NULL);
    }
    progress_begin(&import->progress, import->command->name, "keys", measure(import->source));
    int code = import->source->ops->walk(import->source, walk, visit_for_file, import);
    code = code == CLI_OK ? end_file(import) : code;
    if (import->writer != NULL) {
        quarry_kv_file_writer_abort(import->writer);
    }
    double seconds = progress_end(&import->progress);
    if (code == CLI_OK) {
        say_done(import, seconds);
        code = cli_finish_output(import->command->name);
    }
    kv_bytes_free(&import->path);
    return code;
}

/* ---- by puts -------------------------------------------------------------------------------- */

static int visit_for_put(void *argument, const struct kv_found *found)
{
    struct import *import = argument;
    int code = kv_load_put(import->load, found->key, found->value, 0);

    kv_load_read(import->load, found->key.byte_count + found->value.byte_count + TRAILER_BYTES);
    return code;
}

static int import_by_puts(struct import *import, const struct kv_walk *walk)
{
    int code =
        kv_load_begin(import->command, import->target, measure(import->source), &import->load);

    if (code == CLI_OK) {
        code = import->source->ops->walk(import->source, walk, visit_for_put, import);
        code = kv_load_end(import->load, code);
    }
    return code;
}

/* ---- both ----------------------------------------------------------------------------------- */

static int run_import(struct import *import, bool is_by_files)
{
    struct kv_command_range range;
    int code = kv_command_range(import->command, &range);

    if (code == CLI_OK) {
        const struct kv_walk walk = {range.from, range.to, false, UINT64_MAX};
        code = is_by_files ? import_by_files(import, &walk) : import_by_puts(import, &walk);
    }
    kv_command_range_free(&range);
    return code;
}

/* The source is a plain store, in a memory that is half of what there is. */
static int open_source(const struct kv_command *command, struct kv_command *source_command,
                       struct kv_target *ret_source)
{
    *source_command = *command;
    source_command->path = command->words[0];
    source_command->is_server = source_command->has_database = false;
    source_command->memory_bytes = command->memory_bytes / 2;
    return kv_target_open(source_command, false, ret_source);
}

static int open_target(const struct kv_command *command, struct kv_command *target_command,
                       struct kv_target *ret_target)
{
    *target_command = *command;
    target_command->path = command->word_count > 1 ? command->words[1] : NULL;
    target_command->memory_bytes = command->memory_bytes / 2;
    target_command->creates = true;
    target_command->is_fresh = !command->has_database;
    return kv_target_open(target_command, true, ret_target);
}

int kv_run_import_rocksdb(const struct kv_command *command, struct kv_target *none)
{
    struct kv_command source_command, target_command;
    struct kv_target source, target;

    (void)none;
    if (command->is_server == (command->word_count > 1)) {
        return kv_usage_error(command, "where to? A directory, or --server");
    }
    int code = open_source(command, &source_command, &source);
    if (code != CLI_OK) {
        return code;
    }
    code = open_target(command, &target_command, &target);
    if (code == CLI_OK) {
        struct import import = {.command = command, .source = &source, .target = &target};
        code = run_import(&import, target.ops == &kv_target_plain);
        code = kv_target_close(&target, code);
    }
    return kv_target_close(&source, code);
}
