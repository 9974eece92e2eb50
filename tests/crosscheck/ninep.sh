# SPDX-License-Identifier: GPL-2.0-or-later
# Inside Linux: its own 9P client mounts what /ninep serves, over two pipes, and both sides of every change are looked at.
set -e
mkdir -p /srv /mnt /tmp; cd /tmp
mkfifo up down
/ninep /srv <up >down &
exec 3>up 4<down
echo hello >/srv/hello
mkdir /srv/dir
dd if=/dev/urandom of=/srv/large bs=65536 count=16 2>/dev/null
mount -t 9p -o trans=fd,rfdno=4,wfdno=3,version=9p2000,msize=65536 none /mnt
cat /mnt/hello; ls -l /mnt | wc -l
cmp /srv/large /mnt/large && echo same large
dd if=/dev/urandom of=/tmp/new bs=65536 count=16 2>/dev/null
cp /tmp/new /mnt/dir/new && cmp /tmp/new /srv/dir/new && cmp /tmp/new /mnt/dir/new && echo same new
echo more >>/mnt/hello; cat /srv/hello
mv /mnt/dir/new /mnt/dir/other; ls /srv/dir
mkdir /mnt/d2; mv /mnt/dir /mnt/d3; ls /srv
mv /mnt/hello /mnt/d2/moved; cat /srv/d2/moved
chmod 600 /mnt/large; stat -c %a /srv/large
rm /mnt/large; rmdir /mnt/d2 || echo refused
rm -r /mnt/d2 /mnt/d3; ls -A /srv | wc -l
: >/mnt/empty; truncate -s 5000 /mnt/empty; stat -c %s /srv/empty
umount /mnt
exec 3>&-
wait
echo SUCCESS
