set -eu
grep -q '^nameserver 127\.0\.0\.53$' etc/resolv.conf
