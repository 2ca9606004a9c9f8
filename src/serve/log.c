/*
 * The log: where lines go, and how many.
 *
 *   serve_log ── is it on? ── may this place? ── a line (log_line.c) ── one write
 *
 * Invariants:
 *   1. A line is one write to a descriptor opened for appending, so lines of several threads, and
 * of several processes on one file, do not mix.
 *   2. Every line that was left out is counted in a line that is written, once.
 *
 * The descriptor's number stays the same for the life of the log: another file is put under it by
 * dup2, so that a thread that is about to write needs no lock, and writes to the old or to the new.
 *
 * Locking: a leaf mutex around the counters of places, held for some comparisons. Level and form
 * are atomic words that stand for themselves.
 *
 * A pipe whose reader has stopped makes a write wait, and the thread with it: that is the same for
 * every program with stderr. A file does not.
 */
#include <serve/log.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <os/os.h>

#include <serve/log_line.h>

#define PATH_BYTES 1024

static struct {
    /* Relaxed, all of them: each stands for itself. */
    _Atomic(uint32_t) level, format, fd;
    _Atomic(uint32_t) is_journal, has_colours;
    char path[PATH_BYTES]; /* "" for stderr; of the one thread that opens */
    struct os_mutex mutex;
    uint64_t left_out_count;      /* of all places, ever; guarded by mutex */
    struct serve_log_site *sites; /* guarded by mutex */
} the_log = {
    .level = SERVE_LOG_INFO,
    .format = SERVE_LOG_LOGFMT,
    .fd = STDERR_FILENO,
    .mutex = {.rank = OS_RANK_LEAF},
};

static int log_fd(void)
{
    return (int)atomic_load_relaxed_u32(&the_log.fd);
}

/* ---- where lines go ------------------------------------------------------------------------- */

/* systemd says "device:inode" of the stream that it reads; another one is not the journal. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat facts;
    char mine[64];

    if (stream == NULL || fstat(fd, &facts) != 0) {
        return false;
    }
    (void)snprintf(mine, sizeof mine, "%ju:%ju", (uintmax_t)facts.st_dev, (uintmax_t)facts.st_ino);
    return strcmp(stream, mine) == 0;
}

static enum quarry_status open_file(const char *path, int *ret_fd, struct quarry_error *error)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

    if (fd < 0) {
        enum quarry_status status = errno == ENOENT   ? QUARRY_NOT_FOUND
                                    : errno == EACCES ? QUARRY_PERMISSION
                                                      : QUARRY_IO;
        return error_set_os(error, status, errno, "log.file '%s'", path);
    }
    *ret_fd = fd;
    return QUARRY_OK;
}

/* Puts `fd` where the log writes, and closes it. */
static enum quarry_status use_file(int fd, struct quarry_error *error)
{
    int now = log_fd();

    if (now == STDERR_FILENO) {
        atomic_store_relaxed_u32(&the_log.fd, (uint32_t)fd);
        return QUARRY_OK;
    }
    if (dup3(fd, now, O_CLOEXEC) < 0) {
        (void)error_set_os(error, QUARRY_IO, errno, "log.file");
        (void)close(fd);
        return QUARRY_IO;
    }
    (void)close(fd);
    return QUARRY_OK;
}

static void set_form(enum serve_log_format format)
{
    bool is_terminal = isatty(log_fd()) == 1;

    if (format == SERVE_LOG_AUTO) {
        format = is_terminal ? SERVE_LOG_HUMAN : SERVE_LOG_LOGFMT;
    }
    atomic_store_relaxed_u32(&the_log.has_colours, is_terminal && getenv("NO_COLOR") == NULL);
    atomic_store_relaxed_u32(&the_log.is_journal, is_journal(log_fd()));
    atomic_store_relaxed_u32(&the_log.format, format);
}

enum quarry_status serve_log_open(const struct serve_log_options *options,
                                  struct quarry_error *error)
{
    const char *path = options->path != NULL ? options->path : "";
    enum quarry_status status = QUARRY_OK;
    int fd = -1;

    Q_ASSERT(strlen(path) < PATH_BYTES);
    if (path[0] == '\0') {
        serve_log_close();
    } else if (strcmp(path, the_log.path) != 0) {
        status = open_file(path, &fd, error);
        status = status == QUARRY_OK ? use_file(fd, error) : status;
    }
    if (status != QUARRY_OK) {
        return status;
    }
    memcpy(the_log.path, path, strlen(path) + 1);
    atomic_store_relaxed_u32(&the_log.level, options->level);
    set_form(options->format);
    return QUARRY_OK;
}

