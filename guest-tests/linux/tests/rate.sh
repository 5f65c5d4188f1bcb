# Ticks of a 64-byte read of /dev/hwrng; rate=READS sets how many.
wait_for /dev/hwrng
rng-bench ${argument:-2000}
