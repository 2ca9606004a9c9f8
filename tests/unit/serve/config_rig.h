/*
 * A configuration and what was told about it, for tests.
 */
#ifndef QUARRY_TESTS_UNIT_SERVE_CONFIG_RIG_H
#define QUARRY_TESTS_UNIT_SERVE_CONFIG_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <serve/serve.h>

extern struct serve_config *config;
extern struct quarry_error error;

/* Setup and teardown of each test: defaults, and a folder of its own. */
int config_rig_begin(void **state);
int config_rig_end(void **state);

/* Writes a file into the folder. Returns: its path, borrowed until the next call. */
const char *write_file(const char *name, const char *text);
const char *folder(void);

/* What `tell_all` was told, a line each. */
extern char told[8192];
void tell_all(void *argument, const char *text);

/* Sets, and wants success. */
void put(const char *key, const char *value);
/* Sets, and wants that status, and the text in the message. */
void put_refused(const char *key, const char *value, enum quarry_status status, const char *text);
/* Fails unless `text` has `part`. */
void assert_has(const char *text, const char *part);
/* A setting as text. */
const char *shown(enum serve_key key);

#endif
