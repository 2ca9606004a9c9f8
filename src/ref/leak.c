/*
 * The leak ledger: records of what is out, and the stacks that acquired it.
 *
 *   token   31        20 19                0
 *          | generation |      slot        |        never 0: generations begin at 1
 *
 *   records  [ block 0x7f… | 12:01:07 | stack 3 ] [ free ──> 5 ] [ … ]        40 bytes each
 *   stacks   [ 0: pc pc pc … ] [ 1: … ]                                       136 bytes each
 *   index    hash of a stack ──> its number
 *
 * 10^5 acquisitions from 20 places have 20 stacks: what an acquisition costs in memory is a record
 * while it is out. Both tables and the index are rooms: charged to the heap as they grow, in steps,
 * and given back with the ledger.
 *
 * In release builds a thread counts down to its next record, by a number drawn at random below
 * twice the mean: a program that acquires in a rhythm has every place of it recorded some day. A
 * thread's first acquisition only draws, so threads that acquire once are not all recorded.
 *
 * Memory is not what acquiring may fail for: without any the token is 0 and the loss is counted. A
 * stack that there is no room for leaves its record without one.
 *
 * Invariants
 *   1. A token is good for one ref_leak_forget: the slot's generation moves on with it. Its 12 bits
 *      come around after 4,095 uses of the slot.
 *   2. Slots of two ledgers begin with different generations, by their serial numbers, so that
 *      foreign tokens are noticed, all but one of 4,095.
 *   3. Every slot below record_count is out (it has a kind) or in the list of free ones.
 *   4. Stacks are written once, before their number is in the index, and never change.
 *
 * Locking: a ledger's mutex around its tables. The stack is taken, and the clock read, before.
 * Rooms make system calls under it, once for 64 KiB.
 *
 * Cost: a note that is not recorded, four instructions inline, 1 ns. One that is recorded and
 * forgotten, 1.06 µs in a stack of 5 frames and 1.8 µs in one of 13, nearly all of it unwinding.
 *
 * Rejected: keeping stacks in the records (four times the memory, growing with what is out instead
 * of with the program's size); frame pointers instead of unwind tables (distributions compile
 * without, and a walk along what is none may leave the stack); one ledger for the process (closing
 * one thing would have to look through what all the others hold).
 */
#include <ref/leak.h>

#include <string.h>

#include <mem/panic.h>
#include <mem/unwind.h>
#include <ref/leak_ledger.h>
#include <ref/process.h>

#define SLOT_BITS      20
#define SLOT_MASK      (REF_LEAK_RECORDS_MAX - 1)
#define GENERATION_MAX ((UINT32_C(1) << (32 - SLOT_BITS)) - 1)
/* By which rooms grow: a thousand system calls become one. */
#define ROOM_STEP_BYTES Q_KIB(64)
/* What has no stack. */
#define STACK_UNKNOWN 0u
/* Frames of this file at the top of every stack: ref_leak_note_slow. */
#define OWN_FRAMES 1u

#ifdef QUARRY_DEBUG_CHECKS
#define EVERY_DEFAULT 1u
#else
#define EVERY_DEFAULT REF_LEAK_EVERY_RELEASE
#endif

Q_STATIC_ASSERT(REF_LEAK_RECORDS_MAX == UINT32_C(1) << SLOT_BITS, "a token has room for a slot");

_Thread_local int32_t ref_leak_countdown;
static _Thread_local uint64_t random_state; /* 0: the thread has drawn nothing yet */
static _Atomic uint32_t record_every = EVERY_DEFAULT;

/* ---- making and ending ---------------------------------------------------------------------- */

enum quarry_status ref_leaks_create(struct page_heap *heap, const char *owner_name,
                                    struct ref_leaks **ret_leaks)
{
    void *piece;

