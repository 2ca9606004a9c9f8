/*
 * `quarry kv` as its users run it: see kv_cli.h.
 */
#include "kv_cli.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "json.h"

#define WORDS_MAX     14
#define COMMAND_BYTES 2048

static char directory[256];

/* ---- a directory ---------------------------------------------------------------------------- */

int kv_cli_begin(void **state)
{
    const char *parent = getenv("TMPDIR");

    (void)state;
    (void)snprintf(directory, sizeof directory, "%s/quarry-kv-XXXXXX",
                   parent != NULL ? parent : "/tmp");
    return mkdtemp(directory) != NULL && chdir(directory) == 0 ? 0 : -1;
}

int kv_cli_end(void **state)
{
    (void)state;
    if (chdir("/") != 0) {
        return -1;
    }
    return kv_cli_shell("rm -rf '%s'", directory);
}

/* ---- the program ---------------------------------------------------------------------------- */

static struct run run_kv(const char *stdin_path, const char *const *words)
{
    const char *arguments[WORDS_MAX + 2] = {"kv"};
    const struct run_options options = {.stdin_path = stdin_path};
    size_t count = 1;

    for (; *words != NULL; words++) {
        assert_true(count <= WORDS_MAX);
        arguments[count++] = *words;
    }
    arguments[count] = NULL;
    return run_quarry(&options, arguments);
}

static struct run run_to(int exit_code, const char *stdin_path, const char *const *words)
{
    struct run run = run_kv(stdin_path, words);

    if (run.exit_code != exit_code) {
        fail_msg("kv %s %s: exit code %d, not %d: %.2000s%.2000s", words[0],
                 words[1] != NULL ? words[1] : "", run.exit_code, exit_code, run.out, run.err);
    }
    return run;
}

void kv_cli_says(const char *out, const char *const *words)
{
    struct run run = run_to(0, NULL, words);

    assert_string_equal(run.out, out);
    run_free(&run);
}

void kv_cli_says_part(const char *part, const char *const *words)
{
    struct run run = run_to(0, NULL, words);

    if (strstr(run.out, part) == NULL) {
        fail_msg("'%s' is not in:\n%.4000s", part, run.out);
    }
    run_free(&run);
}

void kv_cli_fails(int exit_code, const char *err_part, const char *const *words)
{
    struct run run = run_to(exit_code, NULL, words);

    if (strstr(run.err, err_part) == NULL) {
        fail_msg("'%s' is not in:\n%.4000s", err_part, run.err);
    }
    run_free(&run);
}

void kv_cli_takes(const char *stdin_path, const char *const *words)
{
    struct run run = run_to(0, stdin_path, words);

    run_free(&run);
}

char *kv_cli_json(const char *const *words)
{
    struct run run = run_to(0, NULL, words);
    char *out = strdup(run.out);

    if (!json_is_valid(out, out + strlen(out))) {
        fail_msg("kv %s: no JSON: %.4000s", words[0], out);
    }
    assert_ptr_equal(strchr(out, '\n'), out + strlen(out) - 1);
    run_free(&run);
    return out;
}

/* ---- files ---------------------------------------------------------------------------------- */

char *kv_cli_find(const char *path, const char *ending)
{
    DIR *open = opendir(path);
    char *found = NULL;

    assert_non_null(open);
    for (struct dirent *entry; found == NULL && (entry = readdir(open)) != NULL;) {
        size_t length = strlen(entry->d_name), wanted = strlen(ending);
        if (length >= wanted && strcmp(entry->d_name + length - wanted, ending) == 0) {
            assert_true(asprintf(&found, "%s/%s", path, entry->d_name) > 0);
        }
    }
    (void)closedir(open);
    assert_non_null(found);
    return found;
}

void kv_cli_write(const char *path, const void *bytes, size_t byte_count)
{
    FILE *file = fopen(path, "wbe");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, byte_count, file), byte_count);
    assert_int_equal(fclose(file), 0);
}

char *kv_cli_read(const char *path, size_t *ret_byte_count)
{
    FILE *file = fopen(path, "rbe");
    struct stat state;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &state), 0);
    char *bytes = calloc((size_t)state.st_size + 1, 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)state.st_size, file), state.st_size);
    (void)fclose(file);
    if (ret_byte_count != NULL) {
        *ret_byte_count = (size_t)state.st_size;
    }
    return bytes;
}

void kv_cli_same_files(const char *one, const char *other)
{
    size_t one_bytes, other_bytes;
    char *a = kv_cli_read(one, &one_bytes), *b = kv_cli_read(other, &other_bytes);

    assert_int_equal(one_bytes, other_bytes);
    assert_memory_equal(a, b, one_bytes);
    free(a);
    free(b);
}

/* ---- other programs ------------------------------------------------------------------------- */

int kv_cli_shell(const char *format, ...)
{
    char command[COMMAND_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && length < COMMAND_BYTES);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

char *kv_cli_shell_says(const char *format, ...)
{
    char command[COMMAND_BYTES], *text = calloc(RUN_TEXT_BYTES, 1);
    va_list arguments;

    assert_non_null(text);
    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && length < COMMAND_BYTES);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    (void)fread(text, 1, RUN_TEXT_BYTES - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    return text;
}

/* ---- bytes ---------------------------------------------------------------------------------- */

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void put_hex(FILE *file, uint32_t *seed, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fprintf(file, "%02X", next_random(seed) & 0xff);
    }
}

void kv_cli_make_dump(const char *path, unsigned count)
{
    FILE *file = fopen(path, "we");
    uint32_t seed = 7;

    assert_non_null(file);
    for (unsigned i = 0; i < count; i++) {
        fprintf(file, "0x%08X", i * 3); /* in order, zeros and newlines in them */
        put_hex(file, &seed, next_random(&seed) % 20);
        fputs(" ==> 0x", file);
        put_hex(file, &seed, i % 5 == 0 ? 0 : next_random(&seed) % 300);
        putc('\n', file);
    }
    assert_int_equal(fclose(file), 0);
}
