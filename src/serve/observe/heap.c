/*
 * The heap in JSON, and as a map.
 *
 *     summary   the ledger, its rows and the accounts, as they are: some 10 µs, for every second
 *     figures   all that `quarry heap PID --json` tells, with stacks by name: a child's report
 *     map       a snapshot of every chunk, 16 bytes each
 *
 * Locking: what the memory takes.
 */
#include <serve/observe/observe.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <os/os.h>
#include <serve/api/json.h>
#include <serve/observe/child.h>

#define PID_BYTES 12u
#define TOP_BYTES 6u
/* Rows and chunks that may come between counting and reading. */
#define MORE_ROWS  32u
#define MORE_BYTES 65536u
#define MAP_TRIES  4u

/* ---- the summary ---------------------------------------------------------------------------- */

static void put_count(struct http_text *text, const char *name, uint64_t value)
{
    http_text_format(text, "\"%s\":%" PRIu64 ",", name, value);
}

static void put_ledger(struct http_text *text, const struct quarry_ledger *ledger)
{
    http_text_say(text, "\"states\":{");
    put_count(text, "in_use", ledger->in_use_bytes);
    put_count(text, "cached", ledger->cached_bytes);
    put_count(text, "free_backed", ledger->free_backed_bytes);
    put_count(text, "metadata", ledger->metadata_bytes);
    put_count(text, "in_flight", ledger->in_flight_bytes);
    http_text_format(text, "\"set_aside\":%" PRIu64 "},", ledger->set_aside_bytes);
    put_count(text, "committed_bytes", ledger->committed_bytes);
    put_count(text, "limit_bytes", ledger->limit_bytes);
    put_count(text, "peak_bytes", ledger->peak_bytes);
    put_count(text, "released_bytes", ledger->released_bytes);
    put_count(text, "reserved_bytes", ledger->reserved_bytes);
}

static void put_rows(struct http_text *text, struct quarry_memory *memory,
                     const struct quarry_ledger_row *rows, size_t count)
{
    http_text_say(text, "\"owners\":[");
    for (size_t i = 0; i < count; i++) {
        http_text_say(text, i == 0 ? "{\"owner\":" : ",{\"owner\":");
        api_put_words(text, quarry_memory_owner_name(memory, rows[i].owner));
        http_text_say(text, ",\"lane\":");
        api_put_words(text, rows[i].lane_name);
        http_text_format(text, ",\"in_use_bytes\":%" PRIu64 "}", rows[i].in_use_bytes);
    }
    http_text_say(text, "],");
}

static void put_accounts(struct http_text *text, const struct quarry_account_state *states,
                         size_t count)
{
    http_text_say(text, "\"accounts\":[");
    for (size_t i = 0; i < count; i++) {
        const struct quarry_account_state *state = &states[i];

        http_text_say(text, i == 0 ? "{\"account\":" : ",{\"account\":");
        api_put_words(text, state->name[0] == '\0' ? "all" : state->name);
        http_text_say(text, ",");
        put_count(text, "charged_bytes", state->charged_bytes);
        put_count(text, "peak_bytes", state->peak_bytes);
        put_count(text, "floor_bytes", state->floor_bytes);
        put_count(text, "ceiling_bytes", state->ceiling_bytes);
        put_count(text, "target_bytes", state->target_bytes);
        put_count(text, "refused_count", state->refused_count);
        http_text_format(text, "\"asked_count\":%" PRIu64 "}", state->asked_count);
    }
    http_text_say(text, "]");
}

bool observe_write_summary(struct http_text *text, struct quarry_memory *memory)
{
    struct quarry_ledger ledger;
    size_t row_capacity = quarry_memory_ledger(memory, &ledger, NULL, 0) + MORE_ROWS;
    size_t state_capacity = quarry_memory_accounts(memory, NULL, 0) + MORE_ROWS;
    struct quarry_ledger_row *rows = calloc(row_capacity, sizeof *rows);
    struct quarry_account_state *states = calloc(state_capacity, sizeof *states);
    bool is_told = rows != NULL && states != NULL;

    if (is_told) {
        size_t row_count = quarry_memory_ledger(memory, &ledger, rows, row_capacity);
        size_t state_count = quarry_memory_accounts(memory, states, state_capacity);

        http_text_format(text, "{\"time_ms\":%" PRIu64 ",", os_wall_ns(os_real()) / Q_MS_NS);
        put_ledger(text, &ledger);
        put_count(text, "resident_bytes", os_resident_bytes());
        put_rows(text, memory, rows, size_min(row_count, row_capacity));
        put_accounts(text, states, size_min(state_count, state_capacity));
        http_text_say(text, "}\n");
    }
    free(rows);
    free(states);
    return is_told;
}

