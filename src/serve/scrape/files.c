/*
 * Files of targets, as Prometheus' file-based discovery has them:
 *
 *     [{"targets": ["10.0.0.7:9100", "10.0.0.8:9100"], "labels": {"env": "prod"}}, …]
 *
 * Names may be patterns. Every few seconds each is looked up and each file's stamp compared: time,
 * size, inode. Watching by inotify would see changes some seconds earlier, and none of a network's
 * file system, nor those behind the links that orchestrators turn.
 *
 * What a file says is taken whole or not at all: of one that cannot be read, or is no such list,
 * the targets that it had before stay, and it is told once for each change. A file that is not
 * there any more has none.
 *
 * YAML of that shape is not read: of the two libraries there are, one has had no release for years,
 * and the other is not in Debian 12.
 *
 * Locking: none; the scraper's thread. Memory: jansson's, of malloc: up to some ten times a file's
 * bytes, of which FILE_BYTES_MAX are read.
 */
#include <serve/scrape/state.h>

#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/log.h>

/* Of one file. Doubling it doubles what one file can make us hold. */
#define FILE_BYTES_MAX Q_MIB(4)
/* Of all patterns: doubling it doubles what a look costs at most. */
#define FILES_MAX 1024u

struct look {
    struct target_files *files;
    const struct job *job;
    size_t file_count;
    bool is_other;
};

/* ---- what a file says ----------------------------------------------------------------------- */

static bool is_list_of_texts(const json_t *list)
{
    const json_t *member;
    size_t i;

    json_array_foreach(list, i, member)
    {
        if (!json_is_string(member)) {
            return false;
        }
    }
    return json_is_array(list);
}

static bool has_texts_alone(json_t *object)
{
    const char *name;
    json_t *member;

    json_object_foreach(object, name, member)
    {
        if (!json_is_string(member)) {
            return false;
        }
    }
    return object == NULL || json_is_object(object);
}

static bool is_group(json_t *group)
{
    const char *name;
    json_t *member;

    json_object_foreach(group, name, member)
    {
        if (strcmp(name, "targets") != 0 && strcmp(name, "labels") != 0) {
            return false;
        }
    }
    return json_is_object(group) && is_list_of_texts(json_object_get(group, "targets")) &&
           has_texts_alone(json_object_get(group, "labels"));
}

static bool are_groups(const json_t *groups)
{
    json_t *group;
    size_t i;

    json_array_foreach(groups, i, group)
    {
        if (!is_group(group)) {
            return false;
        }
    }
    return json_is_array(groups);
}

static json_t *parse(const char *bytes, size_t count, char *why, size_t capacity)
{
    json_error_t error;
    json_t *groups = json_loadb(bytes, count, JSON_REJECT_DUPLICATES, &error);

    if (groups == NULL) {
        (void)snprintf(why, capacity, "line %d: %s", error.line, error.text);
        return NULL;
    }
    if (!are_groups(groups)) {
        (void)snprintf(why, capacity,
                       "it is no list of {\"targets\": [TEXT, …], \"labels\": {NAME: TEXT, …}}");
        json_decref(groups);
        return NULL;
    }
    return groups;
}

static json_t *read_groups(const char *path, char *why, size_t capacity)
{
    FILE *file = fopen(path, "re");
    char *bytes = file == NULL ? NULL : malloc(FILE_BYTES_MAX + 1);
    json_t *groups = NULL;

    if (bytes == NULL) {
        (void)snprintf(why, capacity, "%s", file == NULL ? strerror(errno) : "no memory");
    } else {
        size_t count = fread(bytes, 1, FILE_BYTES_MAX + 1, file);
        if (ferror(file)) {
            (void)snprintf(why, capacity, "it cannot be read");
        } else if (count > FILE_BYTES_MAX) {
            (void)snprintf(why, capacity, "it has more than %d bytes", (int)FILE_BYTES_MAX);
        } else {
            groups = parse(bytes, count, why, capacity);
        }
    }
    free(bytes);
    if (file != NULL) {
        (void)fclose(file);
    }
    return groups;
}

/* ---- looking -------------------------------------------------------------------------------- */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_size == b->st_size && a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static struct target_file *find_file(struct look *look, const char *path)
{
    struct target_file *file = look->files->first;

    while (file != NULL && (strcmp(file->path, path) != 0 ||
                            strcmp(file->job_name, look->job->settings.name) != 0)) {
        file = file->next;
    }
    return file;
}

static void give_file(struct target_file *file)
{
    json_decref(file->groups);
    free(file->job_name);
    free(file->path);
    free(file);
}

static struct target_file *add_file(struct look *look, const char *path)
{
    struct target_file *file = calloc(1, sizeof *file);

    if (file == NULL) {
        return NULL;
    }
    file->path = strdup(path);
    file->job_name = strdup(look->job->settings.name);
    if (file->path == NULL || file->job_name == NULL) {
        give_file(file);
        return NULL;
    }
    file->next = look->files->first;
    look->files->first = file;
    return file;
}

static void complain(struct look *look, const char *path, const char *why)
{
    look->files->error_count++;
    serve_log(SERVE_LOG_ERROR, "a file of targets cannot be read: those it had stay",
              serve_log_text("path", path), serve_log_text("why", why));
}

static void read_file(struct look *look, struct target_file *file, const struct stat *stamp)
{
    char why[256];
    json_t *groups = read_groups(file->path, why, sizeof why);

    file->stamp = *stamp;
    file->is_stamped = true;
    if (groups == NULL) {
        complain(look, file->path, why);
        return;
    }
    json_decref(file->groups);
    file->groups = groups;
    look->is_other = true;
}

static void look_at_file(struct look *look, const char *path)
{
    struct target_file *file = find_file(look, path);
    struct stat stamp;

    if (stat(path, &stamp) != 0 || !S_ISREG(stamp.st_mode) || look->file_count == FILES_MAX) {
        return;
    }
    look->file_count++;
    if (file == NULL) {
        file = add_file(look, path);
    }
    if (file == NULL) {
        complain(look, path, "no memory");
        return;
    }
    file->is_named = true;
    if (!file->is_stamped || !is_same(&file->stamp, &stamp)) {
        read_file(look, file, &stamp);
    }
}

static void look_at_pattern(struct look *look, struct tsdb_slice pattern)
{
    char *text = strndup(pattern.bytes, pattern.count);
    glob_t found = {.gl_pathc = 0};

    if (text == NULL) {
        return;
    }
    if (glob(text, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            look_at_file(look, found.gl_pathv[i]);
        }
    }
    globfree(&found);
    free(text);
}

static bool drop_unnamed(struct target_files *files)
{
    bool is_other = false;

    for (struct target_file **at = &files->first; *at != NULL;) {
        struct target_file *file = *at;
        if (file->is_named) {
            file->is_named = false;
            at = &file->next;
            continue;
        }
        *at = file->next;
        give_file(file);
        is_other = true;
    }
    return is_other;
}

bool scrape_files_look(struct target_files *files, const struct scrape_jobs *jobs)
{
    struct look look = {.files = files};

    for (size_t i = 0; i < jobs->count; i++) {
        const char *patterns = jobs->all[i]->settings.file_sd;
        struct tsdb_slice pattern;
        look.job = jobs->all[i];
        while (scrape_list_next(&patterns, &pattern)) {
            if (pattern.count > 0) {
                look_at_pattern(&look, pattern);
            }
        }
    }
    return drop_unnamed(files) || look.is_other;
}

void scrape_files_clear(struct target_files *files)
{
    while (files->first != NULL) {
        struct target_file *file = files->first;
        files->first = file->next;
        give_file(file);
    }
}
