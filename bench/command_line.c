/*
 * Reading the words of a command line.
 *
 * Later options win; --quick sets what other options may set again, so it is applied first wherever
 * it stands. A number out of range is refused and not clamped: a benchmark that measures something
 * other than what was asked for is worse than none.
 */
#include <bench/command_line.h>

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#define SUBJECTS_MAX 16u

enum quarry_status bench_command_line_walk(int argc, char **argv, const struct option *long_options,
                                           bench_option_apply *apply, void *options,
                                           struct quarry_error *error)
{
    optind = 0; /* starts getopt over: the program has used it for its own options */
    opterr = 0;
    for (;;) {
        int key = getopt_long(argc, argv, "+h", long_options, NULL);
        if (key == -1) {
            break;
        }
        if (key == '?') {
            return error_set(error, QUARRY_BAD_INPUT,
                             "unknown option, or one without its value: %s", argv[optind - 1]);
        }
        enum quarry_status status = apply(options, key, optarg, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (optind < argc) {
        return error_set(error, QUARRY_BAD_INPUT, "takes options only, not '%s'", argv[optind]);
    }
    return QUARRY_OK;
}

bool bench_command_line_has_quick(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0) {
            return true;
        }
    }
    return false;
}

const char *bench_command_line_take(int *argc, char **argv, const char *name)
{
    for (int i = 1; i + 1 < *argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0) {
            const char *value = argv[i + 1];
            *argc -= 2;
            memmove(&argv[i], &argv[i + 2], (size_t)(*argc - i + 1) * sizeof *argv);
            return value;
        }
    }
    return NULL;
}

enum quarry_status bench_command_line_number(const char *option, const char *text, uint64_t min,
                                             uint64_t max, uint64_t *ret_number,
                                             struct quarry_error *error)
{
    char *end = NULL;

    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || number < min ||
        number > max) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "--%s %s: wants a number from %" PRIu64 " to %" PRIu64, option, text, min,
                         max);
    }
    *ret_number = number;
    return QUARRY_OK;
}

/* The index of the subject that `word` names; `count` when there is none. */
static size_t find_subject(const char *word, size_t bytes, bench_subject_name *name, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strlen(name(i)) == bytes && memcmp(name(i), word, bytes) == 0) {
            return i;
        }
    }
    return count;
}

static enum quarry_status no_such_peer(const char *word, size_t bytes, bench_subject_name *name,
                                       size_t count, struct quarry_error *error)
{
    char peers[160] = "";

    for (size_t i = 1; i < count; i++) {
        size_t used = strlen(peers);
        (void)snprintf(peers + used, sizeof peers - used, "%s%s", i > 1 ? ", " : "", name(i));
    }
    return error_set(error, QUARRY_BAD_INPUT, "--against %.*s: there are %s",
                     (int)size_min(bytes, 32), word, peers);
}

enum quarry_status bench_command_line_against(const char *list, bench_subject_name *name,
                                              size_t count, bool *ret_is_wanted,
                                              struct quarry_error *error)
{
    bool is_wanted[SUBJECTS_MAX] = {true};

    Q_ASSERT(count > 0 && count <= SUBJECTS_MAX);
    for (const char *word = list; *word != '\0'; word += strspn(word, ",")) {
        size_t bytes = strcspn(word, ",");
        size_t index = find_subject(word, bytes, name, count);
        if (index == count) {
            return no_such_peer(word, bytes, name, count, error);
        }
        is_wanted[index] = true;
        word += bytes;
    }
    memcpy(ret_is_wanted, is_wanted, count * sizeof *is_wanted);
    return QUARRY_OK;
}
