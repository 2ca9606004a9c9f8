/*
 * Epochs: a clock that readers write down when they enter, and nobody waits.
 *
 *   domain    now ─────────── read by all, written by advances
 *             safe            "nobody inside has written down less"
 *             readers ──> thread A  state 17|1   inside since epoch 17
 *                         thread B  state 15|0   outside
 *                         thread C  state 19|2   inside, entered twice
 *
 *   reader                     whoever reuses           an advance to k (mutex held)
 *   state = now | 1            unlink the object        now = k
 *   (compiler barrier)         (compiler barrier)       process barrier
 *   follow pointers            stamp = now              m = the least epoch of those inside, or k
 *   state = state - 1          …                        safe = max(safe, m)
 *   (release)                  stamp + 2 <= safe?       (release)
 *
 * Why stamp + 2. Call the advance that writes k A(k), and its process barrier B(k). B(k) has a
 * point in each thread: what the thread did before it is visible to all when B(k) has returned, and
 * what was visible when B(k) began is seen by all that the thread does after it. Advances are one
 * after the other. Let an object have the stamp s.
 *
 *   a. The load that gave s was before its thread's point of B(s+1): after it, it would have given
 *      s + 1. The unlinking was before the load. So the object is out of reach for everything that
 *      begins when B(s+1) has returned, and for who has seen an epoch of s + 2 or more: that was
 *      written (release) after it, and read (acquire).
 *   b. So a reader that found the object has written down at most s + 1. And it wrote before its
 *      point of B(k), for each k >= s + 2: after that, by (a), it would not have found it.
 *   c. So A(k) sees it inside, with at most s + 1, until it leaves: m <= s + 1 for all k >= s + 2,
 *      as long as it stays. safe >= s + 2 says that an A(k) saw it outside, and what it read was
 *      read before the leaving that A(k) acquired.
 *
 * One advance fewer would do if taking a stamp were a full barrier: (a) would hold for B(s)
 * already. It is not, because removing must not cost each reader a miss on the line of `now`.
 *
 * Without a process barrier (no membarrier, and under TSan, which does not see it) all three are
 * read-modify-writes: entering exchanges the state, a look at it adds 0 to it, and taking a stamp
 * adds 0 to `now`. Of two on one word the later one acquires what the earlier released: a reader's
 * exchange that comes after an advance's look acquires the unlinking by way of it; one that comes
 * before is seen.
 *
 * A thread that was interrupted between reading `now` and writing it down may write an epoch that
 * is long past. It holds up the domain until it leaves, and nothing else: (b) and (c) do not ask
 * when `now` was read.
 *
 * Readers are in thread storage, so that entering takes no memory and cannot fail. A thread is
 * registered at its first entry and forgotten by an exit hook. Where the hook cannot be armed, and
 * in a thread whose hook has run (destructors of thread storage that come later), it is a stranger:
 * counted under the mutex, which orders its entry with advances; slow, and never left behind.
 *
 * Invariants
 *   1. A reader in the list belongs to a thread that lives.
 *   2. safe never falls, and safe <= now.
 *   3. The serial number of a domain is never used again, so that what a thread kept of one that
 *      ended is not taken for another's.
 *   4. stranger_epoch is at most what any stranger inside has seen.
 *
 * Locking: the domain's mutex, around the list and advances; the barrier is a system call under it,
 * because its place between writing `now` and looking is what it is for.
 *
 * Cost: entering and leaving, 15 + 12 instructions, 3 ns. An advance is a membarrier, a clock and a
 * load for each thread: 0.5 µs with one thread, 4 µs beside a busy one, 2.5 µs with 100 that sleep.
 *
 * Rejected: liburcu (docs/decisions/0011); three global epochs that move only when all inside are
 * in the last (under steady readers a barrier is spent for nothing each time one is late); asking
 * threads to announce when they hold nothing (a program that embeds Quarry has threads which never
 * would).
 */
#include <ref/epoch.h>

#include <stddef.h>

