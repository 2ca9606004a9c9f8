/*
 * Commands that cannot go on: keys that somebody who may wait has locked, no memory, nobody there
 * any more. Each leaves everything as it was.
 */
#include "unit/base/cmocka_all.h"
#include "unit/serve/resp_rig.h"

#include <serve/resp/request.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct resp_rig rig;

static int set_up(void **state)
{
    (void)state;
    resp_rig_open(&rig);
    resp_rig_says(&rig, "MSET a 1 b 2 c 3", "+OK\\r\\n");
    resp_rig_says(&rig, "PEXPIREAT c 4000000000000", ":1\\r\\n");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    resp_rig_close(&rig);
    return 0;
}

static void everything_is_as_it_was(void)
{
    resp_rig_says(&rig, "MGET a b c", "*3\\r\\n$1\\r\\n1\\r\\n$1\\r\\n2\\r\\n$1\\r\\n3\\r\\n");
    resp_rig_says(&rig, "PEXPIRETIME c", ":4000000000000\\r\\n");
    resp_rig_says(&rig, "DBSIZE", ":3\\r\\n");
}

/* ---- busy ----------------------------------------------------------------------------------- */

static void a_command_whose_key_is_locked_is_busy_and_has_said_nothing(void **state)
{
    static const char *const lines[] = {
        "SET a x",       "SET a x NX",     "SET a x GET",    "SETNX a x",
        "SETEX a 10 x",  "PSETEX a 10 x",  "GETSET a x",     "GETDEL a",
        "GETEX a EX 10", "APPEND a x",     "SETRANGE a 1 x", "INCR a",
        "DECR a",        "INCRBY a 2",     "DECRBY a 2",     "INCRBYFLOAT a 1",
        "DEL a b",       "UNLINK b a",     "EXPIRE a 10",    "PEXPIRE a 10",
        "EXPIREAT a 1",  "PEXPIREAT a 1",  "PERSIST a",      "RENAME a b",
        "RENAME b a",    "RENAMENX a d",   "COPY b a",       "COPY b a DB 1 REPLACE",
        "MOVE a 1",      "MSET b x a x",   "MSETNX d x a x", "FLUSHDB",
        "FLUSHALL",      "KV.DELRANGE - +"};
    const struct quarry_kv_slice key = {"a", 1};
    const struct keyspace_keys sets[] = {{.keys = &key, .key_count = 1},
                                         {.scope.database = 1, .keys = &key, .key_count = 1}};
    struct keyspace_change holder;

    (void)state;
    assert_int_equal(keyspace_begin(rig.keyspace, sets, 2, 0, &holder), QUARRY_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct resp_reply *reply;

        if (resp_rig_try(&rig, lines[i], &reply) != RESP_BUSY) {
            fail_msg("%s was not busy", lines[i]);
        }
        assert_int_equal(resp_reply_bytes(reply).byte_count, 0);
        resp_reply_destroy(reply);
    }
    keyspace_abort(&holder);
    everything_is_as_it_was();
}

static void reading_waits_for_no_lock(void **state)
{
    static const char *const lines[] = {"GET a",           "MGET a b",  "EXISTS a b",
                                        "STRLEN a",        "TTL a",     "TYPE a",
                                        "SCAN 0",          "RANDOMKEY", "KV.RANGE - + LIMIT 10",
                                        "GETRANGE a 0 -1", "GETEX a",   "OBJECT ENCODING a"};
    const struct quarry_kv_slice key = {"a", 1};
    const struct keyspace_keys set = {.keys = &key, .key_count = 1};
    struct keyspace_change holder;

    (void)state;
    assert_int_equal(keyspace_begin(rig.keyspace, &set, 1, 0, &holder), QUARRY_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct resp_reply *reply;

        if (resp_rig_try(&rig, lines[i], &reply) != RESP_ANSWERED) {
            fail_msg("%s was busy", lines[i]);
        }
        assert_true(resp_reply_bytes(reply).byte_count > 0);
        resp_reply_destroy(reply);
    }
    keyspace_abort(&holder);
    everything_is_as_it_was();
}

static void long_walks_are_not_for_a_worker(void **state)
{
    static const char *const lines[] = {"SCAN 0 COUNT 1001", "SCAN 0 MATCH {k*129}", "KV.RANGE - +",
                                        "KV.RANGE - + LIMIT 1001", "KV.RANGE - + LIMIT -1"};

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct resp_reply *reply;

        assert_int_equal(resp_rig_try(&rig, lines[i], &reply), RESP_BUSY);
        assert_int_equal(resp_reply_bytes(reply).byte_count, 0);
        resp_reply_destroy(reply);
    }
}

