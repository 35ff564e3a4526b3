# a full /dev/shm and /dev are the step's own trouble, and end with it
head -c 1G /dev/zero > /dev/shm/full 2>/dev/null && echo "no limit on /dev/shm" && exit 1
head -c 1G /dev/zero > /dev/full-of-it 2>/dev/null && echo "no limit on /dev" && exit 1
echo x 2>/dev/null > /dev/full && echo "/dev/full takes something" && exit 1
test -c /dev/full && test -c /dev/null && head -c 3 /dev/zero | od -An -tx1 | grep -q "00 00 00"