#include <mem/panic.h>
#include <mem/unwind.h>
#include <ref/leak.h>
#include <ref/process.h>

#define EPOCH_ONE (UINT64_C(1) << REF_EPOCH_DEPTH_BITS)
/* No domain has it: serial numbers are even, and strangers add 1. */
#define SERIAL_NONE UINT64_MAX

#ifdef QUARRY_DEBUG_CHECKS
#define READER_PCS(reader)      ((reader)->pcs)
#define READER_PC_COUNT(reader) ((reader)->pc_count)
#else
#define READER_PCS(reader)      ((uint64_t *)NULL)
#define READER_PC_COUNT(reader) 0u
Q_STATIC_ASSERT(sizeof(struct ref_epoch_reader) == 56, "thread storage is scarce");
#endif

_Thread_local struct ref_epoch_thread ref_epoch_thread;

static inline struct ref_epoch_reader *own_reader(const struct quarry_epoch *epoch)
{
    return (struct ref_epoch_reader *)(void *)((char *)&ref_epoch_thread + epoch->reader_offset);
}

static inline bool is_inside(uint64_t state)
{
    return (state & REF_EPOCH_DEPTH_MASK) != 0;
}

/* ---- readers -------------------------------------------------------------------------------- */

static void enter_slow(struct quarry_epoch *epoch, struct ref_epoch_reader *reader,
                       uint64_t caller);
static void leave_slow(struct quarry_epoch *epoch, struct ref_epoch_reader *reader);

/* Debug builds: how the thread has come in, for quarry_epoch_destroy. */
static inline void note_stack(struct ref_epoch_reader *reader)
{
#ifdef QUARRY_DEBUG_CHECKS
    reader->pc_count = mem_unwind_often(reader->pcs, REF_EPOCH_FRAMES_MAX);
#else
    (void)reader;
#endif
}

void quarry_epoch_enter(struct quarry_epoch *epoch)
{
    struct ref_epoch_reader *reader = own_reader(epoch);
    uint64_t caller = (uint64_t)(uintptr_t)__builtin_return_address(0);

    if (Q_UNLIKELY(reader->serial != epoch->fast_serial ||
                   is_inside(atomic_load_relaxed_u64(&reader->state)))) {
        enter_slow(epoch, reader, caller);
        return;
    }
    atomic_store_relaxed_u64(&reader->caller, caller);
    /* Acquire: pairs with the increment in advance_locked; (a) above. */
    atomic_store_relaxed_u64(&reader->state, atomic_load_acquire_u64(&epoch->now) + 1);
    atomic_compiler_barrier(); /* pairs with the process barrier in advance_locked */
    note_stack(reader);
}

void quarry_epoch_leave(struct quarry_epoch *epoch)
{
    struct ref_epoch_reader *reader = own_reader(epoch);
    uint64_t state = atomic_load_relaxed_u64(&reader->state);

    if (Q_UNLIKELY(reader->serial != epoch->fast_serial || !is_inside(state))) {
        leave_slow(epoch, reader);
        return;
    }
    /* Release: pairs with the look at it in look_at_reader. */
    atomic_store_release_u64(&reader->state, state - 1);
}

static bool is_registered(const struct quarry_epoch *epoch, const struct ref_epoch_reader *reader)
{
    return (reader->serial & ~UINT64_C(1)) == epoch->serial;
}

static bool is_stranger(const struct ref_epoch_reader *reader)
{
    return (reader->serial & 1) != 0;
}

static void reader_register(struct quarry_epoch *epoch, struct ref_epoch_reader *reader)
{
    bool may_be_listed = !ref_epoch_thread.is_ending && os_thread_exit_arm() == QUARRY_OK;

    *reader = (struct ref_epoch_reader){.serial = epoch->serial + (may_be_listed ? 0 : 1)};
    if (!may_be_listed) {
        return;
    }
    os_mutex_lock(&epoch->mutex);
    reader->next = epoch->readers;
    if (reader->next != NULL) {
        reader->next->previous = reader;
    }
    epoch->readers = reader;
    os_mutex_unlock(&epoch->mutex);
}

