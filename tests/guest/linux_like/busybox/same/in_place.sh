seq 1 9 > f
sed -i s/5/five/ f
cat f
dd if=/dev/zero of=f bs=1 seek=2 count=2 conv=notrunc 2> /dev/null
od -c f | head -2
sort -o f -r f
head -2 f
