/*
 * The include checker: reads layers.txt and says which #include lines break it.
 *
 * Not part of Quarry's libraries. One thread; allocates only what getline and fts need.
 */
#ifndef QUARRY_TESTS_LAYERS_H
#define QUARRY_TESTS_LAYERS_H

#include <stdint.h>
#include <stdio.h>

/* A set of folders is a 32-bit mask. Doubling it means a 64-bit mask, and a design to think over.
 */
#define LAYERS_FOLDER_MAX 32
#define LAYERS_DOOR_MAX   32
#define LAYERS_NAME_BYTES 32
#define LAYERS_PATH_BYTES 4096

/* A line `folder: others`. */
struct layers_folder {
    char name[LAYERS_NAME_BYTES];
    unsigned line;     /* in layers.txt, from 1 */
    uint32_t may_use;  /* bit i: folders[i] */
    char others[1024]; /* the right-hand side as written, for messages */
};

/* A line `door folder file users`. */
struct layers_door {
    char path[2 * LAYERS_NAME_BYTES]; /* "os/os_sim.h" */
    unsigned line;
    uint32_t users; /* bit i: folders[i]; `tests` has no bit, for tests are not checked */
};

struct layers_rules {
    const char *path; /* borrow: layers.txt, for messages */
    struct layers_folder folders[LAYERS_FOLDER_MAX];
    unsigned folder_count;
    struct layers_door doors[LAYERS_DOOR_MAX];
    unsigned door_count;
};

/* Where findings go, and how many there were. */
struct layers_report {
    FILE *out; /* borrow */
    unsigned finding_count;
};

/*
 * Prints one finding: "file:line: what", then the rule that it breaks and what to do about it.
 * `line` 0 leaves the number out.
 */
void layers_find(struct layers_report *report, const char *file, unsigned line, const char *what,
                 const char *rule, const char *remedy);

/*
 * Reads `path` into `ret_rules`, which borrows `path`. Malformed lines, names without a line of
 * their own, names said twice and cycles are findings.
 */
void layers_rules_read(const char *path, struct layers_report *report,
                       struct layers_rules *ret_rules);

/* The index of the folder whose name is the first `length` bytes of `name`, or -1. */
int layers_folder_find(const struct layers_rules *rules, const char *name, size_t length);

/* Checks every source file of the tree at `root`: src/, the folders beside it, include/quarry/. */
void layers_tree_check(const char *root, const struct layers_rules *rules,
                       struct layers_report *report);

#endif
