/*
 * What a server takes from itself, in two steps:
 *
 *     user ▸ maker of reports ▸ data folder ▸ FILES, PORTS ▸ memory, stores, ... doors, listen ▸
 * CALLS ▸ workers
 *
 * Files are first, because Landlock is of a thread and of those that it starts: there is one yet.
 * System calls are last, for beginning takes more of them than serving; that filter is put on all
 * threads at once.
 *
 * Which folders: those of what is written (data, exported windows, the cache's file, the log, unix
 * sockets), and those of what is read again while serving (configuration, certificates, users,
 * targets). Of a file that is the folder it lies in, and those of links on the way to it, for files
 * are replaced (confine_paths.c); of one that lies in somebody's home or in /tmp, itself alone.
 * Folders that a later configuration names first are not there after a reload; security.read names
 * them ahead, or a restart takes them in.
 *
 * Where the kernel, the build or the operator leaves something out, a line of the log says what is
 * on and what is not.
 *
 * Locking: none; the main thread's.
 */
#include <serve/server_confine.h>

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <dlfcn.h>
#include <limits.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <serve/confine.h>
#include <serve/log.h>

/* ---- the user ---------------------------------------------------------------------------------
 */

static enum quarry_status change_user(const struct passwd *user, struct quarry_error *error)
{
    if (initgroups(user->pw_name, user->pw_gid) != 0 ||
        setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0) {
        return error_set_os(error, errno == EPERM ? QUARRY_PERMISSION : QUARRY_IO, errno,
                            "security.user: cannot become '%.64s'", user->pw_name);
    }
    Q_ASSERT(geteuid() == user->pw_uid && (user->pw_uid == 0 || setuid(0) != 0));
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* as it is of one that the user has started */
    return QUARRY_OK;
}

enum quarry_status server_become_user(const struct serve_config *config, struct quarry_error *error)
{
    const char *name = serve_config_text(config, SERVE_SECURITY_USER);

    if (name[0] == '\0') {
        return QUARRY_OK;
    }
    errno = 0;
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        return error_set(error, QUARRY_NOT_FOUND, "security.user: there is no user '%.64s'", name);
    }
    if (user->pw_uid == geteuid()) {
        return QUARRY_OK;
    }
    return change_user(user, error);
}

/* ---- what is on -------------------------------------------------------------------------------
 */

Q_PRINTF(2, 3) static void note(struct server *server, const char *format, ...)
{
    const size_t length = strlen(server->confined);
    va_list arguments;

    va_start(arguments, format);
    if (length > 0) {
        (void)snprintf(server->confined + length, sizeof server->confined - length, ", ");
    }
    const size_t at = strlen(server->confined);
    (void)vsnprintf(server->confined + at, sizeof server->confined - at, format, arguments);
    va_end(arguments);
}

/* What this machine lacks is no reason not to serve. */
static enum quarry_status go_without(const char *what, enum quarry_status status,
                                     const struct quarry_error *error)
{
    if (status != QUARRY_UNSUPPORTED && status != QUARRY_PERMISSION) {
        return status;
    }
    serve_log(SERVE_LOG_WARNING, "the server is confined less than it could be",
              serve_log_text("without", what), serve_log_text("why", error->text));
    return QUARRY_OK;
}

/* ---- folders ----------------------------------------------------------------------------------
 */

/* The folder that `path` lies in; of a pattern, the one above its first wildcard. */
static void cut_to_folder(char *path)
{
    path[strcspn(path, "*?[")] = '\0';
    char *slash = strrchr(path, '/');

    if (slash == NULL) {
        (void)snprintf(path, 2, ".");
    } else {
        slash[slash == path ? 1 : 0] = '\0';
    }
}

/* A file that may be replaced. What that is not possible for is told: a reload will miss it. */
static void allow_file(struct confine_files *files, const char *file, enum confine_access how)
{
    if (!confine_files_allow_replaced(files, file, how) && access(file, F_OK) == 0) {
        serve_log(SERVE_LOG_INFO,
                  "a file in a folder of others is allowed by itself: it is not found again once "
                  "another has taken its place; security.read allows the folder",
                  serve_log_text("file", file));
    }
}

/* The folder of a file, or of a pattern. */
static void allow_folder(struct confine_files *files, const char *file, enum confine_access access)
{
    char path[PATH_MAX];

    if (strlen(file) + 2 <= sizeof path) {
        memcpy(path, file, strlen(file) + 1);
        cut_to_folder(path);
        (void)confine_files_allow(files, path, access);
    }
}

