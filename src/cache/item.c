/*
 * Items: how they are laid out, and reading a cell that may not be one.
 *
 * 12 bytes before the key of an item that never expires, has no client flags and is of the default
 * tenant; each optional field costs its own size. There is no end mark behind a value: the door
 * sends its own CR LF, and two bytes an item are 2 % of small ones.
 *
 * Fields are found by a table of 64 sums, one load instead of six tests.
 *
 * Guesses. Who empties a page, or finds a ref in a queue, looks into a cell that may have been
 * taken anew a moment ago and is being written. Whatever is read of it then is bounded by the cell,
 * copied, and believed only if the index leads from the key to this very cell. Such reads are meant
 * to race; they are the only ones that do.
 */
#include <cache/item.h>

#include <string.h>

#include <os/os.h>

#define FIELDS(flags)                                                                              \
    (uint8_t)(CACHE_ITEM_BYTES + ((flags)&1) * 4 + ((flags) >> 1 & 1) * 8 +                        \
              ((flags) >> 2 & 1) * 16 + ((flags) >> 3 & 1) * 4 + ((flags) >> 4 & 1) * 4 +          \
              ((flags) >> 5 & 1) * 2)
#define FIELDS_4(flags) FIELDS(flags), FIELDS((flags) + 1), FIELDS((flags) + 2), FIELDS((flags) + 3)
#define FIELDS_16(flags)                                                                           \
    FIELDS_4(flags), FIELDS_4((flags) + 4), FIELDS_4((flags) + 8), FIELDS_4((flags) + 12)

const uint8_t cache_item_prefix[64] = {FIELDS_16(0), FIELDS_16(16), FIELDS_16(32), FIELDS_16(48)};

/* ---- making items --------------------------------------------------------------------------- */

uint32_t cache_item_plan_fields(const struct cache_item_plan *plan)
{
    uint32_t fields = (plan->expiry != 0 ? CACHE_HEAD_EXPIRY : 0) |
                      (plan->cas != 0 ? CACHE_HEAD_CAS : 0) |
                      (plan->client_flags != 0 ? CACHE_HEAD_FLAGS : 0) |
                      (plan->tenant_id != 0 ? CACHE_HEAD_TENANT : 0) |
                      (plan->value_bytes >= CACHE_PIN_BYTES_MIN ? CACHE_HEAD_PINS : 0);

    if (plan->value_bytes > CACHE_EXTENT_BYTES ||
        cache_item_plan_bytes(plan, fields) > CACHE_EXTENT_BYTES) {
        /* Its expiry and its cas change in place: a copy would have to share the extents. */
        fields |= CACHE_HEAD_LARGE | CACHE_HEAD_EXPIRY | CACHE_HEAD_CAS;
    }
    return fields;
}

size_t cache_item_plan_bytes(const struct cache_item_plan *plan, uint32_t fields)
{
    size_t bytes = cache_item_key_offset(fields) + plan->key_bytes;

    if ((fields & CACHE_HEAD_LARGE) != 0) {
        return size_max(bytes, CACHE_ALIGNED_BYTES_MIN);
    }
    return bytes + plan->value_bytes;
}

