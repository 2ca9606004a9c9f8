/*
 * MEMORY: what a key takes, and who holds how much, by the page heap's ledger.
 *
 * MEMORY STATS has Redis' names where they mean something here, and the accounts of the budget
 * behind them. MEMORY DOCTOR looks at what can be wrong in a process with a budget: that it is
 * nearly used up, that memory was refused, that free pages are kept, that the store waits.
 *
 * Cost: the ledger and the accounts are read under their locks: some microseconds.
 */
#include <os/os.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/server_commands.h>

#define ACCOUNTS_MAX 64u

/* ---- MEMORY USAGE --------------------------------------------------------------------------- */

/* What the store has around a key and its value, in a memtable and in a block: about. */
#define KEY_OVERHEAD_BYTES 40u

/* False: an error was said. SAMPLES is of values with parts, which there are none of. */
static bool read_usage(struct resp_call *call)
{
    int64_t samples;

    if (call->word_count == 3) {
        return true;
    }
    if (call->word_count != 5 || !resp_is(call->words[3], "samples")) {
        resp_say_syntax_error(call->reply);
        return false;
    }
    if (!resp_read_integer(call->words[4], &samples)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    if (samples < 0) {
        resp_say_syntax_error(call->reply);
        return false;
    }
    return true;
}

enum resp_outcome resp_memory_usage(struct resp_call *call)
{
    struct keyspace_value value;
    struct quarry_error error = {0};

    if (!read_usage(call)) {
        return RESP_ANSWERED;
    }
    enum quarry_status status = keyspace_read(call->keyspace, &call->session->scope, call->words[2],
                                              !call->may_wait, &value, &error);
    if (status == QUARRY_BUSY && !call->may_wait) {
        return RESP_BUSY;
    }
    if (status == QUARRY_OK) {
        resp_say_integer(call->reply, (int64_t)(KEY_OVERHEAD_BYTES + call->words[2].byte_count +
                                                value.byte_count));
        keyspace_value_release(&value);
    } else if (status == QUARRY_NOT_FOUND) {
        resp_say_null(call->reply);
    } else {
        resp_say_status(call->reply, status, &error);
    }
    return RESP_ANSWERED;
}

/* ---- MEMORY STATS --------------------------------------------------------------------------- */

static void say_accounts(struct resp_reply *reply, const struct quarry_account_state *accounts,
                         size_t count)
{
    resp_say_text(reply, "accounts");
    resp_say_map(reply, count);
    for (size_t i = 0; i < count; i++) {
        resp_say_text(reply, accounts[i].name[0] == '\0' ? "all" : accounts[i].name);
        resp_say_integer(reply, (int64_t)accounts[i].charged_bytes);
    }
}

/* What is told with Redis' names. */
struct told {
    struct quarry_ledger ledger;
    struct quarry_kv_stats kv;
    struct resp_figures figures;
    uint64_t used, dataset, active, resident;
};

static void read_told(struct resp_call *call, struct told *ret_told)
{
    (void)quarry_memory_ledger(resp_admin_settings()->memory, &ret_told->ledger, NULL, 0);
    quarry_kv_read_stats(keyspace_kv(call->keyspace), &ret_told->kv);
    resp_admin_read_figures(&ret_told->figures);
    ret_told->resident = os_resident_bytes();
    ret_told->used = ret_told->ledger.in_use_bytes + ret_told->ledger.metadata_bytes;
    ret_told->dataset = size_min_u64(ret_told->kv.charged_bytes, ret_told->used);
    ret_told->active = ret_told->ledger.in_use_bytes + ret_told->ledger.cached_bytes;
}

#define NUMBER_COUNT 18u
#define RATIO_COUNT  6u

static void say_numbers(struct resp_reply *reply, const struct told *told)
{
    const struct quarry_ledger *ledger = &told->ledger;
    uint64_t keys = told->kv.estimated_keys;
    const struct {
        const char *name;
        uint64_t number;
    } numbers[NUMBER_COUNT] = {
        {"peak.allocated", ledger->peak_bytes},
        {"total.allocated", told->used},
        {"startup.allocated", ledger->metadata_bytes},
        {"replication.backlog", 0},
        {"clients.slaves", 0},
        {"clients.normal", told->figures.waiting_bytes},
        {"cluster.links", 0},
        {"aof.buffer", 0},
        {"lua.caches", 0},
        {"functions.caches", 0},
        {"overhead.total", told->used - told->dataset},
        {"keys.count", keys},
        {"keys.bytes-per-key", keys == 0 ? 0 : told->dataset / keys},
        {"dataset.bytes", told->dataset},
        {"allocator.allocated", ledger->in_use_bytes},
        {"allocator.active", told->active},
        {"allocator.resident", ledger->committed_bytes},
        {"fragmentation.bytes", sat_sub_u64(told->resident, told->used)},
    };

    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        resp_say_text(reply, numbers[i].name);
        resp_say_integer(reply, (int64_t)numbers[i].number);
    }
}

static void say_ratios(struct resp_reply *reply, const struct told *told)
{
    const struct quarry_ledger *ledger = &told->ledger;
    const struct {
        const char *name;
        uint64_t part, whole;
        double factor;
    } ratios[RATIO_COUNT] = {
        {"dataset.percentage", told->dataset, told->used, 100},
        {"peak.percentage", told->used, ledger->peak_bytes, 100},
        {"allocator-fragmentation.ratio", told->active, ledger->in_use_bytes, 1},
        {"allocator-rss.ratio", ledger->committed_bytes, told->active, 1},
        {"rss-overhead.ratio", told->resident, ledger->committed_bytes, 1},
        {"fragmentation", told->resident, told->used, 1},
    };

    for (size_t i = 0; i < RATIO_COUNT; i++) {
        double whole = (double)ratios[i].whole;
        resp_say_text(reply, ratios[i].name);
        resp_say_double(
            reply, ratios[i].whole == 0 ? 0 : (double)ratios[i].part * ratios[i].factor / whole);
    }
}

