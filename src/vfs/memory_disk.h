/*
 * A simulated disk: its nodes, their names, and the changes of names that are not synced.
 *
 * memory_tree.c has the picture. Everything is guarded by `vfs_memory_disk.mutex` but where it says
 * otherwise; functions here are called with it held, or on a disk that nobody else has yet.
 */
#ifndef QUARRY_VFS_MEMORY_DISK_H
#define QUARRY_VFS_MEMORY_DISK_H

#include <quarry/vfs.h>

#include <os/os.h>
#include <vfs/failure.h>
#include <vfs/memory_content.h>

/* A name in a directory. */
struct vfs_memory_name {
    char *text;                   /* own */
    struct vfs_memory_node *node; /* a count */
};

/* Names in the order of their bytes. */
struct vfs_memory_names {
    struct vfs_memory_name *items; /* own */
    size_t count;
    size_t capacity;
};

/* A file or a directory, whatever its names. */
struct vfs_memory_node {
    struct vfs_memory_node *previous; /* in the disk's list of all */
    struct vfs_memory_node *next;
    uint32_t refs;                /* names, synced names, changes, open files */
    uint32_t live_count;          /* names and open files: at 0 its space is free */
    bool is_directory;            /* const */
    bool is_locked;               /* a file: by quarry_vfs_take_lock */
    struct vfs_memory_node *copy; /* while the disk is being copied: what it became */

    struct vfs_memory_content content; /* a file's */

    struct vfs_memory_names current; /* a directory's */
    struct vfs_memory_names synced;  /* a directory's: what a loss of power leaves for certain */
    struct vfs_memory_node *parent;  /* a directory's, not counted; NULL: the root, or removed */
};

/* A change of one name since its directory was synced. */
struct vfs_memory_change {
    struct vfs_memory_change *previous;
    struct vfs_memory_change *next;
    struct vfs_memory_node *directory; /* a count */
    char *text;                        /* own: the name */
    uint64_t text_hash;                /* most names differ here */
    struct vfs_memory_node *node;      /* a count: what has the name now; NULL: nothing has */
    /* The two halves of a rename: the new name, without which the old one does not go. */
    struct vfs_memory_change *needs; /* of the old name: the new one's, while that is not synced */
    struct vfs_memory_change *needed_by; /* of the new name */
    bool is_kept;                        /* while the disk is being copied */
    struct vfs_memory_change *next_lost; /* the same: of old names that stay */
};

struct vfs_memory_disk {
    struct quarry_vfs vfs;
    struct os_mutex mutex;
    struct vfs_memory_node *root; /* a count */
    struct vfs_memory_node *nodes;
    struct vfs_memory_change *first_change; /* in the order in which they were made */
    struct vfs_memory_change *last_change;
    struct vfs_memory_space space;
    uint32_t hold_count; /* files that are open, mappings, locks that are held */
    uint64_t random;
    uint64_t monotonic_ns;
    uint64_t wall_ns;
};

/* An open file. */
struct vfs_memory_file {
    struct quarry_vfs_file file;
    struct vfs_memory_node *node; /* a count; const while open */
    bool is_writable;             /* const while open */
    char path[VFS_TAIL_BYTES];    /* its end, for texts */
};

/* ---- memory_tree.c; int is 0 or an errno ---- */

/* Creates a node with one count, the caller's. Returns: NULL: no memory. */
struct vfs_memory_node *vfs_memory_node_create(struct vfs_memory_disk *disk, bool is_directory);
struct vfs_memory_node *vfs_memory_node_acquire(struct vfs_memory_node *node);
void vfs_memory_node_release(struct vfs_memory_disk *disk, struct vfs_memory_node *node);
/* A name or an open file more, or less. */
void vfs_memory_node_live(struct vfs_memory_node *node);
void vfs_memory_node_unlive(struct vfs_memory_disk *disk, struct vfs_memory_node *node);
/* Ends all nodes, whatever their counts. */
void vfs_memory_nodes_end(struct vfs_memory_disk *disk);

/* What has a name. Returns: borrowed; NULL: nothing has. */
struct vfs_memory_node *vfs_memory_names_find(const struct vfs_memory_names *names,
                                              const char *text);
/* Gives a name to a node, which gets a count, in place of what had it; NULL: takes it away. */
int vfs_memory_names_set(struct vfs_memory_disk *disk, struct vfs_memory_names *names,
                         const char *text, struct vfs_memory_node *node);

/* Changes a name of a directory, and remembers that it did. */
int vfs_memory_tree_set(struct vfs_memory_disk *disk, struct vfs_memory_node *directory,
                        const char *text, struct vfs_memory_node *node);
/* Both halves of a rename in one. `node` has the old name. */
int vfs_memory_tree_rename(struct vfs_memory_disk *disk, struct vfs_memory_node *from_directory,
                           const char *from, struct vfs_memory_node *to_directory, const char *to,
                           struct vfs_memory_node *node);
/* The directory's names are on the disk. */
int vfs_memory_tree_sync(struct vfs_memory_disk *disk, struct vfs_memory_node *directory);
/* A sync of it has failed: its changes will never be on the disk. */
void vfs_memory_tree_drop(struct vfs_memory_disk *disk, struct vfs_memory_node *directory);
/* Whether two changes are of one name in one directory. */
bool vfs_memory_change_is_same_name(const struct vfs_memory_change *change,
                                    const struct vfs_memory_change *other);
void vfs_memory_changes_end(struct vfs_memory_disk *disk);

/* ---- memory_path.c ---- */

/* Where a path leads. */
struct vfs_memory_place_name {
    struct vfs_memory_node *directory; /* borrowed; NULL: the path is the root */
    struct vfs_memory_node *node;      /* borrowed; NULL: the last name is not there */
    char text[QUARRY_VFS_NAME_BYTES_MAX];
};
/* Returns: 0 also where only the last name is missing; ENOENT, ENOTDIR, ENAMETOOLONG. */
int vfs_memory_path_find(struct vfs_memory_disk *disk, const char *path,
                         struct vfs_memory_place_name *ret_place);

/* ---- memory.c ---- */

/* Creates a disk whose root is empty. Returns: own; NULL: no memory. */
struct vfs_memory_disk *vfs_memory_disk_create(uint64_t seed);
void vfs_memory_disk_destroy(struct vfs_memory_disk *disk);

#endif
