/*
 * Credentials, and browsers that are made to ask.
 *
 * A page of a stranger can have the browser of somebody who may reach this server send requests to
 * it. It cannot read the answers, unless its own name leads here: a name whose address was changed
 * after the page was loaded ("DNS rebinding"). So a request that changes something has to name a
 * host that no stranger's page has: an address, "localhost", or a name from the configuration. And
 * where a browser says whose page asks (Origin), that has to be the host itself: credentials that
 * the browser knows are sent along whoever asks.
 *
 * A name is not looked at where the request brings its own credentials: a browser gives those to
 * the host alone that asked for them.
 *
 * Bearer takes the same word as Basic, so that a client that can send only a token can log in.
 *
 * Locking: none. Cost: a walk over the fields.
 *
 * Source: RFC 7617, RFC 6750; the fetch standard on Origin.
 */
#include <serve/http/access.h>

#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include <serve/http/fields.h>

/* ---- credentials ---------------------------------------------------------------------------- */

static int base64_value(char byte)
{
    if (byte >= 'A' && byte <= 'Z') {
        return byte - 'A';
    }
    if (byte >= 'a' && byte <= 'z') {
        return byte - 'a' + 26;
    }
    if (http_is_digit(byte)) {
        return byte - '0' + 52;
    }
    return byte == '+' ? 62 : byte == '/' ? 63 : -1;
}

/* Returns: how many bytes; SIZE_MAX: it is no base64, or too long. */
static size_t base64_decode(struct http_slice text, char *room, size_t room_bytes)
{
    uint32_t bits = 0, bit_count = 0;
    size_t count = 0, end = text.count;

    while (end > 0 && text.bytes[end - 1] == '=' && text.count - end < 2) {
        end--;
    }
    if ((end < text.count && text.count % 4 != 0) || end % 4 == 1) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i < end; i++) {
        int value = base64_value(text.bytes[i]);
        if (value < 0) {
            return SIZE_MAX;
        }
        bits = bits << 6 | (uint32_t)value;
        bit_count += 6;
        if (bit_count >= 8) {
            if (count == room_bytes) {
                return SIZE_MAX;
            }
            bit_count -= 8;
            room[count++] = (char)(bits >> bit_count);
        }
    }
    return count;
}

static bool read_word(struct http_slice word, struct http_credentials *ret_credentials)
{
    size_t count = base64_decode(word, ret_credentials->bytes, sizeof ret_credentials->bytes);
    const char *colon =
        count == SIZE_MAX || count == 0 ? NULL : memchr(ret_credentials->bytes, ':', count);

    if (colon == NULL) {
        return false;
    }
    size_t name_bytes = (size_t)(colon - ret_credentials->bytes);

    ret_credentials->name = (struct http_slice){ret_credentials->bytes, name_bytes};
    ret_credentials->password = (struct http_slice){colon + 1, count - name_bytes - 1};
    return true;
}

enum http_authorization http_authorization_read(const char *bytes, const struct http_head *head,
                                                struct http_credentials *ret_credentials)
{
    struct http_slice value = {"", 0};
    uint32_t count = http_field_find(bytes, head, "authorization", &value);

    if (count == 0) {
        return HTTP_AUTHORIZED_BY_NOTHING;
    }
    const char *space = value.count == 0 ? NULL : memchr(value.bytes, ' ', value.count);
    if (count > 1 || space == NULL) {
        return HTTP_AUTHORIZED_BADLY;
    }
    struct http_slice kind = {value.bytes, (size_t)(space - value.bytes)};
    struct http_slice word = {space + 1, value.count - kind.count - 1};

    while (word.count > 0 && word.bytes[0] == ' ') {
        word = (struct http_slice){word.bytes + 1, word.count - 1};
    }
    bool is_known = http_slice_is(kind, "basic") || http_slice_is(kind, "bearer");
    return is_known && read_word(word, ret_credentials) ? HTTP_AUTHORIZED_BY_PASSWORD
                                                        : HTTP_AUTHORIZED_BADLY;
}

/* ---- browsers ------------------------------------------------------------------------------- */

/* No page has an address for its name, but those that are served from there. */
static bool is_ipv4(struct http_slice host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;

    if (host.count == 0 || host.count >= sizeof text) {
        return false;
    }
    memcpy(text, host.bytes, host.count);
    text[host.count] = '\0';
    return inet_pton(AF_INET, text, &address) == 1;
}

static bool is_listed(struct http_slice host, const char *hosts)
{
    struct http_slice rest = {hosts, strlen(hosts)}, name;

    while (http_list_next(&rest, &name)) {
        bool is_same =
            name.count == host.count && strncasecmp(name.bytes, host.bytes, host.count) == 0;
        if (is_same || http_slice_equals(name, "*")) {
            return true;
        }
    }
    return false;
}

static bool is_ours(const struct http_authority *authority, const char *hosts)
{
    return authority->is_ipv6 || is_ipv4(authority->host) ||
           http_slice_is(authority->host, "localhost") || is_listed(authority->host, hosts);
}

static bool slices_are_same(struct http_slice a, struct http_slice b)
{
    return a.count == b.count && strncasecmp(a.bytes, b.bytes, a.count) == 0;
}

/* "http://host:port" against the host that is asked. */
static bool is_same_origin(struct http_slice origin, const struct http_framing *framing)
{
    struct http_authority authority;
    const char *slashes = origin.count < 3 ? NULL : memmem(origin.bytes, origin.count, "://", 3);

    if (slashes == NULL) {
        return false; /* "null" */
    }
    size_t skipped = (size_t)(slashes - origin.bytes) + 3;
    struct http_slice rest = {slashes + 3, origin.count - skipped};

    return http_authority_read(rest, &authority) &&
           slices_are_same(authority.host, framing->authority.host) &&
           slices_are_same(authority.port, framing->authority.port);
}

const char *http_change_refused(const char *bytes, const struct http_head *head,
                                const struct http_framing *framing, const char *hosts)
{
    struct http_slice unused = {"", 0}, origin = {"", 0};
    bool has_credentials = http_field_find(bytes, head, "authorization", &unused) > 0;

    if (!has_credentials && !is_ours(&framing->authority, hosts)) {
        return "this host name is not one of http.hosts\n";
    }
    if (http_field_find(bytes, head, "origin", &origin) > 0 && !is_same_origin(origin, framing)) {
        return "a page of another origin asks for this\n";
    }
    return NULL;
}
