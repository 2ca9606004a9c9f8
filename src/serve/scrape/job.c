/*
 * Jobs: what the configuration says, looked at and copied.
 *
 *     struct job │ settings │ strings, one behind the other │      one object
 *
 * Everything that can be wrong is found here, before anything is replaced: a reload that names an
 * impossible target changes nothing.
 *
 * Rejected: labels and targets taken apart here. They are read some times in the life of a server,
 * and as text they have one owner and one length.
 *
 * Locking: none. Memory: malloc, as for the configuration, for a job may be made before there is a
 * scraper.
 */
#include <serve/scrape/state.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_NS (15 * Q_SECOND_NS)
#define TIMEOUT_NS  (10 * Q_SECOND_NS)
/* Of a page as it is read; doubling it doubles what one target can make us hold at a time. */
#define BODY_BYTES Q_MIB(32)
/* Of one text: what a line of the configuration has, and then some. */
#define TEXT_BYTES_MAX 4096u

#define STRING(field) offsetof(struct scrape_job, field)

static const size_t strings[] = {
    STRING(name),   STRING(targets), STRING(file_sd),       STRING(labels), STRING(path),
    STRING(params), STRING(user),    STRING(password_file), STRING(tls_ca),
};
#define STRING_COUNT (sizeof strings / sizeof strings[0])

/* ---- words ---------------------------------------------------------------------------------- */

static struct tsdb_slice trim(struct tsdb_slice text)
{
    while (text.count > 0 && (text.bytes[0] == ' ' || text.bytes[0] == '\t')) {
        text.bytes++;
        text.count--;
    }
    while (text.count > 0 && strchr(" \t", text.bytes[text.count - 1]) != NULL) {
        text.count--;
    }
    return text;
}

bool scrape_list_next(const char **list, struct tsdb_slice *ret_piece)
{
    if (**list == '\0') {
        return false;
    }
    size_t length = strcspn(*list, ",");
    *ret_piece = trim((struct tsdb_slice){*list, length});
    *list += length + ((*list)[length] == ',' ? 1 : 0);
    return true;
}

/* Whether a target may have a label of that name: not one that is left out, or the metric's. */
static bool is_label_name(struct tsdb_slice name)
{
    if (name.count == 0 || isdigit((unsigned char)name.bytes[0])) {
        return false;
    }
    for (size_t i = 0; i < name.count; i++) {
        unsigned char byte = (unsigned char)name.bytes[i];
        if (byte >= 128 || (!isalnum(byte) && byte != '_')) {
            return false;
        }
    }
    return true;
}

bool scrape_split_label(struct tsdb_slice piece, struct tsdb_label *ret_label)
{
    const char *sign = piece.count == 0 ? NULL : memchr(piece.bytes, '=', piece.count);

    if (sign == NULL) {
        return false;
    }
    size_t name_bytes = (size_t)(sign - piece.bytes);
    ret_label->name = trim((struct tsdb_slice){piece.bytes, name_bytes});
    ret_label->value = trim((struct tsdb_slice){sign + 1, piece.count - name_bytes - 1});
    return is_label_name(ret_label->name);
}

/* What would end the address within a URL, or begin something else, is none. */
bool scrape_is_address(struct tsdb_slice address)
{
    for (size_t i = 0; i < address.count; i++) {
        unsigned char byte = (unsigned char)address.bytes[i];
        if (byte <= ' ' || byte >= 127 || strchr("/?#@\\%\"<>", byte) != NULL) {
            return false;
        }
    }
    return address.count > 0 && address.count <= 512;
}

/* ---- what a job says ------------------------------------------------------------------------ */

static const char *string_of(const struct scrape_job *job, size_t at)
{
    const char *text;

    memcpy(&text, (const char *)job + at, sizeof text);
    return text == NULL ? "" : text;
}

static void set_string(struct scrape_job *job, size_t at, const char *text)
{
    memcpy((char *)job + at, &text, sizeof text);
}

static enum quarry_status check_lists(const struct scrape_job *job, struct quarry_error *error)
{
    const char *targets = job->targets, *labels = job->labels;
    struct tsdb_slice piece;
    struct tsdb_label label;
    uint32_t label_count = 0;

    while (scrape_list_next(&targets, &piece)) {
        if (!scrape_is_address(piece)) {
            return error_set(error, QUARRY_BAD_INPUT, "targets: '%.*s' is no HOST:PORT",
                             (int)size_min(piece.count, 64), piece.bytes);
        }
    }
    while (scrape_list_next(&labels, &piece)) {
        if (!scrape_split_label(piece, &label)) {
            return error_set(error, QUARRY_BAD_INPUT, "labels: '%.*s' is no NAME=VALUE",
                             (int)size_min(piece.count, 64), piece.bytes);
        }
        label_count++;
    }
    return label_count <= SCRAPE_TARGET_LABELS_MAX / 2
               ? QUARRY_OK
               : error_set(error, QUARRY_TOO_MANY, "labels: more than %u",
                           SCRAPE_TARGET_LABELS_MAX / 2);
}

