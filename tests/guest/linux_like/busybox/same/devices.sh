echo x > /dev/null
cat /dev/null
head -c 4 /dev/zero | od -c
head -c 5 /dev/urandom | wc -c
[ -c /dev/null ]; echo $?
stat -c '%F %t %T' /dev/null /dev/zero
setsid sh -c ': < /dev/tty' 2> /dev/null; echo $?
