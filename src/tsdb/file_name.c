/*
 * Names of files, made and taken apart.
 *
 * A name is parsed by reading its numbers and making it again: what is not the same is no name, so
 * that each file has one and no second reader of numbers is needed.
 *
 * Invariants
 *   1. Parsing what was made gives what it was made of; nothing else parses.
 *
 * Locking: none. Cost: a page of stack for a path.
 */
#include <tsdb/file_name.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#define TEMPORARY  ".tmp"
#define TOMBSTONES "deleted.qtt"

static void make_name(const struct tsdb_file_name *name, char text[QUARRY_VFS_NAME_BYTES_MAX])
{
    switch (name->kind) {
    case TSDB_FILE_SEGMENT:
        (void)snprintf(text, QUARRY_VFS_NAME_BYTES_MAX, "window-%" PRId64 "-%06" PRIu64 ".log",
                       name->window, name->number);
        return;
    case TSDB_FILE_WINDOW:
        (void)snprintf(text, QUARRY_VFS_NAME_BYTES_MAX, "window-%" PRId64 ".qtw", name->window);
        return;
    case TSDB_FILE_SNAPSHOT:
        (void)snprintf(text, QUARRY_VFS_NAME_BYTES_MAX, "snapshot-%06" PRIu64 ".qts", name->number);
        return;
    case TSDB_FILE_TOMBSTONES:
        (void)snprintf(text, QUARRY_VFS_NAME_BYTES_MAX, TOMBSTONES);
        return;
    case TSDB_FILE_TEMPORARY:
        break;
    }
    Q_UNREACHABLE();
}

static enum quarry_status join(struct tsdb_path *ret_path, const char *first, const char *between,
                               const char *last, struct quarry_error *error)
{
    int length = snprintf(ret_path->text, sizeof(ret_path->text), "%s%s%s", first, between, last);

    if (length < 0 || (size_t)length >= sizeof(ret_path->text)) {
        return error_set(error, QUARRY_TOO_LARGE, "path of %d bytes, at most %u", length,
                         QUARRY_VFS_PATH_BYTES_MAX - 1);
    }
    return QUARRY_OK;
}

enum quarry_status tsdb_file_path(const char *directory, const struct tsdb_file_name *name,
                                  struct tsdb_path *ret_path, struct quarry_error *error)
{
    char text[QUARRY_VFS_NAME_BYTES_MAX];

    make_name(name, text);
    return join(ret_path, directory, "/", text, error);
}

enum quarry_status tsdb_file_temporary_path(const char *path, struct tsdb_path *ret_path,
                                            struct quarry_error *error)
{
    return join(ret_path, path, "", TEMPORARY, error);
}

/* Reads the numbers that a name of some kind has at their places. */
static bool read_numbers(const char *text, struct tsdb_file_name *name)
{
    static const char window[] = "window-", snapshot[] = "snapshot-";
    char *end = NULL;

    if (strcmp(text, TOMBSTONES) == 0) {
        name->kind = TSDB_FILE_TOMBSTONES;
        return true;
    }
    if (strncmp(text, snapshot, sizeof(snapshot) - 1) == 0) {
        name->kind = TSDB_FILE_SNAPSHOT;
        name->number = strtoull(text + sizeof(snapshot) - 1, NULL, 10);
        return true;
    }
    if (strncmp(text, window, sizeof(window) - 1) != 0) {
        return false;
    }
    name->window = strtoll(text + sizeof(window) - 1, &end, 10);
    name->kind = *end == '-' ? TSDB_FILE_SEGMENT : TSDB_FILE_WINDOW;
    name->number = *end == '-' ? strtoull(end + 1, NULL, 10) : 0;
    return true;
}

bool tsdb_file_parse(const char *name, struct tsdb_file_name *ret_name)
{
    size_t length = strlen(name), suffix = sizeof(TEMPORARY) - 1;
    struct tsdb_file_name parsed = {.kind = TSDB_FILE_TEMPORARY};
    char again[QUARRY_VFS_NAME_BYTES_MAX];

    if (length > suffix && strcmp(name + length - suffix, TEMPORARY) == 0) {
        *ret_name = parsed;
        return true;
    }
    if (!read_numbers(name, &parsed)) {
        return false;
    }
    make_name(&parsed, again);
    bool is_numbered = parsed.kind == TSDB_FILE_SEGMENT || parsed.kind == TSDB_FILE_SNAPSHOT;
    if (strcmp(name, again) != 0 || (is_numbered && parsed.number == 0)) {
        return false;
    }
    *ret_name = parsed;
    return true;
}

/* ---- sweeping ------------------------------------------------------------------------------- */

/* The first temporary file that is found. */
struct sweep {
    char name[QUARRY_VFS_NAME_BYTES_MAX];
    size_t passed_count, to_pass; /* those that could not be removed */
};

static bool find_temporary(void *argument, const char *name)
{
    struct sweep *sweep = argument;
    struct tsdb_file_name parsed;

    if (!tsdb_file_parse(name, &parsed) || parsed.kind != TSDB_FILE_TEMPORARY ||
        strlen(name) >= sizeof(sweep->name)) {
        return true;
    }
    if (sweep->passed_count < sweep->to_pass) {
        sweep->passed_count++;
        return true;
    }
    memcpy(sweep->name, name, strlen(name) + 1);
    return false;
}

enum quarry_status tsdb_file_sweep(struct quarry_vfs *vfs, const char *directory,
                                   struct quarry_error *error)
{
    struct sweep sweep = {.to_pass = 0};
    struct tsdb_path path;

    for (;;) {
        sweep.name[0] = '\0';
        sweep.passed_count = 0;
        enum quarry_status status = quarry_vfs_list(vfs, directory, find_temporary, &sweep, error);
        if (status != QUARRY_OK || sweep.name[0] == '\0') {
            return status;
        }
        if (join(&path, directory, "/", sweep.name, NULL) != QUARRY_OK ||
            quarry_vfs_remove(vfs, path.text, NULL) != QUARRY_OK) {
            sweep.to_pass++;
        }
    }
}
