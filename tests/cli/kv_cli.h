/*
 * `quarry kv` as its users run it, each test in a directory of its own.
 */
#ifndef QUARRY_TESTS_CLI_KV_CLI_H
#define QUARRY_TESTS_CLI_KV_CLI_H

#include <stddef.h>

#include "run.h"

/* Setup and teardown of a test: the working directory is new and empty, and is removed. */
int kv_cli_begin(void **state);
int kv_cli_end(void **state);

/* Runs `quarry kv`, and looks at its exit code and its output. `words`: closed by a NULL. */
void kv_cli_says(const char *out, const char *const *words);
void kv_cli_says_part(const char *part, const char *const *words);
void kv_cli_fails(int exit_code, const char *err_part, const char *const *words);
/* Runs it with a file on stdin, and looks for success. */
void kv_cli_takes(const char *stdin_path, const char *const *words);
/* Its output is valid JSON, of one line. Returns: it, own. */
char *kv_cli_json(const char *const *words);

#define SAYS(out, ...)         kv_cli_says(out, (const char *const[]){__VA_ARGS__, NULL})
#define SAYS_PART(part, ...)   kv_cli_says_part(part, (const char *const[]){__VA_ARGS__, NULL})
#define FAILS(code, part, ...) kv_cli_fails(code, part, (const char *const[]){__VA_ARGS__, NULL})
#define TAKES(stdin_path, ...) kv_cli_takes(stdin_path, (const char *const[]){__VA_ARGS__, NULL})
#define JSON_OF(...)           kv_cli_json((const char *const[]){__VA_ARGS__, NULL})

/* The first file in a directory whose name ends so. Returns: its path, own. */
char *kv_cli_find(const char *directory, const char *ending);
void kv_cli_write(const char *path, const void *bytes, size_t byte_count);
/* `ret_byte_count`: NULL: not wanted. Returns: own, closed by a NUL. */
char *kv_cli_read(const char *path, size_t *ret_byte_count);
void kv_cli_same_files(const char *one, const char *other);
/* A command of the shell. Returns: its exit code. */
int kv_cli_shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* What it writes to stdout; it succeeds. Returns: own. */
char *kv_cli_shell_says(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Writes a dump with --hex of `count` keys in order, of bytes of all values and lengths from 0 to
 * 300, empty ones and newlines among them.
 */
void kv_cli_make_dump(const char *path, unsigned count);

#endif
