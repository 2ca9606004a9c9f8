/*
 * Files that others replace while the server runs: which folders it takes to read them again.
 *
 * A right to a file is a right to that file, and ends when another takes its name. Tools replace
 * files so: editors and configuration managers rename, Kubernetes and certbot lead a link to
 * another folder. So what is given is, for each link on the way and for the end of it,
 *
 *     /srv/tls/current/key.pem         current ──> v1
 *     ~~~~~~~~ the folder of the link: it may lead to v2 tomorrow
 *     /srv/tls/v1/key.pem
 *     ~~~~~~~~ the folder of what it leads to      ~~~~~~~~~~~ the folder of the file itself
 *
 * with all that is in them: Landlock knows no other way. That is too much where a folder is shared
 * with things that are none of the server's: `/`, those right below it, homes, and those that
 * anybody may make files in (/tmp). Of files in those, the file alone is given; it can be read
 * again when it was written to in its place, and not when it was replaced.
 *
 * Rejected: a process that opens files for the server (who has the server has it open any); rules
 * made anew at each reload (they can only become fewer).
 *
 * Locking: none.
 */
#include <serve/confine.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the kernel's. */
#define LINKS_MAX 40u

struct way {
    struct confine_files *files;
    enum confine_access access;
};

/* Whether `folder` is `inner`, or lies above it. */
static bool holds(const char *folder, const char *inner)
{
    const size_t length = strlen(folder);

    return strncmp(folder, inner, length) == 0 && (inner[length] == '\0' || inner[length] == '/');
}

/* `real`: without links. */
static bool is_home(const char *real)
{
    static const char homes[] = "/home/";
    const char *own = getenv("HOME");
    char real_own[PATH_MAX];

    if (own != NULL && realpath(own, real_own) != NULL && strcmp(real_own, "/") != 0 &&
        holds(real, real_own)) {
        return true;
    }
    return strncmp(real, homes, sizeof homes - 1) == 0 &&
           strchr(real + sizeof homes - 1, '/') == NULL;
}

bool confine_folder_is_shared(const char *folder)
{
    char real[PATH_MAX];
    struct stat facts;

    if (realpath(folder, real) == NULL || stat(real, &facts) != 0) {
        return true;
    }
    return strchr(real + 1, '/') == NULL || (facts.st_mode & (S_ISVTX | S_IWOTH)) != 0 ||
           is_home(real);
}

/* ---- a way -------------------------------------------------------------------------------------
 */

/* The folder of a path's last name. */
static void cut_name(char *path)
{
    char *slash = strrchr(path, '/');

    if (slash != NULL) {
        slash[slash == path ? 1 : 0] = '\0';
    }
}

/* Where a path lies, unless others do as well. */
static bool allow_folder_of(const struct way *way, const char *path)
{
    char folder[PATH_MAX];

    (void)snprintf(folder, sizeof folder, "%s", path);
    cut_name(folder);
    return !confine_folder_is_shared(folder) &&
           confine_files_allow(way->files, folder, way->access);
}

/* The first link on a way. Returns: the length of what leads to it, itself included; 0: none.
 * `ret_target`: of PATH_MAX. */
static size_t find_link(const char *path, char *ret_target)
{
    char front[PATH_MAX];
    const size_t length = strlen(path);

    for (size_t at = 1; at < length;) {
        at += strcspn(path + at, "/");
        memcpy(front, path, at);
        front[at] = '\0';
        const ssize_t count = readlink(front, ret_target, PATH_MAX - 1);
        if (count > 0) {
            ret_target[count] = '\0';
            return at;
        }
        at += path[at] == '/';
    }
    return 0;
}

/* Allows where the first link on a way is, and where it leads, and goes that way. False: there is
 * no link, or its end is too far away. */
static bool follow_link(const struct way *way, char *path)
{
    char target[PATH_MAX], rest[PATH_MAX], whole[2 * PATH_MAX];
    const size_t at = find_link(path, target);

    if (at == 0) {
        return false;
    }
    (void)snprintf(rest, sizeof rest, "%s", path + at);
    path[at] = '\0';
    (void)allow_folder_of(way, path);
    cut_name(path);
    (void)snprintf(whole, sizeof whole, "%s/%s", target[0] == '/' ? "" : path, target);
    if (strlen(whole) + strlen(rest) >= PATH_MAX) {
        return false;
    }
    (void)allow_folder_of(way, whole);
    memcpy(path, whole, strlen(whole) + 1);
    memcpy(path + strlen(path), rest, strlen(rest) + 1);
    return true;
}

bool confine_files_allow_replaced(struct confine_files *files, const char *file,
                                  enum confine_access access)
{
    const struct way way = {.files = files, .access = access};
    char path[PATH_MAX], own[PATH_MAX];

    if (strlen(file) >= sizeof path || (file[0] != '/' && getcwd(own, sizeof own) == NULL)) {
        return false;
    }
    const int length = file[0] == '/' ? snprintf(path, sizeof path, "%s", file)
                                      : snprintf(path, sizeof path, "%s/%s", own, file);
    if (length < 0 || (size_t)length >= sizeof path) {
        return false;
    }
    (void)confine_files_allow(files, path, access);
    for (uint32_t i = 0; i < LINKS_MAX && follow_link(&way, path); i++) {
    }
    return allow_folder_of(&way, path);
}
