mkdir -p t/u
echo 1 > t/one
echo 2 > t/u/two
ln -s one t/l
cp -r t v
find v | sort
cat v/u/two v/l
cp -a t w
readlink w/l
diff -r t v; echo $?
cp t x; echo $?
