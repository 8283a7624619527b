set -eu
socket=$(sed -n 's/^  address = "\(.*\)"$/\1/p' etc/containerd/config.toml)
grep -qxF "  address = \"$socket\"" etc/buildkit/buildkitd.toml
