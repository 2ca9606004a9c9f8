/*
 * Reads layers.txt. Two passes over the lines: the first collects the folders, so that the second
 * may resolve every name on the right-hand sides whatever the order. A folder that can reach itself
 * lies on a cycle. With at most 32 folders the plainest closure will do.
 */
#include "layers/layers.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\n"

/* Calls `visit` for each line that is neither empty nor a comment, without its comment. */
typedef void line_visitor(struct layers_rules *rules, struct layers_report *report, char *text,
                          unsigned line);

static const char form_rule[] = "a line is `folder: others` or `door folder file users`";

int layers_folder_find(const struct layers_rules *rules, const char *name, size_t length)
{
    for (unsigned i = 0; i < rules->folder_count; i++) {
        if (strlen(rules->folders[i].name) == length &&
            memcmp(rules->folders[i].name, name, length) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool is_door_line(const char *text)
{
    return strncmp(text, "door", 4) == 0 && strspn(text + 4, BLANKS) > 0;
}

static void for_each_line(FILE *file, struct layers_rules *rules, struct layers_report *report,
                          line_visitor *visit)
{
    char *text = NULL;
    size_t capacity = 0;
    rewind(file);
    for (unsigned line = 1; getline(&text, &capacity, file) >= 0; line++) {
        text[strcspn(text, "#\r\n")] = '\0';
        char *begin = text + strspn(text, BLANKS);
        if (*begin != '\0') {
            visit(rules, report, begin, line);
        }
    }
    free(text);
}

/* First pass: the names left of the colons. */
static void collect_folder(struct layers_rules *rules, struct layers_report *report, char *text,
                           unsigned line)
{
    if (is_door_line(text)) {
        return;
    }
    const size_t length = strcspn(text, ":" BLANKS);
    const char *colon = text + length + strspn(text + length, BLANKS);
    if (*colon != ':' || length == 0 || length >= LAYERS_NAME_BYTES) {
        layers_find(report, rules->path, line, "not a rule", form_rule, "correct the line");
        return;
    }
    if (layers_folder_find(rules, text, length) >= 0) {
        layers_find(report, rules->path, line, "this folder already has a line",
                    "one line a folder", "join the two lines");
        return;
    }
    if (rules->folder_count == LAYERS_FOLDER_MAX) {
        layers_find(report, rules->path, line, "too many folders", "at most LAYERS_FOLDER_MAX",
                    "join folders, or widen the mask in tests/layers/layers.h");
        return;
    }
    struct layers_folder *folder = &rules->folders[rules->folder_count++];
    memcpy(folder->name, text, length);
    folder->line = line;
    const char *others = colon + 1 + strspn(colon + 1, BLANKS);
    snprintf(folder->others, sizeof folder->others, "%s", others);
}

/* The folders named in `names`, which strtok_r may cut. `tests` is a name only for doors. */
static uint32_t resolve_names(const struct layers_rules *rules, struct layers_report *report,
                              char *names, unsigned line, bool tests_too)
{
    uint32_t mask = 0;
    char *rest = NULL;
    for (char *name = strtok_r(names, BLANKS, &rest); name != NULL;
         name = strtok_r(NULL, BLANKS, &rest)) {
        const int index = layers_folder_find(rules, name, strlen(name));
        if (index >= 0) {
            mask |= UINT32_C(1) << index;
        } else if (!tests_too || strcmp(name, "tests") != 0) {
            char what[128];
            snprintf(what, sizeof what, "'%.80s' has no line of its own", name);
            layers_find(report, rules->path, line, what, "every folder has a line",
                        "add the line, or correct the name");
        }
    }
    return mask;
}

static void read_door(struct layers_rules *rules, struct layers_report *report, char *text,
                      unsigned line)
{
    char *rest = NULL;
    (void)strtok_r(text, BLANKS, &rest); /* the word `door` */
    const char *folder = strtok_r(NULL, BLANKS, &rest);
    const char *file = strtok_r(NULL, BLANKS, &rest);
    if (folder == NULL || file == NULL || rest == NULL || rest[strspn(rest, BLANKS)] == '\0' ||
        layers_folder_find(rules, folder, strlen(folder)) < 0 ||
        strlen(file) >= LAYERS_NAME_BYTES || rules->door_count == LAYERS_DOOR_MAX) {
        layers_find(report, rules->path, line, "not a door", form_rule, "correct the line");
        return;
    }
    struct layers_door *door = &rules->doors[rules->door_count++];
    snprintf(door->path, sizeof door->path, "%s/%s", folder, file);
    door->line = line;
    door->users = resolve_names(rules, report, rest, line, true);
}

/* Second pass: what stands right of the colons, and the doors. */
static void resolve_line(struct layers_rules *rules, struct layers_report *report, char *text,
                         unsigned line)
{
    if (is_door_line(text)) {
        read_door(rules, report, text, line);
        return;
    }
    const int index = layers_folder_find(rules, text, strcspn(text, ":" BLANKS));
    char *colon = strchr(text, ':');
    if (index >= 0 && colon != NULL && rules->folders[index].line == line) {
        rules->folders[index].may_use = resolve_names(rules, report, colon + 1, line, false);
    }
}

/* Every folder that can be reached from `from` in one step or more. */
static uint32_t reachable_from(const struct layers_rules *rules, unsigned from)
{
    uint32_t reached = rules->folders[from].may_use;
    for (unsigned round = 0; round < rules->folder_count; round++) {
        for (unsigned i = 0; i < rules->folder_count; i++) {
            if ((reached >> i & 1) != 0) {
                reached |= rules->folders[i].may_use;
            }
        }
    }
    return reached;
}

static void check_cycles(const struct layers_rules *rules, struct layers_report *report)
{
    for (unsigned i = 0; i < rules->folder_count; i++) {
        if ((reachable_from(rules, i) >> i & 1) != 0) {
            char what[128];
            snprintf(what, sizeof what, "'%s' lies on a cycle", rules->folders[i].name);
            layers_find(report, rules->path, rules->folders[i].line, what,
                        "a folder uses only folders below it",
                        "move what both sides need into a folder below them");
        }
    }
}

void layers_rules_read(const char *path, struct layers_report *report,
                       struct layers_rules *ret_rules)
{
    memset(ret_rules, 0, sizeof *ret_rules);
    ret_rules->path = path;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        layers_find(report, path, 0, strerror(errno), "the rules are readable", "check the path");
        return;
    }
    for_each_line(file, ret_rules, report, collect_folder);
    for_each_line(file, ret_rules, report, resolve_line);
    fclose(file);
    check_cycles(ret_rules, report);
}
