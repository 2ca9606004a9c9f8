/*
 * The parent's side of a measurement: a line for the child, numbers from it.
 */
#include <bench/cache/ask.h>

#include <inttypes.h>
#include <stdio.h>

#include <base/base.h>

#include <bench/child.h>

#define MAXIMUM_TIMES 3u
/* "18446744073709551615" and its NUL. */
#define NUMBER_BYTES 21u

const char *bench_load_quarry(void)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    if (path[0] == '\0') {
        bench_child_beside("bin/quarry", path);
    }
    return path;
}

bool bench_load_ask(const struct bench_load_question *question, uint64_t *ret_numbers)
{
    char seconds[NUMBER_BYTES];
    char given[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    const char *argv[] = {bench_child_program(),
                          question->bench,
                          bench_server_name(question->kind),
                          bench_load_quarry(),
                          question->row->name,
                          question->is_quick ? "1" : "0",
                          seconds,
                          given,
                          question->parent, /* NULL ends them here */
                          NULL};

    (void)snprintf(seconds, sizeof seconds, "%" PRIu64, question->seconds);
    (void)snprintf(given, sizeof given, "%" PRIu64, question->given);
    return bench_child_run(argv, NULL, false, output) == 0 &&
           bench_child_numbers(output, ret_numbers, BENCH_LOAD_NUMBERS);
}

uint64_t bench_load_ask_maximum(const struct bench_load_question *question)
{
    uint64_t times = question->is_quick ? 1 : MAXIMUM_TIMES;
    uint64_t maximum = 0;

    Q_ASSERT(question->row->kind == BENCH_LOAD_CLOSED);
    for (uint64_t n = 0; n < times; n++) {
        uint64_t numbers[BENCH_LOAD_NUMBERS];
        if (!bench_load_ask(question, numbers) || numbers[CLOSED_WALL_NS] == 0) {
            return 0;
        }
        double rate = (double)numbers[CLOSED_OPERATIONS] * (double)Q_SECOND_NS /
                      (double)numbers[CLOSED_WALL_NS];
        maximum = size_max_u64(maximum, (uint64_t)rate);
    }
    return maximum;
}

bool bench_load_has_strace(void)
{
    const char *argv[] = {"strace", "-V", NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, NULL, true, output) == 0;
}
