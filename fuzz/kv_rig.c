#include "fuzz/kv_rig.h"

struct kv_tables *fuzz_tables(void)
{
    static const struct quarry_kv_comparator bytewise = {.name = "leveldb.BytewiseComparator"};
    static struct kv_tables tables;
    static bool is_made;

    if (is_made) {
        return &tables;
    }
    const struct quarry_memory_options memory_options = {.limit_bytes = UINT64_C(256) << 20,
                                                         .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "kv"};
    const struct quarry_block_cache_options cache_options = {.name = "block",
                                                             .capacity_bytes = 4u << 20};
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;
    struct kv_tables_options options = {.comparator = &bytewise};

    Q_ASSERT(quarry_memory_create(&memory_options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &options.account, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "tables", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(options.account), &options.pool) ==
             QUARRY_OK);
    Q_ASSERT(quarry_block_cache_create(memory, &cache_options, &options.cache, NULL) == QUARRY_OK);
    Q_ASSERT(kv_tables_init(&tables, &options, NULL) == QUARRY_OK);
    is_made = true;
    return &tables;
}
