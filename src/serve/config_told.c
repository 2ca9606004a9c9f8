/*
 * Passing on what is wrong. Locking: none. Cost: that of the message.
 */
#include <serve/config_told.h>

#include <stdarg.h>
#include <stdio.h>

void serve_told_add(struct serve_told *told, const struct quarry_error *problem)
{
    Q_ASSERT(problem->status != QUARRY_OK);
    if (told->first == QUARRY_OK) {
        told->first = problem->status;
        if (told->error != NULL) {
            *told->error = *problem;
        }
    }
    if (told->tell != NULL) {
        told->tell(told->argument, problem->text);
    }
}

void serve_told_say(struct serve_told *told, enum quarry_status status, const char *format, ...)
{
    struct quarry_error problem = {0};
    char text[QUARRY_ERROR_TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)error_set(&problem, status, "%s", text);
    serve_told_add(told, &problem);
}
