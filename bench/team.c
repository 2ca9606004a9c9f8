/*
 * Starting threads and the clock.
 *
 * Starting a thread takes longer than many a short row, and two that are started one after the
 * other would hardly meet: all wait at a barrier, and wall time begins when the first has passed
 * it. A row of one thread has a thread of its own too: every subject pays for it alike.
 */
#include <bench/team.h>

#include <pthread.h>

#include <os/os.h>

#include <bench/malloc/clock.h>

struct team {
    bench_thread_run *run;
    void *context;
    pthread_barrier_t barrier;
    uint64_t began_ns[BENCH_WORKERS_MAX]; /* by the thread of that index; read when it has ended */
};

static void member_run(struct bench_worker *worker, void *context)
{
    struct team *team = context;

    (void)pthread_barrier_wait(&team->barrier);
    team->began_ns[worker->index] = os_monotonic_ns(os_real());
    team->run(worker, team->context);
}

void bench_team_run(uint32_t thread_count, bench_thread_run *run, void *context,
                    struct bench_team_time *time)
{
    static struct bench_worker workers[BENCH_WORKERS_MAX];
    struct team team = {.run = run, .context = context};
    struct bench_job threads = {.thread_count = thread_count, .worker = workers};
    uint64_t began_ns = UINT64_MAX;

    Q_ASSERT(thread_count >= 1 && thread_count <= BENCH_WORKERS_MAX);
    if (pthread_barrier_init(&team.barrier, NULL, thread_count) != 0) {
        bench_worker_die("no barrier");
    }
    for (uint32_t i = 0; i < thread_count; i++) {
        bench_worker_init(&workers[i], i, 1);
    }
    uint64_t cpu_ns = bench_clock_cpu_ns();
    bench_job_run_threads(&threads, member_run, &team);
    uint64_t ended_ns = os_monotonic_ns(os_real());
    time->cpu_ns += bench_clock_cpu_ns() - cpu_ns;
    for (uint32_t i = 0; i < thread_count; i++) {
        began_ns = size_min_u64(began_ns, team.began_ns[i]);
    }
    time->wall_ns += ended_ns - began_ns;
    (void)pthread_barrier_destroy(&team.barrier);
}
