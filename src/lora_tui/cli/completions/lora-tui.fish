# Completion of lora-tui for fish. Save it once:
#     lora-tui completion fish > ~/.config/fish/completions/lora-tui.fish
function __lora_tui_complete
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l typed (commandline -ct)
    # as it is meant, though its quote may still be open; fish quotes what it inserts by itself
    set -l current (string unescape -- $typed; or string unescape -- $typed'"'; or string unescape -- $typed"'")
    for line in ($program __complete fish $words "$current" 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path "$current"
            case ':directories'
                __fish_complete_directories "$current"
            case '=*'
                string sub -s 2 -- $line
        end
    end
end
complete -c lora-tui -f -a '(__lora_tui_complete)'
