/*
 * Looks at resident memory: /proc/self/statm, by a descriptor that stays open.
 */
#include <bench/stories/looks.h>

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>
#include <bench/malloc/worker.h>

#define NUMBERS_MAX (STORIES_LOOK_HEAD_MAX + 2 * STORIES_LOOKS_MAX)

static uint64_t resident_kib(const struct stories_looker *looker)
{
    char text[128] = "";
    uint64_t page_kib = (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
    char *second = NULL;

    if (pread(looker->statm_fd, text, sizeof text - 1, 0) <= 0) {
        bench_worker_die("no /proc/self/statm");
    }
    (void)strtoull(text, &second, 10);
    return strtoull(second, NULL, 10) * page_kib;
}

void stories_looker_begin(struct stories_looker *looker, uint64_t every_ns)
{
    *looker = (struct stories_looker){
        .statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC),
        .begin_ns = os_monotonic_ns(os_real()),
        .every_ns = every_ns,
    };
    stories_look(looker);
}

void stories_look(struct stories_looker *looker)
{
    uint64_t now_ns = os_monotonic_ns(os_real());

    if (looker->count < STORIES_LOOKS_MAX) {
        looker->at_ms[looker->count] = (now_ns - looker->begin_ns) / Q_MS_NS;
        looker->resident_kib[looker->count++] = resident_kib(looker);
    }
    looker->next_ns = now_ns + looker->every_ns;
}

void stories_look_in_time(struct stories_looker *looker)
{
    if (os_monotonic_ns(os_real()) >= looker->next_ns) {
        stories_look(looker);
    }
}

void stories_looker_print(const struct stories_looker *looker)
{
    for (size_t i = 0; i < looker->count; i++) {
        (void)printf("%" PRIu64 " %" PRIu64 "\n", looker->at_ms[i], looker->resident_kib[i]);
    }
}

/* ---- the parent's side ---------------------------------------------------------------------- */

/* Reads to the end. Returns: whether all of it fitted. */
static bool read_all(int fd, char *text, size_t text_bytes)
{
    size_t used = 0;
    ssize_t got = 0;

    while (used < text_bytes - 1 && (got = read(fd, text + used, text_bytes - 1 - used)) > 0) {
        used += (size_t)got;
    }
    text[used] = '\0';
    return got == 0;
}

static void take_looks(const uint64_t *number, size_t count, struct stories_looks *ret_looks)
{
    ret_looks->count = count;
    for (size_t i = 0; i < count; i++) {
        ret_looks->seconds[i] = (double)number[2 * i] / 1000;
        ret_looks->mib[i] = (double)number[2 * i + 1] / 1024;
    }
}

bool stories_looks_read(int fd, size_t head_count, struct stories_looks *ret_looks)
{
    static char text[2 * BENCH_CHILD_OUTPUT_BYTES];
    static uint64_t number[NUMBERS_MAX];

    Q_ASSERT(head_count <= STORIES_LOOK_HEAD_MAX);
    if (!read_all(fd, text, sizeof text)) {
        return false;
    }
    for (size_t count = STORIES_LOOKS_MAX; count > 0; count--) {
        if (bench_child_numbers(text, number, head_count + 2 * count)) {
            for (size_t i = 0; i < head_count; i++) {
                ret_looks->head[i] = number[i];
            }
            take_looks(number + head_count, count, ret_looks);
            return true;
        }
    }
    return false;
}

double stories_looks_mean_mib(const struct stories_looks *looks)
{
    double sum = 0;
    double seconds = looks->seconds[looks->count - 1] - looks->seconds[0];

    for (size_t i = 0; i + 1 < looks->count; i++) {
        sum += looks->mib[i] * (looks->seconds[i + 1] - looks->seconds[i]);
    }
    return seconds > 0 ? sum / seconds : NAN;
}

double stories_looks_peak_mib(const struct stories_looks *looks)
{
    double peak = 0;

    for (size_t i = 0; i < looks->count; i++) {
        peak = fmax(peak, looks->mib[i]);
    }
    return peak;
}
