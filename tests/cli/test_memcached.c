/*
 * A server by memcached's command line, and `quarry cache` as its client.
 *
 * Each test has a folder of its own, where servers that it starts say their ports; none uses a port
 * that somebody chose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "json.h"
#include "run.h"

#define WAIT_STEPS 3000 /* of 10 ms: sanitizers are slow, and the machine is shared */
#define PATH_BYTES 256
#define WORDS_MAX  20

static char folder[PATH_BYTES];

/* A path in the test's folder. One of four: the oldest is given up. */
static const char *in_folder(const char *name)
{
    static char paths[4][2 * PATH_BYTES];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int begin_test(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/quarry-test-XXXXXX");
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    return setenv("MEMCACHED_PORT_FILENAME", in_folder("ports"), 1);
}

static int end_test(void **state)
{
    char command[PATH_BYTES + 16];

    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command) == 0 ? 0 : -1;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' is not in:\n%s", part, text);
    }
}

static void assert_lacks(const char *text, const char *part)
{
    if (strstr(text, part) != NULL) {
        fail_msg("'%s' is in:\n%s", part, text);
    }
}

static void write_text(const char *path, const void *bytes, size_t byte_count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, byte_count), byte_count);
    close(fd);
}

/* Returns: how many bytes; -1: there is no such file. */
static ssize_t read_text(const char *path, char *text, size_t capacity)
{
    int fd = open(path, O_RDONLY);

    if (fd < 0) {
        return -1;
    }
    ssize_t got = read(fd, text, capacity - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got;
}

static void wait_step(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
}

/* ---- servers -------------------------------------------------------------------------------- */

struct server {
    pid_t pid;
    char address[64]; /* as --addr takes it */
};

static void run_server(const char *const *options)
{
    char *arguments[WORDS_MAX + 3] = {(char *)(uintptr_t)QUARRY_CLI_PATH,
                                      (char *)(uintptr_t) "memcached"};
    int count = 2;

    while (*options != NULL && count < WORDS_MAX + 2) {
        arguments[count++] = (char *)(uintptr_t)*options++;
    }
    int fd = open(in_folder("log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (chdir(folder) != 0 || fd < 0 || dup2(fd, 2) < 0) {
        _exit(126);
    }
    execv(QUARRY_CLI_PATH, arguments);
    _exit(127);
}

static void assert_alive(pid_t pid)
{
    int status = 0;

    if (waitpid(pid, &status, WNOHANG) == pid) {
        char log[4096] = "";
        (void)read_text(in_folder("log"), log, sizeof log);
        fail_msg("the server has ended with %d:\n%s", status, log);
    }
}

/* The port that a file of ports says, once there is one. 0: there is none yet. */
static unsigned read_port(void)
{
    char ports[256];
    unsigned port = 0;

    if (read_text(in_folder("ports"), ports, sizeof ports) > 0) {
        assert_int_equal(sscanf(ports, "TCP INET: %u", &port), 1);
    }
    return port;
}

static struct server start(const char *const *options)
{
    struct server server = {0};
    unsigned port = 0;

    (void)unlink(in_folder("ports"));
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        run_server(options);
    }
    for (int i = 0; i < WAIT_STEPS && (port = read_port()) == 0; i++) {
        assert_alive(server.pid);
        wait_step();
    }
    assert_int_not_equal(port, 0);
    snprintf(server.address, sizeof server.address, "127.0.0.1:%u", port);
    return server;
}
#define START(...) start((const char *const[]){__VA_ARGS__, NULL})

/* Returns: its exit code; -1: by a signal. */
static int stop(const struct server *server, int signal)
{
    int status = 0;

    assert_int_equal(kill(server->pid, signal), 0);
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        wait_step();
    }
    (void)kill(server->pid, SIGKILL);
    fail_msg("the server does not end");
    return -1;
}

/* What `quarry cache …` says on stdout; it succeeds, and says nothing else. */
static char *cache(const char *const *arguments)
{
    struct run run = run_quarry(&(struct run_options){0}, arguments);

    if (run.exit_code != 0 || run.err[0] != '\0') {
        fail_msg("quarry cache %s: %d: %s", arguments[1], run.exit_code, run.err);
    }
    free(run.err);
    return run.out;
}
#define CACHE(server, ...)                                                                         \
    cache((const char *const[]){"cache", __VA_ARGS__, "--addr", (server).address, NULL})

