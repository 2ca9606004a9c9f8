/*
 * Logins by text, and what all forms of a login share.
 *
 * Before a login a connection may log in, ask for the version, and quit; all else is told that it
 * is unauthenticated. What it can have buffered is a line and a small value.
 *
 * Invariants:
 *  1. No answer tells a user that does not exist from a password that is wrong; time is the
 *     verifier's matter.
 *  2. A connection that failed three times is closed: it is answered the third time, and then no
 *     more, whatever it sends.
 *  3. A line is looked at when it is whole, a login when its value is: so the answer does not
 * depend on where the bytes were split.
 *
 * Which form a login has is decided by its value: two words are USER PASSWORD, one is the password
 * of the user that is named as the key.
 *
 * Source: memcached's authfile; MemCachier's documentation of its ASCII authentication.
 */
#include <serve/memcached_login.h>

#include <serve/memcached_packet.h>
#include <serve/memcached_request.h>

/* The longest value of a login: a user, a space, a password. */
#define LOGIN_BYTES_MAX (MEMCACHED_USER_BYTES_MAX + 1 + MEMCACHED_PASSWORD_BYTES_MAX)

/* ---- all forms ------------------------------------------------------------------------------ */

enum memcached_step memcached_login_answer(struct memcached_turn *turn,
                                           const struct serve_identity *identity)
{
    struct memcached_state *state = turn->state;
    bool is_granted = identity != NULL;
    enum memcached_step step;

    memcached_count(&turn->counters->logins);
    if (is_granted) {
        Q_ASSERT(identity->tenant != NULL && identity->rights != 0);
        *turn->identity = *identity;
        state->failed_logins = 0;
    } else {
        memcached_count(&turn->counters->logins_refused);
        state->failed_logins++;
    }
    if (state->protocol == MEMCACHED_BINARY) {
        step = memcached_packet_login_done(turn, is_granted);
    } else {
        step = is_granted ? MEMCACHED_SAY(turn, "STORED")
                          : MEMCACHED_SAY(turn, "CLIENT_ERROR authentication failure");
    }
    return state->failed_logins < MEMCACHED_LOGINS_MAX ? step : MEMCACHED_CLOSE;
}

enum memcached_step memcached_login(struct memcached_turn *turn,
                                    const struct memcached_credentials *credentials)
{
    const struct memcached_hooks *hooks = &memcached.settings.hooks;
    struct serve_identity identity = {.rights = 0};

    if (hooks->login == NULL || credentials->user_bytes > MEMCACHED_USER_BYTES_MAX ||
        credentials->password_bytes > MEMCACHED_PASSWORD_BYTES_MAX) {
        return memcached_login_answer(turn, NULL);
    }
    /* Before the hook is called: its answer may be posted while it runs. */
    turn->state->phase = MEMCACHED_LOGIN;
    switch (hooks->login(hooks->argument, turn->connection, credentials, &identity)) {
    case MEMCACHED_VERIFYING:
        return MEMCACHED_ON;
    case MEMCACHED_GRANTED:
        turn->state->phase = MEMCACHED_REQUEST;
        return memcached_login_answer(turn, &identity);
    case MEMCACHED_REFUSED:
        break;
    }
    turn->state->phase = MEMCACHED_REQUEST;
    return memcached_login_answer(turn, NULL);
}

/* ---- text ----------------------------------------------------------------------------------- */

/* The value of a login, without its line end. */
static enum memcached_step login_by_value(struct memcached_turn *turn, struct memcached_word user,
                                          struct memcached_word value)
{
    struct memcached_words words;

    memcached_split(value, &words);
    if (words.count == 0) {
        return MEMCACHED_SAY(turn, "CLIENT_ERROR bad authentication token format");
    }
    if (words.count > 1) {
        user = words.at[0];
    }
    struct memcached_word password = words.at[words.count > 1 ? 1 : 0];

    return memcached_login(turn, &(struct memcached_credentials){user.text, user.length,
                                                                 password.text, password.length});
}

/* A line `set USER FLAGS EXPTIME BYTES`, and what stands behind it. */
static enum memcached_step login_by_set(struct memcached_turn *turn, size_t line_bytes,
                                        const struct memcached_words *words)
{
    uint32_t value_bytes;

    if (words->count < 5 || !MEMCACHED_WORD_IS(words->at[0], "set") ||
        !memcached_read_u32(words->at[4], &value_bytes)) {
        turn->at += line_bytes;
        return MEMCACHED_SAY(turn, "CLIENT_ERROR unauthenticated");
    }
    if (value_bytes > LOGIN_BYTES_MAX) {
        turn->at += line_bytes;
        if (memcached_login_answer(turn, NULL) != MEMCACHED_ON) {
            return MEMCACHED_CLOSE;
        }
        return memcached_swallow(turn, (uint64_t)value_bytes + 2);
    }
    const char *value = turn->at + line_bytes;

    if (memcached_left(turn) < line_bytes + value_bytes + 2) {
        return MEMCACHED_MORE;
    }
    turn->at = value + value_bytes + 2;
    if (memcmp(value + value_bytes, "\r\n", 2) != 0) {
        return MEMCACHED_SAY(turn, "CLIENT_ERROR bad command line termination");
    }
    return login_by_value(turn, words->at[1], (struct memcached_word){value, value_bytes});
}

enum memcached_step memcached_login_text_phase(struct memcached_turn *turn)
{
    size_t looked = size_min(memcached_left(turn), MEMCACHED_LINE_BYTES_MAX);
    const char *newline = memchr(turn->at, '\n', looked);
    struct memcached_words words;

    if (newline == NULL) {
        return looked < MEMCACHED_LINE_BYTES_MAX ? MEMCACHED_MORE : MEMCACHED_CLOSE;
    }
    size_t length = (size_t)(newline - turn->at);
    struct memcached_word line = {turn->at,
                                  length > 0 && newline[-1] == '\r' ? length - 1 : length};

    turn->state->turn_requests++;
    memcached_split(line, &words);
    if (words.count > 0 && MEMCACHED_WORD_IS(words.at[0], "quit")) {
        return MEMCACHED_CLOSE;
    }
    if (words.count > 0 && MEMCACHED_WORD_IS(words.at[0], "version")) {
        turn->at += length + 1;
        return memcached_say_version(turn);
    }
    return login_by_set(turn, length + 1, &words);
}
