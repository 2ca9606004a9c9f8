/*
 * A server's findings: /api/v1/doctor, printed as `quarry doctor` prints those of a
 * process, but for stacks, which only the JSON has.
 *
 * The server has examined itself through a child that runs `quarry doctor PID --json`; here its
 * answer is read and printed. With --json it is passed on as it came, once it is known to be one.
 * Its texts are a stranger's: they are cut to a finding's lengths and made fit for a terminal.
 *
 * Locking: none; of one thread.
 */
#include <cli/doctor_server.h>

#include <cli/cli.h>
#include <cli/doctor.h>
#include <cli/doctor_text.h>
#include <cli/json_read.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COMMAND          "doctor"
#define WORD_BYTES       32u  /* of a severity or a cause */
#define REASON_BYTES     200u /* of a refusal's text that is shown */
#define HTTP_OK          200u
#define HTTP_UNAVAILABLE 503u

/* Copies a member's text, cut and made printable; empty where it is none. Returns: `ret_text`. */
static const char *take_text(const struct json_value *object, const char *name, char *ret_text,
                             size_t text_bytes)
{
    size_t length = 0;
    const char *text = json_read_text(json_read_member(object, name), &length);

    (void)snprintf(ret_text, text_bytes, "%s", text == NULL ? "" : text);
    return cli_make_printable(ret_text);
}

/* A severity that is not known is taken for a warning: a newer server may have more. */
static bool is_warning(const struct json_value *finding)
{
    char severity[WORD_BYTES];

    (void)take_text(finding, "severity", severity, sizeof severity);
    return strcmp(severity, doctor_severity_names[DOCTOR_NOTE]) != 0;
}

static int exit_code_of(const struct json_value *findings)
{
    const size_t count = json_read_count(findings);

    for (size_t i = 0; i < count; i++) {
        if (is_warning(json_read_item(findings, i))) {
            return CLI_FOUND;
        }
    }
    return CLI_OK;
}

static void print_finding(uint32_t number, const struct json_value *finding)
{
    char severity[WORD_BYTES], cause[WORD_BYTES];
    char text[DOCTOR_TEXT_BYTES], advice[DOCTOR_ADVICE_BYTES];

    doctor_text_finding(number, take_text(finding, "severity", severity, sizeof severity),
                        take_text(finding, "cause", cause, sizeof cause),
                        json_read_u64(json_read_member(finding, "bytes")),
                        take_text(finding, "text", text, sizeof text),
                        take_text(finding, "advice", advice, sizeof advice));
}

static void print_text(const struct doctor_server *server, const struct json_value *document,
                       const struct json_value *findings)
{
    char committed[SIZE_TEXT_BYTES], objects[SIZE_TEXT_BYTES], fault[REASON_BYTES];
    const size_t count = json_read_count(findings);

    printf("server %s: process %" PRIu64 "\n", server->url,
           json_read_u64(json_read_member(document, "pid")));
    printf("%s committed, %s of it live objects\n",
           size_format(json_read_u64(json_read_member(document, "committed_bytes")), committed),
           size_format(json_read_u64(json_read_member(document, "object_bytes")), objects));
    if (take_text(document, "heap_fault", fault, sizeof fault)[0] != '\0') {
        printf("The heap was not examined: %s\n", fault);
    }
    if (json_read_u64(json_read_member(document, "committed_bytes")) < DOCTOR_SMALL_BYTES) {
        printf("\nThe heap is too small to judge: from %s on there is something to say.\n",
               size_format(DOCTOR_SMALL_BYTES, committed));
    } else if (count == 0) {
        puts("\nNothing is wrong.");
    }
    for (size_t i = 0; i < count; i++) {
        print_finding((uint32_t)i + 1, json_read_item(findings, i));
    }
}

/* Returns: NULL: it is no answer of a doctor. */
static const struct json_value *findings_of(const struct json_value *document)
{
    char view[WORD_BYTES];

    (void)take_text(document, "view", view, sizeof view);
    return strcmp(view, "doctor") == 0 ? json_read_member(document, "findings") : NULL;
}

static int print_answer(const struct doctor_server *server, const struct tsdb_http_answer *answer)
{
    char fault[REASON_BYTES] = "it has no findings";
    struct json_value *document =
        answer->count == 0 ? NULL : json_read(answer->bytes, answer->count, fault, sizeof fault);
    const struct json_value *findings = findings_of(document);
    int code;

    if (findings == NULL) {
        code = cli_failure(COMMAND, "%s: no answer of a doctor: %s", server->url, fault);
    } else {
        if (server->is_json) {
            (void)fwrite(answer->bytes, 1, answer->count, stdout);
        } else {
            print_text(server, document, findings);
        }
        code = cli_finish_output(COMMAND);
        code = code == CLI_OK ? exit_code_of(findings) : code;
    }
    json_read_free(document);
    return code;
}

static int refuse(const char *command, const struct doctor_server *server,
                  const struct tsdb_http_answer *answer)
{
    char reason[REASON_BYTES];

    (void)snprintf(reason, sizeof reason, "%s", answer->bytes == NULL ? "" : answer->bytes);
    reason[strcspn(reason, "\r\n")] = '\0';
    (void)cli_failure(command, "%s: answered %u: %s", server->url, answer->code,
                      cli_make_printable(reason));
    return answer->code == HTTP_UNAVAILABLE ? CLI_BUSY : CLI_FAILED;
}

int doctor_server_ask(const struct doctor_server *server)
{
    struct tsdb_http_answer answer;
    int code = doctor_server_fetch(COMMAND, server, "/api/v1/doctor", &answer);

    if (code == CLI_OK) {
        code = print_answer(server, &answer);
        tsdb_http_answer_free(&answer);
    }
    return code;
}

int doctor_server_fetch(const char *command, const struct doctor_server *server, const char *path,
                        struct tsdb_http_answer *ret_answer)
{
    struct tsdb_http http;
    struct tsdb_http_answer answer;
    int code = tsdb_http_open(&http, command, server->url, server->user, server->password_path);

    if (code != CLI_OK) {
        return code;
    }
    code = tsdb_http_ask(&http, path, NULL, NULL, 0, &answer);
    if (code == CLI_OK && answer.code != HTTP_OK) {
        code = refuse(command, server, &answer);
        tsdb_http_answer_free(&answer);
    } else if (code == CLI_OK) {
        *ret_answer = answer;
    }
    tsdb_http_close(&http);
    return code;
}
