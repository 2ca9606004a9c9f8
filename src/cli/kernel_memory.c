/*
 * /proc/PID/smaps, summed up by what each mapping is.
 *
 *   55e59000e000-55e590049000 r--p 00000000 fe:00 6513281   /usr/bin/quarry     program
 *   55e590357000-55e59166d000 rw-p 00000000 00:00 0                             program: its zeros
 *   55e5a2c00000-55e5a2c21000 rw-p 00000000 00:00 0         [heap]              libc heap
 *   7b5bc0000000-7b5bc0400000 rw-p 00000000 00:00 0                             private
 *   7d6bc0000000-7d6bc1800000 rw-s 00010000 00:1b 202384    /dev/shm/….cache    shared
 *   Rss:               20080 kB
 *
 * A program's zeros have no name: they are what begins where a mapping of its files ends. Another
 * anonymous mapping may by chance begin there too, and is then taken for them; the kernel places
 * such from above downwards, in front of libraries and not behind them.
 *
 * Stacks of threads cannot be told from other anonymous memory. They are private, which is strict:
 * what is private must be in the ledger.
 *
 * Locking: none; of one thread.
 */
#include <cli/kernel_memory.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PATH_BYTES 64u
#define KIB        1024u

const char *const kernel_kind_fields[KERNEL_KINDS] = {
    [KERNEL_PRIVATE] = "private_bytes",     [KERNEL_SHARED] = "shared_bytes",
    [KERNEL_PROGRAM] = "program_bytes",     [KERNEL_FILES] = "file_bytes",
    [KERNEL_LIBC_HEAP] = "libc_heap_bytes", [KERNEL_STACK] = "stack_bytes",
};

const char *const kernel_kind_names[KERNEL_KINDS] = {
    [KERNEL_PRIVATE] = "private memory, stacks of threads with it",
    [KERNEL_SHARED] = "shared files and segments that are written",
    [KERNEL_PROGRAM] = "program and libraries",
    [KERNEL_FILES] = "files that are only read",
    [KERNEL_LIBC_HEAP] = "heap of the C library",
    [KERNEL_STACK] = "stack of the first thread",
};

/* ---- mappings ------------------------------------------------------------------------------- */

struct mapping {
    uint64_t start, end;
    char permissions[5]; /* "rw-p" */
    uint64_t inode;
    const char *name; /* in the line; "" without one */
};

/* Reads "start-end perms offset device inode name". False: it is another line. */
static bool parse_mapping(const char *line, struct mapping *ret_mapping)
{
    int name_at = 0;

    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*[0-9a-f:] %" SCNu64 " %n",
               &ret_mapping->start, &ret_mapping->end, ret_mapping->permissions,
               &ret_mapping->inode, &name_at) < 4) {
        return false;
    }
    ret_mapping->name = line + name_at;
    return name_at > 0 && ret_mapping->end > ret_mapping->start &&
           strlen(ret_mapping->permissions) == 4;
}

/* `data_end`: where the last mapping of a program's file, or its zeros, ended. */
static enum kernel_kind kind_of(const struct mapping *mapping, uint64_t data_end)
{
    const bool is_shared = mapping->permissions[3] == 's';

    if (is_shared) {
        return mapping->permissions[1] == 'w' ? KERNEL_SHARED : KERNEL_FILES;
    }
    if (strncmp(mapping->name, "[heap]", 6) == 0) {
        return KERNEL_LIBC_HEAP;
    }
    if (strncmp(mapping->name, "[stack]", 7) == 0) {
        return KERNEL_STACK;
    }
    const bool is_kernels = strncmp(mapping->name, "[v", 2) == 0; /* vdso, vvar, vsyscall */
    return mapping->inode != 0 || is_kernels || mapping->start == data_end ? KERNEL_PROGRAM
                                                                           : KERNEL_PRIVATE;
}

/* ---- the sum -------------------------------------------------------------------------------- */

struct reading {
    struct kernel_memory *memory;
    uint64_t data_end;
    enum kernel_kind kind; /* of the mapping that lines are about */
    bool has_mapping;
};

/* Returns: false: figures before any mapping, or more bytes than there are. */
static bool take_line(struct reading *reading, const char *line)
{
    struct mapping mapping;
    uint64_t kib;

    if (parse_mapping(line, &mapping)) {
        reading->kind = kind_of(&mapping, reading->data_end);
        reading->has_mapping = true;
        if (mapping.inode != 0 && reading->kind == KERNEL_PROGRAM) {
            reading->data_end = mapping.end;
        }
        return true;
    }
    if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) != 1) {
        return true;
    }
    if (!reading->has_mapping || kib > INT64_MAX / KIB ||
        reading->memory->resident_bytes > INT64_MAX - kib * KIB) {
        return false;
    }
    reading->memory->bytes[reading->kind] += kib * KIB;
    reading->memory->resident_bytes += kib * KIB;
    return true;
}

bool kernel_memory_read_maps(FILE *file, struct kernel_memory *ret_memory)
{
    struct kernel_memory memory = {0};
    struct reading reading = {.memory = &memory};
    char *line = NULL;
    size_t room = 0;
    bool is_good = true;

    while (is_good && getline(&line, &room, file) > 0) {
        is_good = take_line(&reading, line);
    }
    is_good = is_good && reading.has_mapping && feof(file) && !ferror(file);
    free(line);
    if (is_good) {
        *ret_memory = memory;
    }
    return is_good;
}

/* ---- a process ------------------------------------------------------------------------------ */

static enum quarry_status status_of(int error)
{
    if (error == ENOENT || error == ESRCH) {
        return QUARRY_NOT_FOUND;
    }
    return error == EACCES || error == EPERM ? QUARRY_PERMISSION : QUARRY_IO;
}

static FILE *open_file(uint32_t pid, const char *name)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof path, "/proc/%" PRIu32 "/%s", pid, name);
    return fopen(path, "re");
}

/* 0 where the kernel does not say. */
static uint64_t read_page_tables(FILE *file)
{
    char line[256];
    uint64_t kib = 0;

    if (file == NULL) {
        return 0;
    }
    while (kib == 0 && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, "VmPTE: %" SCNu64 " kB", &kib);
    }
    return kib * KIB;
}

enum quarry_status kernel_memory_open(uint32_t pid, struct kernel_memory_files *ret_files)
{
    ret_files->maps = open_file(pid, "smaps");
    if (ret_files->maps == NULL) {
        return status_of(errno);
    }
    ret_files->status = open_file(pid, "status");
    return QUARRY_OK;
}

enum quarry_status kernel_memory_read(struct kernel_memory_files *files,
                                      struct kernel_memory *ret_memory)
{
    errno = 0;
    if (!kernel_memory_read_maps(files->maps, ret_memory)) {
        return status_of(errno);
    }
    ret_memory->page_table_bytes = read_page_tables(files->status);
    return QUARRY_OK;
}

void kernel_memory_close(struct kernel_memory_files *files)
{
    (void)fclose(files->maps);
    if (files->status != NULL) {
        (void)fclose(files->status);
    }
}

enum quarry_status kernel_memory_look(uint32_t pid, struct kernel_memory *ret_memory)
{
    struct kernel_memory_files files;
    enum quarry_status status = kernel_memory_open(pid, &files);

    if (status == QUARRY_OK) {
        status = kernel_memory_read(&files, ret_memory);
        kernel_memory_close(&files);
    }
    return status;
}
