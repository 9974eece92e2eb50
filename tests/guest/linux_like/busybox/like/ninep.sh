mkdir -p root/sub
echo hello > root/sub/file
chmod 640 root/sub/file
"$NINEP" root < "$REQUESTS" | od -An -v -t x1
cat root/new
find root | sort
stat -c '%a %s' root/new root/sub/renamed
