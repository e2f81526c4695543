#!/bin/sh
# skeleton.sh ROOT: the directories and files that programs expect of a system.
set -eu
root=$1

mkdir -p "$root/etc/ssl/certs" "$root/etc/ssh" "$root/usr/bin" "$root/var/lib/dispatchd"
mkdir -m 1777 "$root/tmp"
chown 65532:65532 "$root/var/lib/dispatchd"
chmod 0750 "$root/var/lib/dispatchd"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"

cat > "$root/etc/passwd" <<EOT
root:x:0:0:root:/:/sbin/nologin
dispatchd:x:65532:65532:dispatchd:/var/lib/dispatchd:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
EOT
cat > "$root/etc/group" <<EOT
root:x:0:
dispatchd:x:65532:
nogroup:x:65534:
EOT
cat > "$root/etc/nsswitch.conf" <<EOT
passwd: files
group:  files
hosts:  files dns
EOT
