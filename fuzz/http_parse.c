/*
 * Fuzzes the HTTP door: what it says does not depend on how bytes come and how fast answers are
 * taken; what was parsed lies in what came; and whatever comes, nothing is left behind.
 *
 *     bytes   | size of the pieces, two | how the reader takes them, one | what is sent … |
 */
#include <serve/http/state.h>
#include <serve/http/target.h>

#include <stdlib.h>
#include <string.h>

#include "unit/serve/http_rig.h"

#define CONTROL_BYTES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_open;

static void close_rig(void)
{
    if (is_open) {
        http_rig_close(); /* asserts that nothing is left behind */
    }
}

static void open_rig(void)
{
    if (!is_open) {
        http_rig_open(0);
        http_rig_number_max = 3000;
        is_open = true;
        (void)atexit(close_rig);
    }
}

/* ---- parts ---------------------------------------------------------------------------------- */

static void check_inside(const char *bytes, size_t size, struct http_slice slice)
{
    Q_ASSERT(slice.count == 0 || (slice.bytes >= bytes && slice.bytes < bytes + size &&
                                  slice.count <= size - (size_t)(slice.bytes - bytes)));
}

static void check_place(const char *bytes, size_t size)
{
    char *room = malloc(size + 1);
    struct http_param *params = calloc(HTTP_PARAMS_MAX, sizeof *params);
    struct http_slice decoded = {"", 0};
    size_t count = 0;

    Q_ASSERT(room != NULL && params != NULL);
    memcpy(room, bytes, size);
    if (http_params_decode(room, size, params, &count)) {
        for (size_t i = 0; i < count; i++) {
            check_inside(room, size, params[i].name);
            check_inside(room, size, params[i].value);
            Q_ASSERT(memchr(params[i].value.bytes, '\0', params[i].value.count) == NULL);
        }
    }
    memcpy(room, bytes, size);
    if (http_path_decode((struct http_slice){room, size}, room, &decoded)) {
        Q_ASSERT(decoded.count <= size && memchr(room, '\0', decoded.count) == NULL);
    }
    free(params);
    free(room);
}

/* The end of a head is found at the same byte, however much is there. */
static void check_head(const char *bytes, size_t size)
{
    size_t line_at = 0, head_bytes = 0, again_at = 0, again_bytes = 0;
    int status = http_head_scan(bytes, size, &line_at, HTTP_HEAD_BYTES_DEFAULT, &head_bytes);
    int again = HTTP_MORE;

    for (size_t some = 0; some <= size && again == HTTP_MORE; some++) {
        again = http_head_scan(bytes, some, &again_at, HTTP_HEAD_BYTES_DEFAULT, &again_bytes);
    }
    Q_ASSERT(again == status && again_bytes == head_bytes);
    if (status != HTTP_WHOLE) {
        return;
    }
    static struct http_head head;
    struct http_framing framing;

    if (http_head_parse(bytes, head_bytes, &head) == HTTP_WHOLE &&
        http_framing_read(bytes, &head, &framing) == HTTP_WHOLE) {
        Q_ASSERT(!framing.has_length || !framing.is_chunked);
        check_inside(bytes, head_bytes, framing.authority.host);
        check_inside(bytes, head_bytes, framing.authority.port);
        check_place(framing.place.bytes, framing.place.count);
    }
}

/* ---- conversations -------------------------------------------------------------------------- */

static char *say(const char *bytes, size_t size, size_t piece_bytes, size_t taken_a_turn)
{
    const struct http_rig_options options = {.taken_a_turn = taken_a_turn};
    struct serve_connection *connection = http_rig_connect(&options);
    char *answer = http_rig_say(connection, bytes, size, piece_bytes);

    fake_close(connection);
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < CONTROL_BYTES) {
        return 0;
    }
    const char *bytes = (const char *)data + CONTROL_BYTES;
    size_t byte_count = size - CONTROL_BYTES;
    size_t piece_bytes = 1 + ((size_t)data[0] << 8 | data[1]) % 4096;

    open_rig();
    check_head(bytes, byte_count);
    check_place(bytes, byte_count);
    char *whole = say(bytes, byte_count, 0, 0);
    char *split = say(bytes, byte_count, piece_bytes, data[2]);

    Q_ASSERT(strcmp(whole, split) == 0);
    free(whole);
    free(split);
    return 0;
}
