/*
 * `quarry kv` and `quarry serve`: the same keys through the door and in the directory.
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

#define SERVER "--server=unix:resp.sock"
/* A server that has not answered by then does not start; sanitizers make it slow. */
#define START_MS 60000u

static pid_t server;

static void start(void)
{
    const struct timespec pause = {.tv_nsec = 20000000};

    server = fork();
    assert_true(server >= 0);
    if (server == 0) {
        (void)freopen("serve.log", "a", stderr);
        (void)execl(QUARRY_CLI_PATH, "quarry", "serve", "--data", "data", "--memory", "256m",
                    "--memcached", "off", "--resp", "unix:resp.sock", "--http", "off", "--threads",
                    "1", (char *)NULL);
        _exit(127);
    }
    for (unsigned waited_ms = 0; waited_ms < START_MS; waited_ms += 20) {
        if (kv_cli_shell("'%s' kv exists " SERVER " x 2> /dev/null > /dev/null", QUARRY_CLI_PATH) ==
            1) {
            return;
        }
        (void)nanosleep(&pause, NULL);
    }
    fail_msg("the server does not answer");
}

static void stop(void)
{
    int status = 0;

    assert_int_equal(kill(server, SIGTERM), 0);
    assert_int_equal(waitpid(server, &status, 0), server);
    server = 0;
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int begin(void **state)
{
    if (kv_cli_begin(state) != 0) {
        return -1;
    }
    start();
    return 0;
}

static int end(void **state)
{
    if (server != 0) {
        stop();
    }
    return kv_cli_end(state);
}

/* ---- keys ----------------------------------------------------------------------------------- */

static void keys_come_in_order_and_by_ranges(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 1500); /* three pages of a walk */
    SAYS("", "load", SERVER, "dump", "--hex");
    SAYS("", "dump", SERVER, "again", "--hex");
    kv_cli_same_files("dump", "again");
    SAYS("", "batchput", SERVER, "a", "1", "b", "2", "c", "3", "d", "4", "--database", "1");
    SAYS("b : 2\nc : 3\n", "scan", SERVER, "--from", "b", "--to", "d", "--database", "1");
    SAYS("d : 4\nc : 3\n", "scan", SERVER, "--reverse", "--max", "2", "--database", "1");
    SAYS("", "delrange", SERVER, "b", "d", "--database", "1");
    SAYS("d : 4\na : 1\n", "scan", SERVER, "--reverse", "--database", "1");
    char *shown = JSON_OF("scan", SERVER, "--count-only", "--json");
    uint64_t count = 0;
    assert_true(json_number(shown, "key_count", &count));
    assert_int_equal(count, 1500);
    free(shown);
}

static void all_pages_of_a_reverse_walk_fit_together(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 1300);
    SAYS("", "load", SERVER, "dump", "--hex");
    assert_int_equal(kv_cli_shell("'%s' kv scan " SERVER " --hex --reverse | tac | "
                                  "sed 's/ : / ==> /' | cmp - dump",
                                  QUARRY_CLI_PATH),
                     0);
}

static void the_directory_shows_what_the_clients_saw(void **state)
{
    (void)state;
    SAYS("", "put", SERVER, "k", "v", "--database", "3", "--ttl", "1000");
    SAYS("", "put", SERVER, "bytes", "00ff", "--value-hex");
    SAYS("k : v\n", "scan", "data/kv", "--database", "3"); /* beside the server */
    FAILS(75, "ask the server with --server", "put", "data/kv", "k", "w", "--database", "3");
    stop();
    SAYS("0x00FF\n", "get", "data/kv", "bytes", "--database", "0", "--value-hex");
    SAYS("", "put", "data/kv", "k", "w", "--database", "3");
    SAYS_PART("sound", "verify", "data/kv");
    start();
    SAYS("w", "get", SERVER, "k", "--database", "3");
}

/* ---- the store ------------------------------------------------------------------------------ */

static void a_server_flushes_compacts_and_tells_of_its_store(void **state)
{
    (void)state;
    kv_cli_make_dump("dump", 300);
    SAYS("", "load", SERVER, "dump", "--hex");
    SAYS("", "flush", SERVER);
    SAYS("", "compact", SERVER);
    SAYS("1\n", "property", SERVER, "rocksdb.num-files-at-level6");
    SAYS_PART("quarry.stats\n", "property", SERVER);
    FAILS(1, "has no property 'nonsense'", "property", SERVER, "nonsense");
    SAYS_PART("write amplification ", "stats", SERVER);
    SAYS_PART("L6      ####", "lsm", SERVER, "--ascii");
    char *json = JSON_OF("lsm", SERVER, "--json");
    uint64_t count = 0;
    assert_true(json_number(json, "put_count", &count));
    assert_in_range(count, 300, 302); /* and what the keyspace keeps for itself */
    free(json);
}

static void a_checkpoint_of_a_server_has_a_name(void **state)
{
    (void)state;
    SAYS("", "put", SERVER, "k", "v");
    SAYS_PART("data/checkpoints/first\n", "checkpoint", SERVER, "first");
    SAYS("", "put", SERVER, "k", "w");
    SAYS("v", "get", "data/checkpoints/first", "k", "--database", "0");
    FAILS(1, "first", "checkpoint", SERVER, "first");
    FAILS(1, "a checkpoint's name is", "checkpoint", SERVER, "../up");
    FAILS(1, "a checkpoint's name is", "checkpoint", SERVER, "..");
    FAILS(1, "a checkpoint's name is", "checkpoint", SERVER, "");
}

static void the_tree_of_a_server_is_live_on_a_terminal(void **state)
{
    (void)state;
    if (!run_has_terminals()) {
        skip();
    }
    struct run run = run_in_terminal(&(struct run_terminal){100, 20, .awaited = AWAITED("/s")},
                                     (const char *const[]){"kv", "lsm", SERVER, NULL});
    assert_int_equal(run.exit_code, 0);
    assert_non_null(strstr(run.out, "kv unix:resp.sock"));
    assert_non_null(strstr(run.out, "/s")); /* rates: it has looked twice */
    run_free(&run);
}

#define SERVER_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERVER_TEST(keys_come_in_order_and_by_ranges),
        SERVER_TEST(all_pages_of_a_reverse_walk_fit_together),
        SERVER_TEST(the_directory_shows_what_the_clients_saw),
        SERVER_TEST(a_server_flushes_compacts_and_tells_of_its_store),
        SERVER_TEST(a_checkpoint_of_a_server_has_a_name),
        SERVER_TEST(the_tree_of_a_server_is_live_on_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
