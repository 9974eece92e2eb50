date -u -d @86399
date -u -d '2020-02-29 12:00' +%s
date -u -d @1e9 2> /dev/null
TZ=UTC-3 date -d @0
[ $(date +%s) -gt 1000000 ]; echo $?
t=$(date +%s)
sleep 1
[ $(date +%s) -gt $t ]; echo $?
sleep x; echo $?
