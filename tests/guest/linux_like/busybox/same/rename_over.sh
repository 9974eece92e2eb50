echo 1 > a
echo 2 > b
mv a b
cat b
ls
mkdir d1 d2 d2/x
mv -T d1 d2; echo $?
rmdir d2/x
mv -T d1 d2
ls
touch f
mv -T f d2; echo $?
mv -T d2 f; echo $?
