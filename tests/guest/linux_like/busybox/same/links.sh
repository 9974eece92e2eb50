echo text > a
ln a b
ln -s a s
ln -s nowhere d
ln -s loop loop
stat -c '%h %F' a b s
rm a
cat b
cat s; echo $?
cat loop; echo $?
readlink s d
[ -L d ]; echo $?
[ -e d ]; echo $?
ln b b; echo $?
mkdir m
ln m n; echo $?
echo new > d
cat nowhere
ln -s m/ x
touch x/y
ls m
