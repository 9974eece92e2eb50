exec 6> f
sh -c 'echo inherited >&6'
cat f
(sleep 0.05; echo 1 >> f) & (sleep 0.5; echo 2 >> f) & wait
cat f
for i in 1 2 3 4 5 6 7 8; do (for k in 1 2 3 4 5 6 7 8; do echo line; done >> a) & done
wait
sort a | uniq -c
