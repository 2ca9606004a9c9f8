/*
 * Packets about the server, or about who speaks: flush, statistics, verbosity, logins.
 *
 * A login may be verified elsewhere: the connection is in MEMCACHED_LOGIN then, its state has the
 * opcode and the opaque of the answer, and memcached_packet_login_done gives it.
 *
 * Source: behaviour of memcached 1.6.18, observed; RFC 4616 for PLAIN.
 */
#include <serve/memcached_login.h>
#include <serve/memcached_packet.h>
#include <serve/memcached_packet_parts.h>
#include <serve/memcached_stats.h>
#include <serve/memcached_watch.h>

/* ---- the server ----------------------------------------------------------------------------- */

enum memcached_step memcached_packet_flush(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    int32_t exptime = packet->extras_bytes == 4 ? (int32_t)endian_load_be_u32(packet->extras) : 0;

    memcached_count(&turn->counters->flush_requests);
    if (atomic_load_relaxed_bool(&memcached.refuses_flush)) { /* relaxed: a setting */
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_LOGIN);
    }
    quarry_cache_flush(turn->tenant, exptime > 0 ? memcached_expiry(exptime) : 0);
    return memcached_packet_say_done(turn, packet);
}

/* Which packet asked for the figures that are told: its opaque is in each of them. */
enum memcached_step memcached_tell_packet(struct memcached_turn *turn, const char *name,
                                          const char *value)
{
    return memcached_packet_send(
        turn, &(struct memcached_packet_answer){.opcode = 0x10,
                                                .opaque = turn->state->login_opaque,
                                                .key = {name, strlen(name)},
                                                .value = value,
                                                .value_bytes = strlen(value)});
}

enum memcached_step memcached_packet_stats(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    enum memcached_step step = MEMCACHED_ON;

    turn->state->login_opaque = packet->opaque;
    if (MEMCACHED_WORD_IS(packet->key, "reset")) {
        memcached_reset_stats(turn);
    } else if (MEMCACHED_WORD_IS(packet->key, "detail on") ||
               MEMCACHED_WORD_IS(packet->key, "detail off")) {
        if (!memcached_may(turn, SERVE_ADMIN)) {
            return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_LOGIN);
        }
        memcached_count_prefixes(MEMCACHED_WORD_IS(packet->key, "detail on"));
    } else if (MEMCACHED_WORD_IS(packet->key, "detail dump")) {
        step = memcached_tell_prefixes(turn, memcached_tell_packet);
    } else if (!memcached_tell_stats(turn, packet->key, memcached_tell_packet, &step)) {
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_NOT_FOUND);
    }
    return step == MEMCACHED_ON && turn->state->phase == MEMCACHED_REQUEST
               ? memcached_tell_packet(turn, "", "")
               : step;
}

enum memcached_step memcached_packet_set_verbosity(struct memcached_turn *turn,
                                                   const struct memcached_packet *packet)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    uint32_t level = endian_load_be_u32(packet->extras);

    level = level > 2 ? 2 : level;
    atomic_store_relaxed_u32(&memcached.verbosity, level); /* relaxed: a setting */
    if (hooks->set_verbosity != NULL) {
        hooks->set_verbosity(hooks->argument, level);
    }
    return memcached_packet_say_done(turn, packet);
}

/* ---- logins --------------------------------------------------------------------------------- */

enum memcached_step memcached_packet_login_done(struct memcached_turn *turn, bool is_granted)
{
    const struct memcached_state *state = turn->state;

    return is_granted ? memcached_packet_say(turn, state->login_opcode, state->login_opaque,
                                             MEMCACHED_STATUS_OK, "Authenticated")
                      : memcached_packet_say(turn, state->login_opcode, state->login_opaque,
                                             MEMCACHED_STATUS_LOGIN,
                                             memcached_packet_text_of(MEMCACHED_STATUS_LOGIN));
}

/* PLAIN: whom to act for (nobody else), a NUL, the user, a NUL, the password. */
static enum memcached_step login_plain(struct memcached_turn *turn, struct memcached_word value)
{
    const char *end = value.text + value.length;
    const char *user = memchr(value.text, '\0', value.length);
    const char *password = user == NULL ? NULL : memchr(user + 1, '\0', (size_t)(end - user - 1));

    if (password == NULL) {
        return memcached_login_answer(turn, NULL);
    }
    user++;
    password++;
    return memcached_login(turn,
                           &(struct memcached_credentials){user, (size_t)(password - 1 - user),
                                                           password, (size_t)(end - password)});
}

enum memcached_step memcached_packet_login(struct memcached_turn *turn,
                                           const struct memcached_packet *packet)
{
    struct memcached_word value = {turn->at, memcached_packet_value_bytes(packet)};

    if (!serve_connection_needs_login(turn->connection)) {
        turn->at += value.length;
        return memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_UNKNOWN);
    }
    turn->at += value.length;
    turn->state->login_opcode = packet->opcode;
    turn->state->login_opaque = packet->opaque;
    if (packet->opcode != 0x21 || !MEMCACHED_WORD_IS(packet->key, "PLAIN")) {
        return memcached_login_answer(turn, NULL);
    }
    return login_plain(turn, value);
}

enum memcached_step memcached_packet_list_logins(struct memcached_turn *turn,
                                                 const struct memcached_packet *packet)
{
    return serve_connection_needs_login(turn->connection)
               ? memcached_packet_say(turn, packet->opcode, packet->opaque, MEMCACHED_STATUS_OK,
                                      "PLAIN")
               : memcached_packet_say_status(turn, packet, MEMCACHED_STATUS_UNKNOWN);
}
