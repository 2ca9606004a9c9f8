/*
 * Findings as text: a heading with number, severity, cause and bytes; the sentences; an arrow with
 * the advice. Lines are broken at blanks, a word that is longer than a line stands alone.
 */
#include <cli/doctor_text.h>

#include <stdio.h>
#include <string.h>

#define LINE_WIDTH  96u
#define LINE_INDENT 3u

/* `first` stands before the first line. */
static void print_wrapped(const char *first, const char *text)
{
    size_t column = (size_t)printf("%-*s", (int)LINE_INDENT, first);

    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (column > LINE_INDENT && column + 1 + length > LINE_WIDTH) {
            printf("\n%*s", (int)LINE_INDENT, "");
            column = LINE_INDENT;
        }
        column += (size_t)printf("%s%.*s", column > LINE_INDENT ? " " : "", (int)length, text);
        text += length + strspn(text + length, " ");
    }
    putchar('\n');
}

void doctor_text_finding(uint32_t number, const char *severity, const char *cause, uint64_t bytes,
                         const char *text, const char *advice)
{
    char size[SIZE_TEXT_BYTES];

    printf("\n%u. %s: %s%s%s\n", number, severity, cause, bytes == 0 ? "" : ", ",
           bytes == 0 ? "" : size_format(bytes, size));
    print_wrapped("", text);
    print_wrapped("=>", advice);
}
