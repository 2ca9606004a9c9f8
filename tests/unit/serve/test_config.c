/* Settings by type, by name and by group. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/config_value.h>

#include "unit/serve/config_rig.h"

/* ---- types ---------------------------------------------------------------------------------- */

static void byte_counts_are_read_with_units_and_bounds(void **state)
{
    (void)state;
    put("cache.item_max", "2m");
    assert_int_equal(serve_config_number(config, SERVE_CACHE_ITEM_MAX), 2097152);
    assert_string_equal(shown(SERVE_CACHE_ITEM_MAX), "2m");
    put("cache.item_max", "1025");
    assert_string_equal(shown(SERVE_CACHE_ITEM_MAX), "1025");
    put_refused("cache.item_max", "1023", QUARRY_BAD_INPUT, "from 1k to 1g, not '1023'");
    put_refused("cache.item_max", "1.1g", QUARRY_BAD_INPUT, "not '1.1g'");
    put_refused("cache.item_max", "auto", QUARRY_BAD_INPUT, "not 'auto'");
    put_refused("cache.item_max", "", QUARRY_BAD_INPUT, "a number of bytes like 512m");
    assert_int_equal(serve_config_number(config, SERVE_CACHE_ITEM_MAX), 1025);
}

static void zero_has_a_word_where_the_setting_says_so(void **state)
{
    (void)state;
    put("memory.limit", "1g");
    put("memory.limit", "auto");
    assert_int_equal(serve_config_number(config, SERVE_MEMORY_LIMIT), 0);
    assert_string_equal(shown(SERVE_MEMORY_LIMIT), "auto");
    put_refused("memory.limit", "0", QUARRY_BAD_INPUT, "or auto, not '0'");
}

static void durations_are_read_with_units(void **state)
{
    (void)state;
    put("net.line_timeout", "1m30s");
    assert_int_equal(serve_config_number(config, SERVE_NET_LINE_TIMEOUT), 90 * Q_SECOND_NS);
    assert_string_equal(shown(SERVE_NET_LINE_TIMEOUT), "1m30s");
    put("net.line_timeout", "1500ms");
    assert_string_equal(shown(SERVE_NET_LINE_TIMEOUT), "1s500ms");
    put("net.idle_timeout", "off");
    assert_int_equal(serve_config_number(config, SERVE_NET_IDLE_TIMEOUT), 0);
    put_refused("net.line_timeout", "10", QUARRY_BAD_INPUT, "a duration like 10s");
    put_refused("net.line_timeout", "10 s", QUARRY_BAD_INPUT, "not '10 s'");
    put_refused("net.line_timeout", "999ms", QUARRY_BAD_INPUT, "from 1s to 1h");
    put_refused("net.line_timeout", "", QUARRY_BAD_INPUT, "not ''");
    put_refused("net.line_timeout", "99999999999999999999s", QUARRY_BAD_INPUT, "not '9999");
    put_refused("net.line_timeout", "600000000000000000m", QUARRY_BAD_INPUT, "not '6000");
}

static void counts_are_digits(void **state)
{
    (void)state;
    put("server.threads", "8");
    assert_int_equal(serve_config_number(config, SERVE_SERVER_THREADS), 8);
    put_refused("server.threads", "8k", QUARRY_BAD_INPUT, "a whole number from 1 to 256, or auto");
    put_refused("server.threads", "-1", QUARRY_BAD_INPUT, "not '-1'");
    put_refused("server.threads", "257", QUARRY_BAD_INPUT, "not '257'");
    put_refused("server.threads", "18446744073709551617", QUARRY_BAD_INPUT, "not '1844");
}

static void switches_have_four_spellings(void **state)
{
    static const char *const pairs[][2] = {
        {"on", "off"}, {"yes", "no"}, {"true", "false"}, {"1", "0"}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        put("cache.evicts", pairs[i][1]);
        assert_int_equal(serve_config_number(config, SERVE_CACHE_EVICTS), 0);
        put("cache.evicts", pairs[i][0]);
        assert_int_equal(serve_config_number(config, SERVE_CACHE_EVICTS), 1);
        assert_string_equal(shown(SERVE_CACHE_EVICTS), "on");
    }
    put_refused("cache.evicts", "On", QUARRY_BAD_INPUT, "takes on or off, not 'On'");
    put_refused("cache.evicts", "", QUARRY_BAD_INPUT, "takes on or off");
}

