#include "unit/slab/storm.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include <base/base.h>
#include <os/os.h>

#include "unit/base/random.h"

#define MIX     UINT64_C(0x9e3779b97f4a7c15)
#define BATCH   512u /* reads, or so, between looks at the clock */
#define THREADS 16u

static struct storm_slot slots[STORM_KEYS];
static const struct storm *storm;
static atomic_bool is_over;
static _Atomic uint64_t reads, writes, stales, moves, last_seed;

/*
 * A cell: a word with the key and the count of words, a seed, and words made of both. Movers look
 * at the first word of a cell that may not be in the index yet: hence atomic.
 */
static void cell_write(void *data, uint64_t key, uint64_t word_count, uint64_t seed)
{
    _Atomic uint64_t *head = data;
    uint64_t *word = data;

    atomic_store_explicit(head, key << 32 | word_count, memory_order_relaxed);
    word[1] = seed;
    for (uint64_t i = 2; i < word_count; i++) {
        word[i] = (seed + i * key) * MIX;
    }
}

static void cell_check(const void *data, uint64_t key)
{
    const uint64_t *word = data;
    uint64_t head = atomic_load_explicit((const _Atomic uint64_t *)data, memory_order_relaxed);
    uint64_t word_count = (uint32_t)head, seed = word[1];

    Q_ASSERT(head >> 32 == key && word_count >= 2 && word_count * 8 <= storm->bytes_max);
    for (uint64_t i = 2; i < word_count; i++) {
        Q_ASSERT(word[i] == (seed + i * key) * MIX);
    }
}

static void slot_lock(struct storm_slot *slot)
{
    while (atomic_flag_test_and_set_explicit(&slot->lock, memory_order_acquire)) {
        os_yield();
    }
}

static void slot_unlock(struct storm_slot *slot)
{
    atomic_flag_clear_explicit(&slot->lock, memory_order_release);
}

/* ---- readers -------------------------------------------------------------------------------- */

/* Whether it found a cell. A ref that is stale already is not in the index any more. */
static bool read_one(uint64_t key)
{
    struct storm_slot *slot = &slots[key];
    uint64_t ref = atomic_load_explicit(&slot->ref, memory_order_acquire);

    if (ref == QUARRY_REF_NIL) {
        return false;
    }
    const void *data = quarry_slab_data(storm->slab, ref);
    if (data == NULL) {
        Q_ASSERT(atomic_load_explicit(&slot->ref, memory_order_acquire) != ref);
        return false;
    }
    cell_check(data, key);
    return true;
}

static void probe_one(uint64_t key)
{
    uint64_t ref = atomic_load_explicit(&slots[key].ended, memory_order_acquire);

    Q_ASSERT(quarry_slab_data(storm->slab, ref) == NULL);
}

static void *be_reader(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    while (!atomic_load(&is_over)) {
        uint64_t read_count = 0;
        for (uint32_t i = 0; i < BATCH; i++) {
            quarry_epoch_enter(storm->epoch);
            for (uint64_t n = random_u64(&random) % 8; n > 0; n--) {
                read_count += read_one(random_u64(&random) % STORM_KEYS);
            }
            probe_one(random_u64(&random) % STORM_KEYS);
            quarry_epoch_leave(storm->epoch);
        }
        atomic_fetch_add(&stales, BATCH);
        if (atomic_fetch_add(&reads, read_count) + read_count >= storm->wanted_reads) {
            atomic_store(&is_over, true);
        }
    }
    return NULL;
}

/* ---- writers -------------------------------------------------------------------------------- */

static uint64_t make_cell(uint64_t key, uint64_t *random)
{
    size_t bytes = 16 + random_u64(random) % (storm->bytes_max - 15);
    struct quarry_cell cell;

    if (quarry_slab_take(storm->slab, bytes, &cell) != QUARRY_OK) {
        return QUARRY_REF_NIL;
    }
    cell_write(cell.data, key, bytes / 8, atomic_fetch_add(&last_seed, 1));
    return cell.ref;
}

