/* Files, environment, precedence, and what goes together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "unit/serve/config_rig.h"

static enum quarry_status read_text(const char *text)
{
    error = (struct quarry_error){0};
    return serve_config_read_file(config, write_file("q.conf", text), NULL, NULL, &error);
}

#define ASSERT_READ(file_text)                                                                     \
    do {                                                                                           \
        if (read_text(file_text) != QUARRY_OK) {                                                   \
            fail_msg("%s", error.text);                                                            \
        }                                                                                          \
    } while (0)

static void read_refused(const char *text, enum quarry_status status, const char *message)
{
    assert_int_equal(read_text(text), status);
    assert_has(error.text, message);
}

/* ---- files ---------------------------------------------------------------------------------- */

static void a_file_sets_values_by_section(void **state)
{
    (void)state;
    ASSERT_READ("# a comment\n"
                "[cache]\n"
                "size = 1g ; and another\n"
                "  item_max=2m\r\n"
                "\n"
                "[log]\n"
                "level: warning\n");
    assert_int_equal(serve_config_number(config, SERVE_CACHE_SIZE), Q_GIB(1));
    assert_int_equal(serve_config_number(config, SERVE_CACHE_ITEM_MAX), Q_MIB(2));
    assert_string_equal(shown(SERVE_LOG_LEVEL), "warning");
}

static void an_origin_is_a_file_and_a_line(void **state)
{
    char wanted[128];

    (void)state;
    ASSERT_READ("\n\n[cache]\nsize = 1g");
    snprintf(wanted, sizeof wanted, "%s/q.conf:4", folder());
    assert_string_equal(serve_config_origin(config, SERVE_CACHE_SIZE), wanted);
}

static void sections_make_tenants_and_users(void **state)
{
    (void)state;
    ASSERT_READ("[tenant acme]\n"
                "[ tenant   globex ]\n"
                "quota = 5m\n"
                "[user ann]\n"
                "tenant = acme\n"
                "rights = all\n"
                "[user bob]\n"
                "tenant = acme\n");
    assert_int_equal(serve_config_group_count(config, SERVE_TENANTS), 2);
    assert_string_equal(serve_config_group_name(config, SERVE_TENANTS, 0), "acme");
    assert_string_equal(serve_config_group_name(config, SERVE_TENANTS, 1), "globex");
    assert_int_equal(serve_config_group_number(config, SERVE_TENANTS, 1, SERVE_TENANT_QUOTA),
                     Q_MIB(5));
    assert_int_equal(serve_config_group_count(config, SERVE_USERS), 2);
    assert_string_equal(serve_config_group_text(config, SERVE_USERS, 1, SERVE_USER_TENANT), "acme");
}

static void errors_name_the_file_and_the_line(void **state)
{
    (void)state;
    read_refused("[cache]\n\nsize = large\n", QUARRY_BAD_INPUT, "q.conf:3: cache.size takes");
    read_refused("[cache]\nsice = 1g\n", QUARRY_NOT_FOUND,
                 "q.conf:2: there is no setting 'cache.sice'; did you mean 'cache.size'?");
    read_refused("size = 1g\n", QUARRY_NOT_FOUND, "q.conf:1: there is no setting 'size'");
    read_refused("[tenant a b]\n", QUARRY_BAD_INPUT, "q.conf:1: 'a b' is no name of a tenant");
    read_refused("[tenant]\nquota = 1m\n", QUARRY_NOT_FOUND, "q.conf:2: 'tenant.quota'");
}

static void lines_that_are_no_settings_are_errors(void **state)
{
    (void)state;
    read_refused("[cache]\nsize 1g\n[log]\n", QUARRY_BAD_INPUT,
                 "q.conf:2: neither 'name = value' nor '[section]'");
    read_refused("[cache]\nsize 1g", QUARRY_BAD_INPUT, "q.conf:2: neither");
    read_refused("[cache\nsize = 1g\n", QUARRY_BAD_INPUT, "q.conf:1: a section's name ends with ]");
}

static void what_the_parser_would_cut_is_an_error(void **state)
{
    char text[512];

    (void)state;
    snprintf(text, sizeof text, "[server]\ndata = %0240d\n", 1);
    read_refused(text, QUARRY_TOO_LARGE, "q.conf:2: a line has up to 198 bytes");
    snprintf(text, sizeof text, "[user %060d]\ntenant = acme\n", 1);
    read_refused(text, QUARRY_TOO_LARGE, "q.conf:1: a section's name has up to 47 bytes");
    snprintf(text, sizeof text, "[server]\ndata = %0190d\n", 1); /* 197 bytes */
    ASSERT_READ(text);
    assert_int_equal(strlen(serve_config_text(config, SERVE_SERVER_DATA)), 190);
}

