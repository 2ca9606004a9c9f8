/*
 * Finding the statistics segment of another process.
 *
 *   /proc/PID/maps   7f10a2400000-7f10a33f3000 rw-s 00000000 00:01 98305  /SYSV00000000 (deleted)
 *                                                              ^ the segment's number
 *                    7f10a2400000-7f10a33f3000 rw-p 00000000 00:00 0
 *                    ^ anonymous, and exactly as long as a segment: private memory
 *
 * A number means something only in one IPC namespace. A process in a container has another: then,
 * and where attaching is refused, the same bytes are read through /proc/PID/mem.
 *
 * Invariants: 1. Whatever is found counts only after its magic, version and process number match.
 *
 * Locking: none. Cost: one pass over the maps, some ms for a process with 10,000 mappings.
 */
#include <mem/stats_page.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

/* What is needed of a line of maps; the rest of a long path is skipped. */
#define LINE_BYTES 256
#define PATH_BYTES 64

struct mapping {
    uint64_t start;
    uint64_t end;
    uint64_t inode;
    bool is_writable;
    const char *name;
};

/* The search: where it is, and the best reason so far why it found nothing. */
struct search {
    struct mem_stats_reader *reader;
    struct quarry_error *error;
    enum quarry_status status;
    bool is_same_ipc; /* numbers of segments mean the same here and there */
};

/* ---- lines of maps -------------------------------------------------------------------------- */

/* The field at `*at`, and moves there behind it and the spaces that follow. */
static const char *field_next(char **at)
{
    char *field = *at, *end = field + strcspn(field, " ");

    *at = end + strspn(end, " ");
    *end = '\0';
    return field;
}

/* Reads "start-end perms offset device inode name". */
static bool mapping_parse(char *line, struct mapping *ret_mapping)
{
    char *at = line, *end;
    const char *range = field_next(&at), *permissions = field_next(&at);

    (void)field_next(&at);
    (void)field_next(&at);
    ret_mapping->inode = strtoull(field_next(&at), NULL, 10);
    ret_mapping->name = at;
    ret_mapping->is_writable = strncmp(permissions, "rw", 2) == 0;
    ret_mapping->start = strtoull(range, &end, 16);
    if (*end != '-') {
        return false;
    }
    ret_mapping->end = strtoull(end + 1, NULL, 16);
    return ret_mapping->end > ret_mapping->start;
}

/* ---- candidates ----------------------------------------------------------------------------- */

/* Keeps what says most: another version says more than a refusal, and that more than nothing. */
static void search_note(struct search *search, enum quarry_status status,
                        const struct quarry_error *error)
{
    if (search->status == QUARRY_UNSUPPORTED || status == QUARRY_BAD_INPUT) {
        return;
    }
    search->status = status;
    if (search->error != NULL) {
        *search->error = *error;
    }
}

/* BAD_INPUT: it is something else. `pid`: whose it must be, 0 for anybody's. */
static enum quarry_status head_check(const struct mem_stats_head *head, uint32_t pid,
                                     uint32_t asked_pid, struct quarry_error *error)
{
    if (head->magic != MEM_STATS_MAGIC || (pid != 0 && head->pid != pid)) {
        return QUARRY_BAD_INPUT; /* invariant 1 */
    }
    if (head->version != MEM_STATS_VERSION || head->segment_bytes != MEM_STATS_BYTES) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "process %u writes heap statistics of version %u, and this program reads "
                         "version %u: use the quarry that the process was started with",
                         asked_pid, head->version, MEM_STATS_VERSION);
    }
    return QUARRY_OK;
}

static enum quarry_status attach_shared(struct mem_stats_reader *reader, int id,
                                        struct quarry_error *error)
{
    struct mem_stats_head head;
    struct shmid_ds about;
    void *base = shmat(id, NULL, SHM_RDONLY);

    if (base == (void *)-1) {
        return errno != EACCES
                   ? QUARRY_BAD_INPUT
                   : error_set_os(error, QUARRY_PERMISSION, EACCES,
                                  "attach the heap statistics of process %u", reader->pid);
    }
    enum quarry_status status = QUARRY_BAD_INPUT;
    if (shmctl(id, IPC_STAT, &about) == 0 && about.shm_segsz >= sizeof(head)) {
        mem_stats_collect(&head, base, sizeof(head));
        status = head_check(&head, reader->pid, reader->pid, error);
    }
    if (status == QUARRY_OK && about.shm_segsz < MEM_STATS_BYTES) {
        status = QUARRY_BAD_INPUT;
    }
    if (status != QUARRY_OK) {
        (void)shmdt(base);
        return status;
    }
    reader->base = base;
    reader->shm_id = id;
    return QUARRY_OK;
}

