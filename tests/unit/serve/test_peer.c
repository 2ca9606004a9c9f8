/*
 * Addresses to and from text.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include <serve/peer.h>

static void addresses_come_back_as_they_were(void **state)
{
    static const char *const texts[] = {
        "127.0.0.1:11211",           "0.0.0.0:1", "[::1]:65535", "[::]:0", "[fe80::1:2:3:4]:11211",
        "unix:/run/quarry/mem.sock", "unix:a",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct serve_address address;
        char text[128];
        assert_int_equal(serve_address_parse(texts[i], &address, NULL), QUARRY_OK);
        serve_address_print(&address, text, sizeof(text));
        assert_string_equal(text, texts[i]);
    }
}

static void short_forms_are_understood(void **state)
{
    struct serve_address address;
    char text[64];

    (void)state;
    assert_int_equal(serve_address_parse("*:7", &address, NULL), QUARRY_OK);
    serve_address_print(&address, text, sizeof(text));
    assert_string_equal(text, "0.0.0.0:7");
    assert_true(serve_address_is_any(&address));
    assert_int_equal(serve_address_parse("localhost:7", &address, NULL), QUARRY_OK);
    serve_address_print(&address, text, sizeof(text));
    assert_string_equal(text, "127.0.0.1:7");
    assert_false(serve_address_is_any(&address));
}

static void what_is_no_address_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "11211",
        ":11211",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "127.0.0.1:1 ",
        "::1:11211",
        "[::1]",
        "[::1]:",
        "[127.0.0.1]:1",
        "example.org:1",
        "1.2.3:1",
        "[::1:1",
        "[]:1",
        "unix:",
        "127.0.0.1:000000001",
        "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]:1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct serve_address address;
        struct quarry_error error = {0};
        if (serve_address_parse(texts[i], &address, &error) != QUARRY_BAD_INPUT) {
            fail_msg("'%s' was taken for an address", texts[i]);
        }
        assert_int_not_equal(error.text[0], '\0');
    }
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    struct serve_address address;
    char text[5 + 109];

    (void)state;
    memset(text, 'p', sizeof(text));
    memcpy(text, "unix:", 5);
    text[5 + 107] = '\0';
    assert_int_equal(serve_address_parse(text, &address, NULL), QUARRY_OK);
    text[5 + 107] = 'p';
    text[5 + 108] = '\0';
    assert_int_equal(serve_address_parse(text, &address, NULL), QUARRY_TOO_LARGE);
}

static void loopback_is_known(void **state)
{
    static const struct {
        const char *text;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1:1", true}, {"127.255.0.9:1", true}, {"128.0.0.1:1", false}, {"*:1", false},
        {"[::1]:1", true},     {"[::]:1", false},       {"[::2]:1", false},     {"unix:/a", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct serve_address address;
        assert_int_equal(serve_address_parse(cases[i].text, &address, NULL), QUARRY_OK);
        assert_int_equal(serve_address_is_loopback(&address), cases[i].is_loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_come_back_as_they_were),
        cmocka_unit_test(short_forms_are_understood),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
        cmocka_unit_test(loopback_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