static void a_longest_name_of_a_user_fits_a_section(void **state)
{
    char text[128];

    (void)state;
    snprintf(text, sizeof text, "[user %042d]\ntenant = acme\n", 1);
    ASSERT_READ(text);
    assert_int_equal(serve_config_group_count(config, SERVE_USERS), 1);
    assert_int_equal(strlen(serve_config_group_name(config, SERVE_USERS, 0)), 42);
    assert_string_equal(serve_config_group_text(config, SERVE_USERS, 0, SERVE_USER_TENANT), "acme");
}

static void a_setting_twice_in_a_file_is_an_error(void **state)
{
    (void)state;
    read_refused("[cache]\nsize = 1g\n[log]\n[cache]\nsize = 2g\n", QUARRY_EXISTS,
                 "q.conf:5: cache.size was set in line 2 already");
    read_refused("[user ann]\ntenant = a\ntenant = b\n", QUARRY_EXISTS,
                 "q.conf:3: user.ann.tenant");
}

static void everything_wrong_in_a_file_is_told(void **state)
{
    (void)state;
    const char *path = write_file("bad.conf", "[cache]\nsize = large\nfile\nsice = 1\n"
                                              "[log]\nlevel = loud\n[tenant \n");
    assert_int_equal(serve_config_read_file(config, path, tell_all, NULL, &error),
                     QUARRY_BAD_INPUT);
    assert_has(error.text, "bad.conf:2");
    assert_has(told, "bad.conf:2: cache.size takes");
    assert_has(told, "bad.conf:3: neither");
    assert_has(told, "bad.conf:4: there is no setting");
    assert_has(told, "bad.conf:6: log.level takes debug, info, warning or error, not 'loud'");
    assert_has(told, "bad.conf:7: a section's name");
}

static void a_file_that_cannot_be_read_is_said(void **state)
{
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/absent", folder());
    assert_int_equal(serve_config_read_file(config, path, NULL, NULL, &error), QUARRY_NOT_FOUND);
    assert_has(error.text, "absent: No such file");
    assert_int_equal(serve_config_read_file(config, folder(), NULL, NULL, &error), QUARRY_IO);
    assert_has(error.text, "directory");
}

static void zero_bytes_and_byte_order_marks_are_met(void **state)
{
    static const char text[] = "[cache]\nsize = 1g\0\n";
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/zero", folder());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, sizeof text - 1, file), sizeof text - 1);
    fclose(file);
    assert_int_equal(serve_config_read_file(config, path, NULL, NULL, &error), QUARRY_BAD_INPUT);
    assert_has(error.text, "zero:2: a line has no zero bytes");
    ASSERT_READ("\xEF\xBB\xBF[cache]\nsize = 3g\n");
    assert_int_equal(serve_config_number(config, SERVE_CACHE_SIZE), Q_GIB(3));
}

/* ---- environment ---------------------------------------------------------------------------- */

#define READ_ENVIRONMENT(...)                                                                      \
    serve_config_read_environment(config, (char *const[]){__VA_ARGS__, NULL}, NULL, NULL, &error)

static void variables_set_values(void **state)
{
    static char first[] = "QUARRY_CACHE_ITEM_MAX=4m", second[] = "PATH=/bin";

    (void)state;
    assert_int_equal(READ_ENVIRONMENT(first, second), QUARRY_OK);
    assert_int_equal(serve_config_number(config, SERVE_CACHE_ITEM_MAX), Q_MIB(4));
    assert_string_equal(serve_config_origin(config, SERVE_CACHE_ITEM_MAX), "QUARRY_CACHE_ITEM_MAX");
}

static void a_wrong_value_names_its_variable(void **state)
{
    static char bad[] = "QUARRY_LOG_LEVEL=loud";

    (void)state;
    assert_int_equal(READ_ENVIRONMENT(bad), QUARRY_BAD_INPUT);
    assert_has(error.text, "QUARRY_LOG_LEVEL: log.level takes debug");
}

static void an_empty_variable_says_nothing(void **state)
{
    static char empty[] = "QUARRY_LOG_LEVEL=";

    (void)state;
    assert_int_equal(READ_ENVIRONMENT(empty), QUARRY_OK);
    assert_string_equal(serve_config_origin(config, SERVE_LOG_LEVEL), "default");
}