static bool is_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 127) {
            return false;
        }
    }
    return true;
}

static enum quarry_status check(const struct scrape_job *job, struct quarry_error *error)
{
    for (size_t i = 0; i < STRING_COUNT; i++) {
        if (strlen(string_of(job, strings[i])) > TEXT_BYTES_MAX) {
            return error_set(error, QUARRY_TOO_LARGE, "a text has up to %u bytes", TEXT_BYTES_MAX);
        }
    }
    if (job->name[0] == '\0') {
        return error_set(error, QUARRY_BAD_INPUT, "it has no name");
    }
    if (job->path[0] != '/' || !is_printable(job->path) || strpbrk(job->path, "?#") != NULL) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "path: begins with / and has neither blanks nor ? nor #");
    }
    if (!is_printable(job->params) || strchr(job->params, '#') != NULL) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "params: NAME=VALUE&NAME=VALUE, "
                         "percent-encoded where need be");
    }
    if (job->timeout_ns > job->interval_ns) {
        return error_set(error, QUARRY_BAD_INPUT, "timeout: is longer than the interval");
    }
    if (job->user[0] == '\0' && job->password_file[0] != '\0') {
        return error_set(error, QUARRY_BAD_INPUT, "password_file: there is no user");
    }
    return check_lists(job, error);
}

static void set_defaults(struct scrape_job *job)
{
    for (size_t i = 0; i < STRING_COUNT; i++) {
        set_string(job, strings[i], string_of(job, strings[i]));
    }
    if (job->path[0] == '\0') {
        job->path = "/metrics";
    }
    job->interval_ns = job->interval_ns == 0 ? INTERVAL_NS : job->interval_ns;
    if (job->timeout_ns == 0) {
        job->timeout_ns = size_min_u64(TIMEOUT_NS, job->interval_ns);
    }
    job->body_bytes_max = job->body_bytes_max == 0 ? BODY_BYTES : job->body_bytes_max;
}

/* ---- copies --------------------------------------------------------------------------------- */

static struct job *copy(const struct scrape_job *from)
{
    size_t bytes = sizeof(struct job);

    for (size_t i = 0; i < STRING_COUNT; i++) {
        bytes += strlen(string_of(from, strings[i])) + 1;
    }
    struct job *job = malloc(bytes);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct job){.settings = *from, .holder_count = 1};
    char *to = (char *)(job + 1);
    for (size_t i = 0; i < STRING_COUNT; i++) {
        const char *text = string_of(from, strings[i]);
        size_t count = strlen(text) + 1;
        memcpy(to, text, count);
        set_string(&job->settings, strings[i], to);
        to += count;
    }
    Q_ASSERT(to == (char *)job + bytes);
    return job;
}

void scrape_job_release(struct job *job)
{
    if (job != NULL && --job->holder_count == 0) {
        free(job);
    }
}

enum quarry_status scrape_job_make_self(uint64_t interval_ns, struct job **ret_job)
{
    struct scrape_job settings = {.name = SCRAPE_SELF_JOB, .interval_ns = interval_ns};

    set_defaults(&settings);
    struct job *job = copy(&settings);
    if (job == NULL) {
        return QUARRY_NO_MEMORY;
    }
    job->is_self = true;
    *ret_job = job;
    return QUARRY_OK;
}

/* ---- lists of them -------------------------------------------------------------------------- */

enum quarry_status scrape_jobs_create(struct scrape_jobs **ret_jobs)
{
    struct scrape_jobs *jobs = calloc(1, sizeof *jobs);

    if (jobs == NULL) {
        return QUARRY_NO_MEMORY;
    }
    *ret_jobs = jobs;
    return QUARRY_OK;
}

void scrape_jobs_destroy(struct scrape_jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        scrape_job_release(jobs->all[i]);
    }
    free(jobs->all);
    free(jobs);
}

enum quarry_status scrape_jobs_add(struct scrape_jobs *jobs, const struct scrape_job *job,
                                   struct quarry_error *error)
{
    struct scrape_job settings = *job;

    set_defaults(&settings);
    enum quarry_status status = check(&settings, error);
    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; i < jobs->count; i++) {
        if (strcmp(jobs->all[i]->settings.name, settings.name) == 0) {
            return error_set(error, QUARRY_EXISTS, "there is a job of that name");
        }
    }
    struct job **all = realloc(jobs->all, (jobs->count + 1) * sizeof(struct job *));
    if (all == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a job");
    }
    jobs->all = all;
    jobs->all[jobs->count] = copy(&settings);
    if (jobs->all[jobs->count] == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a job");
    }
    jobs->count++;
    return QUARRY_OK;
}
