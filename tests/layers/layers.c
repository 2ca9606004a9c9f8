/*
 * layers ROOT RULES: fails when a source file includes what its folder may not.
 *
 * Documented layers erode unless a program checks them; this is the program. It reads RULES (see
 * layers.txt, which explains its own two kinds of line) and every C, C++, lexer and grammar file
 * of ROOT/src, and holds each #include to these rules:
 *
 *   R1  A folder includes another only when its line in layers.txt names it.
 *   R2  It enters by the door, <other/other.h>, or by a second door that is open to it.
 *   R3  Includes inside a folder are free; paths are written from src/, never with "..".
 *   R4  layers.txt has a line for every folder in src/, and no cycle.
 *   R5  A public header includes public headers and the C library, nothing of src/.
 *
 * Files: rules.c reads layers.txt, scan.c walks the tree, report.c prints what they find. Text is
 * matched after comments are taken out, and without a preprocessor: an #include inside an #if
 * counts whatever the condition. That is on purpose, for a layer must hold in every configuration.
 * What a preprocessor alone could know, an #include of a macro, is a finding.
 *
 * Rejected: asking the compiler (-MM). It sees one configuration, and shows the transitive set, in
 * which a forbidden direct include hides behind an allowed indirect one.
 *
 * Cost: one read of each file; some milliseconds for the whole tree.
 */
#include "layers/layers.h"

#include <stdlib.h>

int main(int argument_count, char **arguments)
{
    if (argument_count != 3) {
        fprintf(stderr, "usage: layers ROOT RULES\n");
        return EXIT_FAILURE;
    }
    struct layers_report report = {.out = stdout};
    struct layers_rules rules;
    layers_rules_read(arguments[2], &report, &rules);
    if (report.finding_count == 0) {
        layers_tree_check(arguments[1], &rules, &report);
    }
    if (report.finding_count > 0) {
        printf("%u finding(s)\n", report.finding_count);
        return EXIT_FAILURE;
    }
    printf("layers hold: %u folders\n", rules.folder_count);
    return EXIT_SUCCESS;
}
