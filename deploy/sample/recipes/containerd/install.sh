# Writes whole files and moves them into place, so that running again, or being killed, never leaves half a file.
set -eu
mkdir -p etc/containerd etc/modules-load.d
cat >etc/containerd/config.toml.new <<'CONF'
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = -999

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  max_concurrent_downloads = 3

[plugins.'io.containerd.cri.v1.runtime']
  enable_selinux = false

  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"

    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        SystemdCgroup = true

  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
CONF
mv etc/containerd/config.toml.new etc/containerd/config.toml
printf 'overlay\nbr_netfilter\n' >etc/modules-load.d/containerd.conf
echo "wrote etc/containerd/config.toml"
