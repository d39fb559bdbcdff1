# What the shell tests share: TAP, a folder that goes away. Sourced from the project's top folder.
# shellcheck shell=sh
n=0
failed=0
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

ok() { # ok STATUS NAME; when it failed, what is in $dir/log is shown
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then echo "ok $n - $2"; else
        echo "not ok $n - $2"
        failed=1
        [ ! -s "$dir/log" ] || sed 's/^/# /' "$dir/log" | head -20
    fi
}

lacks() { # lacks WHAT: skip one test, or fail where all must be there
    if [ -n "$EMZ_TEST_NO_SKIP" ]; then ok 1 "$1 is missing, and EMZ_TEST_NO_SKIP is set"; else
        n=$((n + 1))
        echo "ok $n # SKIP $1 is missing"
    fi
}

end() {
    echo "1..$n"
    exit $failed
}
