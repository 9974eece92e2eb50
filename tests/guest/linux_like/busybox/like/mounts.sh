mount | grep ' on /proc '
