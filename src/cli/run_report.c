/*
 * The report at the end of a run.
 *
 * The statistics segment of a process goes with the last that is attached to it. So the report
 * attaches while the program runs, and reads the last figures, which the library refreshes when the
 * program exits (report=1 in QUARRY_MALLOC), after it has ended.
 *
 *   tick 0, 1, 2 …        look for a segment in /proc/PID/maps, every time in the first second and
 *                         ten times a second after it
 *   attached              ten times a second: are we alone with it? Then the program has executed
 *                         another, which makes a segment of its own
 *                         once a second: "please refresh", so that a program that is killed leaves
 *                         figures that are a second old, and peaks are seen
 *
 * Resident memory is the kernel's and the parent's own, and is reported of every program.
 */
#include <cli/run_report.h>

#include <cli/figures.h>
#include <cli/heap_text.h>
#include <cli/symbols.h>

#include <inttypes.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define EAGER_TICKS   100u
#define LAZY_TICKS    10u
#define REFRESH_TICKS 100u
/* Figures that are older than this at the end are said to be. */
#define OLD_NS    (1500 * Q_MS_NS)
#define STACK_MAX 5u
#define FRAME_MAX 4u

/* ---- holding on ----------------------------------------------------------------------------- */

/* Whether the process that made the segment has left it. */
static bool is_alone(const struct mem_stats_reader *reader)
{
    struct shmid_ds segment;

    return reader->base != NULL && shmctl(reader->shm_id, IPC_STAT, &segment) == 0 &&
           segment.shm_nattch <= 1;
}

/* Attaches to what is there now, and leaves what was there before. */
static void attach(struct run_report *report, uint32_t pid)
{
    struct mem_stats_reader reader;

    if (mem_stats_attach(pid, &reader, NULL) == QUARRY_OK) {
        run_report_fini(report);
        report->reader = reader;
        report->is_attached = true;
    }
}

void run_report_tick(void *argument, uint32_t pid)
{
    struct run_report *report = argument;
    uint64_t tick = report->tick_count++;
    bool is_due = tick % LAZY_TICKS == 0;

    if (!report->is_attached) {
        is_due = is_due || tick < EAGER_TICKS;
    } else if (is_due) {
        is_due = is_alone(&report->reader);
    }
    if (is_due) {
        attach(report, pid);
    }
    if (report->is_attached && tick % REFRESH_TICKS == 0) {
        (void)mem_stats_ask_refresh(&report->reader, NULL); /* the last ones do otherwise */
    }
}

void run_report_fini(struct run_report *report)
{
    if (report->is_attached) {
        mem_stats_detach(&report->reader);
        report->is_attached = false;
    }
}

/* ---- printing ------------------------------------------------------------------------------- */

static void print_end(FILE *file, const char *program, uint32_t pid,
                      const struct run_outcome *outcome)
{
    fprintf(file, "\nquarry run: %s (process %u) ran for %.2f s and ", program, pid,
            (double)outcome->duration_ns / (double)Q_SECOND_NS);
    if (outcome->signal_number != 0) {
        fprintf(file, "was ended by signal %d (%s)\n", outcome->signal_number,
                strsignal(outcome->signal_number));
    } else {
        fprintf(file, "ended with %d\n", outcome->exit_code);
    }
}

static void print_rss(FILE *file, const struct run_outcome *outcome)
{
    char peak[SIZE_TEXT_BYTES], mean[SIZE_TEXT_BYTES], last[SIZE_TEXT_BYTES];
    double seconds = (double)outcome->duration_ns / (double)Q_SECOND_NS;
    double mean_bytes = seconds > 0.0 ? outcome->rss_byte_seconds / seconds : 0.0;

    fprintf(file, "resident  peak %s, %.1f MiB s over time (%s on average), %s at the end\n",
            size_format(outcome->rss_peak_bytes, peak),
            outcome->rss_byte_seconds / (double)Q_MIB(1), size_format((uint64_t)mean_bytes, mean),
            size_format(outcome->rss_last_bytes, last));
    if (outcome->rss_look_count == 0) {
        fputs("          (it ended before it was looked at: the last two are not known)\n", file);
    }
}

static void print_heap(FILE *file, const struct mem_stats_snapshot *snapshot)
{
    const struct mem_stats_totals *totals = snapshot->totals;
    const struct figures figures = figures_of(snapshot);
    char peak[SIZE_TEXT_BYTES], live_peak[SIZE_TEXT_BYTES], committed[SIZE_TEXT_BYTES],
        objects[SIZE_TEXT_BYTES], waste[SIZE_TEXT_BYTES];

    fprintf(file, "heap      peak %s committed, %s live; at the end %s, %s of it live\n",
            size_format(totals->ledger.peak_bytes, peak),
            size_format(totals->peak_live_bytes, live_peak),
            size_format(figures.committed_bytes, committed),
            size_format(figures.object_bytes, objects));
    fprintf(file, "          %" PRIu64 " allocations, %" PRIu64 " frees, %" PRIu64 " refused\n",
            totals->alloc_count, totals->free_count, totals->refused_count);
    fprintf(file, "waste     %s at the end, by cause:\n",
            size_format(figures.waste_sum_bytes, waste));
    heap_text_waste(file, &figures);
}

static enum quarry_status print_stacks(FILE *file, const struct mem_stats_snapshot *snapshot,
                                       uint32_t pid)
{
    struct symbols *symbols;
    enum quarry_status status = symbols_create(snapshot, pid, &symbols);

    if (status != QUARRY_OK) {
        return status;
    }
    fputs("largest stacks at the end, estimated\n", file);
    status = heap_text_stacks(file, snapshot, symbols, STACKS_BY_LIVE, STACK_MAX, FRAME_MAX);
    if (status == QUARRY_OK) {
        fputs("pinning stacks: free memory in spans under half full, by whose objects keep it\n",
              file);
        status = heap_text_stacks(file, snapshot, symbols, STACKS_BY_PINNED, STACK_MAX, FRAME_MAX);
    }
    symbols_destroy(symbols);
    return status;
}

static enum quarry_status print_statistics(FILE *file, struct run_report *report, uint32_t pid)
{
    struct quarry_error error = {0};
    struct mem_stats_snapshot snapshot;

    if (!report->is_attached) {
        fputs("heap      no statistics were seen: it ended too soon, or was not preloaded (it is\n"
              "          linked statically, or runs with other rights than ours)\n",
              file);
        return QUARRY_OK;
    }
    if (mem_stats_snapshot(&report->reader, &snapshot, &error) != QUARRY_OK) {
        fprintf(file, "heap      %s\n", error.text);
        return QUARRY_OK;
    }
    if (!snapshot.is_refreshed) {
        fputs("heap      it ended before its statistics were first written\n", file);
        return QUARRY_OK;
    }
    uint64_t age_ns = sat_sub_u64(os_monotonic_ns(os_real()), snapshot.head->refresh_monotonic_ns);
    if (age_ns > OLD_NS) {
        fprintf(file, "heap      the last figures are from %.1f s before the end\n",
                (double)age_ns / (double)Q_SECOND_NS);
    }
    print_heap(file, &snapshot);
    return print_stacks(file, &snapshot, pid);
}

enum quarry_status run_report_print(FILE *file, struct run_report *report, const char *program,
                                    uint32_t pid, const struct run_outcome *outcome)
{
    print_end(file, program, pid, outcome);
    print_rss(file, outcome);
    return print_statistics(file, report, pid);
}
