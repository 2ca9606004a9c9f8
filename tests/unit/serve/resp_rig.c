#include "unit/serve/resp_rig.h"

#include "unit/base/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The clock's first time: in 2033, before all times that conversations name. */
#define FIRST_MS UINT64_C(2000000000000)

static uint64_t now_of(void *argument)
{
    struct resp_rig *rig = argument;

    return atomic_load_relaxed_u64(&rig->now_ms); /* a number */
}

static void open_pages(struct resp_rig *rig)
{
    const struct quarry_account_options account = {.name = "net", .is_all_pages = true};
    const struct quarry_lane_options lane = {.name = "net"};
    struct quarry_error error = {0};

    rig->pages.memory = rig->memory;
    assert_int_equal(quarry_account_create(rig->memory, &account, &rig->pages.account, &error),
                     QUARRY_OK);
    assert_int_equal(quarry_lane_create(rig->memory, &lane, &rig->pages.lane, &error), QUARRY_OK);
}

static void open_keyspace(struct resp_rig *rig)
{
    const struct quarry_kv_options kv_options = {.vfs = rig->disk,
                                                 .create_if_missing = true,
                                                 .write_buffer_bytes = Q_MIB(4),
                                                 .memory_bytes = Q_MIB(256),
                                                 .value_bytes_max = RIG_BULK_BYTES_MAX + 64,
                                                 .is_stepped = true};
    const struct keyspace_options options = {.now_ms = now_of, .argument = rig};
    struct quarry_error error = {0};

    if (keyspace_open(rig->memory, "/db", &kv_options, &options, &rig->keyspace, &error) !=
        QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

void resp_rig_open(struct resp_rig *rig)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(512), .has_no_thread = true};
    struct quarry_error error = {0};

    memset(rig, 0, sizeof(*rig));
    atomic_store_relaxed_u64(&rig->now_ms, FIRST_MS); /* nobody else reads it yet */
    assert_int_equal(quarry_memory_create(&options, &rig->memory, &error), QUARRY_OK);
    assert_int_equal(quarry_vfs_memory_create(1, &rig->disk), QUARRY_OK);
    open_pages(rig);
    open_keyspace(rig);
    assert_int_equal(resp_snapshots_create(&rig->pages, rig->keyspace, &rig->snapshots), QUARRY_OK);
    rig->common = (struct resp_common){.memory = &rig->pages,
                                       .snapshots = rig->snapshots,
                                       .database_count = 16,
                                       .bulk_bytes_max = RIG_BULK_BYTES_MAX,
                                       .answer_bytes_max = RIG_ANSWER_BYTES_MAX};
    rig->session = (struct resp_session){.id = 7, .protocol = 2, .is_logged_in = true};
}

