/*
 * The doctor's rules of the budget:
 *
 *   pressure          memory is hard to find, though nothing may have failed yet
 *   ceiling           an account was refused at its ceiling
 */
#include <inttypes.h>
#include <stdio.h>

#include <cli/doctor.h>
#include <cli/doctor_say.h>

/* Accounts that are described one by one; what they lack is seldom different. */
#define CEILING_ROWS_MAX 4u

void doctor_rule_pressure(struct doctor_case *c)
{
    const struct mem_stats_totals *totals = c->snapshot->totals;
    bool is_critical = totals->pressure >= QUARRY_PRESSURE_CRITICAL;

    if (totals->pressure < QUARRY_PRESSURE_HIGH) {
        return;
    }
    struct doctor_finding *finding =
        doctor_find(c, "pressure", is_critical ? DOCTOR_CRITICAL : DOCTOR_WARNING,
                    totals->ledger.committed_bytes);
    if (finding == NULL) {
        return;
    }
    DOCTOR_SAY(finding,
               "The pressure is %s: little is left of the limit that an account could give, or "
               "allocations are refused.",
               quarry_pressure_name((enum quarry_pressure)totals->pressure));
    DOCTOR_ADVISE(finding,
                  "Lower the floors of caches, so that they can give, or raise the limit. Who "
                  "holds what: quarry top %u",
                  c->process->pid);
}

static void examine_account(struct doctor_case *c, const struct mem_stats_account *account)
{
    char charged[SIZE_TEXT_BYTES], ceiling[SIZE_TEXT_BYTES];
    struct doctor_finding *finding =
        doctor_find(c, "ceiling", DOCTOR_WARNING, account->charged_bytes);

    if (finding == NULL) {
        return;
    }
    DOCTOR_SAY(finding,
               "Account %s was refused memory %" PRIu64
               " times at its ceiling: %s of %s are charged to it.",
               account->name, account->refused_count, size_format(account->charged_bytes, charged),
               size_format(account->ceiling_bytes, ceiling));
    DOCTOR_ADVISE(finding, "Raise its ceiling (quarry_account_set_bounds), or let what is below it "
                           "give more: a reclaimer that frees nothing is passed over.");
}

void doctor_rule_ceiling(struct doctor_case *c)
{
    uint32_t described = 0;

    for (uint32_t i = 0; i < c->snapshot->account_count && described < CEILING_ROWS_MAX; i++) {
        const struct mem_stats_account *account = &c->snapshot->accounts[i];
        if (account->depth > 0 && account->ceiling_bytes > 0 && account->refused_count > 0) {
            examine_account(c, account);
            described++;
        }
    }
}
