/*
 * What commands answer, byte by byte: conversations in tests/resp/commands, of which redis-server
 * 7.0.15 has said the answers.
 *
 *     # a remark
 *     > SET k v EX 10        words; the next line is the answer, with its escapes
 *     +OK\r\n
 *     ! wait 400             time goes by, in ms
 *     ! resp 3               the protocol; ! db 1: the database
 *     ! multi                what EXEC would begin, up to ! exec
 */
#include "unit/base/cmocka_all.h"
#include "unit/serve/resp_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct resp_rig rig;

static int open_rig(void **state)
{
    (void)state;
    resp_rig_open(&rig);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    resp_rig_close(&rig);
    return 0;
}

/* Obeys a line that begins with `!`. */
static void obey(const char *line)
{
    unsigned long number = 0;
    const char *blank = strchr(line, ' ');

    if (blank != NULL) {
        number = strtoul(blank + 1, NULL, 10);
    }
    if (strncmp(line, "wait ", 5) == 0) {
        /* Relaxed: one thread. */
        (void)atomic_add_relaxed_u64(&rig.now_ms, number);
    } else if (strncmp(line, "resp ", 5) == 0) {
        rig.session.protocol = (uint8_t)number;
    } else if (strncmp(line, "db ", 3) == 0) {
        rig.session.scope.database = (uint8_t)number;
    } else if (strcmp(line, "multi") == 0) {
        resp_rig_begin(&rig);
    } else {
        assert_string_equal(line, "exec");
        resp_rig_exec(&rig);
    }
}

/* Has the conversation of a file. */
static void converse(const char *name)
{
    char path[512], *line = NULL, *sent = NULL;
    size_t line_bytes = 0, asked_count = 0;

    (void)snprintf(path, sizeof(path), "%s/%s.txt", CONVERSATIONS, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    resp_rig_empty(&rig);
    for (ssize_t count; (count = getline(&line, &line_bytes, file)) >= 0;) {
        line[count - (count > 0 && line[count - 1] == '\n')] = '\0';
        if (sent != NULL) {
            resp_rig_says(&rig, sent, line);
            free(sent);
            sent = NULL;
            asked_count++;
        } else if (line[0] == '!') {
            obey(line + 2);
        } else if (line[0] == '>') {
            sent = strdup(line + 2);
        }
    }
    assert_null(sent);
    assert_true(asked_count > 0);
    free(line);
    (void)fclose(file);
}

#define CONVERSATION(name)                                                                         \
    static void name##_answer_as_redis_does(void **state)                                          \
    {                                                                                              \
        (void)state;                                                                               \
        converse(#name);                                                                           \
    }
#define CONVERSATION_NAMES(X)                                                                      \
    X(strings)                                                                                     \
    X(ranges)                                                                                      \
    X(numbers)                                                                                     \
    X(keys)                                                                                        \
    X(many)                                                                                        \
    X(expiry)                                                                                      \
    X(databases)                                                                                   \
    X(walks)                                                                                       \
    X(lcs)                                                                                         \
    X(resp3)                                                                                       \
    X(arities)                                                                                     \
    X(transactions)
CONVERSATION_NAMES(CONVERSATION)

int main(void)
{
#define TEST(name) cmocka_unit_test(name##_answer_as_redis_does),
    const struct CMUnitTest tests[] = {CONVERSATION_NAMES(TEST)};

    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
