set -eu
socket=$(sed -n 's/^  address = "\(.*\)"$/\1/p' etc/containerd/config.toml 2>/dev/null) || true
[ -n "$socket" ] || {
	echo "etc/containerd/config.toml names no socket: install containerd first" >&2
	exit 1
}
mkdir -p etc/buildkit
cat >etc/buildkit/buildkitd.toml.new <<CONF
root = "/var/lib/buildkit"

[grpc]
  address = ["unix:///run/buildkit/buildkitd.sock"]

[worker.oci]
  enabled = false

[worker.containerd]
  enabled = true
  address = "$socket"
  namespace = "buildkit"
  gc = true
CONF
mv etc/buildkit/buildkitd.toml.new etc/buildkit/buildkitd.toml
echo "wrote etc/buildkit/buildkitd.toml"
