seq 1 30 > n
grep -c 1 n
grep -n 7 n
grep -rl 30 .
sed -n 5,7p n
awk '{s += $1} END {print s}' n
cut -c1 n | sort | uniq -c
tac n | head -1
paste n n | tail -1
tee t < n | tail -1
cmp n t
xargs echo < n
expr 6 '*' 7
printf '%s-%03d\n' a 7
rev < n | head -2
comm -12 n t | wc -l
head -c 5 n | md5sum
nl n | tail -1
