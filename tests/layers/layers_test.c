/*
 * The include checker on planted trees: each breach gives the finding it should, at its file and
 * line, and what is allowed gives none.
 */
#include "layers/layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char plain_rules[] = "base:\n"
                                  "os: base\n"
                                  "page: base os\n"
                                  "door os os_sim.h tests\n"
                                  "door os os_raw.h page\n";

/* A tree in a temporary folder, and what the checker said about it. */
struct tree {
    char root[64];
    char rules_path[128];
    char *said;
    size_t said_bytes;
    unsigned finding_count;
};

/* ---- planting ------------------------------------------------------------------------------- */

static void make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
}

static void plant(const struct tree *tree, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", tree->root, name);
    make_folders(path);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct tree *tree = calloc(1, sizeof *tree);
    assert_non_null(tree);
    snprintf(tree->root, sizeof tree->root, "/tmp/layers_test.XXXXXX");
    assert_non_null(mkdtemp(tree->root));
    snprintf(tree->rules_path, sizeof tree->rules_path, "%s/layers.txt", tree->root);
    plant(tree, "layers.txt", plain_rules);
    plant(tree, "src/base/base.h", "#include <quarry/status.h>\n");
    plant(tree, "include/quarry/status.h", "#include <quarry/export.h>\n#include <stdint.h>\n");
    *state = tree;
    return 0;
}

static int tear_down(void **state)
{
    struct tree *tree = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", tree->root);
    const int status = system(command); // NOLINT(cert-env33-c): a path from mkdtemp
    free(tree->said);
    free(tree);
    return status;
}

/* ---- judging -------------------------------------------------------------------------------- */

static void judge(struct tree *tree)
{
    free(tree->said);
    FILE *out = open_memstream(&tree->said, &tree->said_bytes);
    assert_non_null(out);
    struct layers_report report = {.out = out};
    struct layers_rules rules;
    layers_rules_read(tree->rules_path, &report, &rules);
    layers_tree_check(tree->root, &rules, &report);
    assert_int_equal(fclose(out), 0);
    tree->finding_count = report.finding_count;
}

static void expect_peace(struct tree *tree)
{
    judge(tree);
    assert_string_equal(tree->said, "");
    assert_int_equal(tree->finding_count, 0);
}

/* One finding, whose text begins with `begin` and contains `verdict`. */
static void expect_finding(struct tree *tree, const char *begin, const char *verdict)
{
    judge(tree);
    if (strncmp(tree->said, begin, strlen(begin)) != 0 || strstr(tree->said, verdict) == NULL) {
        fail_msg("expected '%s ... %s', got: %s", begin, verdict, tree->said);
    }
    assert_int_equal(tree->finding_count, 1);
}

/* ---- what is allowed ------------------------------------------------------------------------ */

static void includes_of_lower_doors_pass(void **state)
{
    plant(*state, "src/page/lane.c",
          "#include \"page/lane.h\"\n#include <base/base.h>\n#include \"os/os.h\"\n");
    expect_peace(*state);
}

static void includes_inside_a_folder_are_free(void **state)
{
    plant(*state, "src/page/sub/deep.h", "");
    plant(*state, "src/page/a.c",
          "#include \"page/sub/deep.h\"\n#include \"sub/deep.h\"\n#include \"a.h\"\n");
    expect_peace(*state);
}

static void outside_libraries_are_free(void **state)
{
    plant(*state, "src/os/map.c", "#include <sys/mman.h>\n#include <isa-l/crc.h>\n");
    expect_peace(*state);
}

static void includes_in_comments_do_not_count(void **state)
{
    plant(*state, "src/os/a.c",
          "/* see\n#include \"page/page.h\"\n*/\n// #include \"page/page.h\"\n"
          "const char *t = \"/*\"; /* '\"' */\n#include <base/base.h> /* why */\n");
    expect_peace(*state);
}

static void a_second_door_is_open_to_its_users(void **state)
{
    plant(*state, "src/page/a.c", "#include <os/os_raw.h>\n");
    expect_peace(*state);
}

static void folders_that_do_not_exist_yet_are_allowed(void **state)
{
    plant(*state, "layers.txt", "base:\nkv: base\n");
    expect_peace(*state);
}

static void files_that_are_no_source_are_not_read(void **state)
{
    plant(*state, "src/os/README.md", "#include \"page/page.h\"\n");
    plant(*state, "src/CMakeLists.txt", "# x\n");
    expect_peace(*state);
}

/* ---- what is not ---------------------------------------------------------------------------- */

static void an_upward_include_is_found(void **state)
{
    plant(*state, "src/os/a.c", "\n#  include <page/page.h>\n");
    expect_finding(*state, "src/os/a.c:2: includes 'page/page.h'", "layers.txt:2 says `os: base`");
}

static void an_include_after_a_comment_on_its_line_is_found(void **state)
{
    plant(*state, "src/os/a.c", "/* x */ #include <page/page.h>\n");
    expect_finding(*state, "src/os/a.c:1:", "may not use that folder");
}

static void a_side_door_is_found(void **state)
{
    plant(*state, "src/page/a.h", "#include \"os/futex.h\"\n");
    expect_finding(*state, "src/page/a.h:1: includes 'os/futex.h'",
                   "entered by their door, <os/os.h>");
}

