/*
 * Any bytes as a batch: it is read to its end or refused; what is accepted can be appended to
 * another, indexed and put into a memtable, and each change is found again.
 */
#include <kv/batch.h>
#include <kv/batch_index.h>
#include <kv/memtable.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct quarry_memory *memory;
static struct kv_memory kv_memory;
static struct quarry_arena_keeper *keeper;

/* Once for the process. */
static void begin(void)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "kv"};
    const struct quarry_lane_options lane_options = {.name = "memtables"};
    struct quarry_lifetime *lifetime = NULL;
    struct quarry_lane *lane = NULL;

    Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_account_create(memory, &account_options, &kv_memory.account, NULL) ==
             QUARRY_OK);
    Q_ASSERT(quarry_lifetime_begin(memory, "kv objects", &lifetime, NULL) == QUARRY_OK);
    Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(kv_memory.account),
                                &kv_memory.pool) == QUARRY_OK);
    Q_ASSERT(quarry_lane_create(memory, &lane_options, &lane, NULL) == QUARRY_OK);
    const struct quarry_arena_options arena_options = {.lane = lane, .account = kv_memory.account};
    Q_ASSERT(quarry_arena_keeper_create(memory, &arena_options, &keeper, NULL) == QUARRY_OK);
}

static struct kv_memtable *fill_memtable(struct kv_slice data)
{
    const struct kv_memtable_options options = {.keeper = keeper,
                                                .memory = &kv_memory,
                                                .comparator = &kv_bytewise,
                                                .capacity_bytes = Q_MIB(4)};
    struct kv_memtable *memtable = NULL;
    struct kv_memtable_plan plan;

    Q_ASSERT(kv_memtable_create(&options, &memtable, NULL) == QUARRY_OK);
    Q_ASSERT(kv_memtable_plan(data, &plan, NULL) == QUARRY_OK);
    Q_ASSERT(kv_memtable_prepare(memtable, &plan, 1) == QUARRY_OK);
    kv_memtable_apply(memtable, &plan, NULL);
    kv_memtable_validate(memtable);
    return memtable;
}

/* Each change but range deletes is what the index and the memtable have at its sequence. */
static void check_changes(struct kv_slice data, struct kv_memtable *memtable,
                          const struct kv_batch_index *index)
{
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    uint64_t sequence = 1;

    Q_ASSERT(kv_batch_cursor_init(&cursor, data, NULL) == QUARRY_OK);
    while (kv_batch_next(&cursor, &record, NULL) == QUARRY_OK) {
        struct kv_memtable_found found;
        struct kv_batch_found newest, own;
        if (record.is_change && record.type != KV_TYPE_RANGE_DELETE) {
            Q_ASSERT(kv_memtable_get(memtable, record.key, sequence, &found));
            Q_ASSERT(found.trailer == kv_trailer(sequence, record.type));
            Q_ASSERT(kv_compare_bytes(found.value, record.value) == 0);
            Q_ASSERT(kv_memtable_get(memtable, record.key, KV_SEQUENCE_MAX, &found));
            Q_ASSERT(kv_batch_index_get(index, record.key, 1, &newest));
            Q_ASSERT(newest.trailer == found.trailer);
            own = newest;
            while (own.trailer != kv_trailer(sequence, record.type)) {
                Q_ASSERT(kv_batch_index_older(index, 1, &own));
            }
        } else if (record.is_change && kv_compare_bytes(record.key, record.value) < 0) {
            Q_ASSERT(kv_memtable_cover(memtable, record.key, sequence) == sequence);
        }
        sequence += record.is_change;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kv_slice bytes = kv_slice(data, size < Q_KIB(256) ? size : Q_KIB(256));
    const struct kv_batch_options options = {.memory = &kv_memory,
                                             .comparator = &kv_bytewise,
                                             .key_bytes_max = Q_MIB(1),
                                             .value_bytes_max = Q_MIB(1)};
    struct quarry_kv_batch *batch = NULL;
    struct kv_batch_counts counts;
    struct quarry_error error = {0};

    if (memory == NULL) {
        begin();
    }
    if (kv_batch_check(bytes, &counts, &error) != QUARRY_OK) {
        Q_ASSERT(error.text[0] != '\0');
        return 0;
    }
    Q_ASSERT(kv_batch_create(&options, true, &batch) == QUARRY_OK);
    Q_ASSERT(quarry_kv_batch_append(batch, (struct quarry_kv_slice){bytes.bytes, bytes.count},
                                    NULL) == QUARRY_OK);
    Q_ASSERT(quarry_kv_batch_count(batch) == counts.change_count);
    kv_batch_index_validate(batch->index);
    struct kv_memtable *memtable = fill_memtable(kv_batch_slice(batch));
    check_changes(kv_batch_slice(batch), memtable, batch->index);
    kv_memtable_release(memtable);
    quarry_kv_batch_destroy(batch);
    return 0;
}
