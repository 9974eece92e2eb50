echo kept > f
exec 3< f
rm f
ls
cat <&3
exec 3<&-
exec 4<> g
echo more >&4
rm g
stat -L -c %h /proc/self/fd/4
exec 4>&-
ls
