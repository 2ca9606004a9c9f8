/*
 * What a verb of `quarry tsdb` works on.
 *
 * A directory is opened as a server would open it, by this process alone, in a memory of its own of
 * --memory bytes: it replays its log, and writes what makes the next opening fast. More windows are
 * kept than any server keeps, so that looking at a store purges nothing. Questions go to the API's
 * own code, and come back as its JSON; a server is asked for the same by HTTP.
 *
 * Locking: none; of one thread.
 */
#include <cli/tsdb_target.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <quarry/vfs.h>

#include <cli/cmd_tsdb.h>
#include <os/os.h>
#include <tsdb/blocks.h>

#define WINDOW_MS_DEFAULT INT64_C(14400000)
/* Of all memory, for the store; the rest is for questions and answers. */
#define STORE_PART 2u

int tsdb_tool_fail(const struct tsdb_command *command, enum quarry_status status,
                   const struct quarry_error *error)
{
    const char *text =
        error != NULL && error->text[0] != '\0' ? error->text : quarry_status_text(status);
    const char *more = status == QUARRY_BUSY
                           ? "; somebody has it open: stop them, or ask the server with --server"
                       : status == QUARRY_NO_MEMORY ? "; --memory gives it more"
                                                    : "";

    Q_ASSERT(status != QUARRY_OK);
    (void)cli_failure(command->name, "%s%s", text, more);
    return status == QUARRY_BUSY ? CLI_BUSY : CLI_FAILED;
}

/* ---- memory --------------------------------------------------------------------------------- */

int tsdb_tool_memory_open(const struct tsdb_command *command, struct tsdb_tool_memory *ret_memory)
{
    const struct quarry_memory_options options = {.limit_bytes = command->memory_bytes};
    const struct quarry_account_options account = {.name = "tool"};
    struct tsdb_tool_memory memory = {.memory = NULL};
    struct quarry_error error = {0};
    enum quarry_status status = quarry_memory_create(&options, &memory.memory, &error);

    if (status == QUARRY_OK) {
        status = quarry_account_create(memory.memory, &account, &memory.small.account, &error);
    }
    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory.memory, "tool", &memory.lifetime, &error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(memory.lifetime, quarry_account_owner(memory.small.account),
                                    &memory.small.pool);
    }
    if (status != QUARRY_OK) {
        tsdb_tool_memory_close(&memory);
        return tsdb_tool_fail(command, status, &error);
    }
    *ret_memory = memory;
    return CLI_OK;
}

void tsdb_tool_memory_close(struct tsdb_tool_memory *memory)
{
    if (memory->memory != NULL) {
        quarry_lifetime_end(memory->lifetime);
        quarry_account_destroy(memory->small.account);
        quarry_memory_destroy(memory->memory);
        memory->memory = NULL;
    }
}

/* ---- a directory ---------------------------------------------------------------------------- */

void tsdb_target_tell_loss(void *argument, const struct quarry_tsdb_loss *loss)
{
    static const char *const kinds[] = {
        [QUARRY_TSDB_LOSS_LOG] = "of the log",
        [QUARRY_TSDB_LOSS_WINDOW] = "of a window",
        [QUARRY_TSDB_LOSS_SNAPSHOT] = "of a snapshot: only time is lost",
        [QUARRY_TSDB_LOSS_MEMORY] = "that there is no memory for; --memory gives more",
        [QUARRY_TSDB_LOSS_DELETIONS] = "of what was deleted, which is seen again",
        [QUARRY_TSDB_LOSS_SET_ASIDE] = "of a window: the damaged file, kept under this name",
    };
    struct tsdb_target *target = argument;
    char from[TSDB_TIME_BYTES], to[TSDB_TIME_BYTES];

    target->lost_count++;
    fprintf(stderr, "quarry %s: %s: ", target->command->name, loss->file);
    if (loss->byte_count > 0) {
        fprintf(stderr, "bytes %" PRIu64 " to %" PRIu64 " ", loss->offset,
                loss->offset + loss->byte_count - 1);
    } else {
        fputs("a part ", stderr);
    }
    fputs(kinds[loss->kind], stderr);
    if (loss->from_ms > INT64_MIN && loss->from_ms <= loss->to_ms && loss->to_ms < INT64_MAX) {
        fprintf(stderr, ", %s to %s", tsdb_time_text(loss->from_ms, from),
                tsdb_time_text(loss->to_ms, to));
    }
    if (loss->sample_count > 0) {
        fprintf(stderr, ", %" PRIu64 " samples", loss->sample_count);
    }
    fputc('\n', stderr);
}

static int check_directory(const struct tsdb_command *command)
{
    struct stat about;

    if (stat(command->directory, &about) != 0) {
        return command->creates ? CLI_OK
                                : cli_failure(command->name, "%s: there is no such directory%s",
                                              command->directory,
                                              (command->verb->takes & TSDB_TAKES_IMPORT) != 0
                                                  ? "; --create makes one"
                                                  : "");
    }
    return S_ISDIR(about.st_mode)
               ? CLI_OK
               : cli_failure(command->name, "%s is no directory", command->directory);
}

