/*
 * The environment, for who is there before libc is ready; random bytes; and lines on stderr.
 *
 * A malloc is asked for memory before libc has set `environ`. Until then the kernel's copy is read,
 * /proc/self/environ: entries of the form name=value, each with a NUL behind it.
 */
#include <fcntl.h>
#include <string.h>

#include <sys/random.h>

#include <os/kernel.h>
#include <os/os.h>

static const char *find_in_environ(const char *name);
static bool find_in_proc(const char *name, char *ret_value, size_t capacity);

bool os_environment_find(const char *name, char *ret_value, size_t capacity)
{
    Q_ASSERT(capacity > 0);
    if (environ == NULL)
        return find_in_proc(name, ret_value, capacity);
    const char *value = find_in_environ(name);
    if (value == NULL)
        return false;
    size_t bytes = strnlen(value, capacity - 1);
    memcpy(ret_value, value, bytes);
    ret_value[bytes] = '\0';
    return true;
}

bool os_random(void *ret_bytes, size_t bytes)
{
    Q_ASSERT(bytes <= 256);
    return os_kernel(SYS_getrandom, ret_bytes, bytes, GRND_NONBLOCK) == (long)bytes;
}

void os_tell(const char *line, size_t bytes)
{
    (void)os_kernel(SYS_write, STDERR_FILENO, line, bytes);
}

static const char *find_in_environ(const char *name)
{
    size_t bytes = strlen(name);
    for (char **entry = environ; *entry != NULL; entry++) {
        if (strncmp(*entry, name, bytes) == 0 && (*entry)[bytes] == '=')
            return *entry + bytes + 1;
    }
    return NULL;
}

/* A file, byte by byte. */
struct byte_reader {
    long fd;
    long at, end;
    char buffer[1024];
};

/* The next byte; -1 at the end. */
static int next_byte(struct byte_reader *reader)
{
    if (reader->at == reader->end) {
        reader->at = 0;
        reader->end = os_kernel_retry(SYS_read, reader->fd, reader->buffer, sizeof reader->buffer);
        if (reader->end <= 0) {
            reader->end = 0;
            return -1;
        }
    }
    return (unsigned char)reader->buffer[reader->at++];
}

/* Whether the next entry begins with name=; reads on to there, or to the entry's end. */
static bool entry_is(struct byte_reader *reader, const char *name, int *ret_byte)
{
    size_t matched = 0;
    int byte = next_byte(reader);
    while (byte > 0 && name[matched] != '\0' && byte == (unsigned char)name[matched]) {
        matched++;
        byte = next_byte(reader);
    }
    bool is_found = name[matched] == '\0' && byte == '=';
    while (!is_found && byte > 0)
        byte = next_byte(reader);
    *ret_byte = byte;
    return is_found;
}

static bool find_in_proc(const char *name, char *ret_value, size_t capacity)
{
    struct byte_reader reader = {
        .fd = os_kernel(SYS_openat, AT_FDCWD, "/proc/self/environ", O_RDONLY | O_CLOEXEC, 0)};
    bool is_found = false;
    int byte = 0;
    if (reader.fd < 0)
        return false;
    while (!is_found && byte >= 0)
        is_found = entry_is(&reader, name, &byte);
    size_t bytes = 0;
    while (is_found && (byte = next_byte(&reader)) > 0) {
        if (bytes < capacity - 1)
            ret_value[bytes++] = (char)byte;
    }
    ret_value[bytes] = '\0';
    (void)os_kernel(SYS_close, reader.fd);
    return is_found;
}
