/* CLIENT, ACL, SLOWLOG, LATENCY, MEMORY and DEBUG. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/serve/resp_admin_rig.h"

/* ---- CLIENT --------------------------------------------------------------------------------- */

static void describe_clients(void)
{
    admin_rig.client_count = 3;
    admin_rig.clients[0] = (struct resp_client){.id = 9,
                                                .connection_id = 900,
                                                .age_seconds = 12,
                                                .idle_seconds = 3,
                                                .queued = -1,
                                                .protocol = 3,
                                                .command = "get",
                                                .name = "nine",
                                                .user = "alice",
                                                .peer = "127.0.0.1:40000",
                                                .local = "127.0.0.1:6379"};
    admin_rig.clients[1] = (struct resp_client){.id = 7,
                                                .connection_id = 700,
                                                .queued = -1,
                                                .protocol = 2,
                                                .command = "client|list",
                                                .peer = "127.0.0.1:40001",
                                                .local = "127.0.0.1:6379"};
    admin_rig.clients[2] = (struct resp_client){.id = 8,
                                                .connection_id = 800,
                                                .queued = 2,
                                                .protocol = 2,
                                                .database = 5,
                                                .waiting_bytes = 100,
                                                .peer = "/run/q.sock:0",
                                                .local = "/run/q.sock:0"};
}

static void describe_users(void)
{
    admin_rig.server.needs_login = true;
    admin_rig.user_count = 2;
    admin_rig.users[0] = (struct resp_user){.name = "alice", .rights = SERVE_ALL};
    admin_rig.users[1] = (struct resp_user){.name = "bob", .tenant = "acme", .rights = SERVE_READ};
}

static void client_list_has_a_line_each_in_the_order_of_ids(void **state)
{
    char *answer;

    (void)state;
    describe_clients();
    answer = admin_say("client list");
    assert_non_null(strstr(answer, "id=7 addr=127.0.0.1:40001 laddr=127.0.0.1:6379 fd=-1 name= "
                                   "age=0 idle=0 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 "));
    assert_non_null(strstr(answer, "cmd=client|list user=default redir=-1 resp=2\nid=8 "));
    assert_non_null(strstr(answer, "flags=xU db=5 "));
    assert_non_null(strstr(answer, "omem=100 tot-mem=100 events=r cmd=NULL user=default redir=-1 "
                                   "resp=2\nid=9 addr=127.0.0.1:40000 "));
    assert_non_null(strstr(answer, "name=nine age=12 idle=3 flags=N "));
    assert_non_null(strstr(answer, "cmd=get user=alice redir=-1 resp=3\n"));
    free(answer);
}

static void client_list_has_those_that_are_asked_for(void **state)
{
    char *answer;

    (void)state;
    describe_clients();
    answer = admin_say("client list id 9 8 123");
    assert_null(strstr(answer, "id=7 "));
    assert_non_null(strstr(answer, "id=8 "));
    assert_non_null(strstr(answer, "id=9 "));
    free(answer);
    admin_says("client list type replica", "$0||");
    admin_tells("client list type normal", "id=7 ");
    admin_says("client list type foo", "-ERR Unknown client type 'foo'|");
    admin_says("client list id x", "-ERR Invalid client ID|");
    admin_says("client list foo", "-ERR syntax error|");
}

static void client_kill_ends_those_that_all_filters_mean(void **state)
{
    (void)state;
    describe_clients();
    describe_users();
    admin_says("client kill id 9 user alice", ":1|");
    assert_int_equal(admin_rig.killed_count, 1);
    assert_int_equal(admin_rig.killed[0], 900);
    admin_says("client kill id 8 addr 127.0.0.1:40000", ":0|");
    admin_says("client kill addr 127.0.0.1:40000", ":1|");
    admin_says("client kill type pubsub", ":0|");
    admin_says("client kill 1:1", "-ERR No such client|");
    admin_says("client kill 127.0.0.1:40000", "+OK|");
    assert_int_equal(admin_rig.killed_count, 3);
}

static void client_kill_spares_who_asks_unless_told(void **state)
{
    (void)state;
    describe_clients();
    admin_says("client kill type normal", ":2|");
    assert_false(admin_rig.session.wants_to_close);
    admin_says("client kill id 7 skipme no", ":1|");
    assert_true(admin_rig.session.wants_to_close);
}

