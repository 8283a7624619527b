# Pods get their addresses from the network that Kubernetes knows, and kube-proxy is off because Cilium replaces it.
set -eu
pods=$(sed -n 's/^  podSubnet: \(.*\)$/\1/p' etc/kubernetes/kubeadm-config.yaml)
grep -qxF "      - $pods" etc/cilium/values.yaml
grep -q '^kubeProxyReplacement: true$' etc/cilium/values.yaml
grep -q '^  disabled: true$' etc/kubernetes/kubeadm-config.yaml
grep -q '"type": "cilium-cni"' etc/cni/net.d/05-cilium.conflist
