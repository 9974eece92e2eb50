set -- $(cut -d' ' -f1 /proc/uptime | tr . ' ')
sleep 0.3
set -- $1$2 $(cut -d' ' -f1 /proc/uptime | tr -d .)
[ $(($2 - $1)) -ge 29 ]; echo $?
timeout 0.1 sleep 5; echo $?
timeout 5 true; echo $?
