/*
 * Rows for the statistics segment: the tree as `quarry top` shows it.
 *
 * The object heap's census asks for them, through a hook, because `mem` lies below. When there are
 * more accounts than rows, the first of the tree are shown, each before those below it, and the
 * count says that there are more.
 *
 * Values are hits by the second and MiB, in thousandths: whole numbers, as everything in the
 * segment is.
 */
#include <budget/rows.h>

#include <string.h>

#include <budget/state.h>

Q_STATIC_ASSERT(MEM_STATS_NAME_BYTES == QUARRY_NAME_BYTES, "names fit");
Q_STATIC_ASSERT(MEM_STATS_ACCOUNT_DEPTH_MAX == BUDGET_DEPTH_MAX, "levels fit");
Q_STATIC_ASSERT(MEM_STATS_PRESSURE_LEVELS == QUARRY_PRESSURE_CRITICAL + 1, "levels fit");

/* The largest that a double holds exactly. */
#define MILLI_MAX ((double)((uint64_t)1 << 53))

static uint64_t milli_per_mib(double value)
{
    double milli = value * (double)Q_MIB(1) * 1000.0;

    return milli < MILLI_MAX ? (uint64_t)milli : (uint64_t)MILLI_MAX;
}

static struct mem_stats_account row_of(const struct quarry_account_state *state)
{
    struct mem_stats_account row = {
        .owner = state->owner,
        .depth = state->depth,
        .share = state->share,
        .priority = state->priority,
        .own_bytes = state->own_bytes,
        .charged_bytes = state->charged_bytes,
        .peak_bytes = state->peak_bytes,
        .floor_bytes = state->floor_bytes,
        .ceiling_bytes = state->ceiling_bytes,
        .target_bytes = state->target_bytes,
        .refused_count = state->refused_count,
        .asked_count = state->asked_count,
        .reclaimed_bytes = state->reclaimed_bytes,
        .growth_milli_per_mib = milli_per_mib(state->growth_value),
        .loss_milli_per_mib = milli_per_mib(state->loss_value),
        .is_elastic = state->is_elastic,
    };

    memcpy(row.name, state->name, sizeof(row.name));
    return row;
}

void budget_fill_census(void *argument, struct mem_census *census)
{
    struct budget *budget = argument;
    uint64_t account_count = 0;

    os_mutex_lock(&budget->mutex);
    for (struct quarry_account *account = &budget->root; account != NULL;
         account = budget_after(&budget->root, account)) {
        if (account_count < MEM_STATS_ACCOUNTS_MAX) {
            struct quarry_account_state state;
            budget_account_state(account, &state);
            census->account[account_count] = row_of(&state);
        }
        account_count++;
    }
    census->totals.target_move_count = budget->arbiter.move_count;
    os_mutex_unlock(&budget->mutex);
    census->account_count = (uint32_t)size_min_u64(account_count, MEM_STATS_ACCOUNTS_MAX);
    census->totals.account_count = account_count;
    census->totals.pressure = atomic_load_relaxed_u32(&budget->pressure.level);
}
