# Blocks have to be closed and the forwarder has to be there.
set -eu
[ "$(grep -c '{$' etc/coredns/Corefile)" = "$(grep -c '^ *}$' etc/coredns/Corefile)" ]
grep -q '^ *forward \. ' etc/coredns/Corefile
