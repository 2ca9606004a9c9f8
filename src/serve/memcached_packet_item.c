/*
 * Packets about one item: get, touch, store, delete, count.
 *
 * Invariants:
 *  1. Of a get whose value goes out in stretches, a byte is left unconsumed until it has gone.
 *  2. A store's cursor is behind the key; the value is taken by memcached_store_value.
 *
 * Source: behaviour of memcached 1.6.18, observed.
 */
#include <serve/memcached_packet.h>
#include <serve/memcached_packet_parts.h>
#include <serve/memcached_store.h>

static enum memcached_packet_status status_of(enum quarry_cache_outcome outcome)
{
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return MEMCACHED_STATUS_OK;
    case QUARRY_CACHE_MISS:
        return MEMCACHED_STATUS_NOT_FOUND;
    case QUARRY_CACHE_NOT_STORED:
        return MEMCACHED_STATUS_NOT_STORED;
    case QUARRY_CACHE_EXISTS:
        return MEMCACHED_STATUS_EXISTS;
    case QUARRY_CACHE_NOT_NUMBER:
        return MEMCACHED_STATUS_NOT_NUMBER;
    case QUARRY_CACHE_NO_MEMORY:
        return MEMCACHED_STATUS_NO_MEMORY;
    case QUARRY_CACHE_TOO_LARGE:
        return MEMCACHED_STATUS_TOO_LARGE;
    }
    Q_UNREACHABLE();
}

/* ---- get ------------------------------------------------------------------------------------ */

static struct quarry_cache_key key_of(const struct memcached_turn *turn,
                                      const struct memcached_packet *packet)
{
    return quarry_cache_key_make(turn->tenant, packet->key.text, packet->key.length);
}

/* A number of seconds in a packet's extras. */
static uint32_t expiry_at(const char *extras)
{
    return memcached_expiry((int32_t)endian_load_be_u32(extras));
}

static enum memcached_step say_miss(struct memcached_turn *turn,
                                    const struct memcached_packet *packet)
{
    if (memcached_packet_is(packet, MEMCACHED_PACKET_QUIET)) {
        return MEMCACHED_ON;
    }
    if (!memcached_packet_is(packet, MEMCACHED_PACKET_KEY)) {
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_NOT_FOUND);
    }
    return memcached_packet_send(
        turn, &(struct memcached_packet_answer){.opcode = packet->opcode,
                                                .status = MEMCACHED_STATUS_NOT_FOUND,
                                                .opaque = packet->opaque,
                                                .key = packet->key});
}

enum memcached_step memcached_packet_get(struct memcached_turn *turn,
                                         const struct memcached_packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_get_options touching = {
        .touches = memcached_packet_is(packet, MEMCACHED_PACKET_TOUCH),
        .expiry =
            memcached_packet_is(packet, MEMCACHED_PACKET_TOUCH) ? expiry_at(packet->extras) : 0};
    struct quarry_cache_hit hit;
    enum quarry_cache_outcome outcome =
        quarry_cache_get(turn->tenant, &key, touching.touches ? &touching : NULL, &hit);
    char client_flags[4];

    memcached_note(turn, MEMCACHED_EVENT_GET, &key,
                   outcome == QUARRY_CACHE_HIT ? "found" : "not_found",
                   outcome == QUARRY_CACHE_HIT ? hit.value_bytes : 0, NULL);
    if (outcome != QUARRY_CACHE_HIT) {
        return say_miss(turn, packet);
    }
    endian_store_be_u32(client_flags, hit.client_flags);
    struct memcached_packet_answer answer = {
        .opcode = packet->opcode,
        .opaque = packet->opaque,
        .cas = hit.cas,
        .extras = client_flags,
        .extras_bytes = sizeof client_flags,
        .key = memcached_packet_is(packet, MEMCACHED_PACKET_KEY) ? packet->key
                                                                 : (struct memcached_word){NULL, 0},
        .value_bytes = hit.value_bytes,
    };

    if (memcached_packet_send(turn, &answer) != MEMCACHED_ON) {
        return MEMCACHED_CLOSE;
    }
    turn->at -= 1; /* of the packet: until the value has gone */
    return memcached_send_value(turn, &hit, 0, MEMCACHED_REQUEST, 1);
}

enum memcached_step memcached_packet_touch(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_get_options options = {.touches = true,
                                                     .expiry = expiry_at(packet->extras)};
    struct quarry_cache_hit hit;
    char client_flags[4];

    memcached_count(&turn->counters->touch_requests);
    if (quarry_cache_get(turn->tenant, &key, &options, &hit) != QUARRY_CACHE_HIT) {
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_NOT_FOUND);
    }
    endian_store_be_u32(client_flags, hit.client_flags);
    return memcached_packet_send(
        turn, &(struct memcached_packet_answer){.opcode = packet->opcode,
                                                .opaque = packet->opaque,
                                                .cas = hit.cas,
                                                .extras = client_flags,
                                                .extras_bytes = sizeof client_flags});
}

