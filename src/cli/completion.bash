# Completion of quarry's command lines for bash 4.2 and later, written by `quarry completion bash`.

# Options and words at a place, which is the command and its verb.
_quarry_place() {
    case $1 in
# places
    *)
        return 1
        ;;
    esac
}

# What an option takes: nothing where there is none of the name. $1: with dashes.
_quarry_option_kind() {
    local option
    for option in $options; do
        if [[ ${option%%=*} == "${1#--}" && $option == *=* ]]; then
            printf %s "${option#*=}"
        fi
    done
}

# Bash takes words apart at "=" and ":". Sets `line` to them as they were typed.
_quarry_join() {
    local word glue=''
    line=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ ${#line[@]} -gt 0 && ($glue || $word == [=:]) && (${line[-1]} == --*=* || ${line[-1]} == --* && $word == '=' ||
            ${line[-1]} != -* && ($glue || $word == ':')) ]]; then
            line[-1]+=$word
        else
            line+=("$word")
        fi
        glue=''
        [[ $word == [=:] ]] && glue=1
    done
}

# Offers what is of a kind. $1: the kind, $2: its beginning.
_quarry_offer() {
    case $1 in
    FILE)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$2")
        ;;
    DIR | STORE)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$2")
        ;;
    PID) mapfile -t COMPREPLY < <(compgen -W "$(cd /proc && echo [0-9]*)" -- "$2") ;;
    PROGRAM) mapfile -t COMPREPLY < <(compgen -c -- "$2") ;;
    *\|*) mapfile -t COMPREPLY < <(compgen -W "${1//|/ }" -- "$2") ;;
    esac
}

_quarry_offer_options() {
    local option names=''
    for option in $options; do
        option=${option%%=*}
        names+=" --${option%\?}"
    done
    mapfile -t COMPREPLY < <(compgen -W "$names" -- "$1")
}

# One word that stands before the cursor.
_quarry_pass() {
    if [[ $takes ]]; then
        takes=''
    elif [[ $ended ]]; then
        position=$((position + 1))
    elif [[ $1 == -- ]]; then
        ended=1
    elif [[ $1 == -?* ]]; then
        [[ $1 != *=* ]] && takes=$(_quarry_option_kind "$1")
        if [[ $1 =~ ^--(db|server|addr)(=|$) && $words == STORE* ]]; then
            words=${words#STORE}
        fi
    elif [[ $position == 0 ]] && _quarry_place "${place:+$place }$1"; then
        place=${place:+$place }$1
    else
        position=$((position + 1))
        [[ $words == PROGRAM* ]] && ended=1
    fi
}

_quarry() {
    local options='' words='' place='' takes='' ended='' position=0 word current
    local -a line kinds
    COMPREPLY=()
    _quarry_join
    current=${line[-1]}
    _quarry_place ''
    for word in "${line[@]:0:${#line[@]}-1}"; do
        _quarry_pass "$word"
    done
    if [[ $takes ]]; then
        _quarry_offer "$takes" "$current"
    elif [[ ! $ended && $current == --*=* ]]; then
        takes=$(_quarry_option_kind "${current%%=*}")
        [[ $takes ]] || takes=$(_quarry_option_kind "${current%%=*}?")
        _quarry_offer "$takes" "${current#*=}"
    elif [[ ! $ended && $current == -* ]]; then
        _quarry_offer_options "$current"
    else
        read -ra kinds <<<"$words"
        if [[ $position -ge ${#kinds[@]} && ${#kinds[@]} -gt 0 && ${kinds[-1]} == *... ]]; then
            position=$((${#kinds[@]} - 1))
        fi
        word=${kinds[position]:-}
        _quarry_offer "${word%...}" "$current"
    fi
}

complete -F _quarry quarry
