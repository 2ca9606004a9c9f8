/*
 * Limbo: one stamp for all that was retired between two turns.
 *
 * A stamp of its own for each object would let some of them go earlier, by one turn at most, and
 * cost 8 bytes in each symbol.
 *
 * Invariants
 *   1. What is in `waiting` was out of reach when `stamp` was taken.
 *   2. `stamp` is 0 before the first turn alone. Who keeps lists beside limbo moves them whenever a
 *      turn says so.
 *
 *   3. `retired_bytes` is what both lists occupy.
 *
 * Locking: the owner's.
 */
#include <tsdb/limbo.h>

void tsdb_limbo_init(struct tsdb_limbo *limbo, const struct tsdb_memory *memory,
                     struct quarry_epoch *epoch)
{
    Q_ASSERT(memory != NULL && epoch != NULL);
    *limbo = (struct tsdb_limbo){.memory = memory, .epoch = epoch};
}

static void give_all(struct tsdb_limbo *limbo, struct tsdb_retired **list)
{
    while (*list != NULL) {
        struct tsdb_retired *first = *list;
        *list = first->next;
        (void)atomic_sub_relaxed_u64(&limbo->retired_bytes,
                                     tsdb_memory_usable(limbo->memory, first));
        tsdb_memory_give(limbo->memory, first);
    }
}

void tsdb_limbo_fini(struct tsdb_limbo *limbo)
{
    give_all(limbo, &limbo->waiting);
    give_all(limbo, &limbo->fresh);
}

bool tsdb_limbo_turn(struct tsdb_limbo *limbo)
{
    if (limbo->stamp != 0 && !ref_epoch_is_past(limbo->epoch, limbo->stamp)) {
        return false;
    }
    give_all(limbo, &limbo->waiting);
    limbo->waiting = limbo->fresh;
    limbo->fresh = NULL;
    limbo->stamp = ref_epoch_now(limbo->epoch);
    return true;
}
