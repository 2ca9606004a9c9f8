/*
 * The limits of control groups, in both versions at once.
 *
 * A process is in one group of each hierarchy. /proc/self/cgroup names the groups and
 * /proc/self/mountinfo the places where hierarchies are mounted:
 *
 *   cgroup      0::/system.slice/db.service              version 2
 *               4:memory:/docker/5f0c                    version 1, one line a hierarchy
 *               id:controllers:path
 *
 *   mountinfo   38 31 0:35 /docker/5f0c /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory
 *                          mount root   mount point              any      type         options
 *
 *   group's folder = mount point + (path without the mount root)
 *
 * A limit anywhere between the group and the root holds, so the walk goes up from the group's
 * folder to the mount point and keeps the tightest.
 *
 * What is not as simple, and why this is not ten lines:
 *   1. Hybrid machines mount both versions, each with some of the controllers: every mount that
 *      matters is visited, and the tightest limit of all holds.
 *   2. In a container the path may be the host's and absent here, or "/" or "/../x" where the mount
 *      shows only the container's part: then the mount's root is the best known ancestor.
 *   3. "No limit" is "max" in version 2, and in version 1 the largest count of pages, which depends
 *      on their size (9223372036854771712 with 4 KiB): from 2^62 on, nothing is a limit.
 *   4. In version 1 the mount may not reach up to the groups above, but memory.stat tells the
 *      tightest limit of all of them. And a group with use_hierarchy 0 does not count what its
 *      children use.
 * memory.high is ignored: passing it slows a process down and does not kill it.
 *
 * The bytes come from outside and are never asserted about. Everything is on the stack, because
 * the first malloc of a process may be what asks.
 */
#include <fcntl.h>
#include <string.h>

#include <os/cgroup.h>
#include <os/kernel.h>
#include <os/read_file.h>
#include <os/text.h>

/* From here on a number is nobody's limit: see 3 above. */
#define NO_LIMIT_BYTES (UINT64_C(1) << 62)

/* The paths of this process' groups; empty where it is in none. */
struct membership {
    struct os_text unified; /* version 2 */
    struct os_text memory;  /* version 1 */
    struct os_text cpu;     /* version 1 */
};

/* The fields of a line of mountinfo, borrowed from it. */
struct mount {
    char *root;
    char *point;
    char *type;
    char *options;
};

typedef void read_group(struct os_text *folder, struct os_cgroup *cgroup);

static void read_membership(const char *root, struct membership *membership);
static void note_membership(char *line, struct membership *membership);
static bool parse_mount(char *line, struct mount *ret_mount);
static void visit_mount(const char *root, struct mount *mount, const struct membership *membership,
                        struct os_cgroup *cgroup);
static void visit_groups(const char *root, const struct mount *mount, const char *path,
                         read_group *read, read_group *read_parent, struct os_cgroup *cgroup);
static void read_unified(struct os_text *folder, struct os_cgroup *cgroup);
static void read_memory_v1(struct os_text *folder, struct os_cgroup *cgroup);
static void read_memory_v1_parent(struct os_text *folder, struct os_cgroup *cgroup);
static void read_cpu_v1(struct os_text *folder, struct os_cgroup *cgroup);
static bool has_word(const char *list, const char *word);
static char *next_word(char **rest, char separator);
static void unescape(char *text);

void os_cgroup_read(const char *root, struct os_cgroup *ret_cgroup)
{
    struct os_cgroup cgroup = {0};
    struct membership membership;
    read_membership(root, &membership);

    struct os_text path;
    os_text_init(&path);
    os_text_add(&path, root);
    os_text_add(&path, "/proc/self/mountinfo");
    struct os_lines lines;
    if (!path.cut && os_lines_open(&lines, path.bytes)) {
        char *line;
        struct mount mount;
        while ((line = os_lines_next(&lines)) != NULL)
            if (parse_mount(line, &mount))
                visit_mount(root, &mount, &membership, &cgroup);
        os_lines_close(&lines);
    }
    *ret_cgroup = cgroup;
}

static void read_membership(const char *root, struct membership *membership)
{
    os_text_init(&membership->unified);
    os_text_init(&membership->memory);
    os_text_init(&membership->cpu);

    struct os_text path;
    os_text_init(&path);
    os_text_add(&path, root);
    os_text_add(&path, "/proc/self/cgroup");
    struct os_lines lines;
    if (path.cut || !os_lines_open(&lines, path.bytes))
        return;
    char *line;
    while ((line = os_lines_next(&lines)) != NULL)
        note_membership(line, membership);
    os_lines_close(&lines);
}

