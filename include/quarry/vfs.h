/*
 * Files, as the stores see them: a table of functions, with a real instance, one in memory that
 * can lose power, and one that fails on command.
 *
 * A *vfs* is where a store keeps its files. `quarry_vfs_posix` is the file system of the machine.
 * Tests, and data that need not outlive the process, use others of the same shape, or a program
 * gives its own. Every byte that a store reads or writes goes through one.
 *
 *     struct quarry_vfs *vfs = quarry_vfs_posix();
 *     struct quarry_vfs_file *file;
 *
 *     if (quarry_vfs_open(vfs, "a/000012.sst", QUARRY_VFS_READ, &file, &error) == QUARRY_OK) {
 *         status = quarry_vfs_read(file, 4096, buffer, sizeof buffer, &byte_count, &error);
 *         quarry_vfs_close(file);
 *     }
 *
 * What is durable. Bytes that were written are seen by every reader at once, and survive the end of
 * the process. They survive the end of the machine after quarry_vfs_sync of the file, and its name
 * after quarry_vfs_sync_directory of the directory that it is in. A failed sync says nothing about
 * what has arrived, and a later one that succeeds does not either: see quarry_vfs_sync.
 *
 * Paths are separated by '/', relative ones as the vfs sees fit; at most QUARRY_VFS_PATH_BYTES_MAX
 * with their NUL. Names of files are plain bytes.
 *
 * Errors: each call takes a `struct quarry_error *`, which may be NULL and is written on failure:
 * the operation, the path, the offset and the system's reason. Interrupted calls are repeated, and
 * short ones gone on with, by the vfs.
 *
 * Threads: calls on a vfs from any thread at once. Calls on a file likewise, but closing.
 */
#ifndef QUARRY_VFS_H
#define QUARRY_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_memory;

/* The longest path, its NUL included. */
#define QUARRY_VFS_PATH_BYTES_MAX 4096u
/* The longest name of a file in a directory, its NUL included. */
#define QUARRY_VFS_NAME_BYTES_MAX 256u

/* How a file is opened; joined by |. */
enum quarry_vfs_mode {
    QUARRY_VFS_READ = 0,      /* only read */
    QUARRY_VFS_WRITE = 1,     /* read and written */
    QUARRY_VFS_CREATE = 2,    /* with WRITE: made, mode 0600, if it is not there */
    QUARRY_VFS_EXCLUSIVE = 4, /* with CREATE: refused if it is there */
    QUARRY_VFS_TRUNCATE = 8,  /* with WRITE: emptied */
};

/* How the pages of a file that the kernel keeps are going to be used. */
enum quarry_vfs_advice {
    QUARRY_VFS_SEQUENTIAL, /* soon, front to back */
    QUARRY_VFS_WILL_READ,  /* soon */
    QUARRY_VFS_DROP,       /* not again: written pages that are synced, and clean ones, may go */
};

struct quarry_vfs_ops;

/* First member of what a vfs really is. Const while it is used. */
struct quarry_vfs {
    const struct quarry_vfs_ops *ops;
};
/* First member of what an open file really is. Const while it is open. */
struct quarry_vfs_file {
    struct quarry_vfs *vfs;
};
/* First member of what a held lock really is. */
struct quarry_vfs_lock {
    struct quarry_vfs *vfs;
};

/* Called for each name in a directory, "." and ".." left out. Returns: false ends the listing. */
typedef bool quarry_vfs_visit_function(void *argument, const char *name);

/*
 * What a vfs can do. The calls below are one-line wrappers of these and describe them; an
 * implementation fills in all.
 */
