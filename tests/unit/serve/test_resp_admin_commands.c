/* COMMAND, and that docs/resp.md has every command that Redis 7.0 has, and says of each the truth.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/command_forms.h>
#include <serve/resp/state.h>

#include "unit/serve/resp_admin_rig.h"

static void command_info_has_redis_shape(void **state)
{
    (void)state;
    admin_says("command info get",
               "*1|*10|$3|get|:2|*2|+readonly|+fast|:1|:1|:1|*3|+@read|+@string|+@fast|*0|"
               "*1|*6|$5|flags|*2|+RO|+access|$12|begin_search|*4|$4|type|$5|index|$4|spec|"
               "*2|$5|index|:1|$9|find_keys|*4|$4|type|$5|range|$4|spec|"
               "*6|$7|lastkey|:0|$7|keystep|:1|$5|limit|:0|*0|");
    admin_says("command info nosuch", "*1|$-1|");
    admin_says("command info config|get",
               "*1|*10|$10|config|get|:-3|*4|+admin|+noscript|+loading|+stale|:0|:0|:0|"
               "*3|+@admin|+@slow|+@dangerous|*0|*0|*0|");
    admin_tells("command info mget", "$7\r\nlastkey\r\n:-1\r\n");
    admin_tells("command info rename", "*2\r\n+OW\r\n+update\r\n");
    admin_tells("command info config", "*10\r\n$10\r\nconfig|set\r\n");
}

static void command_in_resp3_has_sets_and_maps(void **state)
{
    char *answer = admin_say3("command info get");

    (void)state;
    assert_non_null(strstr(answer, "~2\r\n+readonly\r\n+fast\r\n"));
    assert_non_null(strstr(answer, "%3\r\n$5\r\nflags\r\n~2\r\n+RO\r\n"));
    free(answer);
    answer = admin_say3("command docs get");
    assert_non_null(strstr(answer, "%1\r\n$3\r\nget\r\n%5\r\n$7\r\nsummary\r\n"));
    free(answer);
}

static void command_docs_has_words_nested_as_redis_nests_them(void **state)
{
    (void)state;
    admin_tells("command docs get", "*10\r\n$7\r\nsummary\r\n");
    admin_tells("command docs get", "$9\r\narguments\r\n*1\r\n*6\r\n$4\r\nname\r\n$3\r\nkey\r\n"
                                    "$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n");
    admin_tells("command docs set",
                "$9\r\ncondition\r\n$4\r\ntype\r\n$5\r\noneof\r\n$5\r\nflags\r\n*1\r\n+optional"
                "\r\n$9\r\narguments\r\n*2\r\n*6\r\n$4\r\nname\r\n$2\r\nnx\r\n$4\r\ntype\r\n"
                "$10\r\npure-token\r\n$5\r\ntoken\r\n$2\r\nNX\r\n");
    admin_tells("command docs mset", "$9\r\nkey_value\r\n$4\r\ntype\r\n$5\r\nblock\r\n$5\r\n"
                                     "flags\r\n*1\r\n+multiple\r\n");
    admin_tells("command docs client|kill", "$6\r\nyes/no\r\n$4\r\ntype\r\n$6\r\nstring\r\n");
    admin_tells("command docs config", "$11\r\nsubcommands\r\n*10\r\n$10\r\nconfig|get\r\n");
    admin_says("command docs nosuch", "*0|");
}

/* Each of all, in both protocols: their words are well-formed, or an assertion says which is not.
 */
static void command_tells_all_of_them(void **state)
{
    (void)state;
    char *all = admin_say("command");
    char *info = admin_say("command info");
    char *docs = admin_say3("command docs");
    char *count = admin_say("command count");
    char *list = admin_say("command list");

    assert_string_equal(all, info);
    assert_int_equal(strtol(all + 1, NULL, 10), strtol(count + 1, NULL, 10));
    assert_int_equal(strtol(docs + 1, NULL, 10), strtol(count + 1, NULL, 10));
    assert_int_equal(strtol(list + 1, NULL, 10), strtol(count + 1, NULL, 10));
    assert_true(strtol(count + 1, NULL, 10) > 80);
    free(all);
    free(info);
    free(docs);
    free(count);
    free(list);
}

static void command_list_filters(void **state)
{
    (void)state;
    admin_says("command list filterby pattern LASTS*", "*1|$8|lastsave|");
    admin_says("command list filterby aclcat nosuch", "*0|");
    admin_says("command list filterby module x", "*0|");
    admin_tells("command list filterby aclcat transaction", "$5\r\nmulti\r\n");
    admin_says("command list filterby foo bar", "-ERR syntax error|");
    admin_says("command list foo", "-ERR syntax error|");
}

