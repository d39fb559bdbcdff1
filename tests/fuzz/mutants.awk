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
    }
    next
}
{ header = header $0 "\n" }
END {
    for (k = 1; k <= count; k++) {
        if (occurrences(header, old[k]) != 1) {
            print "mutants: not once in the header: " old[k] > "/dev/stderr"
            exit 1
        }
        at = index(header, old[k])
        header = substr(header, 1, at - 1) "(mutant == " k " ? (" new[k] ") : (" old[k] "))" \
                 substr(header, at + length(old[k]))
    }
    printf "%s", header
}