enum quarry_status serve_log_reopen(struct quarry_error *error)
{
    int fd = -1;

    if (the_log.path[0] == '\0') {
        return QUARRY_OK;
    }
    enum quarry_status status = open_file(the_log.path, &fd, error);
    return status == QUARRY_OK ? use_file(fd, error) : status;
}

void serve_log_close(void)
{
    int fd = log_fd();

    atomic_store_relaxed_u32(&the_log.fd, STDERR_FILENO);
    the_log.path[0] = '\0';
    if (fd != STDERR_FILENO) {
        (void)close(fd);
    }
}

/* ---- how many ------------------------------------------------------------------------------- */

void serve_log_set_level(enum serve_log_level level)
{
    atomic_store_relaxed_u32(&the_log.level, level);
}

bool serve_log_is_on(enum serve_log_level level)
{
    return level >= atomic_load_relaxed_u32(&the_log.level);
}

/*
 * Whether a place may write a line now. `ret_left_out`: of how many it has to tell then.
 */
static bool may_write(struct serve_log_site *site, enum serve_log_level level, uint64_t now_ns,
                      uint64_t *ret_left_out)
{
    os_mutex_lock(&the_log.mutex);
    if (!site->is_known) {
        site->is_known = true;
        site->next = the_log.sites;
        the_log.sites = site;
    }
    if (site->window_begin_ns == 0 || now_ns - site->window_begin_ns >= SERVE_LOG_WINDOW_NS) {
        site->window_begin_ns = now_ns;
        site->count = 0;
    }
    bool is_within = site->count < SERVE_LOG_LINES_MAX;
    site->level = level;
    *ret_left_out = is_within ? site->left_out_count : 0;
    site->left_out_count = is_within ? 0 : site->left_out_count + 1;
    the_log.left_out_count += is_within ? 0 : 1;
    site->count += is_within;
    os_mutex_unlock(&the_log.mutex);
    return is_within;
}

static void write_line(const char *message, enum serve_log_level level,
                       const struct serve_log_field *fields, uint64_t left_out_count)
{
    char text[SERVE_LOG_LINE_BYTES];
    const struct serve_log_line line = {
        .format = (enum serve_log_format)atomic_load_relaxed_u32(&the_log.format),
        .has_colours = atomic_load_relaxed_u32(&the_log.has_colours) != 0,
        .has_priority = atomic_load_relaxed_u32(&the_log.is_journal) != 0,
        .level = level,
        .wall_ns = os_wall_ns(os_real()),
        .message = message,
        .fields = fields,
        .left_out_count = left_out_count,
    };
    size_t bytes = serve_log_line_format(&line, text);
    int caller_errno = errno;

    while (write(log_fd(), text, bytes) < 0 && errno == EINTR) {
    }
    errno = caller_errno;
}

void serve_log_write(struct serve_log_site *site, enum serve_log_level level,
                     const struct serve_log_field *fields)
{
    uint64_t left_out_count = 0;

    if (may_write(site, level, os_monotonic_ns(os_real()), &left_out_count)) {
        write_line(site->message, level, fields, left_out_count);
    }
}

/* Takes what one place has left out, when its window is over. Returns: NULL: none has. */
static const struct serve_log_site *take_left_out(uint64_t now_ns, struct serve_log_site *ret_copy)
{
    struct serve_log_site *site;

    os_mutex_lock(&the_log.mutex);
    for (site = the_log.sites; site != NULL; site = site->next) {
        if (site->left_out_count > 0 && now_ns > site->window_begin_ns &&
            now_ns - site->window_begin_ns >= SERVE_LOG_WINDOW_NS) {
            *ret_copy = *site;
            site->left_out_count = 0;
            break;
        }
    }
    os_mutex_unlock(&the_log.mutex);
    return site;
}

uint64_t serve_log_left_out_count(void)
{
    os_mutex_lock(&the_log.mutex);
    uint64_t count = the_log.left_out_count;
    os_mutex_unlock(&the_log.mutex);
    return count;
}

void serve_log_tell_left_out(uint64_t now_ns)
{
    static const struct serve_log_field none = {.name = NULL};
    struct serve_log_site site;

    while (take_left_out(now_ns, &site) != NULL) {
        write_line(site.message, site.level, &none, site.left_out_count);
    }
}
