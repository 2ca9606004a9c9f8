/*
 * Panics. In a program whose heap is in doubt nothing may be called that allocates: the line is put
 * together on the stack and written by one system call.
 */
#include <mem/panic.h>

#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#define LINE_BYTES 160u
/* What leaves room for "quarry: ", 18 characters of address and the newline. */
#define TEXT_BYTES_MAX 120u

static const char *const panic_text[] = {
    [MEM_PANIC_DOUBLE_FREE] = "double free of ",
    [MEM_PANIC_NOT_OBJECT] = "invalid free: no object begins at ",
    [MEM_PANIC_FOREIGN] = "invalid free: not of this heap: ",
    [MEM_PANIC_OVERFLOW] = "heap overflow: written past the end of the object at ",
    [MEM_PANIC_UNDERFLOW] = "heap underflow: written before the object at ",
    [MEM_PANIC_WRITTEN_FREE] = "use after free: written to after it was freed: ",
};

static char *append_address(char *end, const void *address)
{
    static const char digit[] = "0123456789abcdef";
    uint64_t value = (uint64_t)address;
    uint32_t shift = 60;

    while (shift > 0 && value >> shift == 0) {
        shift -= 4;
    }
    end = stpcpy(end, "0x");
    for (;; shift -= 4) {
        *end++ = digit[value >> shift & 15];
        if (shift == 0) {
            return end;
        }
    }
}

void mem_panic(enum mem_panic what, const void *address)
{
    mem_panic_text(panic_text[what], address);
}

void mem_panic_text(const char *text, const void *address)
{
    char line[LINE_BYTES];
    char *end = stpcpy(line, "quarry: ");

    Q_ASSERT(strlen(text) <= TEXT_BYTES_MAX);
    end = stpcpy(end, text);
    end = append_address(end, address);
    end = stpcpy(end, "\n");
    os_tell(line, (size_t)(end - line));
    abort();
}
