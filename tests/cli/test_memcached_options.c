/*
 * memcached's command lines: which settings each becomes, and which are refused with which code.
 *
 * Codes and words are those of memcached 1.6.18, started with the same lines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <cli/memcached_options.h>

#define WORDS_MAX 40

static struct memcached_options options;

/* A command line as a shell would split it, but that quotes mean nothing. */
struct words {
    char text[2048];
    char *at[WORDS_MAX + 1];
    int count;
};

static void split(const char *line, struct words *words)
{
    char *save = NULL;

    snprintf(words->text, sizeof words->text, "memcached %s", line);
    words->count = 0;
    for (char *word = strtok_r(words->text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        assert_in_range(words->count, 0, WORDS_MAX - 1);
        words->at[words->count++] = word;
    }
    words->at[words->count] = NULL;
}

static int parse(const char *line)
{
    static struct words words; /* the options point into it */

    split(line, &words);
    return memcached_options_parse(words.count, words.at, NULL, &options);
}

static void tell(void *argument, const char *text)
{
    (void)argument;
    print_error("%s\n", text);
}

/* What the server would make of it. */
static struct serve_config *load(const char *line)
{
    struct serve_config *config = NULL;
    struct quarry_error error = {0};

    if (parse(line) != 0) {
        fail_msg("'%s' is refused: %s", line, options.error);
    }
    if (serve_config_load(&options.sources, tell, NULL, &config, &error) != QUARRY_OK) {
        fail_msg("'%s' makes settings that are refused: %s", line, error.text);
    }
    return config;
}

/* A setting's value by its key. */
static const char *value_of(const struct serve_config *config, const char *key, char *buffer)
{
    for (uint32_t i = 0; i < SERVE_KEY_COUNT; i++) {
        if (strcmp(serve_setting((enum serve_key)i)->key, key) == 0) {
            return serve_config_format(config, (enum serve_key)i, buffer);
        }
    }
    fail_msg("there is no setting '%s'", key);
    return NULL;
}

struct want {
    const char *line;
    const char *key;
    const char *value;
};

static void assert_wants(const struct want *wants, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct serve_config *config = load(wants[i].line);
        char buffer[SERVE_VALUE_TEXT_BYTES];
        const char *value = value_of(config, wants[i].key, buffer);
        if (strcmp(value, wants[i].value) != 0) {
            fail_msg("'%s' makes %s = %s, not %s", wants[i].line, wants[i].key, value,
                     wants[i].value);
        }
        serve_config_destroy(config);
    }
}
#define ASSERT_WANTS(wants) assert_wants(wants, sizeof(wants) / sizeof((wants)[0]))

struct refusal {
    const char *line;
    int code;
    const char *text;
};

static void assert_refusals(const struct refusal *refusals, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int code = parse(refusals[i].line);
        if (code != refusals[i].code || strstr(options.error, refusals[i].text) == NULL) {
            fail_msg("'%s': code %d, not %d: %s", refusals[i].line, code, refusals[i].code,
                     options.error);
        }
    }
}
#define ASSERT_REFUSALS(refusals)                                                                  \
    assert_refusals(refusals, sizeof(refusals) / sizeof((refusals)[0]))

