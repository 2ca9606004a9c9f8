/*
 * What the machine and its administrator give this process: memory, CPUs, address space.
 *
 *   ram_bytes            /proc/meminfo, MemTotal
 *   cgroup_*, cpu_quota  cgroup.c
 *   cpu_count            sched_getaffinity
 *   address_limit        RLIMIT_AS
 *   boot                 /proc/sys/kernel/random/boot_id
 *
 * These are read when a heap or a server starts and never asserted about: a container may hide any
 * of them. Nothing allocates. Cost: that of cgroup.c, and one file more.
 */
#include <string.h>

#include <sys/resource.h>

#include <os/cgroup.h>
#include <os/kernel.h>
#include <os/os.h>
#include <os/read_file.h>
#include <os/text.h>

/* Room for a mask of 8192 CPUs, the most that Linux can be built for on x86-64. */
#define CPU_MASK_WORDS 128

static uint64_t read_ram_bytes(const char *root);
static uint32_t count_cpus(void);
static uint64_t read_address_limit_bytes(void);

void os_machine_read(const char *root, struct os_machine *ret_machine)
{
    struct os_cgroup cgroup;
    os_cgroup_read(root, &cgroup);
    *ret_machine = (struct os_machine){
        .ram_bytes = read_ram_bytes(root),
        .cgroup_limit_bytes = cgroup.memory_limit_bytes,
        .cgroup_used_bytes = cgroup.memory_used_bytes,
        .cpu_count = count_cpus(),
        .cpu_quota_milli = cgroup.cpu_quota_milli,
        .address_limit_bytes = read_address_limit_bytes(),
    };
}

uint64_t os_resident_bytes(void)
{
    char text[128]; /* "size resident shared ...", in OS pages */
    const char *at = text;
    uint64_t size_pages = 0;
    uint64_t resident_pages = 0;
    if (!os_read_line("/proc/self/statm", text, sizeof text) || !os_parse_u64(&at, &size_pages) ||
        *at++ != ' ' || !os_parse_u64(&at, &resident_pages))
        return 0;
    return sat_mul_u64(resident_pages, os_real()->page_bytes);
}

/* "MemTotal:       16303428 kB" */
static uint64_t read_ram_bytes(const char *root)
{
    static const char key[] = "MemTotal:";
    uint64_t kib = 0;
    struct os_text path;
    struct os_lines lines;
    os_text_init(&path);
    os_text_add(&path, root);
    os_text_add(&path, "/proc/meminfo");
    if (path.cut || !os_lines_open(&lines, path.bytes))
        return 0;
    const char *line;
    while ((line = os_lines_next(&lines)) != NULL) {
        if (strncmp(line, key, sizeof key - 1) != 0)
            continue;
        const char *at = line + sizeof key - 1;
        at += strspn(at, " ");
        (void)os_parse_u64(&at, &kib);
        break;
    }
    os_lines_close(&lines);
    return sat_mul_u64(kib, 1024);
}

/* At least one: somebody runs this. */
static uint32_t count_cpus(void)
{
    uint64_t mask[CPU_MASK_WORDS] = {0};
    uint32_t count = 0;
    long filled_bytes = os_kernel(SYS_sched_getaffinity, 0, sizeof mask, mask);
    for (long word = 0; word * 8 < filled_bytes; word++)
        count += bits_count_u64(mask[word]);
    return count == 0 ? 1 : count;
}

static uint64_t read_address_limit_bytes(void)
{
    struct rlimit64 limit = {0};
    long result = os_kernel(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit);
    return result != 0 || limit.rlim_cur == RLIM64_INFINITY ? UINT64_MAX : limit.rlim_cur;
}

/* The value of a hexadecimal digit; 16: it is none. */
static uint32_t digit_of(char character)
{
    if (character >= '0' && character <= '9')
        return (uint32_t)(character - '0');
    return character >= 'a' && character <= 'f' ? (uint32_t)(character - 'a' + 10) : 16;
}

bool os_boot_id(uint8_t ret_id[16])
{
    char text[64];
    uint8_t id[16] = {0};
    uint32_t digits = 0;
    if (!os_read_line("/proc/sys/kernel/random/boot_id", text, sizeof text))
        return false;
    for (const char *at = text; *at != '\0' && digits < 32; at++) {
        uint32_t digit = digit_of(*at);
        if (digit < 16) {
            id[digits / 2] = (uint8_t)((uint32_t)id[digits / 2] << 4 | digit);
            digits++;
        }
    }
    if (digits < 32)
        return false;
    memcpy(ret_id, id, sizeof id);
    return true;
}
