/*
 * Files and ports, by Landlock: a list of folders with what may be done in them, and of ports to
 * listen on; all else is refused to this thread and to those that it starts. So it is called before
 * there is a second thread.
 *
 * Numbers and layouts are the kernel's, written out here: its headers are those of the machine that
 * builds, and what is there is asked of the machine that runs.
 *
 *   version  1 files   2 moving between folders   3 truncating   4 ports   5 requests to devices
 *            6 signals and abstract sockets
 *
 * Version 1 is not used: under it no file can be moved to another folder, or linked into one.
 *
 * Nothing may be executed and no link, pipe or device be made, anywhere. Connecting is left free:
 * jobs of scraping come with a reload, and their ports with them. Names, modes and times of files
 * are not what Landlock looks at, but who the user is.
 *
 * Invariants:
 *   1. A right that is not handled is free: all that this version knows are handled.
 *   2. A rule of a file has the rights of files alone, or the kernel refuses it.
 *
 * Locking: none.
 */
#include <serve/confine.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <os/os.h>

#define CALL_CREATE   444
#define CALL_ADD_RULE 445
#define CALL_RESTRICT 446

#define ASK_VERSION 1u
#define RULE_PATH   1
#define RULE_PORT   2

enum {
    MAY_EXECUTE = 1 << 0,
    MAY_WRITE_FILE = 1 << 1,
    MAY_READ_FILE = 1 << 2,
    MAY_LIST = 1 << 3,
    MAY_REMOVE_FOLDER = 1 << 4,
    MAY_REMOVE_FILE = 1 << 5,
    MAY_MAKE_FOLDER = 1 << 7,
    MAY_MAKE_FILE = 1 << 8,
    MAY_MAKE_SOCKET = 1 << 9,
    MAY_MOVE = 1 << 13,
    MAY_TRUNCATE = 1 << 14,
};
#define RIGHTS_OF_FILES   (MAY_EXECUTE | MAY_WRITE_FILE | MAY_READ_FILE | MAY_TRUNCATE)
#define RIGHT_TO_LISTEN   1u
#define SCOPE_OF_ABSTRACT 1u
#define SCOPE_OF_SIGNALS  2u
/* Rights of version 2: 14 of them. */
#define RIGHTS_BASE  ((1u << 14) - 1)
#define RIGHT_DEVICE (1u << 15)

struct ruleset {
    uint64_t files, ports, scopes;
};

struct path_rule {
    uint64_t rights;
    int32_t folder;
} __attribute__((packed));

struct port_rule {
    uint64_t rights, port;
};

bool confine_is_possible(void)
{
#if defined(QUARRY_COVERAGE)
    return false; /* counters are written where the program was built */
#else
    return !OS_UNDER_ASAN && !OS_UNDER_TSAN;
#endif
}

enum quarry_status confine_privileges(struct quarry_error *error)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
               ? QUARRY_OK
               : error_set_os(error, QUARRY_IO, errno, "no_new_privs cannot be set");
}

static enum quarry_status fail(const char *what, struct quarry_error *error)
{
    const int why = errno;

    if (why == ENOSYS || why == EOPNOTSUPP) {
        return error_set(error, QUARRY_UNSUPPORTED, "the kernel has no Landlock");
    }
    return error_set_os(error, why == EPERM ? QUARRY_PERMISSION : QUARRY_IO, why, "%s", what);
}

/* What is taken away, by what this version knows. */
static void choose(struct ruleset *ruleset, int abi, uint32_t kept)
{
    *ruleset = (struct ruleset){.files = RIGHTS_BASE};
    if (abi >= 3) {
        ruleset->files |= MAY_TRUNCATE;
    }
    if (abi >= 4) {
        ruleset->ports = RIGHT_TO_LISTEN;
    }
    if (abi >= 5) {
        ruleset->files |= RIGHT_DEVICE;
    }
    if (abi >= 6) {
        ruleset->scopes = ((kept & CONFINE_KEEPS_SIGNALS) != 0 ? 0 : SCOPE_OF_SIGNALS) |
                          ((kept & CONFINE_KEEPS_ABSTRACT) != 0 ? 0 : SCOPE_OF_ABSTRACT);
    }
}

