#include "unit/serve/memcached_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

const size_t rig_split_step = 1;

struct quarry_cache *rig_cache_create(void)
{
    return reference_cache_create(0);
}

void rig_cache_close(struct quarry_cache *cache)
{
    assert_int_equal(reference_cache_pins(cache), 0);
    assert_int_equal(reference_cache_writes(cache), 0);
    quarry_cache_close(cache);
}

void rig_set_pieces(struct rig *rig, size_t piece_bytes, bool refuses_pins)
{
    reference_cache_set_piece_bytes(rig->cache, piece_bytes);
    reference_cache_refuse_pins(rig->cache, refuses_pins);
}
