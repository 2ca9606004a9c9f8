/* Users, their passwords, and logins that do not wait. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os.h>
#include <serve/login.h>

#include "unit/serve/config_rig.h"

static struct serve_users *users;
static char ann_hash[SERVE_PASSWORD_HASH_BYTES]; /* of "secret" */

/* Of refusals, for tests that have many. */
#define DELAY_NS (50 * Q_MS_NS)

/* Tenants are told apart by their addresses alone. */
static char default_tenant, acme_tenant;

static struct quarry_cache_tenant *find_tenant(void *argument, const char *name)
{
    (void)argument;
    if (name[0] == '\0') {
        return (struct quarry_cache_tenant *)(void *)&default_tenant;
    }
    return strcmp(name, "acme") == 0 ? (struct quarry_cache_tenant *)(void *)&acme_tenant : NULL;
}

static int begin(void **state)
{
    static const struct serve_users_options options = {.find_tenant = find_tenant,
                                                       .refusal_delay_ns = DELAY_NS};

    if (ann_hash[0] == '\0') {
        assert_int_equal(serve_password_hash("secret", 6, ann_hash, &error), QUARRY_OK);
    }
    return config_rig_begin(state) != 0 ||
           serve_users_create(&options, &users, &error) != QUARRY_OK;
}

static int end(void **state)
{
    serve_users_destroy(users);
    users = NULL;
    return config_rig_end(state);
}

