#compdef quarry
# Completion of quarry's command lines for zsh, written by `quarry completion zsh`.

# Options and words at a place, which is the command and its verb.
_quarry_place() {
    case $1 in
# places
    (*)
        return 1
        ;;
    esac
}

# What an option takes: nothing where there is none of the name. $1: with dashes.
_quarry_option_kind() {
    local option
    for option in ${=options}; do
        if [[ ${option%%=*} == "${1#--}" && $option == *=* ]]; then
            print -rn -- "${option#*=}"
        fi
    done
}

# Offers what is of a kind.
_quarry_offer() {
    case $1 in
    (FILE) _files ;;
    (DIR|STORE) _files -/ ;;
    (PID) compadd -- /proc/<->(N:t) ;;
    (PROGRAM) _command_names -e ;;
    (*\|*) compadd -- ${(s:|:)1} ;;
    (*) _message 'a value' ;;
    esac
}

_quarry_offer_options() {
    local option
    local -a names
    for option in ${=options}; do
        option=${option%%=*}
        names+=(--${option%\?})
    done
    compadd -- $names
}

# One word that stands before the cursor.
_quarry_pass() {
    if [[ -n $takes ]]; then
        takes=''
    elif [[ -n $ended ]]; then
        (( position += 1 ))
    elif [[ $1 == -- ]]; then
        ended=1
    elif [[ $1 == -?* ]]; then
        [[ $1 != *=* ]] && takes=$(_quarry_option_kind "$1")
        if [[ $1 == --(db|server|addr)(|=*) && $kinds_text == STORE* ]]; then
            kinds_text=${kinds_text#STORE}
        fi
    elif (( position == 0 )) && _quarry_place "${place:+$place }$1"; then
        place="${place:+$place }$1"
    else
        (( position += 1 ))
        [[ $kinds_text == PROGRAM* ]] && ended=1
    fi
    return 0
}

_quarry() {
    emulate -L zsh -o extended_glob
    local options='' kinds_text='' place='' takes='' ended='' word current=$PREFIX
    local -i position=0
    local -a kinds
    _quarry_place ''
    for word in "${(@)words[2,CURRENT-1]}"; do
        _quarry_pass "$word"
    done
    if [[ -n $takes ]]; then
        _quarry_offer "$takes"
    elif [[ -z $ended && $current == --*=* ]]; then
        takes=$(_quarry_option_kind "${current%%=*}")
        [[ -n $takes ]] || takes=$(_quarry_option_kind "${current%%=*}?")
        compset -P '*='
        _quarry_offer "$takes"
    elif [[ -z $ended && $current == -* ]]; then
        _quarry_offer_options
    else
        kinds=(${=kinds_text})
        if (( position >= $#kinds && $#kinds > 0 )) && [[ $kinds[-1] == *... ]]; then
            position=$(( $#kinds - 1 ))
        fi
        _quarry_offer "${kinds[position+1]%...}"
    fi
}

# Called as it is loaded by compinit; read by `source`, it makes itself known.
if [[ $funcstack[1] == _quarry ]]; then
    _quarry "$@"
else
    compdef _quarry quarry
fi
