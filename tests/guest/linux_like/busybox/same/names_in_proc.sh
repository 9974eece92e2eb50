cat /proc/self/comm
cat /proc/$$/cmdline | tr '\0' ' ' | sed 's,[^ ]*/,,g'
echo
awk '{print NF}' /proc/self/stat
awk '{print NF}' /proc/self/statm /proc/loadavg /proc/uptime
X=7 env | grep -c X=7
X=8 sh -c 'tr "\0" "\n" < /proc/$$/environ | grep X='
ls -d /proc/$$/task/$$ | sed 's/[0-9]*//g'
[ /proc/self/cwd -ef . ]; echo $?
cat /proc/99999/stat 2> /dev/null; echo $?
sleep 5 & sleep 0.1
cat /proc/$!/comm
kill $!