static void load(void)
{
    if (serve_users_load(users, config, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static void load_refused(enum quarry_status status, const char *text)
{
    error = (struct quarry_error){0};
    assert_int_equal(serve_users_load(users, config, &error), status);
    assert_has(error.text, text);
}

static void put_ann(void)
{
    put("tenant.acme.quota", "1g");
    put("user.ann.password", ann_hash);
    put("user.ann.tenant", "acme");
    put("user.ann.rights", "read");
}

/* ---- waiting for logins --------------------------------------------------------------------- */

struct answer {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    uint32_t count;
    enum serve_login_outcome outcome;
    struct serve_identity identity;
    uint64_t at_ns;
};

static struct answer answer = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                               .changed = PTHREAD_COND_INITIALIZER};

static void done(void *argument, enum serve_login_outcome outcome,
                 const struct serve_identity *identity)
{
    struct answer *to = argument;

    pthread_mutex_lock(&to->mutex);
    to->count++;
    to->outcome = outcome;
    to->at_ns = os_monotonic_ns(os_real());
    if (identity != NULL) {
        to->identity = *identity;
    }
    pthread_cond_signal(&to->changed);
    pthread_mutex_unlock(&to->mutex);
}

static enum serve_login_outcome start(const char *name, const char *password)
{
    const struct serve_login_request request = {.name = name,
                                                .name_bytes = strlen(name),
                                                .password = password,
                                                .password_bytes = strlen(password)};

    answer.count = 0;
    return serve_users_login(users, &request, done, &answer, &answer.identity);
}

static enum serve_login_outcome wait_for_answer(void)
{
    pthread_mutex_lock(&answer.mutex);
    while (answer.count == 0) {
        pthread_cond_wait(&answer.changed, &answer.mutex);
    }
    assert_int_equal(answer.count, 1);
    pthread_mutex_unlock(&answer.mutex);
    return answer.outcome;
}

static enum serve_login_outcome login(const char *name, const char *password)
{
    enum serve_login_outcome outcome = start(name, password);

    return outcome == SERVE_LOGIN_PENDING ? wait_for_answer() : outcome;
}

/* ---- passwords ------------------------------------------------------------------------------ */

static void a_hash_is_of_one_password_and_salted(void **state)
{
    char again[SERVE_PASSWORD_HASH_BYTES];

    (void)state;
    assert_memory_equal(ann_hash, "$y$", 3);
    assert_true(serve_password_is_hash(ann_hash));
    assert_int_equal(serve_password_hash("secret", 6, again, &error), QUARRY_OK);
    assert_string_not_equal(ann_hash, again);
    assert_true(serve_password_verify(again, "secret", 6));
    assert_false(serve_password_verify(again, "secre", 5));
    assert_false(serve_password_verify(again, "", 0));
    assert_false(serve_password_is_hash("secret"));
    assert_false(serve_password_is_hash("$y$"));
    assert_false(serve_password_is_hash(""));
}

static void a_password_has_bytes_and_no_zeros(void **state)
{
    char hash[SERVE_PASSWORD_HASH_BYTES], longest[257];

    (void)state;
    memset(longest, 'x', sizeof longest);
    assert_int_equal(serve_password_hash("", 0, hash, &error), QUARRY_BAD_INPUT);
    assert_int_equal(serve_password_hash("a\0b", 3, hash, &error), QUARRY_BAD_INPUT);
    assert_int_equal(serve_password_hash(longest, 257, hash, &error), QUARRY_BAD_INPUT);
    assert_has(error.text, "1 to 256 bytes");
    assert_int_equal(serve_password_hash(longest, 256, hash, &error), QUARRY_OK);
    assert_true(serve_password_verify(hash, longest, 256));
}

/* ---- logging in ----------------------------------------------------------------------------- */

static void the_first_right_password_is_pending_and_the_next_at_once(void **state)
{
    (void)state;
    put_ann();
    load();
    assert_int_equal(start("ann", "secret"), SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_GRANTED);
    assert_string_equal(answer.identity.name, "ann");
    assert_int_equal(answer.identity.rights, SERVE_READ);
    assert_ptr_equal(answer.identity.tenant, &acme_tenant);
    memset(&answer.identity, 0, sizeof answer.identity);
    assert_int_equal(start("ann", "secret"), SERVE_LOGIN_GRANTED);
    assert_ptr_equal(answer.identity.tenant, &acme_tenant);
    assert_int_equal(start("ann", "secret"), SERVE_LOGIN_GRANTED);
}

static void a_wrong_password_is_never_known_at_once(void **state)
{
    (void)state;
    put_ann();
    load();
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED);
    assert_int_equal(start("ann", "Secret"), SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("ann", ""), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("ann", "secretsecret"), SERVE_LOGIN_REFUSED);
}

static void nobody_learns_whether_there_is_such_a_user(void **state)
{
    (void)state;
    put_ann();
    put("users.plain_file", write_file("plain", "carol:her password\n"));
    load();
    /* A name that is nobody's, one with a hash and one without all take the slow way. */
    assert_int_equal(start("nobody", "secret"), SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
    assert_int_equal(start("", "secret"), SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
    assert_int_equal(start("carol", "secret"), SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
    assert_int_equal(start("carol", "her password"), SERVE_LOGIN_GRANTED);
    assert_int_equal(answer.identity.rights, SERVE_READ | SERVE_WRITE | SERVE_FLUSH);
    assert_ptr_equal(answer.identity.tenant, &default_tenant);
}

static void names_and_passwords_may_be_any_bytes(void **state)
{
    char longest[300];

    (void)state;
    put_ann();
    load();
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(login(longest, "secret"), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("ann", longest), SERVE_LOGIN_REFUSED);
    const struct serve_login_request request = {
        .name = "ann\0", .name_bytes = 4, .password = "secret", .password_bytes = 6};
    answer.count = 0;
    assert_int_equal(serve_users_login(users, &request, done, &answer, &answer.identity),
                     SERVE_LOGIN_PENDING);
    assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
}

static void a_password_too_long_is_not_taken_for_its_beginning(void **state)
{
    char password[258];

    (void)state;
    memset(password, 'p', sizeof password);
    password[256] = '\0';
    char hash[SERVE_PASSWORD_HASH_BYTES];
    assert_int_equal(serve_password_hash(password, 256, hash, &error), QUARRY_OK);
    put("user.bob.password", hash);
    load();
    password[256] = 'q';
    password[257] = '\0';
    assert_int_equal(login("bob", password), SERVE_LOGIN_REFUSED);
    password[256] = '\0';
    assert_int_equal(login("bob", password), SERVE_LOGIN_GRANTED);
}

static void a_refusal_comes_late_whatever_its_reason(void **state)
{
    static const char *const names[] = {"ann", "carol", "nobody", ""};

    (void)state;
    put("users.plain_file", write_file("plain", "carol:pw\n"));
    for (uint32_t round = 0; round < 2; round++) {
        load(); /* without a hash, then with one */
        for (size_t i = 0; i < 4; i++) {
            uint64_t begin_ns = os_monotonic_ns(os_real());
            assert_int_equal(start(names[i], "no"), SERVE_LOGIN_PENDING);
            assert_int_equal(wait_for_answer(), SERVE_LOGIN_REFUSED);
            assert_true(answer.at_ns - begin_ns >= DELAY_NS);
        }
        put_ann();
    }
}

static void refusals_do_not_keep_others_waiting(void **state)
{
    static struct answer late = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                 .changed = PTHREAD_COND_INITIALIZER};
    static const struct serve_users_options slow = {.refusal_delay_ns = 3600 * Q_SECOND_NS};
    const struct serve_login_request wrong = {
        .name = "ann", .name_bytes = 3, .password = "wrong", .password_bytes = 5};

    (void)state;
    serve_users_destroy(users);
    assert_int_equal(serve_users_create(&slow, &users, &error), QUARRY_OK);
    put_ann();
    load();
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(serve_users_login(users, &wrong, done, &late, &answer.identity),
                         SERVE_LOGIN_PENDING);
    }
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED);
    assert_int_equal(late.count, 0);
}

static void without_users_everybody_is_refused(void **state)
{
    (void)state;
    load();
    assert_int_equal(serve_users_count(users), 0);
    assert_int_equal(start("ann", "secret"), SERVE_LOGIN_REFUSED);
    assert_int_equal(start("ann", "secret"), SERVE_LOGIN_REFUSED);
}

/* What hashing costs is the processor's time, whoever else wants the processor. */
static uint64_t cpu_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * Q_SECOND_NS + (uint64_t)time.tv_nsec;
}

