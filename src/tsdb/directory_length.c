/*
 * How long the windows of a directory are. Each window's file says it; files of the log do not need
 * to.
 *
 * Locking: none; what is looked at may be removed meanwhile, which is QUARRY_NOT_FOUND.
 */
#include <tsdb/directory_length.h>

#include <tsdb/durable.h>
#include <tsdb/window_file.h>

enum quarry_status tsdb_directory_length(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, int64_t *ret_window_ms,
                                         struct quarry_error *error)
{
    struct tsdb_section_file *sections = NULL;
    int64_t window = 0;
    enum quarry_status status = tsdb_window_file_find(vfs, directory, INT64_MAX, &window, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct tsdb_section_place place = tsdb_window_file_place(vfs, directory, memory, window);
    status = tsdb_section_file_open(&place, &sections, error);
    if (status == QUARRY_OK) {
        status = tsdb_window_file_length(sections, ret_window_ms);
    }
    tsdb_section_file_close(sections);
    return status;
}
