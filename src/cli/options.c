/*
 * Values of options: digits and nothing else, within limits that the message names.
 */
#include <cli/options.h>

#include <cli/cli.h>

int option_count(const char *command, const char *option, const char *text, uint32_t least,
                 uint32_t most, uint32_t *ret_value)
{
    uint64_t value = 0;
    const char *at = text;

    for (; *at >= '0' && *at <= '9' && value <= most; at++) {
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (at == text || *at != '\0' || value < least || value > most) {
        return cli_usage_error(command, "%s takes a number from %u to %u, not '%s'", option, least,
                               most, text);
    }
    *ret_value = (uint32_t)value;
    return CLI_OK;
}

int option_bytes(const char *command, const char *option, const char *text, uint64_t *ret_bytes)
{
    if (size_parse(text, ret_bytes) != QUARRY_OK) {
        return cli_usage_error(command, "%s takes a number of bytes like 512M, not '%s'", option,
                               text);
    }
    return CLI_OK;
}