/* Opened for writing where that is allowed; wishes need it, reading does not. */
static int memory_open(uint32_t pid)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%u/mem", pid);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    return fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC);
}

static enum quarry_status attach_memory(struct mem_stats_reader *reader, uint64_t address,
                                        struct quarry_error *error)
{
    struct mem_stats_head head;
    int fd = memory_open(reader->pid);

    if (fd < 0) {
        return error_set_os(error, errno == ENOENT ? QUARRY_NOT_FOUND : QUARRY_PERMISSION, errno,
                            "read the memory of process %u", reader->pid);
    }
    enum quarry_status status = QUARRY_BAD_INPUT;
    if (pread(fd, &head, sizeof(head), (off_t)address) == (ssize_t)sizeof(head)) {
        status = head_check(&head, 0, reader->pid, error);
    }
    if (status != QUARRY_OK) {
        (void)close(fd);
        return status;
    }
    reader->memory_fd = fd;
    reader->address = address;
    return QUARRY_OK;
}

/* Tries a mapping. Returns: whether it is the segment, and the reader can read it. */
static bool search_try(struct search *search, const struct mapping *mapping)
{
    struct quarry_error error = {0};
    enum quarry_status status = QUARRY_BAD_INPUT;
    uint64_t bytes = mapping->end - mapping->start;
    bool is_shared = strncmp(mapping->name, "/SYSV00000000", 13) == 0 && mapping->is_writable;
    bool is_private = mapping->inode == 0 && mapping->name[0] == '\0' && mapping->is_writable &&
                      bytes == MEM_STATS_BYTES;

    if (is_shared && search->is_same_ipc && mapping->inode <= INT32_MAX) {
        status = attach_shared(search->reader, (int)mapping->inode, &error);
    }
    if ((is_shared || is_private) && bytes >= sizeof(struct mem_stats_head) &&
        (status == QUARRY_BAD_INPUT || status == QUARRY_PERMISSION)) {
        status = attach_memory(search->reader, mapping->start, &error);
    }
    if (status != QUARRY_OK) {
        search_note(search, status, &error);
    }
    return status == QUARRY_OK;
}

/* ---- the search ----------------------------------------------------------------------------- */

/* Whether the process sees the same segments as this one; true when that cannot be told. */
static bool is_same_ipc(uint32_t pid)
{
    char path[PATH_BYTES], own[PATH_BYTES] = {0}, other[PATH_BYTES] = {0};

    (void)snprintf(path, sizeof(path), "/proc/%u/ns/ipc", pid);
    return readlink(path, other, sizeof(other) - 1) < 0 ||
           readlink("/proc/self/ns/ipc", own, sizeof(own) - 1) < 0 || strcmp(own, other) == 0;
}

/*
 * Reads the maps byte by byte into lines, which are cut at LINE_BYTES.
 * Returns: whether the segment was found. `ret_is_empty`: there was not one line.
 */
static bool search_lines(struct search *search, int fd, bool *ret_is_empty)
{
    char bytes[4096], line[LINE_BYTES];
    size_t length = 0;
    struct mapping mapping;

    *ret_is_empty = true;
    for (ssize_t count; (count = read(fd, bytes, sizeof(bytes))) > 0;) {
        *ret_is_empty = false;
        for (ssize_t i = 0; i < count; i++) {
            if (bytes[i] != '\n') {
                length += length < sizeof(line) - 1;
                line[length - 1] = bytes[i];
                continue;
            }
            line[length] = '\0';
            length = 0;
            if (mapping_parse(line, &mapping) && search_try(search, &mapping)) {
                return true;
            }
        }
    }
    return false;
}

