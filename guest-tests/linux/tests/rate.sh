# Ticks of a 64-byte read of /dev/hwrng; seedvisor.test=rate=READS says how many reads.
wait_for /dev/hwrng
rng-bench ${argument:-2000}
