/* Lines of the log: their forms, where they go, how many. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <os/os.h>
#include <serve/log_line.h>
#include <serve/notify.h>

#include "unit/serve/config_rig.h"

static char line[SERVE_LOG_LINE_BYTES + 1];

static const char *form(enum serve_log_format format, const struct serve_log_field *fields)
{
    const struct serve_log_line what = {
        .format = format,
        .level = SERVE_LOG_WARNING,
        .wall_ns = UINT64_C(1795291200123456789), /* 2026-11-21T20:00:00.123 */
        .message = "a slow reader",
        .fields = fields,
    };

    size_t bytes = serve_log_line_format(&what, line);
    assert_in_range(bytes, 1, SERVE_LOG_LINE_BYTES);
    line[bytes] = '\0';
    assert_ptr_equal(strchr(line, '\n'), line + bytes - 1);
    return line;
}

#define FORM(format, ...)                                                                          \
    form(format, (const struct serve_log_field[]){__VA_ARGS__ __VA_OPT__(, ){.name = NULL}})

/* ---- forms ---------------------------------------------------------------------------------- */

static void logfmt_has_a_time_a_level_and_fields(void **state)
{
    (void)state;
    assert_string_equal(FORM(SERVE_LOG_LOGFMT, serve_log_text("peer", "10.0.0.9:4711"),
                             serve_log_count("n", 3), serve_log_bytes("waiting_bytes", 1536),
                             serve_log_seconds("seconds", UINT64_C(1500000000))),
                        "time=2026-11-21T20:00:00.123Z level=warning msg=\"a slow reader\" "
                        "peer=10.0.0.9:4711 n=3 waiting_bytes=1536 seconds=1.500000\n");
}

static void json_is_one_object_a_line(void **state)
{
    (void)state;
    assert_string_equal(
        FORM(SERVE_LOG_JSON, serve_log_text("peer", "a \"b\"\\\n\x01"), serve_log_count("n", 3)),
        "{\"time\":\"2026-11-21T20:00:00.123Z\",\"level\":\"warning\",\"msg\":\"a slow reader\","
        "\"peer\":\"a \\\"b\\\"\\\\\\n\\u0001\",\"n\":3}\n");
}

static void people_read_units(void **state)
{
    (void)state;
    assert_has(FORM(SERVE_LOG_HUMAN, serve_log_bytes("waiting_bytes", 1536),
                    serve_log_seconds("took", 2 * Q_SECOND_NS)),
               " warning: a slow reader  waiting_bytes 1.5 KiB  took 2.000000 s\n");
}

static void values_that_could_be_mistaken_are_quoted(void **state)
{
    (void)state;
    assert_has(FORM(SERVE_LOG_LOGFMT, serve_log_text("a", ""), serve_log_text("b", "x=y"),
                    serve_log_text("c", NULL), serve_log_text("d", "plain")),
               " a=\"\" b=\"x=y\" c=\"\" d=plain\n");
}

static void nothing_from_outside_reaches_a_terminal_as_it_is(void **state)
{
    (void)state;
    assert_has(FORM(SERVE_LOG_HUMAN, serve_log_text("name", "x\033[2J\r\n\x7f\xff")),
               "name \"x\\x1b[2J\\x0d\\n\\x7f\\xff\"\n");
    assert_has(FORM(SERVE_LOG_LOGFMT, serve_log_text("name", "caf\xc3\xa9 \xc3")),
               "name=\"caf\xc3\xa9 \\xc3\"\n");
    assert_has(FORM(SERVE_LOG_JSON, serve_log_text("name", "\xe2\x82\xac\xe2\x82")),
               "\"name\":\"\xe2\x82\xac\\ufffd\\ufffd\"}\n");
}

