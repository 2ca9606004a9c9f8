/*
 * The ledger beside the kernel.
 *
 *   ledger    committed bytes, charged before a page may be touched; by account and state
 *   kernel    resident bytes by mapping: private and shared ones are the ledger's to explain;
 *             program, files, the C library's heap and the first stack stand apart, by name
 *
 *             |<------------- committed ------------->|
 *             |<---- resident, the ledger's ---->|    |
 *             |           explained              |untouched
 *
 * What is resident beyond what was committed came past the ledger, and is unexplained. The check is
 * one of sums: pages that are committed and not touched yet could hide as many that came past it.
 * So their bytes are told too.
 *
 * The process goes on while it is looked at: its ledger is read before and after the kernel, and
 * the larger counts.
 *
 * Locking: none; of one thread.
 */
#include <cli/check_memory.h>

#include <cli/cli.h>
#include <cli/figures.h>
#include <cli/json_write.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define VIEW "check-memory"

/* ---- the ledger ----------------------------------------------------------------------------- */

static void add_row(struct check_memory *check, const char *name, uint64_t bytes)
{
    if (bytes > 0 && check->row_count < CHECK_ROWS_MAX) {
        struct check_row *row = &check->row[check->row_count++];

        (void)snprintf(row->name, sizeof row->name, "%s", name);
        (void)cli_make_printable(row->name);
        row->bytes = bytes;
    }
}

/* The accounts: no more of them than is in use, as they were read at another instant. Returns: what
 * is in use and of no account. */
static uint64_t add_accounts(const struct mem_stats_snapshot *snapshot, struct check_memory *check)
{
    uint64_t rest_bytes = snapshot->totals->ledger.in_use_bytes;

    for (uint32_t i = 0; i < snapshot->account_count; i++) {
        const struct mem_stats_account *account = &snapshot->accounts[i];
        const uint64_t bytes = size_min_u64(account->own_bytes, rest_bytes);

        add_row(check, account->name[0] == '\0' ? "all" : account->name, bytes);
        rest_bytes -= bytes;
    }
    return rest_bytes;
}

void check_memory_fill(const struct mem_stats_snapshot *snapshot, uint64_t before_bytes,
                       struct check_memory *check)
{
    const struct quarry_ledger *ledger = &snapshot->totals->ledger;

    check->row_count = 0;
    add_row(check, "no account, rounding", add_accounts(snapshot, check));
    add_row(check, "(cached)", ledger->cached_bytes);
    add_row(check, "(free)", ledger->free_backed_bytes);
    add_row(check, "(metadata)", ledger->metadata_bytes);
    add_row(check, "(in flight)", ledger->in_flight_bytes);
    add_row(check, "(set aside)", ledger->set_aside_bytes);
    check->committed_bytes = ledger->committed_bytes;
    check->ledger_bytes = size_max_u64(ledger->committed_bytes, before_bytes);
}

/* ---- the judgement -------------------------------------------------------------------------- */

uint64_t check_memory_wanted(const struct check_memory *check)
{
    return check->kernel.bytes[KERNEL_PRIVATE] + check->kernel.bytes[KERNEL_SHARED];
}

uint64_t check_memory_unexplained(const struct check_memory *check)
{
    return sat_sub_u64(check_memory_wanted(check), check->ledger_bytes);
}

double check_memory_percent(const struct check_memory *check)
{
    const uint64_t wanted = check_memory_wanted(check);

    return wanted == 0 ? 100.0 : figures_percent(wanted - check_memory_unexplained(check), wanted);
}

bool check_memory_is_explained(const struct check_memory *check)
{
    return check_memory_percent(check) >= (double)CHECK_EXPLAINED_PERCENT;
}

/* ---- text ----------------------------------------------------------------------------------- */

static void print_bytes(const char *name, uint64_t bytes)
{
    char text[SIZE_TEXT_BYTES];

    printf("  %10s  %s\n", size_format(bytes, text), name);
}

static void print_kinds(const struct check_memory *check, enum kernel_kind first,
                        enum kernel_kind end)
{
    for (enum kernel_kind kind = first; kind < end; kind++) {
        print_bytes(kernel_kind_names[kind], check->kernel.bytes[kind]);
    }
}

