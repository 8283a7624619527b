# Writes the identity files. The name comes from the server itself.
set -eu
mkdir -p etc
name=${PROVISIONING_SERVER:-$(cat etc/hostname 2>/dev/null || hostname)}
printf '%s\n' "$name" >etc/hostname.new && mv etc/hostname.new etc/hostname
# The part between the marks is ours, the rest of the file stays as it is.
touch etc/hosts
sed '/^# begin provisioning$/,/^# end provisioning$/d' etc/hosts >etc/hosts.new
cat >>etc/hosts.new <<HOSTS
# begin provisioning
127.0.0.1 localhost
127.0.1.1 $name
::1 localhost ip6-localhost
# end provisioning
HOSTS
mv etc/hosts.new etc/hosts
printf '%s is managed by the provisioning platform.\n' "$name" >etc/motd