static void a_line_too_long_is_cut_and_still_an_object(void **state)
{
    char text[4096];

    (void)state;
    memset(text, '"', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    for (size_t length = 900; length < 1100; length++) {
        text[length] = '\0';
        FORM(SERVE_LOG_JSON, serve_log_count("n", 1), serve_log_text("name", text),
             serve_log_count("last", 7));
        assert_string_equal(line + strlen(line) - 2, "}\n");
        size_t quotes = 0;
        for (const char *at = line; *at != '\0'; at++) {
            bool is_escaped = *at == '\\';
            quotes += *at == '"';
            at += is_escaped;
        }
        assert_int_equal(quotes % 2, 0);
        assert_has(line, "\"n\":1,\"");
        text[length] = '"';
    }
    FORM(SERVE_LOG_LOGFMT, serve_log_text("name", text));
    assert_true(strlen(line) > SERVE_LOG_LINE_BYTES - 32);
}

static void the_journal_gets_a_priority_and_no_time(void **state)
{
    static const struct serve_log_field none = {.name = NULL};
    const struct serve_log_line what = {.format = SERVE_LOG_LOGFMT,
                                        .has_priority = true,
                                        .level = SERVE_LOG_ERROR,
                                        .message = "x",
                                        .fields = &none};

    (void)state;
    line[serve_log_line_format(&what, line)] = '\0';
    assert_string_equal(line, "<3>level=error msg=x\n");
}

static void colours_end_where_they_began(void **state)
{
    static const struct serve_log_field none = {.name = NULL};
    struct serve_log_line what = {
        .format = SERVE_LOG_HUMAN, .has_colours = true, .message = "x", .fields = &none};

    (void)state;
    for (int level = SERVE_LOG_DEBUG; level <= SERVE_LOG_ERROR; level++) {
        what.level = (enum serve_log_level)level;
        line[serve_log_line_format(&what, line)] = '\0';
        assert_int_equal(strstr(line, "\033[") != NULL, level != SERVE_LOG_INFO);
        assert_int_equal(strstr(line, "\033[0m\n") != NULL, level != SERVE_LOG_INFO);
    }
}

/* ---- where ---------------------------------------------------------------------------------- */

static char log_path[128], logged[1 << 16];

static const char *read_log(const char *path)
{
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    logged[fread(logged, 1, sizeof logged - 1, file)] = '\0';
    fclose(file);
    return logged;
}

static void open_log(enum serve_log_level level)
{
    snprintf(log_path, sizeof log_path, "%s/log", folder());
    const struct serve_log_options options = {
        .level = level, .format = SERVE_LOG_AUTO, .path = log_path};
    assert_int_equal(serve_log_open(&options, &error), QUARRY_OK);
}

static void say_hello(void)
{
    serve_log(SERVE_LOG_INFO, "hello", serve_log_count("n", 1));
}

static void a_file_is_opened_and_opened_anew(void **state)
{
    char moved[140];

    (void)state;
    open_log(SERVE_LOG_INFO);
    say_hello();
    assert_has(read_log(log_path), "level=info msg=hello n=1\n");
    snprintf(moved, sizeof moved, "%s.1", log_path);
    assert_int_equal(rename(log_path, moved), 0);
    say_hello();
    assert_int_equal(serve_log_reopen(&error), QUARRY_OK);
    serve_log(SERVE_LOG_WARNING, "anew");
    assert_has(read_log(log_path), "msg=anew");
    assert_null(strstr(logged, "hello"));
    assert_null(strstr(read_log(moved), "anew"));
    serve_log_close();
}

static void a_file_that_cannot_be_opened_leaves_the_log_as_it_was(void **state)
{
    (void)state;
    open_log(SERVE_LOG_INFO);
    const struct serve_log_options elsewhere = {.path = "/nowhere/log"};
    assert_int_equal(serve_log_open(&elsewhere, &error), QUARRY_NOT_FOUND);
    assert_has(error.text, "log.file '/nowhere/log': No such file");
    say_hello();
    assert_has(read_log(log_path), "msg=hello");
    serve_log_close();
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    open_log(SERVE_LOG_WARNING);
    serve_log(SERVE_LOG_DEBUG, "quiet");
    serve_log(SERVE_LOG_INFO, "quiet");
    serve_log(SERVE_LOG_ERROR, "loud");
    assert_null(strstr(read_log(log_path), "quiet"));
    assert_has(logged, "level=error msg=loud\n");
    serve_log_close();
}

/* ---- how many ------------------------------------------------------------------------------- */

static uint32_t count_lines(const char *text, const char *part)
{
    uint32_t count = 0;

    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        count++;
    }
    return count;
}

static const struct serve_log_field no_fields = {.name = NULL};

static void one_place_writes_so_many_lines_and_the_rest_is_counted(void **state)
{
    static struct serve_log_site site = {.message = "flood"};

    (void)state;
    open_log(SERVE_LOG_INFO);
    for (uint32_t i = 0; i < SERVE_LOG_LINES_MAX + 25; i++) {
        serve_log_write(&site, SERVE_LOG_INFO, &no_fields);
    }
    assert_int_equal(count_lines(read_log(log_path), "msg=flood"), SERVE_LOG_LINES_MAX);
    site.window_begin_ns -= SERVE_LOG_WINDOW_NS; /* ten seconds later */
    serve_log_write(&site, SERVE_LOG_INFO, &no_fields);
    assert_has(read_log(log_path), "msg=flood left_out=25\n");
    assert_int_equal(count_lines(logged, "left_out"), 1);
    serve_log_close();
}

