# Completion of postern(1) for fish.  What there is to complete is what
# `postern help` says: there is no list here that could be out of date.

function __postern_complete
    set -l words (commandline -opc)[2..-1]
    set -l cur (commandline -ct)
    set -l n (count $words)
    set -l command
    for line in (postern help 2>/dev/null)
        set -l m (string match -r '^  ([a-z]+(?: [a-z-]+)?)  +(.*)' -- $line)
        or continue
        set -l parts (string split ' ' -- $m[2])
        set -l typed
        if test (count $parts) -le $n
            set typed $words[1..(count $parts)]
        end
        if test "$parts" = "$typed"
            set command $parts
        else if test $n -eq 0
            if test (count $parts) -eq 1
                printf '%s\t%s\n' $parts[1] $m[3]
            else
                echo $parts[1]
            end
        else if test $n -eq 1; and test (count $parts) -eq 2; and test $parts[1] = $words[1]
            printf '%s\t%s\n' $parts[2] $m[3]
        end
    end
    if test -z "$command"
        test $n -ne 0; or echo help
        return
    end
    set -l usage (postern help $command 2>/dev/null)[1]
    set -l prev $words[-1]
    set -l value (string match -r -- "$prev ([A-Z]+)" $usage)[2]
    if string match -q -- '--*' $prev; and test -n "$value"
        switch $value
            case PATH FILE
                __fish_complete_path $cur
            case FOLDER
                __fish_complete_directories $cur
            case WAY
                printf '%s\n' sftp scp-legacy rsync
        end
    else if string match -q -- '-*' $cur
        string match -ra -- '--[a-z][a-z-]*' $usage | sort -u
    else if string match -qr -- 'FILE|PATH\.|NEW|LOG' $usage
        __fish_complete_path $cur
    else if string match -q -- '*FOLDER*' $usage
        __fish_complete_directories $cur
    end
end

complete -c postern -f -a '(__postern_complete)'
