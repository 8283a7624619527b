set -eu
socket=$(sed -n 's/^  address = "\(.*\)"$/\1/p' etc/containerd/config.toml 2>/dev/null) || true
[ -n "$socket" ] || {
	echo "etc/containerd/config.toml names no socket: install containerd first" >&2
	exit 1
}
node=${PROVISIONING_SERVER:-$(hostname)}
mkdir -p etc/kubernetes/manifests etc/sysctl.d etc/modules-load.d var/lib/kubelet
cat >etc/kubernetes/kubeadm-config.yaml.new <<CONF
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
nodeRegistration:
  name: "$node"
  criSocket: "unix://$socket"
  kubeletExtraArgs:
    - name: node-labels
      value: provisioning.platform/managed=true
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: "v$PROVISIONING_TASKSERV_VERSION"
clusterName: provisioning
networking:
  podSubnet: 10.244.0.0/16
  serviceSubnet: 10.96.0.0/12
  dnsDomain: cluster.local
proxy:
  disabled: true
CONF
mv etc/kubernetes/kubeadm-config.yaml.new etc/kubernetes/kubeadm-config.yaml
cat >var/lib/kubelet/config.yaml.new <<CONF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
containerRuntimeEndpoint: "unix://$socket"
clusterDomain: cluster.local
clusterDNS:
  - 10.96.0.10
staticPodPath: /etc/kubernetes/manifests
failSwapOn: false
rotateCertificates: true
serverTLSBootstrap: true
authentication:
  anonymous:
    enabled: false
  webhook:
    enabled: true
authorization:
  mode: Webhook
CONF
mv var/lib/kubelet/config.yaml.new var/lib/kubelet/config.yaml
printf 'net.bridge.bridge-nf-call-iptables = 1\nnet.bridge.bridge-nf-call-ip6tables = 1\nnet.ipv4.ip_forward = 1\n' >etc/sysctl.d/99-kubernetes.conf
echo "wrote etc/kubernetes/kubeadm-config.yaml and var/lib/kubelet/config.yaml"
