/*
 * Sharing: dividing bytes by weight, within bounds.
 *
 *            room
 *         ┌───┴───────────┐         at each account: by the weights of the subtrees,
 *        kv 3            cache 1    no part below its low or above its high,
 *     ┌───┴───┐        ┌──┴──┐      what that leaves over goes to the others by their weights
 *   block   table    acme zephyr
 *
 * Low and high come from the leaves up: of an elastic account its floor and ceiling; of one above,
 * what its children's add up to, and its own bounds less what its subtree holds that is not
 * elastic. A ceiling beats floors below it.
 *
 * Parts that pass a bound are fixed at it, those on the side that is further out first, and the
 * rest is divided anew, until none passes; each round fixes one at least.
 *
 * Recursion: BUDGET_DEPTH_MAX deep. Cost: O(accounts), times rounds, seldom more than three.
 *
 * Source: how CSS lays out flexible boxes.
 */
#include <budget/arbiter.h>

/* So that nothing is divided by 0. */
#define WEIGHT_LEAST 1e-9

/* ---- gathering ------------------------------------------------------------------------------ */

static void gather_elastic(struct quarry_account *account)
{
    struct budget_worth *worth = &account->worth;

    worth->has_elastic = !account->is_ending;
    worth->elastic_bytes = atomic_load_relaxed_u64(&account->charged_bytes);
    worth->low_bytes = atomic_load_relaxed_u64(&account->floor_bytes);
    worth->high_bytes = atomic_load_relaxed_u64(&account->ceiling_bytes);
    worth->weight_sum = worth->weight > WEIGHT_LEAST ? worth->weight : WEIGHT_LEAST;
}

/* Its own bounds, less what is not elastic, around what its children's add up to. */
static void gather_own_bounds(struct quarry_account *account)
{
    struct budget_worth *worth = &account->worth;
    uint64_t charged_bytes = atomic_load_relaxed_u64(&account->charged_bytes);
    uint64_t rest_bytes = sat_sub_u64(charged_bytes, worth->elastic_bytes);
    uint64_t ceiling_bytes = atomic_load_relaxed_u64(&account->ceiling_bytes);
    uint64_t floor_bytes = atomic_load_relaxed_u64(&account->floor_bytes);

    worth->low_bytes = size_max_u64(worth->low_bytes, sat_sub_u64(floor_bytes, rest_bytes));
    if (ceiling_bytes != BUDGET_NO_BOUND) {
        worth->high_bytes = size_min_u64(worth->high_bytes, sat_sub_u64(ceiling_bytes, rest_bytes));
    }
    worth->low_bytes = size_min_u64(worth->low_bytes, worth->high_bytes);
}

void budget_share_gather(struct quarry_account *account)
{
    struct budget_worth *worth = &account->worth;

    if (account->functions.value != NULL) {
        gather_elastic(account);
        return;
    }
    worth->has_elastic = false;
    worth->elastic_bytes = worth->low_bytes = worth->high_bytes = 0;
    worth->weight_sum = 0.0;
    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        budget_share_gather(child);
        if (child->worth.has_elastic) {
            worth->has_elastic = true;
            worth->elastic_bytes += child->worth.elastic_bytes;
            worth->low_bytes = sat_add_u64(worth->low_bytes, child->worth.low_bytes);
            worth->high_bytes = sat_add_u64(worth->high_bytes, child->worth.high_bytes);
            worth->weight_sum += child->worth.weight_sum;
        }
    }
    gather_own_bounds(account);
}

/* ---- shares --------------------------------------------------------------------------------- */

static double elastic_shares(const struct quarry_account *parent)
{
    double shares = 0.0;

    for (const struct quarry_account *child = parent->first_child; child != NULL;
         child = child->next_sibling) {
        shares += child->worth.has_elastic ? child->share : 0.0;
    }
    return shares;
}

double budget_share_fraction(const struct quarry_account *account)
{
    double fraction = 1.0;

    for (; account->parent != NULL; account = account->parent) {
        fraction *= account->share / elastic_shares(account->parent);
    }
    return fraction;
}