/* ---- no memory ------------------------------------------------------------------------------ */

static void set_ceiling(uint64_t bytes)
{
    assert_int_equal(quarry_account_set_bounds(rig.pages.account, 0, bytes), QUARRY_OK);
}

/* Whether a line is answered by an error that begins so. */
static void fails(const char *line, const char *beginning)
{
    struct quarry_kv_slice words[RIG_WORDS_MAX];
    char *room;
    size_t word_count = resp_rig_words(line, words, &room);
    struct resp_reply *reply = resp_rig_call(&rig, words, word_count);
    struct quarry_kv_slice bytes = resp_reply_bytes(reply);

    if (bytes.byte_count < strlen(beginning) ||
        memcmp(bytes.bytes, beginning, strlen(beginning)) != 0) {
        fail_msg("%s: %.*s", line, (int)bytes.byte_count, (const char *)bytes.bytes);
    }
    resp_reply_destroy(reply);
    free(room);
}

static void a_command_without_scratch_memory_says_so_and_changes_nothing(void **state)
{
    static const char *const lines[] = {
        "MGET a b c d e f g h i j k l m n o p q",
        "EXISTS a b c d e f g h i j k l m n o p q",
        "MSET a x b x c x d x e x f x g x h x i x j x k x l x m x n x o x p x q x",
        "MSETNX d x e x f x g x h x i x j x k x l x m x n x o x p x q x r x s x t x u x",
        "SETRANGE a 5000 x",
        "KEYS *",
        "SCAN 0",
        "KV.RANGE - +",
        "KV.RANGE ({k*300} +",
        "KV.DELRANGE ({k*300} +",
        "KV.DELRANGE - [{k*300}"};
    struct quarry_account_state accounts[64];
    uint64_t charged_bytes = 0;

    (void)state;
    size_t count = quarry_memory_accounts(rig.memory, accounts, 64);
    for (size_t i = 0; i < count; i++) {
        charged_bytes =
            strcmp(accounts[i].name, "net") == 0 ? accounts[i].charged_bytes : charged_bytes;
    }
    assert_true(charged_bytes > 0);
    set_ceiling(charged_bytes);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        fails(lines[i], "-OOM ");
    }
    fails("LCS a b", "-ERR Insufficient memory, failed allocating");
    everything_is_as_it_was();
    set_ceiling(0);
    resp_rig_says(&rig, "KEYS *", "*3\\r\\n$1\\r\\na\\r\\n$1\\r\\nb\\r\\n$1\\r\\nc\\r\\n");
}

/* Queues a line, as the door does behind MULTI. */
static void queue(const char *line)
{
    struct quarry_kv_slice words[RIG_WORDS_MAX];
    char *room;
    size_t word_count = resp_rig_words(line, words, &room);
    const struct resp_command *command = resp_command_find(words[0], NULL);

    assert_int_equal(resp_queue_add(rig.session.queue, command, words, word_count, SIZE_MAX),
                     QUARRY_OK);
    free(room);
}

static void a_transaction_of_which_the_store_refuses_one_command_does_nothing(void **state)
{
    (void)state;
    rig.session.is_in_multi = true;
    rig.session.queue = resp_queue_create(&rig.pages);
    queue("SET a x");
    queue("EXISTS a b c d e f g h i j k l m n o p q");
    queue("SET b x");
    set_ceiling(1);
    fails("EXEC", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    assert_false(rig.session.is_in_multi);
    set_ceiling(0);
    everything_is_as_it_was();
}

/* ---- nobody there ----------------------------------------------------------------------------*/

static void a_walk_ends_when_nobody_wants_its_answer(void **state)
{
    static const _Atomic(bool) is_cancelled = true;
    char line[64];

    (void)state;
    for (unsigned i = 0; i < 1100; i++) {
        (void)snprintf(line, sizeof(line), "SET k%u v", i);
        resp_rig_says(&rig, line, "+OK\\r\\n");
    }
    rig.is_cancelled = &is_cancelled;
    fails("KEYS *", "-");
    fails("DBSIZE", "-");
    fails("KV.RANGE - +", "-");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_command_whose_key_is_locked_is_busy_and_has_said_nothing),
        TEST(reading_waits_for_no_lock),
        TEST(long_walks_are_not_for_a_worker),
        TEST(a_command_without_scratch_memory_says_so_and_changes_nothing),
        TEST(a_transaction_of_which_the_store_refuses_one_command_does_nothing),
        TEST(a_walk_ends_when_nobody_wants_its_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