static void what_was_left_out_is_told_when_no_line_follows(void **state)
{
    static struct serve_log_site site = {.message = "burst"}, other = {.message = "other"};
    uint64_t now_ns = os_monotonic_ns(os_real());

    (void)state;
    open_log(SERVE_LOG_INFO);
    for (uint32_t i = 0; i < SERVE_LOG_LINES_MAX + 3; i++) {
        serve_log_write(&site, SERVE_LOG_WARNING, &no_fields);
    }
    serve_log_write(&other, SERVE_LOG_INFO, &no_fields);
    serve_log_tell_left_out(now_ns + Q_SECOND_NS);
    assert_int_equal(count_lines(read_log(log_path), "left_out"), 0);
    serve_log_tell_left_out(now_ns + SERVE_LOG_WINDOW_NS + Q_SECOND_NS);
    serve_log_tell_left_out(now_ns + SERVE_LOG_WINDOW_NS + Q_SECOND_NS);
    assert_has(read_log(log_path), "level=warning msg=burst left_out=3\n");
    assert_int_equal(count_lines(logged, "left_out"), 1);
    serve_log_close();
}

/* ---- the service manager -------------------------------------------------------------------- */

static int listen_as_manager(struct sockaddr_un *address, socklen_t bytes)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, bytes), 0);
    return fd;
}

static void expect_message(int fd, const char *wanted)
{
    char text[256] = {0};

    assert_true(recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0);
    assert_has(text, wanted);
}

static void the_manager_is_told_by_path_or_abstract_name(void **state)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX}, abstract = {.sun_family = AF_UNIX};

    (void)state;
    snprintf(path.sun_path, sizeof path.sun_path, "%s/notify", folder());
    int fd = listen_as_manager(&path, sizeof path);
    setenv("NOTIFY_SOCKET", path.sun_path, 1);
    serve_notify("READY=1\nSTATUS=%s", "ready");
    expect_message(fd, "READY=1\nSTATUS=ready");
    serve_notify_reloading();
    expect_message(fd, "RELOADING=1\nMONOTONIC_USEC=");
    close(fd);
    serve_notify("nobody is there any more");

    snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "%s", folder());
    size_t length = strlen(folder());
    fd = listen_as_manager(&abstract,
                           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length));
    char name[128];
    snprintf(name, sizeof name, "@%s", folder());
    setenv("NOTIFY_SOCKET", name, 1);
    serve_notify("STOPPING=1");
    expect_message(fd, "STOPPING=1");
    close(fd);
    unsetenv("NOTIFY_SOCKET");
    assert_false(serve_notify_is_on());
}

static void the_watchdog_is_fed_twice_as_often_as_it_is_hungry(void **state)
{
    char pid[16];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    setenv("WATCHDOG_USEC", "10000000", 1);
    assert_int_equal(serve_notify_watchdog_ns(), 0);
    setenv("NOTIFY_SOCKET", "/tmp/nobody", 1);
    assert_int_equal(serve_notify_watchdog_ns(), 5 * Q_SECOND_NS);
    setenv("WATCHDOG_PID", "1", 1);
    assert_int_equal(serve_notify_watchdog_ns(), 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_PID", pid, 1);
    assert_int_equal(serve_notify_watchdog_ns(), 5 * Q_SECOND_NS);
    setenv("WATCHDOG_USEC", "soon", 1);
    assert_int_equal(serve_notify_watchdog_ns(), 0);
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    unsetenv("NOTIFY_SOCKET");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, config_rig_begin, config_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(logfmt_has_a_time_a_level_and_fields),
        TEST(json_is_one_object_a_line),
        TEST(people_read_units),
        TEST(values_that_could_be_mistaken_are_quoted),
        TEST(nothing_from_outside_reaches_a_terminal_as_it_is),
        TEST(a_line_too_long_is_cut_and_still_an_object),
        TEST(the_journal_gets_a_priority_and_no_time),
        TEST(colours_end_where_they_began),
        TEST(a_file_is_opened_and_opened_anew),
        TEST(a_file_that_cannot_be_opened_leaves_the_log_as_it_was),
        TEST(lines_below_the_level_are_not_written),
        TEST(one_place_writes_so_many_lines_and_the_rest_is_counted),
        TEST(what_was_left_out_is_told_when_no_line_follows),
        TEST(the_manager_is_told_by_path_or_abstract_name),
        TEST(the_watchdog_is_fed_twice_as_often_as_it_is_hungry),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
