/*
 * Walks the source tree and holds each #include to the rules.
 *
 * A file belongs to the folder right under src/, whatever its depth; a folder of layers.txt that is
 * not in src/ is looked for beside it. The public headers are a folder of their own, PUBLIC.
 */
#include "layers/layers.h"

#include <ctype.h>
#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PUBLIC = -1 };

/* One file on its way through the checks. */
struct scan {
    const struct layers_rules *rules;
    struct layers_report *report;
    const char *path;  /* as fts gives it: root included */
    const char *shown; /* `path` without the root */
    int folder;        /* index in the rules, or PUBLIC */
    unsigned line;
    bool in_comment;
};

/* ---- the rules of one include --------------------------------------------------------------- */

static void find_here(const struct scan *scan, const char *target, const char *verdict,
                      const char *rule, const char *remedy)
{
    char what[512];
    snprintf(what, sizeof what, "includes '%.200s': %s", target, verdict);
    layers_find(scan->report, scan->shown, scan->line, what, rule, remedy);
}

/* Whether `target`, a quoted path, names a file beside the including one. */
static bool is_beside(const struct scan *scan, const char *target)
{
    char path[LAYERS_PATH_BYTES];
    const char *slash = strrchr(scan->path, '/');
    const int folder_length = slash == NULL ? 0 : (int)(slash - scan->path) + 1;
    const int length = snprintf(path, sizeof path, "%.*s%s", folder_length, scan->path, target);
    return length > 0 && (size_t)length < sizeof path && access(path, F_OK) == 0;
}

static const struct layers_door *find_second_door(const struct layers_rules *rules,
                                                  const char *target)
{
    for (unsigned i = 0; i < rules->door_count; i++) {
        if (strcmp(rules->doors[i].path, target) == 0) {
            return &rules->doors[i];
        }
    }
    return NULL;
}

static void check_second_door(const struct scan *scan, const char *target,
                              const struct layers_door *door)
{
    if ((door->users >> scan->folder & 1) == 0) {
        char rule[128];
        snprintf(rule, sizeof rule, "line %u of layers.txt says who may use this door", door->line);
        find_here(scan, target, "this door is not open to the folder", rule,
                  "use the folder's own door");
    }
}

/* An include of another folder, `other`, from a file of src/. */
static void check_crossing(const struct scan *scan, const char *target, int other)
{
    const struct layers_folder *own = &scan->rules->folders[scan->folder];
    const struct layers_folder *theirs = &scan->rules->folders[other];
    const struct layers_door *door = find_second_door(scan->rules, target);
    char text[LAYERS_NAME_BYTES + sizeof own->others + 32];
    char door_path[2 * LAYERS_NAME_BYTES + 4];
    snprintf(door_path, sizeof door_path, "%s/%s.h", theirs->name, theirs->name);
    if (door != NULL) {
        check_second_door(scan, target, door);
    } else if ((own->may_use >> other & 1) == 0) {
        snprintf(text, sizeof text, "layers.txt:%u says `%s: %s`", own->line, own->name,
                 own->others);
        find_here(scan, target, "the folder may not use that folder", text,
                  "pass it in from above, or move what both need below them");
    } else if (strcmp(target, door_path) != 0) {
        snprintf(text, sizeof text, "folders are entered by their door, <%s>", door_path);
        find_here(scan, target, "a side door", text,
                  "include the door, and move the declaration there if it is missing");
    }
}

/* A path with a folder in it; `length` is that folder's part. */
static void check_path(const struct scan *scan, const char *target, size_t length, bool quoted)
{
    const int other = layers_folder_find(scan->rules, target, length);
    if (strncmp(target, "quarry/", 7) == 0) {
        return;
    }
    if (scan->folder == PUBLIC && (other >= 0 || quoted)) {
        find_here(scan, target, "not a public header",
                  "include/quarry includes <quarry/...> and the C library only",
                  "declare what is needed in a public header");
    } else if (other < 0 && quoted && !is_beside(scan, target)) {
        find_here(scan, target, "names no folder of layers.txt",
                  "quoted paths are Quarry's own, written from src/",
                  "add the folder to layers.txt, or write <...> for an outside library");
    } else if (other >= 0 && other != scan->folder) {
        check_crossing(scan, target, other);
    }
}

static void check_include(const struct scan *scan, const char *target, bool quoted)
{
    const size_t length = strcspn(target, "/");
    if (strncmp(target, "../", 3) == 0 || strstr(target, "/../") != NULL) {
        find_here(scan, target, "climbs with '..'", "paths are written from src/",
                  "write folder/file.h");
    } else if (target[length] == '/') {
        check_path(scan, target, length, quoted);
    }
}

/* ---- finding the includes of a file --------------------------------------------------------- */

/* Blanks out comments, in place. Strings and character constants are stepped over. */
static void blank_comments(struct scan *scan, char *text)
{
    char quote = '\0';
    for (char *at = text; *at != '\0'; at++) {
        if (scan->in_comment) {
            scan->in_comment = !(at[0] == '*' && at[1] == '/');
            if (!scan->in_comment) {
                *at++ = ' ';
            }
            *at = ' ';
        } else if (quote != '\0') {
            quote = *at == quote ? '\0' : quote;
            at += *at == '\\' && at[1] != '\0';
        } else if (at[0] == '/' && at[1] == '/') {
            *at = '\0';
            return;
        } else if (at[0] == '/' && at[1] == '*') {
            scan->in_comment = true;
            *at++ = ' ';
            *at = ' ';
        } else if (*at == '"' || *at == '\'') {
            quote = *at;
        }
    }
}

