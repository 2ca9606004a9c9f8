/*
 * Finding libquarry-malloc.so, and telling the dynamic linker about it.
 *
 *   FOLDER/bin/quarry    the program that runs, by /proc/self/exe
 *   FOLDER/lib/…         the library, in a build tree and in most installed ones
 *   FOLDER/LIBDIR/…      in an installed tree with another folder for libraries
 *
 * Paths are relative to the program, so that an installed tree may be moved as a whole.
 */
#include <cli/preload.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY_NAME   "libquarry-malloc.so"
#define PATH_BYTES     4096u
#define SETTINGS_BYTES 160u

/* Cuts "/bin/quarry" off the program's path. Returns: false when that is not known. */
static bool find_folder(char folder[PATH_BYTES])
{
    ssize_t length = readlink("/proc/self/exe", folder, PATH_BYTES - 1);

    if (length <= 0) {
        return false;
    }
    folder[length] = '\0';
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(folder, '/');
        if (slash == NULL) {
            return false;
        }
        *slash = '\0';
    }
    return true;
}

static enum quarry_status find_library(char path[PATH_BYTES], struct quarry_error *error)
{
    static const char *const libdirs[] = {"lib", QUARRY_LIBDIR};
    char folder[PATH_BYTES];

    if (!find_folder(folder)) {
        return error_set(error, QUARRY_NOT_FOUND, "/proc/self/exe cannot be read");
    }
    for (size_t i = 0; i < sizeof(libdirs) / sizeof(libdirs[0]); i++) {
        int length = snprintf(path, PATH_BYTES, "%s/%s/%s", folder, libdirs[i], LIBRARY_NAME);
        if (length > 0 && (size_t)length < PATH_BYTES && access(path, R_OK) == 0) {
            return QUARRY_OK;
        }
    }
    return error_set(error, QUARRY_NOT_FOUND, "%s is not in %.150s/%s", LIBRARY_NAME, folder,
                     QUARRY_LIBDIR);
}

/* Sets `name` to `first`, then `separator` and `last` where both are there. */
static enum quarry_status set_joined(const char *name, const char *first, char separator,
                                     const char *last, struct quarry_error *error)
{
    char *text = NULL;
    bool is_joined = first[0] != '\0' && last[0] != '\0';
    const char separators[2] = {is_joined ? separator : '\0', '\0'};

    if (asprintf(&text, "%s%s%s", first, separators, last) < 0) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for %s", name);
    }
    int failure = setenv(name, text, 1);
    free(text);
    return failure == 0 ? QUARRY_OK : error_set_os(error, QUARRY_NO_MEMORY, errno, "set %s", name);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL ? value : "";
}

/* "limit=536870912,report=1" */
static void format_settings(const struct preload_options *options, char text[SETTINGS_BYTES])
{
    char *at = text;
    size_t left = SETTINGS_BYTES;
    const struct {
        const char *name;
        uint64_t value;
        bool is_set;
    } settings[] = {
        {"limit", options->limit_bytes, options->limit_bytes != 0},
        {"sample", options->sample_mean_bytes, options->has_sample},
        {"hardened", 1, options->is_hardened},
        {"report", 1, options->is_reporting},
    };

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (settings[i].is_set) {
            int length = snprintf(at, left, "%s%s=%" PRIu64, at == text ? "" : ",",
                                  settings[i].name, settings[i].value);
            Q_ASSERT(length > 0 && (size_t)length < left);
            at += length;
            left -= (size_t)length;
        }
    }
}

enum quarry_status preload_set(const struct preload_options *options, struct quarry_error *error)
{
    char path[PATH_BYTES], settings[SETTINGS_BYTES];
    enum quarry_status status = find_library(path, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (strpbrk(path, " :") != NULL) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "%.180s: LD_PRELOAD takes no path with a space or a colon", path);
    }
    format_settings(options, settings);
    status = set_joined("LD_PRELOAD", path, ':', environment("LD_PRELOAD"), error);
    if (status == QUARRY_OK && settings[0] != '\0') {
        status = set_joined("QUARRY_MALLOC", environment("QUARRY_MALLOC"), ',', settings, error);
    }
    return status;
}