char *cache_item_lay(void *cell, const struct cache_item_plan *plan, uint32_t fields,
                     const void *key)
{
    struct cache_item *item = cell;
    bool is_large = (fields & CACHE_HEAD_LARGE) != 0;
    uint32_t head = fields | (is_large ? 0 : (uint32_t)plan->value_bytes);

    Q_ASSERT(plan->key_bytes - 1 < QUARRY_CACHE_KEY_BYTES_MAX);
    Q_ASSERT(is_large || plan->value_bytes <= CACHE_EXTENT_BYTES);
    /* Release: who guesses at the cell and sees what follows sees that it is not VALID. */
    atomic_store_release_u32(&item->head, head);
    item->key_bytes = (uint8_t)plan->key_bytes;
    cache_item_set_sequence(item, 0);
    if ((fields & CACHE_HEAD_EXPIRY) != 0) {
        atomic_store_relaxed_u32(cache_item_expiry_field(item), plan->expiry);
    }
    if ((fields & CACHE_HEAD_CAS) != 0) {
        memcpy(cache_item_cas_field(item, head), &plan->cas, sizeof(plan->cas));
    }
    if (is_large) {
        memcpy(cache_item_large_fields(item, head), (uint64_t[]){plan->value_bytes, 0}, 16);
    }
    if ((fields & CACHE_HEAD_FLAGS) != 0) {
        memcpy(cache_item_flags_field(item, head), &plan->client_flags, 4);
    }
    if ((fields & CACHE_HEAD_PINS) != 0) {
        atomic_store_relaxed_u32(cache_item_pins_field(item, head), 0);
    }
    if ((fields & CACHE_HEAD_TENANT) != 0) {
        memcpy(cache_item_tenant_field(item, head), &(uint16_t){(uint16_t)plan->tenant_id}, 2);
    }
    char *at = (char *)cell + cache_item_key_offset(head);
    memcpy(at, key, plan->key_bytes);
    return at + plan->key_bytes;
}

/* ---- guesses -------------------------------------------------------------------------------- */

/* Words of a cell, wherever they lie. */
typedef uint64_t loose_u64 __attribute__((aligned(1), may_alias));

/* Word by word, the last of which may overlap; what is shorter than one byte by byte. */
__attribute__((no_sanitize("thread"), noinline)) static void copy_racy(void *to, const void *from,
                                                                       size_t bytes)
{
    const volatile unsigned char *source = from;
    volatile unsigned char *target = to;

    if (bytes < sizeof(uint64_t)) {
        for (size_t i = 0; i < bytes; i++) {
            target[i] = source[i];
        }
        return;
    }
    size_t last = bytes - sizeof(uint64_t);
    for (size_t i = 0; i < last; i += sizeof(uint64_t)) {
        *(volatile loose_u64 *)(target + i) = *(const volatile loose_u64 *)(source + i);
    }
    *(volatile loose_u64 *)(target + last) = *(const volatile loose_u64 *)(source + last);
}

__attribute__((no_sanitize("thread"), noinline)) static uint8_t
key_bytes_racy(const struct cache_item *item)
{
    return *(const volatile uint8_t *)&item->key_bytes;
}

static bool guess_extent(const void *data, size_t bytes, struct cache_guess *guess)
{
    struct cache_extent extent;

    if (bytes < sizeof(extent)) {
        return false;
    }
    copy_racy(&extent, data, sizeof(extent));
    guess->tenant_id = extent.tenant_id;
    guess->hash = extent.hash;
    guess->key_bytes = 0;
    return true;
}

bool cache_item_guess(const void *data, size_t bytes, struct cache_guess *ret_guess)
{
    const struct cache_item *item = data;
    uint32_t head = bytes < CACHE_ITEM_BYTES ? 0 : cache_item_head(item);
    uint32_t offset = cache_item_key_offset(head);
    uint16_t tenant_id = 0;

    ret_guess->head = head;
    if ((head & CACHE_HEAD_VALID) == 0) {
        return false;
    }
    if ((head & CACHE_HEAD_EXTENT) != 0) {
        return guess_extent(data, bytes, ret_guess);
    }
    uint8_t key_bytes = key_bytes_racy(item);
    if (key_bytes == 0 || (size_t)offset + key_bytes > bytes) {
        return false;
    }
    if ((head & CACHE_HEAD_TENANT) != 0) {
        copy_racy(&tenant_id, cache_item_tenant_field(item, head), sizeof(tenant_id));
    }
    copy_racy(ret_guess->key, cache_item_key(item, head), key_bytes);
    ret_guess->tenant_id = tenant_id;
    ret_guess->key_bytes = key_bytes;
    ret_guess->hash = 0;
    return true;
}
