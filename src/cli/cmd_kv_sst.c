/*
 * Tables by themselves: `quarry kv sst`, as sst_dump does it, and `quarry kv entries`, which goes
 * over all files of a store.
 */
#include <inttypes.h>
#include <kv/inspect.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cmd_kv.h>

/* Of sizes of blocks: powers of two from 512 bytes on. */
#define BUCKETS      12u
#define BUCKET_FIRST 512u
#define BAR_WIDTH    40u
#define READAHEAD    Q_KIB(256)

struct looking {
    const struct kv_command *command;
    struct kv_inspector *inspector;
    struct kv_command_range range;
    struct json json;
    uint64_t count;
};

static struct quarry_kv_slice public_slice(struct kv_slice slice)
{
    return (struct quarry_kv_slice){slice.bytes, slice.count};
}

static int looking_begin(const struct kv_command *command, struct quarry_memory **ret_memory,
                         struct looking *ret_looking)
{
    struct quarry_error error = {0};

    *ret_looking = (struct looking){.command = command, .json = json_begin(stdout)};
    int code = kv_tool_memory(command, ret_memory);
    if (code != CLI_OK) {
        return code;
    }
    enum quarry_status status =
        kv_inspector_create(*ret_memory, NULL, NULL, &ret_looking->inspector, &error);
    code = status == QUARRY_OK ? kv_command_range(command, &ret_looking->range)
                               : kv_tool_fail(command, status, &error);
    return code;
}

static void looking_end(struct looking *looking, struct quarry_memory *memory)
{
    kv_command_range_free(&looking->range);
    kv_inspector_destroy(looking->inspector);
    quarry_memory_destroy(memory);
}

/* ---- entries -------------------------------------------------------------------------------- */

static void print_entry(const struct kv_command *command, const struct kv_iterator *at)
{
    bool has_value = at->value.count > 0 && !command->is_no_value;

    if (command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        kv_text_json(&json, "key", public_slice(at->key.user));
        json_u64(&json, "sequence", kv_trailer_sequence(at->key.trailer));
        json_u64(&json, "type", (uint64_t)kv_trailer_type(at->key.trailer));
        if (!command->is_no_value) {
            kv_text_json(&json, "value", public_slice(at->value));
        }
        json_object_end(&json);
        json_finish(&json);
        return;
    }
    putchar('\'');
    if (command->is_key_hex) {
        kv_text_hex(stdout, public_slice(at->key.user));
    } else {
        kv_text_shown(stdout, public_slice(at->key.user));
    }
    printf("' seq:%" PRIu64 ", type:%u =>%s", kv_trailer_sequence(at->key.trailer),
           (unsigned)kv_trailer_type(at->key.trailer), has_value ? " " : "");
    if (has_value && command->is_value_hex) {
        kv_text_hex(stdout, public_slice(at->value));
    } else if (has_value) {
        kv_text_shown(stdout, public_slice(at->value));
    }
    putchar('\n');
}

static bool is_in_range(const struct looking *looking, struct kv_slice key)
{
    return looking->range.to.bytes == NULL ||
           kv_slice_compare(public_slice(key), looking->range.to) < 0;
}

static int scan_table(struct looking *looking, struct kv_table *table)
{
    const struct kv_table_iterator_options options = {.is_background = true,
                                                      .readahead_bytes = READAHEAD};
    const struct kv_command *command = looking->command;
    struct quarry_error error = {0};
    struct kv_table_iterator iterator;
    struct kv_iterator *at = &iterator.base;

    kv_table_iterator_init(&iterator, table, &options, &error);
    if (looking->range.from.bytes == NULL) {
        at->ops->first(at);
    } else {
        const struct kv_slice from =
            kv_slice(looking->range.from.bytes, looking->range.from.byte_count);
        at->ops->seek(at, (struct kv_key){from, kv_trailer_seek(KV_SEQUENCE_MAX)});
    }
    while (at->is_valid && looking->count < command->max && is_in_range(looking, at->key.user)) {
        looking->count++;
        if (!command->is_count_only) {
            print_entry(command, at);
        }
        at->ops->next(at);
    }
    enum quarry_status status = at->status;
    at->ops->fini(at);
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
}

