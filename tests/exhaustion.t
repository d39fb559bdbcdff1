#!/bin/sh
# A disk that is full: who writes something for keeps must say so.
. tests/tap.sh
! build/genkeypair >/dev/full 2>"$dir/log" && [ -s "$dir/log" ]
ok $? "genkeypair on a full disk fails, and says so"
end
