/* A stranger's C program. */
#include <stdio.h>
#include <string.h>

#include <quarry/status.h>

int main(void)
{
    const char *name = quarry_status_name(QUARRY_NO_MEMORY);
    printf("C: %s\n", name);
    return strcmp(name, "no-memory") == 0 ? 0 : 1;
}