static void print_ranges(const struct kv_command *command, const struct kv_table *table)
{
    size_t count = 0;
    const struct kv_table_range *ranges = kv_table_ranges(table, &count);

    for (size_t i = 0; i < count && !command->is_json; i++) {
        fputs("range deletion ['", stdout);
        kv_text_shown(stdout, public_slice(ranges[i].begin));
        fputs("', '", stdout);
        kv_text_shown(stdout, public_slice(ranges[i].end));
        printf("') seq:%" PRIu64 "\n", ranges[i].sequence);
    }
}

/* ---- properties and blocks ------------------------------------------------------------------ */

struct blocks {
    const struct kv_command *command;
    bool is_listed;
    uint64_t count, stored_bytes, plain_bytes, smallest, largest;
    uint64_t buckets[BUCKETS];
    uint64_t of_codec[8];
};

static const char *codec_name(uint8_t compression)
{
    static const char *const names[] = {"none", "snappy", "zlib", "bzip2",
                                        "lz4",  "lz4hc",  "?",    "zstd"};

    return names[compression & 7];
}

static bool visit_block(void *argument, const struct kv_inspect_block *block)
{
    struct blocks *blocks = argument;
    uint32_t bucket = 0;

    while (bucket + 1 < BUCKETS && (uint64_t)BUCKET_FIRST << bucket < block->plain_bytes) {
        bucket++;
    }
    blocks->buckets[bucket]++;
    blocks->of_codec[block->compression & 7]++;
    blocks->smallest = blocks->count == 0 ? block->plain_bytes
                                          : size_min_u64(blocks->smallest, block->plain_bytes);
    blocks->largest = size_max_u64(blocks->largest, block->plain_bytes);
    blocks->count++;
    blocks->stored_bytes += block->stored_bytes;
    blocks->plain_bytes += block->plain_bytes;
    if (blocks->is_listed && blocks->command->is_json) {
        printf("{\"offset\":%" PRIu64 ",\"stored_bytes\":%" PRIu64 ",\"plain_bytes\":%" PRIu64
               ",\"compression\":\"%s\"}\n",
               block->offset, block->stored_bytes, block->plain_bytes,
               codec_name(block->compression));
    } else if (blocks->is_listed) {
        printf("%12" PRIu64 " %10" PRIu64 " %10" PRIu64 "  %s\n", block->offset,
               block->stored_bytes, block->plain_bytes, codec_name(block->compression));
    }
    return true;
}

static void print_histogram(const struct blocks *blocks)
{
    uint64_t most = 1;
    char to[SIZE_TEXT_BYTES];

    for (uint32_t i = 0; i < BUCKETS; i++) {
        most = size_max_u64(most, blocks->buckets[i]);
    }
    puts("  data blocks by size before compression:");
    for (uint32_t i = 0; i < BUCKETS; i++) {
        uint32_t width = (uint32_t)(blocks->buckets[i] * BAR_WIDTH / most);
        if (blocks->buckets[i] > 0) {
            printf("  %s %9s %8" PRIu64 "  %.*s\n", i + 1 < BUCKETS ? "up to" : "above",
                   size_format((uint64_t)BUCKET_FIRST << (i + 1 < BUCKETS ? i : i - 1), to),
                   blocks->buckets[i], (int)width, "########################################");
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        if (blocks->of_codec[i] > 0) {
            printf("  compressed with %s: %" PRIu64 "\n", codec_name((uint8_t)i),
                   blocks->of_codec[i]);
        }
    }
}

/* A property: a number or a text. */
struct row {
    const char *label, *field;
    uint64_t number;
    const char *text; /* NULL: the number */
};

static void print_rows(struct json *json, bool is_json, const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        if (is_json && row->text != NULL) {
            json_string(json, row->field, row->text);
        } else if (is_json) {
            json_u64(json, row->field, row->number);
        } else if (row->text != NULL) {
            printf("  %s: %s\n", row->label, row->text[0] == '\0' ? "-" : row->text);
        } else {
            printf("  %s: %" PRIu64 "\n", row->label, row->number);
        }
    }
}

