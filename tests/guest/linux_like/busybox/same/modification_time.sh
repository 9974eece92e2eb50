mkdir d
touch -d @5 d f
: > d/x
[ d -nt f ]; echo $?
touch -d @5 d
mv d/x d/y
[ d -nt f ]; echo $?
touch -d @5 d
rm d/y
[ d -nt f ]; echo $?
touch -d @5 f
cat f
stat -c %Y f
chmod 600 f
stat -c %Y f