static void choices_are_one_of_their_words(void **state)
{
    (void)state;
    put("server.durability", "power");
    assert_int_equal(serve_config_number(config, SERVE_SERVER_DURABILITY), SERVE_DURABLE_POWER);
    put("cache.file", "data");
    assert_int_equal(serve_config_number(config, SERVE_CACHE_FILE), SERVE_CACHE_FILE_DATA);
    assert_string_equal(shown(SERVE_CACHE_FILE), "data");
    put_refused("server.durability", "pow", QUARRY_BAD_INPUT, "none, process or power, not 'pow'");
    put_refused("server.durability", "none|power", QUARRY_BAD_INPUT, "not 'none|power'");
}

static void texts_have_a_length_and_no_control_characters(void **state)
{
    char longest[902];

    (void)state;
    memset(longest, 'x', sizeof longest);
    longest[901] = '\0';
    put_refused("server.data", longest, QUARRY_TOO_LARGE, "up to 900 bytes, not 901");
    longest[900] = '\0';
    put("server.data", longest);
    put_refused("server.data", "", QUARRY_BAD_INPUT, "must not be empty");
    put_refused("server.data", "a\nb", QUARRY_BAD_INPUT, "control characters");
    put("server.data", "/srv/caf\xc3\xa9 1");
    assert_string_equal(serve_config_text(config, SERVE_SERVER_DATA), "/srv/caf\xc3\xa9 1");
}

static void addresses_are_looked_at_when_they_are_set(void **state)
{
    (void)state;
    put("memcached.listen", "127.0.0.1:11211, [::1]:11211 ,unix:/run/quarry.sock");
    put("memcached.listen", "off");
    put_refused("memcached.listen", "127.0.0.1", QUARRY_BAD_INPUT, "127.0.0.1");
    put_refused("memcached.listen", "127.0.0.1:1,,127.0.0.1:2", QUARRY_BAD_INPUT, "one comma");
    put_refused("memcached.listen", "127.0.0.1:1,off", QUARRY_BAD_INPUT, "'off'");
    put_refused("memcached.listen", "127.0.0.1:1, ", QUARRY_BAD_INPUT, "one comma");
    put_refused("memcached.listen", "*:1,*:2,*:3,*:4,*:5,*:6,*:7,*:8,*:9", QUARRY_TOO_MANY,
                "up to 8");
    assert_string_equal(serve_config_text(config, SERVE_MEMCACHED_LISTEN), "off");
}

static void words_are_a_set(void **state)
{
    char text[SERVE_VALUE_TEXT_BYTES];

    (void)state;
    put("user.ann.rights", "admin, read");
    assert_int_equal(serve_config_group_number(config, SERVE_USERS, 0, SERVE_USER_RIGHTS),
                     SERVE_ADMIN | SERVE_READ);
    assert_string_equal(serve_config_group_format(config, SERVE_USERS, 0, SERVE_USER_RIGHTS, text),
                        "read,admin");
    put("user.ann.rights", "all");
    assert_int_equal(serve_config_group_number(config, SERVE_USERS, 0, SERVE_USER_RIGHTS),
                     SERVE_ALL);
    put("user.ann.rights", "none");
    assert_int_equal(serve_config_group_number(config, SERVE_USERS, 0, SERVE_USER_RIGHTS), 0);
    put_refused("user.ann.rights", "read,wrte", QUARRY_BAD_INPUT, "read, write, flush or admin");
    put_refused("user.ann.rights", "read write", QUARRY_BAD_INPUT, "commas between");
    put_refused("user.ann.rights", "read,", QUARRY_BAD_INPUT, "not 'read,'");
}

static void every_default_is_what_its_setting_reads(void **state)
{
    char text[SERVE_VALUE_TEXT_BYTES];

    (void)state;
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        enum serve_key key = (enum serve_key)i;
        const struct serve_setting *setting = serve_setting(key);
        assert_string_equal(serve_config_origin(config, key), "default");
        assert_string_equal(serve_config_format(config, key, text), setting->initial);
        put(setting->key, text);
        assert_string_equal(serve_config_format(config, key, text), setting->initial);
        assert_string_equal(serve_config_origin(config, key), "test");
        assert_true(strlen(setting->help) > 10);
    }
}

/* ---- names ---------------------------------------------------------------------------------- */