/* The mutex orders it with advances; invariant 4. */
static void stranger_enter(struct quarry_epoch *epoch)
{
    os_mutex_lock(&epoch->mutex);
    if (epoch->stranger_count++ == 0) {
        epoch->stranger_epoch = atomic_load_relaxed_u64(&epoch->now) >> REF_EPOCH_DEPTH_BITS;
        epoch->stranger_seen_ns = 0;
    }
    os_mutex_unlock(&epoch->mutex);
}

static void stranger_leave(struct quarry_epoch *epoch)
{
    os_mutex_lock(&epoch->mutex);
    Q_ASSERT(epoch->stranger_count > 0);
    epoch->stranger_count--;
    os_mutex_unlock(&epoch->mutex);
}

Q_NOINLINE static void enter_slow(struct quarry_epoch *epoch, struct ref_epoch_reader *reader,
                                  uint64_t caller)
{
    if (!is_registered(epoch, reader)) {
        reader_register(epoch, reader);
    }
    uint64_t state = atomic_load_relaxed_u64(&reader->state);
    if (is_inside(state)) {
        Q_ASSERT((state & REF_EPOCH_DEPTH_MASK) < REF_EPOCH_DEPTH_MASK);
        atomic_store_relaxed_u64(&reader->state, state + 1);
        return;
    }
    if (is_stranger(reader)) {
        stranger_enter(epoch);
    }
    atomic_store_relaxed_u64(&reader->caller, caller);
    state = atomic_load_acquire_u64(&epoch->now) + 1;
    if (epoch->has_barrier) {
        atomic_store_relaxed_u64(&reader->state, state);
        atomic_compiler_barrier();
    } else {
        /* Pairs with the look in look_at_reader. */
        (void)atomic_exchange_acq_rel_u64(&reader->state, state);
    }
    note_stack(reader);
}

Q_NOINLINE static void leave_slow(struct quarry_epoch *epoch, struct ref_epoch_reader *reader)
{
    uint64_t state = atomic_load_relaxed_u64(&reader->state);

    if (!is_registered(epoch, reader) || !is_inside(state)) {
        if (ref_epoch_thread.is_ending) {
            return; /* its exit hook came first, and has left for it */
        }
        mem_panic_text("an epoch left that was not entered: ", epoch);
    }
    /* Release: as in quarry_epoch_leave. */
    atomic_store_release_u64(&reader->state, state - 1);
    if (is_stranger(reader) && !is_inside(state - 1)) {
        stranger_leave(epoch);
    }
}

/* ---- advances ------------------------------------------------------------------------------- */

/* Who is inside, as found by looking at all. */
struct look {
    uint64_t epoch;    /* the least that was written down; UINT64_MAX: nobody is inside */
    uint64_t since_ns; /* since when the one who has been seen inside longest has been */
};

static void look_note(struct look *look, uint64_t epoch, uint64_t since_ns)
{
    look->epoch = size_min_u64(look->epoch, epoch);
    look->since_ns = size_min_u64(look->since_ns, since_ns);
}

static void look_at_reader(const struct quarry_epoch *epoch, struct ref_epoch_reader *reader,
                           uint64_t clock_ns, struct look *look)
{
    /* Acquire: pairs with the release of leaving. The addition: with the exchange of entering. */
    uint64_t state = epoch->has_barrier ? atomic_load_acquire_u64(&reader->state)
                                        : atomic_add_acq_rel_u64(&reader->state, 0);
    uint64_t entered = state >> REF_EPOCH_DEPTH_BITS;

    if (!is_inside(state)) {
        reader->seen_epoch = 0;
        return;
    }
    if (reader->seen_epoch != entered) {
        reader->seen_epoch = entered;
        reader->seen_ns = clock_ns;
    }
    look_note(look, entered, reader->seen_ns);
}

