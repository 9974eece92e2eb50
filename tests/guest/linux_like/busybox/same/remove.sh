mkdir -p r/s/t
touch r/1 r/s/2 r/s/t/3
rm r; echo $?
rm -r r
ls
rm nothing; echo $?
rm -f nothing; echo $?
mkdir many
cd many
for i in $(seq 1 500); do : > f$i; done
ls | wc -l
cd ..
rm -r many
ls