static void an_unknown_name_is_told_with_the_nearest(void **state)
{
    (void)state;
    put_refused("cashe.size", "1g", QUARRY_NOT_FOUND,
                "no setting 'cashe.size'; did you mean 'cache.size'?");
    put_refused("cache.itemmax", "1g", QUARRY_NOT_FOUND, "did you mean 'cache.item_max'?");
    put_refused("item_max", "1m", QUARRY_NOT_FOUND, "did you mean 'cache.item_max'?");
    put_refused("log.item_max", "1m", QUARRY_NOT_FOUND, "did you mean 'cache.item_max'?");
    put_refused("nothing.like.it", "1", QUARRY_NOT_FOUND, "no setting 'nothing.like.it'");
    assert_null(strstr(error.text, "mean"));
    put_refused("", "1", QUARRY_NOT_FOUND, "no setting ''");
}

static void an_unknown_name_of_a_tenant_is_told_with_the_nearest(void **state)
{
    (void)state;
    put_refused("tenant.acme.qouta", "1g", QUARRY_NOT_FOUND, "did you mean 'tenant.acme.quota'?");
    put_refused("tenant.acme.colour", "red", QUARRY_NOT_FOUND,
                "no setting 'tenant.acme.colour' of a tenant");
    put_refused("tenant.quota", "1g", QUARRY_NOT_FOUND, "tenant.NAME.quota");
    assert_int_equal(serve_config_group_count(config, SERVE_TENANTS), 0);
}

static void the_origin_of_a_value_is_known(void **state)
{
    (void)state;
    assert_int_equal(serve_config_set(config, "cache.size", "1g", "--set", &error), QUARRY_OK);
    assert_string_equal(serve_config_origin(config, SERVE_CACHE_SIZE), "--set");
    assert_string_equal(serve_config_find_origin(config, "cache.size"), "--set");
    assert_string_equal(serve_config_find_origin(config, "cache.floor"), "default");
    put("user.ann.tenant", "acme");
    assert_string_equal(serve_config_find_origin(config, "user.ann.tenant"), "test");
    assert_null(serve_config_find_origin(config, "user.bob.tenant"));
    assert_null(serve_config_find_origin(config, "user.ann.colour"));
    assert_null(serve_config_find_origin(config, "no.such"));
}

/* ---- tenants and users ---------------------------------------------------------------------- */

static void a_tenant_begins_with_defaults(void **state)
{
    uint32_t index = 9;

    (void)state;
    put("tenant.acme.quota", "1g");
    put("tenant.globex.connections", "50");
    put("tenant.acme.requests_per_second", "1000");
    assert_int_equal(serve_config_group_count(config, SERVE_TENANTS), 2);
    assert_true(serve_config_group_find(config, SERVE_TENANTS, "globex", &index));
    assert_int_equal(index, 1);
    assert_string_equal(serve_config_group_name(config, SERVE_TENANTS, 0), "acme");
    assert_int_equal(serve_config_group_number(config, SERVE_TENANTS, 0, SERVE_TENANT_QUOTA),
                     Q_GIB(1));
    assert_int_equal(serve_config_group_number(config, SERVE_TENANTS, 1, SERVE_TENANT_QUOTA), 0);
    assert_string_equal(serve_config_group_origin(config, SERVE_TENANTS, 1, SERVE_TENANT_QUOTA),
                        "default");
    assert_false(serve_config_group_find(config, SERVE_USERS, "acme", &index));
}

static void names_of_groups_are_printable_and_short(void **state)
{
    (void)state;
    put_refused("tenant.a b.quota", "1g", QUARRY_BAD_INPUT, "'a b' is no name of a tenant");
    put_refused("tenant..quota", "1g", QUARRY_BAD_INPUT, "'' is no name");
    put_refused("user.a:b.tenant", "x", QUARRY_BAD_INPUT, "'a:b' is no name of a user");
    put("tenant.a123456789012345678901234567890.quota", "1g"); /* 31 bytes */
    put_refused("tenant.a1234567890123456789012345678901.quota", "1g", QUARRY_BAD_INPUT, "1 to 31");
    put("user.ann.b@example.org.tenant", "acme"); /* dots are part of the name */
    assert_string_equal(serve_config_group_name(config, SERVE_USERS, 0), "ann.b@example.org");
}

static void there_can_be_only_so_many_tenants(void **state)
{
    char key[64];

    (void)state;
    for (uint32_t i = 0; i < SERVE_GROUP_MAX; i++) {
        snprintf(key, sizeof key, "tenant.t%u.quota", i);
        put(key, "1m");
    }
    put_refused("tenant.more.quota", "1m", QUARRY_TOO_MANY, "more than 4096 tenants");
    put("tenant.t7.quota", "2m");
}

