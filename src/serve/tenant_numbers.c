/*
 * Numbers of tenants, in a file of lines:
 *
 *     DATA/tenants        acme
 *                         initech          line n is the name of number n; 0 is nobody's and the
 *                                          default tenant's
 *
 * A name keeps its number when its section goes away and comes back, whatever order sections have:
 * series are kept by number, and nobody is to find another's under his.
 *
 * The file is written anew beside itself, synced, and put in the place of the old one, so that
 * there is always one that is whole. What is in it and makes no sense stops the server: a wrong
 * number would show somebody a stranger's series.
 *
 * Locking: none. Memory: 32 bytes a name, of malloc.
 */
#include <serve/tenant_numbers.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NUMBERS_MAX 65535u
#define NAME_BYTES  (SERVE_TENANT_NAME_BYTES_MAX + 1)

struct serve_tenant_numbers {
    const char *folder; /* borrowed; "": nowhere */
    char path[SERVE_PATH_BYTES], new_path[SERVE_PATH_BYTES];
    char (*names)[NAME_BYTES]; /* own: of number i + 1 */
    size_t count, capacity;
};

/* ---- names ---------------------------------------------------------------------------------- */

uint16_t serve_tenant_numbers_find(const struct serve_tenant_numbers *numbers, const char *name)
{
    for (size_t i = 0; i < numbers->count; i++) {
        if (strcmp(numbers->names[i], name) == 0) {
            return (uint16_t)(i + 1);
        }
    }
    return 0;
}

static enum quarry_status add_name(struct serve_tenant_numbers *numbers, const char *name,
                                   struct quarry_error *error)
{
    Q_ASSERT(strlen(name) < NAME_BYTES);
    if (numbers->count == NUMBERS_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "tenants: there were %u names already",
                         NUMBERS_MAX);
    }
    if (numbers->count == numbers->capacity) {
        size_t capacity = numbers->capacity * 2 + 16;
        void *names = realloc(numbers->names, capacity * NAME_BYTES);
        if (names == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "no memory for names of tenants");
        }
        numbers->names = names;
        numbers->capacity = capacity;
    }
    (void)snprintf(numbers->names[numbers->count++], NAME_BYTES, "%s", name);
    return QUARRY_OK;
}

/* ---- the file ------------------------------------------------------------------------------- */

/* A line without its end is one that was cut. */
static enum quarry_status read_line(struct serve_tenant_numbers *numbers, char *line,
                                    struct quarry_error *error)
{
    size_t count = strcspn(line, "\n");

    if (line[count] != '\n' || count == 0 || count >= NAME_BYTES ||
        strcspn(line, " \t\r") < count) {
        return error_set(error, QUARRY_CORRUPT, "%.200s: line %zu is no tenant's name",
                         numbers->path, numbers->count + 1);
    }
    line[count] = '\0';
    if (serve_tenant_numbers_find(numbers, line) != 0) {
        return error_set(error, QUARRY_CORRUPT, "%.200s: line %zu: '%s' is there twice",
                         numbers->path, numbers->count + 1, line);
    }
    return add_name(numbers, line, error);
}

static enum quarry_status read_file(struct serve_tenant_numbers *numbers,
                                    struct quarry_error *error)
{
    char line[NAME_BYTES + 2];
    enum quarry_status status = QUARRY_OK;
    FILE *file = fopen(numbers->path, "re");

    if (file == NULL) {
        return errno == ENOENT
                   ? QUARRY_OK
                   : error_set_os(error, QUARRY_IO, errno, "cannot read '%.200s'", numbers->path);
    }
    while (status == QUARRY_OK && fgets(line, sizeof line, file) != NULL) {
        status = read_line(numbers, line, error);
    }
    if (status == QUARRY_OK && ferror(file) != 0) {
        status = error_set_os(error, QUARRY_IO, errno, "cannot read '%.200s'", numbers->path);
    }
    (void)fclose(file);
    return status;
}

static bool write_names(const struct serve_tenant_numbers *numbers, FILE *file)
{
    for (size_t i = 0; i < numbers->count; i++) {
        if (fprintf(file, "%s\n", numbers->names[i]) < 0) {
            return false;
        }
    }
    return fflush(file) == 0 && fsync(fileno(file)) == 0;
}

static bool sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0) {
        (void)close(fd);
    }
    return is_synced;
}

static enum quarry_status write_file(const struct serve_tenant_numbers *numbers,
                                     struct quarry_error *error)
{
    FILE *file = fopen(numbers->new_path, "we");
    bool is_written = file != NULL && write_names(numbers, file);
    int number = errno;

    if (file != NULL && fclose(file) != 0) {
        is_written = false;
        number = errno;
    }
    if (is_written &&
        (rename(numbers->new_path, numbers->path) != 0 || !sync_folder(numbers->folder))) {
        is_written = false;
        number = errno;
    }
    return is_written ? QUARRY_OK
                      : error_set_os(error, number == ENOSPC ? QUARRY_NO_SPACE : QUARRY_IO, number,
                                     "cannot write '%.200s'", numbers->path);
}

/* ---- opening -------------------------------------------------------------------------------- */

enum quarry_status serve_tenant_numbers_open(const char *path,
                                             struct serve_tenant_numbers **ret_numbers,
                                             struct quarry_error *error)
{
    struct serve_tenant_numbers *numbers = calloc(1, sizeof *numbers);

    if (numbers == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for names of tenants");
    }
    numbers->folder = path;
    if (strlen(path) + sizeof "/tenants.new" > SERVE_PATH_BYTES) {
        serve_tenant_numbers_close(numbers);
        return error_set(error, QUARRY_TOO_LARGE, "server.data: the path is too long");
    }
    (void)snprintf(numbers->path, SERVE_PATH_BYTES, "%.4000s/tenants", path);
    (void)snprintf(numbers->new_path, SERVE_PATH_BYTES, "%.4000s/tenants.new", path);
    enum quarry_status status = path[0] == '\0' ? QUARRY_OK : read_file(numbers, error);
    if (status != QUARRY_OK) {
        serve_tenant_numbers_close(numbers);
        return status;
    }
    *ret_numbers = numbers;
    return QUARRY_OK;
}

void serve_tenant_numbers_close(struct serve_tenant_numbers *numbers)
{
    if (numbers != NULL) {
        free(numbers->names);
        free(numbers);
    }
}

enum quarry_status serve_tenant_numbers_add(struct serve_tenant_numbers *numbers,
                                            const struct serve_config *config,
                                            struct quarry_error *error)
{
    size_t before = numbers->count;
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; status == QUARRY_OK && i < serve_config_group_count(config, SERVE_TENANTS);
         i++) {
        const char *name = serve_config_group_name(config, SERVE_TENANTS, i);
        if (serve_tenant_numbers_find(numbers, name) == 0) {
            status = add_name(numbers, name, error);
        }
    }
    if (status == QUARRY_OK && numbers->count > before && numbers->folder[0] != '\0') {
        status = write_file(numbers, error);
    }
    numbers->count = status == QUARRY_OK ? numbers->count : before;
    return status;
}