void resp_rig_close(struct resp_rig *rig)
{
    struct quarry_error error = {0};
    struct quarry_account_state root;

    assert_null(rig->transaction);
    resp_snapshots_destroy(rig->snapshots);
    if (keyspace_close(rig->keyspace, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    quarry_lane_destroy(rig->pages.lane);
    quarry_account_destroy(rig->pages.account);
    quarry_vfs_memory_destroy(rig->disk);
    if (quarry_memory_accounts(rig->memory, &root, 1) != 0) {
        assert_int_equal(root.charged_bytes, 0);
    }
    quarry_memory_destroy(rig->memory);
}

void resp_rig_empty(struct resp_rig *rig)
{
    rig->session.scope = (struct keyspace_scope){0};
    rig->session.protocol = 2;
    atomic_store_relaxed_u64(&rig->now_ms, FIRST_MS); /* one thread */
    resp_rig_says(rig, "FLUSHALL", "+OK\\r\\n");
}

void resp_rig_begin(struct resp_rig *rig)
{
    assert_null(rig->transaction);
    assert_int_equal(
        keyspace_begin(rig->keyspace, NULL, 0, KEYSPACE_ALL_KEYS | KEYSPACE_COPIES, &rig->room),
        QUARRY_OK);
    rig->transaction = &rig->room;
}

void resp_rig_exec(struct resp_rig *rig)
{
    struct quarry_error error = {0};

    assert_non_null(rig->transaction);
    assert_int_equal(keyspace_commit(rig->transaction, &error), QUARRY_OK);
    rig->transaction = NULL;
}

static bool fits(const struct resp_command *command, size_t word_count)
{
    return command->arity >= 0 ? word_count == (size_t)command->arity
                               : word_count >= (size_t)-command->arity;
}

/* A call as a worker makes it, with a reply of its own. */
static struct resp_call make_call(struct resp_rig *rig, const struct quarry_kv_slice *words,
                                  size_t word_count)
{
    const struct resp_call call = {
        .common = &rig->common,
        .session = &rig->session,
        .command = resp_command_find(words[0], word_count > 1 ? &words[1] : NULL),
        .words = words,
        .word_count = word_count,
        .reply = resp_reply_create(rig->memory, rig->session.protocol),
        .keyspace = rig->keyspace,
        .transaction = rig->transaction,
        .now_ms = now_of(rig),
        .may_wait = rig->transaction != NULL,
        .is_cancelled = rig->is_cancelled};

    assert_non_null(call.reply);
    assert_non_null(call.command);
    return call;
}

struct resp_reply *resp_rig_call(struct resp_rig *rig, const struct quarry_kv_slice *words,
                                 size_t word_count)
{
    struct resp_call call = make_call(rig, words, word_count);

    if (!fits(call.command, word_count)) {
        resp_say_wrong_arity(call.reply, call.command);
        return call.reply;
    }
    enum resp_outcome outcome =
        (call.command->flags & RESP_SLOW) != 0 ? RESP_BUSY : call.command->function(&call);
    if (outcome == RESP_BUSY) {
        assert_int_equal(resp_reply_bytes(call.reply).byte_count, 0); /* it had said nothing */
        call.may_wait = true;
        outcome = call.command->function(&call);
    }
    assert_int_equal(outcome, RESP_ANSWERED);
    return call.reply;
}

enum resp_outcome resp_rig_try(struct resp_rig *rig, const char *line,
                               struct resp_reply **ret_reply)
{
    struct quarry_kv_slice words[RIG_WORDS_MAX];
    char *room;
    size_t word_count = resp_rig_words(line, words, &room);
    struct resp_call call = make_call(rig, words, word_count);
    enum resp_outcome outcome = call.command->function(&call);

    free(room);
    *ret_reply = call.reply;
    return outcome;
}

void resp_rig_says(struct resp_rig *rig, const char *line, const char *answered)
{
    struct quarry_kv_slice words[RIG_WORDS_MAX];
    char *room;
    size_t word_count = resp_rig_words(line, words, &room);
    struct resp_reply *reply = resp_rig_call(rig, words, word_count);
    char *text = resp_rig_escape(resp_reply_bytes(reply));

    if (strcmp(text, answered) != 0) {
        fail_msg("\n%s\n%s\nwas wanted, not\n%s", line, answered, text);
    }
    free(text);
    free(room);
    resp_reply_destroy(reply);
}

/* ---- texts of conversations ----------------------------------------------------------------- */

/* Reads an escape behind its backslash. Returns: behind it. */
static const char *read_escape(const char *at, char *ret_byte)
{
    static const char letters[] = "rnt\\\"", bytes[] = "\r\n\t\\\"";
    const char *letter = *at == '\0' ? NULL : strchr(letters, *at);

    if (letter != NULL) {
        *ret_byte = bytes[letter - letters];
        return at + 1;
    }
    char hex[3] = {at[1], at[2], '\0'};
    assert_int_equal(*at, 'x');
    *ret_byte = (char)strtoul(hex, NULL, 16);
    return at + 3;
}

/* Reads `{x*100}` at a brace. Returns: behind it, or NULL: it is none. */
static const char *read_run(const char *at, char **to)
{
    char *end;

    if (at[0] != '{' || at[1] == '\0' || at[2] != '*') {
        return NULL;
    }
    unsigned long count = strtoul(at + 3, &end, 10);
    if (*end != '}') {
        return NULL;
    }
    memset(*to, at[1], count);
    *to += count;
    return end + 1;
}

/* Reads one word. Returns: behind it. */
static const char *read_word(const char *at, char **to)
{
    bool is_quoted = *at == '"';

    at += is_quoted;
    while (*at != '\0' && *at != (is_quoted ? '"' : ' ')) {
        const char *behind = is_quoted ? NULL : read_run(at, to);

        if (behind != NULL) {
            at = behind;
        } else if (is_quoted && *at == '\\') {
            at = read_escape(at + 1, (*to)++);
        } else {
            *(*to)++ = *at++;
        }
    }
    return at + (is_quoted && *at == '"');
}

/* What a line's words have room in: no run in tests is longer. */
#define LINE_ROOM_BYTES Q_KIB(128)

size_t resp_rig_words(const char *line, struct quarry_kv_slice words[RIG_WORDS_MAX], char **room)
{
    char *to = *room = malloc(LINE_ROOM_BYTES);
    size_t count = 0;

    assert_non_null(to);
    for (const char *at = line; *at != '\0';) {
        if (*at == ' ') {
            at++;
            continue;
        }
        char *word = to;
        assert_true(count < RIG_WORDS_MAX);
        at = read_word(at, &to);
        assert_true((size_t)(to - *room) < LINE_ROOM_BYTES);
        words[count++] = (struct quarry_kv_slice){word, (size_t)(to - word)};
    }
    return count;
}

/* A byte as it is written alone. Returns: its length. */
static size_t escape_byte(uint8_t byte, char room[5])
{
    if (byte == '\r' || byte == '\n' || byte == '\\') {
        return (size_t)sprintf(room, "\\%c", byte == '\r' ? 'r' : byte == '\n' ? 'n' : '\\');
    }
    return (size_t)sprintf(room, byte < ' ' || byte > '~' || byte == '{' ? "\\x%02x" : "%c", byte);
}

/* Runs from here on are written in braces. */
#define RUN_MIN 24u

char *resp_rig_escape(struct quarry_kv_slice bytes)
{
    const uint8_t *all = bytes.bytes;
    char *text = malloc(4 * bytes.byte_count + 16), *to = text;

    assert_non_null(text);
    for (size_t at = 0, end; at < bytes.byte_count;) {
        char one[5];
        size_t length = escape_byte(all[at], one);

        for (end = at; end < bytes.byte_count && all[end] == all[at];) {
            end++;
        }
        if (end - at >= RUN_MIN) {
            to += sprintf(to, "{%s*%zu}", one, end - at);
            at = end;
        } else {
            memcpy(to, one, length);
            to += length;
            at++;
        }
    }
    *to = '\0';
    return text;
}
