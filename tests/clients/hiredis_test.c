/*
 * hiredis at $HOST:$PORT: what a program in C does with it. Synchronous commands, binary words,
 * pipelines, transactions, errors, and replies that come piece by piece through a reader.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#define LARGE_BYTES    4000000u
#define PIPELINE_COUNT 5000

static unsigned failure_count;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)printf("line %d: %s\n", __LINE__, #condition);                                   \
            failure_count++;                                                                       \
        }                                                                                          \
    } while (0)

/* Checks and frees a reply: its type, and its text or its number. */
static void expect_text(redisReply *reply, int type, const char *text)
{
    CHECK(reply != NULL && reply->type == type && reply->len == strlen(text) &&
          memcmp(reply->str, text, reply->len) == 0);
    freeReplyObject(reply);
}

static void expect_integer(redisReply *reply, long long number)
{
    CHECK(reply != NULL && reply->type == REDIS_REPLY_INTEGER && reply->integer == number);
    freeReplyObject(reply);
}

static void expect_nothing(redisReply *reply)
{
    CHECK(reply != NULL && reply->type == REDIS_REPLY_NIL);
    freeReplyObject(reply);
}

static redisContext *open_connection(void)
{
    const struct timeval patience = {.tv_sec = 60};
    redisContext *link = redisConnectWithTimeout(getenv("HOST"), atoi(getenv("PORT")), patience);

    if (link == NULL || link->err != 0) {
        (void)printf("no connection: %s\n", link == NULL ? "no memory" : link->errstr);
        exit(1);
    }
    (void)redisSetTimeout(link, patience);
    return link;
}

static void single_commands(redisContext *link)
{
    expect_text(redisCommand(link, "FLUSHALL"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(link, "SET %s %s EX 1000", "k", "a value"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(link, "GET k"), REDIS_REPLY_STRING, "a value");
    expect_integer(redisCommand(link, "APPEND k %s", "!"), 8);
    expect_nothing(redisCommand(link, "GET nothing"));
    expect_integer(redisCommand(link, "INCRBY n %lld", 1LL << 40), 1LL << 40);
    expect_text(redisCommand(link, "INCR k"), REDIS_REPLY_ERROR,
                "ERR value is not an integer or out of range");
    CHECK(link->err == 0); /* the server's, not the connection's */
    expect_integer(redisCommand(link, "DEL k n nothing"), 2);
}

static void bytes_of_all_kinds(redisContext *link)
{
    const char key[] = "k\0\r\n ", value[] = "\0\xff\r\n*1\r\n";
    char *large = malloc(LARGE_BYTES);

    CHECK(large != NULL);
    memset(large, 'x', LARGE_BYTES);
    expect_text(redisCommand(link, "SET %b %b", key, sizeof key, value, sizeof value),
                REDIS_REPLY_STATUS, "OK");
    redisReply *reply = redisCommand(link, "GET %b", key, sizeof key);
    CHECK(reply != NULL && reply->len == sizeof value &&
          memcmp(reply->str, value, reply->len) == 0);
    freeReplyObject(reply);
    expect_text(redisCommand(link, "SET large %b", large, (size_t)LARGE_BYTES), REDIS_REPLY_STATUS,
                "OK");
    reply = redisCommand(link, "GET large");
    CHECK(reply != NULL && reply->len == LARGE_BYTES &&
          memcmp(reply->str, large, LARGE_BYTES) == 0);
    freeReplyObject(reply);
    free(large);
}

static void many_words(redisContext *link)
{
    const char *words[1 + 200] = {"MGET"};

    for (unsigned i = 1; i <= 200; i++) {
        words[i] = i % 2 == 0 ? "there" : "nothing";
    }
    expect_text(redisCommand(link, "SET there 1"), REDIS_REPLY_STATUS, "OK");
    redisReply *reply = redisCommandArgv(link, 1 + 200, words, NULL);
    CHECK(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 200);
    for (size_t i = 0; reply != NULL && i < reply->elements; i++) {
        CHECK(reply->element[i]->type == (i % 2 == 1 ? REDIS_REPLY_STRING : REDIS_REPLY_NIL));
    }
    freeReplyObject(reply);
}

static void pipelines(redisContext *link)
{
    void *reply = NULL;

    expect_integer(redisCommand(link, "DEL n"), 0);
    for (int i = 0; i < PIPELINE_COUNT; i++) {
        CHECK(redisAppendCommand(link, "INCR n") == REDIS_OK);
    }
    for (int i = 0; i < PIPELINE_COUNT; i++) {
        CHECK(redisGetReply(link, &reply) == REDIS_OK);
        expect_integer(reply, i + 1);
    }
}

static void transactions(redisContext *link, redisContext *other)
{
    expect_text(redisCommand(link, "MULTI"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(link, "SET a 1"), REDIS_REPLY_STATUS, "QUEUED");
    expect_text(redisCommand(link, "INCR a"), REDIS_REPLY_STATUS, "QUEUED");
    redisReply *reply = redisCommand(link, "EXEC");
    CHECK(reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
          reply->element[1]->integer == 2);
    freeReplyObject(reply);
    expect_text(redisCommand(link, "WATCH a"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(other, "SET a theirs"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(link, "MULTI"), REDIS_REPLY_STATUS, "OK");
    expect_text(redisCommand(link, "SET a ours"), REDIS_REPLY_STATUS, "QUEUED");
    expect_nothing(redisCommand(link, "EXEC"));
    expect_text(redisCommand(link, "GET a"), REDIS_REPLY_STRING, "theirs");
}

static void what_ends_a_connection(void)
{
    redisContext *link = open_connection();
    void *reply = NULL;

    expect_text(redisCommand(link, "QUIT"), REDIS_REPLY_STATUS, "OK");
    CHECK(redisCommand(link, "PING") == NULL && link->err != 0);
    CHECK(redisReconnect(link) == REDIS_OK);
    expect_text(redisCommand(link, "PING"), REDIS_REPLY_STATUS, "PONG");
    CHECK(redisAppendFormattedCommand(link, "*1\r\n:1\r\n", 8) == REDIS_OK);
    CHECK(redisGetReply(link, &reply) == REDIS_OK);
    expect_text(reply, REDIS_REPLY_ERROR, "ERR Protocol error: expected '$', got ':'");
    redisFree(link);
}

int main(void)
{
    redisContext *link = open_connection(), *other = open_connection();

    single_commands(link);
    bytes_of_all_kinds(link);
    many_words(link);
    pipelines(link);
    transactions(link, other);
    what_ends_a_connection();
    redisFree(link);
    redisFree(other);
    (void)printf("%u failures\n", failure_count);
    return failure_count == 0 ? 0 : 1;
}
