#compdef lora-tui
# Completion of lora-tui for zsh. Put this line into ~/.zshrc, after compinit:
#     source <(lora-tui completion zsh)
# or save it as a file named _lora-tui in a directory of $fpath.
_lora_tui() {
    local line
    local -a values described
    for line in "${(@f)$("${(Q)words[1]}" __complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}"; do
        case $line in
            :files) _files ;;
            :directories) _files -/ ;;
            '='*)
                line=${line#=}
                values+=("${line%%$'\t'*}")
                described+=("${line/$'\t'/ -- }")
                ;;
        esac
    done
    (( $#values )) && compadd -l -d described -a -- values
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _lora_tui "$@"
else
    compdef _lora_tui lora-tui
fi