/* What its windows have; of one that has none yet, what --window says. */
static int read_length(struct tsdb_target *target, int64_t *ret_window_ms)
{
    const struct tsdb_command *command = target->command;
    struct quarry_error error = {0};
    int64_t length_ms = 0;
    int code = CLI_OK;

    *ret_window_ms = WINDOW_MS_DEFAULT;
    if (command->window != NULL) {
        code = tsdb_duration_read(command, "--window", command->window, ret_window_ms);
    }
    if (code == CLI_OK &&
        tsdb_directory_length(&target->memory.small, quarry_vfs_posix(), command->directory,
                              &length_ms, &error) == QUARRY_OK) {
        *ret_window_ms = length_ms;
    }
    return code;
}

static enum quarry_status open_store(struct tsdb_target *target, struct quarry_error *error)
{
    const struct tsdb_command *command = target->command;
    const struct quarry_tsdb_options options = {
        .memory = target->memory.memory,
        .memory_bytes = command->memory_bytes / STORE_PART,
        .window_ms = target->window_ms,
        .window_count = command->window_count,
        .in_order_ms = target->window_ms,
        .out_of_order_ms = target->window_ms,
        .fill_quiet_ms = -1,
        .keeps_oldest = true,
        .has_no_thread = true,
        .directory = command->directory,
        .lost = tsdb_target_tell_loss,
        .lost_argument = target,
    };
    enum quarry_status status = quarry_tsdb_open(&options, &target->tsdb, error);

    if (status == QUARRY_OK) {
        quarry_tsdb_wait_ready(target->tsdb);
    }
    return status;
}

static int open_directory(struct tsdb_target *target, bool wants_api)
{
    const struct tsdb_command *command = target->command;
    struct quarry_error error = {0};
    struct quarry_tsdb_stats stats;
    int code = check_directory(command);

    if (code == CLI_OK) {
        code = tsdb_tool_memory_open(command, &target->memory);
    }
    if (code == CLI_OK) {
        code = read_length(target, &target->window_ms);
    }
    if (code != CLI_OK) {
        return code;
    }
    enum quarry_status status = open_store(target, &error);
    if (status == QUARRY_OK && wants_api) {
        status = api_local_create(target->memory.memory, target->tsdb, &target->local, &error);
    }
    if (status != QUARRY_OK) {
        return tsdb_tool_fail(command, status, &error);
    }
    quarry_tsdb_read_stats(target->tsdb, &stats);
    target->now_ms = stats.max_ms;
    return CLI_OK;
}

int tsdb_target_open(const struct tsdb_command *command, bool wants_api,
                     struct tsdb_target *ret_target)
{
    *ret_target = (struct tsdb_target){
        .command = command,
        .now_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS),
    };
    int code = command->directory != NULL
                   ? open_directory(ret_target, wants_api)
                   : tsdb_http_open(&ret_target->http, command->name, command->url, command->user,
                                    command->password_path);
    return code == CLI_OK ? code : tsdb_target_close(ret_target, code);
}

int tsdb_target_close(struct tsdb_target *target, int code)
{
    api_local_destroy(target->local);
    const enum quarry_status status = quarry_tsdb_close(target->tsdb);
    if (status != QUARRY_OK && code == CLI_OK) {
        code = cli_failure(target->command->name, "%s: not all of its files could be written: %s",
                           target->command->directory, quarry_status_text(status));
    }
    tsdb_tool_memory_close(&target->memory);
    tsdb_http_close(&target->http);
    return code;
}

/* ---- asking --------------------------------------------------------------------------------- */

bool tsdb_answer_take(void *argument, const char *bytes, size_t count)
{
    struct tsdb_answer *answer = argument;

    if (answer->capacity - answer->count <= count) {
        const size_t capacity = size_max(2 * answer->capacity, answer->count + count + 4096);
        char *larger = realloc(answer->text, capacity);
        if (larger == NULL) {
            return false;
        }
        answer->text = larger;
        answer->capacity = capacity;
    }
    memcpy(answer->text + answer->count, bytes, count);
    answer->count += count;
    answer->text[answer->count] = '\0';
    return true;
}

void tsdb_answer_free(struct tsdb_answer *answer)
{
    json_read_free(answer->document);
    free(answer->text);
    *answer = (struct tsdb_answer){0};
}

void tsdb_answer_print(const struct tsdb_answer *answer)
{
    (void)fwrite(answer->text, 1, answer->count, stdout);
    (void)fputc('\n', stdout);
}

static bool add_words(struct tsdb_answer *text, const char *words, bool is_escaped)
{
    char *escaped = is_escaped ? tsdb_http_escape(words) : NULL;
    const char *added = is_escaped ? escaped : words;
    const bool is_added = added != NULL && tsdb_answer_take(text, added, strlen(added));

    free(escaped);
    return is_added;
}

static bool add_path(struct tsdb_answer *text, const struct api_question *question)
{
    const char *star = strchr(question->path, '*');

    if (star == NULL) {
        return add_words(text, question->path, false);
    }
    return tsdb_answer_take(text, question->path, (size_t)(star - question->path)) &&
           add_words(text, question->segment, true) && add_words(text, star + 1, false);
}

