/*
 * Which windows have files. The rest of it is files of sections, by their names.
 *
 * Invariants
 *   1. What is found is a file by its name alone; whether it can be read, opening it says.
 *
 * Locking: none. Cost: a listing of the directory for each window, of which there are some ten.
 */
#include <tsdb/window_file.h>

struct finding {
    int64_t to, window;
    bool is_found;
};

static bool find(void *argument, const char *name)
{
    struct finding *finding = argument;
    struct tsdb_file_name parsed;

    if (tsdb_file_parse(name, &parsed) && parsed.kind == TSDB_FILE_WINDOW &&
        parsed.window <= finding->to && (!finding->is_found || parsed.window > finding->window)) {
        finding->is_found = true;
        finding->window = parsed.window;
    }
    return true;
}

enum quarry_status tsdb_window_file_find(struct quarry_vfs *vfs, const char *directory, int64_t to,
                                         int64_t *ret_window, struct quarry_error *error)
{
    struct finding finding = {.to = to};
    enum quarry_status status = quarry_vfs_list(vfs, directory, find, &finding, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!finding.is_found) {
        return error_set(error, QUARRY_NOT_FOUND, "'%.150s': no window up to %lld has a file",
                         directory, (long long)to);
    }
    *ret_window = finding.window;
    return QUARRY_OK;
}
