/*
 * The rig over the real cache, on a page heap over the simulated os.
 */
#include "unit/serve/memcached_rig.h"

#include "unit/page/simulated_heap.h"

const size_t rig_split_step = 13;

struct quarry_cache *rig_cache_create(void)
{
    const struct quarry_cache_options options = {.size_bytes = Q_MIB(64), .has_no_thread = true};
    struct quarry_error error = {0};
    struct quarry_cache *cache = NULL;

    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(64), .has_real_backing = true});
    if (quarry_cache_create((struct quarry_memory *)heap, &options, &cache, &error) != QUARRY_OK) {
        fail_msg("quarry_cache_create: %s", error.text);
    }
    quarry_cache_shift_clock(cache, (int64_t)REFERENCE_START_SECONDS - quarry_cache_now(cache));
    return cache;
}

void rig_cache_close(struct quarry_cache *cache)
{
    struct quarry_error error = {0};

    if (quarry_cache_validate(cache, &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
    for (struct quarry_cache_tenant *tenant = quarry_cache_next_tenant(cache, NULL); tenant != NULL;
         tenant = quarry_cache_next_tenant(cache, tenant)) {
        struct quarry_cache_tenant_stats stats;

        quarry_cache_read_tenant(tenant, &stats);
        assert_int_equal(stats.pinned_bytes, 0);
    }
    quarry_cache_close(cache);
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
}

void rig_set_pieces(struct rig *rig, size_t piece_bytes, bool refuses_pins)
{
    (void)rig;
    (void)piece_bytes;
    (void)refuses_pins;
}