static struct look look_at_all(struct quarry_epoch *epoch, uint64_t clock_ns)
    Q_REQUIRES(&epoch->mutex)
{
    struct look look = {.epoch = UINT64_MAX, .since_ns = clock_ns};

    for (struct ref_epoch_reader *reader = epoch->readers; reader != NULL; reader = reader->next) {
        look_at_reader(epoch, reader, clock_ns, &look);
    }
    if (epoch->stranger_count > 0) {
        if (epoch->stranger_seen_ns == 0) {
            epoch->stranger_seen_ns = clock_ns;
        }
        look_note(&look, epoch->stranger_epoch, epoch->stranger_seen_ns);
    }
    return look;
}

static void advance_locked(struct quarry_epoch *epoch) Q_REQUIRES(&epoch->mutex)
{
    /* Release: pairs with readers' acquire. Read-modify-write: pairs with that in ref_epoch_now. */
    uint64_t now = atomic_add_acq_rel_u64(&epoch->now, EPOCH_ONE) + EPOCH_ONE;

    if (epoch->has_barrier) {
        bool is_done = os_process_barrier();
        Q_ASSERT(is_done);
    }
    struct look look = look_at_all(epoch, os_monotonic_ns(epoch->heap->os));
    uint64_t least = size_min_u64(look.epoch, now >> REF_EPOCH_DEPTH_BITS);
    /* Release: pairs with the acquire in ref_epoch_is_past. Invariant 2. */
    if (least > atomic_load_relaxed_u64(&epoch->safe)) {
        atomic_store_release_u64(&epoch->safe, least);
    }
}

void ref_epoch_advance(struct quarry_epoch *epoch)
{
    uint64_t before = atomic_load_relaxed_u64(&epoch->now);

    os_mutex_lock(&epoch->mutex);
    /* Of two advances since then, the second began since then, and has done what this would do. */
    if (atomic_load_relaxed_u64(&epoch->now) - before < 2 * EPOCH_ONE) {
        advance_locked(epoch);
    }
    os_mutex_unlock(&epoch->mutex);
}

uint64_t ref_epoch_oldest_ns(struct quarry_epoch *epoch)
{
    os_mutex_lock(&epoch->mutex);
    uint64_t clock_ns = os_monotonic_ns(epoch->heap->os);
    struct look look = look_at_all(epoch, clock_ns);
    os_mutex_unlock(&epoch->mutex);
    return look.epoch == UINT64_MAX ? 0 : size_max_u64(clock_ns - look.since_ns, 1);
}

/* ---- threads that end, forks ---------------------------------------------------------------- */

static void reader_unlink(struct quarry_epoch *epoch, struct ref_epoch_reader *reader)
    Q_REQUIRES(&epoch->mutex)
{
    if (reader->previous != NULL) {
        reader->previous->next = reader->next;
    } else {
        Q_ASSERT(epoch->readers == reader);
        epoch->readers = reader->next;
    }
    if (reader->next != NULL) {
        reader->next->previous = reader->previous;
    }
}

void ref_epoch_forget_thread(struct quarry_epoch *epoch)
{
    struct ref_epoch_reader *reader = own_reader(epoch);

    if (!is_registered(epoch, reader) || is_stranger(reader)) {
        return;
    }
    os_mutex_lock(&epoch->mutex);
    reader_unlink(epoch, reader);
    os_mutex_unlock(&epoch->mutex);
    reader->serial = SERIAL_NONE;
}

void ref_epoch_after_fork(struct quarry_epoch *epoch)
{
    struct ref_epoch_reader *reader = own_reader(epoch);
    bool is_own = is_registered(epoch, reader);

    os_mutex_reset_after_fork(&epoch->mutex);
    epoch->readers = NULL;
    epoch->stranger_count = 0;
    if (!is_own) {
        return;
    }
    if (is_stranger(reader)) {
        epoch->stranger_count = is_inside(atomic_load_relaxed_u64(&reader->state)) ? 1 : 0;
        return;
    }
    reader->next = NULL;
    reader->previous = NULL;
    epoch->readers = reader;
}

