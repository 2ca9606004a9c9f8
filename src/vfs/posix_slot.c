/*
 * Pieces for open files: one region of addresses, backed where it has been used.
 *
 * quarry_vfs_posix() belongs to no `struct quarry_memory`, for a program may have several and a
 * file is opened before there is one. What it keeps is little: 128 bytes for each open file. They
 * lie in a region of its own which the kernel backs a page at a time, in order; its most is what
 * the process' limit of open files allows (2.5 MiB at 20,000), its usual size one or two pages.
 *
 *     slots   | 0 | 1 | 2 | ... | fresh |            never touched            |  VFS_SLOTS_MAX
 *     nexts   | which slot follows in the list of free ones, by index plus 1  |
 *     free    { tag, first + 1 }    one word; the tag counts takes
 *
 * Invariants:
 *   1. A slot is owned, or in the free list once, or at or above `fresh`.
 *   2. The region is made once, by whoever is first, and stays for the life of the process.
 *   3. `free` changes with its tag at each take, so that a take whose first slot went and came
 *      back in between fails and looks again.
 *
 * Locking: none, so that a fork in the middle of another thread's open leaves nothing locked in the
 * child. Links are beside the slots and not in them: a thread may read the link of a slot that is
 * already somebody else's, and must not read the bytes of an open file for it.
 *
 * Rejected: malloc (a store allocates nothing unaccounted, and a file must open when memory is
 * short); a static array (eight megabytes of zeros in the program's size, as `size` shows it).
 */
#include <vfs/posix_slot.h>

#include <os/os.h>

#define SLOTS_BYTES  ((size_t)VFS_SLOTS_MAX * VFS_SLOT_BYTES)
#define NEXTS_BYTES  ((size_t)VFS_SLOTS_MAX * sizeof(uint32_t))
#define REGION_BYTES (SLOTS_BYTES + NEXTS_BYTES)

static _Atomic(void *) region;    /* NULL until the first file; then const */
static _Atomic uint64_t free_top; /* tag << 32 | index + 1; 0 in the low half: none */
static _Atomic uint32_t fresh;    /* slots from here on were never taken */
static _Atomic uint32_t in_use;

static enum quarry_status find_region(char **ret_base);
static enum quarry_status make_region(void **ret_base);
static bool take_free(char *base, uint32_t *ret_index);
static bool take_fresh(uint32_t *ret_index);

static _Atomic uint32_t *next_of(char *base, uint32_t index)
{
    return (_Atomic uint32_t *)(void *)(base + SLOTS_BYTES) + index;
}

enum quarry_status vfs_slot_take(void **ret_slot)
{
    char *base = NULL;
    uint32_t index = 0;
    enum quarry_status status = find_region(&base);
    if (status != QUARRY_OK) {
        return status;
    }
    if (!take_free(base, &index) && !take_fresh(&index)) {
        return QUARRY_TOO_MANY;
    }
    atomic_add_relaxed_u32(&in_use, 1); /* a count; pairs with nothing */
    *ret_slot = base + (size_t)index * VFS_SLOT_BYTES;
    return QUARRY_OK;
}

void vfs_slot_give(void *slot)
{
    char *base = atomic_load_acquire_ptr(&region); /* pairs with the cas in find_region */
    size_t distance = (size_t)((char *)slot - base);
    Q_ASSERT(base != NULL && distance < SLOTS_BYTES && distance % VFS_SLOT_BYTES == 0);
    uint32_t index = (uint32_t)(distance / VFS_SLOT_BYTES);
    uint64_t top = atomic_load_relaxed_u64(&free_top);
    do {
        /* Published by the cas below. */
        atomic_store_relaxed_u32(next_of(base, index), (uint32_t)top);
        /* Releases what the owner wrote; pairs with the acquire in take_free. */
    } while (
        !atomic_cas_weak_acq_rel_u64(&free_top, &top, (top & ~(uint64_t)UINT32_MAX) | (index + 1)));
    uint32_t before = atomic_sub_relaxed_u32(&in_use, 1);
    Q_ASSERT(before > 0);
}

uint32_t vfs_slots_in_use(void)
{
    return atomic_load_relaxed_u32(&in_use);
}

static bool take_free(char *base, uint32_t *ret_index)
{
    uint64_t top = atomic_load_acquire_u64(&free_top); /* pairs with the cas in vfs_slot_give */
    while ((uint32_t)top != 0) {
        uint32_t index = (uint32_t)top - 1;
        uint64_t tag = (top >> 32) + 1; /* invariant 3 */
        uint64_t next = atomic_load_relaxed_u32(next_of(base, index));
        if (atomic_cas_weak_acq_rel_u64(&free_top, &top, tag << 32 | next)) {
            *ret_index = index;
            return true;
        }
    }
    return false;
}

static bool take_fresh(uint32_t *ret_index)
{
    uint32_t index = atomic_load_relaxed_u32(&fresh); /* a count; slots there have no contents */
    do {
        if (index == VFS_SLOTS_MAX) {
            return false;
        }
    } while (!atomic_cas_weak_relaxed_u32(&fresh, &index, index + 1));
    *ret_index = index;
    return true;
}

static enum quarry_status find_region(char **ret_base)
{
    void *base = atomic_load_acquire_ptr(&region); /* pairs with the cas below */
    if (Q_UNLIKELY(base == NULL)) {
        void *made = NULL;
        enum quarry_status status = make_region(&made);
        if (status != QUARRY_OK) {
            return status;
        }
        if (atomic_cas_acq_rel_ptr(&region, &base, made)) {
            base = made;
        } else { /* somebody else was first; what we made is whole and nobody has seen it */
            (void)os_release(os_real(), made, size_align_up_u64(REGION_BYTES, Q_KIB(64)));
        }
    }
    *ret_base = base;
    return QUARRY_OK;
}

static enum quarry_status make_region(void **ret_base)
{
    struct os *os = os_real();
    size_t bytes = (size_t)size_align_up_u64(REGION_BYTES, Q_KIB(64)); /* of any OS page */
    void *base = NULL;
    enum quarry_status status = os_reserve(os, bytes, os->page_bytes, &base);
    if (status != QUARRY_OK) {
        return status;
    }
    status = os_commit(os, base, bytes); /* backed by the kernel at first touch */
    if (status != QUARRY_OK) {
        (void)os_release(os, base, bytes);
        return status;
    }
    *ret_base = base;
    return QUARRY_OK;
}
Q_STATIC_ASSERT(VFS_SLOTS_MAX < UINT32_MAX, "an index plus one fits half a word");