static void print_properties(struct json *json, bool is_json, const struct kv_table *table)
{
    const struct kv_table_properties *p = kv_table_properties(table);
    const struct row rows[] = {
        {"# data blocks", "data_block_count", p->data_block_count, NULL},
        {"# entries", "entry_count", p->entry_count, NULL},
        {"# deletions", "deletion_count", p->delete_count, NULL},
        {"# merge operands", "merge_operand_count", p->merge_count, NULL},
        {"# range deletions", "range_deletion_count", p->range_delete_count, NULL},
        {"raw key size", "raw_key_bytes", p->raw_key_bytes, NULL},
        {"raw value size", "raw_value_bytes", p->raw_value_bytes, NULL},
        {"data block size", "data_bytes", p->data_bytes, NULL},
        {"index block size", "index_bytes", p->index_bytes, NULL},
        {"filter block size", "filter_bytes", p->filter_bytes, NULL},
        {"# entries for filter", "filter_entry_count", p->filter_entry_count, NULL},
        {"# index partitions", "index_partition_count", p->index_partition_count, NULL},
        {"file size", "file_bytes", kv_table_file_bytes(table), NULL},
        {"format version", "format_version", kv_inspect_format_version(table), NULL},
        {"filter policy name", "filter_policy", 0, p->filter_policy},
        {"prefix extractor name", "prefix_extractor", 0, p->prefix_extractor},
        {"column family ID", "column_family_id", p->column_family_id, NULL},
        {"column family name", "column_family", 0, p->column_family},
        {"comparator name", "comparator", 0, p->comparator},
        {"merge operator name", "merge_operator", 0, p->merge_operator},
        {"property collectors names", "collectors", 0, p->collectors},
        {"SST file compression algo", "compression", 0, p->compression},
        {"creation time", "creation_timestamp_seconds", p->creation_time, NULL},
        {"file creation time", "file_creation_timestamp_seconds", p->file_creation_time, NULL},
        {"DB identity", "db_id", 0, p->db_id},
        {"DB session identity", "session_id", 0, p->session_id},
        {"original file number", "original_file_number", p->original_file_number, NULL},
    };

    print_rows(json, is_json, rows, sizeof rows / sizeof rows[0]);
}

