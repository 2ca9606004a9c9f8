/*
 * Forms of commands, which COMMAND INFO and COMMAND DOCS tell beside what the table has.
 */
#ifndef QUARRY_SERVE_RESP_COMMAND_FORMS_H
#define QUARRY_SERVE_RESP_COMMAND_FORMS_H

#include <serve/resp/resp.h>

/* command_forms.c says how words are written. */
struct resp_command_form {
    const char *name;
    const char *key_flags[2]; /* of its keys; the second: "" where all are alike */
    const char *tips;
    const char *words;
};

/* Never NULL: of a command that it does not know, and of one without any, all are "". */
const struct resp_command_form *resp_command_form(const char *name);

/* Says the words as COMMAND DOCS has "arguments": an array of maps. command_words.c. */
void resp_say_words(struct resp_reply *reply, const char *words);

#endif
