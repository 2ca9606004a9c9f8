/*
 * The arbiter: shifts memory to where one more byte brings most hits.
 *
 * An elastic account says, a few times a second, how many hits its ghosts would have been, and how
 * many the coldest part of what it holds was. By the byte and the second these are what it would
 * gain by growing and lose by shrinking:
 *
 *   hits/s │        ╱‾‾‾‾‾‾‾
 *          │     ╱‾
 *          │   ╱·······● growth value: slope on the right, ghost hits / ghost bytes
 *          │  ╱·····●    loss value: slope on the left, tail hits / tail bytes
 *          └──────────┴────────── bytes held
 *                   target
 *
 * As long as the greatest growth is well above the least loss (BUDGET_MOVE_RATIO, for
 * BUDGET_MOVE_TICKS ticks), a step moves from the one account to the other. Curves of caches are
 * concave as a rule, and then this ends where all slopes are about equal, which is the most hits
 * that the memory can bring. A step is at most a 64th of the room; it is halved each time the
 * direction of the last move is reversed, and doubled each time it is kept.
 *
 * Shares are where it begins: until the first move, targets are what shares give. From then on each
 * account has a weight, its part of the room, and a move shifts weight; so when the room changes,
 * all targets do, in proportion.
 *
 *   limit × 95 % = room for elastic accounts + everything else that is committed
 *
 * A twentieth is left free, as the scavenger has it, so that whoever needs memory finds some and
 * need not evict first. An account that does not fill its part has a loss of 0, and gains nothing;
 * so memory that is not used flows to where it would be.
 *
 * Invariants:
 *   1. Targets add up to no more than the room, floors excepted.
 *   2. floor ≤ target ≤ ceiling, for every account and above it; a ceiling beats floors below it.
 *   3. The same clock and the same values give the same moves.
 *   4. An account is told by one thread at a time, and last of its last target.
 *
 * Locking: the tree's mutex for the arithmetic; accounts are asked and told without it.
 * Cost: O(accounts) a tick.
 *
 * Rejected: moving by the values of one tick, which a burst misleads; and jumping to the optimum of
 * fitted curves, which says nothing about how wrong the fit is.
 *
 * Source: CacheLib's marginal hits; the ghosts of ARC.
 */
#include <budget/arbiter.h>

#include <budget/tick.h>

/* Time in which an average forgets two thirds: doubling it halves the noise and the speed. */
#define WORTH_AVERAGE_NS (1 * Q_SECOND_NS)
/* The least step, as a part of the room: about what evictions make of noise. */
#define STEP_LEAST_PART 1024u
/* An account fills its part when no more than this part of it is lacking. */
#define FILLED_PART 8u

/* ---- sampling ------------------------------------------------------------------------------- */

static bool is_elastic(const struct quarry_account *account)
{
    return account->functions.value != NULL;
}

/* Hits by the byte and the second. */
static double value_of(uint64_t hits, uint64_t bytes, uint64_t passed_ns)
{
    if (bytes == 0) {
        return 0.0;
    }
    return (double)hits / (double)bytes / ((double)passed_ns / (double)Q_SECOND_NS);
}

static void average(double *mean, double value, uint64_t passed_ns, bool is_first)
{
    double part = (double)passed_ns / (double)(passed_ns + WORTH_AVERAGE_NS);

    *mean += is_first ? value - *mean : (value - *mean) * part;
}

static void worth_update(struct budget_worth *worth, const struct quarry_account_value *value,
                         uint64_t passed_ns)
{
    average(&worth->growth_value, value_of(value->ghost_hits, value->ghost_bytes, passed_ns),
            passed_ns, !worth->has_values);
    average(&worth->loss_value, value_of(value->tail_hits, value->tail_bytes, passed_ns), passed_ns,
            !worth->has_values);
    worth->has_values = true;
}

/* Asks every elastic account. `passed_ns` 0: only to begin their counts anew. */
static bool sample_all(struct budget *budget, uint64_t passed_ns)
{
    struct quarry_account *account = NULL;
    bool has_any = false;

    while ((account = budget_tour(budget, account, is_elastic)) != NULL) {
        struct quarry_account_value value = {0};
        account->functions.value(account->functions.argument, &value);
        os_mutex_lock(&budget->mutex);
        if (passed_ns > 0) {
            worth_update(&account->worth, &value, passed_ns);
        }
        os_mutex_unlock(&budget->mutex);
        has_any = has_any || value.ghost_hits + value.tail_hits > 0;
    }
    return has_any;
}

