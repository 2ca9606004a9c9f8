/*
 * Counting instructions by valgrind --tool=callgrind.
 *
 * It runs a program on a processor made of software and counts every instruction in user mode. What
 * it counted is in a file, in a line "totals: N"; the file is temporary.
 */
#include <bench/callgrind.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>

/* Words of a command line that is counted, its NULL too. */
#define WORDS_MAX 16u
/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u
/* The longer of two runs has so many times the steps of the shorter one. */
#define LONGER 3u

/* Finds "totals: N" in a callgrind file. */
static bool read_totals(const char *path, uint64_t *ret_count)
{
    char line[256];
    bool is_found = false;
    FILE *file = fopen(path, "re");

    if (file == NULL) {
        return false;
    }
    while (!is_found && fgets(line, sizeof line, file) != NULL) {
        is_found = strncmp(line, "totals: ", 8) == 0 && bench_child_numbers(line + 8, ret_count, 1);
    }
    (void)fclose(file);
    return is_found;
}

bool bench_child_callgrind(const char *const *argv, const char *preload, char *output,
                           uint64_t *ret_instruction_count)
{
    char path[] = "/tmp/quarry-bench.XXXXXX";
    char option[64];
    const char *words[WORDS_MAX] = {"valgrind", "--tool=callgrind", option};
    size_t count = 3;
    int fd = mkstemp(path);

    if (fd < 0) {
        return false;
    }
    (void)close(fd);
    (void)snprintf(option, sizeof option, "--callgrind-out-file=%s", path);
    for (const char *const *word = argv; *word != NULL; word++) {
        Q_ASSERT(count + 1 < WORDS_MAX);
        words[count++] = *word;
    }
    bool is_done = bench_child_run(words, preload, true, output) == 0 &&
                   read_totals(path, ret_instruction_count);
    (void)unlink(path);
    return is_done;
}

bool bench_child_callgrind_steps(const char **argv, size_t step_word, const char *preload,
                                 uint64_t step_count, double *ret_instructions)
{
    char steps[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t counted[2];

    Q_ASSERT(step_count > 0);
    argv[step_word] = steps;
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(steps, sizeof steps, "%" PRIu64, i == 0 ? step_count : LONGER * step_count);
        if (!bench_child_callgrind(argv, preload, output, &counted[i])) {
            return false;
        }
    }
    *ret_instructions =
        ((double)counted[1] - (double)counted[0]) / (double)((LONGER - 1) * step_count);
    return counted[1] > counted[0];
}

bool bench_child_has_valgrind(void)
{
    const char *argv[] = {"valgrind", "--version", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, NULL, true, output) == 0;
}
