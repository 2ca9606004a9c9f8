/*
 * Names on a simulated disk.
 *
 * A directory has its names twice: as programs see them, and as they were when it was last synced.
 * Between the two lie the changes, in one list for the whole disk, in the order they were made:
 *
 *     directory "/"   current   { b: 1, c: 2 }       synced   { a: 1 }
 *     changes         "/": b = 1   <- needs -   "/": a = none      "/": c = 2
 *                     `------ rename a b -----------------'        `- create c
 *
 * A sync of a directory makes its changes synced and forgets them. A loss of power does that with
 * some of them, by the dice, in order.
 *
 * Invariants:
 *   1. `synced` with all changes of the directory done in order is `current`, unless some were
 *      dropped by a failed sync.
 *   2. A renamed file is never without a name: the old name goes only if the new one is there. It
 *      may have both, but for a directory, which goes whole or not at all. Nothing else gets the
 * old name before.
 *   3. When a change becomes synced, earlier ones of the same name are forgotten: they are history.
 *   4. A node lives while anything counts it; its space is used while it has a name or is open.
 *
 * Locking: the disk's. Cost: a name is found by halving; a change looks through all changes that
 * are not synced when it becomes so.
 *
 * Source: what POSIX lets a file system do with names, which is more than ext4 does; a store that
 * is right here is right on others.
 */
#include <vfs/memory_disk.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t names_position(const struct vfs_memory_names *names, const char *text,
                             bool *ret_found);
static int names_insert(struct vfs_memory_names *names, size_t at, const char *text,
                        struct vfs_memory_node *node);
static void names_fini(struct vfs_memory_disk *disk, struct vfs_memory_names *names);
static struct vfs_memory_change *change_create(struct vfs_memory_node *directory, const char *text,
                                               struct vfs_memory_node *node);
static void change_append(struct vfs_memory_disk *disk, struct vfs_memory_change *change);
static void change_forget(struct vfs_memory_disk *disk, struct vfs_memory_change *change);
static void forget_departure(struct vfs_memory_disk *disk, struct vfs_memory_change *departure);
static int change_apply(struct vfs_memory_disk *disk, struct vfs_memory_change *change);
static int forget_history(struct vfs_memory_disk *disk, struct vfs_memory_change *change);
static int set_current(struct vfs_memory_disk *disk, struct vfs_memory_node *directory,
                       const char *text, struct vfs_memory_node *node);

/* ---- nodes ---- */

struct vfs_memory_node *vfs_memory_node_create(struct vfs_memory_disk *disk, bool is_directory)
{
    struct vfs_memory_node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        return NULL;
    }
    node->refs = 1;
    node->is_directory = is_directory;
    node->next = disk->nodes;
    if (disk->nodes != NULL) {
        disk->nodes->previous = node;
    }
    disk->nodes = node;
    return node;
}

struct vfs_memory_node *vfs_memory_node_acquire(struct vfs_memory_node *node)
{
    if (node != NULL) {
        node->refs++;
    }
    return node;
}

/* Contents and links of a node that nothing leads to any more. */
static void node_free(struct vfs_memory_disk *disk, struct vfs_memory_node *node)
{
    if (node->previous != NULL) {
        node->previous->next = node->next;
    } else {
        disk->nodes = node->next;
    }
    if (node->next != NULL) {
        node->next->previous = node->previous;
    }
    vfs_memory_content_fini(&node->content);
    free(node);
}

void vfs_memory_node_release(struct vfs_memory_disk *disk, struct vfs_memory_node *node)
{
    if (node == NULL) {
        return;
    }
    Q_ASSERT(node->refs > 0);
    node->refs--;
    if (node->refs > 0) {
        return;
    }
    names_fini(disk, &node->current);
    names_fini(disk, &node->synced);
    node_free(disk, node);
}

void vfs_memory_node_live(struct vfs_memory_node *node)
{
    node->live_count++;
}

void vfs_memory_node_unlive(struct vfs_memory_disk *disk, struct vfs_memory_node *node)
{
    Q_ASSERT(node->live_count > 0);
    node->live_count--;
    if (node->live_count == 0) {
        disk->space.used_block_count -= node->content.allocated_count;
    }
}

void vfs_memory_nodes_end(struct vfs_memory_disk *disk)
{
    for (struct vfs_memory_node *node = disk->nodes; node != NULL; node = node->next) {
        for (size_t at = 0; at < node->current.count; at++) {
            free(node->current.items[at].text);
        }
        for (size_t at = 0; at < node->synced.count; at++) {
            free(node->synced.items[at].text);
        }
        free(node->current.items);
        free(node->synced.items);
    }
    while (disk->nodes != NULL) {
        node_free(disk, disk->nodes);
    }
    disk->root = NULL;
}

/* ---- names ---- */