static void a_door_for_tests_is_closed_to_sources(void **state)
{
    plant(*state, "src/page/a.c", "#include <os/os_sim.h>\n");
    expect_finding(*state, "src/page/a.c:1:", "not open to the folder");
}

static void a_second_door_is_closed_to_others(void **state)
{
    plant(*state, "src/base/a.c", "#include <os/os_raw.h>\n");
    expect_finding(*state, "src/base/a.c:1:", "not open to the folder");
}

static void a_cycle_in_the_rules_is_found_on_each_of_its_lines(void **state)
{
    struct tree *tree = *state;
    plant(tree, "layers.txt", "base: page\nos: base\npage: os\nmem: base\n");
    judge(tree);
    assert_int_equal(tree->finding_count, 3);
    assert_non_null(strstr(tree->said, "layers.txt:1: 'base' lies on a cycle"));
    assert_non_null(strstr(tree->said, "layers.txt:3: 'page' lies on a cycle"));
    assert_null(strstr(tree->said, "'mem'"));
}

static void a_folder_that_uses_itself_is_a_cycle(void **state)
{
    struct tree *tree = *state;
    plant(tree, "layers.txt", "base: base\n");
    judge(tree);
    assert_int_equal(tree->finding_count, 1);
    assert_non_null(strstr(tree->said, "'base' lies on a cycle"));
}

static void a_folder_without_a_line_is_found(void **state)
{
    plant(*state, "src/newcomer/newcomer.h", "");
    expect_finding(*state, "src/newcomer: a folder without a line", "add the line");
}

static void a_source_file_outside_every_folder_is_found(void **state)
{
    plant(*state, "src/stray.c", "");
    expect_finding(*state, "src/stray.c: a source file outside", "move it into a folder");
}

static void a_path_that_climbs_is_found(void **state)
{
    plant(*state, "src/page/a.c", "#include \"../os/os.h\"\n");
    expect_finding(*state, "src/page/a.c:1:", "climbs with '..'");
}

static void a_quoted_path_to_nowhere_is_found(void **state)
{
    plant(*state, "src/page/a.c", "#include \"nowhere/x.h\"\n");
    expect_finding(*state, "src/page/a.c:1:", "names no folder of layers.txt");
}

static void an_include_of_a_macro_is_found(void **state)
{
    plant(*state, "src/page/a.c", "#include HEADER\n");
    expect_finding(*state, "src/page/a.c:1:", "not a path that can be checked");
}

static void a_public_header_that_looks_inside_is_found(void **state)
{
    plant(*state, "include/quarry/memory.h", "#include <sys/types.h>\n#include <page/page.h>\n");
    expect_finding(*state, "include/quarry/memory.h:2:", "not a public header");
}

static void a_folder_beside_src_is_checked(void **state)
{
    plant(*state, "layers.txt", "base:\nos: base\nbench: base\n");
    plant(*state, "bench/a.c", "#include <os/os.h>\n");
    expect_finding(*state, "bench/a.c:1:", "`bench: base`");
}

/* ---- rules that make no sense --------------------------------------------------------------- */

static void malformed_lines_are_found(void **state)
{
    static const char *const lines[] = {"base:\nnonsense\n",      "base:\n: base\n",
                                        "base:\nbase:\n",         "base:\nos: bse\n",
                                        "base:\ndoor base x.h\n", "base:\ndoor nobody x.h base\n",
                                        "base: tests\n"};
    struct tree *tree = *state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        plant(tree, "layers.txt", lines[i]);
        judge(tree);
        assert_int_equal(tree->finding_count, 1);
    }
}

static void too_many_folders_are_found(void **state)
{
    struct tree *tree = *state;
    char text[1024] = "base:\n";
    for (int i = 1; i <= LAYERS_FOLDER_MAX; i++) {
        const size_t length = strlen(text);
        snprintf(text + length, sizeof text - length, "folder%d: base\n", i);
    }
    plant(tree, "layers.txt", text);
    expect_finding(tree, tree->rules_path, "too many folders");
}

static void rules_that_cannot_be_read_are_found(void **state)
{
    struct tree *tree = *state;
    assert_int_equal(unlink(tree->rules_path), 0);
    judge(tree);
    assert_non_null(strstr(tree->said, "No such file"));
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(includes_of_lower_doors_pass),
        T(includes_inside_a_folder_are_free),
        T(outside_libraries_are_free),
        T(includes_in_comments_do_not_count),
        T(a_second_door_is_open_to_its_users),
        T(folders_that_do_not_exist_yet_are_allowed),
        T(files_that_are_no_source_are_not_read),
        T(an_upward_include_is_found),
        T(an_include_after_a_comment_on_its_line_is_found),
        T(a_side_door_is_found),
        T(a_door_for_tests_is_closed_to_sources),
        T(a_second_door_is_closed_to_others),
        T(a_cycle_in_the_rules_is_found_on_each_of_its_lines),
        T(a_folder_that_uses_itself_is_a_cycle),
        T(a_folder_without_a_line_is_found),
        T(a_source_file_outside_every_folder_is_found),
        T(a_path_that_climbs_is_found),
        T(a_quoted_path_to_nowhere_is_found),
        T(an_include_of_a_macro_is_found),
        T(a_public_header_that_looks_inside_is_found),
        T(a_folder_beside_src_is_checked),
        T(malformed_lines_are_found),
        T(too_many_folders_are_found),
        T(rules_that_cannot_be_read_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
