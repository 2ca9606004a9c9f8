/*
 * Errors in LevelDB's form.
 *
 *     <kind>: <text>        "NotFound", "Corruption", "Not implemented", "Invalid argument",
 *                           "IO error"
 *
 * Programs look at these texts, for the C API has no other way to say what went wrong. Where
 * LevelDB has a text for what happened, that is given; else the store's own, behind the kind.
 *
 * The store's errors are a status and a text for people. Which of LevelDB's errors of one status it
 * is, the text says: `translations` has the phrases, each of which a test holds to.
 *
 * Memory: of malloc, for the caller frees it. Without memory *errptr becomes NULL, as if nothing
 * had gone wrong; LevelDB ends the program there. Locking: none.
 */
#include <leveldb_api/shim.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- putting -------------------------------------------------------------------------------- */

static void put(char **errptr, char *text)
{
    free(*errptr);
    *errptr = text;
}

void shim_fail(char **errptr, const char *kind, const char *format, ...)
{
    char *what = NULL;
    va_list arguments;

    va_start(arguments, format);
    int count = vasprintf(&what, format, arguments);
    va_end(arguments);
    if (count < 0) {
        put(errptr, NULL);
        return;
    }
    put(errptr, shim_format("%s: %s", kind, what));
    free(what);
}

/* ---- of files ------------------------------------------------------------------------------- */

void shim_fail_file(char **errptr, const char *name, const struct quarry_error *error)
{
    if (error->os_errno == 0) {
        shim_fail(errptr, "IO error", "%s: %s", name, error->text);
        return;
    }
    shim_fail(errptr, error->os_errno == ENOENT ? "NotFound" : "IO error", "%s: %s", name,
              strerror(error->os_errno));
}

/* ---- of the store --------------------------------------------------------------------------- */

/* A phrase of the store's texts, and LevelDB's words for it. */
struct translation {
    enum quarry_status status;
    const char *phrase;
    const char *text;
};

static const struct translation translations[] = {
    {QUARRY_CORRUPT, "checksum", "block checksum mismatch"},
    {QUARRY_CORRUPT, "no footer of a table ends it", "not an sstable (bad magic number)"},
    {QUARRY_CORRUPT, "too short for a table", "file is too short to be an sstable"},
    {QUARRY_CORRUPT, "no next file number", "no meta-nextfile entry in descriptor"},
    {QUARRY_CORRUPT, "no log number", "no meta-lognumber entry in descriptor"},
    {QUARRY_CORRUPT, "no last sequence", "no last-sequence-number entry in descriptor"},
};
#define TRANSLATIONS (sizeof(translations) / sizeof(translations[0]))

static const char *kind_of(const struct quarry_error *error)
{
    switch ((int)error->status) {
    case QUARRY_NOT_FOUND:
        return "NotFound";
    case QUARRY_CORRUPT:
        return "Corruption";
    case QUARRY_UNSUPPORTED:
        return "Not implemented";
    case QUARRY_BAD_INPUT:
    case QUARRY_TOO_LARGE:
    case QUARRY_EXISTS: /* a file may be too large for the system */
        return error->os_errno == 0 ? "Invalid argument" : "IO error";
    default:
        return "IO error";
    }
}

/* "…: table 000007: the manifest has it, and it is not there; missing in all: 2" */
static bool fail_missing(char **errptr, const char *path, const char *text)
{
    const char *table = strstr(text, ": table "), *all = strstr(text, "; missing in all: ");
    unsigned long long number, count;

    if (table == NULL || all == NULL || sscanf(table, ": table %llu", &number) != 1 ||
        sscanf(all, "; missing in all: %llu", &count) != 1) {
        return false;
    }
    shim_fail(errptr, "Corruption", "%llu missing files; e.g.: %s/%06llu.ldb", count, path, number);
    return true;
}

/* "manifest: its keys are ordered by 'a', not by 'b'" */
static bool fail_order(char **errptr, const char *text)
{
    const char *begin = strstr(text, "ordered by '");
    const char *middle = begin == NULL ? NULL : strstr(begin, "', not by '");

    if (middle == NULL) {
        return false;
    }
    begin += strlen("ordered by '");
    const char *name = middle + strlen("', not by '");
    size_t length = strlen(name);
    length = length != 0 && name[length - 1] == '\'' ? length - 1 : length;
    shim_fail(errptr, "Invalid argument", "%.*s does not match existing comparator : %.*s",
              (int)(middle - begin), begin, (int)length, name);
    return true;
}

static bool fail_translated(char **errptr, const struct quarry_error *error)
{
    for (size_t i = 0; i < TRANSLATIONS; i++) {
        if (translations[i].status == error->status &&
            strstr(error->text, translations[i].phrase) != NULL) {
            shim_fail(errptr, kind_of(error), "%s", translations[i].text);
            return true;
        }
    }
    return false;
}

static bool fail_lock(char **errptr, const char *path, const char *text)
{
    if (strstr(text, "lock '") == NULL) {
        return false;
    }
    shim_fail(errptr, "IO error", "lock %s/LOCK: %s", path,
              strstr(text, "by this process") != NULL ? "already held by process"
                                                      : "Resource temporarily unavailable");
    return true;
}

void shim_fail_store(char **errptr, const char *path, const struct quarry_error *error)
{
    bool is_told = (error->status == QUARRY_CORRUPT && fail_missing(errptr, path, error->text)) ||
                   (error->status == QUARRY_BAD_INPUT && fail_order(errptr, error->text)) ||
                   (error->status == QUARRY_BUSY && fail_lock(errptr, path, error->text)) ||
                   fail_translated(errptr, error);

    if (!is_told) {
        shim_fail(errptr, kind_of(error), "%s", error->text);
    }
}