static bool add_params(struct tsdb_answer *text, const struct api_question *question)
{
    bool is_fine = true;

    for (size_t i = 0; i < question->param_count && is_fine; i++) {
        const struct api_question_param *param = &question->params[i];
        is_fine = add_words(text, i > 0 ? "&" : "", false) && add_words(text, param->name, true) &&
                  add_words(text, "=", false) && add_words(text, param->value, true);
    }
    return is_fine;
}

/* Paths that take a form as well as a query, so that expressions may be long. */
static bool takes_form(const struct api_question *question)
{
    return strncmp(question->path, "/api/v1/query", 13) == 0 ||
           strcmp(question->path, "/api/v1/series") == 0 ||
           strcmp(question->path, "/api/v1/labels") == 0;
}

static int ask_server(struct tsdb_target *target, const struct api_question *question,
                      struct tsdb_answer *answer, uint32_t *ret_code)
{
    static const char type[] = "application/x-www-form-urlencoded";
    struct tsdb_answer path = {0}, form = {0};
    struct tsdb_http_answer came = {0};
    const bool is_form = takes_form(question);
    bool is_made = add_path(&path, question) && add_words(&form, "", false);

    if (is_form) {
        is_made = is_made && add_params(&form, question);
    } else if (question->param_count > 0) {
        is_made = is_made && add_words(&path, "?", false) && add_params(&path, question);
    }
    int code = is_made ? tsdb_http_ask(&target->http, path.text, type, is_form ? form.text : NULL,
                                       form.count, &came)
                       : cli_failure(target->command->name, "no memory");
    if (code == CLI_OK) {
        *ret_code = came.code;
        *answer = (struct tsdb_answer){
            .text = came.bytes, .count = came.count, .capacity = came.capacity};
    }
    tsdb_answer_free(&path);
    tsdb_answer_free(&form);
    return code;
}

/* ---- answers that tell of an error ---------------------------------------------------------- */

/* A line of an expression, and a caret below column `column` of bytes, from 1. */
static void point_at(const char *expression, unsigned long line, unsigned long column)
{
    const char *at = expression;

    for (; line > 1 && (at = strchr(at, '\n')) != NULL; line--) {
        at++;
    }
    if (at == NULL || strchr("\n", *at) != NULL) {
        return;
    }
    const size_t length = strcspn(at, "\n");
    fprintf(stderr, "  %.*s\n  ", (int)size_min(length, 4096), at);
    for (size_t i = 0; i + 1 < column && i < length; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80) { /* the first byte of a character */
            fputc(at[i] == '\t' ? '\t' : ' ', stderr);
        }
    }
    fputs("^\n", stderr);
}

/* "…3:14: parse error…" */
static void point_out(const char *text, const char *expression)
{
    const char *place = strstr(text, ": parse error");
    unsigned long line = 0, column = 0;

    if (place == NULL || expression == NULL) {
        return;
    }
    while (place > text && (place[-1] == ':' || (place[-1] >= '0' && place[-1] <= '9'))) {
        place--;
    }
    char *end = NULL;
    line = strtoul(place, &end, 10);
    if (end != NULL && *end == ':') {
        column = strtoul(end + 1, NULL, 10);
    }
    if (line > 0 && column > 0) {
        point_at(expression, line, column);
    }
}

static int fail_answer(const struct tsdb_target *target, const struct tsdb_answer *answer,
                       uint32_t http_code, const char *expression)
{
    size_t length = 0;
    const char *text = json_read_text(json_read_member(answer->document, "error"), &length);

    if (text == NULL) {
        return cli_failure(target->command->name, "the server answered with %u: %.200s", http_code,
                           answer->text == NULL ? "" : cli_make_printable(answer->text));
    }
    (void)cli_failure(target->command->name, "%s", text);
    point_out(text, expression);
    return CLI_FAILED;
}

int tsdb_target_ask(struct tsdb_target *target, const struct api_question *question,
                    const char *expression, struct tsdb_answer *ret_answer)
{
    struct tsdb_answer answer = {0};
    char fault[200] = "";
    uint32_t http_code = 0;
    int code = CLI_OK;

    *ret_answer = answer;
    if (target->local != NULL) {
        const enum quarry_status status =
            api_local_ask(target->local, question, tsdb_answer_take, &answer, &http_code);
        code =
            status == QUARRY_OK ? CLI_OK : tsdb_tool_fail(target->command, QUARRY_NO_MEMORY, NULL);
    } else {
        code = ask_server(target, question, &answer, &http_code);
    }
    if (code == CLI_OK) {
        answer.document =
            answer.text == NULL ? NULL : json_read(answer.text, answer.count, fault, sizeof fault);
        answer.data = json_read_member(answer.document, "data");
        code = http_code == 200 && answer.data != NULL
                   ? CLI_OK
                   : fail_answer(target, &answer, http_code, expression);
    }
    if (code != CLI_OK) {
        tsdb_answer_free(&answer);
        return code;
    }
    *ret_answer = answer;
    return CLI_OK;
}
