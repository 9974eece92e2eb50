touch a
mv a b
ls
mkdir d
mv b d
ls d
mv d e
ls e
mv e e/f; echo $?
touch f
mv f e
mv e g
ls -R
mv nothing h; echo $?
touch '  spaces ' -- -dash ünïcode
ls
n=$(printf %0256d 0)
touch $n; echo $?
