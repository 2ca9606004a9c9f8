/*
 * Asking the machine what it is: /proc/cpuinfo for the processor's name (aarch64 has none), uname
 * for the kernel, os_machine_read for CPUs and memory, dpkg-query for the peers. Whatever cannot be
 * read is "unknown" and stops nothing.
 */
#include <bench/machine.h>

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include <base/base.h>
#include <os/os.h>

#include <bench/child.h>

static void read_cpu_model(char *text, size_t text_bytes)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "re");

    (void)snprintf(text, text_bytes, "unknown CPU");
    if (file == NULL) {
        return;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        const char *value = strstr(line, ": ");
        if (strncmp(line, "model name", strlen("model name")) == 0 && value != NULL) {
            line[strcspn(line, "\n")] = '\0';
            (void)snprintf(text, text_bytes, "%s", value + 2);
            break;
        }
    }
    (void)fclose(file);
}

struct bench_machine bench_machine_read(void)
{
    struct bench_machine machine = {.kernel = "unknown kernel"};
    struct utsname name;
    struct os_machine os;

    os_machine_read("", &os);
    machine.cpu_count = os.cpu_count;
    machine.ram_bytes = os.ram_bytes;
    if (os.cgroup_limit_bytes != 0) {
        machine.ram_bytes = size_min_u64(os.ram_bytes, os.cgroup_limit_bytes);
    }
    read_cpu_model(machine.cpu_model, sizeof machine.cpu_model);
    if (uname(&name) == 0) {
        (void)snprintf(machine.kernel, sizeof machine.kernel, "%.20s %.64s", name.sysname,
                       name.release);
    }
    Q_ASSERT(machine.cpu_count > 0);
    return machine;
}

void bench_machine_version(const struct bench_subject *subject, char *text, size_t text_bytes)
{
    const char *argv[] = {"dpkg-query", "-W", "-f", "${Version}", subject->package, NULL};
    char output[BENCH_CHILD_OUTPUT_BYTES];

    (void)snprintf(text, text_bytes, "unknown");
    if (subject->package != NULL && bench_child_run(argv, NULL, true, output) == 0 &&
        output[0] != '\0') {
        output[strcspn(output, "\n")] = '\0';
        (void)snprintf(text, text_bytes, "%s", output);
    }
}
