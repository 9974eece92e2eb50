sh -c 'sleep 0.01 & echo $! > pid; exec sleep 1' & sleep 0.5
d=/proc/$(cat pid)
grep State $d/status
wc -c < $d/cmdline
grep -c . $d/maps
ls $d/fd
[ -e $d/exe ]; echo $?
wait
