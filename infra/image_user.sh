#!/bin/sh
# The user that everything in an image runs as, and the one folder that is its own. Written by hand: useradd would put
# today's date into /etc/shadow.
set -eu
echo 'leadfleet:x:10001:10001::/state:/usr/sbin/nologin' >>/etc/passwd
echo 'leadfleet:x:10001:' >>/etc/group
install -d -o 10001 -g 10001 -m 0700 /state