struct quarry_vfs_ops {
    enum quarry_status (*open)(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                               struct quarry_vfs_file **ret_file, struct quarry_error *error);
    void (*close)(struct quarry_vfs_file *file);
    enum quarry_status (*read)(struct quarry_vfs_file *file, uint64_t offset, void *buffer,
                               size_t byte_count, size_t *ret_byte_count,
                               struct quarry_error *error);
    enum quarry_status (*write)(struct quarry_vfs_file *file, uint64_t offset, const void *bytes,
                                size_t byte_count, struct quarry_error *error);
    enum quarry_status (*sync)(struct quarry_vfs_file *file, struct quarry_error *error);
    enum quarry_status (*start_sync)(struct quarry_vfs_file *file, uint64_t offset,
                                     uint64_t byte_count, struct quarry_error *error);
    enum quarry_status (*preallocate)(struct quarry_vfs_file *file, uint64_t offset,
                                      uint64_t byte_count, struct quarry_error *error);
    enum quarry_status (*truncate)(struct quarry_vfs_file *file, uint64_t byte_count,
                                   struct quarry_error *error);
    enum quarry_status (*size)(struct quarry_vfs_file *file, uint64_t *ret_byte_count,
                               struct quarry_error *error);
    enum quarry_status (*map)(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count,
                              void **ret_base, struct quarry_error *error);
    void (*unmap)(struct quarry_vfs_file *file, void *base, size_t byte_count);
    void (*advise)(struct quarry_vfs_file *file, uint64_t offset, uint64_t byte_count,
                   enum quarry_vfs_advice advice);
    enum quarry_status (*lock)(struct quarry_vfs *vfs, const char *path,
                               struct quarry_vfs_lock **ret_lock, struct quarry_error *error);
    void (*unlock)(struct quarry_vfs_lock *lock);
    enum quarry_status (*remove)(struct quarry_vfs *vfs, const char *path,
                                 struct quarry_error *error);
    enum quarry_status (*rename)(struct quarry_vfs *vfs, const char *from, const char *to,
                                 struct quarry_error *error);
    enum quarry_status (*link)(struct quarry_vfs *vfs, const char *from, const char *to,
                               struct quarry_error *error);
    enum quarry_status (*make_directory)(struct quarry_vfs *vfs, const char *path,
                                         struct quarry_error *error);
    enum quarry_status (*remove_directory)(struct quarry_vfs *vfs, const char *path,
                                           struct quarry_error *error);
    enum quarry_status (*sync_directory)(struct quarry_vfs *vfs, const char *path,
                                         struct quarry_error *error);
    enum quarry_status (*list)(struct quarry_vfs *vfs, const char *path,
                               quarry_vfs_visit_function *visit, void *argument,
                               struct quarry_error *error);
    enum quarry_status (*stat)(struct quarry_vfs *vfs, const char *path, uint64_t *ret_byte_count,
                               bool *ret_is_directory, struct quarry_error *error);
    enum quarry_status (*free_space)(struct quarry_vfs *vfs, const char *path,
                                     uint64_t *ret_byte_count, struct quarry_error *error);
    uint64_t (*monotonic_ns)(struct quarry_vfs *vfs);
    uint64_t (*wall_ns)(struct quarry_vfs *vfs);
};

/* ---- files ---------------------------------------------------------------------------------- */

/*
 * Opens a file.
 *
 * `mode`: of enum quarry_vfs_mode. `ret_file`: own; end it with quarry_vfs_close.
 * Errors: QUARRY_NOT_FOUND, QUARRY_EXISTS (EXCLUSIVE), QUARRY_PERMISSION, QUARRY_TOO_MANY (open
 * files), QUARRY_NO_SPACE, QUARRY_NO_MEMORY, QUARRY_IO, QUARRY_BAD_INPUT (the path is too long, or
 * is not a file).
 */
static inline enum quarry_status quarry_vfs_open(struct quarry_vfs *vfs, const char *path,
                                                 uint32_t mode, struct quarry_vfs_file **ret_file,
                                                 struct quarry_error *error)
{
    return vfs->ops->open(vfs, path, mode, ret_file, error);
}

/* Closes it; what was not synced stays so. `file`: given; NULL does nothing. */
static inline void quarry_vfs_close(struct quarry_vfs_file *file)
{
    if (file != NULL) {
        file->vfs->ops->close(file);
    }
}

/*
 * Reads up to `byte_count` bytes.
 *
 * `ret_byte_count`: how many; fewer only where the file ends. Errors: QUARRY_IO.
 */
static inline enum quarry_status quarry_vfs_read(struct quarry_vfs_file *file, uint64_t offset,
                                                 void *buffer, size_t byte_count,
                                                 size_t *ret_byte_count, struct quarry_error *error)
{
    return file->vfs->ops->read(file, offset, buffer, byte_count, ret_byte_count, error);
}

/*
 * Writes all of them; past the end the file grows, with zeros between.
 *
 * Errors: QUARRY_NO_SPACE, QUARRY_IO, QUARRY_TOO_LARGE: some of them may have been written.
 */
static inline enum quarry_status quarry_vfs_write(struct quarry_vfs_file *file, uint64_t offset,
                                                  const void *bytes, size_t byte_count,
                                                  struct quarry_error *error)
{
    return file->vfs->ops->write(file, offset, bytes, byte_count, error);
}

/*
 * Waits until the file's bytes and its size would survive a loss of power (fdatasync). What was
 * written through a mapping is among them.
 *
 * Errors: QUARRY_IO, QUARRY_NO_SPACE. After one, nothing is known of what was written since the
 * last sync that succeeded, and the kernel may have dropped it: a further sync of this file that
 * returns QUARRY_OK does not mean that those bytes are safe. Write them again, to another file.
 */
