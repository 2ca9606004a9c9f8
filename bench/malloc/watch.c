/*
 * The outside view of a measurement.
 *
 *   child   ───── b ─────────────────────── e ── numbers ── end
 *   parent        │  ·  ·  ·  ·  ·  ·  ·  · │      a look at /proc/PID/statm every 5 ms
 *                 └── resident memory over time: the area under the looks, by trapezoids ──┘
 *
 * A child says 'b' when what it measures begins and 'e' when it ends; between them the area counts.
 * It is looked at from here, because looking takes a system call that no workload makes, and a
 * child that looked at itself would be awake when it is to be idle.
 *
 * A look costs some 10 µs every 5 ms, on another CPU where there is one. The kernel's count may be
 * off by some dozens of pages a CPU, in everybody's figure.
 *
 * Time between 'e' and our reading of it does not count in the child's own clock and hardly here:
 * poll wakes at once.
 */
#include <bench/malloc/watch.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/malloc/measure.h>

/* More than this are never watched at once. */
#define WATCHES_MAX 64u

static const uint64_t point_seconds[BENCH_WATCH_POINTS] = {0, 1, 2, 5, 10, 30};

uint64_t bench_watch_point_seconds(size_t index)
{
    Q_ASSERT(index < BENCH_WATCH_POINTS);
    return point_seconds[index];
}

size_t bench_watch_point_count(uint64_t seconds)
{
    size_t count = 0;

    while (count < BENCH_WATCH_POINTS && point_seconds[count] <= seconds) {
        count++;
    }
    return count;
}

bool bench_watch_start(struct bench_watch *watch, const char *const *argv, const char *preload)
{
    char path[64];

    *watch = (struct bench_watch){.statm_fd = -1};
    if (!bench_child_start(argv, preload, false, &watch->child)) {
        return false;
    }
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)watch->child.pid);
    watch->statm_fd = open(path, O_RDONLY | O_CLOEXEC);
    return true;
}

/* ---- looking -------------------------------------------------------------------------------- */

/* Resident bytes of the child; 0 when it is gone or nothing can be read. */
static uint64_t resident_bytes(const struct bench_watch *watch)
{
    char text[128];
    char *at = text;
    ssize_t bytes = watch->statm_fd < 0 ? 0 : pread(watch->statm_fd, text, sizeof text - 1, 0);

    if (bytes <= 0) {
        return 0;
    }
    text[bytes] = '\0';
    (void)strtoull(at, &at, 10);
    return strtoull(at, NULL, 10) * (uint64_t)os_real()->page_bytes;
}

static void note_points(struct bench_watch *watch)
{
    uint64_t passed_ns = watch->last_ns - watch->begin_ns;

    while (watch->point_count < BENCH_WATCH_POINTS &&
           passed_ns >= point_seconds[watch->point_count] * Q_SECOND_NS) {
        watch->point_bytes[watch->point_count++] = watch->last_bytes;
    }
}

static void begin(struct bench_watch *watch)
{
    watch->has_begun = true;
    watch->begin_ns = os_monotonic_ns(os_real());
    watch->last_ns = watch->begin_ns;
    watch->last_bytes = resident_bytes(watch);
    note_points(watch);
}

static void look(struct bench_watch *watch)
{
    uint64_t bytes = resident_bytes(watch);
    uint64_t now_ns = os_monotonic_ns(os_real());

    /* It may be gone by the time its last mark is read: then it is as it was. */
    bytes = bytes == 0 ? watch->last_bytes : bytes;
    watch->byte_ns +=
        ((double)bytes + (double)watch->last_bytes) / 2 * (double)(now_ns - watch->last_ns);
    watch->last_bytes = bytes;
    watch->last_ns = now_ns;
    note_points(watch);
}

/* ---- listening ------------------------------------------------------------------------------ */

/* Takes one byte of what the child says: a mark, or output. */
static void take_byte(struct bench_watch *watch, char byte)
{
    if (byte == BENCH_MARK_BEGIN && !watch->has_begun) {
        begin(watch);
    } else if (byte == BENCH_MARK_END && watch->has_begun && !watch->has_ended) {
        look(watch);
        watch->has_ended = true;
    } else if (watch->used + 1 < sizeof watch->output) {
        watch->output[watch->used++] = byte;
    } else {
        watch->is_closed = true;
    }
}

static void listen_to(struct bench_watch *watch)
{
    char bytes[512];
    ssize_t got = read(watch->child.fd, bytes, sizeof bytes);

    if (got == 0 || (got < 0 && errno != EINTR)) {
        watch->is_closed = true;
    }
    for (ssize_t i = 0; i < got; i++) {
        take_byte(watch, bytes[i]);
    }
}

bool bench_watch_step(struct bench_watch *watch, size_t count)
{
    struct pollfd polled[WATCHES_MAX];
    bool is_open = false;

    Q_ASSERT(count <= WATCHES_MAX);
    for (size_t i = 0; i < count; i++) {
        polled[i] = (struct pollfd){watch[i].is_closed ? -1 : watch[i].child.fd, POLLIN, 0};
    }
    int ready = poll(polled, count, BENCH_WATCH_MS);
    for (size_t i = 0; i < count; i++) {
        if (ready > 0 && polled[i].revents != 0) {
            listen_to(&watch[i]);
        }
        if (watch[i].has_begun && !watch[i].has_ended && !watch[i].is_closed) {
            look(&watch[i]);
        }
        is_open = is_open || !watch[i].is_closed;
    }
    return is_open;
}

int bench_watch_finish(struct bench_watch *watch)
{
    struct rusage usage;

    if (watch->statm_fd >= 0) {
        (void)close(watch->statm_fd);
    }
    watch->output[watch->used] = '\0';
    return bench_child_wait(&watch->child, &usage);
}
