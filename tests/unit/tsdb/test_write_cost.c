/*
 * What reading a known series costs: instructions of a child, counted one by one.
 *
 * The child stops, reads a request, and stops again; between the stops it is stepped. The same
 * child reads a request of half as many series, and the difference is that of the series alone.
 */
#include "unit/tsdb/wire_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERIES_MAX 400u
/* Instructions for a series of eight labels and one sample. */
#define INSTRUCTIONS_MAX 60u

/* A request of series with eight labels and one sample each, every third one 0, of a few scrapes.
 */
static struct tsdb_slice make_request(size_t series_count)
{
    static const char *const names[] = {"__name__", "arch",   "hostname", "os",
                                        "rack",     "region", "service",  "team"};
    Quarry__Write__WriteRequest request = QUARRY__WRITE__WRITE_REQUEST__INIT;

    request.n_series = series_count;
    request.series = wire_rig_take(series_count * sizeof(void *));
    for (size_t i = 0; i < series_count; i++) {
        Quarry__Write__TimeSeries *series = wire_rig_take(sizeof *series);
        quarry__write__time_series__init(series);
        series->n_labels = COUNT_OF(names);
        series->labels = wire_rig_take(sizeof(void *) * COUNT_OF(names));
        for (size_t j = 0; j < COUNT_OF(names); j++) {
            char value[32];
            series->labels[j] = wire_rig_take(sizeof **series->labels);
            quarry__write__label__init(series->labels[j]);
            snprintf(value, sizeof value, "value_%zu", i * (j + 1) % 1000);
            series->labels[j]->name = data_of_text(names[j]);
            series->labels[j]->value = data_of_text(value);
        }
        series->n_samples = 1;
        series->samples = wire_rig_take(sizeof(void *));
        series->samples[0] = wire_rig_take(sizeof **series->samples);
        quarry__write__sample__init(series->samples[0]);
        series->samples[0]->value = i % 3 == 0 ? 0 : (double)i;
        series->samples[0]->t_ms = (int64_t)(1700000000000 + i / 100);
        request.series[i] = series;
    }
    uint8_t *bytes = wire_rig_take(quarry__write__write_request__get_packed_size(&request));
    return (struct tsdb_slice){(const char *)bytes,
                               quarry__write__write_request__pack(&request, bytes)};
}

/* Reads all of it, as who knows every series would. */
static uint64_t read_all(struct tsdb_slice body)
{
    struct tsdb_write_reader reader = tsdb_write_reader_of(body);
    struct tsdb_write_series series;
    uint64_t sum = 0;

    while (tsdb_write_next_series(&reader, &series, NULL) == QUARRY_OK) {
        sum += series.sample.bits + series.labels.count;
    }
    return sum;
}

static void wait_for_stop(pid_t child)
{
    int how;

    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSTOPPED(how));
}

/* How many instructions it takes to read a body, and to stop. */
static uint64_t count_instructions(struct tsdb_slice body)
{
    volatile uint64_t kept = read_all(body); /* everything is mapped and bound by now */
    uint64_t count = 0;
    int how = 0;

    (void)kept;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) {
            _exit(77);
        }
        raise(SIGUSR1);
        kept = read_all(body);
        raise(SIGUSR2);
        _exit(0);
    }
    wait_for_stop(child);
    while (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) == 0 && waitpid(child, &how, 0) == child &&
           WIFSTOPPED(how) && WSTOPSIG(how) == SIGTRAP) {
        count++;
    }
    assert_true(WIFSTOPPED(how) && WSTOPSIG(how) == SIGUSR2);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &how, 0), child);
    return count;
}

static void a_known_series_costs_sixty_instructions_at_most(void **state)
{
    const uint64_t of_half = count_instructions(make_request(SERIES_MAX / 2));
    const uint64_t of_all = count_instructions(make_request(SERIES_MAX));
    const uint64_t of_one = (of_all - of_half) / (SERIES_MAX / 2);

    (void)state;
    print_message("%llu instructions a series\n", (unsigned long long)of_one);
    assert_in_range(of_one, 1, INSTRUCTIONS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_known_series_costs_sixty_instructions_at_most,
                                  wire_rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
