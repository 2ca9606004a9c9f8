/*
 * Accounts as lines of text: for `quarry top` and `quarry heap`.
 */
#ifndef QUARRY_CLI_ACCOUNT_TEXT_H
#define QUARRY_CLI_ACCOUNT_TEXT_H

#include <mem/mem.h>

#define ACCOUNT_TEXT_BYTES 160u

/* Above the lines. */
extern const char account_text_heading[];

/* One account, indented by its level. Returns `line`; nothing in it but printable characters. */
const char *account_text_line(const struct mem_stats_account *account,
                              char line[ACCOUNT_TEXT_BYTES]);

/* Whether there is anything to say of the budget besides committed bytes and the limit. */
bool account_text_has_budget(const struct mem_stats_snapshot *snapshot);
/* Pressure, what is set aside, how often memory was shifted. Returns `line`. */
const char *account_text_budget(const struct mem_stats_snapshot *snapshot,
                                char line[ACCOUNT_TEXT_BYTES]);

#endif