static int show_properties(struct looking *looking, struct kv_table *table)
{
    bool is_json = looking->command->is_json;
    struct blocks blocks = {.command = looking->command};
    struct quarry_error error = {0};
    enum quarry_status status = kv_inspect_blocks(table, visit_block, &blocks, &error);

    print_properties(&looking->json, is_json, table);
    if (is_json) {
        json_u64(&looking->json, "block_stored_bytes", blocks.stored_bytes);
        json_u64(&looking->json, "block_plain_bytes", blocks.plain_bytes);
        json_u64(&looking->json, "block_smallest_bytes", blocks.smallest);
        json_u64(&looking->json, "block_largest_bytes", blocks.largest);
    } else if (blocks.count > 0) {
        print_histogram(&blocks);
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(looking->command, status, &error);
}

static int list_blocks(struct looking *looking, struct kv_table *table)
{
    struct blocks blocks = {.command = looking->command, .is_listed = true};
    struct quarry_error error = {0};

    if (!looking->command->is_json) {
        puts("      offset     stored      plain  compression");
    }
    enum quarry_status status = kv_inspect_blocks(table, visit_block, &blocks, &error);
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(looking->command, status, &error);
}

/* ---- the commands --------------------------------------------------------------------------- */

static int run_properties(struct looking *looking, struct kv_table *table, const char *path)
{
    if (looking->command->is_json) {
        json_object(&looking->json, NULL);
        json_string(&looking->json, "path", path);
    } else {
        printf("%s\n", path);
    }
    int code = show_properties(looking, table);
    if (looking->command->is_json) {
        json_object_end(&looking->json);
        json_finish(&looking->json);
        looking->json = json_begin(stdout);
    }
    return code;
}

static int run_scan(struct looking *looking, struct kv_table *table, const char *path)
{
    (void)path;
    int code = scan_table(looking, table);
    print_ranges(looking->command, table);
    return code;
}

static int run_verify(struct looking *looking, struct kv_table *table, const char *path)
{
    struct quarry_error error = {0};
    enum quarry_status status = kv_table_verify(table, &error);

    if (looking->command->is_json) {
        json_object(&looking->json, NULL);
        json_string(&looking->json, "path", path);
        json_bool(&looking->json, "is_sound", status == QUARRY_OK);
        json_string(&looking->json, "fault", status == QUARRY_OK ? NULL : error.text);
        json_object_end(&looking->json);
        json_finish(&looking->json);
        looking->json = json_begin(stdout);
    } else if (status == QUARRY_OK) {
        printf("%s: sound\n", path);
    }
    if (status == QUARRY_CORRUPT) {
        (void)cli_failure(looking->command->name, "%s", error.text);
        return CLI_FOUND;
    }
    return status == QUARRY_OK ? CLI_OK : kv_tool_fail(looking->command, status, &error);
}

static int run_blocks(struct looking *looking, struct kv_table *table, const char *path)
{
    (void)path;
    return list_blocks(looking, table);
}

typedef int look_function(struct looking *looking, struct kv_table *table, const char *path);

static look_function *find_look(const char *name)
{
    static const struct {
        const char *name;
        look_function *look;
    } looks[] = {{"properties", run_properties}, {"none", run_properties}, {"scan", run_scan},
                 {"verify", run_verify},         {"check", run_verify},    {"blocks", run_blocks}};

    for (size_t i = 0; i < sizeof looks / sizeof looks[0]; i++) {
        if (strcmp(looks[i].name, name) == 0) {
            return looks[i].look;
        }
    }
    return NULL;
}

static int look_at(struct looking *looking, const char *path, look_function *look)
{
    struct quarry_error error = {0};
    struct kv_table *table = NULL;
    enum quarry_status status = kv_inspect_table(looking->inspector, path, &table, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(looking->command, status, &error);
    }
    int code = look(looking, table, path);
    kv_inspect_close(table);
    return code;
}

int kv_run_sst(const struct kv_command *command, struct kv_target *target)
{
    look_function *look = find_look(command->command != NULL ? command->command : "properties");
    struct quarry_memory *memory = NULL;
    struct looking looking;
    int worst = CLI_OK;

    (void)target;
    if (look == NULL) {
        return kv_usage_error(command,
                              "--command takes properties, scan, verify or blocks, not '%s'",
                              command->command);
    }
    int code = looking_begin(command, &memory, &looking);
    for (uint32_t i = 0; i < command->word_count && code == CLI_OK; i++) {
        int one = look_at(&looking, command->words[i], look);
        worst = one != CLI_OK ? one : worst;
    }
    looking_end(&looking, memory);
    code = code == CLI_OK ? cli_finish_output(command->name) : code;
    return code != CLI_OK ? code : worst;
}

/* ---- all files of a store ------------------------------------------------------------------- */

static int look_at_file(struct looking *looking, const char *directory, const struct kv_file *file,
                        uint32_t level)
{
    struct quarry_error error = {0};
    struct kv_path path;
    enum quarry_status status = kv_file_path(directory, KV_FILE_TABLE, file->number, &path, &error);

    if (status == QUARRY_OK && !kv_path_exists(quarry_vfs_posix(), path.text)) {
        status = kv_file_path(directory, KV_FILE_TABLE_LEVELDB, file->number, &path, &error);
    }
    if (status != QUARRY_OK) {
        return kv_tool_fail(looking->command, status, &error);
    }
    if (!looking->command->is_json && !looking->command->is_count_only) {
        printf("--- level %" PRIu32 ", %s ---\n", level, path.text);
    }
    return look_at(looking, path.text, run_scan);
}

static int look_at_all(struct looking *looking, const struct kv_version *version)
{
    int code = CLI_OK;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count && code == CLI_OK; i++) {
            code = look_at_file(looking, looking->command->path, run->files[i], level);
        }
    }
    return code;
}

static int entries_of(struct looking *looking)
{
    const struct kv_command *command = looking->command;
    struct quarry_error error = {0};
    struct kv_manifest_state state;
    struct kv_version *version = NULL;
    struct kv_path path;
    enum quarry_status status = kv_inspect_current(NULL, command->path, &path, &error);

    if (status == QUARRY_OK) {
        status = kv_inspect_manifest(looking->inspector, path.text, &state, &version, &error);
    }
    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    int code = look_at_all(looking, version);
    kv_version_release(version);
    if (code == CLI_OK && !command->is_json) {
        printf("Internal keys in range: %" PRIu64 "\n", looking->count);
    } else if (code == CLI_OK && command->is_count_only) {
        printf("{\"entry_count\":%" PRIu64 "}\n", looking->count);
    }
    return code;
}

int kv_run_entries(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_memory *memory = NULL;
    struct looking looking;
    int code = looking_begin(command, &memory, &looking);

    (void)target;
    code = code == CLI_OK ? entries_of(&looking) : code;
    looking_end(&looking, memory);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
