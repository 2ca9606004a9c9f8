/*
 * What a loss of power would leave of a simulated disk.
 *
 * A second disk is made from the first: from its root down, each directory with its synced names
 * and those changes that the dice keep, each file with its synced blocks and those versions that
 * the dice keep.
 *
 *     versions of a place      dice                       what is left
 *     synced  A A A A A A A A   kept   B B B B B B B B      the one that is kept or not
 *     current B B B B B B B B   torn   A A B A A B B A      sectors of two of them
 *     written W W W W W W W W   early  W W W W W W W W      what the kernel had got to
 *     past the synced end       lost   0 0 0 0 0 0 0 0      or what other files had there
 *
 * Invariants:
 *   1. A block that is not dirty is as it was synced. A name without a change is as it was synced.
 *   2. With 0 in 100 everything is as it was synced, with 100 as it is now, but for what a failed
 *      sync has dropped. Between the two, anything that some file system may do.
 *   3. The same disk, percentage and seed give the same disk: files are gone through in the order
 *      of their names.
 *   4. The new disk has everything synced, nothing open and nothing locked. It shares the blocks.
 *
 * Locking: the old disk's mutex throughout, so that what is left is of one moment. Nobody has the
 * new one yet. Cost: O(places of files and names); a block is copied only where it is torn.
 */
#include <stdlib.h>
#include <string.h>

#include <vfs/memory_ops.h>
#include <vfs/random.h>

/* Chances in 100, of a thing that is between kept and lost. */
#define TORN_PERCENT    25u /* two versions in one block */
#define EARLY_PERCENT   25u /* a version from between, where there is one */
#define GARBAGE_PERCENT 25u /* what another file had, past the synced end */
#define CUT_PERCENT     25u /* a size between the two */

/* Blocks of other files, for garbage: enough that they differ, few enough to keep at hand. */
#define DONORS 8u

struct crash {
    struct vfs_memory_disk *old;
    struct vfs_memory_disk *new;
    uint32_t kept_percent;
    uint64_t random;
    const uint8_t *donors[DONORS]; /* borrowed from blocks of either; NULL: none yet */
};

/* A block that is left: with a count of its own. */
struct left_block {
    struct vfs_memory_block *block;
    bool has_failed;
};

static void choose_changes(struct crash *crash);
static bool is_among(const struct vfs_memory_change *lost, const struct vfs_memory_change *change);
static bool copy_directory(struct crash *crash, struct vfs_memory_node *from,
                           struct vfs_memory_node *to);
static bool names_left(struct crash *crash, const struct vfs_memory_node *from,
                       struct vfs_memory_names *left);
static bool copy_name(struct crash *crash, struct vfs_memory_node *to, const char *text,
                      struct vfs_memory_node *node);
static bool copy_content(struct crash *crash, const struct vfs_memory_content *from,
                         struct vfs_memory_content *to);
static bool finish_content(struct vfs_memory_content *content);
static uint64_t choose_size(struct crash *crash, const struct vfs_memory_content *content);
static struct left_block choose_block(struct crash *crash, const struct vfs_memory_place *place,
                                      bool is_past_synced);
static struct left_block left_copy(const uint8_t *bytes);
static struct left_block tear(struct crash *crash, const uint8_t *one, const uint8_t *other);
static const uint8_t *donate(struct crash *crash, const uint8_t *bytes);

enum quarry_status quarry_vfs_memory_crash(struct quarry_vfs *vfs, uint32_t kept_percent,
                                           uint64_t seed, struct quarry_vfs **ret_vfs)
{
    Q_ASSERT(kept_percent <= 100);
    struct crash crash = {
        .old = vfs_memory_disk_of(vfs), .kept_percent = kept_percent, .random = seed};
    crash.new = vfs_memory_disk_create(vfs_random(&crash.random));
    if (crash.new == NULL) {
        return QUARRY_NO_MEMORY;
    }
    struct vfs_memory_disk *old = crash.old;
    os_mutex_lock(&old->mutex);
    crash.new->space.byte_count = old->space.byte_count;
    crash.new->monotonic_ns = old->monotonic_ns;
    crash.new->wall_ns = old->wall_ns;
    for (struct vfs_memory_node *node = old->nodes; node != NULL; node = node->next) {
        node->copy = NULL;
    }
    choose_changes(&crash);
    old->root->copy = crash.new->root;
    bool is_done = copy_directory(&crash, old->root, crash.new->root);
    os_mutex_unlock(&old->mutex);
    if (!is_done) {
        vfs_memory_disk_destroy(crash.new);
        return QUARRY_NO_MEMORY;
    }
    *ret_vfs = &crash.new->vfs;
    return QUARRY_OK;
}

