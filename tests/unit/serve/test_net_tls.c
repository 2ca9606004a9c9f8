/*
 * TLS: conversations, certificates of clients, names, and certificates that change meanwhile.
 */
#include "unit/serve/net_rig.h"

#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <os/os.h>

static char folder[] = "/tmp/quarry-tls-XXXXXX";
static struct serve_tls *tls;

/* ---- certificates --------------------------------------------------------------------------- */

static const char *file_of(const char *name)
{
    static char paths[32][64];
    static unsigned next;
    char *path = paths[next++ % 32];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

static void shell(const char *command)
{
    char line[700];

    (void)snprintf(line, sizeof(line), "cd %s && (%s) >log 2>&1", folder, command);
    if (system(line) != 0) {
        fail_msg("failed: %s", command);
    }
}

/* NAME.pem and NAME.key, signed by the authority, for the common name. */
static void certificate_make(const char *name, const char *common_name)
{
    char command[600];

    (void)snprintf(command, sizeof(command),
                   "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
                   " -keyout %s.key -out %s.csr -subj '/CN=%s' && "
                   "openssl x509 -req -in %s.csr -CA ca.pem -CAkey ca.key -CAcreateserial"
                   " -days 30 -out %s.pem",
                   name, name, common_name, name, name);
    shell(command);
}

static int group_set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
          " -keyout ca.key -out ca.pem -subj /CN=authority -days 30");
    certificate_make("one", "one.example");
    certificate_make("two", "two.example");
    certificate_make("client", "ann");
    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
          " -keyout stranger.key -out stranger.pem -subj /CN=ann -days 30");
    return 0;
}

static int group_tear_down(void **state)
{
    (void)state;
    shell("rm -f -- *");
    return rmdir(folder);
}

/* Two certificates; clients' by `mode`. */
static struct serve_tls_options tls_options(enum serve_tls_verify mode)
{
    struct serve_tls_options options = {.certificate_count = 2, .ssl_verify_mode = mode};

    options.certificates[0] = (struct serve_certificate){file_of("one.pem"), file_of("one.key")};
    options.certificates[1] = (struct serve_certificate){file_of("two.pem"), file_of("two.key")};
    options.ssl_ca_cert = file_of("ca.pem");
    return options;
}

static bool certified(void *argument, const char *common_name, struct serve_identity *identity)
{
    (void)argument;
    (void)snprintf(identity->name, sizeof(identity->name), "%.40s", common_name);
    identity->rights = SERVE_ALL;
    return strcmp(common_name, "mallory") != 0;
}

static void tls_begin(enum serve_tls_verify mode)
{
    struct serve_tls_options options = tls_options(mode);
    struct quarry_error error = {0};

    if (serve_tls_create(&options, &tls, &error) != QUARRY_OK) {
        fail_msg("serve_tls_create: %s", error.text);
    }
    rig_create(&(struct serve_net_options){.hooks.certified = certified});
    rig_listen((struct serve_listener_options){.tls = tls});
    rig_start();
}

static int tear_down(void **state)
{
    (void)state;
    rig_end();
    serve_tls_destroy(tls);
    tls = NULL;
    return 0;
}

/* ---- clients -------------------------------------------------------------------------------- */

struct client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

/* `certificate`: NULL for none; `name`: to ask for. */
static struct client tls_client_prepare(const char *certificate, const char *name, int version)
{
    struct client client = {.fd = client_open(), .context = SSL_CTX_new(TLS_client_method())};
    char file[32];

