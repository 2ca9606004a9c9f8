/*
 * `quarry kv` as a client of Redis, and on the files that Redis writes.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "json.h"
#include "kv_cli.h"

#define SERVER "--server=unix:redis.sock"
/* A server that has not answered by then does not start. */
#define START_MS 60000u

static pid_t server;

/* ---- a server ------------------------------------------------------------------------------- */

static int start_redis(void **state)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    if (kv_cli_begin(state) != 0) {
        return -1;
    }
    server = fork();
    if (server == 0) {
        (void)freopen("redis.log", "w", stdout);
        (void)execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", "redis.sock",
                     "--save", "", "--appendonly", "no", "--daemonize", "no", (char *)NULL);
        _exit(127);
    }
    for (unsigned waited_ms = 0; waited_ms < START_MS; waited_ms += 20) {
        if (kv_cli_shell("redis-cli -s redis.sock ping > /dev/null 2>&1") == 0) {
            return 0;
        }
        (void)nanosleep(&pause, NULL);
    }
    return -1;
}

static int stop_redis(void **state)
{
    if (server > 0) {
        (void)kill(server, SIGTERM);
        (void)waitpid(server, NULL, 0);
    }
    return kv_cli_end(state);
}

static void redis(const char *words)
{
    assert_int_equal(kv_cli_shell("redis-cli -s redis.sock -e %s > /dev/null", words), 0);
}

static void assert_redis(const char *words, const char *answer)
{
    char *said = kv_cli_shell_says("redis-cli -s redis.sock %s", words);

    assert_string_equal(said, answer);
    free(said);
}

/* ---- a client ------------------------------------------------------------------------------- */

static void verbs_that_need_no_order_work_on_redis(void **state)
{
    (void)state;
    SAYS("", "put", SERVER, "k", "v", "--ttl", "1000");
    SAYS("v", "get", SERVER, "k");
    char *json = JSON_OF("get", SERVER, "k", "--json");
    uint64_t ttl = 0;
    assert_true(json_number(json, "ttl_seconds", &ttl));
    assert_in_range(ttl, 900, 1000);
    free(json);
    SAYS("yes\n", "exists", SERVER, "k");
    SAYS("k : v\n", "scan", SERVER);
    SAYS("", "put", SERVER, "00ff0a", "0d0a00", "--hex", "--database", "5");
    SAYS("0x0D0A00\n", "get", SERVER, "00ff0a", "--hex", "--database", "5");
    FAILS(1, "has no key '00ff0a'", "get", SERVER, "00ff0a", "--hex");
    SAYS("", "del", SERVER, "k", "other");
    assert_redis("dbsize", "0\n");
}

static void a_batch_is_a_transaction(void **state)
{
    (void)state;
    SAYS("", "batchput", SERVER, "a", "1", "b", "2");
    assert_redis("mget a b", "1\n2\n");
    assert_redis("info commandstats | grep -c cmdstat_exec", "1\n");
    redis("rpush list x");
    FAILS(1, "WRONGTYPE", "get", SERVER, "list");
}

static void what_a_server_cannot_do_is_told_in_its_words(void **state)
{
    (void)state;
    FAILS(1, "unknown command 'KV.DELRANGE'", "delrange", SERVER, "a", "b");
    FAILS(1, "keeps its keys in no order", "scan", SERVER, "--from", "a");
    FAILS(1, "unknown command", "stats", SERVER);
    FAILS(1, "DB index is out of range", "get", SERVER, "k", "--database", "200");
    kv_cli_write("password", "secret\n", 7);
    FAILS(1, "answers: ", "get", SERVER, "k", "--user", "nobody", "--password-file", "password");
}

static void a_dump_goes_into_a_server_and_comes_back(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 2000);
    SAYS("", "load", SERVER, "dump", "--hex");
    assert_redis("dbsize", "2000\n");
    SAYS("", "dump", SERVER, "unordered", "--hex");
    assert_int_equal(kv_cli_shell("sort unordered > sorted && sort dump | cmp - sorted"), 0);
    SAYS("", "load", "db", "dump", "--hex", "--create");
    SAYS("", "import-rocksdb", "db", SERVER, "--database", "7");
    assert_redis("-n 7 dbsize", "2000\n");
}

/* ---- RDB files ------------------------------------------------------------------------------ */

static void fill_strings(void)
{
    redis("set number 12345");
    redis("set small -7");
    redis("set large -1234567890");
    redis("set empty ''");
    redis("set expires v px 1000000");
    redis("-n 3 set elsewhere v");
    redis("set gone v px 1");
    redis("config set rdbcompression yes");
    assert_int_equal(kv_cli_shell("head -c 20000 /dev/zero | tr '\\0' x | "
                                  "redis-cli -s redis.sock -x set long > /dev/null"),
                     0);
    assert_int_equal(kv_cli_shell("head -c 70000 /dev/urandom > random && "
                                  "redis-cli -s redis.sock -x set random < random > /dev/null"),
                     0);
}

