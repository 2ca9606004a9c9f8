/*
 * Spare batches: a change that writes more than one key needs one, and making it takes some
 * microseconds; with an index where it reads what it has written. A few of both kinds are kept,
 * empty; one that has become long is not, for it keeps its memory.
 *
 * Locking: none; a place is emptied and filled by an exchange.
 */
#include <keyspace/types.h>

enum quarry_status keyspace_batch_take(struct keyspace *keyspace, bool is_indexed, bool never_waits,
                                       struct quarry_kv_batch **ret_batch)
{
    _Atomic(void *) *places = keyspace->batches[is_indexed];

    for (uint32_t i = 0; i < KEYSPACE_BATCHES; i++) {
        /* Relaxed: a hint. */
        if (atomic_load_relaxed_ptr(&places[i]) == NULL) {
            continue;
        }
        /* Acquire: pairs with the release in keyspace_batch_give. */
        struct quarry_kv_batch *batch = atomic_exchange_acquire_ptr(&places[i], NULL);
        if (batch != NULL) {
            quarry_kv_batch_set_waits(batch, !never_waits);
            *ret_batch = batch;
            return QUARRY_OK;
        }
    }
    return never_waits ? quarry_kv_batch_try_create(keyspace->kv, is_indexed, ret_batch)
                       : quarry_kv_batch_create(keyspace->kv, is_indexed, ret_batch);
}

void keyspace_batch_give(struct keyspace *keyspace, bool is_indexed, struct quarry_kv_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    bool is_long = quarry_kv_batch_data(batch).byte_count > KEYSPACE_BATCH_BYTES_MAX;
    if (!is_long) {
        quarry_kv_batch_clear(batch);
    }
    for (uint32_t i = 0; i < KEYSPACE_BATCHES && !is_long; i++) {
        void *none = NULL;
        /* Release: pairs with the acquire in keyspace_batch_take. */
        if (atomic_cas_acq_rel_ptr(&keyspace->batches[is_indexed][i], &none, batch)) {
            return;
        }
    }
    quarry_kv_batch_destroy(batch);
}

void keyspace_batches_end(struct keyspace *keyspace)
{
    for (uint32_t i = 0; i < KEYSPACE_BATCHES; i++) {
        quarry_kv_batch_destroy(atomic_exchange_acquire_ptr(&keyspace->batches[false][i], NULL));
        quarry_kv_batch_destroy(atomic_exchange_acquire_ptr(&keyspace->batches[true][i], NULL));
    }
}