    (void)SSL_CTX_set_max_proto_version(client.context, version);
    if (certificate != NULL) {
        (void)snprintf(file, sizeof(file), "%s.pem", certificate);
        assert_int_equal(SSL_CTX_use_certificate_chain_file(client.context, file_of(file)), 1);
        (void)snprintf(file, sizeof(file), "%s.key", certificate);
        assert_int_equal(
            SSL_CTX_use_PrivateKey_file(client.context, file_of(file), SSL_FILETYPE_PEM), 1);
    }
    client.ssl = SSL_new(client.context);
    (void)SSL_set_fd(client.ssl, client.fd);
    if (name != NULL) {
        char host[64]; /* the macro casts a const away */
        (void)snprintf(host, sizeof(host), "%s", name);
        (void)SSL_set_tlsext_host_name(client.ssl, host);
    }
    return client;
}

static struct client tls_client(const char *certificate, const char *name)
{
    struct client client = tls_client_prepare(certificate, name, TLS1_3_VERSION);

    assert_int_equal(SSL_connect(client.ssl), 1);
    return client;
}

static void tls_client_close(struct client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    client_close(client->fd);
    ERR_clear_error();
}

static void tls_send(struct client *client, const char *bytes, size_t byte_count)
{
    while (byte_count > 0) {
        size_t sent = 0;
        assert_int_equal(SSL_write_ex(client->ssl, bytes, byte_count, &sent), 1);
        bytes += sent;
        byte_count -= sent;
    }
}

static size_t tls_read(struct client *client, char *ret_bytes, size_t byte_count)
{
    size_t done = 0;

    while (done < byte_count) {
        size_t bytes = 0;
        if (SSL_read_ex(client->ssl, ret_bytes + done, byte_count - done, &bytes) != 1) {
            break;
        }
        done += bytes;
    }
    return done;
}

static void tls_expect(struct client *client, const char *text)
{
    char bytes[1000];
    size_t count = tls_read(client, bytes, strlen(text));

    bytes[count] = '\0';
    assert_string_equal(bytes, text);
}

static void tls_expect_name(struct client *client, const char *name)
{
    X509 *certificate = SSL_get1_peer_certificate(client->ssl);
    char common_name[64] = {0};

    assert_non_null(certificate);
    (void)X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, common_name,
                                    sizeof(common_name));
    X509_free(certificate);
    assert_string_equal(common_name, name);
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_conversation_is_encrypted(void **state)
{
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client client = tls_client(NULL, NULL);
    tls_send(&client, "echo hello\nwait x\nwho\n", 22);
    tls_expect(&client, "hello\nlater x\nname= rights=0 login=0 tls=1 ");
    tls_client_close(&client);
}

static void every_split_gives_the_same_answers(void **state)
{
    static const char text[] = "echo one\nput 10\n0123456789echo two\n";
    char wanted[100];

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    (void)sprintf(wanted, "one\nstored 10 %016" PRIx64 "\ntwo\n", line_hash(0, "0123456789", 10));
    struct client client = tls_client(NULL, NULL);
    for (size_t i = 1; i < sizeof(text) - 1; i++) {
        tls_send(&client, text, i);
        tls_send(&client, text + i, sizeof(text) - 1 - i);
        tls_expect(&client, wanted);
    }
    tls_client_close(&client);
}

