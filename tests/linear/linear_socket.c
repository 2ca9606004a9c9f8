/*
 * `linear_socket [OPERATIONS]`: a history through connections to the server at $PORT of loopback,
 * which tests/clients/server.py starts. Ends with 0 when it is linearizable.
 */
#include <stdio.h>
#include <stdlib.h>

#include "linear/history.h"

#define OPERATIONS 60000u

static int usage(void)
{
    (void)fputs("usage: PORT=… linear_socket [OPERATIONS]\n", stderr);
    return 2;
}

int main(int argc, char **argv)
{
    const char *text = getenv("PORT");
    uint16_t port = text == NULL ? 0 : (uint16_t)strtoul(text, NULL, 10);
    struct linear_options options = {.driver = &linear_driver_socket,
                                     .argument = &port,
                                     .thread_count = 4,
                                     .key_count = 6,
                                     .operation_count = OPERATIONS,
                                     .seed = 7};

    if (argc > 1) {
        options.operation_count = strtoull(argv[1], NULL, 10);
    }
    if (port == 0 || options.operation_count == 0) {
        return usage();
    }
    struct linear_result result = linear_run(&options);
    (void)printf("%llu operations, %llu at once with others, up to %llu states of a key\n",
                 (unsigned long long)result.operation_count,
                 (unsigned long long)result.overlap_count, (unsigned long long)result.states_most);
    return result.verdict == LINEAR_POSSIBLE && result.failed_count == 0 ? 0 : 1;
}
