/*
 * How what is wrong with a configuration is told: the first to the caller's error, all to `tell`.
 */
#ifndef QUARRY_SERVE_CONFIG_TOLD_H
#define QUARRY_SERVE_CONFIG_TOLD_H

#include <serve/config.h>

struct serve_told {
    serve_config_tell_function *tell; /* NULL: the first is enough */
    void *argument;
    struct quarry_error *error; /* may be NULL */
    enum quarry_status first;   /* QUARRY_OK: nothing is wrong so far */
};

/* Passes one thing on. */
void serve_told_add(struct serve_told *told, const struct quarry_error *problem);
/* As serve_told_add, of a sentence that begins with where it is from. */
void serve_told_say(struct serve_told *told, enum quarry_status status, const char *format, ...)
    Q_PRINTF(3, 4);

/* Whether to look no further. */
static inline bool serve_told_is_enough(const struct serve_told *told)
{
    return told->first != QUARRY_OK && told->tell == NULL;
}

#endif