void check_memory_print_text(const struct check_memory *check)
{
    char bytes[SIZE_TEXT_BYTES];
    const uint64_t wanted = check_memory_wanted(check);

    printf("process %" PRIu64 ": %s resident\n", check->pid,
           size_format(check->kernel.resident_bytes, bytes));
    printf("\nledger: %s committed%s\n", size_format(check->committed_bytes, bytes),
           check->is_stale ? "; the process does not answer, these are older figures" : "");
    for (uint32_t i = 0; i < check->row_count; i++) {
        print_bytes(check->row[i].name, check->row[i].bytes);
    }
    printf("\nkernel: %s for the ledger to explain\n", size_format(wanted, bytes));
    print_kinds(check, KERNEL_PRIVATE, KERNEL_PROGRAM);
    puts("\napart, explained by name");
    print_kinds(check, KERNEL_PROGRAM, KERNEL_KINDS);
    print_bytes("page tables, beside what is resident", check->kernel.page_table_bytes);
    puts("\ndifference");
    print_bytes("committed and not touched", sat_sub_u64(check->ledger_bytes, wanted));
    print_bytes("resident and not explained", check_memory_unexplained(check));
    printf("\n%s: %.1f %% explained, %u %% wanted\n",
           check_memory_is_explained(check) ? "good" : "BAD", check_memory_percent(check),
           CHECK_EXPLAINED_PERCENT);
}

/* ---- JSON ----------------------------------------------------------------------------------- */

static void put_tables(struct json *json, const struct check_memory *check)
{
    json_object(json, "kernel");
    for (enum kernel_kind kind = 0; kind < KERNEL_KINDS; kind++) {
        json_u64(json, kernel_kind_fields[kind], check->kernel.bytes[kind]);
    }
    json_object_end(json);
    json_array(json, "owners");
    for (uint32_t i = 0; i < check->row_count; i++) {
        json_object(json, NULL);
        json_string(json, "owner", check->row[i].name);
        json_u64(json, "bytes", check->row[i].bytes);
        json_object_end(json);
    }
    json_array_end(json);
}

void check_memory_print_json(const struct check_memory *check)
{
    struct json json = json_begin(stdout);
    const uint64_t wanted = check_memory_wanted(check);

    json_object(&json, NULL);
    json_string(&json, "view", VIEW);
    json_u64(&json, "pid", check->pid);
    json_u64(&json, "resident_bytes", check->kernel.resident_bytes);
    json_u64(&json, "page_table_bytes", check->kernel.page_table_bytes);
    json_u64(&json, "committed_bytes", check->committed_bytes);
    json_u64(&json, "ledger_bytes", check->ledger_bytes);
    json_u64(&json, "wanted_bytes", wanted);
    json_u64(&json, "untouched_bytes", sat_sub_u64(check->ledger_bytes, wanted));
    json_u64(&json, "unexplained_bytes", check_memory_unexplained(check));
    json_double(&json, "explained_percent", check_memory_percent(check));
    json_bool(&json, "is_explained", check_memory_is_explained(check));
    json_bool(&json, "is_stale", check->is_stale);
    put_tables(&json, check);
    json_object_end(&json);
    json_finish(&json);
}

/* A member's text, cut and made printable. */
static const char *take_text(const struct json_value *object, const char *name,
                             char text[MEM_STATS_NAME_BYTES])
{
    size_t length = 0;
    const char *found = json_read_text(json_read_member(object, name), &length);

    (void)snprintf(text, MEM_STATS_NAME_BYTES, "%s", found == NULL ? "" : found);
    return text;
}

static uint64_t take_number(const struct json_value *object, const char *name)
{
    /* A stranger's: two of them can be added. */
    return size_min_u64(json_read_u64(json_read_member(object, name)), INT64_MAX);
}

bool check_memory_read(const struct json_value *document, struct check_memory *ret_check)
{
    const struct json_value *kernel = json_read_member(document, "kernel");
    const struct json_value *owners = json_read_member(document, "owners");
    char name[MEM_STATS_NAME_BYTES];

    if (strcmp(take_text(document, "view", name), VIEW) != 0 ||
        json_read_member(kernel, kernel_kind_fields[0]) == NULL || owners == NULL) {
        return false;
    }
    *ret_check = (struct check_memory){
        .pid = take_number(document, "pid"),
        .committed_bytes = take_number(document, "committed_bytes"),
        .ledger_bytes = take_number(document, "ledger_bytes"),
        .kernel.resident_bytes = take_number(document, "resident_bytes"),
        .kernel.page_table_bytes = take_number(document, "page_table_bytes"),
        .is_stale = json_read_bool(json_read_member(document, "is_stale")),
    };
    for (enum kernel_kind kind = 0; kind < KERNEL_KINDS; kind++) {
        ret_check->kernel.bytes[kind] = take_number(kernel, kernel_kind_fields[kind]);
    }
    const size_t count = json_read_count(owners);
    for (size_t i = 0; i < count; i++) {
        const struct json_value *row = json_read_item(owners, i);
        add_row(ret_check, take_text(row, "owner", name), take_number(row, "bytes"));
    }
    return true;
}