static inline enum quarry_status quarry_vfs_sync(struct quarry_vfs_file *file,
                                                 struct quarry_error *error)
{
    return file->vfs->ops->sync(file, error);
}

/*
 * Has the kernel begin to write a range (sync_file_range), so that a later sync waits less. Makes
 * nothing durable. `byte_count`: 0: to the end. Errors: QUARRY_IO, as quarry_vfs_sync.
 */
static inline enum quarry_status quarry_vfs_start_sync(struct quarry_vfs_file *file,
                                                       uint64_t offset, uint64_t byte_count,
                                                       struct quarry_error *error)
{
    return file->vfs->ops->start_sync(file, offset, byte_count, error);
}

/*
 * Sees to it that writing the range will not fail for want of space; the file grows to its end,
 * with zeros.
 *
 * Errors: QUARRY_NO_SPACE, QUARRY_UNSUPPORTED (the file system cannot: writes are made as they
 * come; a mapping must not be made then), QUARRY_IO.
 */
static inline enum quarry_status quarry_vfs_preallocate(struct quarry_vfs_file *file,
                                                        uint64_t offset, uint64_t byte_count,
                                                        struct quarry_error *error)
{
    return file->vfs->ops->preallocate(file, offset, byte_count, error);
}

/* Sets the length; a longer file gets zeros. Errors: QUARRY_IO, QUARRY_NO_SPACE. */
static inline enum quarry_status
quarry_vfs_truncate(struct quarry_vfs_file *file, uint64_t byte_count, struct quarry_error *error)
{
    return file->vfs->ops->truncate(file, byte_count, error);
}

/* Errors: QUARRY_IO. */
static inline enum quarry_status
quarry_vfs_size(struct quarry_vfs_file *file, uint64_t *ret_byte_count, struct quarry_error *error)
{
    return file->vfs->ops->size(file, ret_byte_count, error);
}

/*
 * Maps a range that was preallocated, shared, to be read and written: a store is as a write.
 *
 * `offset`, `byte_count`: multiples of 4 KiB. `ret_base`: borrowed until quarry_vfs_unmap.
 * The caller has charged the bytes to its budget. Errors: QUARRY_UNSUPPORTED, QUARRY_NO_MEMORY.
 */
static inline enum quarry_status quarry_vfs_map(struct quarry_vfs_file *file, uint64_t offset,
                                                size_t byte_count, void **ret_base,
                                                struct quarry_error *error)
{
    return file->vfs->ops->map(file, offset, byte_count, ret_base, error);
}
static inline void quarry_vfs_unmap(struct quarry_vfs_file *file, void *base, size_t byte_count)
{
    file->vfs->ops->unmap(file, base, byte_count);
}

/* Says how a range is going to be used. `byte_count`: 0: to the end. Never fails. */
static inline void quarry_vfs_advise(struct quarry_vfs_file *file, uint64_t offset,
                                     uint64_t byte_count, enum quarry_vfs_advice advice)
{
    file->vfs->ops->advise(file, offset, byte_count, advice);
}

/* ---- names ---------------------------------------------------------------------------------- */

/*
 * Takes the lock that a file stands for, made if it is not there: fcntl's write lock on all of it,
 * which RocksDB and LevelDB take as well, and one within this process.
 *
 * `ret_lock`: own; end it with quarry_vfs_unlock; goes with the process.
 * Errors: QUARRY_BUSY (held, by whom the text says if it is known), and those of quarry_vfs_open.
 */
static inline enum quarry_status quarry_vfs_take_lock(struct quarry_vfs *vfs, const char *path,
                                                      struct quarry_vfs_lock **ret_lock,
                                                      struct quarry_error *error)
{
    return vfs->ops->lock(vfs, path, ret_lock, error);
}
/* `lock`: given; NULL does nothing. */
static inline void quarry_vfs_unlock(struct quarry_vfs_lock *lock)
{
    if (lock != NULL) {
        lock->vfs->ops->unlock(lock);
    }
}

/* Errors: QUARRY_NOT_FOUND, QUARRY_PERMISSION, QUARRY_IO. */
static inline enum quarry_status quarry_vfs_remove(struct quarry_vfs *vfs, const char *path,
                                                   struct quarry_error *error)
{
    return vfs->ops->remove(vfs, path, error);
}

/* Gives a file another name, in place of what had it. Errors: QUARRY_NOT_FOUND, QUARRY_IO, … */
static inline enum quarry_status quarry_vfs_rename(struct quarry_vfs *vfs, const char *from,
                                                   const char *to, struct quarry_error *error)
{
    return vfs->ops->rename(vfs, from, to, error);
}

