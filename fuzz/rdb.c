/*
 * RDB files of any bytes: read or refused with a sentence, and no more told than is there.
 */
#include <stdio.h>
#include <string.h>

#include <cli/rdb_read.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int visit(void *argument, const struct rdb_entry *entry)
{
    uint64_t *last = argument;

    Q_ASSERT(entry->type != NULL && entry->key.bytes != NULL);
    Q_ASSERT((strcmp(entry->type, "string") == 0) == (entry->value.bytes != NULL));
    Q_ASSERT(entry->offset > *last);
    *last = entry->offset;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rdb_fault fault = {0};
    uint64_t last = 0;
    FILE *file = size > 0 ? fmemopen((void *)(uintptr_t)data, size, "rb") : NULL;

    if (file == NULL) {
        return 0;
    }
    int code = rdb_read(file, visit, &last, &fault);
    Q_ASSERT(code == 0 || (code == -1 && fault.text[0] != '\0' && fault.offset <= size));
    Q_ASSERT(last <= size);
    (void)fclose(file);
    return 0;
}
