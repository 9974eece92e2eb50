umask 027
touch f
mkdir d
stat -c %a f d
chmod 4751 f
stat -c '%a %A' f
chmod u-s,g+w f
stat -c %a f
chmod a= f
stat -c %A f
umask
mkdir -m 1777 t
stat -c %A t
echo 'echo ran' > s
./s; echo $?
chmod +x s
./s
: > n
chmod +x n
./n; echo $?
