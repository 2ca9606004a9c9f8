/*
 * Files and their entries.
 *
 *     slot  63 ...... 32  31 ........ 0            entry ⇄ entry ⇄ entry ⇄ (the first again)
 *           hash of file  entry + 1     ─────────→ its head
 *
 * Open addressing with linear probing, at most half full, no tombstones: what follows a removed
 * slot moves down. A file's slot names one entry of its ring, its head, which is marked; so an
 * entry that is not the head leaves without a look at the table.
 *
 * Ghosts are in the rings as well: a file that is gone shall leave nothing behind.
 *
 * Locking: the shard's mutex.
 *
 * Cost: 8 bytes a slot; entering and leaving touch the lines of two neighbours.
 */
#include <block/files.h>

#include <block/key.h>

static uint64_t slot_make(uint32_t hash, uint32_t entry)
{
    return (uint64_t)hash << 32 | ((uint64_t)entry + 1);
}

static uint32_t slot_entry(uint64_t slot)
{
    return (uint32_t)slot - 1;
}

static uint64_t home_of(const struct block_files *files, uint64_t slot)
{
    return (slot >> 32) & (files->capacity - 1);
}

static bool is_of_file(const struct clock_pro *clock, uint32_t entry, uint64_t handle,
                       uint64_t file)
{
    const struct quarry_block_key *key = &clock_pro_entry(clock, entry)->key;

    return key->handle == handle && key->file == file;
}

/* The place of the file's slot, or of the empty one where it would be. */
static uint64_t place_of(const struct block_files *files, const struct clock_pro *clock,
                         uint32_t hash, uint64_t handle, uint64_t file)
{
    uint64_t place = hash & (files->capacity - 1);

    while (files->slots[place] != 0 &&
           (files->slots[place] >> 32 != hash ||
            !is_of_file(clock, slot_entry(files->slots[place]), handle, file))) {
        place = (place + 1) & (files->capacity - 1);
    }
    return place;
}

static void put(struct block_files *files, uint64_t slot)
{
    uint64_t place = home_of(files, slot);

    while (files->slots[place] != 0) {
        place = (place + 1) & (files->capacity - 1);
    }
    files->slots[place] = slot;
}

uint64_t *block_files_grow(struct block_files *files, uint64_t *slots, uint64_t capacity)
{
    uint64_t *old_slots = files->slots;
    uint64_t old_capacity = files->capacity;

    Q_ASSERT(bits_is_power_of_two_u64(capacity) && capacity > old_capacity);
    files->slots = slots;
    files->capacity = capacity;
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old_slots[i] != 0) {
            put(files, old_slots[i]);
        }
    }
    return old_slots;
}

void block_files_enter(struct block_files *files, struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    uint32_t hash = block_file_hash(own->key.handle, own->key.file);

    Q_ASSERT(files->count < files->capacity);
    uint64_t place = place_of(files, clock, hash, own->key.handle, own->key.file);
    own->is_file_head = files->slots[place] == 0;
    if (own->is_file_head) {
        files->slots[place] = slot_make(hash, entry);
        files->count++;
        own->file_next = own->file_prev = entry;
        return;
    }
    uint32_t head = slot_entry(files->slots[place]);
    struct clock_pro_entry *before = clock_pro_entry(clock, head);
    own->file_prev = head;
    own->file_next = before->file_next;
    clock_pro_entry(clock, own->file_next)->file_prev = entry;
    before->file_next = entry;
}

/* Whether the slot at `place` may move down to `hole`: its home is not between them. */
static bool may_move(const struct block_files *files, uint64_t place, uint64_t hole)
{
    uint64_t mask = files->capacity - 1, home = home_of(files, files->slots[place]);

    return ((place - home) & mask) >= ((place - hole) & mask);
}

static void close_hole(struct block_files *files, uint64_t hole)
{
    uint64_t mask = files->capacity - 1;

    for (uint64_t place = (hole + 1) & mask; files->slots[place] != 0; place = (place + 1) & mask) {
        if (may_move(files, place, hole)) {
            files->slots[hole] = files->slots[place];
            hole = place;
        }
    }
    files->slots[hole] = 0;
}

/* The head leaves: the next entry is head, or the file has none any more. */
static void head_leave(struct block_files *files, struct clock_pro *clock, uint32_t entry)
{
    const struct clock_pro_entry *own = clock_pro_entry(clock, entry);
    uint32_t hash = block_file_hash(own->key.handle, own->key.file);
    uint64_t place = place_of(files, clock, hash, own->key.handle, own->key.file);

    Q_ASSERT(files->slots[place] == slot_make(hash, entry));
    if (own->file_next != entry) {
        files->slots[place] = slot_make(hash, own->file_next);
        clock_pro_entry(clock, own->file_next)->is_file_head = true;
        return;
    }
    close_hole(files, place);
    files->count--;
}

void block_files_leave(struct block_files *files, struct clock_pro *clock, uint32_t entry)
{
    struct clock_pro_entry *own = clock_pro_entry(clock, entry);

    if (own->is_file_head) {
        head_leave(files, clock, entry);
        own->is_file_head = false;
    }
    clock_pro_entry(clock, own->file_prev)->file_next = own->file_next;
    clock_pro_entry(clock, own->file_next)->file_prev = own->file_prev;
}

uint32_t block_files_find(const struct block_files *files, const struct clock_pro *clock,
                          uint64_t handle, uint64_t file)
{
    if (files->capacity == 0) {
        return CLOCK_PRO_NONE;
    }
    uint64_t place = place_of(files, clock, block_file_hash(handle, file), handle, file);
    return files->slots[place] == 0 ? CLOCK_PRO_NONE : slot_entry(files->slots[place]);
}

/* Entries in the ring of a head; 0: something is wrong with it. */
static uint64_t ring_count(const struct clock_pro *clock, uint32_t head, uint64_t count_max)
{
    const struct quarry_block_key *key = &clock_pro_entry(clock, head)->key;
    uint64_t count = 0;
    uint32_t entry = head;

    do {
        const struct clock_pro_entry *own = clock_pro_entry(clock, entry);
        if (own->type == CLOCK_PRO_FREE || own->is_file_head != (entry == head) ||
            !is_of_file(clock, entry, key->handle, key->file) ||
            clock_pro_entry(clock, own->file_next)->file_prev != entry || ++count > count_max) {
            return 0;
        }
        entry = own->file_next;
    } while (entry != head);
    return count;
}

const char *block_files_validate(const struct block_files *files, const struct clock_pro *clock,
                                 uint64_t entry_count)
{
    uint64_t file_count = 0, in_rings = 0;

    for (uint64_t i = 0; i < files->capacity; i++) {
        if (files->slots[i] == 0) {
            continue;
        }
        uint64_t count = ring_count(clock, slot_entry(files->slots[i]), entry_count);
        if (count == 0) {
            return "a file's ring is not whole";
        }
        file_count++;
        in_rings += count;
    }
    if (file_count != files->count) {
        return "the count of files is not that of the table";
    }
    return in_rings == entry_count ? NULL : "an entry is in no file's ring";
}
