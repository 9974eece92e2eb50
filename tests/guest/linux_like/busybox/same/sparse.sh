dd if=/dev/zero of=f bs=1 seek=10000000 count=1 2> /dev/null
stat -c %s f
[ $(du -k f | cut -f1) -lt 100 ]; echo $?
od -A d -t x1 f | head -1
truncate -s 20000001 f
stat -c %s f
truncate -s 5 f
echo ab >> f
od -c f
truncate -s 9 f
od -c f
truncate -s 0 f
stat -c '%s %b' f
