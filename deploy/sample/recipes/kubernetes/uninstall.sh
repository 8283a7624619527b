set -eu
rm -rf etc/kubernetes var/lib/kubelet etc/sysctl.d/99-kubernetes.conf