static void a_flood_waits_and_lets_others_through(void **state)
{
    (void)state;
    put_ann();
    load();
    static struct answer drain = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                  .changed = PTHREAD_COND_INITIALIZER};
    const struct serve_login_request request = {
        .name = "ann", .name_bytes = 3, .password = "wrong", .password_bytes = 5, .peer = 7};
    for (uint32_t i = 0; i < 2 * SERVE_LOGINS_WAITING_MAX; i++) {
        assert_int_equal(serve_users_login(users, &request, done, &drain, &answer.identity),
                         SERVE_LOGIN_PENDING); /* nobody hears of a refusal at once */
    }
    uint64_t begin_ns = cpu_ns();
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED); /* of peer 0 */
    uint64_t taken_ns = cpu_ns() - begin_ns;

    /* A few hashes, each some 10 ms: not a thousand of them. */
    assert_true(taken_ns < 2 * Q_SECOND_NS);
    /* Destroying them drops who waits. */
}

/* Whoever is first is hashed for; a hundred hashes would take a second, and many more under ASan.
 */
static void many_logins_of_one_user_wait_for_one_hash(void **state)
{
    enum { MANY = 500 };
    static struct answer all = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                                .changed = PTHREAD_COND_INITIALIZER};
    const struct serve_login_request request = {
        .name = "ann", .name_bytes = 3, .password = "secret", .password_bytes = 6};
    uint32_t pending = 0;
    bool is_over = false;

    (void)state;
    put_ann();
    load();
    all.count = 0;
    uint64_t begin_ns = os_monotonic_ns(os_real()), begin_cpu_ns = cpu_ns();
    for (uint32_t i = 0; i < MANY; i++) {
        pending +=
            serve_users_login(users, &request, done, &all, &answer.identity) == SERVE_LOGIN_PENDING;
    }
    while (!is_over && os_monotonic_ns(os_real()) - begin_ns < 60 * Q_SECOND_NS) {
        os_sleep_ns(Q_MS_NS);
        (void)pthread_mutex_lock(&all.mutex);
        is_over = all.count == pending;
        (void)pthread_mutex_unlock(&all.mutex);
    }
    assert_true(is_over);
    assert_int_equal(all.outcome, SERVE_LOGIN_GRANTED);
    assert_true(cpu_ns() - begin_cpu_ns < 2 * Q_SECOND_NS);
}

