/*
 * Completion of command lines, in the language of a shell.
 */
#ifndef QUARRY_CLI_COMPLETION_H
#define QUARRY_CLI_COMPLETION_H

/*
 * What a script is made of: its text, in which one line is replaced by places of the command line,
 * one behind the other: a name ("kv get"), its options and its words, in the form that completion.c
 * says.
 */
struct completion_shell {
    const char *name;
    const char *script;
    const char *before_name, *before_options, *before_words, *after_words; /* of each place */
};

/* Writes a script to stdout. Whether it arrived is for cli_finish_output to say. */
void completion_write(const struct completion_shell *shell);

#endif