/* ---- targets -------------------------------------------------------------------------------- */

/* What everything that is not elastic leaves, after budget_share_gather. */
static uint64_t room_bytes(const struct budget *budget)
{
    uint64_t limit_bytes = budget_limit_bytes(budget);
    uint64_t committed_bytes = page_commit_read(&budget->heap->commit).committed_bytes;
    uint64_t movable_bytes =
        sat_add_u64(budget->root.worth.elastic_bytes, budget->arbiter.free_backed_bytes);

    return sat_sub_u64(limit_bytes / 100 * PAGE_LIMIT_GOAL_PERCENT,
                       sat_sub_u64(committed_bytes, movable_bytes));
}

void budget_arbiter_distribute_locked(struct budget *budget)
{
    struct budget_arbiter *arbiter = &budget->arbiter;

    budget_share_gather(&budget->root);
    arbiter->limit_bytes = budget_limit_bytes(budget);
    arbiter->room_bytes = room_bytes(budget);
    budget_share_divide(&budget->root, arbiter->room_bytes);
}

void budget_arbiter_join_locked(struct quarry_account *account)
{
    struct budget *budget = account->budget;

    budget_share_gather(&budget->root);
    if (budget->arbiter.move_count == 0) {
        budget_share_weigh(&budget->root);
    } else {
        /* The others keep their proportions. */
        double fraction = budget_share_fraction(account);
        double others = budget->root.worth.weight_sum - account->worth.weight_sum;
        account->worth.weight = fraction < 1.0 ? others * fraction / (1.0 - fraction) : 1.0;
    }
    budget_arbiter_distribute_locked(budget);
}

static bool wants_to_know(const struct quarry_account *account)
{
    return is_elastic(account) && account->functions.set_target != NULL &&
           !account->worth.is_telling &&
           account->worth.told_target_bytes != atomic_load_relaxed_u64(&account->target_bytes);
}

/* Invariant 4. */
static void tell_target(struct quarry_account *account)
{
    struct os_mutex *mutex = &account->budget->mutex;

    os_mutex_lock(mutex);
    while (wants_to_know(account)) {
        uint64_t target_bytes = atomic_load_relaxed_u64(&account->target_bytes);
        account->worth.told_target_bytes = target_bytes;
        account->worth.is_telling = true;
        os_mutex_unlock(mutex);
        account->functions.set_target(account->functions.argument, target_bytes);
        os_mutex_lock(mutex);
        account->worth.is_telling = false;
    }
    os_mutex_unlock(mutex);
}

static void tell_targets(struct budget *budget)
{
    struct quarry_account *account = NULL;

    while ((account = budget_tour(budget, account, wants_to_know)) != NULL) {
        tell_target(account);
    }
}

void budget_arbiter_follow_limit(struct budget *budget)
{
    bool is_changed;

    os_mutex_lock(&budget->mutex);
    is_changed = budget->arbiter.limit_bytes != budget_limit_bytes(budget);
    if (is_changed) {
        budget_arbiter_distribute_locked(budget);
    }
    os_mutex_unlock(&budget->mutex);
    if (is_changed) {
        tell_targets(budget);
    }
}

/* ---- moving --------------------------------------------------------------------------------- */

struct move {
    struct quarry_account *donor, *gainer; /* NULL: none */
    double donor_loss;
};

static uint64_t target_of(const struct quarry_account *account)
{
    return atomic_load_relaxed_u64(&account->target_bytes);
}

static uint64_t charged_of(const struct quarry_account *account)
{
    return atomic_load_relaxed_u64(&account->charged_bytes);
}

/* Whether it gains by a higher target: it has filled this one, and is below its ceiling. */
static bool can_gain(const struct quarry_account *account)
{
    uint64_t target_bytes = target_of(account);

    return account->worth.growth_value > 0.0 && target_bytes < account->worth.high_bytes &&
           charged_of(account) >= target_bytes - target_bytes / FILLED_PART;
}

static double loss_of(const struct quarry_account *account, uint64_t step_bytes)
{
    bool is_unused = sat_add_u64(charged_of(account), step_bytes) <= target_of(account);

    return is_unused ? 0.0 : account->worth.loss_value;
}