/* ---- reloads -------------------------------------------------------------------------------- */

static void a_reload_changes_passwords_and_forgets_users(void **state)
{
    char hash[SERVE_PASSWORD_HASH_BYTES];

    (void)state;
    put_ann();
    load();
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED);
    assert_int_equal(serve_password_hash("other", 5, hash, &error), QUARRY_OK);
    put("user.ann.password", hash);
    put("user.bob.password", ann_hash);
    load();
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("ann", "other"), SERVE_LOGIN_GRANTED);
    assert_int_equal(login("bob", "secret"), SERVE_LOGIN_GRANTED);
    assert_int_equal(serve_users_count(users), 2);
}

static void a_reload_that_fails_leaves_users_as_they_were(void **state)
{
    (void)state;
    put_ann();
    load();
    put("users.file", write_file("users", "bob:nohash\n"));
    load_refused(QUARRY_BAD_INPUT, "users:1: not NAME:HASH");
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED);
    assert_int_equal(serve_users_count(users), 1);
}

/* ---- files ---------------------------------------------------------------------------------- */

/* A text with the hash in the place of each '%'. */
static const char *with_hash(const char *pattern)
{
    static char text[2048];
    size_t used = 0;

    for (; *pattern != '\0'; pattern++) {
        const char one[2] = {*pattern, '\0'}, *part = *pattern == '%' ? ann_hash : one;
        assert_true(used + strlen(part) < sizeof text);
        memcpy(text + used, part, strlen(part) + 1);
        used += strlen(part);
    }
    return text;
}

static void a_file_of_users_has_tenants_and_rights(void **state)
{
    struct serve_identity identity;

    (void)state;
    put("users.file",
        write_file("users", with_hash("# people\n\nann:%:acme:read\r\nbob:%\neve:%::all\n")));
    load();
    assert_int_equal(serve_users_count(users), 3);
    assert_true(serve_users_find(users, "ann", &identity));
    assert_int_equal(identity.rights, SERVE_READ);
    assert_ptr_equal(identity.tenant, &acme_tenant);
    assert_true(serve_users_find(users, "bob", &identity));
    assert_int_equal(identity.rights, SERVE_READ | SERVE_WRITE);
    assert_true(serve_users_find(users, "eve", &identity));
    assert_int_equal(identity.rights, SERVE_ALL);
    assert_ptr_equal(identity.tenant, &default_tenant);
    assert_false(serve_users_find(users, "mallory", &identity));
    assert_int_equal(login("eve", "secret"), SERVE_LOGIN_GRANTED);
}

static void errors_in_files_name_the_line(void **state)
{
    (void)state;
    put("users.file", write_file("users", with_hash("ann:%\nbob:%:nowhere\n")));
    load_refused(QUARRY_NOT_FOUND, "users:2: user bob: there is no [tenant nowhere]");
    put("users.file", write_file("users", with_hash("ann:%:acme:write,fly\n")));
    load_refused(QUARRY_BAD_INPUT, "users:1: rights: takes some of read");
    put("users.file", write_file("users", with_hash("ann:%:acme:read:more\n")));
    load_refused(QUARRY_BAD_INPUT, "users:1: not NAME:HASH");
    put("users.file", write_file("users", with_hash("a b:%\n")));
    load_refused(QUARRY_BAD_INPUT, "users:1: a user's name");
    put("users.file", write_file("users", with_hash("ann:%\nbob:%\nann:%\n")));
    load_refused(QUARRY_EXISTS, "user ann is defined twice");
    put("users.file", "/nowhere/users");
    load_refused(QUARRY_NOT_FOUND, "/nowhere/users: No such file");
}