/*
 * Gives a file a second name. Errors: QUARRY_UNSUPPORTED (another file system, or one without
 * links: copy it), QUARRY_EXISTS, QUARRY_NOT_FOUND, QUARRY_IO.
 */
static inline enum quarry_status quarry_vfs_link(struct quarry_vfs *vfs, const char *from,
                                                 const char *to, struct quarry_error *error)
{
    return vfs->ops->link(vfs, from, to, error);
}

/* Mode 0700. Errors: QUARRY_EXISTS, QUARRY_NOT_FOUND (its parent), QUARRY_NO_SPACE, QUARRY_IO. */
static inline enum quarry_status quarry_vfs_make_directory(struct quarry_vfs *vfs, const char *path,
                                                           struct quarry_error *error)
{
    return vfs->ops->make_directory(vfs, path, error);
}

/* Errors: QUARRY_NOT_FOUND, QUARRY_BUSY (not empty), QUARRY_IO. */
static inline enum quarry_status
quarry_vfs_remove_directory(struct quarry_vfs *vfs, const char *path, struct quarry_error *error)
{
    return vfs->ops->remove_directory(vfs, path, error);
}

/* Waits until the names in a directory would survive a loss of power. As quarry_vfs_sync. */
static inline enum quarry_status quarry_vfs_sync_directory(struct quarry_vfs *vfs, const char *path,
                                                           struct quarry_error *error)
{
    return vfs->ops->sync_directory(vfs, path, error);
}

/* Calls `visit` for each name, in no order. Errors: QUARRY_NOT_FOUND, QUARRY_IO. */
static inline enum quarry_status quarry_vfs_list(struct quarry_vfs *vfs, const char *path,
                                                 quarry_vfs_visit_function *visit, void *argument,
                                                 struct quarry_error *error)
{
    return vfs->ops->list(vfs, path, visit, argument, error);
}

/* Errors: QUARRY_NOT_FOUND, QUARRY_IO. */
static inline enum quarry_status quarry_vfs_stat(struct quarry_vfs *vfs, const char *path,
                                                 uint64_t *ret_byte_count, bool *ret_is_directory,
                                                 struct quarry_error *error)
{
    return vfs->ops->stat(vfs, path, ret_byte_count, ret_is_directory, error);
}

/* What may still be written to the file system that a path is on. Errors: QUARRY_IO. */
static inline enum quarry_status quarry_vfs_free_space(struct quarry_vfs *vfs, const char *path,
                                                       uint64_t *ret_byte_count,
                                                       struct quarry_error *error)
{
    return vfs->ops->free_space(vfs, path, ret_byte_count, error);
}

/* Clocks: a simulated vfs has its own. As CLOCK_MONOTONIC and CLOCK_REALTIME. */
static inline uint64_t quarry_vfs_monotonic_ns(struct quarry_vfs *vfs)
{
    return vfs->ops->monotonic_ns(vfs);
}
static inline uint64_t quarry_vfs_wall_ns(struct quarry_vfs *vfs)
{
    return vfs->ops->wall_ns(vfs);
}

/* ---- the real one --------------------------------------------------------------------------- */

/* The machine's file system. Returns: static; never ended. */
QUARRY_EXPORT struct quarry_vfs *quarry_vfs_posix(void);

/* ---- one in memory, that can lose power ----------------------------------------------------- */

/*
 * Creates a file system in memory, empty but for its root "/".
 *
 * It knows what a loss of power would leave: of each file which blocks of 4 KiB were synced, of
 * each directory which names were. Its memory is the calling program's malloc, not a budget's: it
 * stands for a disk.
 *
 * `seed`: of what it does at random. `ret_vfs`: own; end it with quarry_vfs_memory_destroy.
 * Errors: QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status quarry_vfs_memory_create(uint64_t seed,
                                                          struct quarry_vfs **ret_vfs);
/* Ends it. All files are closed. `vfs`: given; NULL does nothing. */
QUARRY_EXPORT void quarry_vfs_memory_destroy(struct quarry_vfs *vfs);

