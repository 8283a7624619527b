set -eu
rm -rf etc/cilium etc/cni/net.d/05-cilium.conflist
