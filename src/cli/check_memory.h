/*
 * Whether the ledger of a process explains what the kernel says it has.
 */
#ifndef QUARRY_CLI_CHECK_MEMORY_H
#define QUARRY_CLI_CHECK_MEMORY_H

#include <cli/json_read.h>
#include <cli/kernel_memory.h>
#include <mem/mem.h>

/* Accounts, and what is of none, cached, free, metadata, in flight, set aside. */
#define CHECK_ROWS_MAX (MEM_STATS_ACCOUNTS_MAX + 6u)
/* Of what the ledger is to explain, in percent: what may stay unexplained is room for the moments
 * between two looks, and for what the C library maps for itself. */
#define CHECK_EXPLAINED_PERCENT 97u

struct check_row {
    char name[MEM_STATS_NAME_BYTES]; /* printable */
    uint64_t bytes;
};

struct check_memory {
    uint64_t pid;
    uint64_t committed_bytes; /* of the ledger; the sum of the rows */
    uint64_t ledger_bytes;    /* the same, or before the kernel was asked if that was more */
    struct kernel_memory kernel;
    struct check_row row[CHECK_ROWS_MAX];
    uint32_t row_count;
    bool is_stale; /* the process does not answer: its ledger is older than the kernel's figures */
};

/* The table of a ledger; the kernel's figures are the caller's. `before_bytes`: committed then. */
void check_memory_fill(const struct mem_stats_snapshot *snapshot, uint64_t before_bytes,
                       struct check_memory *check);

/* Resident bytes that the ledger is to explain: private ones, and shared ones that are written. */
uint64_t check_memory_wanted(const struct check_memory *check);
/* Of these, what is more than the ledger has. */
uint64_t check_memory_unexplained(const struct check_memory *check);
double check_memory_percent(const struct check_memory *check);
bool check_memory_is_explained(const struct check_memory *check);

void check_memory_print_text(const struct check_memory *check);
void check_memory_print_json(const struct check_memory *check);
/* Reads what check_memory_print_json has printed. Returns: false: it is something else. */
bool check_memory_read(const struct json_value *document, struct check_memory *ret_check);

#endif
