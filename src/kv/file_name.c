/*
 * Names of files: fixed words, and numbers with a word before or after them.
 *
 *     CURRENT LOCK IDENTITY LOG        LOG.old LOG.old.1700000000000000
 *     MANIFEST-000005 OPTIONS-000007   OPTIONS-000007.dbtmp
 *     000004.log 000004.sst 000004.ldb 000004.blob 000004.dbtmp
 *
 * Numbers are decimal, at least six digits when written and any number of them when read, for both
 * engines read so. A name that is not exactly one of these is nobody's here: such a file is never
 * removed.
 *
 * Locking: none. Cost: O(length).
 */
#include <kv/file_name.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What comes before and after a number; both "" with has_number false: the name is fixed. */
struct shape {
    const char *before, *after;
    bool has_number;
};

static const struct shape shapes[KV_FILE_KINDS] = {
    [KV_FILE_CURRENT] = {"CURRENT", "", false},
    [KV_FILE_LOCK] = {"LOCK", "", false},
    [KV_FILE_IDENTITY] = {"IDENTITY", "", false},
    [KV_FILE_LOG] = {"", ".log", true},
    [KV_FILE_TABLE] = {"", ".sst", true},
    [KV_FILE_TABLE_LEVELDB] = {"", ".ldb", true},
    [KV_FILE_MANIFEST] = {"MANIFEST-", "", true},
    [KV_FILE_OPTIONS] = {"OPTIONS-", "", true},
    [KV_FILE_OPTIONS_TEMPORARY] = {"OPTIONS-", ".dbtmp", true},
    [KV_FILE_TEMPORARY] = {"", ".dbtmp", true},
    [KV_FILE_BLOB] = {"", ".blob", true},
    [KV_FILE_INFO_LOG] = {"LOG.old.", "", true},
};

/* Digits, at least one. Returns: behind them; NULL: none, or too large a number. */
static const char *parse_number(const char *at, uint64_t *ret_number)
{
    const char *begin = at;
    uint64_t number = 0;

    for (; *at >= '0' && *at <= '9'; at++) {
        if (!checked_mul_u64(number, 10, &number) ||
            !checked_add_u64(number, (uint64_t)(*at - '0'), &number)) {
            return NULL;
        }
    }
    *ret_number = number;
    return at == begin ? NULL : at;
}

static bool parse_shape(const char *name, const struct shape *shape, uint64_t *ret_number)
{
    size_t length = strlen(shape->before);

    if (strncmp(name, shape->before, length) != 0) {
        return false;
    }
    name += length;
    if (shape->has_number) {
        name = parse_number(name, ret_number);
    }
    return name != NULL && strcmp(name, shape->after) == 0;
}

bool kv_file_name_parse(const char *name, struct kv_file_name *ret_name)
{
    uint64_t number = 0;

    if (strcmp(name, "LOG") == 0 || strcmp(name, "LOG.old") == 0) {
        *ret_name = (struct kv_file_name){KV_FILE_INFO_LOG, 0};
        return true;
    }
    for (uint32_t kind = 0; kind < KV_FILE_KINDS; kind++) {
        if (parse_shape(name, &shapes[kind], &number)) {
            *ret_name = (struct kv_file_name){(enum kv_file_kind)kind, number};
            return true;
        }
    }
    return false;
}

const char *kv_file_name_make(enum kv_file_kind kind, uint64_t number,
                              char name[KV_FILE_NAME_BYTES])
{
    const struct shape *shape = &shapes[kind];
    int length;

    Q_ASSERT(kind < KV_FILE_KINDS);
    if (kind == KV_FILE_INFO_LOG && number == 0) {
        length = snprintf(name, KV_FILE_NAME_BYTES, "LOG");
    } else if (shape->has_number) {
        length = snprintf(name, KV_FILE_NAME_BYTES, "%s%06" PRIu64 "%s", shape->before, number,
                          shape->after);
    } else {
        length = snprintf(name, KV_FILE_NAME_BYTES, "%s", shape->before);
    }
    Q_ASSERT(length > 0 && (size_t)length < KV_FILE_NAME_BYTES);
    return name;
}

enum quarry_status kv_file_path(const char *directory, enum kv_file_kind kind, uint64_t number,
                                struct kv_path *ret_path, struct quarry_error *error)
{
    char name[KV_FILE_NAME_BYTES];
    size_t directory_length = strlen(directory);
    size_t name_length = strlen(kv_file_name_make(kind, number, name));

    if (directory_length > sizeof(ret_path->text) - name_length - 2) {
        return error_set(error, QUARRY_TOO_LARGE,
                         "path of '%s': %zu bytes of the directory's, at most %zu", name,
                         directory_length, sizeof(ret_path->text) - name_length - 2);
    }
    memcpy(ret_path->text, directory, directory_length);
    ret_path->text[directory_length] = '/';
    memcpy(ret_path->text + directory_length + 1, name, name_length + 1);
    return QUARRY_OK;
}