static void client_kill_refuses_in_redis_words(void **state)
{
    (void)state;
    admin_says("client kill id x", "-ERR client-id should be greater than 0|");
    admin_says("client kill id -1", "-ERR client-id should be greater than 0|");
    admin_says("client kill type foo", "-ERR Unknown client type 'foo'|");
    admin_says("client kill user nobody", "-ERR No such user 'nobody'|");
    admin_says("client kill skipme maybe", "-ERR syntax error|");
    admin_says("client kill foo bar", "-ERR syntax error|");
    admin_says("client kill id 5 skipme", "-ERR syntax error|");
}

static void client_names_are_plain(void **state)
{
    (void)state;
    admin_says("client getname", "$-1|");
    admin_says("client setname worker-1", "+OK|");
    admin_says("client getname", "$8|worker-1|");
    admin_tells("client info", "id=7 addr= laddr= fd=-1 name=worker-1 ");
    admin_says("client setname a\tb",
               "-ERR Client names cannot contain spaces, newlines or special characters.|");
    admin_says("client setname 1234567890123456789012345678901234567890123456789012345678901234",
               "-ERR Client names have at most 63 bytes|");
    admin_says("client setname _", "+OK|");
    admin_says("client getname", "$-1|");
    admin_says("client id", ":7|");
}