static size_t names_position(const struct vfs_memory_names *names, const char *text,
                             bool *ret_found)
{
    size_t low = 0;
    size_t high = names->count;
    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(names->items[middle].text, text);
        *ret_found = order == 0;
        if (order == 0) {
            low = middle;
        } else if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct vfs_memory_node *vfs_memory_names_find(const struct vfs_memory_names *names,
                                              const char *text)
{
    bool is_found;
    size_t at = names_position(names, text, &is_found);
    return is_found ? names->items[at].node : NULL;
}

int vfs_memory_names_set(struct vfs_memory_disk *disk, struct vfs_memory_names *names,
                         const char *text, struct vfs_memory_node *node)
{
    bool is_found;
    size_t at = names_position(names, text, &is_found);
    if (!is_found) {
        return node == NULL ? 0 : names_insert(names, at, text, node);
    }
    struct vfs_memory_node *before = names->items[at].node;
    if (node != NULL) {
        names->items[at].node = vfs_memory_node_acquire(node);
    } else {
        free(names->items[at].text);
        names->count--;
        memmove(&names->items[at], &names->items[at + 1],
                (names->count - at) * sizeof names->items[0]);
    }
    vfs_memory_node_release(disk, before);
    return 0;
}

static int names_insert(struct vfs_memory_names *names, size_t at, const char *text,
                        struct vfs_memory_node *node)
{
    if (names->count == names->capacity) {
        size_t capacity = names->capacity == 0 ? 8 : names->capacity * 2;
        struct vfs_memory_name *items = realloc(names->items, capacity * sizeof *items);
        if (items == NULL) {
            return ENOMEM;
        }
        names->items = items;
        names->capacity = capacity;
    }
    char *copy = strdup(text);
    if (copy == NULL) {
        return ENOMEM;
    }
    memmove(&names->items[at + 1], &names->items[at], (names->count - at) * sizeof names->items[0]);
    names->items[at] =
        (struct vfs_memory_name){.text = copy, .node = vfs_memory_node_acquire(node)};
    names->count++;
    return 0;
}

static void names_fini(struct vfs_memory_disk *disk, struct vfs_memory_names *names)
{
    for (size_t at = 0; at < names->count; at++) {
        free(names->items[at].text);
        vfs_memory_node_release(disk, names->items[at].node);
    }
    free(names->items);
    *names = (struct vfs_memory_names){0};
}

/* ---- changes ---- */

int vfs_memory_tree_set(struct vfs_memory_disk *disk, struct vfs_memory_node *directory,
                        const char *text, struct vfs_memory_node *node)
{
    struct vfs_memory_change *change = change_create(directory, text, node);
    if (change == NULL) {
        return ENOMEM;
    }
    change_append(disk, change);
    int failed = set_current(disk, directory, text, node);
    if (failed != 0) {
        change_forget(disk, change);
    }
    return failed;
}

int vfs_memory_tree_rename(struct vfs_memory_disk *disk, struct vfs_memory_node *from_directory,
                           const char *from, struct vfs_memory_node *to_directory, const char *to,
                           struct vfs_memory_node *node)
{
    int failed = vfs_memory_tree_set(disk, to_directory, to, node);
    if (failed != 0) {
        return failed;
    }
    struct vfs_memory_change *arrival = disk->last_change;
    failed = vfs_memory_tree_set(disk, from_directory, from, NULL);
    if (failed != 0) {
        return failed; /* it has both names, as after a loss of power */
    }
    disk->last_change->needs = arrival;
    arrival->needed_by = disk->last_change;
    if (node->is_directory) {
        node->parent = to_directory;
    }
    return 0;
}

/* What programs see. */
static int set_current(struct vfs_memory_disk *disk, struct vfs_memory_node *directory,
                       const char *text, struct vfs_memory_node *node)
{
    struct vfs_memory_node *before =
        vfs_memory_node_acquire(vfs_memory_names_find(&directory->current, text));
    int failed = vfs_memory_names_set(disk, &directory->current, text, node);
    if (failed == 0 && node != NULL) {
        vfs_memory_node_live(node);
    }
    if (failed == 0 && before != NULL) {
        vfs_memory_node_unlive(disk, before);
    }
    vfs_memory_node_release(disk, before);
    return failed;
}

/* FNV-1a: short, and the same everywhere. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *text != '\0'; text++) {
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static struct vfs_memory_change *change_create(struct vfs_memory_node *directory, const char *text,
                                               struct vfs_memory_node *node)
{
    struct vfs_memory_change *change = calloc(1, sizeof *change);
    char *copy = strdup(text);
    if (change == NULL || copy == NULL) {
        free(change);
        free(copy);
        return NULL;
    }
    change->directory = vfs_memory_node_acquire(directory);
    change->node = vfs_memory_node_acquire(node);
    change->text = copy;
    change->text_hash = hash_of(text);
    return change;
}

static void change_append(struct vfs_memory_disk *disk, struct vfs_memory_change *change)
{
    change->previous = disk->last_change;
    if (disk->last_change != NULL) {
        disk->last_change->next = change;
    } else {
        disk->first_change = change;
    }
    disk->last_change = change;
}

static void change_forget(struct vfs_memory_disk *disk, struct vfs_memory_change *change)
{
    if (change->previous != NULL) {
        change->previous->next = change->next;
    } else {
        disk->first_change = change->next;
    }
    if (change->next != NULL) {
        change->next->previous = change->previous;
    } else {
        disk->last_change = change->previous;
    }
    if (change->needs != NULL) {
        change->needs->needed_by = NULL;
    }
    if (change->needed_by != NULL) {
        change->needed_by->needs = NULL;
    }
    vfs_memory_node_release(disk, change->directory);
    vfs_memory_node_release(disk, change->node);
    free(change->text);
    free(change);
}

/* Forgets the changes of a directory that nothing leads to, neither now nor after a loss of power.
 */
static void forget_inside(struct vfs_memory_disk *disk, struct vfs_memory_node *directory)
{
    struct vfs_memory_change *next;
    for (struct vfs_memory_change *change = disk->first_change; change != NULL; change = next) {
        next = change->next;
        if (change->directory == directory) {
            change_forget(disk, change);
        }
    }
}

bool vfs_memory_change_is_same_name(const struct vfs_memory_change *change,
                                    const struct vfs_memory_change *other)
{
    return change->text_hash == other->text_hash && change->directory == other->directory &&
           strcmp(change->text, other->text) == 0;
}

/*
 * Makes a change synced and forgets it. What invariant 2 wants is synced before: the new name of
 * what was renamed away from here, now or by an earlier change that becomes history.
 */
static int change_apply(struct vfs_memory_disk *disk, struct vfs_memory_change *change)
{
    int failed = change->needs == NULL ? 0 : change_apply(disk, change->needs);
    if (failed == 0) {
        failed = forget_history(disk, change);
    }
    if (failed != 0) {
        return failed;
    }
    struct vfs_memory_node *before =
        vfs_memory_node_acquire(vfs_memory_names_find(&change->directory->synced, change->text));
    failed = vfs_memory_names_set(disk, &change->directory->synced, change->text, change->node);
    if (failed == 0) {
        if (before != NULL && before->is_directory && before->live_count == 0) {
            forget_inside(disk, before);
        }
        change_forget(disk, change);
    }
    vfs_memory_node_release(disk, before);
    return failed;
}

/* Invariant 3. */
static int forget_history(struct vfs_memory_disk *disk, struct vfs_memory_change *change)
{
    struct vfs_memory_change *early = change->previous;
    while (early != NULL) {
        struct vfs_memory_change *previous = early->previous;
        if (!vfs_memory_change_is_same_name(early, change)) {
            early = previous;
            continue;
        }
        int failed = early->needs == NULL ? 0 : change_apply(disk, early->needs);
        if (failed != 0) {
            return failed;
        }
        change_forget(disk, early);
        early = change->previous; /* others may have gone with it */
    }
    return 0;
}

int vfs_memory_tree_sync(struct vfs_memory_disk *disk, struct vfs_memory_node *directory)
{
    struct vfs_memory_change *change = disk->first_change;
    while (change != NULL) {
        if (change->directory != directory) {
            change = change->next;
            continue;
        }
        int failed = change_apply(disk, change);
        if (failed != 0) {
            return failed;
        }
        change = disk->first_change; /* others may have gone with it */
    }
    return 0;
}

void vfs_memory_tree_drop(struct vfs_memory_disk *disk, struct vfs_memory_node *directory)
{
    struct vfs_memory_change *change = disk->first_change;
    while (change != NULL) {
        if (change->directory != directory) {
            change = change->next;
            continue;
        }
        if (change->needed_by != NULL) {
            forget_departure(disk, change->needed_by);
        }
        change_forget(disk, change);
        change = disk->first_change; /* others may have gone with it */
    }
}

/* What was renamed away and never arrives keeps its old name: nothing else gets that. */
static void forget_departure(struct vfs_memory_disk *disk, struct vfs_memory_change *departure)
{
    struct vfs_memory_change *next;
    for (struct vfs_memory_change *late = departure->next; late != NULL; late = next) {
        next = late->next;
        if (!vfs_memory_change_is_same_name(late, departure)) {
            continue;
        }
        if (late->needed_by != NULL) {
            forget_departure(disk, late->needed_by);
        }
        change_forget(disk, late);
        next = departure->next; /* others may have gone with it */
    }
    change_forget(disk, departure);
}

void vfs_memory_changes_end(struct vfs_memory_disk *disk)
{
    while (disk->first_change != NULL) {
        change_forget(disk, disk->first_change);
    }
}
