/*
 * ACL LOG: who was refused a login or a command.
 *
 *   ring of 64     next ─▸ the oldest, which the next one overwrites
 *
 * Somebody who is refused the same again within a minute is one entry, with a count: who guesses
 * passwords does not push out the others.
 *
 * Locking: one mutex, a leaf; answers are written under it, into memory. 40 KiB, static.
 */
#include <os/os.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <serve/resp/server_commands.h>

#define ENTRY_COUNT 64u
#define SAME_MS     60000u

struct entry {
    uint64_t first_ms, last_ms, count;
    char reason[16], object[64], user[RESP_USER_BYTES], client[400];
    bool is_in_multi;
};

static struct {
    struct os_mutex mutex;
    struct entry entries[ENTRY_COUNT]; /* guarded by mutex, as the rest */
    uint32_t next, count;
} denied;

void resp_acl_log_open(void)
{
    os_mutex_init(&denied.mutex, OS_RANK_LEAF, 0);
    denied.next = 0;
    denied.count = 0;
}

void resp_acl_log_close(void)
{
    denied.count = 0;
}

/* The n-th newest, from 0. */
static struct entry *nth(uint32_t n)
{
    os_mutex_assert_held(&denied.mutex);
    return &denied.entries[(denied.next + ENTRY_COUNT - 1 - n) % ENTRY_COUNT];
}

static bool is_same(const struct entry *old, const struct entry *new)
{
    return new->last_ms - old->last_ms < SAME_MS &&strcmp(old->reason, new->reason) == 0 &&
           strcmp(old->object, new->object) == 0 && strcmp(old->user, new->user) == 0 &&
           old->is_in_multi == new->is_in_multi;
}

static void keep(const struct entry *new)
{
    os_mutex_lock(&denied.mutex);
    for (uint32_t i = 0; i < denied.count; i++) {
        if (is_same(nth(i), new)) {
            nth(i)->last_ms = new->last_ms;
            nth(i)->count++;
            os_mutex_unlock(&denied.mutex);
            return;
        }
    }
    denied.entries[denied.next] = *new;
    denied.next = (denied.next + 1) % ENTRY_COUNT;
    denied.count += denied.count < ENTRY_COUNT ? 1 : 0;
    os_mutex_unlock(&denied.mutex);
}

void resp_admin_note_denied(const struct resp_session *session, const char *what, const char *word)
{
    uint64_t now_ms = keyspace_now_ms(resp_admin_settings()->keyspace);
    struct entry new = {
        .first_ms = now_ms, .last_ms = now_ms, .count = 1, .is_in_multi = session->is_in_multi};
    struct resp_client client;

    resp_client_read(session, session->connection, &client);
    (void)snprintf(new.reason, sizeof new.reason, "%s", what);
    (void)snprintf(new.object, sizeof new.object, "%s", word);
    (void)snprintf(new.user, sizeof new.user, "%s",
                   session->user[0] == '\0' ? "default" : session->user);
    (void)snprintf(new.client, sizeof new.client, "id=%" PRIu64 " addr=%s laddr=%s name=%s",
                   client.id, client.peer, client.local, client.name);
    keep(&new);
}

static void say_entry(struct resp_reply *reply, const struct entry *entry, uint64_t now_ms)
{
    char age[32];

    (void)snprintf(age, sizeof age, "%.3f", (double)sat_sub_u64(now_ms, entry->last_ms) / 1000);
    resp_say_map(reply, 7);
    resp_say_text(reply, "count");
    resp_say_integer(reply, (int64_t)entry->count);
    resp_say_text(reply, "reason");
    resp_say_text(reply, entry->reason);
    resp_say_text(reply, "context");
    resp_say_text(reply, entry->is_in_multi ? "multi" : "toplevel");
    resp_say_text(reply, "object");
    resp_say_text(reply, entry->object);
    resp_say_text(reply, "username");
    resp_say_text(reply, entry->user);
    resp_say_text(reply, "age-seconds");
    resp_say_text(reply, age);
    resp_say_text(reply, "client-info");
    resp_say_text(reply, entry->client);
}

#define LOG_COUNT_DEFAULT 10

enum resp_outcome resp_acl_log(struct resp_call *call)
{
    int64_t count = LOG_COUNT_DEFAULT;

    if (call->word_count == 3 && resp_is(call->words[2], "reset")) {
        os_mutex_lock(&denied.mutex);
        denied.count = 0;
        os_mutex_unlock(&denied.mutex);
        resp_say_ok(call->reply);
        return RESP_ANSWERED;
    }
    if (call->word_count > 3) {
        resp_say_wrong_form(call);
        return RESP_ANSWERED;
    }
    if (call->word_count == 3 && !resp_read_integer(call->words[2], &count)) {
        resp_say_not_an_integer(call->reply);
        return RESP_ANSWERED;
    }
    os_mutex_lock(&denied.mutex);
    uint32_t told = (uint32_t)size_min_u64(count < 0 ? 0 : (uint64_t)count, denied.count);
    resp_say_array(call->reply, told);
    for (uint32_t i = 0; i < told; i++) {
        say_entry(call->reply, nth(i), call->now_ms);
    }
    os_mutex_unlock(&denied.mutex);
    return RESP_ANSWERED;
}
