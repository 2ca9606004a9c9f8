/*
 * Who is measured: Quarry's library, which lies beside this program, and those of the system, which
 * the loader finds by name. Whether a library is there is not asked here: a child that was started
 * with it looks where its malloc lies (bench/subject.h).
 */
#include <bench/malloc/subject.h>

#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>

static const struct bench_subject subjects[BENCH_MALLOC_SUBJECTS] = {
    {"quarry", BENCH_MALLOC, "libquarry-malloc.so", NULL, "libquarry-malloc"},
    {"glibc", BENCH_MALLOC, NULL, "libc6", "libc.so"},
    {"jemalloc", BENCH_MALLOC, "libjemalloc.so.2", "libjemalloc2", "libjemalloc"},
    {"mimalloc", BENCH_MALLOC, "libmimalloc.so.2", "libmimalloc2.0", "libmimalloc"},
    {"tcmalloc", BENCH_MALLOC, "libtcmalloc_minimal.so.4", "libtcmalloc-minimal4", "libtcmalloc"},
    {"tbbmalloc", BENCH_MALLOC, "libtbbmalloc_proxy.so.2", "libtbbmalloc2", "libtbbmalloc"},
};

const struct bench_subject *bench_malloc_subject_at(size_t index)
{
    Q_ASSERT(index < BENCH_MALLOC_SUBJECTS);
    return &subjects[index];
}

const struct bench_subject *bench_malloc_subject_find(const char *name)
{
    for (size_t i = 0; i < BENCH_MALLOC_SUBJECTS; i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            return &subjects[i];
        }
    }
    return NULL;
}

bool bench_malloc_subject_is_usual(size_t index)
{
    return strcmp(bench_malloc_subject_at(index)->name, "tbbmalloc") != 0;
}

const char *bench_malloc_subject_preload(const struct bench_subject *subject)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    if (subject != &subjects[BENCH_QUARRY]) {
        return subject->preload;
    }
    if (path[0] == '\0') {
        bench_child_beside("lib/libquarry-malloc.so", path);
    }
    /* Installed, it may lie in the folder that the distribution has for its architecture. */
    if (access(path, R_OK) != 0) {
        bench_child_beside(QUARRY_LIBRARY_DIR "/libquarry-malloc.so", path);
    }
    return path;
}
