/*
 * Who is measured, and whether it is really they.
 *
 * A peer is a shared library put before the C library's by LD_PRELOAD, in a process of its own. The
 * loader treats a library it cannot find as a warning and goes on, and a sanitizer's runtime keeps
 * malloc for itself; so the process that measures looks up which mapping of /proc/self/maps its
 * `malloc` lies in, and compares that file's name with the subject's:
 *
 *   7f10a2a00000-7f10a2c80000 r-xp 00005000 fe:00 1234   /usr/lib/x86_64-linux-gnu/libjemalloc.so.2
 *   first        last                                    path: its last part must begin with
 *                                                        "libjemalloc"
 *
 * Asking whether the library is mapped at all was rejected: it may be, and not hold malloc.
 */
#include <bench/subject.h>

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

static const struct bench_subject subjects[BENCH_SUBJECT_COUNT] = {
    {"quarry", BENCH_PAGES, NULL, NULL, NULL},
    {"glibc", BENCH_MALLOC, NULL, "libc6", "libc.so"},
    {"jemalloc", BENCH_MALLOC, "libjemalloc.so.2", "libjemalloc2", "libjemalloc"},
    {"mimalloc", BENCH_MALLOC, "libmimalloc.so.2", "libmimalloc2.0", "libmimalloc"},
    {"tcmalloc", BENCH_MALLOC, "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "libtcmalloc"},
    {"mmap", BENCH_MMAP, NULL, NULL, NULL},
};

/* Longest line of /proc/self/maps that is read: its numbers, and a path of 4096 bytes. */
#define MAPS_LINE_BYTES 4352

const struct bench_subject *bench_subject_at(size_t index)
{
    Q_ASSERT(index < BENCH_SUBJECT_COUNT);
    return &subjects[index];
}

const struct bench_subject *bench_subject_find(const char *name)
{
    for (size_t i = 0; i < BENCH_SUBJECT_COUNT; i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            return &subjects[i];
        }
    }
    return NULL;
}

/* Reads the two numbers a line of maps begins with. */
static bool maps_line_holds(const char *line, uintptr_t address)
{
    char *end = NULL;
    uintptr_t first = strtoull(line, &end, 16);

    if (end == line || *end != '-') {
        return false;
    }
    return first <= address && address < strtoull(end + 1, NULL, 16);
}

/* Finds the file mapped where `address` is; false when there is none. */
static bool mapped_file(uintptr_t address, char *path, size_t path_bytes)
{
    char line[MAPS_LINE_BYTES];
    bool is_found = false;
    FILE *maps = fopen("/proc/self/maps", "re");

    if (maps == NULL) {
        return false;
    }
    while (!is_found && fgets(line, sizeof line, maps) != NULL) {
        char *slash = strchr(line, '/');
        if (slash != NULL && maps_line_holds(line, address)) {
            slash[strcspn(slash, "\n")] = '\0';
            (void)snprintf(path, path_bytes, "%s", slash);
            is_found = true;
        }
    }
    (void)fclose(maps);
    return is_found;
}

bool bench_subject_is_in_force(const struct bench_subject *subject, char *path, size_t path_bytes)
{
    Q_ASSERT(path_bytes > 0);
    path[0] = '\0';
    bool is_mapped = mapped_file((uintptr_t)malloc, path, path_bytes);

    if (subject->malloc_stem == NULL) {
        return true;
    }
    if (!is_mapped) {
        return false;
    }
    const char *slash = strrchr(path, '/');
    const char *file = slash == NULL ? path : slash + 1;
    return strncmp(file, subject->malloc_stem, strlen(subject->malloc_stem)) == 0;
}
