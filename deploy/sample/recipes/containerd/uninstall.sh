set -eu
rm -rf etc/containerd etc/modules-load.d/containerd.conf