/* One "id:controllers:path". */
static void note_membership(char *line, struct membership *membership)
{
    char *path = line;
    const char *id = next_word(&path, ':');
    const char *controllers = next_word(&path, ':');
    if (id == NULL || controllers == NULL || path == NULL)
        return;
    if (controllers[0] == '\0')
        os_text_add(&membership->unified, path);
    if (has_word(controllers, "memory"))
        os_text_add(&membership->memory, path);
    if (has_word(controllers, "cpu"))
        os_text_add(&membership->cpu, path);
}

/* "id parent device root point options [tags...] - type source super-options" */
static bool parse_mount(char *line, struct mount *ret_mount)
{
    char *rest = line;
    for (int skipped = 0; skipped < 3; skipped++)
        (void)next_word(&rest, ' ');
    char *root = next_word(&rest, ' ');
    char *point = next_word(&rest, ' ');
    char *tag;
    do {
        tag = next_word(&rest, ' ');
    } while (tag != NULL && strcmp(tag, "-") != 0);
    char *type = next_word(&rest, ' ');
    char *source = next_word(&rest, ' ');
    if (source == NULL || rest == NULL)
        return false;
    unescape(root);
    unescape(point);
    *ret_mount = (struct mount){.root = root, .point = point, .type = type, .options = rest};
    return true;
}

static void visit_mount(const char *root, struct mount *mount, const struct membership *membership,
                        struct os_cgroup *cgroup)
{
    if (strcmp(mount->type, "cgroup2") == 0) {
        const char *path = membership->unified.bytes;
        visit_groups(root, mount, path, read_unified, read_unified, cgroup);
        return;
    }
    if (strcmp(mount->type, "cgroup") != 0)
        return;
    if (has_word(mount->options, "memory")) {
        const char *path = membership->memory.bytes;
        visit_groups(root, mount, path, read_memory_v1, read_memory_v1_parent, cgroup);
    }
    if (has_word(mount->options, "cpu"))
        visit_groups(root, mount, membership->cpu.bytes, read_cpu_v1, read_cpu_v1, cgroup);
}

/* The part of a group's path that lies below the mount's root; "" for the root itself. */
static const char *path_below(const char *mount_root, const char *path)
{
    if (strstr(path, "/..") != NULL || strcmp(path, "/") == 0)
        return "";
    size_t length = strcmp(mount_root, "/") == 0 ? 0 : strlen(mount_root);
    bool is_below = strncmp(path, mount_root, length) == 0;
    if (is_below && (path[length] == '/' || path[length] == '\0'))
        return path + length;
    return path; /* a host's path: tried as it stands, and given up for the root */
}

/* Reads the group at `path`, and every group above it up to the mount point. */
static void visit_groups(const char *root, const struct mount *mount, const char *path,
                         read_group *read, read_group *read_parent, struct os_cgroup *cgroup)
{
    struct os_text folder;
    os_text_init(&folder);
    os_text_add(&folder, root);
    os_text_add(&folder, mount->point);
    if (folder.cut)
        return;
    size_t top = folder.length;
    os_text_add(&folder, path_below(mount->root, path));
    if (folder.cut || os_kernel(SYS_faccessat, AT_FDCWD, folder.bytes, F_OK) != 0)
        os_text_shorten(&folder, top);
    read(&folder, cgroup);
    while (folder.length > top) {
        const char *slash = strrchr(folder.bytes + top, '/');
        os_text_shorten(&folder, slash == NULL ? top : (size_t)(slash - folder.bytes));
        read_parent(&folder, cgroup);
    }
}

/* ---- one group ------------------------------------------------------------------------------ */

static bool read_line_of(struct os_text *folder, const char *name, char *ret_text,
                         size_t text_bytes)
{
    size_t length = folder->length;
    os_text_add(folder, name);
    bool was_read = !folder->cut && os_read_line(folder->bytes, ret_text, text_bytes);
    os_text_shorten(folder, length);
    return was_read;
}

static bool read_number_of(struct os_text *folder, const char *name, uint64_t *ret_value)
{
    char text[32];
    const char *at = text;
    return read_line_of(folder, name, text, sizeof text) && os_parse_u64(&at, ret_value);
}