/* Cuts the path out of an #include line and checks it; other lines pass. */
static void check_line(struct scan *scan, char *text)
{
    blank_comments(scan, text);
    char *at = text + strspn(text, " \t");
    if (*at != '#') {
        return;
    }
    at += 1 + strspn(at + 1, " \t");
    if (strncmp(at, "include", 7) != 0 || isalnum((unsigned char)at[7]) || at[7] == '_') {
        return;
    }
    at += 7 + strspn(at + 7, " \t");
    char *end = *at == '"' ? strchr(at + 1, '"') : *at == '<' ? strchr(at, '>') : NULL;
    if (end == NULL) {
        find_here(scan, "?", "not a path that can be checked",
                  "an include is a \"path\" or a <path>", "spell the path out");
        return;
    }
    *end = '\0';
    check_include(scan, at + 1, *at == '"');
}

static void check_file(struct scan *scan)
{
    FILE *file = fopen(scan->path, "re");
    if (file == NULL) {
        layers_find(scan->report, scan->shown, 0, strerror(errno), "sources are readable",
                    "check the file");
        return;
    }
    char *text = NULL;
    size_t capacity = 0;
    for (scan->line = 1; getline(&text, &capacity, file) >= 0; scan->line++) {
        check_line(scan, text);
    }
    free(text);
    fclose(file);
}

/* ---- walking the tree ----------------------------------------------------------------------- */

static bool is_source(const char *path)
{
    static const char *const endings[] = {".c", ".h", ".cc", ".cpp", ".hpp", ".re", ".y", ".l"};
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof endings / sizeof *endings; i++) {
        if (strcmp(dot, endings[i]) == 0) {
            return true;
        }
    }
    return false;
}

static int by_name(const FTSENT **left, const FTSENT **right)
{
    return strcmp((*left)->fts_name, (*right)->fts_name);
}

/* Checks every source file under `start`, a path below `root`. Absent is fine. */
static void check_subtree(const char *root, const char *start, int folder,
                          const struct layers_rules *rules, struct layers_report *report)
{
    char path[LAYERS_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", root, start);
    char *const starts[] = {path, NULL};
    FTS *walk =
        access(path, F_OK) == 0 ? fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, by_name) : NULL;
    if (walk == NULL) {
        return;
    }
    for (FTSENT *entry = fts_read(walk); entry != NULL; entry = fts_read(walk)) {
        if (entry->fts_info == FTS_F && is_source(entry->fts_path)) {
            struct scan scan = {.rules = rules,
                                .report = report,
                                .path = entry->fts_path,
                                .shown = entry->fts_path + strlen(root) + 1,
                                .folder = folder};
            check_file(&scan);
        }
    }
    fts_close(walk);
}

/* R4: what lies right under src/ is a folder with a line, or no source. */
static void check_entry_of_src(const struct layers_rules *rules, struct layers_report *report,
                               const FTSENT *entry)
{
    char shown[LAYERS_PATH_BYTES];
    snprintf(shown, sizeof shown, "src/%s", entry->fts_name);
    const bool is_folder = entry->fts_info == FTS_D;
    if (is_folder && layers_folder_find(rules, entry->fts_name, entry->fts_namelen) < 0) {
        layers_find(report, shown, 0, "a folder without a line in layers.txt",
                    "every folder of src/ has a line", "decide what it may use and add the line");
    } else if (!is_folder && is_source(entry->fts_name)) {
        layers_find(report, shown, 0, "a source file outside every folder",
                    "every source file belongs to a layer", "move it into a folder");
    }
}

static void check_src(const char *root, const struct layers_rules *rules,
                      struct layers_report *report)
{
    char path[LAYERS_PATH_BYTES];
    snprintf(path, sizeof path, "%s/src", root);
    char *const starts[] = {path, NULL};
    FTS *walk = fts_open(starts, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    FTSENT *top = walk == NULL ? NULL : fts_read(walk);
    if (top == NULL || top->fts_info != FTS_D) {
        layers_find(report, path, 0, "not a folder", "ROOT is the top of the tree",
                    "check the argument");
    } else {
        for (FTSENT *entry = fts_children(walk, 0); entry != NULL; entry = entry->fts_link) {
            check_entry_of_src(rules, report, entry);
        }
    }
    if (walk != NULL) {
        fts_close(walk);
    }
}

void layers_tree_check(const char *root, const struct layers_rules *rules,
                       struct layers_report *report)
{
    check_src(root, rules, report);
    for (unsigned i = 0; i < rules->folder_count; i++) {
        char start[LAYERS_NAME_BYTES + 8];
        char path[LAYERS_PATH_BYTES];
        snprintf(start, sizeof start, "src/%s", rules->folders[i].name);
        snprintf(path, sizeof path, "%s/%s", root, start);
        const bool in_src = access(path, F_OK) == 0;
        check_subtree(root, in_src ? start : rules->folders[i].name, (int)i, rules, report);
    }
    check_subtree(root, "include", PUBLIC, rules, report);
}
