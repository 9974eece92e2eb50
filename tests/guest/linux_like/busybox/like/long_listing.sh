mkdir d
: > f
ln -s f l
chmod 600 f
ls -ln | tail -n +2
