# Completion of quarry's command lines for fish, written by `quarry completion fish`.

# Options and words at a place, which is the command and its verb.
function __quarry_place
    switch "$argv[1]"
# places
        case '*'
            return 1
    end
end

# What an option takes: nothing where there is none of the name.
function __quarry_option_kind
    for option in $__quarry_options
        set -l parts (string split -m 1 = -- $option)
        if test (count $parts) = 2; and test "--$parts[1]" = "$argv[1]"
            echo $parts[2]
        end
    end
end

# Prints what is of a kind. The words are: the kind, its beginning, what stands before it.
function __quarry_offer
    switch "$argv[1]"
        case FILE
            printf "$argv[3]%s\n" (__fish_complete_path "$argv[2]")
        case DIR STORE
            printf "$argv[3]%s\n" (__fish_complete_directories "$argv[2]" '')
        case PID
            printf "$argv[3]%s\n" (string match -r '[0-9]+$' -- /proc/*)
        case PROGRAM
            __fish_complete_command
        case '*|*'
            printf "$argv[3]%s\n" (string split '|' -- $argv[1])
    end
end

# What can stand at the cursor.
function __quarry_complete
    set -l line (commandline -opc)
    set -l current (commandline -ct)
    set -l place ''
    set -l takes ''
    set -l ended ''
    set -l position 1
    __quarry_place ''
    for word in $line[2..-1]
        if test -n "$takes"
            set takes ''
        else if test -n "$ended"
            set position (math $position + 1)
        else if test "$word" = --
            set ended 1
        else if string match -q -- '-?*' "$word"
            string match -q -- '*=*' "$word"
            or set takes (__quarry_option_kind "$word")
            if string match -qr -- '^--(db|server|addr)(=|$)' $word; and test "$__quarry_kinds[1]" = STORE
                set -e __quarry_kinds[1]
            end
        else if test $position = 1; and __quarry_place (string trim -- "$place $word")
            set place (string trim -- "$place $word")
        else
            set position (math $position + 1)
            test "$__quarry_kinds[1]" = PROGRAM
            and set ended 1
        end
    end
    if test -n "$takes"
        __quarry_offer $takes "$current" ''
    else if test -z "$ended"; and string match -q -- '--*=*' "$current"
        set -l parts (string split -m 1 = -- "$current")
        set takes (__quarry_option_kind $parts[1])
        test -n "$takes"
        or set takes (__quarry_option_kind "$parts[1]?")
        __quarry_offer "$takes" "$parts[2]" "$parts[1]="
    else if test -z "$ended"; and string match -q -- '-*' "$current"
        for option in $__quarry_options
            echo --(string replace -r '\?*(=.*)?$' '' -- $option)
        end
    else
        set -l last "$__quarry_kinds[-1]"
        if test $position -gt (count $__quarry_kinds); and string match -q -- '*...' "$last"
            __quarry_offer (string replace ... '' -- $last) "$current" ''
        else
            __quarry_offer (string replace ... '' -- "$__quarry_kinds[$position]") "$current" ''
        end
    end
end

complete -c quarry -f -a '(__quarry_complete)'
