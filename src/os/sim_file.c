/*
 * The twin's files: a memfd holds a file's bytes, a table of blocks says which are on the disk.
 *
 *   "cache/slabs"   memfd    | bytes ................................ |
 *                   blocks   |  1  |  1  |  0  |  0  |  1  |   4 KiB each
 *
 * A file outlives its closing, as on a disk: opening the same path again finds the same bytes. That
 * is a restart, for a test. Mapping maps the memfd, so stores through the mapping are in the file
 * at once, also when the process under test is thought to have been killed.
 *
 * Invariants:
 *   1. disk_used_bytes counts the blocks of all files, and never passes disk_capacity_bytes.
 *   2. A block that is not in the table reads as zero through file_read, unless it was touched
 *      through a mapping without file_preallocate. A real disk may answer that with SIGBUS.
 *   3. A file's number is its index and never changes; one opening at a time.
 *
 * A preallocate or write that does not fit changes nothing. Real file systems may leave a part; no
 * caller may rely on either. Paths are compared byte by byte, and any folder exists.
 *
 * Locking: the twin's mutex. Cost: O(blocks) a call, O(files) for an open.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include <os/sim.h>

/* Above the largest file of a test, and small enough that a table of blocks is never huge. */
#define FILE_BYTES_MAX Q_TIB(1)

/* Blocks [first, end) of a file. */
struct block_range {
    size_t first;
    size_t end;
};

static struct sim_file *file_of_locked(struct os_sim_state *state, const struct os_file *file);
static int find_or_create_locked(struct os_sim_state *state, const char *path);
static bool fits(uint64_t offset, uint64_t bytes);
static struct block_range blocks_touched(uint64_t offset, uint64_t bytes);
static struct block_range blocks_inside(uint64_t offset, uint64_t bytes);
static enum quarry_status take_blocks_locked(struct os_sim_state *state, struct sim_file *file,
                                             struct block_range range);
static void give_blocks_locked(struct os_sim_state *state, struct sim_file *file,
                               struct block_range range);
static void set_length(struct sim_file *file, uint64_t bytes);

enum quarry_status sim_file_open(struct os *os, const char *path, struct os_file *ret_file)
{
    struct os_sim_state *state = sim_enter(os);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_OPEN);
    if (status == QUARRY_OK) {
        int number = find_or_create_locked(state, path);
        if (state->files[number].is_open)
            status = QUARRY_BUSY; /* invariant 3 */
        else
            ret_file->fd = number;
        state->files[number].is_open = true;
    }
    sim_leave(state);
    return status;
}

void sim_file_close(struct os *os, struct os_file *file)
{
    struct os_sim_state *state = sim_enter(os);
    file_of_locked(state, file)->is_open = false;
    file->fd = -1;
    sim_leave(state);
}

enum quarry_status sim_file_size(struct os *os, struct os_file *file, uint64_t *ret_bytes)
{
    struct os_sim_state *state = sim_enter(os);
    *ret_bytes = file_of_locked(state, file)->bytes;
    sim_leave(state);
    return QUARRY_OK;
}

static enum quarry_status resize_locked(struct os_sim_state *state, struct sim_file *file,
                                        uint64_t bytes)
{
    if (!fits(0, bytes))
        return QUARRY_TOO_LARGE;
    size_t first_gone = size_ceil_div(bytes, SIM_BLOCK_BYTES);
    give_blocks_locked(state, file, (struct block_range){first_gone, SIZE_MAX});
    set_length(file, bytes);
    return QUARRY_OK;
}

enum quarry_status sim_file_resize(struct os *os, struct os_file *file, uint64_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_RESIZE);
    if (status == QUARRY_OK)
        status = resize_locked(state, found, bytes);
    sim_leave(state);
    return status;
}

