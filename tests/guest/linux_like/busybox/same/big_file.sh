dd if=/dev/zero of=f bs=64k count=20 2>&1 | head -2
md5sum f
tr '\0' x < f > g
md5sum g
cmp f g | head -1
tail -c 3 g
echo
dd if=g bs=1000 skip=1300 2> /dev/null | wc -c
split -b 200000 g p
ls p* | wc -l
cat p* | md5sum