static void client_says_that_nobody_is_tracked(void **state)
{
    (void)state;
    admin_says("client setinfo lib-name redis-py", "+OK|");
    admin_says("client setinfo lib-foo x", "-ERR Unrecognized option 'lib-foo'|");
    admin_says("client tracking off", "+OK|");
    admin_tells("client tracking on", "-ERR CLIENT TRACKING is not supported");
    admin_says("client trackinginfo", "*6|$5|flags|*1|$3|off|$8|redirect|:-1|$8|prefixes|*0|");
    admin_says("client getredir", ":-1|");
    admin_tells("client caching yes", "-ERR CLIENT CACHING can be called only when");
    admin_says("client no-evict on", "+OK|");
    admin_says("client no-evict foo", "-ERR syntax error|");
    admin_says("client unblock 5", ":0|");
    admin_says("client unblock 5 foo", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR|");
    admin_says("client unblock x", "-ERR value is not an integer or out of range|");
}

static void client_reply_switches_answers(void **state)
{
    (void)state;
    admin_says("client reply off", "");
    assert_int_equal(admin_rig.session.reply_mode, RESP_REPLIES_OFF);
    admin_says("client reply skip", "");
    assert_int_equal(admin_rig.session.reply_mode, RESP_REPLIES_OFF);
    admin_says("client reply on", "+OK|");
    assert_int_equal(admin_rig.session.reply_mode, RESP_REPLIES);
    admin_says("client reply skip", "");
    assert_int_equal(admin_rig.session.reply_mode, RESP_REPLIES_SKIP);
    admin_says("client reply foo", "-ERR syntax error|");
}

static void client_pause_holds_for_its_time(void **state)
{
    const struct resp_command *get = resp_command_find((struct quarry_kv_slice){"get", 3}, NULL);
    const struct resp_command *set = resp_command_find((struct quarry_kv_slice){"set", 3}, NULL);
    const struct quarry_kv_slice unpause_word = {"unpause", 7};
    const struct resp_command *unpause =
        resp_command_find((struct quarry_kv_slice){"client", 6}, &unpause_word);

    (void)state;
    assert_false(resp_pause_holds(set, ADMIN_NOW_MS));
    admin_says("client pause 1000 write", "+OK|");
    assert_true(resp_pause_holds(set, ADMIN_NOW_MS + 999));
    assert_false(resp_pause_holds(set, ADMIN_NOW_MS + 1000));
    assert_false(resp_pause_holds(get, ADMIN_NOW_MS));
    admin_says("client pause 1000", "+OK|");
    assert_true(resp_pause_holds(get, ADMIN_NOW_MS));
    assert_false(resp_pause_holds(unpause, ADMIN_NOW_MS));
    admin_says("client unpause", "+OK|");
    assert_false(resp_pause_holds(get, ADMIN_NOW_MS));
    resp_pause_wait(get); /* returns at once */
    admin_says("client pause x", "-ERR timeout is not an integer or out of range|");
    admin_says("client pause -1", "-ERR timeout is negative|");
    admin_says("client pause 10 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL|");
}

/* ---- ACL ------------------------------------------------------------------------------------ */

static void acl_without_users_is_of_the_default_one(void **state)
{
    (void)state;
    admin_says("acl whoami", "$7|default|");
    admin_says("acl users", "*1|$7|default|");
    admin_says("acl list", "*1|$45|user default on nopass ~* resetchannels +@all|");
    admin_says("acl getuser nobody", "*-1|");
    admin_tells("acl getuser default", "nopass");
    admin_says("acl dryrun default get a", "+OK|");
}

static void acl_tells_users_by_their_rights(void **state)
{
    (void)state;
    describe_users();
    admin_says("acl users", "*2|$5|alice|$3|bob|");
    admin_tells("acl list", "user alice on ~* resetchannels +@all\r\n");
    admin_tells("acl list", "user bob on ~* resetchannels -@all +@connection +@transaction +@read");
    admin_says("acl dryrun bob get a", "+OK|");
    admin_says("acl dryrun bob set a b",
               "$53|This user has no permissions to run the 'set' command|");
}

static void acl_dryrun_refuses_in_redis_words(void **state)
{
    (void)state;
    describe_users();
    admin_says("acl dryrun nobody get a", "-ERR User 'nobody' not found|");
    admin_says("acl dryrun bob foo", "-ERR Command 'foo' not found|");
    admin_says("acl dryrun bob get", "-ERR wrong number of arguments for 'get' command|");
    admin_tells("acl dryrun bob config get x", "no permissions to run the 'config|get' command");
}

static void acl_users_are_changed_in_the_configuration(void **state)
{
    (void)state;
    admin_tells("acl setuser x", "-ERR users are those of the configuration");
    admin_tells("acl deluser x", "of /etc/quarry/quarry.conf, and have the server read it again");
    admin_tells("acl save", "-ERR users are those of the configuration");
}

static void acl_cat_tells_categories_and_their_commands(void **state)
{
    (void)state;
    admin_tells("acl cat", "*21\r\n$8\r\nkeyspace\r\n");
    admin_tells("acl cat string", "$3\r\nget\r\n");
    admin_tells("acl cat admin", "$10\r\nconfig|get\r\n");
    admin_says("acl cat foo", "-ERR Unknown category 'foo'|");
}

static void acl_genpass_has_so_many_bits(void **state)
{
    char *answer = admin_say("acl genpass");

    (void)state;
    assert_int_equal(strlen(answer), strlen("$64\r\n") + 64 + 2);
    free(answer);
    answer = admin_say("acl genpass 5");
    assert_int_equal(strlen(answer), strlen("$2\r\n") + 2 + 2);
    free(answer);
    admin_tells("acl genpass 0", "-ERR ACL GENPASS argument must be the number of bits");
    admin_tells("acl genpass 4097", "-ERR ACL GENPASS argument must be the number of bits");
    admin_says("acl genpass x", "-ERR value is not an integer or out of range|");
}

static void acl_log_tells_refusals_and_counts_those_that_are_alike(void **state)
{
    (void)state;
    admin_says("acl log", "*0|");
    (void)snprintf(admin_rig.session.user, sizeof admin_rig.session.user, "bob");
    resp_admin_note_denied(&admin_rig.session, "command", "set");
    resp_admin_note_denied(&admin_rig.session, "command", "set");
    resp_admin_note_denied(&admin_rig.session, "auth", "AUTH");
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS + 1500);
    admin_says("acl log 1",
               "*1|*14|$5|count|:1|$6|reason|$4|auth|$7|context|$8|toplevel|$6|object|$4|AUTH|"
               "$8|username|$3|bob|$11|age-seconds|$5|1.500|$11|client-info|$23|"
               "id=7 addr= laddr= name=|");
    admin_tells("acl log", "*2\r\n");
    admin_tells("acl log", "count\r\n:2\r\n$6\r\nreason\r\n$7\r\ncommand\r\n");
    for (int i = 0; i < 100; i++) {
        char word[16];
        (void)snprintf(word, sizeof word, "w%d", i);
        resp_admin_note_denied(&admin_rig.session, "command", word);
    }
    admin_tells("acl log 1000", "*64\r\n");
    admin_says("acl log reset", "+OK|");
    admin_says("acl log", "*0|");
    admin_says("acl log x", "-ERR value is not an integer or out of range|");
}

/* ---- SLOWLOG and LATENCY -------------------------------------------------------------------- */

/* A command of some words that took so long. */
static void note(const char *first, const char *second, uint64_t duration_ns)
{
    const struct quarry_kv_slice words[] = {{first, strlen(first)}, {second, strlen(second)}};
    struct resp_call call = {.session = &admin_rig.session,
                             .command = resp_command_find(words[0], &words[1]),
                             .words = words,
                             .word_count = 2,
                             .now_ms = atomic_load_relaxed_u64(&admin_rig.now_ms)};

    assert_non_null(call.command);
    resp_admin_note(&call, 0, duration_ns, false);
}