static void a_slip_in_a_variable_is_an_error_and_a_stranger_is_not(void **state)
{
    static char slip[] = "QUARRY_CACHE_SISE=1g", malloc_own[] = "QUARRY_MALLOC=limit=1g",
                host[] = "QUARRY_CACHE_SERVICE_HOST=10.0.0.1",
                port[] = "QUARRY_CACHE_PORT=tcp://10.0.0.1:11211", plain[] = "QUARRY_",
                tcp[] = "QUARRY_PORT_11211_TCP_PROTO=tcp";

    (void)state;
    assert_int_equal(READ_ENVIRONMENT(malloc_own, host, port, plain, tcp), QUARRY_OK);
    assert_int_equal(READ_ENVIRONMENT(slip), QUARRY_NOT_FOUND);
    assert_has(error.text, "QUARRY_CACHE_SISE: no setting");
    assert_has(error.text, "did you mean QUARRY_CACHE_SIZE?");
}

/* ---- precedence ----------------------------------------------------------------------------- */

static enum quarry_status load(const struct serve_sources *sources)
{
    struct serve_config *loaded = NULL;
    enum quarry_status status = serve_config_load(sources, tell_all, NULL, &loaded, &error);

    if (status == QUARRY_OK) {
        serve_config_destroy(config);
        config = loaded;
    }
    return status;
}

static void later_sources_win(void **state)
{
    static char size[] = "QUARRY_CACHE_SIZE=2g", item[] = "QUARRY_CACHE_ITEM_MAX=2m";
    static char *const environment[] = {size, item, NULL};
    const struct serve_sources sources = {
        .path = write_file("q.conf", "[cache]\nsize = 1g\nitem_max = 1m\nfloor = 1m\n"),
        .environment = environment,
        .assignments = {{"cache.size", "3g", "--set"}, {"cache.size", "4g", "--set"}},
        .assignment_count = 2,
    };

    (void)state;
    assert_int_equal(load(&sources), QUARRY_OK);
    assert_int_equal(serve_config_number(config, SERVE_CACHE_SIZE), Q_GIB(4));
    assert_int_equal(serve_config_number(config, SERVE_CACHE_ITEM_MAX), Q_MIB(2));
    assert_int_equal(serve_config_number(config, SERVE_CACHE_FLOOR), Q_MIB(1));
    assert_string_equal(serve_config_origin(config, SERVE_CACHE_EVICTS), "default");
}

static void all_sources_are_complained_about_at_once(void **state)
{
    static char bad[] = "QUARRY_CACHE_SIZE=big";
    static char *const environment[] = {bad, NULL};
    const struct serve_sources sources = {
        .path = write_file("q.conf", "[cache]\nsise = 1g\n"),
        .environment = environment,
        .assignments = {{"server.threads", "many", "--threads"}},
        .assignment_count = 1,
    };

    (void)state;
    assert_int_equal(load(&sources), QUARRY_NOT_FOUND);
    assert_has(error.text, "q.conf:2");
    assert_has(told, "q.conf:2: there is no setting 'cache.sise'");
    assert_has(told, "QUARRY_CACHE_SIZE: cache.size takes");
    assert_has(told, "--threads: server.threads takes");
}

static void a_named_file_has_to_be_there(void **state)
{
    const struct serve_sources sources = {.path = "/nowhere/quarry.conf"};

    (void)state;
    assert_int_equal(load(&sources), QUARRY_NOT_FOUND);
}

/* ---- what goes together --------------------------------------------------------------------- */

static void check_refused(enum quarry_status status, const char *message)
{
    error = (struct quarry_error){0};
    assert_int_equal(serve_config_check(config, NULL, NULL, &error), status);
    assert_has(error.text, message);
}