/* Files with commas between, or folders. */
static void allow_list(struct confine_files *files, const char *list, bool are_folders)
{
    char text[SERVE_VALUE_TEXT_BYTES], *rest = NULL;

    (void)snprintf(text, sizeof text, "%s", list);
    for (char *word = strtok_r(text, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        word += strspn(word, " ");
        word[strcspn(word, " ")] = '\0';
        if (word[0] == '\0') {
            continue;
        }
        if (!are_folders && strpbrk(word, "*?[") != NULL) {
            allow_folder(files, word, CONFINE_READ); /* what fits a pattern is not there yet */
        } else if (!are_folders) {
            allow_file(files, word, CONFINE_READ);
        } else if (!confine_files_allow(files, word, CONFINE_READ)) {
            serve_log(SERVE_LOG_WARNING, "security.read names what is not there",
                      serve_log_text("path", word));
        }
    }
}

/* What libraries, the kernel's figures, names of hosts and clocks are read from. */
static void allow_machine(struct confine_files *files)
{
    static const char *const read[] = {"/proc",
                                       "/sys",
                                       "/etc",
                                       "/usr",
                                       "/lib",
                                       "/lib64",
                                       "/run/systemd/resolve",
                                       "/run/resolvconf",
                                       "/var/lib/ca-certificates",
                                       "/dev/urandom",
                                       "/dev/random",
                                       "/dev/zero",
                                       "/proc/self/exe"};

    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        (void)confine_files_allow(files, read[i], CONFINE_READ);
    }
    (void)confine_files_allow(files, "/dev/null", CONFINE_WRITE);
    /* Often links to somewhere else. */
    static const char *const linked[] = {"/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf",
                                         "/etc/localtime", "/etc/ssl/certs/ca-certificates.crt"};
    for (size_t i = 0; i < sizeof linked / sizeof linked[0]; i++) {
        (void)confine_files_allow_replaced(files, linked[i], CONFINE_READ);
    }
}

static void allow_groups(struct confine_files *files, const struct serve_config *config)
{
    static const int scrape_keys[] = {SERVE_SCRAPE_FILE_SD, SERVE_SCRAPE_PASSWORD_FILE,
                                      SERVE_SCRAPE_TLS_CA};

    for (uint32_t i = 0; i < serve_config_group_count(config, SERVE_USERS); i++) {
        allow_list(files, serve_config_group_text(config, SERVE_USERS, i, SERVE_USER_PASSWORD_FILE),
                   false);
    }
    for (uint32_t i = 0; i < serve_config_group_count(config, SERVE_SCRAPES); i++) {
        for (size_t k = 0; k < sizeof scrape_keys / sizeof scrape_keys[0]; k++) {
            allow_list(files,
                       serve_config_group_text(config, SERVE_SCRAPES, i, (uint32_t)scrape_keys[k]),
                       false);
        }
    }
}

static void allow_read(struct confine_files *files, const struct server *server)
{
    static const enum serve_key keys[] = {SERVE_TLS_CERTIFICATE, SERVE_TLS_KEY, SERVE_TLS_CLIENT_CA,
                                          SERVE_USERS_FILE, SERVE_USERS_PLAIN_FILE};
    const char *path = server->sources->path;

    allow_machine(files);
    allow_file(files, path != NULL ? path : SERVE_CONFIG_PATH, CONFINE_READ);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        allow_list(files, serve_config_text(server->config, keys[i]), false);
    }
    allow_groups(files, server->config);
    allow_list(files, serve_config_text(server->config, SERVE_SECURITY_READ), true);
}

static void allow_written(struct confine_files *files, const struct server *server)
{
    const char *export = serve_config_text(server->config, SERVE_TSDB_EXPORT_ON_PURGE);
    const char *log = serve_config_text(server->config, SERVE_LOG_FILE);

    (void)confine_files_allow(files, "/dev/shm", CONFINE_WRITE);
    if (server->data_dir.path[0] != '\0') {
        (void)confine_files_allow(files, server->data_dir.path, CONFINE_WRITE);
    }
    if (export[0] != '\0') {
        (void)confine_files_allow(files, export, CONFINE_WRITE);
    }
    if (log[0] != '\0') {
        allow_file(files, log, CONFINE_LOG);
    }
    for (size_t i = 0; i < sizeof server->written_paths / sizeof server->written_paths[0]; i++) {
        if (server->written_paths[i] != NULL) {
            allow_folder(files, server->written_paths[i], CONFINE_OWN); /* it is not there yet */
        }
    }
}

/* ---- doors ------------------------------------------------------------------------------------
 */

/* Addresses are as they were read: a port is all behind the last colon. */
static void allow_address(struct confine_files *files, const char *address)
{
    static const char unix_prefix[] = "unix:";

    if (strncmp(address, unix_prefix, sizeof unix_prefix - 1) == 0) {
        allow_folder(files, address + sizeof unix_prefix - 1, CONFINE_SOCKETS);
        return;
    }
    const char *colon = strrchr(address, ':');
    const unsigned long port = colon == NULL ? 0 : strtoul(colon + 1, NULL, 10);

    if (!confine_files_allow_port(files, (uint16_t)port)) {
        serve_log(SERVE_LOG_WARNING, "a port cannot be allowed", serve_log_text("port", colon));
    }
}

