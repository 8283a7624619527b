# The node and its container runtime have to agree on the socket and on who keeps the control groups.
set -eu
socket=$(sed -n 's/^  address = "\(.*\)"$/\1/p' etc/containerd/config.toml)
grep -qF "containerRuntimeEndpoint: \"unix://$socket\"" var/lib/kubelet/config.yaml
grep -qF "criSocket: \"unix://$socket\"" etc/kubernetes/kubeadm-config.yaml
grep -q '^cgroupDriver: systemd$' var/lib/kubelet/config.yaml
grep -q 'SystemdCgroup = true' etc/containerd/config.toml
grep -q '^net.ipv4.ip_forward = 1$' etc/sysctl.d/99-kubernetes.conf
