/*
 * Lines of accounts:
 *
 *   account              charged     floor   ceiling    target gain/MiB loss/MiB refused
 *   (memory)             412 MiB         -   512 MiB         -        -        -       0
 *     kv                 300 MiB    16 MiB         -         -        -        -       0
 *       block            280 MiB         -         -   288 MiB     12.4      9.9       0
 *
 * Gain and loss are hits a second that a MiB more or less would bring or cost, by the account's own
 * ghosts and coldest part; only elastic accounts have them. Names come from another process.
 */
#include <cli/account_text.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/cli.h>

#define INDENT      2u
#define FIGURE_TEXT 16u

const char account_text_heading[] = "account                   charged      floor    ceilin"
                                    "g     target  gain/MiB  loss/MiB  refused";

/* The part of a name behind the last dot. */
static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot == NULL ? name : dot + 1;
}

/* Bytes, or a dash for what is not set. */
static const char *bytes_or_dash(uint64_t bytes, char text[SIZE_TEXT_BYTES])
{
    return bytes == 0 ? "-" : size_format(bytes, text);
}

static const char *value_or_dash(const struct mem_stats_account *account, uint64_t milli,
                                 char text[FIGURE_TEXT])
{
    if (account->is_elastic == 0) {
        return "-";
    }
    (void)snprintf(text, FIGURE_TEXT, "%.4g", (double)milli / 1000.0);
    return text;
}

const char *account_text_line(const struct mem_stats_account *account,
                              char line[ACCOUNT_TEXT_BYTES])
{
    char name[64], charged[SIZE_TEXT_BYTES], floor[SIZE_TEXT_BYTES], ceiling[SIZE_TEXT_BYTES],
        target[SIZE_TEXT_BYTES], gain[FIGURE_TEXT], loss[FIGURE_TEXT];

    (void)snprintf(name, sizeof(name), "%*s%s", (int)(account->depth * INDENT), "",
                   account->depth == 0 ? "(memory)" : last_part(account->name));
    (void)snprintf(
        line, ACCOUNT_TEXT_BYTES, "%-22.22s %10s %10s %10s %10s %9s %9s %8" PRIu64, name,
        size_format(account->charged_bytes, charged), bytes_or_dash(account->floor_bytes, floor),
        bytes_or_dash(account->ceiling_bytes, ceiling),
        bytes_or_dash(account->target_bytes, target),
        value_or_dash(account, account->growth_milli_per_mib, gain),
        value_or_dash(account, account->loss_milli_per_mib, loss), account->refused_count);
    return cli_make_printable(line);
}

bool account_text_has_budget(const struct mem_stats_snapshot *snapshot)
{
    const struct mem_stats_totals *totals = snapshot->totals;

    return totals->account_count > 0 || totals->set_aside_goal_bytes > 0 || totals->pressure > 0;
}

const char *account_text_budget(const struct mem_stats_snapshot *snapshot,
                                char line[ACCOUNT_TEXT_BYTES])
{
    const struct mem_stats_totals *totals = snapshot->totals;
    char held[SIZE_TEXT_BYTES], goal[SIZE_TEXT_BYTES], paid[SIZE_TEXT_BYTES];

    (void)snprintf(line, ACCOUNT_TEXT_BYTES,
                   "pressure %s  set aside %s of %s, %s used  accounts %" PRIu64
                   "  shifted %" PRIu64 " times",
                   quarry_pressure_name((enum quarry_pressure)totals->pressure),
                   size_format(totals->ledger.set_aside_bytes, held),
                   size_format(totals->set_aside_goal_bytes, goal),
                   size_format(totals->set_aside_paid_bytes, paid), totals->account_count,
                   totals->target_move_count);
    return line;
}
