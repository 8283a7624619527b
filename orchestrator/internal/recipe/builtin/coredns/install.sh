set -eu
mkdir -p etc/coredns
cat >etc/coredns/Corefile.new <<'CONF'
.:53 {
    errors
    health :8080
    ready :8181
    loop
    forward . /etc/resolv.conf
    cache 30
    reload
    loadbalance
}
CONF
mv etc/coredns/Corefile.new etc/coredns/Corefile
