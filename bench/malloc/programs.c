/*
 * Programs as they are installed, each with a piece of its daily work.
 *
 *   LD_PRELOAD=library  sh -c 'cd folder && exec gcc -O1 -c input.c …'     wait4: CPU, peak
 *
 *   a server:   LD_PRELOAD=library  redis-server …       its CPU time and peak are the figures;
 *               redis-benchmark …, without the library   the time is that until it has ended
 *
 * The library is in force in all processes that a line starts. Peak memory is that of the largest
 * of them, as the kernel tells it of those that were waited for. For the C library's own malloc
 * LD_PRELOAD names the C library: redis-server is linked to another allocator in some
 * distributions, and that would be in force otherwise.
 *
 * Python's own allocator of small objects is switched off (PYTHONMALLOC): its objects go to malloc,
 * as those of other programs do.
 */
#include <bench/malloc/programs.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>
#include <bench/malloc/subject.h>

#define COMMAND_BYTES 4096u

static const struct bench_program programs[] = {
    {"program_gcc", "gcc -O1 of a file of 250 functions", "gcc", "input.c", bench_input_c, 250, 40,
     "exec gcc -O1 -w -c input.c -o input.o", NULL},
    {"program_xz", "xz -T2 of 16 MiB of words", "xz", "words", bench_input_words, 16, 4,
     "exec xz -T2 -1 --block-size=2MiB -c words >/dev/null", NULL},
    {"program_python3", "python3: JSON, dictionaries, sorting", "python3", "input.py",
     bench_input_python, 40000, 6000, "exec python3 input.py", NULL},
    {"program_perl", "perl: hashes, splitting, joining", "perl", "input.pl", bench_input_perl,
     120000, 12000, "exec perl input.pl", NULL},
    {"program_sqlite3", "sqlite3 in memory: indexes, groups, a join", "sqlite3", "input.sql",
     bench_input_sql, 400000, 20000, "exec sqlite3 :memory: <input.sql >/dev/null", NULL},
    {"program_git", "git: an import of 2000 commits, and a repack", "git", "stream",
     bench_input_git, 2000, 200,
     "rm -rf store && git init -q --bare store && cd store && "
     "git fast-import --quiet <../stream && exec git repack -adfq",
     NULL},
    {"program_redis", "redis-server under redis-benchmark", "redis-server", "none",
     bench_input_none, 200000, 20000,
     "exec redis-server --port 0 --unixsocket ./sock --save '' --appendonly no --daemonize no "
     ">/dev/null",
     "for i in 1 2 3 4 5 6 7 8 9 10; do redis-cli -s ./sock ping >/dev/null 2>&1 && break; "
     "sleep 0.1; done; "
     "redis-benchmark -s ./sock -q -P 16 -r 100000 -d 100 -n $N -t set,get,lpush,rpop,sadd,hset "
     ">/dev/null; "
     "redis-benchmark -s ./sock -q -P 16 -r 100000 -d 1000 -n $N -t set >/dev/null; "
     "exec redis-cli -s ./sock shutdown nosave >/dev/null"},
};

const struct bench_program *bench_programs(size_t *ret_count)
{
    *ret_count = sizeof programs / sizeof programs[0];
    return programs;
}

/* Runs a line by sh and drops what it says. Returns: its exit code. */
static int run_shell(const char *line)
{
    const char *argv[] = {"sh", "-c", line, NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    return bench_child_run(argv, NULL, true, output);
}

bool bench_program_is_installed(const struct bench_program *program)
{
    char line[COMMAND_BYTES];

    (void)snprintf(line, sizeof line, "command -v %s", program->tool);
    return run_shell(line) == 0;
}

/* ---- the folder ----------------------------------------------------------------------------- */

bool bench_program_folder_make(char *path, size_t path_bytes)
{
    (void)snprintf(path, path_bytes, "/tmp/quarry-bench.XXXXXX");
    return mkdtemp(path) != NULL;
}

void bench_program_folder_remove(const char *path)
{
    char line[COMMAND_BYTES];

    (void)snprintf(line, sizeof line, "rm -rf '%s'", path);
    (void)run_shell(line);
}

static uint64_t size_of(const struct bench_program *program, bool is_quick)
{
    return is_quick ? program->quick_size : program->full_size;
}

bool bench_program_prepare(const struct bench_program *program, const char *folder, bool is_quick)
{
    char path[COMMAND_BYTES];

    (void)snprintf(path, sizeof path, "%s/%s", folder, program->input);
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        return false;
    }
    program->write_input(file, size_of(program, is_quick));
    bool is_written = ferror(file) == 0;
    return fclose(file) == 0 && is_written;
}

/* ---- a run ---------------------------------------------------------------------------------- */

static bool start_line(const char *folder, uint64_t size, const char *line, const char *preload,
                       struct bench_child *ret_child)
{
    char command[COMMAND_BYTES];
    const char *argv[] = {"sh", "-c", command, NULL};

    (void)snprintf(command, sizeof command,
                   "cd '%s' && export N=%llu PYTHONMALLOC=malloc GIT_CONFIG_GLOBAL=/dev/null && %s",
                   folder, (unsigned long long)size, line);
    return bench_child_start(argv, preload, true, ret_child);
}

static uint64_t time_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * Q_SECOND_NS + (uint64_t)time.tv_usec * Q_US_NS;
}

/* The line, and its driver when it has one. Returns: whether both ended with 0. */
static bool run_lines(const struct bench_program *program, const char *folder, uint64_t size,
                      const char *preload, struct rusage *ret_usage)
{
    struct bench_child child;
    struct bench_child driver;
    struct rusage driver_usage;
    bool is_driven = true;

    if (!start_line(folder, size, program->line, preload, &child)) {
        return false;
    }
    if (program->driver != NULL) {
        is_driven = start_line(folder, size, program->driver, NULL, &driver) &&
                    bench_child_wait(&driver, &driver_usage) == 0;
    }
    if (!is_driven) {
        (void)kill(child.pid, SIGKILL);
    }
    return bench_child_wait(&child, ret_usage) == 0 && is_driven;
}

bool bench_program_run(const struct bench_program *program, const char *folder, bool is_quick,
                       const struct bench_subject *subject, struct bench_program_run *ret_run)
{
    const char *preload = bench_malloc_subject_preload(subject);
    struct rusage usage = {0};
    uint64_t began_ns = os_monotonic_ns(os_real());

    if (!run_lines(program, folder, size_of(program, is_quick),
                   preload == NULL ? "libc.so.6" : preload, &usage)) {
        return false;
    }
    *ret_run = (struct bench_program_run){
        .wall_ns = os_monotonic_ns(os_real()) - began_ns,
        .cpu_ns = time_ns(usage.ru_utime) + time_ns(usage.ru_stime),
        .peak_rss_bytes = Q_KIB((uint64_t)usage.ru_maxrss),
    };
    return true;
}
