ulimit -n 2>&1 > /dev/null; echo $?
i=0
while [ $i -lt 12 ]; do i=$((i + 1)); eval "f$i() { f$((i + 1)); }"; done
f13() { echo deep; }
f1
(for i in $(seq 1 300); do echo $i; done) | tail -1
sh -c 'sh -c "sh -c \"exit 9\""'; echo $?
sh -c "echo $(seq 1 9000 | tr '\n' ' ')" | wc -c
