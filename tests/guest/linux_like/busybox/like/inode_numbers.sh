touch a
ln a b
ls -i