enum quarry_status sim_file_map(struct os *os, struct os_file *file, uint64_t offset, void *base,
                                size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    Q_ASSERT_MSG(size_is_aligned_u64(offset, os->page_bytes), "offset not at a page");
    sim_check_file_map_locked(state, base, bytes);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_MAP);
    if (status == QUARRY_OK) {
        struct os_file memfd = {.fd = found->memfd};
        status = os_file_map(state->real, &memfd, offset, base, bytes);
    }
    if (status == QUARRY_OK)
        sim_note_file_map_locked(state, base, bytes);
    sim_leave(state);
    return status;
}

static enum quarry_status preallocate_locked(struct os_sim_state *state, struct sim_file *file,
                                             uint64_t offset, uint64_t bytes)
{
    if (!fits(offset, bytes))
        return QUARRY_TOO_LARGE;
    enum quarry_status status = take_blocks_locked(state, file, blocks_touched(offset, bytes));
    if (status == QUARRY_OK && offset + bytes > file->bytes && bytes > 0)
        set_length(file, offset + bytes);
    return status;
}

enum quarry_status sim_file_preallocate(struct os *os, struct os_file *file, uint64_t offset,
                                        uint64_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_PREALLOCATE);
    if (status == QUARRY_OK)
        status = preallocate_locked(state, found, offset, bytes);
    sim_leave(state);
    return status;
}

enum quarry_status sim_file_punch(struct os *os, struct os_file *file, uint64_t offset,
                                  uint64_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    struct os_file memfd = {.fd = found->memfd};
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_PUNCH);
    if (status == QUARRY_OK)
        status = os_file_punch(state->real, &memfd, offset, bytes);
    if (status == QUARRY_OK)
        give_blocks_locked(state, found, blocks_inside(offset, bytes));
    sim_leave(state);
    return status;
}

static enum quarry_status next_data_locked(const struct sim_file *file, uint64_t offset,
                                           uint64_t *ret_start, uint64_t *ret_end)
{
    size_t first = offset < file->bytes ? offset / SIM_BLOCK_BYTES : file->block_count;
    while (first < file->block_count && !file->blocks[first])
        first++;
    if (first >= file->block_count)
        return QUARRY_NOT_FOUND;
    size_t end = first;
    while (end < file->block_count && file->blocks[end])
        end++;
    *ret_start = size_max_u64(offset, first * SIM_BLOCK_BYTES);
    *ret_end = size_min_u64(file->bytes, end * SIM_BLOCK_BYTES);
    return QUARRY_OK;
}

enum quarry_status sim_file_next_data(struct os *os, struct os_file *file, uint64_t offset,
                                      uint64_t *ret_start, uint64_t *ret_end)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_NEXT_DATA);
    if (status == QUARRY_OK)
        status = next_data_locked(found, offset, ret_start, ret_end);
    sim_leave(state);
    return status;
}

enum quarry_status sim_file_read(struct os *os, struct os_file *file, uint64_t offset, void *buffer,
                                 size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct os_file memfd = {.fd = file_of_locked(state, file)->memfd};
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_READ);
    if (status == QUARRY_OK)
        status = os_file_read(state->real, &memfd, offset, buffer, bytes);
    sim_leave(state);
    return status;
}

static enum quarry_status write_locked(struct os_sim_state *state, struct sim_file *file,
                                       uint64_t offset, const void *buffer, size_t bytes)
{
    enum quarry_status status = preallocate_locked(state, file, offset, bytes);
    if (status != QUARRY_OK)
        return status;
    struct os_file memfd = {.fd = file->memfd};
    return os_file_write(state->real, &memfd, offset, buffer, bytes);
}

enum quarry_status sim_file_write(struct os *os, struct os_file *file, uint64_t offset,
                                  const void *buffer, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    struct sim_file *found = file_of_locked(state, file);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_WRITE);
    if (status == QUARRY_OK)
        status = write_locked(state, found, offset, buffer, bytes);
    sim_leave(state);
    return status;
}

/* Nothing is lost here that was not synced: what is simulated is that it fails. */
enum quarry_status sim_file_sync(struct os *os, void *base, size_t bytes)
{
    struct os_sim_state *state = sim_enter(os);
    enum quarry_status status = sim_call_locked(state, OS_SIM_FILE_SYNC);
    if (status == QUARRY_OK)
        status = os_file_sync(state->real, base, bytes);
    sim_leave(state);
    return status;
}

