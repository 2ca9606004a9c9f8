/*
 * `quarry completion`: a script that completes this program's command lines.
 *
 * The scripts are files beside this one, each with a line that the table of places takes the place
 * of. In bash and zsh the table is the inside of a `case`, in fish that of a `switch`.
 */
#include <cli/cli.h>

#include <string.h>

#include <cli/completion.h>
#include <cli/completion_scripts.h> /* made by CMakeLists.txt of completion.bash and its like */

#define COMMAND "completion"

static const char completion_help[] =
    "usage: quarry completion bash|zsh|fish\n"
    "\n"
    "Prints a script that completes command lines of quarry: commands, verbs, options, and files\n"
    "and folders where they are meant. `make install` puts the three where shells look for them;\n"
    "without that:\n"
    "\n"
    "  bash  eval \"$(quarry completion bash)\"         in ~/.bashrc\n"
    "  zsh   source <(quarry completion zsh)          in ~/.zshrc, behind compinit\n"
    "  fish  quarry completion fish | source          in ~/.config/fish/config.fish\n";

static const struct completion_shell shells[] = {
    {.name = "bash",
     .script = completion_bash,
     .before_name = "    '",
     .before_options = "')\n        options='",
     .before_words = "'\n        words='",
     .after_words = "'\n        ;;\n"},
    /* `words` is zsh's own. */
    {.name = "zsh",
     .script = completion_zsh,
     .before_name = "    ('",
     .before_options = "')\n        options='",
     .before_words = "'\n        kinds_text='",
     .after_words = "'\n        ;;\n"},
    {.name = "fish",
     .script = completion_fish,
     .before_name = "        case '",
     .before_options = "'\n            set -g __quarry_options (string split -n ' ' -- '",
     .before_words = "')\n            set -g __quarry_kinds (string split -n ' ' -- '",
     .after_words = "')\n            return 0\n"},
};

static int run_completion(int argument_count, char **arguments)
{
    for (size_t i = 0; argument_count == 2 && i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(arguments[1], shells[i].name) == 0) {
            completion_write(&shells[i]);
            return cli_finish_output(COMMAND);
        }
    }
    return argument_count == 2
               ? cli_usage_error(COMMAND, "bash, zsh or fish, not '%s'", arguments[1])
               : cli_usage_error(COMMAND, "for one shell: bash, zsh or fish");
}

const struct cli_command cli_command_completion = {
    .name = COMMAND,
    .summary = "prints a script for bash, zsh or fish that completes command lines",
    .help = completion_help,
    .run = run_completion,
};