static void assert_fails(int exit_code, const char *reason, const char *const *arguments)
{
    struct run run = run_quarry(&(struct run_options){0}, arguments);

    if (run.exit_code != exit_code) {
        fail_msg("exit code %d, not %d: %s", run.exit_code, exit_code, run.err);
    }
    assert_has(run.err, reason);
    run_free(&run);
}
#define FAILS(exit_code, reason, ...)                                                              \
    assert_fails(exit_code, reason, (const char *const[]){__VA_ARGS__, NULL})

/* ---- what harnesses look at ----------------------------------------------------------------- */

static void help_and_version_have_memcacheds_shape(void **state)
{
    struct run help = RUN("memcached", "-h"), version = RUN("memcached", "-V"),
               longer = RUN("memcached", "-p", "1", "--help"), license = RUN("memcached", "-i");

    (void)state;
    assert_int_equal(help.exit_code + version.exit_code + longer.exit_code + license.exit_code, 0);
    assert_string_equal(help.out, longer.out);
    assert_int_equal(strncmp(version.out, "memcached 1.6.", 14), 0);
    assert_has(version.out, "Quarry");
    assert_int_equal(strncmp(help.out, version.out, strlen(version.out)), 0);
    assert_has(help.out, "sasl");
    assert_has(help.out, "enable-ssl");
    assert_has(help.out, "unix-socket");
    assert_lacks(help.out, "ext_path");
    assert_lacks(help.out, "proxy_config");
    assert_lacks(help.out, "no_drop_privileges");
    assert_has(license.out, "Apache");
    run_free(&help);
    run_free(&version);
    run_free(&longer);
    run_free(&license);
}

static void a_wrong_line_has_memcacheds_exit_codes(void **state)
{
    (void)state;
    FAILS(1, "Illegal argument", "memcached", "-z");
    FAILS(1, "Illegal suboption \"bogus\"", "memcached", "-o", "bogus");
    FAILS(64, "Item max size", "memcached", "-I", "1");
    FAILS(71, "failed to listen", "memcached", "-l", "no..host");
    FAILS(1, "there are no users", "memcached", "-S", "-p", "-1");
    FAILS(64, "net.backlo", "memcached", "--set", "net.backlo=1");
}

static void an_unknown_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        skip(); /* -u means nothing then, as in memcached */
    }
    FAILS(67, "can't find the user", "memcached", "-p", "-1", "-u", "no such user");
}

static void a_link_of_its_name_stands_in_for_memcached(void **state)
{
    char command[2 * PATH_BYTES], output[256];
    const char *link = in_folder("memcached-debug");

    (void)state;
    assert_int_equal(symlink(QUARRY_CLI_PATH, link), 0);
    snprintf(command, sizeof command, "%s -V", link);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(output, sizeof output, pipe));
    assert_int_equal(pclose(pipe), 0);
    assert_has(output, "memcached 1.6.");
}

/* ---- a server ------------------------------------------------------------------------------- */

static void a_server_says_its_ports_and_its_number(void **state)
{
    struct server server = START("-p", "-1", "-P", "m.pid", "-v", "-U", "1");
    char text[4096], want[32];

    (void)state;
    assert_true(read_text(in_folder("m.pid"), text, sizeof text) > 0);
    snprintf(want, sizeof want, "%ld\n", (long)server.pid);
    assert_string_equal(text, want);
    assert_int_equal(stop(&server, SIGTERM), 0);
    assert_int_equal(access(in_folder("m.pid"), F_OK), -1);
    assert_true(read_text(in_folder("log"), text, sizeof text) > 0);
    assert_has(text, "WARNING: -U 1: there is no UDP");
    assert_has(text, "Exiting normally");
    assert_int_equal(access(in_folder("quarry-data"), F_OK), -1); /* nothing is kept */
}