static void large_answers_and_bodies_pass(void **state)
{
    enum { BYTES = 3000000 };
    char *body = malloc(BYTES), text[100];

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client client = tls_client(NULL, NULL);
    tls_send(&client, "big 3000000\n", 12);
    assert_int_equal(tls_read(&client, body, BYTES), BYTES);
    for (size_t i = 0; i < BYTES; i++) {
        if (body[i] != line_pattern_byte(i)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
    tls_send(&client, "put 3000000\n", 12);
    tls_send(&client, body, BYTES);
    (void)sprintf(text, "stored 3000000 %016" PRIx64 "\n", line_hash(0, body, BYTES));
    tls_expect(&client, text);
    tls_client_close(&client);
    free(body);
}

static void a_slow_reader_gets_all_of_it(void **state)
{
    enum { BYTES = 20000000 };
    char *body = malloc(BYTES);

    /* Copied and held pieces, small ones between: what waits is encrypted in whatever portions. */
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client client = tls_client(NULL, NULL);
    tls_send(&client, "echo a\nbig 100\necho b\nbig 19999000\necho c\nbig 1000\n", 51);
    os_sleep_ns(100 * Q_MS_NS);
    tls_expect(&client, "a\n");
    assert_int_equal(tls_read(&client, body, 100), 100);
    tls_expect(&client, "b\n");
    for (size_t at = 0; at < 19999000;) {
        size_t count = tls_read(&client, body + at, size_min(700000, 19999000 - at));
        assert_true(count > 0);
        at += count;
        os_sleep_ns(2 * Q_MS_NS);
    }
    for (size_t i = 0; i < 19999000; i++) {
        if (body[i] != line_pattern_byte(i)) {
            fail_msg("byte %zu is wrong", i);
        }
    }
    tls_expect(&client, "c\n");
    assert_int_equal(tls_read(&client, body, 1000), 1000);
    tls_client_close(&client);
    free(body);
}

static void a_client_shows_who_it_is(void **state)
{
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_REQUIRED);
    struct client client = tls_client("client", NULL);
    tls_send(&client, "who\n", 4);
    tls_expect(&client, "name=ann rights=15 login=0 tls=1 ");
    tls_client_close(&client);
}

static bool failed_handshakes(void *argument)
{
    return rig_counters().tls_failed_count >= *(uint64_t *)argument;
}

static void expect_refused(const char *certificate, int version)
{
    struct client client = tls_client_prepare(certificate, NULL, version);
    char byte;

    /* In TLS 1.3 the client is done before the server has seen its certificate. */
    if (SSL_connect(client.ssl) == 1) {
        (void)SSL_write(client.ssl, "echo x\n", 7);
        assert_int_equal(tls_read(&client, &byte, 1), 0);
    }
    tls_client_close(&client);
}

static void a_client_without_a_good_certificate_is_refused(void **state)
{
    uint64_t wanted = 4;

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_REQUIRED);
    expect_refused(NULL, TLS1_3_VERSION);
    expect_refused("stranger", TLS1_3_VERSION);
    expect_refused(NULL, TLS1_2_VERSION);
    expect_refused("stranger", TLS1_2_VERSION);
    rig_wait(failed_handshakes, &wanted);
    rig_wait_connections(0);
    assert_true(rig_news[SERVE_NEWS_TLS_FAILED] >= 4);
}

static void a_certificate_may_be_optional(void **state)
{
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_OPTIONAL);
    struct client without = tls_client(NULL, NULL), with = tls_client("client", NULL);
    tls_send(&without, "who\n", 4);
    tls_expect(&without, "name= rights=0 ");
    tls_send(&with, "who\n", 4);
    tls_expect(&with, "name=ann rights=15 ");
    expect_refused("stranger", TLS1_3_VERSION);
    tls_client_close(&without);
    tls_client_close(&with);
}

static void the_certificate_is_that_of_the_name_asked_for(void **state)
{
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client one = tls_client(NULL, NULL), two = tls_client(NULL, "two.example");
    struct client other = tls_client(NULL, "three.example");
    tls_expect_name(&one, "one.example");
    tls_expect_name(&two, "two.example");
    tls_expect_name(&other, "one.example");
    tls_client_close(&one);
    tls_client_close(&two);
    tls_client_close(&other);
}

static void old_versions_are_refused(void **state)
{
    uint64_t wanted = 1;

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client client = tls_client_prepare(NULL, NULL, TLS1_1_VERSION);
    SSL_set_security_level(client.ssl, 0);
    (void)SSL_set_cipher_list(client.ssl, "ALL:@SECLEVEL=0");
    assert_int_not_equal(SSL_connect(client.ssl), 1);
    tls_client_close(&client);
    rig_wait(failed_handshakes, &wanted);
    client = tls_client_prepare(NULL, NULL, TLS1_2_VERSION);
    assert_int_equal(SSL_connect(client.ssl), 1);
    tls_client_close(&client);
}

