sh -c 'sleep 0.03 & exec sleep 0.01'
sleep 0.06
echo reaped
(sh -c 'sleep 0.05; echo late' &) 
sleep 0.6