/* ---- the page of settings -------------------------------------------------------------------- */

/* A row of docs/configuration.md as it has to be. */
static void make_row(const struct serve_setting *setting, char *row, size_t capacity)
{
    char least[SERVE_VALUE_TEXT_BYTES], most[SERVE_VALUE_TEXT_BYTES], bounds[2200] = "";
    char initial[128];
    struct serve_setting plain = *setting;

    plain.words = ""; /* bounds are written as numbers */
    switch (setting->type) {
    case SERVE_TYPE_BYTES:
    case SERVE_TYPE_DURATION:
    case SERVE_TYPE_COUNT:
        snprintf(bounds, sizeof bounds, "%s to %s%s%s%s",
                 serve_value_format(&plain, setting->least, NULL, least),
                 serve_value_format(&plain, setting->most, NULL, most),
                 setting->words[0] != '\0' ? "; `" : "", setting->words,
                 setting->words[0] != '\0' ? "`" : "");
        break;
    case SERVE_TYPE_BOOL:
        snprintf(bounds, sizeof bounds, "`on`, `off`");
        break;
    case SERVE_TYPE_TEXT:
    case SERVE_TYPE_ADDRESS:
        snprintf(bounds, sizeof bounds, "up to %u bytes", (unsigned)setting->most);
        break;
    case SERVE_TYPE_CHOICE:
    case SERVE_TYPE_WORDS:
        for (const char *at = setting->words; *at != '\0'; at += strcspn(at, "|")) {
            at += *at == '|';
            size_t used = strlen(bounds);
            snprintf(bounds + used, sizeof bounds - used, "%s`%.*s`", used > 0 ? ", " : "",
                     (int)strcspn(at, "|"), at);
        }
        break;
    }
    const char *tick = setting->initial[0] != '\0' ? "`" : "";
    snprintf(initial, sizeof initial, "%s%s%s", tick, setting->initial, tick);
    snprintf(row, capacity, "| `%s` | %s | %s | %s | %s |\n", setting->key, initial, bounds,
             setting->is_live ? "yes" : "no", setting->help);
}

static void want_row(const char *page, const struct serve_setting *setting, uint32_t *row_count)
{
    char row[4096];

    make_row(setting, row, sizeof row);
    if (strstr(page, row) == NULL) {
        print_message("docs/configuration.md lacks:\n%s", row);
        (*row_count) |= UINT32_C(1) << 31;
    }
    (*row_count)++;
}

static uint32_t count_rows(const char *page)
{
    uint32_t count = 0;

    for (const char *at = strstr(page, "\n| `"); at != NULL; at = strstr(at + 1, "\n| `")) {
        count++;
    }
    return count;
}

static void the_page_of_settings_says_what_the_table_says(void **state)
{
    static char page[1 << 17];
    uint32_t row_count = 0;
    FILE *file = fopen(QUARRY_CONFIGURATION_PAGE, "re");

    (void)state;
    assert_non_null(file);
    size_t bytes = fread(page, 1, sizeof page - 1, file);
    assert_in_range(bytes, 1000, sizeof page - 2);
    fclose(file);
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        want_row(page, serve_setting((enum serve_key)i), &row_count);
    }
    for (uint32_t kind = 0; kind < SERVE_GROUP_KIND_COUNT; kind++) {
        for (uint32_t i = 0; i < serve_group_setting_count((enum serve_group_kind)kind); i++) {
            want_row(page, serve_group_setting((enum serve_group_kind)kind, i), &row_count);
        }
    }
    assert_int_equal(count_rows(page), row_count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, config_rig_begin, config_rig_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(byte_counts_are_read_with_units_and_bounds),
        TEST(zero_has_a_word_where_the_setting_says_so),
        TEST(durations_are_read_with_units),
        TEST(counts_are_digits),
        TEST(switches_have_four_spellings),
        TEST(choices_are_one_of_their_words),
        TEST(texts_have_a_length_and_no_control_characters),
        TEST(addresses_are_looked_at_when_they_are_set),
        TEST(words_are_a_set),
        TEST(every_default_is_what_its_setting_reads),
        TEST(an_unknown_name_is_told_with_the_nearest),
        TEST(an_unknown_name_of_a_tenant_is_told_with_the_nearest),
        TEST(the_origin_of_a_value_is_known),
        TEST(a_tenant_begins_with_defaults),
        TEST(names_of_groups_are_printable_and_short),
        TEST(there_can_be_only_so_many_tenants),
        TEST(the_page_of_settings_says_what_the_table_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