static void replace(uint64_t key, uint64_t new_ref)
{
    struct storm_slot *slot = &slots[key];

    slot_lock(slot);
    uint64_t old_ref = atomic_exchange_explicit(&slot->ref, new_ref, memory_order_acq_rel);
    quarry_slab_retire(storm->slab, old_ref);
    if (old_ref != QUARRY_REF_NIL) {
        atomic_store_explicit(&slot->ended, old_ref, memory_order_release);
    }
    slot_unlock(slot);
}

static void *be_writer(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    while (!atomic_load(&is_over)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            uint64_t key = random_u64(&random) % STORM_KEYS;
            replace(key, random_u64(&random) % 4 == 0 ? QUARRY_REF_NIL : make_cell(key, &random));
            if (random_u64(&random) % 8 == 0) { /* one that nobody ever sees */
                quarry_slab_give(storm->slab, make_cell(key, &random));
            }
        }
        atomic_fetch_add(&writes, BATCH);
    }
    return NULL;
}

/* ---- movers --------------------------------------------------------------------------------- */

static bool move_cell(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                      void *new_data, size_t bytes)
{
    uint64_t head = atomic_load_explicit((const _Atomic uint64_t *)old_data, memory_order_relaxed);
    struct storm_slot *slot = &slots[(head >> 32) % STORM_KEYS];
    bool is_ours;

    (void)argument;
    (void)bytes;
    slot_lock(slot);
    is_ours = atomic_load_explicit(&slot->ref, memory_order_relaxed) == old_ref;
    if (is_ours) {
        /* Not all of `bytes`: what the owner never wrote is not read either. */
        cell_write(new_data, head >> 32, (uint32_t)head, ((const uint64_t *)old_data)[1]);
        atomic_store_explicit(&slot->ref, new_ref, memory_order_release);
        atomic_fetch_add(&moves, 1);
    }
    slot_unlock(slot);
    return is_ours;
}

/* A random page, or the emptiest ones. */
static uint64_t move_some(uint64_t *random)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0, n = random_u64(random) % 64;

    if (random_u64(random) % 16 == 0) {
        (void)quarry_slab_compact(storm->slab, Q_KIB(256), move_cell, NULL);
    }
    while (quarry_slab_next_page(storm->slab, &cursor, &page)) {
        if (n-- == 0) {
            return quarry_slab_move_page(storm->slab, page.class_id, page.page, move_cell, NULL) ==
                   QUARRY_OK;
        }
    }
    return 0;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
    return os_monotonic_ns(os_real());
}

/* Whether it was a storm: on a busy machine a thread may have had no processor yet. */
static bool has_happened(const struct storm_result *result)
{
    return reads > 0 && writes > 0 && moves > 0 && result->moved_pages > 0;
}

struct storm_result storm_run(const struct storm *setup)
{
    pthread_t thread[THREADS];
    uint32_t thread_count = 0;
    struct quarry_slab_stats stats;
    struct storm_result result = {0};
    uint64_t random = 1, end_ns = now_ns() + setup->seconds_max * Q_SECOND_NS;

    storm = setup;
    memset(slots, 0, sizeof(slots));
    is_over = false;
    reads = writes = stales = moves = 0;
    Q_ASSERT(setup->reader_count + setup->writer_count <= THREADS);
    for (uint32_t i = 0; i < setup->reader_count + setup->writer_count; i++) {
        Q_ASSERT(pthread_create(&thread[thread_count++], NULL,
                                i < setup->reader_count ? be_reader : be_writer,
                                (void *)(uintptr_t)(i + 100)) == 0);
    }
    while (!atomic_load(&is_over)) {
        result.moved_pages += move_some(&random);
        if (now_ns() > end_ns && has_happened(&result)) {
            atomic_store(&is_over, true);
        }
    }
    while (thread_count > 0) {
        Q_ASSERT(pthread_join(thread[--thread_count], NULL) == 0);
    }
    for (uint64_t key = 0; key < STORM_KEYS; key++) {
        (void)read_one(key);
        replace(key, QUARRY_REF_NIL);
    }
    quarry_slab_read_stats(setup->slab, &stats);
    Q_ASSERT(stats.live_count == 0);
    result.moved_cells = stats.moved_count;
    result.read_count = reads;
    result.write_count = writes;
    result.stale_count = stales;
    return result;
}