static void allow_doors(struct confine_files *files, const struct serve_config *config)
{
    static const enum serve_key keys[] = {SERVE_MEMCACHED_LISTEN, SERVE_MEMCACHED_LISTEN_TLS,
                                          SERVE_RESP_LISTEN,      SERVE_RESP_LISTEN_TLS,
                                          SERVE_HTTP_LISTEN,      SERVE_HTTP_LISTEN_TLS};
    struct serve_address_list list;

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[SERVE_VALUE_TEXT_BYTES];
        if (serve_address_list_parse(serve_config_format(config, keys[i], text), &list, NULL) ==
            QUARRY_OK) {
            for (uint32_t a = 0; a < list.count; a++) {
                allow_address(files, list.texts[a]);
            }
        }
    }
}

/* ---- both steps -------------------------------------------------------------------------------
 */

static bool has_abstract_manager(void)
{
    const char *path = getenv("NOTIFY_SOCKET");

    return path != NULL && path[0] == '@';
}

/* Landlock is of a thread and of those that it starts: a heap that has grown large by now has one.
 */
static void warn_of_threads(void)
{
    struct stat facts;

    /* A folder has as many links as it has folders in it, and two. */
    if (stat("/proc/self/task", &facts) == 0 && facts.st_nlink > 3) {
        serve_log(SERVE_LOG_WARNING, "threads that were there before are not confined to folders",
                  serve_log_count("threads", (uint64_t)facts.st_nlink - 3));
    }
}

static enum quarry_status confine_files(struct server *server, struct quarry_error *error)
{
    struct confine_files files;
    /* A filter that comes later leaves signals to the process itself alone. */
    const uint32_t scopes =
        (has_abstract_manager() ? CONFINE_KEEPS_ABSTRACT : 0) |
        (serve_config_number(server->config, SERVE_SECURITY_SECCOMP) != 0 ? CONFINE_KEEPS_SIGNALS
                                                                          : 0);
    enum quarry_status status = confine_files_begin(&files, scopes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const int abi = files.abi;
    allow_read(&files, server);
    allow_written(&files, server);
    allow_doors(&files, server->config);
    status = confine_files_apply(&files, error);
    if (status == QUARRY_OK) {
        note(server, "landlock %d", abi);
        warn_of_threads();
    }
    return status;
}

enum quarry_status server_confine_files(struct server *server, struct quarry_error *error)
{
    struct quarry_error why = {0};

    if (!confine_is_possible()) {
        return QUARRY_OK;
    }
    enum quarry_status status = confine_privileges(error);
    if (status != QUARRY_OK) {
        return status;
    }
    note(server, "no_new_privs");
    if (serve_config_number(server->config, SERVE_SECURITY_LANDLOCK) == 0) {
        return QUARRY_OK;
    }
    status = go_without("landlock", confine_files(server, &why), &why);
    return status == QUARRY_OK ? status : error_set(error, status, "%s", why.text);
}

/* The libraries of a line "hosts: files resolve [!UNAVAIL=return] dns". They stay. */
static void load_modules(char *line)
{
    char *rest = NULL;

    for (char *word = strtok_r(line, " \t\n", &rest); word != NULL && word[0] != '#';
         word = strtok_r(NULL, " \t\n", &rest)) {
        char name[64];
        if (snprintf(name, sizeof name, "libnss_%s.so.2", word) < (int)sizeof name) {
            (void)dlopen(name, RTLD_NOW); /* those of libc itself are nowhere */
        }
    }
}

/* Has libc load what it resolves names with, which it cannot any more after this. Asking for a name
 * loads the modules up to the one that knows it. */
static void load_resolvers(void)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    FILE *file = fopen("/etc/nsswitch.conf", "re");
    char line[256];

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "hosts:", 6) == 0) {
            load_modules(line + 6);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }

    if (getaddrinfo("localhost", NULL, &hints, &found) == 0) {
        freeaddrinfo(found);
    }
}

enum quarry_status server_confine_calls(struct server *server, struct quarry_error *error)
{
    static const char *const words[] = {"", "seccomp errno", "seccomp kill"};
    const uint64_t how = serve_config_number(server->config, SERVE_SECURITY_SECCOMP);
    struct quarry_error why = {0};
    enum quarry_status status = QUARRY_OK;

    if (confine_is_possible() && how != CONFINE_CALLS_OFF) {
        load_resolvers();
        status = confine_calls_apply(CONFINE_SERVER, (enum confine_calls)how, &why);
        if (status == QUARRY_OK) {
            note(server, "%s", words[how]);
        } else {
            status = go_without("seccomp", status, &why);
        }
    }
    if (status != QUARRY_OK) {
        return error_set(error, status, "%s", why.text);
    }
    if (!confine_is_possible()) {
        note(server, "nothing: built with a sanitizer or counters");
    }
    serve_log(SERVE_LOG_INFO, "confined", serve_log_text("by", server->confined));
    return QUARRY_OK;
}
