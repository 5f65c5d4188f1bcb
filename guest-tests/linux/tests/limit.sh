# How many bytes /dev/hwrng gives in seedvisor.test=limit=SECONDS.
wait_for /dev/hwrng
rng-limit ${argument:-10}