/* As long as this version knows it. */
static size_t ruleset_bytes(int abi)
{
    return abi >= 6 ? sizeof(struct ruleset) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
}

enum quarry_status confine_files_begin(struct confine_files *files, uint32_t scopes,
                                       struct quarry_error *error)
{
    struct ruleset ruleset;

    *files = (struct confine_files){.ruleset = -1};
    long abi = syscall(CALL_CREATE, NULL, 0, ASK_VERSION);
    if (abi < 0) {
        return fail("Landlock cannot be used", error);
    }
    if (abi < CONFINE_FILES_ABI_MIN) {
        return error_set(error, QUARRY_UNSUPPORTED, "the kernel's Landlock is of version %ld", abi);
    }
    choose(&ruleset, (int)abi, scopes);
    long fd = syscall(CALL_CREATE, &ruleset, ruleset_bytes((int)abi), 0);
    if (fd < 0) {
        return fail("Landlock cannot be used", error);
    }
    *files = (struct confine_files){.ruleset = (int)fd, .abi = (int)abi, .handled = ruleset.files};
    return QUARRY_OK;
}

/* ---- rules ------------------------------------------------------------------------------------
 */

static uint64_t rights_of(enum confine_access access)
{
    const uint64_t read = MAY_READ_FILE | MAY_LIST;
    const uint64_t sockets = MAY_MAKE_SOCKET | MAY_REMOVE_FILE;

    switch (access) {
    case CONFINE_WRITE:
        return read | sockets | MAY_WRITE_FILE | MAY_TRUNCATE | MAY_MAKE_FILE | MAY_MAKE_FOLDER |
               MAY_REMOVE_FOLDER | MAY_MOVE;
    case CONFINE_LOG:
        return MAY_WRITE_FILE | MAY_MAKE_FILE;
    case CONFINE_OWN:
        return MAY_WRITE_FILE | MAY_TRUNCATE | MAY_MAKE_FILE | MAY_REMOVE_FILE;
    case CONFINE_SOCKETS:
        return sockets;
    case CONFINE_READ:
        break;
    }
    return read;
}

bool confine_files_allow(struct confine_files *files, const char *path, enum confine_access access)
{
    struct stat facts;
    int fd = open(path, O_PATH | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &facts) != 0) {
        if (fd >= 0) {
            (void)close(fd);
        }
        return false;
    }
    struct path_rule rule = {.rights = rights_of(access) & files->handled, .folder = fd};
    if (!S_ISDIR(facts.st_mode)) {
        rule.rights &= RIGHTS_OF_FILES; /* invariant 2 */
    }
    bool is_added =
        rule.rights != 0 && syscall(CALL_ADD_RULE, files->ruleset, RULE_PATH, &rule, 0) == 0;
    (void)close(fd);
    return is_added;
}

bool confine_files_allow_port(struct confine_files *files, uint16_t port)
{
    const struct port_rule rule = {.rights = RIGHT_TO_LISTEN, .port = port};

    return files->abi < CONFINE_FILES_ABI_PORTS ||
           syscall(CALL_ADD_RULE, files->ruleset, RULE_PORT, &rule, 0) == 0;
}

enum quarry_status confine_files_apply(struct confine_files *files, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (syscall(CALL_RESTRICT, files->ruleset, 0) != 0) {
        status = fail("Landlock cannot be used", error);
    }
    confine_files_drop(files);
    return status;
}

void confine_files_drop(struct confine_files *files)
{
    if (files->ruleset >= 0) {
        (void)close(files->ruleset);
    }
    files->ruleset = -1;
}