static void slowlog_keeps_the_newest_of_those_that_were_slow(void **state)
{
    (void)state;
    note("get", "fast", 9999000);
    admin_says("slowlog len", ":0|");
    (void)snprintf(admin_rig.session.name, sizeof admin_rig.session.name, "me");
    for (uint64_t i = 0; i < 6; i++) {
        note("get", "slow", (20 + i) * 1000000);
    }
    admin_says("slowlog len", ":4|");
    admin_says("slowlog get 1", "*1|*6|:5|:1767225600|:25000|*2|$3|get|$4|slow|$0||$2|me|");
    admin_tells("slowlog get -1", "*4\r\n");
    admin_says("config set slowlog-max-len 2", "+OK|");
    admin_says("slowlog len", ":2|");
    admin_tells("slowlog get", "*2\r\n*6\r\n:5\r\n");
    admin_says("slowlog reset", "+OK|");
    admin_says("slowlog len", ":0|");
    admin_says("config set slowlog-log-slower-than -1", "+OK|");
    note("get", "slow", 20000000);
    admin_says("slowlog len", ":0|");
    admin_says("slowlog get x", "-ERR count should be greater than or equal to -1|");
    admin_says("slowlog get -2", "-ERR count should be greater than or equal to -1|");
}

static void slowlog_cuts_words_and_hides_passwords(void **state)
{
    struct quarry_kv_slice words[40];
    char word[300];
    struct resp_call call = {.session = &admin_rig.session,
                             .command =
                                 resp_command_find((struct quarry_kv_slice){"mget", 4}, NULL),
                             .words = words,
                             .word_count = 40};

    (void)state;
    memset(word, 'x', sizeof word);
    for (size_t i = 0; i < 40; i++) {
        words[i] = (struct quarry_kv_slice){word, i == 1 ? sizeof word : 1};
    }
    resp_admin_note(&call, 0, UINT64_C(1000000000), false);
    admin_tells("slowlog get", "*32\r\n$1\r\nx\r\n$148\r\nxxx");
    admin_tells("slowlog get", "xxx... (172 more bytes)\r\n");
    admin_tells("slowlog get", "... (9 more arguments)\r\n");
    const struct quarry_kv_slice hello[] = {
        {"hello", 5}, {"3", 1}, {"AUTH", 4}, {"bob", 3}, {"secret", 6}};
    call.command = resp_command_find(hello[0], NULL);
    call.words = hello;
    call.word_count = 5;
    resp_admin_note(&call, 0, UINT64_C(1000000000), false);
    admin_tells("slowlog get 1",
                "*5\r\n$5\r\nhello\r\n$1\r\n3\r\n$4\r\nAUTH\r\n$10\r\n(redacted)\r\n");
    char *answer = admin_say("slowlog get");
    assert_null(strstr(answer, "secret"));
    free(answer);
}

static void latency_keeps_the_worst_of_seconds(void **state)
{
    (void)state;
    note("get", "a", 99 * Q_MS_NS);
    admin_says("latency latest", "*0|");
    note("get", "a", 150 * Q_MS_NS);
    note("get", "a", 120 * Q_MS_NS);
    atomic_store_relaxed_u64(&admin_rig.now_ms, ADMIN_NOW_MS + 2000);
    note("get", "a", 110 * Q_MS_NS);
    note("keys", "*", 500 * Q_MS_NS);
    admin_says("latency latest", "*2|*4|$7|command|:1767225602|:500|:500|"
                                 "*4|$12|fast-command|:1767225602|:110|:150|");
    admin_says("latency history fast-command", "*2|*2|:1767225600|:150|*2|:1767225602|:110|");
    admin_says("latency history nosuch", "*0|");
    admin_tells("latency doctor", "fast-command: 2 seconds with a slow one, 130 ms on average, "
                                  "150 ms at worst.\n");
    admin_says("latency reset nosuch", ":0|");
    admin_says("latency reset command", ":1|");
    admin_says("latency reset", ":1|");
    admin_says("latency latest", "*0|");
    admin_tells("latency doctor", "Nothing has taken 100 ms");
    admin_says("config set latency-monitor-threshold 0", "+OK|");
    note("get", "a", 500 * Q_MS_NS);
    admin_says("latency latest", "*0|");
    admin_tells("latency doctor", "The latency monitor is off.");
}