static void weigh(struct quarry_account *account, double fraction)
{
    double shares = elastic_shares(account);

    account->worth.weight_sum = fraction;
    if (account->functions.value != NULL) {
        account->worth.weight = fraction;
        return;
    }
    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        if (child->worth.has_elastic) {
            weigh(child, fraction * child->share / shares);
        }
    }
}

void budget_share_weigh(struct quarry_account *root)
{
    weigh(root, 1.0);
}

/* ---- dividing ------------------------------------------------------------------------------- */

/* What is left for the children of one account whose parts are not fixed. */
struct division {
    uint64_t left_bytes;
    double left_weight;
};

static uint64_t ideal_part(const struct division *division, const struct budget_worth *worth)
{
    if (division->left_weight <= worth->weight_sum) {
        return division->left_bytes; /* the only one */
    }
    return (uint64_t)((double)division->left_bytes * (worth->weight_sum / division->left_weight));
}

static bool is_open(const struct quarry_account *child)
{
    return child->worth.has_elastic && !child->worth.is_fixed;
}

static void fix(struct division *division, struct budget_worth *worth, uint64_t bytes)
{
    worth->part_bytes = bytes;
    worth->is_fixed = true;
    division->left_bytes = sat_sub_u64(division->left_bytes, bytes);
    division->left_weight -= worth->weight_sum;
}

/* Which side of the bounds the ideal parts pass by more: below 0, above 0, or none. */
static int side_to_fix(const struct quarry_account *account, const struct division *division)
{
    double below = 0.0, above = 0.0;

    for (const struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        if (is_open(child)) {
            uint64_t bytes = ideal_part(division, &child->worth);
            below += (double)sat_sub_u64(child->worth.low_bytes, bytes);
            above += (double)sat_sub_u64(bytes, child->worth.high_bytes);
        }
    }
    return below == 0.0 && above == 0.0 ? 0 : below >= above ? -1 : 1;
}

/* Fixes the parts beyond that side, or all that are left when there are none. */
static void fix_side(struct quarry_account *account, struct division *division, int side)
{
    const struct division before = *division;

    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        struct budget_worth *worth = &child->worth;
        if (!is_open(child)) {
            continue;
        }
        uint64_t bytes = ideal_part(&before, worth);
        if (side < 0 && bytes < worth->low_bytes) {
            fix(division, worth, worth->low_bytes);
        } else if (side > 0 && bytes > worth->high_bytes) {
            fix(division, worth, worth->high_bytes);
        } else if (side == 0) {
            fix(division, worth, bytes);
        }
    }
}

/* A ceiling below the floors under it: in proportion to the floors. */
static void divide_floors(struct quarry_account *account, uint64_t bytes, uint64_t floor_sum)
{
    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        double ratio = (double)bytes / (double)floor_sum;
        child->worth.part_bytes = (uint64_t)((double)child->worth.low_bytes * ratio);
    }
}

static void divide_children(struct quarry_account *account, uint64_t bytes)
{
    struct division division = {.left_bytes = bytes};
    uint64_t floor_sum = 0;
    int side;

    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        child->worth.is_fixed = false;
        if (child->worth.has_elastic) {
            division.left_weight += child->worth.weight_sum;
            floor_sum = sat_add_u64(floor_sum, child->worth.low_bytes);
        }
    }
    if (floor_sum > bytes) {
        divide_floors(account, bytes, floor_sum);
        return;
    }
    do {
        side = side_to_fix(account, &division);
        fix_side(account, &division, side);
    } while (side != 0);
}

static void divide(struct quarry_account *account, uint64_t bytes)
{
    if (account->functions.value != NULL) {
        atomic_store_relaxed_u64(&account->target_bytes, bytes);
        return;
    }
    divide_children(account, bytes);
    for (struct quarry_account *child = account->first_child; child != NULL;
         child = child->next_sibling) {
        if (child->worth.has_elastic) {
            divide(child, child->worth.part_bytes);
        }
    }
}

void budget_share_divide(struct quarry_account *root, uint64_t bytes)
{
    if (root->worth.has_elastic) {
        divide(root, size_max_u64(bytes, root->worth.low_bytes));
    }
}
