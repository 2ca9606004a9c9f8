/*
 * A profile of CPU time: samples that a server took of its own threads, as a message for pprof.
 *
 *     quarry-cpu 1 10000000 1763856000000000000 30000042000 0      head
 *     @quarry-net-0                                                thread
 *     17 55d0c0de1a2b 55d0c0de0042                                 stack, 17 times
 *
 * What is read is taken for anybody's: it is numbers in order or the whole is refused, lines and
 * stacks have bounds, and no more lines are read than a server's table has, many times over.
 *
 *   values    samples count, cpu nanoseconds        label thread
 */
#include <cli/profile.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <cli/profile_build.h>

/* A count, and addresses of up to 16 digits with a space before each. */
#define LINE_BYTES (32 + 17 * MEM_STATS_DEPTH_MAX)
#define LINES_MAX  (UINT32_C(1) << 20)

struct reading {
    FILE *file;
    const char *name;
    uint32_t line_number;
    char line[LINE_BYTES];
    char thread[64];
    uint64_t period_ns, began_ns, duration_ns, lost_count;
};

static enum quarry_status refuse(const struct reading *reading, struct quarry_error *error)
{
    return error_set(error, QUARRY_BAD_INPUT, "%s: line %u is none of samples of CPU time",
                     reading->name, reading->line_number);
}

/* The next line, without its end. `ret_is_end`: there is none. */
static enum quarry_status read_line(struct reading *reading, bool *ret_is_end,
                                    struct quarry_error *error)
{
    reading->line_number++;
    *ret_is_end = fgets(reading->line, sizeof reading->line, reading->file) == NULL;
    if (*ret_is_end) {
        return ferror(reading->file) != 0
                   ? error_set_os(error, QUARRY_IO, errno, "%s", reading->name)
                   : QUARRY_OK;
    }
    size_t count = strlen(reading->line);
    if (count < 2 || reading->line[count - 1] != '\n' || reading->line_number > LINES_MAX) {
        return refuse(reading, error);
    }
    reading->line[count - 1] = '\0';
    return QUARRY_OK;
}

/* A number behind what was read before; *at is moved behind it. */
static bool read_number(const char **at, unsigned base, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *text = *at;

    for (; *text != '\0' && *text != ' '; text++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, *text);
        uint64_t value = digit == NULL ? base : (uint64_t)(digit - digits);

        if (value >= base || number > (UINT64_MAX - value) / base) {
            return false;
        }
        number = number * base + value;
    }
    bool is_there = text != *at;
    *at = *text == ' ' ? text + 1 : text;
    *ret_number = number;
    return is_there;
}

static enum quarry_status read_head(struct reading *reading, struct quarry_error *error)
{
    static const char magic[] = "quarry-cpu 1 ";
    const char *at = reading->line + sizeof magic - 1;
    bool is_end;
    enum quarry_status status = read_line(reading, &is_end, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (is_end || strncmp(reading->line, magic, sizeof magic - 1) != 0 ||
        !read_number(&at, 10, &reading->period_ns) || !read_number(&at, 10, &reading->began_ns) ||
        !read_number(&at, 10, &reading->duration_ns) ||
        !read_number(&at, 10, &reading->lost_count) || *at != '\0') {
        return refuse(reading, error);
    }
    return QUARRY_OK;
}

/* False: the line is none of a stack. */
static bool add_stack(struct profile_build *build, const struct reading *reading)
{
    uint64_t pcs[MEM_STATS_DEPTH_MAX], count;
    const char *at = reading->line;
    uint32_t depth = 0;

    if (!read_number(&at, 10, &count)) {
        return false;
    }
    while (*at != '\0') {
        if (depth == MEM_STATS_DEPTH_MAX || !read_number(&at, 16, &pcs[depth])) {
            return false;
        }
        depth++;
    }
    if (depth == 0) {
        return false;
    }
    const uint64_t values[] = {count, sat_mul_u64(count, reading->period_ns)};
    Quarry__Pprof__Sample *sample = profile_add_pcs(build, pcs, depth, values);
    profile_label_text(build, sample, "thread", reading->thread);
    return true;
}

static enum quarry_status read_stacks(struct reading *reading, struct profile_build *build,
                                      struct quarry_error *error)
{
    bool is_end;
    enum quarry_status status;

    while ((status = read_line(reading, &is_end, error)) == QUARRY_OK && !is_end) {
        if (reading->line[0] == '@') {
            (void)snprintf(reading->thread, sizeof reading->thread, "%.63s", reading->line + 1);
        } else if (!add_stack(build, reading)) {
            return refuse(reading, error);
        }
    }
    return status;
}

static enum quarry_status save(const char *path, struct profile_build *build,
                               const struct reading *reading, struct quarry_error *error)
{
    Quarry__Pprof__Profile profile;
    Quarry__Pprof__ValueType period_type = QUARRY__PPROF__VALUE_TYPE__INIT;
    int64_t comments[2] = {profile_string(build, build->process->snapshot.head->command)};
    char lost[64];

    period_type.type = profile_string(build, "cpu");
    period_type.unit = profile_string(build, "nanoseconds");
    (void)snprintf(lost, sizeof lost, "%" PRIu64 " samples were lost", reading->lost_count);
    comments[1] = reading->lost_count == 0 ? 0 : profile_string(build, lost);
    profile_finish(build, &profile);
    profile.time_nanos = (int64_t)size_min_u64(reading->began_ns, INT64_MAX);
    profile.duration_nanos = (int64_t)size_min_u64(reading->duration_ns, INT64_MAX);
    profile.period_type = &period_type;
    profile.period = (int64_t)size_min_u64(reading->period_ns, INT64_MAX);
    profile.n_comment = comments[1] != 0 ? 2 : 1;
    profile.comment = comments;
    if (build->has_failed) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for a profile", path);
    }
    return profile_save(path, &profile, error);
}

enum quarry_status profile_write_cpu(const char *path, const char *samples,
                                     const struct process *process, struct symbols *symbols,
                                     struct quarry_error *error)
{
    bool is_stdin = strcmp(samples, "-") == 0;
    struct reading reading = {.file = is_stdin ? stdin : fopen(samples, "re"), .name = samples};
    struct profile_build build;

    if (reading.file == NULL) {
        return error_set_os(error, QUARRY_IO, errno, "%s", samples);
    }
    profile_build_init(&build, process, symbols);
    profile_add_type(&build, "samples", "count");
    profile_add_type(&build, "cpu", "nanoseconds");
    enum quarry_status status = read_head(&reading, error);
    if (status == QUARRY_OK) {
        status = read_stacks(&reading, &build, error);
    }
    if (status == QUARRY_OK) {
        status = save(path, &build, &reading, error);
    }
    profile_build_fini(&build);
    if (!is_stdin) {
        (void)fclose(reading.file);
    }
    return status;
}