static void plain_text_is_no_handshake(void **state)
{
    uint64_t wanted = 1;
    char bytes[100];

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    int fd = client_open();
    client_send(fd, "get key\r\n");
    assert_true(client_read(fd, bytes, sizeof(bytes)) < sizeof(bytes)); /* an alert, and the end */
    client_close(fd);
    rig_wait(failed_handshakes, &wanted);
}

static void a_handshake_that_does_not_come_is_cut(void **state)
{
    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    serve_net_set_limits(net, &(struct serve_limits){.line_deadline_ns = 100 * Q_MS_NS});
    int fd = client_open();
    client_expect_end(fd, true);
    assert_int_equal(rig_counters().slow_writer_count, 1);
    client_close(fd);
}

static void certificates_change_and_connections_stay(void **state)
{
    struct quarry_error error = {0};
    struct serve_tls_options changed = tls_options(SERVE_TLS_VERIFY_NONE);
    struct serve_tls_options bad = changed;

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client old = tls_client(NULL, NULL);
    tls_expect_name(&old, "one.example");
    assert_in_range(serve_tls_expiry_s(tls) - time(NULL), 29 * 86400, 31 * 86400);
    changed.certificates[0] = changed.certificates[1];
    changed.certificate_count = 1;
    assert_int_equal(serve_tls_reload(tls, &changed, &error), QUARRY_OK);
    struct client new = tls_client(NULL, NULL);
    tls_expect_name(&new, "two.example");
    tls_send(&old, "echo old\n", 9);
    tls_expect(&old, "old\n");
    bad.certificates[1].ssl_key = file_of("one.key"); /* not its own */
    assert_int_equal(serve_tls_reload(tls, &bad, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "one.key"));
    bad.certificates[1].ssl_key = file_of("nothing.key");
    assert_int_equal(serve_tls_reload(tls, &bad, &error), QUARRY_IO);
    bad.certificate_count = 0;
    assert_int_equal(serve_tls_reload(tls, &bad, &error), QUARRY_BAD_INPUT);
    struct client newest = tls_client(NULL, NULL); /* nothing has changed */
    tls_expect_name(&newest, "two.example");
    tls_send(&new, "echo new\n", 9);
    tls_expect(&new, "new\n");
    tls_client_close(&old);
    tls_client_close(&new);
    tls_client_close(&newest);
}

static void a_drain_says_goodbye(void **state)
{
    char byte;

    (void)state;
    tls_begin(SERVE_TLS_VERIFY_NONE);
    struct client client = tls_client(NULL, NULL);
    tls_send(&client, "echo x\nquit\n", 12);
    tls_expect(&client, "x\n");
    size_t bytes = 0;
    int result = SSL_read_ex(client.ssl, &byte, 1, &bytes);
    assert_int_equal(SSL_get_error(client.ssl, result), SSL_ERROR_ZERO_RETURN);
    serve_net_begin_drain(net);
    tls_client_close(&client);
    assert_true(serve_net_wait_drained(net, UINT64_MAX));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_conversation_is_encrypted),
        TEST(every_split_gives_the_same_answers),
        TEST(large_answers_and_bodies_pass),
        TEST(a_slow_reader_gets_all_of_it),
        TEST(a_client_shows_who_it_is),
        TEST(a_client_without_a_good_certificate_is_refused),
        TEST(a_certificate_may_be_optional),
        TEST(the_certificate_is_that_of_the_name_asked_for),
        TEST(old_versions_are_refused),
        TEST(plain_text_is_no_handshake),
        TEST(a_handshake_that_does_not_come_is_cut),
        TEST(certificates_change_and_connections_stay),
        TEST(a_drain_says_goodbye),
    };
    return cmocka_run_group_tests(tests, group_set_up, group_tear_down);
}