static void check_passes(void)
{
    if (serve_config_check(config, NULL, NULL, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

#define HASH "$y$j9T$zIMQfT1qo2YWzBZRkrYx4/$MT9sM5WM4mN2MZbrM9zRVMDrVfTWRXmiHsRHJpUFYM9"

static void sizes_fit_into_each_other(void **state)
{
    (void)state;
    put("memory.limit", "1g");
    put("cache.size", "2g");
    check_refused(QUARRY_BAD_INPUT, "test: cache.size = 2g is above memory.limit = 1g (test)");
    put("cache.size", "1g");
    check_passes();
    put("cache.item_max", "1g");
    check_refused(QUARRY_BAD_INPUT, "cache.item_max = 1g is above half of cache.size = 1g");
    put("cache.size", "auto");
    check_passes();
}

static void without_a_folder_nothing_can_be_kept(void **state)
{
    (void)state;
    put("server.data", "off");
    check_refused(QUARRY_BAD_INPUT, "server.data = off keeps nothing");
    put("cache.file", "data");
    put("server.durability", "none");
    check_refused(QUARRY_BAD_INPUT, "server.data = off keeps nothing");
    put("cache.file", "auto");
    check_passes();
    put("server.durability", "process");
    put("cache.file", "off");
    check_passes();
}

static void a_door_beyond_the_machine_wants_users_or_the_word(void **state)
{
    (void)state;
    put("memcached.listen", "127.0.0.1:1,0.0.0.0:11211");
    check_refused(QUARRY_PERMISSION, "memcached.listen = 0.0.0.0:11211: other machines could use");
    assert_has(error.text, "--insecure");
    assert_has(error.text, "[user NAME]");
    put("server.insecure", "on");
    check_passes();
    put("server.insecure", "off");
    put("users.file", "/etc/quarry/users");
    check_passes();
}

static void what_this_machine_alone_reaches_needs_no_users(void **state)
{
    (void)state;
    put("memcached.listen", "127.8.0.1:1,[::1]:1,localhost:1,unix:/tmp/q");
    check_passes();
    put("memcached.listen", "[::]:1");
    check_refused(QUARRY_PERMISSION, "[::]:1");
    put("memcached.listen", "10.0.0.1:1");
    check_refused(QUARRY_PERMISSION, "10.0.0.1:1");
    put("memcached.listen", "off");
    put("memcached.listen_tls", "*:1");
    put("tls.certificate", "a.pem");
    check_refused(QUARRY_PERMISSION, "memcached.listen_tls = *:1");
}

static void a_user_has_one_password_and_a_tenant_that_is_there(void **state)
{
    (void)state;
    put("user.ann.rights", "all");
    check_refused(QUARRY_BAD_INPUT, "user ann: give either password or password_file");
    put("user.ann.password", "secret");
    check_refused(QUARRY_BAD_INPUT, "user ann: password takes a hash");
    assert_null(strstr(error.text, "secret"));
    put("user.ann.password", HASH);
    check_passes();
    put("user.ann.password_file", "/etc/secret");
    check_refused(QUARRY_BAD_INPUT, "give either");
    put("user.ann.password_file", "");
    put("user.ann.tenant", "acme");
    check_refused(QUARRY_NOT_FOUND, "user ann: there is no [tenant acme]");
    put("tenant.acme.quota", "1g");
    check_passes();
}

static void tenants_fit_their_bounds(void **state)
{
    (void)state;
    put("tenant.acme.quota", "1m");
    put("tenant.acme.share", "2m");
    check_refused(QUARRY_BAD_INPUT, "tenant acme: share is above its quota");
    put("tenant.acme.share", "equal");
    put("cache.tenants_max", "1");
    check_refused(QUARRY_TOO_MANY, "1 tenants and the default one");
}

static void encryption_needs_a_certificate(void **state)
{
    (void)state;
    put("memcached.listen_tls", "127.0.0.1:11212");
    check_refused(QUARRY_BAD_INPUT, "memcached.listen_tls needs tls.certificate");
    put("tls.certificate", "server.pem");
    check_passes();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, config_rig_begin, config_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_sets_values_by_section),
        TEST(an_origin_is_a_file_and_a_line),
        TEST(sections_make_tenants_and_users),
        TEST(errors_name_the_file_and_the_line),
        TEST(lines_that_are_no_settings_are_errors),
        TEST(what_the_parser_would_cut_is_an_error),
        TEST(a_longest_name_of_a_user_fits_a_section),
        TEST(a_setting_twice_in_a_file_is_an_error),
        TEST(everything_wrong_in_a_file_is_told),
        TEST(a_file_that_cannot_be_read_is_said),
        TEST(zero_bytes_and_byte_order_marks_are_met),
        TEST(variables_set_values),
        TEST(a_wrong_value_names_its_variable),
        TEST(an_empty_variable_says_nothing),
        TEST(a_slip_in_a_variable_is_an_error_and_a_stranger_is_not),
        TEST(later_sources_win),
        TEST(all_sources_are_complained_about_at_once),
        TEST(a_named_file_has_to_be_there),
        TEST(sizes_fit_into_each_other),
        TEST(without_a_folder_nothing_can_be_kept),
        TEST(a_door_beyond_the_machine_wants_users_or_the_word),
        TEST(what_this_machine_alone_reaches_needs_no_users),
        TEST(a_user_has_one_password_and_a_tenant_that_is_there),
        TEST(tenants_fit_their_bounds),
        TEST(encryption_needs_a_certificate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
