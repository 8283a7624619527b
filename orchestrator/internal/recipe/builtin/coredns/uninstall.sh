set -eu
rm -rf etc/coredns