static void a_plain_file_is_as_memcached_reads_it(void **state)
{
    (void)state;
    put("users.plain_file", write_file("plain", "carol:a:b c\r\ndan:x\n"));
    load();
    assert_int_equal(login("carol", "a:b c"), SERVE_LOGIN_GRANTED);
    assert_int_equal(login("dan", "x"), SERVE_LOGIN_GRANTED);
    assert_int_equal(login("dan", "y"), SERVE_LOGIN_REFUSED);
    put("users.plain_file", write_file("plain", "carol\n"));
    load_refused(QUARRY_BAD_INPUT, "plain:1: not NAME:PASSWORD");
    put("users.plain_file", write_file("plain", "carol:\n"));
    load_refused(QUARRY_BAD_INPUT, "plain:1: not NAME:PASSWORD");
}

/* memcached takes each of them. */
static void a_name_twice_in_a_plain_file_has_two_passwords(void **state)
{
    struct serve_identity identity;

    (void)state;
    put("users.plain_file", write_file("plain", "dan:one\nbob:x\ndan:two\ndan:two\nzoe:y\n"));
    load();
    assert_int_equal(serve_users_count(users), 3);
    assert_int_equal(login("dan", "one"), SERVE_LOGIN_GRANTED);
    assert_int_equal(login("dan", "two"), SERVE_LOGIN_GRANTED);
    assert_int_equal(login("dan", "x"), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("bob", "one"), SERVE_LOGIN_REFUSED);
    assert_int_equal(login("zoe", "y"), SERVE_LOGIN_GRANTED);
    assert_true(serve_users_find(users, "dan", &identity));
    assert_string_equal(identity.name, "dan");
    put("users.file", write_file("users", with_hash("dan:%\n")));
    load_refused(QUARRY_EXISTS, "user dan is defined twice");
}

static void users_are_listed_once_each_by_name(void **state)
{
    struct serve_identity *identities = NULL;
    size_t count = 0;

    (void)state;
    assert_int_equal(serve_users_list(users, &identities, &count), QUARRY_OK);
    assert_int_equal(count, 0);
    free(identities);
    put_ann();
    put("users.plain_file", write_file("plain", "dan:one\nbob:x\ndan:two\n"));
    load();
    assert_int_equal(serve_users_list(users, &identities, &count), QUARRY_OK);
    assert_int_equal(count, 3);
    assert_string_equal(identities[0].name, "ann");
    assert_int_equal(identities[0].rights, SERVE_READ);
    assert_ptr_equal(identities[0].tenant, &acme_tenant);
    assert_string_equal(identities[1].name, "bob");
    assert_string_equal(identities[2].name, "dan");
    free(identities);
}

static void a_hash_may_lie_in_a_file_of_its_own(void **state)
{
    char text[512];

    (void)state;
    snprintf(text, sizeof text, "%s  \n", ann_hash);
    put("user.ann.password_file", write_file("ann", text));
    load();
    assert_int_equal(login("ann", "secret"), SERVE_LOGIN_GRANTED);
    put("user.ann.password_file", write_file("ann", "secret\n"));
    load_refused(QUARRY_BAD_INPUT, "user ann: this is no hash");
    put("user.ann.password_file", "/nowhere/ann");
    load_refused(QUARRY_NOT_FOUND, "/nowhere/ann");
}

/* ---- on a connection ------------------------------------------------------------------------- */

/* A connection is a number here, and its worker a list of one thing that was posted. */
static struct serve_identity connection_identity;
static bool connection_is_open, post_fails;
static uint32_t answered_count;
static bool answered_is_granted;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    serve_posted_function *function;
    void *argument;
} mail = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

struct serve_worker *serve_connection_worker(struct serve_connection *connection)
{
    (void)connection;
    return NULL;
}

const char *serve_connection_peer(const struct serve_connection *connection)
{
    (void)connection;
    return "127.0.0.1:40000";
}

uint64_t serve_connection_id(const struct serve_connection *connection)
{
    (void)connection;
    return 7;
}

bool serve_post(struct serve_worker *worker, uint64_t connection_id,
                serve_posted_function *function, void *argument)
{
    (void)worker;
    assert_int_equal(connection_id, 7);
    pthread_mutex_lock(&mail.mutex);
    if (!post_fails) {
        mail.function = function;
        mail.argument = argument;
    }
    pthread_cond_signal(&mail.changed);
    pthread_mutex_unlock(&mail.mutex);
    return !post_fails;
}

