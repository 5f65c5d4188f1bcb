# RDRAND and RDSEED as a program finds them; seedvisor.test=random=ROUNDS says how often each.
wait_for /dev/hwrng
random-check ${argument:-850}
say "random: done"