/* Each type in each of the forms that a file has for it. */
static void fill_others(void)
{
    redis("rpush list a b c");
    redis("sadd numbers 1 2 3");
    redis("sadd set a b");
    redis("zadd sorted 1 a 2.5 b");
    redis("hset hash a b");
    redis("xadd stream '*' a b");
    redis("xgroup create stream group 0");
    redis("xreadgroup group group consumer count 1 streams stream '>'");
    assert_int_equal(
        kv_cli_shell("for i in $(seq 1 700); do echo rpush biglist $i-$i-$i-$i-$i-$i-$i-$i; "
                     "echo sadd bigset m$i; echo zadd bigsorted $i.5 m$i; "
                     "echo hset bighash f$i v$i; echo xadd bigstream '*' f $i; done | "
                     "redis-cli -s redis.sock > /dev/null"),
        0);
    assert_int_equal(kv_cli_shell("printf '#!lua name=lib\\nredis.register_function(\"f\", "
                                  "function() return 1 end)' | "
                                  "redis-cli -s redis.sock -x function load > /dev/null"),
                     0);
}

static void strings_of_a_file_come_with_database_and_expiry(void **state)
{
    (void)state;
    fill_strings();
    redis("save");
    TAKES(NULL, "import-rdb", "dump.rdb", "db");
    SAYS("12345", "get", "db", "number", "--database", "0");
    SAYS("-7", "get", "db", "small", "--database", "0");
    SAYS("-1234567890", "get", "db", "large", "--database", "0");
    SAYS("", "get", "db", "empty", "--database", "0");
    SAYS("v", "get", "db", "elsewhere", "--database", "3");
    FAILS(1, "no key 'gone'", "get", "db", "gone", "--database", "0");
    SAYS("", "get", "db", "random", "copy", "--database", "0");
    kv_cli_same_files("random", "copy");
    SAYS("", "get", "db", "long", "copy", "--database", "0");
    char *text = kv_cli_read("copy", NULL);
    assert_int_equal(strspn(text, "x"), 20000);
    free(text);
    char *json = JSON_OF("get", "db", "expires", "--database", "0", "--json");
    uint64_t ttl = 0;
    assert_true(json_number(json, "ttl_seconds", &ttl));
    assert_in_range(ttl, 900, 1000);
    free(json);
}

static void one_database_of_a_file_can_be_taken(void **state)
{
    (void)state;
    fill_strings();
    redis("save");
    TAKES(NULL, "import-rdb", "dump.rdb", "db", "--database", "3", "--tenant", "acme");
    SAYS("elsewhere : v\n", "scan", "db", "--database", "3", "--tenant", "acme");
    SAYS("", "scan", "db", "--database", "0", "--tenant", "acme");
}

static void other_types_are_counted_and_named(void **state)
{
    (void)state;
    redis("set k v");
    fill_others();
    redis("save");
    FAILS(1, "2 of type list", "import-rdb", "dump.rdb", "db");
    FAILS(1, "3 of type set", "import-rdb", "dump.rdb", "db");
    FAILS(1, "2 of type sorted set", "import-rdb", "dump.rdb", "db");
    FAILS(1, "2 of type hash", "import-rdb", "dump.rdb", "db");
    FAILS(1, "2 of type stream", "import-rdb", "dump.rdb", "db");
    TAKES(NULL, "import-rdb", "dump.rdb", "db", "--skip-others");
    SAYS("k : v\n", "scan", "db", "--database", "0");
}

static void a_file_goes_into_a_server(void **state)
{
    (void)state;
    fill_strings();
    redis("save");
    redis("flushall");
    TAKES(NULL, "import-rdb", "dump.rdb", SERVER);
    assert_redis("get number", "12345\n");
    assert_redis("-n 3 get elsewhere", "v\n");
    char *ttl = kv_cli_shell_says("redis-cli -s redis.sock pttl expires");
    assert_in_range(strtol(ttl, NULL, 10), 900000, 1000000);
    free(ttl);
}

static void a_damaged_file_is_refused_with_the_place(void **state)
{
    size_t byte_count;

    (void)state;
    fill_strings();
    redis("save");
    char *bytes = kv_cli_read("dump.rdb", &byte_count);
    kv_cli_write("cut.rdb", bytes, byte_count / 2);
    FAILS(1, "it is cut off", "import-rdb", "cut.rdb", "db");
    bytes[byte_count - 100] ^= 1;
    kv_cli_write("bad.rdb", bytes, byte_count);
    FAILS(1, "bad.rdb: at offset ", "import-rdb", "bad.rdb", "db");
    memcpy(bytes, "REDIS0099", 9);
    kv_cli_write("new.rdb", bytes, byte_count);
    FAILS(1, "it is of version 99", "import-rdb", "new.rdb", "db");
    memcpy(bytes, "SIDER", 5);
    kv_cli_write("no.rdb", bytes, byte_count);
    FAILS(1, "it is no RDB file", "import-rdb", "no.rdb", "db");
    FAILS(2, "where to?", "import-rdb", "no.rdb");
    free(bytes);
}

#define REDIS_TEST(name) cmocka_unit_test_setup_teardown(name, start_redis, stop_redis)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REDIS_TEST(verbs_that_need_no_order_work_on_redis),
        REDIS_TEST(a_batch_is_a_transaction),
        REDIS_TEST(what_a_server_cannot_do_is_told_in_its_words),
        REDIS_TEST(a_dump_goes_into_a_server_and_comes_back),
        REDIS_TEST(strings_of_a_file_come_with_database_and_expiry),
        REDIS_TEST(one_database_of_a_file_can_be_taken),
        REDIS_TEST(other_types_are_counted_and_named),
        REDIS_TEST(a_file_goes_into_a_server),
        REDIS_TEST(a_damaged_file_is_refused_with_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
