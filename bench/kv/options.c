/*
 * Reading the command line of `quarry bench kv`.
 */
#include <bench/kv/options.h>

#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/command_line.h>

/* Names in the order of enum bench_kv_compression. */
static const char *const compressions[BENCH_KV_COMPRESSION_COUNT] = {"none", "snappy", "lz4"};

static const struct bench_kv_sizes usual = {
    .key_count = 1000000,
    .value_bytes = 100,
    .compression = BENCH_KV_SNAPPY,
    .database_bytes = Q_GIB(4),
    .log_bytes = Q_GIB(1),
    .file_count = 10000,
};
static const struct bench_kv_sizes quick = {
    .is_quick = 1,
    .key_count = 20000,
    .value_bytes = 100,
    .compression = BENCH_KV_SNAPPY,
    .database_bytes = Q_MIB(8),
    .log_bytes = Q_MIB(4),
    .file_count = 40,
};

static enum quarry_status take_number(int *argc, char **argv, const char *name, uint64_t min,
                                      uint64_t max, uint64_t *number, struct quarry_error *error)
{
    const char *text = bench_command_line_take(argc, argv, name);

    return text == NULL ? QUARRY_OK
                        : bench_command_line_number(name, text, min, max, number, error);
}

static enum quarry_status take_bytes(int *argc, char **argv, const char *name, uint64_t *bytes,
                                     struct quarry_error *error)
{
    const char *text = bench_command_line_take(argc, argv, name);
    uint64_t number = 0;

    if (text == NULL) {
        return QUARRY_OK;
    }
    if (size_parse(text, &number) != QUARRY_OK || number < Q_MIB(1) ||
        number > BENCH_KV_BYTES_MAX) {
        return error_set(error, QUARRY_BAD_INPUT, "--%s %s: wants a size from 1m to 24g", name,
                         text);
    }
    *bytes = number;
    return QUARRY_OK;
}

static enum quarry_status take_compression(int *argc, char **argv, uint64_t *compression,
                                           struct quarry_error *error)
{
    const char *text = bench_command_line_take(argc, argv, "compression");

    for (uint64_t i = 0; text != NULL; i++) {
        if (i == BENCH_KV_COMPRESSION_COUNT) {
            return error_set(error, QUARRY_BAD_INPUT,
                             "--compression %s: there are none, snappy, lz4", text);
        }
        if (strcmp(text, compressions[i]) == 0) {
            *compression = i;
            break;
        }
    }
    return QUARRY_OK;
}

enum quarry_status bench_kv_options_take(int *argc, char **argv,
                                         struct bench_kv_options *ret_options,
                                         struct quarry_error *error)
{
    struct bench_kv_sizes sizes = bench_command_line_has_quick(*argc, argv) ? quick : usual;
    const char *directory = bench_command_line_take(argc, argv, "directory");
    const char *temporary = getenv("TMPDIR");

    enum quarry_status status =
        take_number(argc, argv, "keys", 1000, BENCH_KV_KEYS_MAX, &sizes.key_count, error);
    if (status == QUARRY_OK) {
        status = take_number(argc, argv, "value-bytes", sizeof(uint64_t), BENCH_KV_VALUE_BYTES,
                             &sizes.value_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = take_number(argc, argv, "files", 1, BENCH_KV_FILES_MAX, &sizes.file_count, error);
    }
    if (status == QUARRY_OK) {
        status = take_bytes(argc, argv, "database", &sizes.database_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = take_bytes(argc, argv, "log", &sizes.log_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = take_compression(argc, argv, &sizes.compression, error);
    }
    if (status == QUARRY_OK) {
        ret_options->sizes = sizes;
        ret_options->directory = directory != NULL   ? directory
                                 : temporary != NULL ? temporary
                                                     : "/var/tmp";
    }
    return status;
}

void bench_kv_options_shorten(struct bench_kv_options *options)
{
    options->sizes.key_count = size_min_u64(options->sizes.key_count, quick.key_count);
}

void bench_kv_options_help(FILE *file)
{
    (void)fputs(
        "    --keys N            how many there are (1000000; 20000 with --quick)\n"
        "    --value-bytes N     of each (100); keys have 16\n"
        "    --compression NAME  of all levels: none, snappy, lz4 (snappy); LevelDB has no "
        "lz4\n"
        "    --database SIZE     of the rows about budgets (4g)\n"
        "    --log SIZE          of recover_wal (1g)\n"
        "    --files N           of open_files (10000)\n"
        "    --directory PATH    in which stores are made ($TMPDIR, or /var/tmp): on the "
        "disk\n"
        "                        that is to be measured, and with room for a few databases\n"
        "\n",
        file);
}