/* Elastic accounts that are to stay, in the order of the tree, from after `account`. */
static struct quarry_account *next_elastic(struct budget *budget, struct quarry_account *account)
{
    do {
        account = budget_after(&budget->root, account);
    } while (account != NULL && (!is_elastic(account) || account->is_ending));
    return account;
}

/* The one with the greatest growth value, and another with the least loss value. */
static struct move find_move(struct budget *budget, uint64_t step_bytes)
{
    struct quarry_account *root = &budget->root;
    struct move move = {0};

    for (struct quarry_account *account = root; (account = next_elastic(budget, account));) {
        if (can_gain(account) && (move.gainer == NULL ||
                                  account->worth.growth_value > move.gainer->worth.growth_value)) {
            move.gainer = account;
        }
    }
    for (struct quarry_account *account = root; (account = next_elastic(budget, account));) {
        double loss = loss_of(account, step_bytes);
        if (account != move.gainer && account->worth.has_values &&
            target_of(account) > account->worth.low_bytes &&
            (move.donor == NULL || loss < move.donor_loss)) {
            move.donor = account;
            move.donor_loss = loss;
        }
    }
    return move;
}

static bool does_pay(const struct move *move)
{
    return move->gainer != NULL && move->donor != NULL &&
           move->gainer->worth.growth_value > BUDGET_MOVE_RATIO * move->donor_loss;
}

/* Twice the last step in the same direction, half of it after a reversal. */
static uint64_t next_step_bytes(const struct budget_arbiter *arbiter, const struct move *move)
{
    uint64_t most_bytes = arbiter->room_bytes / BUDGET_STEP_PART;
    uint64_t bytes = arbiter->step_bytes == 0 ? most_bytes : arbiter->step_bytes;

    if (arbiter->donor == move->gainer && arbiter->gainer == move->donor) {
        bytes /= 2;
    } else if (arbiter->donor == move->donor && arbiter->gainer == move->gainer) {
        bytes *= 2;
    }
    return size_min_u64(size_max_u64(bytes, arbiter->room_bytes / STEP_LEAST_PART), most_bytes);
}

/* Targets become weights, with a step from the one to the other. */
static void make_move(struct budget *budget, const struct move *move, uint64_t step_bytes)
{
    struct quarry_account *root = &budget->root;

    for (struct quarry_account *account = root; (account = next_elastic(budget, account));) {
        uint64_t bytes = target_of(account);
        if (account == move->gainer) {
            bytes += step_bytes;
        } else if (account == move->donor) {
            bytes = sat_sub_u64(bytes, step_bytes);
        }
        account->worth.weight = (double)bytes / (double)budget->arbiter.room_bytes;
    }
}

static void arbitrate_locked(struct budget *budget)
{
    struct budget_arbiter *arbiter = &budget->arbiter;

    budget_arbiter_distribute_locked(budget);
    if (arbiter->room_bytes < BUDGET_STEP_PART) {
        return;
    }
    struct move move = find_move(budget, arbiter->room_bytes / BUDGET_STEP_PART);
    arbiter->streak = does_pay(&move) ? arbiter->streak + 1 : 0;
    if (arbiter->streak < BUDGET_MOVE_TICKS) {
        return;
    }
    arbiter->step_bytes = next_step_bytes(arbiter, &move);
    arbiter->donor = move.donor;
    arbiter->gainer = move.gainer;
    arbiter->move_count++;
    make_move(budget, &move, arbiter->step_bytes);
    budget_arbiter_distribute_locked(budget);
}

bool budget_arbitrate(struct budget *budget, uint64_t now_ns)
{
    struct budget_arbiter *arbiter = &budget->arbiter;
    uint64_t free_backed_bytes = page_heap_free_backed_bytes(budget->heap);
    uint64_t passed_ns = arbiter->sampled_at_ns == 0 ? 0 : now_ns - arbiter->sampled_at_ns;

    bool has_hits = sample_all(budget, passed_ns);
    arbiter->sampled_at_ns = now_ns;
    os_mutex_lock(&budget->mutex);
    arbiter->free_backed_bytes = free_backed_bytes;
    arbitrate_locked(budget);
    os_mutex_unlock(&budget->mutex);
    tell_targets(budget);
    return has_hits;
}
