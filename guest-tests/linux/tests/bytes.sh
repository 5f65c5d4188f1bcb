# Prints what randomness this boot had, for comparison with another boot's.
hex() {
    od -An -v -tx1 | tr -d ' \n'
}

say "urandom $(dd if=/dev/urandom bs=64 count=1 2>/dev/null | hex)"
wait_for /dev/hwrng
say "hwrng $(dd if=/dev/hwrng bs=64 count=1 2>/dev/null | hex)"
say "boot_id $(cat /proc/sys/kernel/random/boot_id)"
