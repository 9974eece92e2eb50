(yes; echo status $? > status) | head -1
cat status
seq 1 100000 2> /dev/null | head -2
trap '' PIPE
(while [ ! -e closed ]; do sleep 0.01; done; echo y || echo refused >&2) 2> log | (exec 0<&-; : > closed)
grep -c . log