static enum quarry_status maps_open(uint32_t pid, int *ret_fd, struct quarry_error *error)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%u/maps", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        *ret_fd = fd;
        return QUARRY_OK;
    }
    if (errno == ENOENT || errno == ESRCH) {
        return error_set(error, QUARRY_NOT_FOUND, "there is no process %u", pid);
    }
    return error_set_os(error, errno == EACCES || errno == EPERM ? QUARRY_PERMISSION : QUARRY_IO,
                        errno, "look into process %u, which is another user's", pid);
}

static enum quarry_status search_run(struct search *search, int fd)
{
    uint32_t pid = search->reader->pid;
    bool is_empty;

    if (search_lines(search, fd, &is_empty)) {
        return QUARRY_OK;
    }
    if (is_empty) { /* a zombie, or a thread of the kernel */
        return error_set(search->error, QUARRY_NOT_FOUND, "process %u has no memory: it has ended",
                         pid);
    }
    if (search->status != QUARRY_BAD_INPUT) {
        return search->status; /* its sentence is there */
    }
    return error_set(search->error, QUARRY_BAD_INPUT,
                     "process %u does not run under Quarry's malloc, or has hardly allocated yet: "
                     "start it with quarry run -- CMD",
                     pid);
}

enum quarry_status mem_stats_attach(uint32_t pid, struct mem_stats_reader *ret_reader,
                                    struct quarry_error *error)
{
    struct mem_stats_reader reader = {.pid = pid, .memory_fd = -1, .shm_id = -1};
    struct search search = {.reader = &reader,
                            .error = error,
                            .status = QUARRY_BAD_INPUT,
                            .is_same_ipc = is_same_ipc(pid)};
    int fd = -1;
    enum quarry_status status = maps_open(pid, &fd, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = search_run(&search, fd);
    (void)close(fd);
    if (status == QUARRY_OK) {
        *ret_reader = reader;
    }
    return status;
}

void mem_stats_detach(struct mem_stats_reader *reader)
{
    if (reader->base != NULL) {
        (void)shmdt(reader->base);
    }
    if (reader->memory_fd >= 0) {
        (void)close(reader->memory_fd);
    }
    if (reader->image != NULL) {
        (void)os_release(os_real(), reader->image, MEM_STATS_BYTES);
    }
    *reader = (struct mem_stats_reader){.memory_fd = -1, .shm_id = -1};
}

/* ---- wishes --------------------------------------------------------------------------------- */

/* Attaches once more, for writing, and stores a word of 4 or 8 bytes. */
static int write_shared(const struct mem_stats_reader *reader, uint64_t offset, const void *word,
                        size_t bytes)
{
    char *base = shmat(reader->shm_id, NULL, 0);

    if (base == (void *)-1) {
        return errno;
    }
    /* Relaxed: a wish, which publishes nothing. */
    if (bytes == sizeof(uint32_t)) {
        atomic_store_relaxed_u32((_Atomic uint32_t *)(void *)(base + offset),
                                 *(const uint32_t *)word);
    } else {
        mem_stats_store((uint64_t *)(void *)(base + offset), *(const uint64_t *)word);
    }
    (void)shmdt(base);
    return 0;
}

static enum quarry_status head_store(struct mem_stats_reader *reader, uint64_t offset,
                                     const void *word, size_t bytes, struct quarry_error *error)
{
    int failure = 0;

    if (reader->base != NULL) {
        failure = write_shared(reader, offset, word, bytes);
    } else if (pwrite(reader->memory_fd, word, bytes, (off_t)(reader->address + offset)) !=
               (ssize_t)bytes) {
        failure = errno;
    }
    if (failure == 0) {
        return QUARRY_OK;
    }
    return error_set_os(
        error, failure == EACCES || failure == EBADF ? QUARRY_PERMISSION : QUARRY_NOT_FOUND,
        failure, "write to the heap statistics of process %u", reader->pid);
}

enum quarry_status mem_stats_ask_refresh(struct mem_stats_reader *reader,
                                         struct quarry_error *error)
{
    const uint32_t wish = 1;

    return head_store(reader, offsetof(struct mem_stats_head, wants_refresh), &wish, sizeof(wish),
                      error);
}

enum quarry_status mem_stats_write_sample_mean(struct mem_stats_reader *reader, uint64_t mean_bytes,
                                               struct quarry_error *error)
{
    return head_store(reader, offsetof(struct mem_stats_head, sample_mean_bytes), &mean_bytes,
                      sizeof(mean_bytes), error);
}