enum resp_outcome resp_memory_stats(struct resp_call *call)
{
    struct quarry_account_state accounts[ACCOUNTS_MAX];
    struct told told;

    read_told(call, &told);
    size_t count =
        size_min(quarry_memory_accounts(resp_admin_settings()->memory, accounts, ACCOUNTS_MAX),
                 ACCOUNTS_MAX);
    resp_say_map(call->reply, NUMBER_COUNT + RATIO_COUNT + 1);
    say_numbers(call->reply, &told);
    say_ratios(call->reply, &told);
    say_accounts(call->reply, accounts, count);
    return RESP_ANSWERED;
}

/* ---- MEMORY DOCTOR -------------------------------------------------------------------------- */

/* Committed, of the limit, in percent, from which on it is worth a word. */
#define NEARLY_FULL_PERCENT 95u
/* Likewise of the committed: what is free and backed, or cached. */
#define SPARE_PERCENT 25u
/* Less than that is nobody's trouble. */
#define SPARE_BYTES_MIN Q_MIB(16)

static void tell_refusals(struct resp_text *text, struct quarry_memory *memory)
{
    struct quarry_account_state accounts[ACCOUNTS_MAX];
    size_t count = size_min(quarry_memory_accounts(memory, accounts, ACCOUNTS_MAX), ACCOUNTS_MAX);

    for (size_t i = 0; i < count; i++) {
        if (accounts[i].refused_count > 0) {
            resp_text_add(text,
                          "* %s was refused memory %" PRIu64 " times at its ceiling of %" PRIu64
                          " bytes.\n",
                          accounts[i].name[0] == '\0' ? "The process" : accounts[i].name,
                          accounts[i].refused_count, accounts[i].ceiling_bytes);
        }
    }
}

enum resp_outcome resp_memory_doctor(struct resp_call *call)
{
    struct quarry_memory *memory = resp_admin_settings()->memory;
    struct resp_text text = {0};
    struct quarry_ledger ledger;
    struct quarry_kv_stats kv;

    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    quarry_kv_read_stats(keyspace_kv(call->keyspace), &kv);
    if (ledger.committed_bytes / NEARLY_FULL_PERCENT >= ledger.limit_bytes / 100) {
        resp_text_add(&text,
                      "* %" PRIu64 " of %" PRIu64 " bytes are used: raise memory.limit, or "
                      "give the cache less.\n",
                      ledger.committed_bytes, ledger.limit_bytes);
    }
    uint64_t spare_bytes = ledger.free_backed_bytes + ledger.cached_bytes;
    if (spare_bytes > SPARE_BYTES_MIN &&
        spare_bytes > ledger.committed_bytes / 100 * SPARE_PERCENT) {
        resp_text_add(&text,
                      "* %" PRIu64 " bytes are free and not given back yet: MEMORY PURGE "
                      "gives them back at once.\n",
                      spare_bytes);
    }
    tell_refusals(&text, memory);
    if (kv.stopped_ns > 0) {
        resp_text_add(&text,
                      "* Writers were stopped for %" PRIu64 " ms in all, as memory or the "
                      "disk could not keep up with them.\n",
                      kv.stopped_ns / UINT64_C(1000000));
    }
    if (text.count == 0) {
        resp_text_add(&text,
                      "Nothing is wrong: %" PRIu64 " of %" PRIu64 " bytes are used, and "
                      "nobody was refused any.\n",
                      ledger.committed_bytes, ledger.limit_bytes);
    }
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

/* ---- the heap itself ------------------------------------------------------------------------ */

#define OWNERS_MAX 256u

enum resp_outcome resp_memory_malloc_stats(struct resp_call *call)
{
    struct quarry_memory *memory = resp_admin_settings()->memory;
    struct quarry_ledger_row rows[OWNERS_MAX];
    struct resp_text text = {0};
    struct quarry_ledger ledger;
    size_t count = size_min(quarry_memory_ledger(memory, &ledger, rows, OWNERS_MAX), OWNERS_MAX);

    resp_text_add(
        &text,
        "in use %" PRIu64 "\ncached %" PRIu64 "\nfree %" PRIu64 "\nmetadata %" PRIu64
        "\nin flight %" PRIu64 "\nset aside %" PRIu64 "\ncommitted %" PRIu64 "\nlimit %" PRIu64
        "\npeak %" PRIu64 "\nreleased %" PRIu64 "\nreserved %" PRIu64 "\n",
        ledger.in_use_bytes, ledger.cached_bytes, ledger.free_backed_bytes, ledger.metadata_bytes,
        ledger.in_flight_bytes, ledger.set_aside_bytes, ledger.committed_bytes, ledger.limit_bytes,
        ledger.peak_bytes, ledger.released_bytes, ledger.reserved_bytes);
    for (size_t i = 0; i < count; i++) {
        resp_text_add(&text, "%s %" PRIu64 "\n", quarry_memory_owner_name(memory, rows[i].owner),
                      rows[i].in_use_bytes);
    }
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_memory_purge(struct resp_call *call)
{
    if (!call->may_wait) {
        return RESP_BUSY;
    }
    (void)quarry_memory_trim(resp_admin_settings()->memory);
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_memory_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    What is wrong with the memory, in words.",
        "MALLOC-STATS",
        "    The ledger of the page heap: by state, and by owner.",
        "PURGE",
        "    Gives free memory back to the kernel.",
        "STATS",
        "    Who holds how much.",
        "USAGE <key> [SAMPLES <count>]",
        "    About how many bytes a key and its value take.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