/* ---- store ---------------------------------------------------------------------------------- */

enum memcached_step memcached_packet_stored(struct memcached_turn *turn,
                                            const struct memcached_storing *storing,
                                            enum quarry_cache_outcome outcome,
                                            const struct quarry_cache_stored *stored)
{
    enum memcached_packet_status status = status_of(outcome);

    /* An add that finds an item, and a replace that finds none, have statuses of their own. */
    if (outcome == QUARRY_CACHE_NOT_STORED && storing->options.mode == QUARRY_CACHE_ADD) {
        status = MEMCACHED_STATUS_EXISTS;
    } else if (outcome == QUARRY_CACHE_NOT_STORED &&
               storing->options.mode == QUARRY_CACHE_REPLACE) {
        status = MEMCACHED_STATUS_NOT_FOUND;
    }
    if (status != MEMCACHED_STATUS_OK) {
        return memcached_packet_say(turn, storing->opcode, storing->opaque, status,
                                    memcached_packet_text_of(status));
    }
    if (storing->is_quiet) {
        return MEMCACHED_ON;
    }
    return memcached_packet_send(turn, &(struct memcached_packet_answer){.opcode = storing->opcode,
                                                                         .opaque = storing->opaque,
                                                                         .cas = stored->cas});
}

enum memcached_step memcached_packet_store(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    struct memcached_storing storing;
    bool has_extras = packet->extras_bytes == 8;

    storing.form = MEMCACHED_PACKET;
    storing.is_quiet = memcached_packet_is(packet, MEMCACHED_PACKET_QUIET);
    storing.opcode = packet->opcode;
    storing.opaque = packet->opaque;
    storing.echo_bytes = 0;
    storing.options = (struct quarry_cache_store_options){
        .mode = (enum quarry_cache_mode)packet->code->mode,
        .client_flags = has_extras ? endian_load_be_u32(packet->extras) : 0,
        .expiry = has_extras ? expiry_at(packet->extras + 4) : 0,
        .has_cas = packet->cas != 0,
        .cas = packet->cas,
    };
    return memcached_store_value(turn, &storing, &key, memcached_packet_value_bytes(packet));
}

/* ---- changes -------------------------------------------------------------------------------- */

enum memcached_step memcached_packet_delete(struct memcached_turn *turn,
                                            const struct memcached_packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    const struct quarry_cache_delete_options options = {.has_cas = packet->cas != 0,
                                                        .cas = packet->cas};
    enum quarry_cache_outcome outcome = quarry_cache_delete(turn->tenant, &key, &options);

    memcached_note(turn, MEMCACHED_EVENT_DELETE, &key,
                   outcome == QUARRY_CACHE_HIT ? "deleted" : "not_found", 0, NULL);
    return outcome == QUARRY_CACHE_HIT
               ? memcached_packet_say_done(turn, packet)
               : memcached_packet_say_status(turn, packet, status_of(outcome));
}

enum memcached_step memcached_packet_count(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    struct quarry_cache_key key = key_of(turn, packet);
    uint32_t exptime = endian_load_be_u32(packet->extras + 16);
    const struct quarry_cache_count_options options = {
        .delta = endian_load_be_u64(packet->extras),
        .decrements = memcached_packet_is(packet, MEMCACHED_PACKET_DECREMENT),
        .has_cas = packet->cas != 0,
        .cas = packet->cas,
        .vivifies = exptime != UINT32_MAX,
        .initial = endian_load_be_u64(packet->extras + 8),
        .vivify_expiry = exptime != UINT32_MAX ? memcached_expiry((int32_t)exptime) : 0,
    };
    struct quarry_cache_counted counted;
    memcached_step_out(turn);
    enum quarry_cache_outcome outcome = quarry_cache_count(turn->tenant, &key, &options, &counted);
    memcached_step_in(turn);
    char number[8];

    if (outcome != QUARRY_CACHE_HIT) {
        return memcached_packet_say_status(turn, packet, status_of(outcome));
    }
    if (memcached_packet_is(packet, MEMCACHED_PACKET_QUIET)) {
        return MEMCACHED_ON;
    }
    endian_store_be_u64(number, counted.number);
    return memcached_packet_send(turn,
                                 &(struct memcached_packet_answer){.opcode = packet->opcode,
                                                                   .opaque = packet->opaque,
                                                                   .cas = counted.cas,
                                                                   .value = number,
                                                                   .value_bytes = sizeof number});
}
