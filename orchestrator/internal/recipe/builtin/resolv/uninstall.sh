set -eu
rm -f etc/resolv.conf
[ ! -f etc/resolv.conf.before-provisioning ] || mv etc/resolv.conf.before-provisioning etc/resolv.conf