static bool has_note(const char *part, bool is_warning)
{
    for (uint32_t i = 0; i < options.note_count; i++) {
        if (options.notes[i].is_warning == is_warning &&
            strstr(options.notes[i].text, part) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- settings ------------------------------------------------------------------------------- */

static void without_options_it_is_as_memcached_is(void **state)
{
    static const struct want wants[] = {
        {"", "memcached.listen", "127.0.0.1:11211"},
        {"", "memcached.listen_tls", "off"},
        {"", "cache.size", "64m"},
        {"", "cache.item_max", "1m"},
        {"", "cache.evicts", "on"},
        {"", "cache.file", "auto"},
        {"", "server.data", "off"},
        {"", "server.durability", "none"},
        {"", "server.threads", "4"},
        {"", "server.insecure", "off"},
        {"", "net.connections_max", "1024"},
        {"", "net.backlog", "1024"},
        {"", "net.idle_timeout", "off"},
        {"", "memcached.allow", "flush,dump,watch"},
        {"", "memcached.prefixes", "off"},
        {"", "log.level", "warning"},
    };

    (void)state;
    ASSERT_WANTS(wants);
    assert_int_equal(options.note_count, 0);
    assert_int_equal(options.task, MEMCACHED_SERVE);
    assert_false(options.is_daemon || options.is_restartable || options.needs_users);
}

static void addresses_and_ports_are_put_together(void **state)
{
    static const struct want wants[] = {
        {"-p 1234", "memcached.listen", "127.0.0.1:1234"},
        {"-p1234", "memcached.listen", "127.0.0.1:1234"},
        {"--port=1234", "memcached.listen", "127.0.0.1:1234"},
        {"--por 1234", "memcached.listen", "127.0.0.1:1234"},
        {"-vvp 1234", "memcached.listen", "127.0.0.1:1234"},
        {"-p 1 -p 2", "memcached.listen", "127.0.0.1:2"},
        {"-p -1", "memcached.listen", "127.0.0.1:0"},
        {"-p 0", "memcached.listen", "off"},
        {"-l 127.0.0.2", "memcached.listen", "127.0.0.2:11211"},
        {"-l 127.0.0.2 -p 5", "memcached.listen", "127.0.0.2:5"},
        {"-l 127.0.0.2:6 -p 5", "memcached.listen", "127.0.0.2:6"},
        {"-l 127.0.0.2:6 -p 0", "memcached.listen", "127.0.0.2:6"},
        {"-l 127.0.0.2 -p 0", "memcached.listen", "off"},
        {"-l 127.0.0.1,::1 -p -1", "memcached.listen", "127.0.0.1:0,[::1]:0"},
        {"-l 127.0.0.1 -l [::1]:7", "memcached.listen", "127.0.0.1:11211,[::1]:7"},
        {"-l [::1]", "memcached.listen", "[::1]:11211"},
        {"-l 0.0.0.0", "memcached.listen", "0.0.0.0:11211"},
        {"-s /run/m.sock", "memcached.listen", "unix:/run/m.sock"},
        {"-s /run/m.sock -l 127.0.0.2 -p 4", "memcached.listen", "unix:/run/m.sock"},
        {"-b 7", "net.backlog", "7"},
        {"-b 0", "net.backlog", "1"},
        {"--listen-backlog=99999", "net.backlog", "65535"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void a_name_of_a_host_is_looked_up(void **state)
{
    char buffer[SERVE_VALUE_TEXT_BYTES];
    struct serve_config *config = load("-l localhost:77");
    const char *listen = value_of(config, "memcached.listen", buffer);

    (void)state;
    assert_true(strstr(listen, "127.0.0.1:77") != NULL || strstr(listen, "[::1]:77") != NULL);
    serve_config_destroy(config);
}

static void the_mask_of_a_socket_says_who_connects(void **state)
{
    static const struct want wants[] = {
        {"-s /s", "memcached.unix_mode", "0600"},
        {"-s /s -a 700", "memcached.unix_mode", "0600"},
        {"-s /s -a 755", "memcached.unix_mode", "0600"},
        {"-s /s -a 0770", "memcached.unix_mode", "0660"},
        {"-s /s --unix-mask=777", "memcached.unix_mode", "0666"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void sizes_and_counts_are_set(void **state)
{
    static const struct want wants[] = {
        {"-m 1024", "cache.size", "1g"},
        {"-m100", "cache.size", "100m"},
        {"--memory-limit=2", "cache.size", "2m"},
        {"-m 64 -I 2m", "cache.item_max", "2m"},
        {"-I 512k", "cache.item_max", "512k"},
        {"-I 1048576", "cache.item_max", "1m"},
        {"-I 4096K", "cache.item_max", "4m"},
        {"-I 8M", "cache.item_max", "8m"},
        {"-m 2048 -I 1g", "cache.item_max", "1g"},
        {"-I 1k", "cache.item_max", "1k"},
        {"-M", "cache.evicts", "off"},
        {"-t 2", "server.threads", "2"},
        {"-t 256", "server.threads", "256"},
        {"-c 5", "net.connections_max", "5"},
        {"-c 2000000", "net.connections_max", "1000000"},
        {"-o idle_timeout=15", "net.idle_timeout", "15s"},
        {"-o idle_timeout=0", "net.idle_timeout", "off"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void commands_are_allowed_and_refused(void **state)
{
    static const struct want wants[] = {
        {"-F", "memcached.allow", "dump,watch"},     {"-X", "memcached.allow", "flush,watch"},
        {"-W", "memcached.allow", "flush,dump"},     {"-A", "memcached.allow", "all"},
        {"-FXW", "memcached.allow", "none"},         {"-D :", "memcached.prefixes", "on"},
        {"-B ascii", "memcached.protocol", "ascii"}, {"-B binary", "memcached.protocol", "binary"},
        {"-B auto", "memcached.protocol", "auto"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void verbosity_is_a_level_of_the_log(void **state)
{
    static const struct want wants[] = {
        {"-v", "log.level", "info"},           {"-vv", "log.level", "debug"},
        {"-v -v -v", "log.level", "debug"},    {"--verbose", "log.level", "info"},
        {"--verbose=2", "log.level", "debug"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void users_come_from_files(void **state)
{
    struct serve_config *config = load("-Y /etc/users -l 0.0.0.0");
    char buffer[SERVE_VALUE_TEXT_BYTES];

    (void)state;
    assert_string_equal(value_of(config, "users.plain_file", buffer), "/etc/users");
    assert_string_equal(value_of(config, "server.insecure", buffer), "off");
    assert_false(has_note("without a login", true));
    serve_config_destroy(config);

    assert_int_equal(parse("-S"), 0);
    assert_true(options.needs_users);
    setenv("MEMCACHED_SASL_PWDB", "/etc/sasl", 1);
    config = load("-S");
    unsetenv("MEMCACHED_SASL_PWDB");
    assert_false(options.needs_users);
    assert_string_equal(value_of(config, "users.plain_file", buffer), "/etc/sasl");
    serve_config_destroy(config);
}

static void other_machines_are_let_in_by_an_explicit_word_with_a_warning(void **state)
{
    static const struct want wants[] = {
        {"-l 0.0.0.0", "server.insecure", "on"},
        {"-l ::", "server.insecure", "on"},
        {"-l 192.0.2.7:80,127.0.0.1", "server.insecure", "on"},
        {"-l 127.0.0.1,::1", "server.insecure", "off"},
        {"-s /s -l 0.0.0.0", "server.insecure", "off"},
    };

    (void)state;
    ASSERT_WANTS(wants);
    assert_int_equal(parse("-l 0.0.0.0"), 0);
    assert_true(has_note("without a login", true));
}

static void a_memory_file_is_what_outlives_the_process(void **state)
{
    static const struct want wants[] = {
        {"-e /mnt/ram/items", "server.data", "/mnt/ram/items.quarry"},
        {"-e /mnt/ram/items", "cache.file", "data"},
        {"-e /mnt/ram/items", "server.durability", "process"},
    };

    (void)state;
    ASSERT_WANTS(wants);
    assert_true(options.is_restartable);
}

static void certificates_are_settings_of_tls(void **state)
{
#define TLS "-Z -o ssl_chain_cert=/c.pem,ssl_key=/k.pem"
    static const struct want wants[] = {
        {TLS, "memcached.listen", "off"},
        {TLS, "memcached.listen_tls", "127.0.0.1:11211"},
        {TLS, "tls.certificate", "/c.pem"},
        {TLS, "tls.key", "/k.pem"},
        {TLS, "tls.version_min", "1.2"},
        {TLS, "tls.clients", "none"},
        {TLS " -o ssl_verify_mode=1", "tls.clients", "optional"},
        {TLS ",ssl_verify_mode=2", "tls.clients", "required"},
        {TLS ",ssl_verify_mode=3,ssl_ca_cert=/ca.pem", "tls.client_ca", "/ca.pem"},
        {TLS ",ssl_min_version=3", "tls.version_min", "1.3"},
        {TLS ",ssl_min_version=0", "tls.version_min", "1.2"},
        {TLS ",ssl_ciphers=HIGH:!aNULL", "tls.ciphers", "HIGH:!aNULL"},
        {TLS ",ssl_session_cache", "tls.session_cache", "on"},
        {TLS ",ssl_kernel_tls", "tls.kernel", "on"},
        {TLS " -l notls:127.0.0.1:5,127.0.0.1:6", "memcached.listen", "127.0.0.1:5"},
        {TLS " -l notls:127.0.0.1:5,127.0.0.1:6", "memcached.listen_tls", "127.0.0.1:6"},
        {TLS " -l mtls:127.0.0.1:5", "tls.clients", "required"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void any_setting_can_be_given_and_holds(void **state)
{
    static const struct want wants[] = {
        {"--set net.drain_timeout=3s", "net.drain_timeout", "3s"},
        {"--set cache.size=99m -m 50", "cache.size", "99m"},
        {"--set=server.threads=1", "server.threads", "1"},
    };

    (void)state;
    ASSERT_WANTS(wants);
}

static void origins_are_what_was_typed(void **state)
{
    struct serve_config *config = load("-m 70 -o idle_timeout=9");

    (void)state;
    assert_string_equal(serve_config_find_origin(config, "cache.size"), "-m");
    assert_string_equal(serve_config_find_origin(config, "net.idle_timeout"), "-o idle_timeout");
    serve_config_destroy(config);
}

/* ---- the process ---------------------------------------------------------------------------- */

static void what_the_process_does_is_kept(void **state)
{
    (void)state;
    assert_int_equal(parse("-d -r -u nobody -P /run/m.pid -v"), 0);
    assert_true(options.is_daemon && options.raises_core_limit);
    assert_string_equal(options.user, "nobody");
    assert_string_equal(options.pid_path, "/run/m.pid");
    assert_int_equal(options.verbosity, 1);
}

static void a_daemon_names_files_from_the_root(void **state)
{
    char folder[1024], want[1100], buffer[SERVE_VALUE_TEXT_BYTES];

    (void)state;
    assert_non_null(getcwd(folder, sizeof folder));
    struct serve_config *config = load("-d -P m.pid -s m.sock -Y users -e items");
    snprintf(want, sizeof want, "%s/m.pid", folder);
    assert_string_equal(options.pid_path, want);
    snprintf(want, sizeof want, "unix:%s/m.sock", folder);
    assert_string_equal(value_of(config, "memcached.listen", buffer), want);
    snprintf(want, sizeof want, "%s/users", folder);
    assert_string_equal(value_of(config, "users.plain_file", buffer), want);
    snprintf(want, sizeof want, "%s/items.quarry", folder);
    assert_string_equal(value_of(config, "server.data", buffer), want);
    serve_config_destroy(config);
    assert_int_equal(parse("-P m.pid"), 0);
    assert_string_equal(options.pid_path, "m.pid");
}

static void help_version_and_license_end_the_line(void **state)
{
    (void)state;
    assert_int_equal(parse("-h --bogus"), 0);
    assert_int_equal(options.task, MEMCACHED_HELP);
    assert_int_equal(parse("--help"), 0);
    assert_int_equal(options.task, MEMCACHED_HELP);
    assert_int_equal(parse("-p 1 -V"), 0);
    assert_int_equal(options.task, MEMCACHED_VERSION);
    assert_int_equal(parse("-i"), 0);
    assert_int_equal(options.task, MEMCACHED_LICENSE);
}

/* ---- what has no meaning -------------------------------------------------------------------- */

/* All of memcached's names for -o, with a value that it takes. */
static const char *const extended[] = {
    "maxconns_fast",
    "no_maxconns_fast",
    "hashpower=20",
    "no_hashexpand",
    "hash_algorithm=xxh3",
    "hash_algorithm=jenkins",
    "hash_algorithm=murmur3",
    "tail_repair_time=10",
    "idle_timeout=1",
    "modern",
    "no_modern",
    "track_sizes",
    "slab_sizes=100-200-400",
    "slab_chunk_max=524288",
    "slab_reassign",
    "no_slab_reassign",
    "slab_automove",
    "slab_automove=2",
    "no_slab_automove",
    "slab_automove_ratio=0.8",
    "slab_automove_window=30",
    "slab_automove_freeratio=0.01",
    "lru_crawler",
    "no_lru_crawler",
    "lru_crawler_sleep=1000000",
    "lru_crawler_tocrawl=0",
    "lru_maintainer",
    "no_lru_maintainer",
    "hot_lru_pct=20",
    "warm_lru_pct=40",
    "hot_max_factor=0.2",
    "warm_max_factor=2.0",
    "temporary_ttl=61",
    "watcher_logbuf_size=256",
    "worker_logbuf_size=64",
    "read_buf_mem_limit=0",
    "resp_obj_mem_limit=1",
    "inline_ascii_resp",
    "no_inline_ascii_resp",
    "no_chunked_items",
    "drop_privileges",
    "no_drop_privileges",
    "relaxed_privileges",
    "meta_response_old",
    "sock_cookie_id=1",
    "ext_path=/x:1G",
    "ext_page_size=64",
    "ext_wbuf_size=4",
    "ext_threads=1",
    "ext_io_depth=1",
    "ext_item_size=512",
    "ext_item_age=1",
    "ext_low_ttl=0",
    "ext_recache_rate=2000",
    "ext_compact_under=1",
    "ext_drop_under=1",
    "ext_max_sleep=1",
    "ext_max_frag=0.8",
    "ext_drop_unread",
    "ssl_chain_cert=/c",
    "ssl_key=/k",
    "ssl_keyformat=PEM",
    "ssl_verify_mode=0",
    "ssl_ciphers=HIGH",
    "ssl_ca_cert=/ca",
    "ssl_wbuf_size=16",
    "ssl_session_cache",
    "ssl_kernel_tls",
    "ssl_min_version=2",
};

static void every_name_of_the_list_is_known(void **state)
{
    char line[200];

    (void)state;
    for (size_t i = 0; i < sizeof extended / sizeof extended[0]; i++) {
        snprintf(line, sizeof line, "-o %s", extended[i]);
        serve_config_destroy(load(line));
    }
    serve_config_destroy(load("-o modern,hash_algorithm=xxh3,idle_timeout=3 -o lru_crawler"));
}

static void what_is_ignored_is_noted(void **state)
{
    static const char *const lines[] = {
        "-f 1.1",
        "-n 10",
        "-L",
        "-R 100",
        "-C",
        "-N 1",
        "-o hashpower=20",
        "-o ext_threads=2",
        "-o no_lru_crawler",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        serve_config_destroy(load(lines[i]));
        if (options.note_count != 1 || options.notes[0].is_warning) {
            fail_msg("'%s' has %u notes", lines[i], options.note_count);
        }
    }
}

static void what_somebody_may_rely_on_is_a_warning(void **state)
{
    static const char *const lines[] = {
        "-k",    "-U 11211",   "-D /",   "-o ext_path=/x:1G",
        "extra", "-c 2000000", "-t 100", "-s /s -l 127.0.0.1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        serve_config_destroy(load(lines[i]));
        if (options.note_count != 1 || !options.notes[0].is_warning) {
            fail_msg("'%s' has %u notes", lines[i], options.note_count);
        }
    }
    serve_config_destroy(load("-U 0"));
    assert_int_equal(options.note_count, 0);
}

/* Every letter and every name of -o stands in the page, as it is typed. */
static void the_page_of_options_has_them_all(void **state)
{
    static const char letters[] = "pUsaAldrumMckvhiVPfnLDtRCbBISFXWYeZNo";
    static char page[65536];
    FILE *file = fopen(QUARRY_MEMCACHED_PAGE, "re");
    char wanted[64];

    (void)state;
    assert_non_null(file);
    assert_in_range(fread(page, 1, sizeof page - 1, file), 1000, sizeof page - 2);
    fclose(file);
    for (size_t i = 0; letters[i] != '\0'; i++) {
        snprintf(wanted, sizeof wanted, "`-%c`", letters[i]);
        assert_non_null(strstr(page, wanted));
    }
    for (size_t i = 0; i < sizeof extended / sizeof extended[0]; i++) {
        snprintf(wanted, sizeof wanted, "`%.*s`", (int)strcspn(extended[i], "="), extended[i]);
        if (strstr(page, wanted) == NULL) {
            fail_msg("%s is not in the page", wanted);
        }
    }
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void letters_and_names_that_are_none_are_refused(void **state)
{
    static const struct refusal refusals[] = {
        {"-z", 1, "Illegal argument \"?\""},
        {"--bogus", 1, "Illegal argument \"?\""},
        {"-p", 1, "requires an argument"},
        {"-o", 1, "requires an argument"},
        {"--help=1", 1, "Illegal argument \"?\""},
        {"-o bogus", 1, "Illegal suboption \"bogus\""},
        {"-o no_bogus", 1, "Illegal suboption \"no_bogus\""},
        {"-o no_track_sizes", 1, "Illegal suboption \"no_track_sizes\""},
        {"-o hashpowe=20", 1, "Illegal suboption \"hashpowe=20\""},
        {"-o ,", 1, "Illegal suboption \"\""},
        {"-o modern,,idle_timeout=5", 1, "Illegal suboption \"\""},
        {"-o proxy_config=/x.lua", 1, "Server not built with proxy"},
    };

    (void)state;
    ASSERT_REFUSALS(refusals);
}

static void numbers_out_of_range_are_refused(void **state)
{
    static const struct refusal refusals[] = {
        {"-m 0", 64, "-m takes"},
        {"-m abc", 64, "-m takes"},
        {"-m -1", 64, "-m takes"},
        {"-m 64x", 64, "-m takes"},
        {"-m 99999999999999999999", 64, "-m takes"},
        {"-m 1", 64, "1/2 of memory"},
        {"-I 1", 64, "less than 1024"},
        {"-I 1023", 64, "less than 1024"},
        {"-I abc", 64, "-I takes"},
        {"-I 2mx", 64, "-I takes"},
        {"-I m", 64, "-I takes"},
        {"-I 33m", 64, "1/2 of memory"},
        {"-m 4000 -I 1025m", 64, "a gigabyte"},
        {"-m 9000 -I 2g", 64, "a gigabyte"},
        {"-f 1.0", 1, "Factor must"},
        {"-f abc", 1, "Factor must"},
        {"-t 0", 1, "threads must be greater"},
        {"-t abc", 1, "threads"},
        {"-t 257", 1, "1 to 256"},
        {"-c 0", 1, "connections must"},
        {"-c abc", 1, "connections must"},
        {"-R 0", 1, "requests per event must"},
        {"-n 0", 1, "Chunk size must"},
        {"-b x", 1, "-b takes"},
        {"-a 999", 1, "octal"},
        {"-a 1777", 1, "octal"},
        {"-p 99999", 64, "Invalid port number 99999"},
        {"-p 12x", 64, "Invalid port number 12x"},
        {"-p -5", 64, "Invalid port number -5"},
        {"-U 99999", 64, "Invalid port number 99999"},
        {"-B foo", 64, "Invalid value for binding protocol: foo"},
        {"--verbose=9", 1, "0 to 3"},
    };

    (void)state;
    ASSERT_REFUSALS(refusals);
}

static void values_of_the_list_are_checked(void **state)
{
    static const struct refusal refusals[] = {
        {"-o hashpower", 1, "Missing hashpower argument"},
        {"-o hashpower=", 1, "Missing hashpower argument"},
        {"-o hashpower=5", 1, "from 12 to 32"},
        {"-o hashpower=64", 1, "from 12 to 32"},
        {"-o hash_algorithm=foo", 1, "Unknown hash_algorithm"},
        {"-o tail_repair_time=1", 1, "from 10"},
        {"-o idle_timeout", 1, "Missing idle_timeout"},
        {"-o idle_timeout=abc", 1, "-o idle_timeout takes"},
        {"-o slab_automove=3", 1, "from 0 to 2"},
        {"-o slab_automove_ratio=7", 1, "below 1"},
        {"-o slab_automove_window=2", 1, "from 3"},
        {"-o hot_lru_pct=0", 1, "from 1 to 79"},
        {"-o hot_max_factor=0", 1, "above 0"},
        {"-o lru_crawler_sleep=2000000", 1, "to 1000000"},
        {"-o ext_path", 1, "Missing ext_path"},
        {"-o ssl_verify_mode=7", 1, "from 0 to 3"},
        {"-o ssl_min_version=7", 1, "from 0 to 3"},
        {"-o ssl_keyformat=DER", 1, "PEM"},
    };

    (void)state;
    ASSERT_REFUSALS(refusals);
}

static void addresses_that_are_none_are_refused(void **state)
{
    static const struct refusal refusals[] = {
        {"-l 127.0.0.1:abc", 71, "Invalid port number: \"abc\""},
        {"-l 127.0.0.1:99999", 71, "Invalid port number: \"99999\""},
        {"-l 127.0.0.1:", 71, "Invalid port number: \"\""},
        {"-l [::1", 71, "Invalid address"},
        {"-l [::1]x", 71, "Invalid address"},
        {"-l :80", 71, "Invalid address"},
        {"-l notls:127.0.0.1:1", 71, "-Z alone"},
        {"-l mtls:127.0.0.1:1", 71, "-Z alone"},
        {"-l no..host", 71, "failed to listen on one of interface(s)"},
    };

    (void)state;
    ASSERT_REFUSALS(refusals);
}

static void what_does_not_go_together_is_refused(void **state)
{
    static const struct refusal refusals[] = {
        {"-S -B ascii", 64, "cannot allow the ASCII protocol"},
        {"-Y /u -B binary", 64, "cannot allow the BINARY protocol"},
        {"-Z", 64, "ssl_chain_cert"},
        {"-Z -o ssl_chain_cert=/c -s /s", 64, "without a TCP port"},
        {"-Z -o ssl_chain_cert=/c -l mtls:127.0.0.1:1,127.0.0.1:2", 64, "either all"},
        {"--set nothing", 1, "--set takes"},
    };

    (void)state;
    ASSERT_REFUSALS(refusals);
}

static void lines_that_are_too_long_are_refused(void **state)
{
    static char line[20000];
    char *at = stpcpy(line, "-l ");

    (void)state;
    for (int i = 0; i < 100; i++) {
        at = stpcpy(at, "127.0.0.1:1024,");
    }
    assert_true(strlen(line) < 2000);
    assert_int_equal(parse(line), 64);
    assert_non_null(strstr(options.error, "too many addresses"));

    static char path[9000];
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    char *arguments[] = {(char[]){"memcached"}, (char[]){"-Y"}, path, NULL};
    assert_int_equal(memcached_options_parse(3, arguments, NULL, &options), 64);
    assert_non_null(strstr(options.error, "too long"));
    arguments[1] = (char[]){"-s"};
    assert_int_equal(memcached_options_parse(3, arguments, NULL, &options), 64);
    assert_non_null(strstr(options.error, "too long"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_options_it_is_as_memcached_is),
        cmocka_unit_test(addresses_and_ports_are_put_together),
        cmocka_unit_test(a_name_of_a_host_is_looked_up),
        cmocka_unit_test(the_mask_of_a_socket_says_who_connects),
        cmocka_unit_test(sizes_and_counts_are_set),
        cmocka_unit_test(commands_are_allowed_and_refused),
        cmocka_unit_test(verbosity_is_a_level_of_the_log),
        cmocka_unit_test(users_come_from_files),
        cmocka_unit_test(other_machines_are_let_in_by_an_explicit_word_with_a_warning),
        cmocka_unit_test(a_memory_file_is_what_outlives_the_process),
        cmocka_unit_test(certificates_are_settings_of_tls),
        cmocka_unit_test(any_setting_can_be_given_and_holds),
        cmocka_unit_test(origins_are_what_was_typed),
        cmocka_unit_test(what_the_process_does_is_kept),
        cmocka_unit_test(a_daemon_names_files_from_the_root),
        cmocka_unit_test(help_version_and_license_end_the_line),
        cmocka_unit_test(every_name_of_the_list_is_known),
        cmocka_unit_test(what_is_ignored_is_noted),
        cmocka_unit_test(what_somebody_may_rely_on_is_a_warning),
        cmocka_unit_test(the_page_of_options_has_them_all),
        cmocka_unit_test(letters_and_names_that_are_none_are_refused),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(values_of_the_list_are_checked),
        cmocka_unit_test(addresses_that_are_none_are_refused),
        cmocka_unit_test(what_does_not_go_together_is_refused),
        cmocka_unit_test(lines_that_are_too_long_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
