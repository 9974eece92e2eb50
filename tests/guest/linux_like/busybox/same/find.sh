mkdir -p a/b c
touch a/1 a/b/2 c/3
ln -s a l
find . | sort
find . -type f | sort
find . -type l
find -L . -name 2 | sort
find . -name '[12]' -exec echo found {} ';' | sort
find a -depth
find . -newer a/1 -type f | wc -l
find . -size 0 -type f | wc -l
find . -perm -700 -type d | sort
find . -delete
ls