/* ---- domains -------------------------------------------------------------------------------- */

static struct page_heap *heap_of(struct quarry_memory *memory)
{
    return (struct page_heap *)(void *)memory;
}

enum quarry_status quarry_epoch_create(struct quarry_memory *memory,
                                       struct quarry_epoch **ret_epoch)
{
    struct page_heap *heap = heap_of(memory);
    void *piece;

    enum quarry_status status = ref_process_make_ready();
    if (status == QUARRY_OK) {
        status = ref_process_watch(heap);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_metadata_take(&heap->metadata, sizeof(struct quarry_epoch), &piece);
    if (status != QUARRY_OK) {
        return status;
    }
    struct quarry_epoch *epoch = piece;
    epoch->heap = heap;
    epoch->has_barrier = os_has_process_barrier();
    atomic_store_relaxed_u64(&epoch->now, REF_EPOCH_FIRST << REF_EPOCH_DEPTH_BITS);
    atomic_store_relaxed_u64(&epoch->safe, REF_EPOCH_FIRST);
    status = ref_process_enter_epoch(epoch);
    if (status != QUARRY_OK) {
        page_metadata_give(&heap->metadata, epoch, sizeof(*epoch));
        return status;
    }
    *ret_epoch = epoch;
    return QUARRY_OK;
}

void ref_epoch_place(struct quarry_epoch *epoch, uint32_t slot, uint64_t serial)
{
    Q_ASSERT(slot < QUARRY_EPOCHS_MAX && (serial & 1) == 0 && serial != 0);
    epoch->slot = slot;
    epoch->serial = serial;
    epoch->fast_serial = epoch->has_barrier ? serial : SERIAL_NONE - 1;
    epoch->reader_offset =
        offsetof(struct ref_epoch_thread, reader) + slot * sizeof(struct ref_epoch_reader);
    os_mutex_init(&epoch->mutex, OS_RANK_EPOCH, slot + 1);
}

static void tell_reader(const struct quarry_epoch *epoch, const struct ref_epoch_reader *reader,
                        uint64_t clock_ns)
{
    uint64_t caller = atomic_load_relaxed_u64(&reader->caller);
    uint32_t pc_count = READER_PC_COUNT(reader);

    ref_leak_tell(&(struct ref_leak){
        .owner = "epoch",
        .kind = "reader",
        .object = (uint64_t)(uintptr_t)epoch,
        .age_ns = clock_ns - reader->seen_ns,
        .pc_count = pc_count > 0 ? pc_count : 1,
        .pcs = pc_count > 0 ? READER_PCS(reader) : &caller,
    });
}

/* Tells of each reader inside. Returns: how many. */
static size_t tell_readers(struct quarry_epoch *epoch) Q_REQUIRES(&epoch->mutex)
{
    uint64_t clock_ns = os_monotonic_ns(epoch->heap->os);
    size_t count = epoch->stranger_count;

    (void)look_at_all(epoch, clock_ns);
    for (struct ref_epoch_reader *reader = epoch->readers; reader != NULL; reader = reader->next) {
        if (reader->seen_epoch == 0) {
            continue;
        }
        tell_reader(epoch, reader, clock_ns);
        count++;
    }
    return count;
}

void quarry_epoch_destroy(struct quarry_epoch *epoch)
{
    if (epoch == NULL) {
        return;
    }
    os_mutex_lock(&epoch->mutex);
    /* Under the mutex, or a thread that ends would take its storage away: the program ends. */
    size_t inside_count = tell_readers(epoch);
    if (inside_count > 0) {
        mem_panic_text("an epoch destroyed with somebody inside: ", epoch);
    }
    os_mutex_unlock(&epoch->mutex);
    ref_process_leave_epoch(epoch);
    page_metadata_give(&epoch->heap->metadata, epoch, sizeof(*epoch));
}
