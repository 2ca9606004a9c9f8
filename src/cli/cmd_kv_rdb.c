/*
 * `quarry kv import-rdb`: the strings of a Redis RDB file, with their databases and expiry, into a
 * keyspace in a directory, or into a server.
 *
 * The file is read once, front to back. Its checksum is at the end: what is stored by then of a
 * damaged file is told.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cli/kv_load.h>
#include <cli/rdb_read.h>

#define OTHERS_MAX 8u /* kinds of other types */

struct import {
    const struct kv_command *command;
    struct kv_target *target;
    struct kv_load *load;
    uint64_t now_ms, read_offset, database;
    uint64_t expired_count, other_count;
    struct {
        const char *type;
        uint64_t count;
    } others[OTHERS_MAX];
};

static void count_other(struct import *import, const char *type)
{
    import->other_count++;
    for (uint32_t i = 0; i < OTHERS_MAX; i++) {
        if (import->others[i].type == NULL || strcmp(import->others[i].type, type) == 0) {
            import->others[i].type = type;
            import->others[i].count++;
            return;
        }
    }
}

static int change_database(struct import *import, uint64_t database)
{
    if (database >= KEYSPACE_DATABASES_MAX) {
        return cli_failure(import->command->name,
                           "database %" PRIu64 ": there can be %u, from 0 on", database,
                           KEYSPACE_DATABASES_MAX);
    }
    int code = kv_load_flush(import->load);
    import->database = database;
    return code == CLI_OK ? kv_target_select(import->target, (uint32_t)database) : code;
}

static int visit(void *argument, const struct rdb_entry *entry)
{
    struct import *import = argument;
    bool is_wanted = !import->command->has_database || entry->database == import->command->database;
    int code = CLI_OK;

    kv_load_read(import->load, entry->offset - import->read_offset);
    import->read_offset = entry->offset;
    if (!is_wanted) {
        return CLI_OK;
    }
    if (entry->value.bytes == NULL) {
        count_other(import, entry->type);
        return CLI_OK;
    }
    if (entry->expires_ms != 0 && entry->expires_ms <= import->now_ms) {
        import->expired_count++;
        return CLI_OK;
    }
    if (entry->database != import->database) {
        code = change_database(import, entry->database);
    }
    return code == CLI_OK ? kv_load_put(import->load, entry->key, entry->value, entry->expires_ms)
                          : code;
}

/* What was left out is told; it is a failure unless that was said to be fine. */
static int say_left_out(const struct import *import)
{
    const struct kv_command *command = import->command;

    if (import->expired_count > 0) {
        fprintf(stderr, "quarry %s: %" PRIu64 " keys had expired\n", command->name,
                import->expired_count);
    }
    if (import->other_count == 0) {
        return CLI_OK;
    }
    fprintf(stderr, "quarry %s: left out, because this is a store of strings:", command->name);
    for (uint32_t i = 0; i < OTHERS_MAX && import->others[i].type != NULL; i++) {
        fprintf(stderr, "%s %" PRIu64 " of type %s", i == 0 ? "" : ",", import->others[i].count,
                import->others[i].type);
    }
    fprintf(stderr, "%s\n", command->skips_others ? "" : "; --skip-others says that it may be");
    return command->skips_others ? CLI_OK : CLI_FAILED;
}

static int import_file(struct import *import, FILE *file)
{
    const struct kv_command *command = import->command;
    struct rdb_fault fault = {0};
    struct stat state;
    bool has_size = fstat(fileno(file), &state) == 0 && S_ISREG(state.st_mode);
    int code = kv_load_begin(command, import->target, has_size ? (uint64_t)state.st_size : 0,
                             &import->load);

    if (code != CLI_OK) {
        return code;
    }
    code = kv_target_select(import->target, 0);
    code = code == CLI_OK ? rdb_read(file, visit, import, &fault) : code;
    if (code < 0) {
        code = cli_failure(command->name, "%s: at offset %" PRIu64 ": %s", command->words[0],
                           fault.offset, fault.text);
        (void)kv_load_flush(import->load);
    }
    code = kv_load_end(import->load, code);
    int left_out = say_left_out(import);
    return code != CLI_OK ? code : left_out;
}

static int import_into(const struct kv_command *command, FILE *file)
{
    struct kv_command into = *command;
    struct kv_target target;

    into.path = command->word_count > 1 ? command->words[1] : NULL;
    into.has_database = true;
    into.database = 0;
    into.creates = true;
    int code = kv_target_open(&into, true, &target);
    if (code != CLI_OK) {
        return code;
    }
    struct import import = {.command = command,
                            .target = &target,
                            .now_ms = quarry_vfs_wall_ns(quarry_vfs_posix()) / Q_MS_NS};
    code = import_file(&import, file);
    return kv_target_close(&target, code);
}

int kv_run_import_rdb(const struct kv_command *command, struct kv_target *target)
{
    (void)target;
    if (command->is_server == (command->word_count > 1)) {
        return kv_usage_error(command, "where to? A directory, or --server");
    }
    FILE *file = fopen(command->words[0], "re");
    if (file == NULL) {
        return cli_failure(command->name, "%s: %s", command->words[0], strerror(errno));
    }
    int code = import_into(command, file);
    (void)fclose(file);
    return code;
}
