echo via | cat /dev/fd/0 2> /dev/null || echo via | cat /proc/self/fd/0
exec 5> f
ls /proc/self/fd | grep -c .
echo written > /proc/self/fd/5
cat f
readlink /proc/$$/fd/5 | sed 's,.*/,,'
echo | readlink /proc/self/fd/0 | sed 's/[0-9]//g'
