/*
 * One value: from text, held to its setting's bounds, and back to text.
 */
#ifndef QUARRY_SERVE_CONFIG_VALUE_H
#define QUARRY_SERVE_CONFIG_VALUE_H

#include <serve/config.h>

/*
 * Reads a value as its setting wants it.
 *
 * `ret_number`: what serve_config_number will say; 0 for a text or addresses.
 * Errors: BAD_INPUT, TOO_LARGE; `error` says what the setting takes, without naming it.
 */
enum quarry_status serve_value_parse(const struct serve_setting *setting, const char *text,
                                     uint64_t *ret_number, struct quarry_error *error);
/* Writes a value as serve_value_parse reads it. `text`: of a text or addresses. Returns: `buffer`.
 */
const char *serve_value_format(const struct serve_setting *setting, uint64_t number,
                               const char *text, char buffer[SERVE_VALUE_TEXT_BYTES]);

/* Whether the setting's value is kept as text. */
bool serve_setting_is_text(const struct serve_setting *setting);

/* Reads a duration: "0", "250ms", "1h30m". Errors: BAD_INPUT, TOO_LARGE (584 years). */
enum quarry_status serve_duration_parse(const char *text, uint64_t *ret_ns);

#endif
