# Reads /dev/hwrng, as many times 64 bytes as seedvisor.test=read=COUNT says, and what the bytes are
# like: they must not compress.
wait_for /dev/hwrng
count=${argument:-64}
dd if=/dev/hwrng bs=64 count="$count" of=/tmp/bytes 2>/tmp/dd || cat /tmp/dd
size=$(wc -c </tmp/bytes)
packed=$(gzip -c /tmp/bytes | wc -c)
say "read $size bytes of $((64 * count)), compressed to $packed"