#define CONNECTION ((struct serve_connection *)(void *)&connection_identity)

static void turn_of_worker(void)
{
    pthread_mutex_lock(&mail.mutex);
    while (mail.function == NULL) {
        pthread_cond_wait(&mail.changed, &mail.mutex);
    }
    serve_posted_function *function = mail.function;
    mail.function = NULL;
    pthread_mutex_unlock(&mail.mutex);
    function(connection_is_open ? CONNECTION : NULL, mail.argument);
}

static void answered(struct serve_connection *connection, const struct serve_identity *identity)
{
    assert_ptr_equal(connection, CONNECTION);
    answered_count++;
    answered_is_granted = identity != NULL;
    if (identity != NULL) {
        connection_identity = *identity;
    }
}

static enum serve_login_outcome login_on_connection(const char *password)
{
    const struct serve_login_request request = {
        .name = "ann", .name_bytes = 3, .password = password, .password_bytes = strlen(password)};

    return serve_login(CONNECTION, users, &request, answered, &connection_identity);
}

static void begin_connection(void)
{
    put_ann();
    load();
    connection_identity = (struct serve_identity){0};
    connection_is_open = true;
    post_fails = false;
    answered_count = 0;
}

static void a_connection_is_answered_by_its_worker(void **state)
{
    (void)state;
    begin_connection();
    assert_int_equal(login_on_connection("secret"), SERVE_LOGIN_PENDING);
    turn_of_worker();
    assert_int_equal(answered_count, 1);
    assert_true(answered_is_granted);
    assert_string_equal(connection_identity.name, "ann");
    connection_identity = (struct serve_identity){0};
    assert_int_equal(login_on_connection("secret"), SERVE_LOGIN_GRANTED);
    assert_string_equal(connection_identity.name, "ann");
    assert_int_equal(login_on_connection("wrong"), SERVE_LOGIN_PENDING);
    turn_of_worker();
    assert_int_equal(answered_count, 2);
    assert_false(answered_is_granted);
}

static void a_connection_that_has_closed_is_not_answered(void **state)
{
    (void)state;
    begin_connection();
    assert_int_equal(login_on_connection("secret"), SERVE_LOGIN_PENDING);
    connection_is_open = false;
    turn_of_worker();
    assert_int_equal(answered_count, 0);
}

static void a_worker_that_has_ended_takes_no_post(void **state)
{
    (void)state;
    begin_connection();
    post_fails = true;
    assert_int_equal(login_on_connection("secret"), SERVE_LOGIN_PENDING);
    while (start("ann", "secret") != SERVE_LOGIN_GRANTED) { /* until it has been tried */
        (void)wait_for_answer();
    }
    assert_int_equal(answered_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_hash_is_of_one_password_and_salted),
        TEST(a_password_has_bytes_and_no_zeros),
        TEST(the_first_right_password_is_pending_and_the_next_at_once),
        TEST(a_wrong_password_is_never_known_at_once),
        TEST(nobody_learns_whether_there_is_such_a_user),
        TEST(names_and_passwords_may_be_any_bytes),
        TEST(a_password_too_long_is_not_taken_for_its_beginning),
        TEST(a_refusal_comes_late_whatever_its_reason),
        TEST(refusals_do_not_keep_others_waiting),
        TEST(without_users_everybody_is_refused),
        TEST(a_flood_waits_and_lets_others_through),
        TEST(many_logins_of_one_user_wait_for_one_hash),
        TEST(a_reload_changes_passwords_and_forgets_users),
        TEST(a_reload_that_fails_leaves_users_as_they_were),
        TEST(a_file_of_users_has_tenants_and_rights),
        TEST(errors_in_files_name_the_line),
        TEST(a_plain_file_is_as_memcached_reads_it),
        TEST(a_name_twice_in_a_plain_file_has_two_passwords),
        TEST(users_are_listed_once_each_by_name),
        TEST(a_hash_may_lie_in_a_file_of_its_own),
        TEST(a_connection_is_answered_by_its_worker),
        TEST(a_connection_that_has_closed_is_not_answered),
        TEST(a_worker_that_has_ended_takes_no_post),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
