/*
 * The part of a page that a sitting writes:
 *
 *   prose …
 *   <!-- figures: begin -->
 *   table, notes, plot            written anew each time
 *   <!-- figures: end -->
 *   prose …
 *
 * The page is written beside its place and renamed, so that it is whole whenever it is looked at.
 */
#include <bench/stories/story.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#define PAGE_BYTES_MAX Q_MIB(1)
#define PATH_BYTES     4096u

static const char begin_mark[] = "<!-- figures: begin -->\n";
static const char end_mark[] = "<!-- figures: end -->\n";

/* The whole file as a text, owned by the caller; "" when there is none; NULL: it cannot be read. */
static char *read_page(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = file != NULL || errno == ENOENT ? malloc(PAGE_BYTES_MAX + 1) : NULL;

    if (text == NULL) {
        if (file != NULL) {
            (void)fclose(file);
        }
        return NULL;
    }
    size_t bytes = file == NULL ? 0 : fread(text, 1, PAGE_BYTES_MAX + 1, file);
    bool is_read = file == NULL || ferror(file) == 0;
    if (file != NULL) {
        (void)fclose(file);
    }
    if (!is_read || bytes > PAGE_BYTES_MAX) {
        free(text);
        return NULL;
    }
    text[bytes] = '\0';
    return text;
}

/* Writes the page with `text` in it. Returns: whether all of it was taken. */
static bool write_page(FILE *file, const char *page, const char *text)
{
    const char *begin = strstr(page, begin_mark);
    const char *end = begin == NULL ? NULL : strstr(begin, end_mark);
    size_t before = end == NULL ? strlen(page) : (size_t)(begin - page);

    (void)fwrite(page, 1, before, file);
    (void)fprintf(file, "%s%s%s%s", end == NULL && before > 0 ? "\n" : "", begin_mark, text,
                  end_mark);
    if (end != NULL) {
        (void)fputs(end + strlen(end_mark), file);
    }
    return ferror(file) == 0;
}

bool stories_page_put(const char *folder, const char *name, const char *text)
{
    char path[PATH_BYTES];
    char beside[PATH_BYTES];

    if (snprintf(path, sizeof path, "%s/%s.md", folder, name) >= (int)sizeof path ||
        snprintf(beside, sizeof beside, "%s/.%s.md.new", folder, name) >= (int)sizeof beside) {
        return false;
    }
    char *page = read_page(path);
    FILE *file = page == NULL ? NULL : fopen(beside, "we");
    if (file == NULL) {
        free(page);
        return false;
    }
    bool is_written = write_page(file, page, text);
    free(page);
    is_written = fclose(file) == 0 && is_written && rename(beside, path) == 0;
    if (!is_written) {
        (void)remove(beside);
    }
    return is_written;
}