static bool is_kept(struct crash *crash)
{
    return vfs_random_percent(&crash->random, crash->kept_percent);
}

/* Whether the dice may do what is neither keeping nor losing. */
static bool is_chance(struct crash *crash, uint32_t percent)
{
    return crash->kept_percent > 0 && crash->kept_percent < 100 &&
           vfs_random_percent(&crash->random, percent);
}

/* ---- names ---- */

/*
 * A rename's old name goes only if its new one comes, and a directory's then goes for certain. And
 * an old name is given to something else only if it went.
 */
static void choose_changes(struct crash *crash)
{
    struct vfs_memory_change *lost = NULL; /* old names that stay, for want of the new ones */
    for (struct vfs_memory_change *change = crash->old->first_change; change != NULL;
         change = change->next) {
        const struct vfs_memory_change *arrival = change->needs;
        bool has_arrived = arrival == NULL || arrival->is_kept;
        bool is_whole = arrival != NULL && arrival->node->is_directory;
        change->is_kept = (is_kept(crash) || is_whole) && has_arrived && !is_among(lost, change);
        if (!has_arrived) {
            change->next_lost = lost;
            lost = change;
        }
    }
}

/* Whether a change is of a name that stays with what was to be renamed away from it. */
static bool is_among(const struct vfs_memory_change *lost, const struct vfs_memory_change *change)
{
    while (lost != NULL && !vfs_memory_change_is_same_name(lost, change)) {
        lost = lost->next_lost;
    }
    return lost != NULL;
}

/* `to`: of the new disk, empty. */
static bool copy_directory(struct crash *crash, struct vfs_memory_node *from,
                           struct vfs_memory_node *to)
{
    struct vfs_memory_names left = {0};
    bool is_done = names_left(crash, from, &left);
    for (size_t at = 0; at < left.count && is_done; at++) {
        is_done = copy_name(crash, to, left.items[at].text, left.items[at].node);
    }
    while (left.count > 0) {
        (void)vfs_memory_names_set(crash->old, &left, left.items[left.count - 1].text, NULL);
    }
    free(left.items);
    return is_done;
}

/* The names that a directory of the old disk is left with. `left`: empty. */
static bool names_left(struct crash *crash, const struct vfs_memory_node *from,
                       struct vfs_memory_names *left)
{
    int failed = 0;
    for (size_t at = 0; at < from->synced.count && failed == 0; at++) {
        failed = vfs_memory_names_set(crash->old, left, from->synced.items[at].text,
                                      from->synced.items[at].node);
    }
    for (const struct vfs_memory_change *change = crash->old->first_change;
         change != NULL && failed == 0; change = change->next) {
        if (change->directory == from && change->is_kept) {
            failed = vfs_memory_names_set(crash->old, left, change->text, change->node);
        }
    }
    return failed == 0;
}

/* Gives a name to what a node becomes, which is made at its first name. */
static bool copy_name(struct crash *crash, struct vfs_memory_node *to, const char *text,
                      struct vfs_memory_node *node)
{
    struct vfs_memory_disk *disk = crash->new;
    bool is_new = node->copy == NULL;
    if (!is_new && node->is_directory) {
        return true; /* a directory has one name: the first that is come to */
    }
    if (is_new) {
        node->copy = vfs_memory_node_create(disk, node->is_directory);
    }
    struct vfs_memory_node *copy = node->copy;
    if (copy == NULL) {
        return false;
    }
    if (vfs_memory_names_set(disk, &to->current, text, copy) != 0 ||
        vfs_memory_names_set(disk, &to->synced, text, copy) != 0) {
        return false;
    }
    vfs_memory_node_live(copy);
    if (!is_new) {
        return true;
    }
    vfs_memory_node_release(disk, copy); /* its names count it */
    copy->parent = node->is_directory ? to : NULL;
    return node->is_directory ? copy_directory(crash, node, copy)
                              : copy_content(crash, &node->content, &copy->content);
}

/* ---- bytes ---- */

