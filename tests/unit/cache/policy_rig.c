#include "unit/cache/policy_rig.h"

#include <stdio.h>
#include <string.h>

#define VALUE_BYTES_MAX Q_MIB(2)
#define TURNS_MAX       200000u

struct quarry_cache *cache;
struct quarry_cache_tenant *tenant;

/* Values that were not what they should be. Counted, for threads cannot fail a test. */
static _Atomic uint64_t wrong_count;

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

void policy_begin(const struct policy_setup *setup)
{
    struct quarry_cache_options options = {
        .size_bytes = setup->size_bytes != 0 ? setup->size_bytes : Q_MIB(64),
        .value_bytes_max = setup->value_bytes_max != 0 ? setup->value_bytes_max : VALUE_BYTES_MAX,
        .never_evicts = setup->never_evicts,
        .has_no_thread = !setup->has_thread,
        .file_path = setup->disk_bytes != 0 ? "data/cache" : NULL,
    };
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){.limit_bytes = setup->limit_bytes,
                                    .reserved_bytes = Q_GIB(64),
                                    .has_real_backing = true,
                                    .disk_capacity_bytes = setup->disk_bytes});
    if (quarry_cache_create(memory_of_heap(), &options, &cache, &error) != QUARRY_OK) {
        fail_msg("quarry_cache_create: %s", error.text);
    }
    tenant = quarry_cache_default_tenant(cache);
}

void policy_check(void)
{
    struct quarry_error error = {0};

    assert_int_equal(atomic_load_relaxed_u64(&wrong_count), 0);
    if (quarry_cache_validate(cache, &error) != QUARRY_OK ||
        quarry_accounts_validate(memory_of_heap(), &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
}

void policy_end(void)
{
    policy_check();
    quarry_cache_close(cache);
    cache = NULL;
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
}

int policy_set_up(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(16)});
    return 0;
}

int policy_tear_down(void **state)
{
    (void)state;
    policy_end();
    return 0;
}

struct quarry_cache_tenant *policy_tenant(const char *name, uint64_t quota_bytes,
                                          uint64_t share_bytes)
{
    struct quarry_cache_tenant_options options = {name, quota_bytes, share_bytes};
    struct quarry_cache_tenant *made = NULL;

    assert_int_equal(quarry_cache_add_tenant(cache, &options, &made, NULL), QUARRY_OK);
    return made;
}

/* ---- items ---------------------------------------------------------------------------------- */

struct name {
    char text[24];
    struct quarry_cache_key key;
};

static void name_make(struct name *name, const struct quarry_cache_tenant *of, uint64_t n)
{
    int length = snprintf(name->text, sizeof(name->text), "key-%llu", (unsigned long long)n);

    name->key = quarry_cache_key_make(of, name->text, (size_t)length);
}

/* The byte of a value at a place: told by the number. */
static unsigned char byte_of(uint64_t n, size_t at)
{
    return (unsigned char)(n * 131 + at / 64 + at);
}

enum quarry_cache_outcome put_to(struct quarry_cache_tenant *to, uint64_t n, size_t bytes,
                                 uint32_t expiry)
{
    static _Thread_local unsigned char value[VALUE_BYTES_MAX];
    struct quarry_cache_store_options options = {.expiry = expiry};
    struct name name;

    name_make(&name, to, n);
    for (size_t at = 0; at < bytes; at++) {
        value[at] = byte_of(n, at);
    }
    return quarry_cache_store(to, &name.key, value, bytes, &options, NULL);
}

enum quarry_cache_outcome put(uint64_t n, size_t bytes)
{
    return put_to(tenant, n, bytes, 0);
}

static bool piece_is_right(const struct quarry_cache_piece *piece, uint64_t n, size_t at)
{
    const unsigned char *bytes = piece->bytes;
    size_t last = piece->byte_count - 1;

    return piece->byte_count == 0 ||
           (bytes[0] == byte_of(n, at) && bytes[last] == byte_of(n, at + last));
}

static void value_check(const struct quarry_cache_hit *hit, uint64_t n)
{
    struct quarry_cache_piece pieces[64];
    size_t count = quarry_cache_pieces(cache, hit, 0, pieces, 64), at = 0;
    bool is_right = true;

    for (size_t i = 0; i < count; i++) {
        is_right &= piece_is_right(&pieces[i], n, at);
        at += pieces[i].byte_count;
    }
    if (!is_right || at != hit->value_bytes) {
        (void)atomic_add_relaxed_u64(&wrong_count, 1);
    }
}

static bool look_up(struct quarry_cache_tenant *from, uint64_t n,
                    const struct quarry_cache_get_options *options)
{
    struct quarry_cache_hit hit;
    struct name name;

    name_make(&name, from, n);
    quarry_cache_enter(cache);
    bool is_there = quarry_cache_get(from, &name.key, options, &hit) == QUARRY_CACHE_HIT;
    if (is_there) {
        value_check(&hit, n);
    }
    quarry_cache_leave(cache);
    return is_there;
}

bool get_from(struct quarry_cache_tenant *from, uint64_t n)
{
    return look_up(from, n, NULL);
}

bool get(uint64_t n)
{
    return get_from(tenant, n);
}

uint64_t count_of(struct quarry_cache_tenant *from, uint64_t first, uint64_t last)
{
    const struct quarry_cache_get_options quietly = {.leaves_no_trace = true};
    uint64_t count = 0;

    for (uint64_t n = first; n < last; n++) {
        count += look_up(from, n, &quietly);
    }
    return count;
}

/* ---- turns and figures ---------------------------------------------------------------------- */

uint32_t turn_all(void)
{
    uint32_t count = 1;

    while (quarry_cache_turn(cache)) {
        assert_true(count++ < TURNS_MAX);
    }
    return count;
}

struct quarry_cache_tenant_stats stats_of(const struct quarry_cache_tenant *of)
{
    struct quarry_cache_tenant_stats stats;

    quarry_cache_read_tenant(of, &stats);
    return stats;
}

struct quarry_cache_stats stats_now(void)
{
    struct quarry_cache_stats stats;

    quarry_cache_read_stats(cache, &stats);
    return stats;
}