static void latency_histogram_has_powers_of_two_of_microseconds(void **state)
{
    (void)state;
    note("get", "a", 500);
    note("get", "a", 1500);
    note("get", "a", 1600);
    note("get", "a", 40000);
    admin_says("latency histogram get", "*2|$3|get|*4|$5|calls|:4|$14|histogram_usec|*6|"
                                        ":1|:1|:2|:3|:66|:4|");
    admin_says("3 latency histogram", "%1|$3|get|%2|$5|calls|:4|$14|histogram_usec|%3|"
                                      ":1|:1|:2|:3|:66|:4|");
    admin_says("latency histogram nosuch set", "*0|");
}

/* ---- MEMORY and DEBUG ----------------------------------------------------------------------- */

static void memory_usage_is_of_the_key_and_its_value(void **state)
{
    (void)state;
    admin_put("key", "0123456789", 0);
    admin_says("memory usage key", ":53|");
    admin_says("memory usage key samples 5", ":53|");
    admin_says("memory usage nokey", "$-1|");
    admin_says("memory usage key samples x", "-ERR value is not an integer or out of range|");
    admin_says("memory usage key samples -1", "-ERR syntax error|");
    admin_says("memory usage key foo", "-ERR syntax error|");
}

static void memory_tells_what_the_budget_does(void **state)
{
    (void)state;
    admin_tells("memory stats", "*50\r\n$14\r\npeak.allocated\r\n:");
    admin_tells("memory stats", "$8\r\naccounts\r\n*");
    admin_tells("memory stats", "\r\nkv\r\n:");
    admin_tells("memory malloc-stats", "\nlimit 536870912\n");
    admin_tells("memory doctor", "Nothing is wrong: ");
    admin_says("memory purge", "+OK|");
    admin_says("memory foo", "-ERR unknown subcommand 'foo'. Try MEMORY HELP.|");
}

static void debug_is_refused_unless_it_is_allowed(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    admin_tells("debug sleep 0", "-ERR DEBUG command not allowed. If the enable-debug-command");
    resp_admin_close();
    admin_rig.settings.allows_debug = true;
    assert_int_equal(resp_admin_open(&admin_rig.settings, &error), QUARRY_OK);
    admin_says("debug sleep 0", "+OK|");
    admin_says("debug sleep 61", "-ERR DEBUG SLEEP takes seconds from 0 to 60|");
    admin_says("debug sleep nan", "-ERR DEBUG SLEEP takes seconds from 0 to 60|");
    admin_says("debug set-active-expire 0", "+OK|");
    admin_says("3 debug protocol true", "#t|");
    admin_tells("debug foo", "-ERR unknown subcommand or wrong number of arguments for 'foo'.");
}

static void help_begins_with_the_command(void **state)
{
    static const char *const names[] = {"acl",     "client", "command", "config",
                                        "latency", "memory", "module",  "slowlog"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char line[32];
        (void)snprintf(line, sizeof line, "%s help", names[i]);
        admin_tells(line, " <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+");
        admin_tells(line, "\r\n+HELP\r\n+    Says this.\r\n");
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_set_up, admin_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(client_list_has_a_line_each_in_the_order_of_ids),
        TEST(client_list_has_those_that_are_asked_for),
        TEST(client_kill_ends_those_that_all_filters_mean),
        TEST(client_kill_spares_who_asks_unless_told),
        TEST(client_kill_refuses_in_redis_words),
        TEST(client_names_are_plain),
        TEST(client_says_that_nobody_is_tracked),
        TEST(client_reply_switches_answers),
        TEST(client_pause_holds_for_its_time),
        TEST(acl_without_users_is_of_the_default_one),
        TEST(acl_tells_users_by_their_rights),
        TEST(acl_dryrun_refuses_in_redis_words),
        TEST(acl_users_are_changed_in_the_configuration),
        TEST(acl_cat_tells_categories_and_their_commands),
        TEST(acl_genpass_has_so_many_bits),
        TEST(acl_log_tells_refusals_and_counts_those_that_are_alike),
        TEST(slowlog_keeps_the_newest_of_those_that_were_slow),
        TEST(slowlog_cuts_words_and_hides_passwords),
        TEST(latency_keeps_the_worst_of_seconds),
        TEST(latency_histogram_has_powers_of_two_of_microseconds),
        TEST(memory_usage_is_of_the_key_and_its_value),
        TEST(memory_tells_what_the_budget_does),
        TEST(debug_is_refused_unless_it_is_allowed),
        TEST(help_begins_with_the_command),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