static void command_finds_keys_among_words(void **state)
{
    (void)state;
    admin_says("command getkeys get a", "*1|$1|a|");
    admin_says("command getkeys mset a 1 b 2", "*2|$1|a|$1|b|");
    admin_says("command getkeys del a b c", "*3|$1|a|$1|b|$1|c|");
    admin_says("command getkeys memory usage k", "*1|$1|k|");
    admin_says("command getkeys foo bar", "-ERR Invalid command specified|");
    admin_says("command getkeys get a b",
               "-ERR Invalid number of arguments specified for command|");
    admin_says("command getkeys ping x", "-ERR The command has no key arguments|");
    admin_says("command getkeysandflags rename a b",
               "*2|*2|$1|a|*3|+RW|+access|+delete|*2|$1|b|*2|+OW|+update|");
    admin_says("command getkeysandflags set a b", "*1|*2|$1|a|*2|+OW|+update|");
    admin_says("command getkeysandflags set a b get", "*1|*2|$1|a|*3|+RW|+access|+update|");
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void every_row_is_whole(void **state)
{
    static const char *const groups =
        " bitmap cluster connection generic geo hash hyperloglog list "
        "module pubsub scripting sentinel server set sorted-set "
        "stream string transactions ";
    const struct resp_command *row;

    (void)state;
    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        char group[32];
        assert_non_null(row->function);
        assert_int_not_equal(row->arity, 0);
        assert_true(row->summary[0] != '\0' && row->since[0] != '\0');
        assert_true(row->categories[0] == '@');
        (void)snprintf(group, sizeof group, " %s ", row->group);
        if (strstr(groups, group) == NULL) {
            fail_msg("%s is of the group %s", row->name, row->group);
        }
        assert_int_equal(row->first_key == 0, row->key_step == 0);
        if (row->first_key != 0 && resp_command_form(row->name)->key_flags[0][0] == '\0') {
            fail_msg("nothing says what %s does to its keys", row->name);
        }
        if (row->arity > 1 && strchr(row->name, '|') == NULL &&
            resp_command_form(row->name)->words[0] == '\0') {
            fail_msg("nothing says which words %s takes", row->name);
        }
    }
}

/* ---- docs/resp.md --------------------------------------------------------------------------- */

/* A row "| `config get` | yes | … |": the name with a bar, and whether it says yes. */
static bool read_row(const char *line, char name[64], bool *ret_is_here)
{
    char verdict[8] = "";
    char text[64] = "";

    if (sscanf(line, "| `%63[a-z_.| -]` | %7[a-z] |", text, verdict) != 2) {
        return false;
    }
    (void)snprintf(name, 64, "%s", text);
    for (char *at = name; *at != '\0'; at++) {
        *at = *at == ' ' ? '|' : *at;
    }
    *ret_is_here = strcmp(verdict, "yes") == 0;
    return *ret_is_here || strcmp(verdict, "no") == 0; /* else it is of another table */
}

static const struct resp_command *find_row(const char *name)
{
    const struct resp_command *row;

    for (size_t i = 0; (row = resp_command_at(i)) != NULL; i++) {
        if (strcmp(row->name, name) == 0) {
            return row;
        }
    }
    return NULL;
}

/* Commands without their subcommands: what redis-server 7.0.15 lists. */
#define REDIS_COMMAND_COUNT 240

static void the_page_has_every_command_and_says_the_truth(void **state)
{
    FILE *page = fopen(QUARRY_RESP_PAGE, "r");
    char line[1024], name[64];
    bool is_here, is_told[512] = {false};
    size_t of_redis = 0;

    (void)state;
    assert_non_null(page);
    while (fgets(line, sizeof line, page) != NULL) {
        if (!read_row(line, name, &is_here)) {
            continue;
        }
        const struct resp_command *row = find_row(name);
        if (is_here != (row != NULL)) {
            fail_msg("docs/resp.md is wrong on %s", name);
        }
        if (row != NULL) {
            is_told[row - resp_command_at(0)] = true;
        } else if (strchr(name, '|') == NULL &&
                   resp_unsupported((struct quarry_kv_slice){name, strlen(name)}) == NULL) {
            fail_msg("%s is not told that there is no such group here", name);
        }
        of_redis += strchr(name, '|') == NULL && strncmp(name, "kv.", 3) != 0 &&
                            strcmp(name, "waitaof") != 0
                        ? 1
                        : 0;
    }
    (void)fclose(page);
    assert_int_equal(of_redis, REDIS_COMMAND_COUNT);
    for (size_t i = 0; resp_command_at(i) != NULL; i++) {
        if (!is_told[i]) {
            fail_msg("docs/resp.md has no %s", resp_command_at(i)->name);
        }
    }
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_set_up, admin_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(command_info_has_redis_shape),
        TEST(command_in_resp3_has_sets_and_maps),
        TEST(command_docs_has_words_nested_as_redis_nests_them),
        TEST(command_tells_all_of_them),
        TEST(command_list_filters),
        TEST(command_finds_keys_among_words),
        cmocka_unit_test(every_row_is_whole),
        cmocka_unit_test(the_page_has_every_command_and_says_the_truth),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
