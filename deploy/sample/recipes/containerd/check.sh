set -eu
grep -q '^version = 3$' etc/containerd/config.toml
grep -q 'SystemdCgroup = true' etc/containerd/config.toml
grep -qx overlay etc/modules-load.d/containerd.conf