static void two_servers_do_not_mind_each_other(void **state)
{
    struct server one = START("-p", "-1"), other = START("-p", "-1");

    (void)state;
    assert_string_not_equal(one.address, other.address);
    free(CACHE(one, "set", "key", "/dev/null"));
    FAILS(1, "there is no 'key'", "cache", "get", "key", "--addr", other.address);
    assert_int_equal(stop(&one, SIGTERM), 0);
    assert_int_equal(stop(&other, SIGINT), 0);
}

static void a_port_that_is_taken_is_an_error_of_the_system(void **state)
{
    struct server server = START("-p", "-1");

    (void)state;
    FAILS(71, "Address already in use", "memcached", "-p", strchr(server.address, ':') + 1);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void a_daemon_serves_when_its_command_returns(void **state)
{
    char text[64];
    struct server server = {0};

    (void)state;
    struct run run = RUN("memcached", "-d", "-p", "-1", "-P", in_folder("d.pid"));
    assert_int_equal(run.exit_code, 0);
    run_free(&run);
    assert_true(read_text(in_folder("d.pid"), text, sizeof text) > 0);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    assert_true(pid > 1 && getsid(pid) == pid);
    snprintf(server.address, sizeof server.address, "127.0.0.1:%u", read_port());
    char *stats = CACHE(server, "stats");
    assert_has(stats, "items        0");
    free(stats);
    FAILS(71, "", "memcached", "-d", "-p", strchr(server.address, ':') + 1);
    assert_int_equal(kill(pid, SIGTERM), 0);
    for (int i = 0; i < WAIT_STEPS && access(in_folder("d.pid"), F_OK) == 0; i++) {
        wait_step();
    }
    assert_int_equal(access(in_folder("d.pid"), F_OK), -1);
}

static void a_memory_file_outlives_its_server(void **state)
{
    struct server server = START("-p", "-1", "-e", "items");

    (void)state;
    write_text(in_folder("value"), "kept", 4);
    free(CACHE(server, "set", "key", in_folder("value")));
    assert_int_equal(stop(&server, SIGUSR1), 0);
    server = START("-p", "-1", "-e", "items");
    char *value = CACHE(server, "get", "key");
    assert_string_equal(value, "kept");
    free(value);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void a_file_of_users_asks_for_a_login(void **state)
{
    write_text(in_folder("users"), "ann:secret\n", 11);
    write_text(in_folder("right"), "secret\n", 7);
    write_text(in_folder("wrong"), "guess\n", 6);
    struct server server = START("-p", "-1", "-Y", "users", "-F");

    (void)state;
    FAILS(1, "unauthenticated", "cache", "stats", "--addr", server.address);
    FAILS(1, "authentication failure", "cache", "stats", "--user", "ann", "--password-file",
          in_folder("wrong"), "--addr", server.address);
    FAILS(2, "--password-file", "cache", "stats", "--user", "ann", "--addr", server.address);
    free(CACHE(server, "stats", "--user", "ann", "--password-file", in_folder("right")));
    char *tenants =
        CACHE(server, "tenants", "--json", "--user", "ann", "--password-file", in_folder("right"));
    assert_has(tenants, "\"is_whole\":true,\"tenants\":[{\"name\":\"default\",");
    free(tenants);
    FAILS(1, "flush_all not allowed", "cache", "flush", "--yes", "--user", "ann", "--password-file",
          in_folder("right"), "--addr", server.address);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

/* ---- the client ----------------------------------------------------------------------------- */

static void values_and_keys_go_through_byte_for_byte(void **state)
{
    static const char value[] = "a\0b\r\nEND\r\n\xff";
    struct server server = START("-p", "-1");
    char got[64];

    (void)state;
    write_text(in_folder("value"), value, sizeof value);
    free(CACHE(server, "set", "with blanks \xc3\xa9", in_folder("value"), "--flags", "7"));
    free(CACHE(server, "get", "with blanks \xc3\xa9", in_folder("got")));
    assert_int_equal(read_text(in_folder("got"), got, sizeof got), sizeof value);
    assert_memory_equal(got, value, sizeof value);
    char *json = CACHE(server, "get", "with blanks \xc3\xa9", "--json");
    assert_has(json, "\"flags\":7");
    assert_has(json, "\"ttl_seconds\":null");
    assert_has(json, "\"value_base64\":\"YQBiDQpFTkQNCv8A\"");
    free(json);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void large_values_go_through(void **state)
{
    enum { BYTES = 5000000 };
    struct server server = START("-p", "-1", "-I", "8m");
    char *value = malloc(BYTES), *got = malloc(BYTES + 1);

    (void)state;
    assert_true(value != NULL && got != NULL);
    for (size_t i = 0; i < BYTES; i++) {
        value[i] = (char)(i * 2654435761u >> 13);
    }
    write_text(in_folder("value"), value, BYTES);
    free(CACHE(server, "set", "large", in_folder("value")));
    free(CACHE(server, "get", "large", in_folder("got")));
    int fd = open(in_folder("got"), O_RDONLY);
    size_t count = 0;
    for (ssize_t n; (n = read(fd, got + count, BYTES + 1 - count)) > 0; count += (size_t)n) {
    }
    close(fd);
    assert_int_equal(count, BYTES);
    assert_memory_equal(got, value, BYTES);
    free(value);
    free(got);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void a_value_above_the_limit_is_refused(void **state)
{
    static char value[40000];
    struct server server = START("-p", "-1", "-I", "16k");

    (void)state;
    write_text(in_folder("value"), value, sizeof value);
    FAILS(1, "too large", "cache", "set", "key", in_folder("value"), "--addr", server.address);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void what_is_stored_depends_on_what_is_there(void **state)
{
    struct server server = START("-p", "-1");
    const char *address = server.address;

    (void)state;
    FAILS(1, "to replace", "cache", "set", "k", "/dev/null", "--replace", "--addr", address);
    free(CACHE(server, "set", "k", "/dev/null", "--add", "--ttl", "100"));
    FAILS(1, "already", "cache", "set", "k", "/dev/null", "--add", "--addr", address);
    free(CACHE(server, "set", "k", "/dev/null", "--replace"));
    free(CACHE(server, "delete", "k"));
    FAILS(1, "there is no 'k'", "cache", "delete", "k", "--addr", address);
    FAILS(1, "there is no 'k'", "cache", "get", "k", "--addr", address);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void items_are_listed_and_flushed(void **state)
{
    struct server server = START("-p", "-1");

    (void)state;
    free(CACHE(server, "set", "one", "/dev/null", "--ttl", "1000"));
    free(CACHE(server, "set", "a b", "/dev/null"));
    char *dump = CACHE(server, "dump");
    assert_has(dump, "\none ");
    assert_has(dump, "\na b ");
    free(dump);
    dump = CACHE(server, "dump", "--json");
    assert_true(json_is_valid(dump, dump + strlen(dump)));
    assert_has(dump, "{\"key\":\"one\",");
    assert_has(dump, "{\"key\":\"a%20b\",");
    free(dump);
    FAILS(2, "say --yes", "cache", "flush", "--addr", server.address);
    free(CACHE(server, "flush", "--yes"));
    dump = CACHE(server, "dump", "--json");
    assert_string_equal(dump, "[]\n");
    free(dump);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void figures_are_shown_for_people_and_for_scripts(void **state)
{
    struct server server = START("-p", "-1", "-m", "100");

    (void)state;
    free(CACHE(server, "set", "one", "/dev/null"));
    char *text = CACHE(server, "stats");
    assert_has(text, "items        1 in ");
    assert_has(text, "of 100 MiB");
    free(text);
    text = CACHE(server, "stats", "--all");
    assert_has(text, "limit_maxbytes");
    assert_has(text, "104857600  100 MiB");
    free(text);
    text = CACHE(server, "stats", "--json");
    assert_has(text, "\"curr_items\":1,");
    free(text);
    text = CACHE(server, "stats", "settings", "--json");
    assert_has(text, "\"maxbytes\":104857600");
    free(text);
    text = CACHE(server, "tenants");
    assert_has(text, "\ndefault ");
    free(text);
    text = CACHE(server, "tenants", "--json");
    assert_has(text, "{\"is_whole\":true,\"tenants\":[{\"name\":\"default\",\"item_count\":1,");
    free(text);
    FAILS(1, "no group 'bogus'", "cache", "stats", "bogus", "--addr", server.address);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void top_has_rates_of_two_looks(void **state)
{
    struct server server = START("-p", "-1");

    (void)state;
    char *text = CACHE(server, "top", "--once", "--ascii");
    assert_has(text, "memory  ...");
    assert_has(text, "gets 0/s   hits -");
    assert_has(text, "\ndefault ");
    free(text);
    text = CACHE(server, "top", "--json");
    assert_has(text, "\"gets_per_second\":0.000000");
    assert_has(text, "\"tenants\":[{\"name\":\"default\"");
    assert_true(json_is_valid(text, text + strlen(text)));
    free(text);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void a_server_that_is_not_there_is_named(void **state)
{
    (void)state;
    FAILS(4, "cannot connect to 127.0.0.1:1:", "cache", "stats", "--addr", "127.0.0.1:1");
    FAILS(4, "cannot connect to unix:/no/such:", "cache", "get", "k", "--addr", "unix:/no/such");
    FAILS(4, "cannot connect to a..b:1:", "cache", "top", "--addr", "a..b:1");
}

static void a_line_that_makes_no_sense_is_refused(void **state)
{
    char key[300];

    (void)state;
    memset(key, 'k', 251);
    key[251] = '\0';
    FAILS(2, "did you mean 'stats'", "cache", "stat");
    FAILS(2, "a key is missing", "cache", "get");
    FAILS(2, "one argument too many", "cache", "delete", "a", "b");
    FAILS(2, "one argument too many", "cache", "get", "a", "b", "c");
    FAILS(2, "--addr takes", "cache", "stats", "--addr", "nothing");
    FAILS(2, "either --add or --replace", "cache", "set", "k", "--add", "--replace");
    FAILS(2, "no option '--bogus'", "cache", "stats", "--bogus");
    FAILS(2, "takes a value", "cache", "stats", "--addr");
    struct server server = START("-p", "-1");
    FAILS(2, "1 to 250 bytes", "cache", "get", key, "--addr", server.address);
    FAILS(2, "1 to 250 bytes", "cache", "get", "", "--addr", server.address);
    FAILS(2, "no group of figures", "cache", "stats", "a b", "--addr", server.address);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

static void top_lives_on_a_terminal(void **state)
{
    if (!run_has_terminals()) {
        skip();
    }
    struct server server = START("-p", "-1");
    const char *const arguments[] = {"cache", "top", "--addr", server.address, NULL};
    struct run run = run_in_terminal(
        &(struct run_terminal){100, 30, .awaited = AWAITED("q quits", "default")}, arguments);

    (void)state;
    assert_int_equal(run.exit_code, 0);
    assert_has(run.out, "q quits");
    assert_has(run.out, "default");
    run_free(&run);
    assert_int_equal(stop(&server, SIGTERM), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin_test, end_test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(help_and_version_have_memcacheds_shape),
        TEST(a_wrong_line_has_memcacheds_exit_codes),
        TEST(an_unknown_user_is_refused),
        TEST(a_link_of_its_name_stands_in_for_memcached),
        TEST(a_server_says_its_ports_and_its_number),
        TEST(two_servers_do_not_mind_each_other),
        TEST(a_port_that_is_taken_is_an_error_of_the_system),
        TEST(a_daemon_serves_when_its_command_returns),
        TEST(a_memory_file_outlives_its_server),
        TEST(a_file_of_users_asks_for_a_login),
        TEST(values_and_keys_go_through_byte_for_byte),
        TEST(large_values_go_through),
        TEST(a_value_above_the_limit_is_refused),
        TEST(what_is_stored_depends_on_what_is_there),
        TEST(items_are_listed_and_flushed),
        TEST(figures_are_shown_for_people_and_for_scripts),
        TEST(top_has_rates_of_two_looks),
        TEST(top_lives_on_a_terminal),
        TEST(a_server_that_is_not_there_is_named),
        TEST(a_line_that_makes_no_sense_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