static enum http_outcome answer_summary(struct http_call *call, struct quarry_memory *memory)
{
    if (observe_write_summary(&call->body_out, memory)) {
        call->content_type = "application/json";
    } else {
        http_say_status(call, QUARRY_NO_MEMORY);
    }
    return HTTP_DONE;
}

/* ---- the map -------------------------------------------------------------------------------- */

static enum http_outcome answer_map(struct http_call *call, struct quarry_memory *memory)
{
    size_t bytes = 0;
    enum quarry_status status = quarry_memory_map(memory, NULL, 0, &bytes);

    for (uint32_t try = 0; try < MAP_TRIES && status == QUARRY_TOO_LARGE; try++) {
        size_t capacity = bytes + MORE_BYTES; /* it may grow meanwhile */
        char *room = http_text_room(&call->body_out, capacity);

        if (room == NULL) {
            return HTTP_DONE; /* the text has failed, and is answered so */
        }
        status = quarry_memory_map(memory, room, capacity, &bytes);
    }
    if (status == QUARRY_OK) {
        call->body_out.count += bytes;
        call->content_type = "application/octet-stream";
    } else {
        http_say_status(call, status);
    }
    return HTTP_DONE;
}

/* ---- reports -------------------------------------------------------------------------------- */

/* How many of each list. False: it was answered that it is no such number. */
static bool read_top(struct http_call *call, char *ret_top)
{
    struct http_slice top = HTTP_SLICE("20");

    (void)http_param(call, "top", &top);
    bool is_number = top.count > 0 && top.count < TOP_BYTES - 1;
    for (size_t i = 0; is_number && i < top.count; i++) {
        is_number = top.bytes[i] >= '0' && top.bytes[i] <= '9';
    }
    if (!is_number) {
        http_say_text(call, 400, "top is a number from 0 to 9999\n");
        return false;
    }
    (void)snprintf(ret_top, TOP_BYTES, "%.*s", (int)top.count, top.bytes);
    return true;
}

static enum http_outcome answer_figures(struct http_call *call)
{
    char pid[PID_BYTES];
    char top[TOP_BYTES];

    if (!read_top(call, top)) {
        return HTTP_DONE;
    }
    snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"heap", pid, "--json", "--top", top, NULL};
    return observe_answer(call, "application/json", (struct observe_order){.words = words});
}

enum observe_outcome observe_examine_heap(struct http_call *call, char *ret_said)
{
    char pid[PID_BYTES];

    snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"doctor", pid, "--heap", "--json", NULL};
    const struct observe_order order = {
        .words = words, .is_cancelled = call->is_cancelled, .takes_findings = true};
    return observe_run(&order, &call->body_out, ret_said);
}

enum http_outcome observe_answer_check_memory(struct http_call *call)
{
    char pid[PID_BYTES];

    snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"check", "memory", "--pid", pid, "--json", NULL};
    return observe_answer(call, "application/json",
                          (struct observe_order){.words = words, .takes_findings = true});
}

enum http_outcome observe_answer_heap(struct http_call *call, struct quarry_memory *memory)
{
    struct http_slice name = http_segment(call, 0);

    if (http_slice_equals(name, "summary")) {
        return answer_summary(call, memory);
    }
    if (http_slice_equals(name, "figures")) {
        return answer_figures(call);
    }
    if (http_slice_equals(name, "map")) {
        return answer_map(call, memory);
    }
    http_say_text(call, 404, "there are summary, figures and map\n");
    return HTTP_DONE;
}
