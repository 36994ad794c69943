# Completion of lora-tui for bash. Put this line into ~/.bashrc:
#     source <(lora-tui completion bash)
_lora_tui() {
    local program=${1/#\~/$HOME} current=${COMP_WORDS[COMP_CWORD]} quote='' line value path
    COMPREPLY=()
    case $current in
        \"* | \'*) quote=${current:0:1} ;;
    esac
    while IFS= read -r line; do
        case $line in
            :files | :directories)
                compopt -o filenames 2>/dev/null
                while IFS= read -r path; do
                    COMPREPLY+=("$path")
                done < <(if [[ $line == :files ]]; then compgen -f -- "${current#"$quote"}"; else compgen -d -- "${current#"$quote"}"; fi)
                ;;
            =*)
                value=${line#=}
                value=${value%%$'\t'*}
                # nothing that a name holds may act on the shell, inside an open quote neither
                case $quote in
                    \')
                        value=${value//\'/\'\\\'\'}
                        ;;
                    \")
                        value=${value//\\/\\\\}
                        value=${value//\"/\\\"}
                        value=${value//\$/\\\$}
                        value=${value//\`/\\\`}
                        value=${value//\!/\"\\\!\"}
                        ;;
                    *) printf -v value %q "$value" ;;
                esac
                COMPREPLY+=("$value")
                ;;
        esac
    done < <("$program" __complete bash "${COMP_WORDS[@]:1:COMP_CWORD-1}" "$current" 2>/dev/null)
}
complete -F _lora_tui lora-tui
