/*
 * Values of options, as several commands take them.
 */
#ifndef QUARRY_CLI_OPTIONS_H
#define QUARRY_CLI_OPTIONS_H

#include <base/base.h>

/*
 * A whole number from `least` to `most`. `option`: its name with dashes, for the message.
 * Returns: an exit code; what is wrong is said on stderr. `*ret_value` is written on success.
 */
int option_count(const char *command, const char *option, const char *text, uint32_t least,
                 uint32_t most, uint32_t *ret_value);

/* A number of bytes: "4096", "512M", "1.5GiB". Else as option_count. */
int option_bytes(const char *command, const char *option, const char *text, uint64_t *ret_bytes);

#endif
