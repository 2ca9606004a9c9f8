/*
 * Commands that look at, or change, a part of a value: STRLEN, GETRANGE, SUBSTR, SETRANGE, APPEND.
 *
 * A value that grows is written in pieces, what it had first: it is copied once, into the store.
 * The time at which it expires stays.
 *
 * Cost: APPEND and SETRANGE write the whole value, which is what an LSM tree has to offer: a log of
 * many megabytes does not belong into one value.
 */
#include <serve/buffers.h>
#include <serve/resp/access.h>
#include <serve/resp/key_commands.h>

enum resp_outcome resp_strlen(struct resp_call *call)
{
    struct keyspace_value value = {0};
    enum resp_outcome outcome = RESP_ANSWERED;

    if (resp_find(call, &call->words[1], &value, &outcome) != RESP_FAILED) {
        resp_say_integer(call->reply, (int64_t)value.byte_count);
    }
    keyspace_value_release(&value);
    return outcome;
}

/* A stretch of a value from one index to another, the last included; below 0 from its end. */
static void clip(int64_t first, int64_t last, int64_t byte_count, size_t *ret_offset,
                 size_t *ret_byte_count)
{
    *ret_offset = *ret_byte_count = 0;
    if (first < 0 && last < 0 && first > last) {
        return;
    }
    first = first < 0 && (first += byte_count) < 0 ? 0 : first;
    last = last < 0 && (last += byte_count) < 0 ? 0 : last;
    last = last >= byte_count ? byte_count - 1 : last;
    if (first <= last && byte_count > 0) {
        *ret_offset = (size_t)first;
        *ret_byte_count = (size_t)(last - first + 1);
    }
}

enum resp_outcome resp_getrange(struct resp_call *call)
{
    int64_t first, last;
    struct keyspace_value value = {0};
    enum resp_outcome outcome = RESP_ANSWERED;

    if (!resp_read_integer(call->words[2], &first) || !resp_read_integer(call->words[3], &last)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    if (resp_find(call, &call->words[1], &value, &outcome) != RESP_FAILED) {
        size_t offset, byte_count;

        clip(first, last, (int64_t)value.byte_count, &offset, &byte_count);
        if (byte_count == 0) {
            resp_say_bulk(call->reply, "", 0);
        } else {
            resp_say_value(call->reply, &value, offset, byte_count);
        }
    }
    keyspace_value_release(&value);
    return outcome;
}

/* Writes a value in pieces, and says how long it is. */
static enum resp_outcome put_pieces(struct resp_call *call, struct resp_update *update,
                                    const struct quarry_kv_slice *pieces, size_t piece_count)
{
    enum resp_outcome outcome;
    size_t byte_count = 0;

    for (size_t i = 0; i < piece_count; i++) {
        byte_count += pieces[i].byte_count;
    }
    enum quarry_status status =
        keyspace_put_pieces(update->change, &call->session->scope, *update->key, pieces,
                            piece_count, update->value.expires_ms);
    if (resp_update_end(call, update, status, &outcome)) {
        keyspace_value_release(&update->value);
        resp_say_integer(call->reply, (int64_t)byte_count);
    }
    return outcome;
}

enum resp_outcome resp_append(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;

    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (!resp_value_fits(call, update.value.byte_count, call->words[2].byte_count)) {
        return resp_update_leave(call, &update);
    }
    struct quarry_kv_slice pieces[] = {resp_value_slice(&update.value), call->words[2]};
    return put_pieces(call, &update, pieces, 2);
}

/* What lies between the end of a value and the offset that is written to. */
static const char zeros[4096];

/*
 * A value with some of it replaced: what was before, zeros up to the offset, the new bytes, what is
 * behind; there are zeros, or something is behind, never both. Only where there are more zeros than
 * above is memory taken for them.
 */
static enum resp_outcome replace(struct resp_call *call, struct resp_update *update, size_t offset,
                                 struct quarry_kv_slice bytes)
{
    const char *old = update->value.bytes;
    size_t old_bytes = update->value.byte_count, end = offset + bytes.byte_count;
    size_t kept = offset < old_bytes ? offset : old_bytes, gap = offset - kept;
    struct quarry_kv_slice pieces[3] = {resp_slice(old, kept)};
    size_t piece_count = 1;
    void *scratch = NULL;
    enum resp_outcome outcome;

    if (gap > sizeof(zeros)) {
        scratch = serve_buffer_take_zeroed(call->common->memory, gap);
        if (scratch == NULL) {
            (void)resp_update_end(call, update, QUARRY_NO_MEMORY, &outcome);
            return outcome;
        }
    }
    if (gap > 0) {
        pieces[piece_count++] = resp_slice(scratch != NULL ? scratch : zeros, gap);
    }
    pieces[piece_count++] = bytes;
    if (end < old_bytes) {
        pieces[piece_count++] = resp_slice(old + end, old_bytes - end);
    }
    outcome = put_pieces(call, update, pieces, piece_count);
    serve_buffer_give(call->common->memory, scratch);
    return outcome;
}

enum resp_outcome resp_setrange(struct resp_call *call)
{
    struct resp_update update;
    enum resp_outcome outcome;
    int64_t offset;

    if (!resp_read_integer(call->words[2], &offset)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    if (offset < 0) {
        resp_say_error(call->reply, "ERR offset is out of range");
        return RESP_ANSWERED;
    }
    if (!resp_update_begin(call, &call->words[1], &update, &outcome)) {
        return outcome;
    }
    if (call->words[3].byte_count == 0) {
        int64_t byte_count = (int64_t)update.value.byte_count;

        outcome = resp_update_leave(call, &update);
        resp_say_integer(call->reply, byte_count);
        return outcome;
    }
    if (!resp_value_fits(call, (size_t)offset, call->words[3].byte_count)) {
        return resp_update_leave(call, &update);
    }
    return replace(call, &update, (size_t)offset, call->words[3]);
}
