nice -n 0 echo nice
nohup echo hup 2> /dev/null
env -i sh -c 'echo $#'
yes | head -3 | xargs -n1 -P2 echo | wc -l
id -u | grep -c .
mktemp -d /tmp/mXXXXXX | wc -c
time true 2> /dev/null
hostname > /dev/null; echo $?
sync; echo $?
