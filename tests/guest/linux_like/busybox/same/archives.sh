mkdir d
seq 1 1000 > d/n
ln -s n d/l
chmod 640 d/n
tar cf t.tar d
mv d e
tar xf t.tar
diff d/n e/n
stat -c %a d/n
readlink d/l
tar tf t.tar
gzip -k t.tar
gunzip -c t.tar.gz | cmp - t.tar; echo $?
(cd e; find . | sort | cpio -o -H newc 2> /dev/null) | cpio -t 2> /dev/null
