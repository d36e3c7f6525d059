#!/bin/sh
# The last step of an image's system: leave what a Python program needs, and nothing that a visitor could use. What runs
# in the image starts programs by name, never through a shell, so shells, package manager and tools all go; and what
# differs from build to build (logs, caches, times of this hour) goes or is set.
set -eu
cd /

# the lists of packages stay: whoever scans an image for known faults reads them
mkdir /kept
cp -p /var/lib/dpkg/status /kept/
rm -rf /var/lib/dpkg /var/lib/apt /var/cache/* /var/log/* /var/backups /var/mail /var/spool
mkdir /var/lib/dpkg
mv /kept/status /var/lib/dpkg/status
rm -rf /kept /boot /home /media /mnt /opt /srv /root/.[!.]* /tmp/* /run/* /var/tmp/* /usr/games /usr/include /usr/local/bin \
    /usr/local/sbin /usr/lib/apt /usr/lib/dpkg /usr/lib/init /usr/lib/systemd /usr/lib/udev /usr/lib/tmpfiles.d \
    /usr/lib/sysctl.d /usr/libexec /usr/lib/*/perl* /usr/lib/*/security /usr/share/perl* /usr/share/bash-completion \
    /usr/share/debconf /usr/share/info /usr/share/lintian /usr/share/locale /usr/share/man /usr/share/menu \
    /usr/share/pam* /usr/share/bug \
    /etc/alternatives /etc/apt /etc/cron.* /etc/default /etc/dpkg /etc/init.d /etc/kernel /etc/logrotate.d /etc/pam* \
    /etc/rc?.d /etc/security /etc/skel /etc/systemd /etc/update-motd.d /etc/ld.so.cache~ /etc/*- /etc/machine-id \
    /etc/shadow /etc/gshadow /var/lib/dbus/machine-id
find /usr/share/doc ! -type d ! -name copyright -delete
find /usr/lib/python3* -name __pycache__ -type d -prune -exec rm -rf {} +

# no program may change its user
find / -xdev -type f -perm /6000 -exec chmod ug-s {} +

# Chromium would look at every font anew at each start: this is what it then finds. A time without a fraction survives
# the copy into the image, without which the cache would count as stale
if command -v fc-cache >/dev/null; then
    find /usr/share/fonts /usr/local/share/fonts -type d -exec touch -d @1700000000 {} + 2>/dev/null || true
    SOURCE_DATE_EPOCH=1700000000 fc-cache --system-only --force
fi

rm -f /slim_image.sh /image_user.sh
# at last the tools themselves, with the one that is doing it
find /usr/bin /usr/sbin ! -type d ! -name 'python3*' ! -name tini -delete
