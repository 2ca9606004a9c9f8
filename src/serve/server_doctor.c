/*
 * /api/v1/doctor: what the rules find in the server and its machine, and what a child finds in the
 * heap, in one list.
 *
 *     child    {"view":"doctor", …, "findings":[ H1, H2 ]}
 *     answer   {"view":"doctor", …, "findings":[ S1, S2, H1, H2 ]}
 *
 * The child's report is text; ours goes in behind the bracket. The mark that is looked for cannot
 * be within a string of it, where quotes have a backslash before them. A heap that could not be
 * examined is no reason to keep quiet about the rest: then the answer says why, in `heap_fault`.
 *
 * Locking: none.
 */
#include <serve/server_observe.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <serve/api/json.h>
#include <serve/observe/child.h>
#include <serve/observe/observe.h>
#include <serve/server_state.h>

#define FINDINGS_BYTES_MAX Q_MIB(1)

static void put_findings(struct http_text *text, const struct checkup_report *report)
{
    for (uint32_t i = 0; i < report->count; i++) {
        const struct checkup_finding *finding = &report->finding[i];

        http_text_format(text, "%s{\"cause\":\"%s\",\"part\":\"%s\",\"severity\":\"%s\",",
                         i == 0 ? "" : ",", checkup_cause(finding),
                         checkup_part_names[finding->part],
                         checkup_severity_names[finding->severity]);
        http_text_format(text, "\"bytes\":%" PRIu64 ",\"text\":", finding->bytes);
        api_put_words(text, finding->text);
        http_text_say(text, ",\"advice\":");
        api_put_words(text, checkup_advice(finding));
        http_text_say(text, "}");
    }
}

/* Where findings go in; NULL: it is no doctor's report. */
static char *find_mark(const struct http_text *report)
{
    static const char mark[] = "\"findings\":[";
    char *at =
        report->count == 0 ? NULL : memmem(report->bytes, report->count, mark, sizeof mark - 1);

    return at == NULL ? NULL : at + sizeof mark - 1;
}

/* Puts ours before those that are there. False: the text has failed, or is no report. */
static bool insert(struct http_text *report, const struct http_text *ours)
{
    bool has_failed = report->is_failed || ours->is_failed || find_mark(report) == NULL;

    if (has_failed || ours->count == 0) {
        return !has_failed;
    }
    if (http_text_room(report, ours->count + 1) == NULL) {
        return false;
    }
    char *at = find_mark(report); /* making room may have moved it */
    bool is_first = *at == ']';   /* at the end of a text there is a newline: it is not the last */
    size_t more = ours->count + (is_first ? 0 : 1);
    memmove(at + more, at, report->count - (size_t)(at - report->bytes));
    memcpy(at, ours->bytes, ours->count);
    if (!is_first) {
        at[ours->count] = ',';
    }
    report->count += more;
    return true;
}

/* Without the child's. */
static void answer_alone(struct http_call *call, const struct server *server, const char *fault,
                         const struct http_text *ours)
{
    struct http_text *text = &call->body_out;
    struct quarry_ledger ledger;

    (void)quarry_memory_ledger(server->memory, &ledger, NULL, 0);
    http_text_empty(text);
    http_text_format(text, "{\"view\":\"doctor\",\"pid\":%d,", (int)getpid());
    http_text_format(text, "\"committed_bytes\":%" PRIu64 ",\"object_bytes\":%" PRIu64 ",",
                     ledger.committed_bytes, ledger.in_use_bytes);
    http_text_say(text, "\"is_stale\":false,\"is_too_small\":false,\"heap_fault\":");
    api_put_words(text, fault[0] == '\0' ? "the report failed" : fault);
    http_text_say(text, ",\"findings\":[");
    http_text_add(text, ours->bytes, ours->count);
    http_text_say(text, "]}\n");
}

static void answer(struct http_call *call, struct server *server, bool has_heap, const char *said)
{
    struct checkup_report *report = calloc(1, sizeof *report);
    struct http_text ours;

    http_text_init(&ours, call->body_out.memory, FINDINGS_BYTES_MAX);
    if (report == NULL || server_checkup_examine(server, call->is_cancelled, report) != QUARRY_OK) {
        http_say_status(call, QUARRY_NO_MEMORY);
    } else {
        put_findings(&ours, report);
        if (!has_heap || !insert(&call->body_out, &ours)) {
            answer_alone(call, server, said, &ours);
        }
        if (ours.is_failed) {
            http_say_status(call, QUARRY_NO_MEMORY);
        } else {
            call->content_type = "application/json";
        }
    }
    http_text_fini(&ours);
    free(report);
}

enum http_outcome server_answer_doctor(struct http_call *call)
{
    char said[OBSERVE_SAID_BYTES];
    enum observe_outcome outcome = observe_examine_heap(call, said);

    if (outcome == OBSERVE_BUSY) {
        observe_say_busy(call);
    } else if (outcome != OBSERVE_CANCELLED) {
        said[strcspn(said, "\n")] = '\0';
        answer(call, call->argument, outcome == OBSERVE_DONE, said);
    }
    return HTTP_DONE;
}