    enum quarry_status status = ref_process_make_ready();
    if (status == QUARRY_OK) {
        status = ref_process_watch(heap);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_metadata_take(&heap->metadata, sizeof(struct ref_leaks), &piece);
    if (status != QUARRY_OK) {
        return status;
    }
    struct ref_leaks *leaks = piece;
    leaks->heap = heap;
    memcpy(leaks->owner, owner_name, strnlen(owner_name, sizeof(leaks->owner) - 1));
    mem_room_init(&leaks->records, heap, sizeof(struct ref_leak_record) * REF_LEAK_RECORDS_MAX);
    mem_room_init(&leaks->stacks, heap, sizeof(struct ref_leak_stack) * REF_LEAK_STACKS_MAX);
    mem_index_init(&leaks->index, heap, REF_LEAK_STACKS_MAX);
    ref_process_enter_leaks(leaks);
    *ret_leaks = leaks;
    return QUARRY_OK;
}

void ref_leaks_destroy(struct ref_leaks *leaks)
{
    if (leaks == NULL) {
        return;
    }
    ref_process_leave_leaks(leaks);
    mem_index_fini(&leaks->index);
    mem_room_fini(&leaks->stacks);
    mem_room_fini(&leaks->records);
    page_metadata_give(&leaks->heap->metadata, leaks, sizeof(*leaks));
}

/* ---- whose turn it is ----------------------------------------------------------------------- */

/* Numbers that differ between threads; nobody relies on more. */
static uint64_t next_random(struct os *os)
{
    if (random_state == 0) {
        random_state = (os_monotonic_ns(os) ^ (uint64_t)(uintptr_t)&random_state) | 1;
    }
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    random_state |= random_state == 0;
    return random_state >> 32;
}

/* The thread has counted down. Returns: whether to record; draws how many are not. */
static bool take_turn(struct os *os)
{
    uint32_t every = atomic_load_relaxed_u32(&record_every);
    bool is_first = random_state == 0;
    uint64_t drawn = next_random(os);

    if (every == 1) {
        ref_leak_countdown = 0;
        return true;
    }
    /* 0 to 2 × every - 2: every - 1 in the mean. */
    ref_leak_countdown = (int32_t)(drawn % (2 * (uint64_t)every - 1));
    return !is_first;
}

void ref_leak_set_every(uint32_t every)
{
    Q_ASSERT(every >= 1 && every <= REF_LEAK_EVERY_MAX);
    atomic_store_relaxed_u32(&record_every, every);
    ref_leak_countdown = 0;
}

uint32_t ref_leak_every(void)
{
    return atomic_load_relaxed_u32(&record_every);
}

/* ---- stacks --------------------------------------------------------------------------------- */

static bool room_grow(struct mem_room *room, size_t bytes)
{
    size_t step_bytes = size_min(size_align_up(bytes, ROOM_STEP_BYTES), room->reserved_bytes);

    return mem_room_extend(room, step_bytes) || mem_room_extend(room, bytes);
}

static uint32_t stack_hash(const uint64_t *pcs, uint32_t pc_count)
{
    uint64_t hash = pc_count;

    for (uint32_t i = 0; i < pc_count; i++) {
        hash = (hash ^ pcs[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    return (uint32_t)hash;
}

/* Returns: its number + 1, or STACK_UNKNOWN. */
static uint32_t stack_find(const struct ref_leaks *leaks, uint32_t hash, const uint64_t *pcs,
                           uint32_t pc_count)
{
    uint32_t cursor = 0, number;

    while ((number = mem_index_next(&leaks->index, hash, &cursor)) != MEM_INDEX_NONE) {
        const struct ref_leak_stack *stack = ref_leaks_stack(leaks, number);
        if (stack->pc_count == pc_count && memcmp(stack->pcs, pcs, pc_count * sizeof(*pcs)) == 0) {
            return number + 1;
        }
    }
    return STACK_UNKNOWN;
}

static uint32_t stack_add(struct ref_leaks *leaks, uint32_t hash, const uint64_t *pcs,
                          uint32_t pc_count)
{
    uint32_t number = leaks->stack_count;

    if (number == REF_LEAK_STACKS_MAX ||
        !room_grow(&leaks->stacks, (number + 1) * sizeof(struct ref_leak_stack))) {
        return STACK_UNKNOWN;
    }
    leaks->stack_count++;
    struct ref_leak_stack *stack = ref_leaks_stack(leaks, number);
    stack->pc_count = pc_count;
    memcpy(stack->pcs, pcs, pc_count * sizeof(*pcs));
    /* Invariant 4. */
    if (!mem_index_add(&leaks->index, hash, number)) {
        leaks->stack_count--;
        return STACK_UNKNOWN;
    }
    return number + 1;
}

static uint32_t stack_intern(struct ref_leaks *leaks, uint32_t hash, const uint64_t *pcs,
                             uint32_t pc_count) Q_REQUIRES(&leaks->mutex)
{
    if (pc_count == 0) {
        return STACK_UNKNOWN;
    }
    uint32_t stack = stack_find(leaks, hash, pcs, pc_count);
    return stack != STACK_UNKNOWN ? stack : stack_add(leaks, hash, pcs, pc_count);
}

/* ---- records -------------------------------------------------------------------------------- */

/* Invariant 2. */
static uint32_t first_generation(const struct ref_leaks *leaks)
{
    return (uint32_t)(leaks->serial % GENERATION_MAX) + 1;
}

static uint32_t next_generation(uint32_t generation)
{
    return generation == GENERATION_MAX ? 1 : generation + 1;
}

/* Invariant 3. Returns: NULL when there is no memory, or no slot. */
static struct ref_leak_record *record_take(struct ref_leaks *leaks, uint32_t *ret_slot)
    Q_REQUIRES(&leaks->mutex)
{
    uint32_t slot = leaks->record_count;

    if (leaks->free_slot != 0) {
        *ret_slot = leaks->free_slot - 1;
        leaks->free_slot = ref_leaks_record(leaks, *ret_slot)->next_free;
        return ref_leaks_record(leaks, *ret_slot);
    }
    if (slot == REF_LEAK_RECORDS_MAX ||
        !room_grow(&leaks->records, (slot + 1) * sizeof(struct ref_leak_record))) {
        return NULL;
    }
    leaks->record_count++;
    ref_leaks_record(leaks, slot)->generation = first_generation(leaks);
    *ret_slot = slot;
    return ref_leaks_record(leaks, slot);
}

Q_NOINLINE uint32_t ref_leak_note_slow(struct ref_leaks *leaks, const char *kind, uint64_t object)
{
    struct os *os = leaks->heap->os;
    uint64_t pcs[REF_LEAK_FRAMES_MAX + OWN_FRAMES];
    uint32_t slot = 0, token = 0;

    Q_ASSERT(kind != NULL);
    if (!take_turn(os)) {
        return 0;
    }
    uint32_t all_count = mem_unwind_often(pcs, REF_LEAK_FRAMES_MAX + OWN_FRAMES);
    uint32_t pc_count = all_count > OWN_FRAMES ? all_count - OWN_FRAMES : 0;
    uint32_t hash = stack_hash(pcs + OWN_FRAMES, pc_count);
    uint64_t now_ns = os_monotonic_ns(os);

    os_mutex_lock(&leaks->mutex);
    struct ref_leak_record *record = record_take(leaks, &slot);
    if (record != NULL) {
        record->object = object;
        record->noted_ns = now_ns;
        record->kind = kind;
        record->thread_id = os_thread_id();
        record->stack = stack_intern(leaks, hash, pcs + OWN_FRAMES, pc_count);
        token = record->generation << SLOT_BITS | slot;
        leaks->out_count++;
    } else {
        (void)atomic_add_relaxed_u64(&leaks->unrecorded_count, 1);
    }
    os_mutex_unlock(&leaks->mutex);
    return token;
}

void ref_leak_forget_slow(struct ref_leaks *leaks, uint32_t token)
{
    uint32_t slot = token & SLOT_MASK;

    os_mutex_lock(&leaks->mutex);
    struct ref_leak_record *record =
        slot < leaks->record_count ? ref_leaks_record(leaks, slot) : NULL;
    if (record == NULL || record->kind == NULL || record->generation != token >> SLOT_BITS) {
        mem_panic_text("released twice, or to another than it was acquired from: leak token ",
                       (const void *)(uintptr_t)token);
    }
    record->kind = NULL;
    record->generation = next_generation(record->generation); /* invariant 1 */
    record->next_free = leaks->free_slot;
    leaks->free_slot = slot + 1;
    leaks->out_count--;
    os_mutex_unlock(&leaks->mutex);
}

/* ---- figures -------------------------------------------------------------------------------- */

size_t ref_leaks_outstanding(struct ref_leaks *leaks)
{
    os_mutex_lock(&leaks->mutex);
    size_t count = leaks->out_count;
    os_mutex_unlock(&leaks->mutex);
    return count;
}

uint64_t ref_leaks_unrecorded(struct ref_leaks *leaks)
{
    return atomic_load_relaxed_u64(&leaks->unrecorded_count);
}
