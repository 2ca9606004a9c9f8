/*
 * A look at a server over HTTP.
 *
 *   /metrics               numbers
 *   /api/v1/heap/summary   who holds memory
 *   /api/v1/doctor         findings
 *
 * The last two are told to administrators: who is none sees the first alone.
 *
 * Locking: none; of one thread.
 */
#include <cli/server_figures.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>
#include <cli/json_read.h>

#include <os/os.h>

#define HTTP_OK 200u

/* ---- JSON ----------------------------------------------------------------------------------- */

static void take_text(const struct json_value *object, const char *name, char *ret_text,
                      size_t text_bytes)
{
    size_t length = 0;
    const char *text = json_read_text(json_read_member(object, name), &length);

    (void)snprintf(ret_text, text_bytes, "%s", text == NULL ? "" : text);
    (void)cli_make_printable(ret_text);
}

static int compare_owners(const void *one, const void *other)
{
    const struct server_owner *a = one, *b = other;

    return a->in_use_bytes == b->in_use_bytes  ? strcmp(a->name, b->name)
           : a->in_use_bytes > b->in_use_bytes ? -1
                                               : 1;
}

/* Rows of the same owner in several lanes are one. What there is no room for is left out. */
static void add_owner(struct server_figures *figures, const struct json_value *row)
{
    struct server_owner owner = {.in_use_bytes =
                                     json_read_u64(json_read_member(row, "in_use_bytes"))};
    uint32_t at = 0;

    take_text(row, "owner", owner.name, sizeof owner.name);
    while (at < figures->owner_count && strcmp(figures->owner[at].name, owner.name) != 0) {
        at++;
    }
    if (at < figures->owner_count) {
        figures->owner[at].in_use_bytes =
            sat_add_u64(figures->owner[at].in_use_bytes, owner.in_use_bytes);
    } else if (at < SERVER_OWNERS_MAX) {
        figures->owner[figures->owner_count++] = owner;
    }
}

static struct json_value *read_document(const struct tsdb_http_answer *answer)
{
    char fault[TSDB_HTTP_FAULT_BYTES];

    return answer->code != HTTP_OK || answer->count == 0
               ? NULL
               : json_read(answer->bytes, answer->count, fault, sizeof fault);
}

static void take_owners(const struct tsdb_http_answer *answer, struct server_figures *figures)
{
    struct json_value *document = read_document(answer);
    const struct json_value *rows = document == NULL ? NULL : json_read_member(document, "owners");
    size_t count = rows == NULL ? 0 : json_read_count(rows);

    for (size_t i = 0; i < count; i++) {
        add_owner(figures, json_read_item(rows, i));
    }
    qsort(figures->owner, figures->owner_count, sizeof figures->owner[0], compare_owners);
    json_read_free(document);
}

static void take_findings(const struct tsdb_http_answer *answer, struct server_findings *findings)
{
    struct json_value *document = read_document(answer);
    const struct json_value *list =
        document == NULL ? NULL : json_read_member(document, "findings");
    size_t count = list == NULL ? 0 : json_read_count(list);

    findings->is_told = list != NULL;
    for (size_t i = 0; i < count && findings->count < SERVER_FINDINGS_MAX; i++) {
        struct server_finding *finding = &findings->finding[findings->count++];
        const struct json_value *item = json_read_item(list, i);

        take_text(item, "severity", finding->severity, sizeof finding->severity);
        take_text(item, "cause", finding->cause, sizeof finding->cause);
        take_text(item, "text", finding->text, sizeof finding->text);
    }
    json_read_free(document);
}

/* ---- asking --------------------------------------------------------------------------------- */

/* An answer that is no figures: said as the client's failures are. */
static int refuse(struct tsdb_http *http, const struct tsdb_http_answer *answer)
{
    char text[TSDB_HTTP_FAULT_BYTES];

    (void)snprintf(text, sizeof text, "answered %u: %.150s", answer->code,
                   answer->bytes == NULL ? "" : answer->bytes);
    text[strcspn(text, "\r\n")] = '\0';
    (void)cli_make_printable(text);
    if (http->quiet_timeout_s == 0) {
        return cli_failure(http->command, "%s: %s", http->url, text);
    }
    memcpy(http->fault, text, sizeof text);
    return CLI_FAILED;
}

int server_figures_ask(struct tsdb_http *http, struct server_figures *ret_figures)
{
    struct tsdb_http_answer answer;
    int code = tsdb_http_ask(http, "/metrics", NULL, NULL, 0, &answer);

    if (code != CLI_OK) {
        return code;
    }
    *ret_figures = (struct server_figures){
        .monotonic_ns = os_monotonic_ns(os_real()),
        .wall_seconds = (double)os_wall_ns(os_real()) / (double)Q_SECOND_NS,
    };
    if (answer.code == HTTP_OK && answer.count > 0) {
        server_figures_parse(answer.bytes, answer.count, ret_figures);
    }
    /* Of a server of ours there is a limit; of anybody else's there is not. */
    code = answer.code == HTTP_OK && ret_figures->value[SERVER_LIMIT] > 0 ? CLI_OK
                                                                          : refuse(http, &answer);
    tsdb_http_answer_free(&answer);
    if (code == CLI_OK) {
        code = tsdb_http_ask(http, "/api/v1/heap/summary", NULL, NULL, 0, &answer);
    }
    if (code == CLI_OK) {
        take_owners(&answer, ret_figures);
        tsdb_http_answer_free(&answer);
    }
    return code;
}

int server_findings_ask(struct tsdb_http *http, struct server_findings *ret_findings)
{
    struct tsdb_http_answer answer;
    int code = tsdb_http_ask(http, "/api/v1/doctor", NULL, NULL, 0, &answer);

    if (code == CLI_OK) {
        *ret_findings = (struct server_findings){0};
        take_findings(&answer, ret_findings);
        tsdb_http_answer_free(&answer);
    }
    return code;
}