static void note_memory_limit(struct os_text *folder, uint64_t limit_bytes, const char *used_name,
                              struct os_cgroup *cgroup)
{
    if (limit_bytes == 0 || limit_bytes >= NO_LIMIT_BYTES)
        return;
    if (cgroup->memory_limit_bytes != 0 && limit_bytes >= cgroup->memory_limit_bytes)
        return;
    uint64_t used_bytes = 0;
    (void)read_number_of(folder, used_name, &used_bytes);
    cgroup->memory_limit_bytes = limit_bytes;
    cgroup->memory_used_bytes = used_bytes;
}

/* `quota_us` of CPU time in every `period_us`, rounded up to 1/1000 CPU. */
static void note_cpu_quota(uint64_t quota_us, uint64_t period_us, struct os_cgroup *cgroup)
{
    if (quota_us == 0 || period_us == 0)
        return;
    uint64_t milli = size_ceil_div_u64(sat_mul_u64(quota_us, 1000), period_us);
    if (milli >= UINT32_MAX)
        return;
    if (cgroup->cpu_quota_milli == 0 || milli < cgroup->cpu_quota_milli)
        cgroup->cpu_quota_milli = (uint32_t)milli;
}

static void read_unified(struct os_text *folder, struct os_cgroup *cgroup)
{
    uint64_t limit_bytes = 0;
    if (read_number_of(folder, "/memory.max", &limit_bytes))
        note_memory_limit(folder, limit_bytes, "/memory.current", cgroup);

    char text[64]; /* "max 100000" or "150000 100000" */
    const char *at = text;
    uint64_t quota_us = 0;
    uint64_t period_us = 0;
    if (read_line_of(folder, "/cpu.max", text, sizeof text) && os_parse_u64(&at, &quota_us) &&
        *at++ == ' ' && os_parse_u64(&at, &period_us))
        note_cpu_quota(quota_us, period_us, cgroup);
}

/* The tightest limit on this group or any above, mounted here or not: see 4 above. */
static uint64_t hierarchical_limit_bytes(struct os_text *folder)
{
    static const char key[] = "hierarchical_memory_limit ";
    uint64_t limit_bytes = 0;
    struct os_lines lines;
    size_t length = folder->length;
    os_text_add(folder, "/memory.stat");
    if (!folder->cut && os_lines_open(&lines, folder->bytes)) {
        const char *line;
        while ((line = os_lines_next(&lines)) != NULL) {
            const char *at = line + sizeof key - 1;
            if (strncmp(line, key, sizeof key - 1) == 0 && os_parse_u64(&at, &limit_bytes))
                break;
        }
        os_lines_close(&lines);
    }
    os_text_shorten(folder, length);
    return limit_bytes;
}

static void read_memory_v1(struct os_text *folder, struct os_cgroup *cgroup)
{
    uint64_t limit_bytes = 0;
    if (read_number_of(folder, "/memory.limit_in_bytes", &limit_bytes))
        note_memory_limit(folder, limit_bytes, "/memory.usage_in_bytes", cgroup);
    note_memory_limit(folder, hierarchical_limit_bytes(folder), "/memory.usage_in_bytes", cgroup);
}

static void read_memory_v1_parent(struct os_text *folder, struct os_cgroup *cgroup)
{
    uint64_t counts_children = 1; /* kernels without the file always count them */
    uint64_t limit_bytes = 0;
    (void)read_number_of(folder, "/memory.use_hierarchy", &counts_children);
    if (counts_children != 0 && read_number_of(folder, "/memory.limit_in_bytes", &limit_bytes))
        note_memory_limit(folder, limit_bytes, "/memory.usage_in_bytes", cgroup);
}

static void read_cpu_v1(struct os_text *folder, struct os_cgroup *cgroup)
{
    uint64_t quota_us = 0; /* -1 in the file: no quota, and no number here */
    uint64_t period_us = 0;
    if (read_number_of(folder, "/cpu.cfs_quota_us", &quota_us) &&
        read_number_of(folder, "/cpu.cfs_period_us", &period_us))
        note_cpu_quota(quota_us, period_us, cgroup);
}

/* ---- words ---------------------------------------------------------------------------------- */

/* Whether the comma-separated list has the word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* Cuts the first word off `*rest`, which is NULL after the last one. Returns: NULL for no word. */
static char *next_word(char **rest, char separator)
{
    char *word = *rest;
    if (word == NULL)
        return NULL;
    char *end = strchr(word, separator);
    if (end != NULL)
        *end++ = '\0';
    *rest = end;
    return word;
}

/* mountinfo writes space, tab, newline and backslash as \ooo; undone in place. */
static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        bool is_escape = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
                         from[2] <= '7' && from[3] >= '0' && from[3] <= '7';
        if (is_escape) {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}