/*
 * What a loss of power at this moment would leave: another vfs, with the synced blocks and names,
 * and of the others what chance gives.
 *
 * `vfs`: of quarry_vfs_memory_create; goes on. `kept_percent`: how likely each unsynced block and
 * change of a directory is to be kept, 0 to 100. `seed`: of the dice. Blocks that are being kept or
 * lost may be torn at multiples of 512 bytes; a file's unsynced length is kept, lost, or kept with
 * zeros or with what other files had there. Syncs that have failed keep nothing.
 * `ret_vfs`: own. Errors: QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status quarry_vfs_memory_crash(struct quarry_vfs *vfs,
                                                         uint32_t kept_percent, uint64_t seed,
                                                         struct quarry_vfs **ret_vfs);

/* Bounds the bytes of all files; writes beyond fail with QUARRY_NO_SPACE. UINT64_MAX: none. */
QUARRY_EXPORT void quarry_vfs_memory_set_space(struct quarry_vfs *vfs, uint64_t byte_count);

/* Moves both clocks, which otherwise stand still but for a microsecond each time they are read. */
QUARRY_EXPORT void quarry_vfs_memory_pass_time(struct quarry_vfs *vfs, uint64_t duration_ns);

/* ---- one that fails ------------------------------------------------------------------------- */

/* Kinds of operations, for faults and counts. */
enum quarry_vfs_operation {
    QUARRY_VFS_OP_OPEN,
    QUARRY_VFS_OP_CREATE, /* opening that makes a file */
    QUARRY_VFS_OP_READ,
    QUARRY_VFS_OP_WRITE,
    QUARRY_VFS_OP_SYNC,
    QUARRY_VFS_OP_START_SYNC,
    QUARRY_VFS_OP_PREALLOCATE,
    QUARRY_VFS_OP_TRUNCATE,
    QUARRY_VFS_OP_SIZE,
    QUARRY_VFS_OP_MAP,
    QUARRY_VFS_OP_LOCK,
    QUARRY_VFS_OP_REMOVE,
    QUARRY_VFS_OP_RENAME,
    QUARRY_VFS_OP_LINK,
    QUARRY_VFS_OP_MAKE_DIRECTORY,
    QUARRY_VFS_OP_REMOVE_DIRECTORY,
    QUARRY_VFS_OP_SYNC_DIRECTORY,
    QUARRY_VFS_OP_LIST,
    QUARRY_VFS_OP_STAT,
    QUARRY_VFS_OP_FREE_SPACE,
    QUARRY_VFS_OPS
};

/* What is to happen to operations. Zero means the default of each. */
struct quarry_vfs_fault {
    uint32_t operations;       /* a bit for each kind, 1u << QUARRY_VFS_OP_…; 0: all */
    const char *path_contains; /* of those on such paths; borrowed while it is set; NULL: all */
    uint64_t first;            /* from the how-many-th of them on, counted from 1; 0: 1 */
    uint64_t count;            /* so many times; 0: always from then on */
    enum quarry_status status; /* QUARRY_OK: only the latency */
    int os_errno;              /* told in the error */
    uint64_t latency_ns;       /* before the operation; of the real clock, or a simulated one's */
    /* A write that fails has written a part, and a read of a short file is shorter: at random. */
    bool is_partial;
    /* Called before the operation, with what it is; for crashes at a point. May be NULL. */
    void (*notice)(void *argument, enum quarry_vfs_operation operation, const char *path,
                   uint64_t index);
    void *argument;
};

/* Faults that can be set at the same time. */
#define QUARRY_VFS_FAULTS_MAX 8u

/*
 * Creates a vfs that passes everything on to another, counts it, and fails what it is told to.
 *
 * `below`: borrowed until it is destroyed. `ret_vfs`: own; end it with quarry_vfs_fault_destroy.
 * Errors: QUARRY_NO_MEMORY. A sync that it fails is not passed on, and what it would have synced
 * is treated as dropped by a memory vfs below.
 */
QUARRY_EXPORT enum quarry_status quarry_vfs_fault_create(struct quarry_vfs *below, uint64_t seed,
                                                         struct quarry_vfs **ret_vfs);
QUARRY_EXPORT void quarry_vfs_fault_destroy(struct quarry_vfs *vfs);
/* Sets fault number `slot`, 0 to QUARRY_VFS_FAULTS_MAX - 1; NULL: none. Counts begin anew. */
QUARRY_EXPORT void quarry_vfs_fault_set(struct quarry_vfs *vfs, uint32_t slot,
                                        const struct quarry_vfs_fault *fault);
/* How many operations of a kind there have been; of all where it is QUARRY_VFS_OPS. */
QUARRY_EXPORT uint64_t quarry_vfs_fault_count(struct quarry_vfs *vfs,
                                              enum quarry_vfs_operation operation);
/* How many operations a fault has failed or delayed since it was set. */
QUARRY_EXPORT uint64_t quarry_vfs_fault_hits(struct quarry_vfs *vfs, uint32_t slot);

#ifdef __cplusplus
}
#endif

#endif