void sim_forget_files(struct os_sim_state *state)
{
    for (int i = 0; i < state->file_count; i++) {
        free(state->files[i].path);
        free(state->files[i].blocks);
        (void)close(state->files[i].memfd);
    }
    free(state->files);
}

static struct sim_file *file_of_locked(struct os_sim_state *state, const struct os_file *file)
{
    Q_ASSERT_MSG(file->fd >= 0 && file->fd < state->file_count, "no such file");
    struct sim_file *found = &state->files[file->fd];
    Q_ASSERT_MSG(found->is_open, "the file is closed");
    return found;
}

static int find_or_create_locked(struct os_sim_state *state, const char *path)
{
    for (int i = 0; i < state->file_count; i++)
        if (strcmp(state->files[i].path, path) == 0)
            return i;
    size_t count = (size_t)state->file_count + 1;
    struct sim_file *files = realloc(state->files, count * sizeof *files);
    char *path_copy = strdup(path);
    int memfd = memfd_create("quarry-sim", MFD_CLOEXEC);
    Q_ASSERT(files != NULL && path_copy != NULL && memfd >= 0);
    files[state->file_count] = (struct sim_file){.path = path_copy, .memfd = memfd};
    state->files = files;
    return state->file_count++;
}

static bool fits(uint64_t offset, uint64_t bytes)
{
    return offset <= FILE_BYTES_MAX && bytes <= FILE_BYTES_MAX - offset;
}

/* Every block that holds a byte of the range. */
static struct block_range blocks_touched(uint64_t offset, uint64_t bytes)
{
    return (struct block_range){offset / SIM_BLOCK_BYTES,
                                size_ceil_div(offset + bytes, SIM_BLOCK_BYTES)};
}

/* Every block that lies in the range whole. */
static struct block_range blocks_inside(uint64_t offset, uint64_t bytes)
{
    return (struct block_range){size_ceil_div(offset, SIM_BLOCK_BYTES),
                                (offset + bytes) / SIM_BLOCK_BYTES};
}

static void grow_table(struct sim_file *file, size_t block_count)
{
    if (block_count <= file->block_count)
        return;
    bool *blocks = realloc(file->blocks, block_count);
    Q_ASSERT(blocks != NULL);
    memset(blocks + file->block_count, 0, block_count - file->block_count);
    file->blocks = blocks;
    file->block_count = block_count;
}

/* All of them or, when the disk has no room, none. Invariant 1. */
static enum quarry_status take_blocks_locked(struct os_sim_state *state, struct sim_file *file,
                                             struct block_range range)
{
    uint64_t capacity_bytes = state->options.disk_capacity_bytes;
    uint64_t wanted_bytes = 0;
    grow_table(file, range.end);
    for (size_t i = range.first; i < range.end; i++)
        wanted_bytes += file->blocks[i] ? 0 : SIM_BLOCK_BYTES;
    uint64_t used_bytes = state->counters.disk_used_bytes + wanted_bytes;
    if (wanted_bytes > 0 && capacity_bytes != 0 && used_bytes > capacity_bytes)
        return QUARRY_NO_SPACE;
    for (size_t i = range.first; i < range.end; i++)
        file->blocks[i] = true;
    state->counters.disk_used_bytes = used_bytes;
    return QUARRY_OK;
}

static void give_blocks_locked(struct os_sim_state *state, struct sim_file *file,
                               struct block_range range)
{
    for (size_t i = range.first; i < range.end && i < file->block_count; i++) {
        state->counters.disk_used_bytes -= file->blocks[i] ? SIM_BLOCK_BYTES : 0;
        file->blocks[i] = false;
    }
}

static void set_length(struct sim_file *file, uint64_t bytes)
{
    int failed = ftruncate(file->memfd, (off_t)bytes);
    Q_ASSERT(failed == 0);
    file->bytes = bytes;
}
