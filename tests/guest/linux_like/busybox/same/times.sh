touch -d '2001-02-03 04:05:06' f
stat -c '%Y %y' f
touch -r f g
stat -c %Y g
touch h
[ h -nt f ]; echo $?
echo x >> f
[ f -nt g ]; echo $?
touch -d @0 i
stat -c %Y i
date -u -r g
touch -c none
ls