static bool copy_content(struct crash *crash, const struct vfs_memory_content *from,
                         struct vfs_memory_content *to)
{
    uint64_t byte_count = choose_size(crash, from);
    uint64_t place_count = vfs_memory_blocks_of(byte_count);
    if (vfs_memory_content_extend(to, place_count) != 0) {
        return false;
    }
    to->byte_count = byte_count;
    to->synced_byte_count = byte_count;
    to->least_byte_count = byte_count;
    for (uint64_t at = 0; at < place_count; at++) {
        const struct vfs_memory_place *place = &from->places[at];
        struct left_block left =
            choose_block(crash, place, at >= vfs_memory_blocks_of(from->synced_byte_count));
        if (left.has_failed) {
            return false;
        }
        to->places[at].current = left.block;
        to->places[at].is_allocated = place->is_allocated || left.block != NULL;
        to->allocated_count += to->places[at].is_allocated;
    }
    crash->new->space.used_block_count += to->allocated_count;
    return finish_content(to);
}

/* Everything is synced, and bytes behind the end are zero. */
static bool finish_content(struct vfs_memory_content *content)
{
    size_t from = (size_t)(content->byte_count % VFS_MEMORY_BLOCK_BYTES);
    struct vfs_memory_place *last =
        content->place_count == 0 ? NULL : &content->places[content->place_count - 1];
    if (from > 0 && last->current != NULL) {
        struct vfs_memory_block *copy = vfs_memory_block_create(last->current->bytes);
        if (copy == NULL) {
            return false;
        }
        memset(copy->bytes + from, 0, VFS_MEMORY_BLOCK_BYTES - from);
        vfs_memory_block_put(&last->current, copy);
    }
    for (uint64_t at = 0; at < content->place_count; at++) {
        struct vfs_memory_place *place = &content->places[at];
        place->clean = vfs_memory_block_acquire(place->current);
        place->synced = vfs_memory_block_acquire(place->current);
    }
    return true;
}

static uint64_t choose_size(struct crash *crash, const struct vfs_memory_content *content)
{
    if (!is_kept(crash)) {
        return content->synced_byte_count;
    }
    uint64_t least = content->least_byte_count;
    if (content->byte_count == least || !is_chance(crash, CUT_PERCENT)) {
        return content->byte_count;
    }
    return least + vfs_random_below(&crash->random, content->byte_count - least);
}

static struct left_block choose_block(struct crash *crash, const struct vfs_memory_place *place,
                                      bool is_past_synced)
{
    const uint8_t *now = vfs_memory_place_bytes(place);
    const uint8_t *before = vfs_memory_block_bytes(place->synced);
    const uint8_t *donor = donate(crash, now);
    if (!vfs_memory_place_is_dirty(place)) {
        return (struct left_block){.block = vfs_memory_block_acquire(place->synced)};
    }
    bool is_early = place->written != NULL && is_chance(crash, EARLY_PERCENT);
    if (is_early) {
        now = place->written->bytes;
    }
    if (is_past_synced && donor != NULL && is_chance(crash, GARBAGE_PERCENT)) {
        before = donor;
    }
    bool is_now = is_kept(crash);
    if (is_chance(crash, TORN_PERCENT)) {
        return tear(crash, now, before);
    }
    if (!is_now && before == donor && donor != NULL) {
        return left_copy(donor);
    }
    if (!is_now) {
        return (struct left_block){.block = vfs_memory_block_acquire(place->synced)};
    }
    if (is_early) {
        return (struct left_block){.block = vfs_memory_block_acquire(place->written)};
    }
    if (place->mapped != NULL) {
        return left_copy(now);
    }
    return (struct left_block){.block = vfs_memory_block_acquire(place->current)};
}

static struct left_block left_copy(const uint8_t *bytes)
{
    struct vfs_memory_block *block = vfs_memory_block_create(bytes);
    return (struct left_block){.block = block, .has_failed = block == NULL};
}

/* A block of two versions, each sector of one or the other. */
static struct left_block tear(struct crash *crash, const uint8_t *one, const uint8_t *other)
{
    struct left_block left = left_copy(one);
    if (left.has_failed) {
        return left;
    }
    uint64_t choice = vfs_random(&crash->random);
    for (size_t at = 0; at < VFS_MEMORY_BLOCK_BYTES; at += VFS_MEMORY_SECTOR_BYTES, choice >>= 1) {
        if ((choice & 1) != 0) {
            vfs_memory_copy_racing(left.block->bytes + at, other + at, VFS_MEMORY_SECTOR_BYTES);
        }
    }
    return left;
}

/* What another file had: an earlier block of the walk, for which this one is remembered. */
static const uint8_t *donate(struct crash *crash, const uint8_t *bytes)
{
    uint64_t at = vfs_random_below(&crash->random, DONORS);
    const uint8_t *donor = crash->donors[at];
    crash->donors[at] = bytes;
    return donor;
}
