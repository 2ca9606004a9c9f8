/*
 * Real programs under each library, by LD_PRELOAD.
 */
#ifndef QUARRY_BENCH_MALLOC_PROGRAMS_H
#define QUARRY_BENCH_MALLOC_PROGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <bench/subject.h>

struct bench_program {
    const char *name;
    const char *title;
    const char *tool;  /* which PATH must have */
    const char *input; /* a file that is made before it runs */
    void (*write_input)(FILE *file, uint64_t size);
    uint64_t full_size; /* for write_input, and $N in the lines */
    uint64_t quick_size;
    const char *line;   /* for sh, with the library, in the folder of the input */
    const char *driver; /* likewise, without it: the client of a server that `line` starts; NULL */
};

/* What a run used. */
struct bench_program_run {
    uint64_t wall_ns;
    uint64_t cpu_ns;         /* user and system, with the processes it waited for */
    uint64_t peak_rss_bytes; /* of the largest of its processes */
};

const struct bench_program *bench_programs(size_t *ret_count);
/* Whether its tool is in PATH. */
bool bench_program_is_installed(const struct bench_program *program);

/* A folder for inputs and outputs, empty. Returns: false when there can be none. */
bool bench_program_folder_make(char *path, size_t path_bytes);
void bench_program_folder_remove(const char *path);
/* Makes the input of a program. Returns: whether it is there. */
bool bench_program_prepare(const struct bench_program *program, const char *folder, bool is_quick);
/* Runs it once. Returns: whether it ended with 0. */
bool bench_program_run(const struct bench_program *program, const char *folder, bool is_quick,
                       const struct bench_subject *subject, struct bench_program_run *ret_run);

/* ---- inputs --------------------------------------------------------------------------------- */

/* Each writes an input of `size` units, the same every time. */
void bench_input_c(FILE *file, uint64_t functions);
void bench_input_words(FILE *file, uint64_t mib);
void bench_input_sql(FILE *file, uint64_t rows);
void bench_input_python(FILE *file, uint64_t records);
void bench_input_perl(FILE *file, uint64_t records);
void bench_input_git(FILE *file, uint64_t commits);
void bench_input_none(FILE *file, uint64_t size);

#endif
