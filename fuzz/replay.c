/*
 * Feeds every file of a folder to a fuzz target, for builds without libFuzzer: what fuzzing found
 * once is a test from then on. The empty input is always tried, so an empty corpus tests something.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The largest input that is replayed; libFuzzer's own default is 4 KiB. */
#define INPUT_BYTES_MAX ((size_t)1 << 20)

/* The target, under the name that libFuzzer wants. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int fail(const char *path, const char *why)
{
    fprintf(stderr, "%s: %s\n", path, why);
    return EXIT_FAILURE;
}

/* Hands the target a block of exactly the input's size, so that ASan sees a read past its end. */
static int replay_input(const char *path, const uint8_t *input, size_t size)
{
    uint8_t *exact = calloc(size > 0 ? size : 1, 1);
    if (exact == NULL) {
        return fail(path, "no memory");
    }
    memcpy(exact, input, size);
    (void)LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    return EXIT_SUCCESS;
}

static int replay_file(const char *path)
{
    static uint8_t input[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return fail(path, strerror(errno));
    }
    const size_t size = fread(input, 1, sizeof input, file);
    const bool whole = size < sizeof input && ferror(file) == 0;
    fclose(file);
    return whole ? replay_input(path, input, size) : fail(path, "too large, or cannot be read");
}

static int replay_folder(const char *path)
{
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return fail(path, strerror(errno));
    }
    int status = EXIT_SUCCESS;
    for (struct dirent *entry = readdir(folder); entry != NULL && status == EXIT_SUCCESS;
         entry = readdir(folder)) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.') {
            status = replay_file(file);
        }
    }
    closedir(folder);
    return status;
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        return fail(arguments[0], "takes one argument, the folder of the corpus");
    }
    const int status = replay_input("the empty input", (const uint8_t *)"", 0);
    return status == EXIT_SUCCESS ? replay_folder(arguments[1]) : status;
}
