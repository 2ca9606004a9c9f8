/*
 * The addresses of a door as a setting has them: "127.0.0.1:11211, unix:/run/quarry.sock", or
 * "off".
 */
#ifndef QUARRY_SERVE_CONFIG_ADDRESS_H
#define QUARRY_SERVE_CONFIG_ADDRESS_H

#include <base/base.h>

/* Addresses that one setting can have. */
#define SERVE_ADDRESSES_MAX 8u
/* Room for the text of one, the closing NUL included: "unix:" and a path of 107 bytes. */
#define SERVE_ADDRESS_TEXT_BYTES 128

struct serve_address_list {
    uint32_t count; /* 0 for "off" */
    char texts[SERVE_ADDRESSES_MAX]
              [SERVE_ADDRESS_TEXT_BYTES]; /* as serve_address_parse reads them */
};

/*
 * Takes a list apart and looks at each address.
 *
 * Errors: BAD_INPUT, TOO_LARGE, TOO_MANY; `error` says which address and why.
 */
enum quarry_status serve_address_list_parse(const char *text, struct serve_address_list *ret_list,
                                            struct quarry_error *error);

#endif
