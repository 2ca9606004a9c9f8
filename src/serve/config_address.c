/*
 * Lists of addresses. What an address is, peer.c knows; here commas and blanks are taken off, so
 * that a list that was accepted when it was set can be opened without a second look.
 *
 * Locking: none. Cost: O(length), no memory.
 */
#include <serve/config_address.h>

#include <string.h>

#include <serve/peer.h>

#define BLANKS " \t"

/* Copies one address without the blanks around it. */
static enum quarry_status take_one(const char *text, size_t length,
                                   char ret_text[SERVE_ADDRESS_TEXT_BYTES],
                                   struct quarry_error *error)
{
    struct serve_address address;
    size_t blanks = strspn(text, BLANKS);

    if (blanks >= length) {
        return error_set(error, QUARRY_BAD_INPUT, "takes addresses with one comma between, or off");
    }
    text += blanks;
    length -= blanks;
    while (strchr(BLANKS, text[length - 1]) != NULL) {
        length--;
    }
    if (length >= SERVE_ADDRESS_TEXT_BYTES) {
        return error_set(error, QUARRY_TOO_LARGE, "takes addresses of up to %d bytes",
                         SERVE_ADDRESS_TEXT_BYTES - 1);
    }
    memcpy(ret_text, text, length);
    ret_text[length] = '\0';
    struct quarry_error inner = {0};
    enum quarry_status status = serve_address_parse(ret_text, &address, &inner);
    return status == QUARRY_OK ? status
                               : error_set(error, status, "takes addresses: %s", inner.text);
}

enum quarry_status serve_address_list_parse(const char *text, struct serve_address_list *ret_list,
                                            struct quarry_error *error)
{
    uint32_t count = 0;

    Q_ASSERT(text != NULL && ret_list != NULL);
    ret_list->count = 0;
    for (const char *at = text; strcmp(text, "off") != 0;) {
        size_t length = strcspn(at, ",");
        if (count == SERVE_ADDRESSES_MAX) {
            return error_set(error, QUARRY_TOO_MANY, "takes up to %u addresses",
                             SERVE_ADDRESSES_MAX);
        }
        enum quarry_status status = take_one(at, length, ret_list->texts[count++], error);
        if (status != QUARRY_OK) {
            return status;
        }
        if (at[length] == '\0') {
            break;
        }
        at += length + 1;
    }
    ret_list->count = count;
    return QUARRY_OK;
}
