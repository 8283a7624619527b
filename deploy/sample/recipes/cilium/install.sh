set -eu
pods=$(sed -n 's/^  podSubnet: \(.*\)$/\1/p' etc/kubernetes/kubeadm-config.yaml 2>/dev/null) || true
[ -n "$pods" ] || {
	echo "etc/kubernetes/kubeadm-config.yaml names no network for pods: install kubernetes first" >&2
	exit 1
}
mkdir -p etc/cni/net.d etc/cilium
cat >etc/cni/net.d/05-cilium.conflist.new <<'CONF'
{
  "cniVersion": "0.3.1",
  "name": "cilium",
  "plugins": [
    {
      "type": "cilium-cni",
      "enable-debug": false,
      "log-file": "/var/run/cilium/cilium-cni.log"
    }
  ]
}
CONF
mv etc/cni/net.d/05-cilium.conflist.new etc/cni/net.d/05-cilium.conflist
cat >etc/cilium/values.yaml.new <<CONF
kubeProxyReplacement: true
ipam:
  mode: cluster-pool
  operator:
    clusterPoolIPv4PodCIDRList:
      - $pods
    clusterPoolIPv4MaskSize: 24
cni:
  exclusive: true
  confPath: /etc/cni/net.d
  binPath: /opt/cni/bin
operator:
  replicas: 1
hubble:
  enabled: false
CONF
mv etc/cilium/values.yaml.new etc/cilium/values.yaml
echo "wrote etc/cni/net.d/05-cilium.conflist and etc/cilium/values.yaml"
