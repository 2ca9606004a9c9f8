#include "unit/slab/slab_rig.h"

#include <string.h>

struct quarry_slab *slab;
struct quarry_epoch *epoch;
struct quarry_account *account;
struct index_slot index_slots[INDEX_KEYS];

static struct page_lane *lane;

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

void slab_begin(const struct slab_setup *setup)
{
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){
        .limit_bytes = setup->limit_bytes, .reserved_bytes = Q_GIB(16), .has_real_backing = true});
    lane = lane_make_sized("slab", Q_GIB(4));
    struct quarry_account_options account_options = {
        .name = "cells", .ceiling_bytes = setup->ceiling_bytes, .is_all_pages = true};
    if (quarry_account_create(memory_of_heap(), &account_options, &account, &error) != QUARRY_OK) {
        fail_msg("quarry_account_create: %s", error.text);
    }
    epoch = NULL;
    if (!setup->has_no_epoch) {
        assert_int_equal(quarry_epoch_create(memory_of_heap(), &epoch), QUARRY_OK);
    }
    struct quarry_slab_options options = {
        .name = "cells",
        .lane = (struct quarry_lane *)(void *)lane,
        .account = account,
        .epoch = epoch,
        .classes_per_doubling = setup->classes_per_doubling,
        .tracks_cells = setup->tracks_cells,
        .times_locks = setup->times_locks,
    };
    if (quarry_slab_create(memory_of_heap(), &options, &slab, &error) != QUARRY_OK) {
        fail_msg("quarry_slab_create: %s", error.text);
    }
    memset(index_slots, 0, sizeof(index_slots));
}

struct quarry_slab_stats slab_stats(void)
{
    struct quarry_slab_stats stats;

    quarry_slab_read_stats(slab, &stats);
    return stats;
}

void slab_check(void)
{
    struct quarry_error error = {0};
    struct quarry_account_state state;

    if (quarry_slab_validate(slab, &error) != QUARRY_OK) {
        fail_msg("quarry_slab_validate: %s", error.text);
    }
    struct quarry_slab_stats stats = slab_stats();
    assert_int_equal(stats.page_bytes, stats.live_bytes + stats.cached_bytes + stats.limbo_bytes +
                                           stats.free_bytes + stats.worn_bytes + stats.tail_bytes);
    quarry_account_read(account, &state);
    assert_int_equal(state.own_bytes, stats.page_bytes + stats.metadata_bytes);
    assert_int_equal(owner_pages_in(quarry_account_owner(account), lane) << PAGE_SHIFT,
                     state.own_bytes);
}

void slab_end(void)
{
    slab_check();
    quarry_slab_destroy(slab);
    slab = NULL;
    quarry_epoch_destroy(epoch);
    struct quarry_account_state state;
    quarry_account_read(account, &state);
    assert_int_equal(state.charged_bytes, 0);
    assert_int_equal(owner_pages_in(quarry_account_owner(account), lane), 0);
    quarry_account_destroy(account);
    heap_end();
}

int slab_set_up(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){0});
    return 0;
}

int slab_tear_down(void **state)
{
    (void)state;
    slab_end();
    return 0;
}

/* ---- contents ------------------------------------------------------------------------------- */

void fill(void *data, size_t bytes, uint64_t key)
{
    uint64_t *word = data;

    for (size_t i = 0; i < bytes / sizeof(*word); i++) {
        word[i] = key + i * UINT64_C(0x9e3779b97f4a7c15) * (i != 0);
    }
}

bool is_filled(const void *data, size_t bytes, uint64_t key)
{
    const uint64_t *word = data;

    for (size_t i = 0; i < bytes / sizeof(*word); i++) {
        if (word[i] != key + i * UINT64_C(0x9e3779b97f4a7c15) * (i != 0)) {
            return false;
        }
    }
    return true;
}

quarry_ref take_filled(size_t bytes, uint64_t key)
{
    struct quarry_cell cell;

    assert_int_equal(quarry_slab_take(slab, bytes, &cell), QUARRY_OK);
    assert_non_null(cell.data);
    assert_ptr_equal(quarry_slab_data(slab, cell.ref), cell.data);
    assert_true(quarry_slab_cell_bytes(slab, cell.ref) >= bytes);
    assert_int_equal((uintptr_t)cell.data % (bytes > 512 ? 16 : 8), 0);
    fill(cell.data, bytes, key);
    return cell.ref;
}

/* ---- an index ------------------------------------------------------------------------------- */

void index_put(uint64_t key, size_t bytes)
{
    assert_true(key < INDEX_KEYS && bytes >= 8);
    assert_int_equal(index_slots[key].ref, QUARRY_REF_NIL);
    index_slots[key].bytes = (uint32_t)bytes;
    index_slots[key].ref = take_filled(bytes, key);
}

void index_remove(uint64_t key)
{
    quarry_ref ref = index_slots[key].ref;

    assert_true(is_filled(quarry_slab_data(slab, ref), index_slots[key].bytes, key));
    index_slots[key].ref = QUARRY_REF_NIL;
    quarry_slab_give(slab, ref);
}

void index_check(void)
{
    for (uint64_t key = 0; key < INDEX_KEYS; key++) {
        quarry_ref ref = index_slots[key].ref;
        if (ref != QUARRY_REF_NIL) {
            const void *data = quarry_slab_data(slab, ref);
            assert_non_null(data);
            assert_true(is_filled(data, index_slots[key].bytes, key));
        }
    }
}

void index_clear(void)
{
    for (uint64_t key = 0; key < INDEX_KEYS; key++) {
        if (index_slots[key].ref != QUARRY_REF_NIL) {
            index_remove(key);
        }
    }
}

bool index_move(void *argument, quarry_ref old_ref, const void *old_data, quarry_ref new_ref,
                void *new_data, size_t bytes)
{
    uint64_t key = *(const uint64_t *)old_data;

    (void)argument;
    if (key >= INDEX_KEYS || index_slots[key].ref != old_ref) {
        return false;
    }
    memcpy(new_data, old_data, bytes);
    index_slots[key].ref = new_ref;
    return true;
}
