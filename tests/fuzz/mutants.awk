# Plants all bugs of tests/fuzz/mutants in the header at once, the k-th waiting for mutant == k.
# awk -f mutants.awk mutants emyzelium.h
function occurrences(text, what,    n, at) {
    for (n = 0; (at = index(text, what)) > 0; n++) {
        text = substr(text, at + length(what))
    }
    return n
}
FNR == NR {
    if ($0 !~ /^#/) {
        split($0, field, / \| /)
        old[++count] = field[2]
        new[count] = field[3]
        line[count] = FNR
        mutants = FILENAME
    }
    next
}
{ header = header $0 "\n" }
END {
    for (k = 1; k <= count; k++) {
        times = occurrences(header, old[k])
        if (times != 1) {
            print mutants ":" line[k] ": " times " times in " FILENAME ", must be once: " old[k] \
                  "\nEdit " mutants ": give that bug an expression that " FILENAME " has now." \
                  > "/dev/stderr"
            exit 1
        }
        at = index(header, old[k])
        header = substr(header, 1, at - 1) "(mutant == " k " ? (" new[k] ") : (" old[k] "))" \
                 substr(header, at + length(old[k]))
    }
    printf "%s", header
}
