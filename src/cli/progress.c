/*
 * Progress of long commands:
 *
 *     quarry kv load: [########............]  41 %  1,203,440 keys  12.0 MiB/s  7 s left
 *
 * The rate is that of all the time so far, which is steady, and so is the time left that follows
 * from it. Nothing is shown of what ends within a second.
 */
#include <cli/progress.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <os/os.h>

#define BAR_WIDTH        20u
#define BAR_INTERVAL_NS  (100 * Q_MS_NS)
#define LINE_INTERVAL_NS (5 * Q_SECOND_NS)
#define FIRST_NS         Q_SECOND_NS
#define LINE_BYTES       200u
#define LOOK_MASK        63u /* every 64th call looks at the clock, and one after so many bytes */
#define LOOK_BYTES       Q_MIB(1)

void progress_begin(struct progress *progress, const char *command, const char *unit,
                    uint64_t total_bytes)
{
    *progress = (struct progress){
        .command = command,
        .unit = unit,
        .total_bytes = total_bytes,
        .begun_ns = os_monotonic_ns(os_real()),
        .is_terminal = isatty(STDERR_FILENO) == 1,
    };
}

static size_t add_bar(const struct progress *progress, char *room, size_t room_bytes)
{
    double share = (double)progress->done_bytes / (double)progress->total_bytes;
    uint32_t full = (uint32_t)((share > 1.0 ? 1.0 : share) * BAR_WIDTH);
    char bar[BAR_WIDTH + 1];

    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', full);
    bar[BAR_WIDTH] = '\0';
    int count = snprintf(room, room_bytes, "[%s] %3.0f %%  ", bar, share > 1.0 ? 100 : 100 * share);
    return (size_t)count;
}

void progress_format(const struct progress *progress, uint64_t now_ns, char *room,
                     size_t room_bytes)
{
    double seconds = (double)sat_sub_u64(now_ns, progress->begun_ns) / (double)Q_SECOND_NS;
    double rate = seconds > 0.0 ? (double)progress->done_bytes / seconds : 0.0;
    char rate_text[SIZE_TEXT_BYTES];
    size_t at = 0;

    Q_ASSERT(room_bytes >= LINE_BYTES);
    if (progress->total_bytes != 0) {
        at += add_bar(progress, room, room_bytes);
    }
    at += (size_t)snprintf(room + at, room_bytes - at, "%" PRIu64 " %.16s  %s/s", progress->count,
                           progress->unit, size_format((uint64_t)rate, rate_text));
    if (progress->total_bytes > progress->done_bytes && rate > 0.0) {
        (void)snprintf(room + at, room_bytes - at, "  %.0f s left",
                       (double)(progress->total_bytes - progress->done_bytes) / rate);
    }
}

static void show(struct progress *progress, uint64_t now_ns)
{
    char line[LINE_BYTES];

    progress_format(progress, now_ns, line, sizeof line);
    fprintf(stderr, progress->is_terminal ? "\r\033[Kquarry %s: %s" : "quarry %s: %s\n",
            progress->command, line);
    (void)fflush(stderr);
    progress->shown_ns = now_ns;
    progress->is_shown = true;
}

void progress_at(struct progress *progress, uint64_t count, uint64_t done_bytes)
{
    bool is_look = (count & LOOK_MASK) == 0 || count - progress->count > LOOK_MASK ||
                   done_bytes - progress->done_bytes > LOOK_BYTES;

    progress->count = count;
    progress->done_bytes = done_bytes;
    if (!is_look) {
        return;
    }
    uint64_t now_ns = os_monotonic_ns(os_real());
    uint64_t interval_ns = progress->is_terminal ? BAR_INTERVAL_NS : LINE_INTERVAL_NS;
    uint64_t last_ns = progress->is_shown ? progress->shown_ns : progress->begun_ns;
    if (now_ns - last_ns >= interval_ns && now_ns - progress->begun_ns >= FIRST_NS) {
        show(progress, now_ns);
    }
}

double progress_end(struct progress *progress)
{
    uint64_t ns = os_monotonic_ns(os_real()) - progress->begun_ns;

    if (progress->is_shown && progress->is_terminal) {
        fputs("\r\033[K", stderr);
    }
    return (double)ns / (double)Q_SECOND_NS;
}
